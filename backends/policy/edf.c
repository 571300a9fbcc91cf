/* SPDX-License-Identifier: MIT */
/*
 * edf: earliest deadline first, one queue for all workers (Liu and Layland, Scheduling Algorithms for
 * Multiprogramming in a Hard-Real-Time Environment, 1973).
 *
 * The deadline is the attribute of the spawn, and stays; a task without one comes last, and ties go
 * in order of arrival, so that with no deadlines at all it is `shared`. Best where the work fits: on
 * one worker it meets every set of deadlines that can be met. Under overload it helps tasks that are
 * late already and lets the next ones be late, too. It preempts at checkpoints alone, when a task
 * with an earlier deadline has become ready; a yield gives way to no later deadline.
 */
#include "core/engine/keyed.h"

static inline int64_t edf_key(const struct shunt_attr *attr)
{
	return attr && attr->deadline_ns ? attr->deadline_ns : SHUNT_KEY_LAST;
}

SHUNT_INLINE void edf_enqueue(struct shunt_worker *worker, struct shunt_task *task, unsigned why)
{
	(void)why;
	shunt_keyed_enqueue(worker, task);
}

SHUNT_INLINE struct shunt_task *edf_pick(struct shunt_worker *worker, struct shunt_task *current,
	unsigned why)
{
	(void)why;
	return shunt_keyed_pick(worker, current);
}

#define edf_has_ready shunt_keyed_has_ready

SHUNT_POLICY_KEYED(edf, .summary = "earliest deadline first, one queue for all workers",
	.shared = true, .open = shunt_keyed_open, .close = shunt_keyed_close,
	.reserve = shunt_keyed_reserve, .preempts = shunt_keyed_preempts);
