/* SPDX-License-Identifier: MIT */
/*
 * edf: earliest deadline first, one queue for all workers (Liu and Layland, Scheduling Algorithms
 * for Multiprogramming in a Hard-Real-Time Environment, 1973).
 *
 * The deadline is the attribute of the spawn, and stays; a task without one comes last, and ties go
 * in order of arrival, so that with no deadlines at all it is `shared`. Best where the work fits:
 * on one worker it meets every set of deadlines that can be met. Under overload it helps tasks that
 * are late already and lets the next ones be late, too. It preempts at checkpoints alone, when a
 * task with an earlier deadline has become ready; a yield gives way to no later deadline. Of many
 * workers the one on which it became ready gives way at once, the others notice at their next look
 * or at the end of their quantum.
 */
#include "core/engine/keyed.h"

static inline int64_t edf_key(const struct shunt_attr *attr)
{
	return attr && attr->deadline_ns ? attr->deadline_ns : SHUNT_KEY_LAST;
}

SHUNT_POLICY_IN_ORDER(edf, .summary = "earliest deadline first, one queue for all workers");
