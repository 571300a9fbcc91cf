/* SPDX-License-Identifier: MIT */
/* coin: a toss decides whether a ready task joins the queue in front or behind. A task at the end
 * waits for as long as tosses go against it: an example, no policy to recommend. */
#include "core/engine/policy.h"
#include "core/plugin.h"

SHUNT_INLINE void coin_enqueue(struct shunt_worker *worker, struct shunt_task *task, unsigned why)
{
	(void)why;
	if (shunt_rng_next(&worker->env.rng) & 1)
		shunt_queue_push(shunt_policy_state(worker, struct shunt_queue), task);
	else
		shunt_queue_push_front(shunt_policy_state(worker, struct shunt_queue), task);
}

SHUNT_INLINE struct shunt_task *coin_pick(struct shunt_worker *worker, struct shunt_task *current)
{
	struct shunt_task *task = shunt_queue_pop(shunt_policy_state(worker, struct shunt_queue));
	return task ? task : current;
}

static bool coin_has_ready(const struct shunt_worker *worker)
{
	return !shunt_queue_empty(shunt_policy_state_of(worker, struct shunt_queue));
}

SHUNT_POLICY(coin, .summary = "a toss decides between oldest and newest");

SHUNT_PLUGIN(coin, SHUNT_PLUGIN_HAS(policy, coin));
