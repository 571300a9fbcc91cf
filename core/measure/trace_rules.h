/* SPDX-License-Identifier: MIT */
/*
 * The checker's two machines, the worker's and the task's: what it remembers, and the two steps
 * that it takes with each event. An event is first judged, without an effect, then applied.
 */
#ifndef SHUNT_CORE_MEASURE_TRACE_RULES_H
#define SHUNT_CORE_MEASURE_TRACE_RULES_H

#include "core/measure/trace_check.h"
#include "core/measure/trace_internal.h"
#include "core/measure/trace_tasks.h"

#include <stdbool.h>

enum shunt_worker_state {
	SHUNT_WORKER_OFF,
	SHUNT_WORKER_SCHEDULING,
	SHUNT_WORKER_RUNNING,
	SHUNT_WORKER_IDLE,
	SHUNT_WORKER_WAITING,
};

/* One ring, read up to `next`. */
struct shunt_follower {
	const struct shunt_trace_ring *ring;
	uint64_t next;
	enum shunt_worker_state state;
	bool idle_around; /* waits within an idle time */
	uint64_t task;    /* that it runs */
	uint64_t since_ns, started_ns;
	struct shunt_trace_times times;
	struct shunt_trace_queue ready; /* tasks that only it may run */
};

struct shunt_checker {
	const struct shunt_trace *trace;
	struct shunt_trace_report *report;
	struct shunt_trace_tasks tasks;
	struct shunt_follower *follower; /* one a ring */
	size_t follower_count;
	struct shunt_trace_queue ready; /* tasks that any worker may run */
	uint64_t base_ns, grace_ns;
	char why[256]; /* what is wrong with the event at hand; "" when memory ran out */
};

/* Sets why, and is false. */
bool shunt_trace_wrong(struct shunt_checker *check, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* "idle" */
const char *shunt_worker_state_name(enum shunt_worker_state state);

/* May this event, the next one of its ring, come now? False: why says why not. */
bool shunt_trace_judge(struct shunt_checker *check, const struct shunt_follower *at,
	const struct shunt_trace_event *event);

/* Takes an event that was found legal. False: by its effect it breaks the trace after all, as a
 * dequeue does that comes too late; or memory is short. */
bool shunt_trace_apply(struct shunt_checker *check, struct shunt_follower *at,
	const struct shunt_trace_event *event);

#endif
