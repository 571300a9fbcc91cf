/* SPDX-License-Identifier: MIT */
/*
 * fifo: first in, first out; a yielding task goes to the end. Round robin.
 *
 * Fair, and the order every other policy is compared with. Where tasks spawn tasks it goes
 * breadth-first and keeps a whole generation alive: a million-leaf skynet then needs gigabytes that
 * lifo does not. With many workers each has its own queue and keeps its tasks.
 *
 * With window=N it is round robin among N tasks that have started, on each worker. The others start
 * in order as these end or block; after TURNS rounds in which none did, one more starts. A woken
 * task has started and is not held back, so more than N may take turns.
 */
#include "core/engine/policy.h"

enum { TURNS = 61 };

struct windowed {
	struct shunt_queue started, fresh;
	uint64_t count; /* of started */
	struct shunt_window window;
};

static const struct shunt_param fifo_params[] = {
	{.name = "window",
		.type = SHUNT_PARAM_COUNT,
		.fallback = "0",
		.max = INT64_C(1000000000),
		.help = "N: a new task starts when fewer than N that have started are ready; 0: in "
			"its turn"},
	{.name = NULL},
};

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

/* ---- with a window --------------------------------------------------------------------------- */

static int windowed_init(struct shunt_worker *worker, const struct shunt_values *values)
{
	shunt_policy_state(worker, struct windowed)->window.most =
		(uint64_t)shunt_value_int(values, "window");
	return 0;
}

SHUNT_INLINE void fifo_windowed_enqueue(struct shunt_worker *worker, struct shunt_task *task,
	unsigned why)
{
	struct windowed *state = shunt_policy_state(worker, struct windowed);
	bool fresh = (why & SHUNT_WHY_CAUSE) == SHUNT_WHY_NEW;
	shunt_queue_push(fresh ? &state->fresh : &state->started, task);
	state->count += !fresh;
}

SHUNT_INLINE struct shunt_task *fifo_windowed_pick(struct shunt_worker *worker,
	struct shunt_task *current)
{
	struct windowed *state = shunt_policy_state(worker, struct windowed);
	struct shunt_task *next = NULL;
	if (!shunt_queue_empty(&state->fresh) &&
		shunt_window_opens(&state->window, state->count + (current != NULL), TURNS))
		return shunt_queue_pop(&state->fresh);
	next = shunt_queue_pop(&state->started);
	state->count -= next != NULL;
	return next ? next : current;
}

static bool fifo_windowed_has_ready(const struct shunt_worker *worker)
{
	const struct windowed *state = shunt_policy_state_of(worker, struct windowed);
	return !shunt_queue_empty(&state->started) || !shunt_queue_empty(&state->fresh);
}

SHUNT_POLICY_VARIANT(fifo, windowed, .worker_init = windowed_init);

static int fifo_variant(const struct shunt_values *values, const struct shunt_policy **policy,
	struct shunt_error *err)
{
	(void)err;
	if (shunt_value_int(values, "window"))
		*policy = &fifo_windowed;
	return 0;
}

SHUNT_POLICY(fifo, .summary = "first in, first out: round robin, fair", .params = fifo_params,
	.fifo = true, .variant = fifo_variant);
