/* SPDX-License-Identifier: MIT */
/* The checker's memory of tasks: a table by id, and the queues of ready ones, oldest first. */
#ifndef SHUNT_CORE_MEASURE_TRACE_TASKS_H
#define SHUNT_CORE_MEASURE_TRACE_TASKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum shunt_trace_state {
	SHUNT_STATE_NEW,
	SHUNT_STATE_READY,
	SHUNT_STATE_TAKEN,
	SHUNT_STATE_RUNNING,
	SHUNT_STATE_YIELDED,
	SHUNT_STATE_PARKED,
	SHUNT_STATE_SLEEPING,
	SHUNT_STATE_BLOCKED,
	SHUNT_STATE_WOKEN,
	SHUNT_STATE_ENDED,
};

#define SHUNT_NO_TASK UINT32_MAX

struct shunt_trace_task {
	uint64_t id;
	uint64_t ready_ns, deadline_ns;
	uint64_t queue;      /* where it is ready: a worker's index, or SHUNT_TRACE_ANY */
	uint32_t worker;     /* that ran it last */
	uint32_t prev, next; /* in the queue, by index in the table */
	uint8_t state;
	bool armed;
	bool held; /* preempted, and not run since: its queue is its worker's */
	bool in_io;
	uint64_t fd; /* of its operation, with in_io */
};

/* Ready tasks in the order in which they became so. */
struct shunt_trace_queue {
	uint32_t head, tail;
};

struct shunt_trace_tasks {
	struct shunt_trace_task *task; /* in the order of their spawns; moves when it grows */
	uint32_t count, room;
	uint32_t *slot; /* open addressing: index in task + 1, or 0 */
	uint32_t slots; /* a power of two */
};

int shunt_trace_tasks_init(struct shunt_trace_tasks *tasks);
void shunt_trace_tasks_fini(struct shunt_trace_tasks *tasks);

/* NULL if there is no such task. */
struct shunt_trace_task *shunt_trace_tasks_find(const struct shunt_trace_tasks *tasks, uint64_t id);

/* Adds a task that is not there yet. NULL: no memory. */
struct shunt_trace_task *shunt_trace_tasks_add(struct shunt_trace_tasks *tasks, uint64_t id);

void shunt_trace_queue_push(struct shunt_trace_queue *queue, struct shunt_trace_tasks *tasks,
	struct shunt_trace_task *task);
void shunt_trace_queue_remove(struct shunt_trace_queue *queue, struct shunt_trace_tasks *tasks,
	struct shunt_trace_task *task);

/* "ready", "sleeping", ... */
const char *shunt_trace_state_name(unsigned state);

#endif
