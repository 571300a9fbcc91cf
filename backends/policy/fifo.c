/* SPDX-License-Identifier: MIT */
/*
 * fifo: first in, first out; a yielding task goes to the end. Round robin.
 *
 * Fair, and the order every other policy is compared with. Where tasks spawn tasks it goes
 * breadth-first and keeps a whole generation alive: a million-leaf skynet then needs gigabytes that
 * lifo does not. With many workers each has its own queue and keeps its tasks.
 */
#include "core/engine/policy.h"

SHUNT_INLINE void fifo_enqueue(struct shunt_worker *worker, struct shunt_task *task, unsigned why)
{
	(void)why;
	shunt_queue_push(shunt_policy_state(worker, struct shunt_queue), task);
}

SHUNT_INLINE struct shunt_task *fifo_pick(struct shunt_worker *worker, struct shunt_task *current)
{
	struct shunt_task *next = shunt_queue_pop(shunt_policy_state(worker, struct shunt_queue));
	return next ? next : current;
}

static bool fifo_has_ready(const struct shunt_worker *worker)
{
	return !shunt_queue_empty(shunt_policy_state_of(worker, struct shunt_queue));
}

SHUNT_POLICY(fifo, .summary = "first in, first out: round robin, fair", .fifo = true);
