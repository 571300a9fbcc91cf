/* SPDX-License-Identifier: MIT */
/*
 * srpt: the shortest remaining processing time first, one queue for all workers (Schrage, A Proof
 * of the Optimality of the Shortest Remaining Processing Time Discipline, 1968).
 *
 * A task's key is its expected service from the spawn's attributes, less what it has run: every
 * switch is stamped for that. No other order gives a smaller mean response on one worker; the long
 * ones pay for it, and under overload they starve. A task of unknown service comes last; one that
 * has run for longer than expected comes first, for it must be nearly done; ties go in order of
 * arrival. It preempts at checkpoints alone, when a shorter task has become ready; of many workers
 * as edf.
 */
#include "core/engine/keyed.h"

static inline int64_t srpt_key(const struct shunt_attr *attr)
{
	return attr && attr->service_ns > 0 ? attr->service_ns : SHUNT_KEY_LAST;
}

static void srpt_stopping(struct shunt_worker *worker, struct shunt_task *task)
{
	if (task->key == SHUNT_KEY_LAST)
		return;
	int64_t left = task->key - worker->env.ran_ns;
	task->key = left > 0 ? left : 0;
}

SHUNT_POLICY_IN_ORDER(srpt,
	.summary = "shortest remaining service first, one queue for all workers",
	.needs_time = true, .stopping = srpt_stopping);
