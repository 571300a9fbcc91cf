/* SPDX-License-Identifier: MIT */
/*
 * steal: each worker walks its own tasks depth-first and, when it has none, takes the oldest of
 * another's (Blumofe and Leiserson, Scheduling Multithreaded Computations by Work Stealing, 1999).
 *
 * New and woken tasks go on a deque whose newest its worker runs next: in cache, in little memory,
 * and a thief that takes the oldest gets the root of the largest piece of work. Tasks that yield, and
 * those whose timers fired, queue up behind, first in first out, where they can be stolen too.
 * Depth-first alone is not fair: a chain of wake-ups would run for ever before older tasks, so one
 * pick in `fair` looks at the queue behind first.
 *
 * With one worker it schedules like lifo. Both queues are Chase-Lev deques (engine/deque.h).
 */
#include "core/engine/deque.h"
#include "core/engine/policy.h"

struct steal_state {
	struct shunt_deque *ready, *behind;
	unsigned fair, countdown;
};

_Static_assert(sizeof(struct steal_state) <= SHUNT_POLICY_BYTES, "fits the worker");

static const struct shunt_param steal_params[] = {
	{.name = "fair",
		.type = SHUNT_PARAM_COUNT,
		.fallback = "61",
		.min = 1,
		.max = 1000000,
		.help = "one pick in so many looks first at tasks that yielded; 1: always"},
	{.name = NULL},
};

static struct shunt_deque *deque_new(void)
{
	struct shunt_deque *deque = aligned_alloc(64, (sizeof(*deque) + 63) / 64 * 64);
	if (deque && shunt_deque_init(deque)) {
		free(deque);
		deque = NULL;
	}
	return deque;
}

static void deque_free(struct shunt_deque *deque)
{
	if (deque)
		shunt_deque_fini(deque);
	free(deque);
}

static int steal_init(struct shunt_worker *worker, const struct shunt_values *values)
{
	struct steal_state *state = shunt_policy_state(worker);
	state->fair = state->countdown = (unsigned)shunt_value_int(values, "fair");
	state->ready = deque_new();
	state->behind = deque_new();
	return state->ready && state->behind ? 0 : -ENOMEM;
}

static void steal_fini(struct shunt_worker *worker)
{
	struct steal_state *state = shunt_policy_state(worker);
	deque_free(state->ready);
	deque_free(state->behind);
}

SHUNT_INLINE void push(struct shunt_deque *deque, struct shunt_task *task)
{
	if (SHUNT_UNLIKELY(shunt_deque_push(deque, task)))
		shunt_panic("policy steal: out of memory for a queue of %lld tasks",
			(long long)shunt_deque_count(deque));
}

SHUNT_INLINE void steal_enqueue(struct shunt_worker *worker, struct shunt_task *task, unsigned why)
{
	struct steal_state *state = shunt_policy_state(worker);
	unsigned cause = why & SHUNT_WHY_CAUSE;
	bool behind = cause == SHUNT_WHY_YIELD || cause == SHUNT_WHY_TIMER;
	push(behind ? state->behind : state->ready, task);
}

SHUNT_INLINE struct shunt_task *steal_pick(struct shunt_worker *worker, struct shunt_task *current,
	unsigned why)
{
	(void)why;
	struct steal_state *state = shunt_policy_state(worker);
	struct shunt_task *task = NULL;
	if (SHUNT_UNLIKELY(--state->countdown == 0)) {
		state->countdown = state->fair;
		task = shunt_deque_take_oldest(state->behind, worker->ctx.many);
	}
	if (!task)
		task = shunt_deque_take(state->ready, worker->ctx.many);
	if (!task)
		task = shunt_deque_take_oldest(state->behind, worker->ctx.many);
	return task ? task : current;
}

static bool steal_has_ready(const struct shunt_worker *worker)
{
	const struct steal_state *state = shunt_policy_state_of(worker);
	return shunt_deque_count(state->ready) || shunt_deque_count(state->behind);
}

/* The oldest of what the victim would run first, else of what waits behind. */
static struct shunt_task *steal_steal(struct shunt_worker *thief, struct shunt_worker *victim)
{
	const struct steal_state *state = shunt_policy_state_of(victim);
	bool lost = false;
	(void)thief;
	struct shunt_task *task = shunt_deque_steal(state->ready, &lost);
	return task ? task : shunt_deque_steal(state->behind, &lost);
}

SHUNT_POLICY(steal, .summary = "depth-first on each worker; idle ones steal the oldest",
	.params = steal_params, .steals = true, .worker_init = steal_init,
	.worker_fini = steal_fini, .steal = steal_steal);
