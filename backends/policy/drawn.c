/* SPDX-License-Identifier: MIT */
/*
 * drawn: the schedule is drawn from a seed of its own, to find the one that breaks something.
 *
 * Each ready task has a random priority, and the highest runs next; one queue for all workers. The
 * strategy says how long a priority lasts:
 *
 * `pct` (Burckhardt, Kothari, Musuvathi, Nagarakatte: A Randomized Scheduler with Probabilistic
 * Guarantees of Finding Bugs, ASPLOS 2010): for the task's life, but for depth - 1 picks, drawn
 * among the first `steps` of them, at which the task that would run falls behind all others. The
 * i-th drawn gives the i-th low priority, whichever comes first: a task that stopped later may go
 * on earlier. One run of n tasks in k picks meets a bug of depth d with a probability of
 * 1 / (n k^(d-1)) or more; a bug's depth is the number of orders between two events that it takes.
 * A seed draws the same priorities for each depth, and a smaller depth the first of the changes.
 *
 * `pos` (Yuan, Yang, Gu: Partial Order Aware Concurrency Sampling, CAV 2018, without its look at
 * what events touch): until it runs.
 *
 * After `steps` picks, 1,000 at least, and each time again after as many, the task that would run
 * falls behind all others too: it may be polling for something that they must do. So no task
 * starves, and a run that is no longer than expected is all pct's. In virtual time the whole
 * schedule is a function of this seed, so `shunt run` with the same settings is the replay
 * (core/cli/explore.c).
 */
#include "core/engine/keyed.h"

#include "core/rng.h"

enum { DEPTH_MOST = 16, PATIENCE_LEAST = 1000 };

/* Keys, the smallest runs first: a priority; then one for each change; then those that polled, in
 * the order in which they fell behind. */
#define PRIORITIES (INT64_C(1) << 62)

struct drawn {
	struct shunt_keyed ready; /* its lock guards all */
	struct shunt_rng rng;
	bool anew; /* a priority for each turn */
	int64_t behind;
	uint64_t picks, patience;
	unsigned changes;
	uint64_t change[DEPTH_MOST - 1]; /* the picks at which priorities change */
};

static const char *const strategies[] = {"pct", "pos", NULL};

static const struct shunt_param drawn_params[] = {
	{.name = "strategy",
		.type = SHUNT_PARAM_CHOICE,
		.fallback = "pct",
		.choices = strategies,
		.help = "priorities for a task's life, with a few changes; or for one turn"},
	{.name = "depth",
		.type = SHUNT_PARAM_COUNT,
		.fallback = "2",
		.min = 1,
		.max = DEPTH_MOST,
		.help = "of pct: orders of two events that a bug takes"},
	{.name = "steps",
		.type = SHUNT_PARAM_COUNT,
		.fallback = "1000",
		.min = 1,
		.max = INT64_C(1000000000000),
		.help = "of pct: picks among which the changes are drawn, about as many as the run "
			"has"},
	{.name = "seed",
		.type = SHUNT_PARAM_COUNT,
		.fallback = "1",
		.max = INT64_MAX,
		.help = "another seed is another schedule of the same work"},
	{.name = NULL},
};

static int drawn_open(void **state, const struct shunt_values *values, unsigned worker_count)
{
	(void)worker_count;
	struct drawn *drawn = aligned_alloc(64, sizeof(*drawn));
	if (!drawn)
		return -ENOMEM;
	*drawn = (struct drawn){.anew = shunt_value_int(values, "strategy") == 1,
		.behind = PRIORITIES + DEPTH_MOST};
	shunt_rng_init(&drawn->rng, (uint64_t)shunt_value_int(values, "seed"));
	drawn->changes = drawn->anew ? 0 : (unsigned)shunt_value_int(values, "depth") - 1;
	uint64_t steps = (uint64_t)shunt_value_int(values, "steps");
	for (unsigned i = 0; i < DEPTH_MOST - 1; i++)
		drawn->change[i] = 1 + shunt_rng_below(&drawn->rng, steps);
	drawn->patience = steps > PATIENCE_LEAST ? steps : PATIENCE_LEAST;
	*state = drawn;
	return 0;
}

static void drawn_close(void *state)
{
	struct drawn *drawn = state;
	shunt_keyed_fini(&drawn->ready);
	free(drawn);
}

static int drawn_reserve(void *state, uint64_t tasks)
{
	struct drawn *drawn = state;
	return shunt_keyed_reserve(&drawn->ready, tasks);
}

static inline int64_t priority(struct drawn *drawn)
{
	return (int64_t)shunt_rng_below(&drawn->rng, PRIORITIES);
}

SHUNT_INLINE void drawn_enqueue(struct shunt_worker *worker, struct shunt_task *task, unsigned why)
{
	struct drawn *drawn = worker->policy_shared;
	unsigned cause = why & SHUNT_WHY_CAUSE;
	shunt_spin_lock(&drawn->ready.lock, worker->ctx.many);
	/* One that yields has drawn in pick. */
	if (cause == SHUNT_WHY_NEW || (drawn->anew && cause != SHUNT_WHY_YIELD))
		task->key = priority(drawn);
	shunt_keyed_insert_at(&drawn->ready, task, task->key);
	shunt_spin_unlock(&drawn->ready.lock, worker->ctx.many);
}

/* The first of the queue and `current`, which is not in it; NULL: neither is there. */
static struct shunt_task *first_of(struct drawn *drawn, struct shunt_task *current)
{
	struct shunt_keyed *ready = &drawn->ready;
	return ready->count && (!current || shunt_keyed_first(ready) <= current->key)
		       ? shunt_keyed_remove(ready)
		       : current;
}

/* The key of the task that would run: its own, or one with which it falls behind the others. */
static int64_t key_now(struct drawn *drawn, const struct shunt_task *task)
{
	drawn->picks++;
	for (unsigned i = 0; i < drawn->changes; i++)
		if (drawn->change[i] == drawn->picks)
			return PRIORITIES + i;
	return drawn->picks % drawn->patience == 0 ? drawn->behind++ : task->key;
}

/* Context: the lock is held. */
static struct shunt_task *next_of(struct drawn *drawn, struct shunt_task *current)
{
	struct shunt_task *next = first_of(drawn, current);
	int64_t key = next ? key_now(drawn, next) : 0;
	if (next && key != next->key) {
		next->key = key;
		if (next != current)
			shunt_keyed_insert_at(&drawn->ready, next, next->key);
		next = first_of(drawn, current);
	}
	return next;
}

SHUNT_INLINE struct shunt_task *drawn_pick(struct shunt_worker *worker, struct shunt_task *current)
{
	struct drawn *drawn = worker->policy_shared;
	if (!current && shunt_keyed_empty(&drawn->ready))
		return NULL;
	shunt_spin_lock(&drawn->ready.lock, worker->ctx.many);
	if (current && drawn->anew)
		current->key = priority(drawn);
	struct shunt_task *next = next_of(drawn, current);
	shunt_spin_unlock(&drawn->ready.lock, worker->ctx.many);
	return next;
}

static bool drawn_has_ready(const struct shunt_worker *worker)
{
	const struct drawn *drawn = worker->policy_shared;
	return !shunt_keyed_empty(&drawn->ready);
}

SHUNT_POLICY(drawn, .summary = "random priorities from a seed of its own: to explore schedules",
	.params = drawn_params, .drawn = true, .shared = true, .open = drawn_open,
	.close = drawn_close, .reserve = drawn_reserve);
