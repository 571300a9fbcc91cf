/* SPDX-License-Identifier: MIT */
/*
 * Task descriptors for complete backends: type-stable memory and what to say of tasks that are
 * stuck.
 *
 * A handle may be looked at long after its task has ended, so memory that held a descriptor holds
 * descriptors until the scheduler is closed; the generation in the word tells its tasks apart. The
 * engine has its own pool (engine/task_pool.c), which is spread over workers.
 */
#ifndef SHUNT_CORE_DESCRIPTORS_H
#define SHUNT_CORE_DESCRIPTORS_H

#include "core/backend.h"

struct shunt_descriptor_slab;

struct shunt_descriptors {
	struct shunt_task *free;
	struct shunt_descriptor_slab *slabs;
	struct shunt_sched *sched; /* constant */
	size_t bytes;              /* of one, constant; its first member is a struct shunt_task */
};

/* `bytes` is the size of the backend's own descriptor, which begins with the struct shunt_task.
 * Context of all: the caller sees to it that one thread at a time works on the set. */
void shunt_descriptors_init(struct shunt_descriptors *set, struct shunt_sched *sched, size_t bytes);
void shunt_descriptors_fini(struct shunt_descriptors *set);

/* A descriptor whose word is FREE and whose sched is set, for shunt_task_init; NULL: no memory. */
struct shunt_task *shunt_descriptor_take(struct shunt_descriptors *set);

/* Gives back the descriptor of an ended task, making its handles stale. One whose 134 million
 * generations are used up is not used again. */
void shunt_descriptor_give(struct shunt_descriptors *set, struct shunt_task *task);

/* Visits every descriptor that holds a task. */
void shunt_descriptors_each(struct shunt_descriptors *set,
	void (*visit)(void *arg, struct shunt_task *task), void *arg);

/* The text of a deadlock, made up of one task at a time: "deadlock: 2 tasks wait and nothing can
 * wake them: 'A', task 1 in mutex; task 2 in park". */
struct shunt_stuck {
	char text[512];
	size_t used;
	unsigned named;
};

/* Adds a task if it waits and there is room. */
void shunt_stuck_add(struct shunt_stuck *stuck, const struct shunt_task *task);
/* Completes the sentence in err; returns -EDEADLK. `live`: tasks that have not ended. */
int shunt_stuck_fail(const struct shunt_stuck *stuck, uint64_t live, struct shunt_error *err);

#endif
