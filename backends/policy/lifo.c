/* SPDX-License-Identifier: MIT */
/*
 * lifo: the newest first, depth-first; a yielding task goes to the end.
 *
 * A new or woken task runs before older ones, so a tree of tasks is walked depth-first and needs
 * memory for one path, and a joiner runs right after the child it waited for, on a stack still in
 * cache. The price is fairness: a chain of wake-ups can keep an old task waiting for ever. A yield
 * must not bring the same task back while others are ready, hence the other end.
 */
#include "core/engine/policy.h"

SHUNT_INLINE void lifo_enqueue(struct shunt_worker *worker, struct shunt_task *task, unsigned why)
{
	if ((why & SHUNT_WHY_CAUSE) == SHUNT_WHY_YIELD)
		shunt_queue_push(shunt_policy_state(worker, struct shunt_queue), task);
	else
		shunt_queue_push_front(shunt_policy_state(worker, struct shunt_queue), task);
}

SHUNT_INLINE struct shunt_task *lifo_pick(struct shunt_worker *worker, struct shunt_task *current)
{
	struct shunt_task *next = shunt_queue_pop(shunt_policy_state(worker, struct shunt_queue));
	return next ? next : current;
}

static bool lifo_has_ready(const struct shunt_worker *worker)
{
	return !shunt_queue_empty(shunt_policy_state_of(worker, struct shunt_queue));
}

SHUNT_POLICY(lifo, .summary = "newest first: depth-first, little memory, not fair");
