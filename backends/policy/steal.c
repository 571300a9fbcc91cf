/* SPDX-License-Identifier: MIT */
/*
 * steal: each worker walks its own tasks depth-first and, when it has none, takes the oldest of
 * another's (Blumofe and Leiserson, Scheduling Multithreaded Computations by Work Stealing, 1999).
 *
 * New and woken tasks go on a deque whose newest its worker runs next: in cache, in little memory,
 * and a thief that takes the oldest gets the root of the largest piece of work. Tasks that yield,
 * and those whose timers fired, queue up behind, first in first out, where they can be stolen too.
 * Depth-first alone is not fair: a chain of wake-ups would run for ever before older tasks, so one
 * pick in `fair` looks at the queue behind first.
 *
 * With lifo_slot=N new and woken tasks are not depth-first: the newest has a slot and runs next, at
 * most N times in a row, and the one that it displaces queues up behind, as with Go's runnext and
 * tokio's LIFO slot. What is in the slot can be stolen: owner and thief exchange it.
 *
 * With window=N woken tasks have a queue of their own, in order, before all others. What yielded
 * runs before new tasks while N tasks or more take turns, on each worker; `fair` is then also how
 * many turns a new task waits at most. More than N take turns when woken or stolen tasks join.
 *
 * With one worker it schedules like lifo. The queues are Chase-Lev deques (engine/deque.h).
 */
#include "core/engine/deque.h"
#include "core/engine/policy.h"

#include <string.h>

#define PATIENCE_SPINS 16     /* looks at a worker: a microsecond or less */
#define OFTEN_NS       200000 /* what attaching takes of both, some ten times */

/* One of the other workers, and those that are as far from here: [first, first + count) of the
 * order. */
struct other {
	unsigned index, distance;
	unsigned first, count;
};

struct steal_state {
	struct shunt_deque *ready, *behind;
	unsigned fair, countdown;
	int64_t stole_ns;                  /* when it last stole a ready task */
	unsigned slot_most;                /* with a slot: how often in a row */
	unsigned in_a_row;                 /* picked from the slot */
	_Atomic(struct shunt_task *) slot; /* [steal:slot] */
	struct shunt_deque *woken;         /* NULL: no window */
	struct shunt_window window;
	struct other *order;       /* the others, nearest first; NULL: victim=random */
	unsigned turn;             /* of this search: where each rotation begins */
	struct shunt_task *oldest; /* the victim's, when last looked at, and its generation */
	uint64_t oldest_generation;
};

static const char *const victim_choices[] = {"random", "near", NULL};

static const struct shunt_param steal_params[] = {
	{.name = "fair",
		.type = SHUNT_PARAM_COUNT,
		.fallback = "61",
		.min = 1,
		.max = 1000000,
		.help = "one pick in N looks first at tasks that yielded; 1: always"},
	{.name = "lifo_slot",
		.type = SHUNT_PARAM_COUNT,
		.fallback = "0",
		.max = 1000000,
		.help = "N: first in, first out, but the newest task runs next, at most N times in "
			"a row; 0: depth-first"},
	{.name = "victim",
		.type = SHUNT_PARAM_CHOICE,
		.fallback = "random",
		.choices = victim_choices,
		.help = "which victims a thief tries first: random, or near: those that share a "
			"core, a cache or a package with it"},
	{.name = "window",
		.type = SHUNT_PARAM_COUNT,
		.fallback = "0",
		.max = INT64_C(1000000000),
		.help = "N: new tasks run after those that yielded while N of these take turns; 0: "
			"before"},
	{.name = NULL},
};

static struct shunt_deque *deque_new(bool fenced)
{
	struct shunt_deque *deque = aligned_alloc(64, (sizeof(*deque) + 63) / 64 * 64);
	if (deque && shunt_deque_init(deque, fenced)) {
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

/* Nearest first, of equals in the order of their indices. */
static int by_distance(const void *left, const void *right)
{
	const struct other *a = left, *b = right;
	if (a->distance != b->distance)
		return a->distance < b->distance ? -1 : 1;
	return a->index < b->index ? -1 : a->index > b->index;
}

/* The order of the others for victim=near, or NULL: no memory. */
static struct other *order_new(const struct shunt_worker *worker)
{
	unsigned others = worker->env.worker_count - 1, first = 0;
	struct other *order = calloc(others + 1, sizeof(*order));
	if (!order)
		return NULL;
	for (unsigned i = 0; i < others; i++) {
		order[i].index = i + (i >= worker->env.index);
		order[i].distance = shunt_policy_distance(worker, order[i].index);
	}
	qsort(order, others, sizeof(*order), by_distance);
	for (unsigned i = 1; i <= others; i++) {
		if (i < others && order[i].distance == order[first].distance)
			continue;
		for (unsigned j = first; j < i; j++) {
			order[j].first = first;
			order[j].count = i - first;
		}
		first = i;
	}
	return order;
}

static int steal_init(struct shunt_worker *worker, const struct shunt_values *values)
{
	struct steal_state *state = shunt_policy_state(worker, struct steal_state);
	state->fair = state->countdown = (unsigned)shunt_value_int(values, "fair");
	state->ready = deque_new(worker->env.fenced);
	state->behind = deque_new(false);
	state->slot_most = (unsigned)shunt_value_int(values, "lifo_slot");
	state->window.most = (uint64_t)shunt_value_int(values, "window");
	if (state->window.most)
		state->woken = deque_new(false);
	bool near = !strcmp(shunt_value_text(values, "victim"), "near");
	if (near)
		state->order = order_new(worker);
	return state->ready && state->behind && (state->order || !near) &&
			       (state->woken || !state->window.most)
		       ? 0
		       : -ENOMEM;
}

static void steal_fini(struct shunt_worker *worker)
{
	struct steal_state *state = shunt_policy_state(worker, struct steal_state);
	deque_free(state->ready);
	deque_free(state->behind);
	deque_free(state->woken);
	free(state->order);
}

SHUNT_INLINE void push(struct shunt_deque *deque, struct shunt_task *task)
{
	if (SHUNT_UNLIKELY(shunt_deque_push(deque, task)))
		shunt_panic("policy steal: out of memory for a queue of %lld tasks",
			(long long)shunt_deque_count(deque));
}

SHUNT_INLINE void steal_enqueue(struct shunt_worker *worker, struct shunt_task *task, unsigned why)
{
	struct steal_state *state = shunt_policy_state(worker, struct steal_state);
	unsigned cause = why & SHUNT_WHY_CAUSE;
	bool behind = cause == SHUNT_WHY_YIELD || cause == SHUNT_WHY_TIMER ||
		      cause == SHUNT_WHY_MIGRATE;
	push(behind ? state->behind : state->ready, task);
}

/* The oldest of a queue. Prefetches the next one's stack and the descriptor of the one behind it:
 * with thousands of tasks in rotation each switch would otherwise wait for memory twice. */
SHUNT_INLINE struct shunt_task *take_behind(struct shunt_worker *worker, struct shunt_deque *behind)
{
	struct shunt_task *task = shunt_deque_take_oldest(behind, worker->env.others_may_take);
#ifndef SHUNT_SANITIZED /* a thief may run the next one by now: its sp is only a hint */
	if (task) {
		const struct shunt_task *next = shunt_deque_peek(behind, 0);
		if (next)
			__builtin_prefetch(next->sp);
		__builtin_prefetch(shunt_deque_peek(behind, 1));
	}
#endif
	return task;
}

/* Is this the one pick in `fair` that looks behind first? */
SHUNT_INLINE bool is_fair_turn(struct steal_state *state)
{
	if (__builtin_expect(--state->countdown != 0, 1))
		return false;
	state->countdown = state->fair;
	return true;
}

SHUNT_INLINE struct shunt_task *steal_pick(struct shunt_worker *worker, struct shunt_task *current)
{
	struct steal_state *state = shunt_policy_state(worker, struct steal_state);
	struct shunt_task *task = NULL;
	if (is_fair_turn(state))
		task = take_behind(worker, state->behind);
	if (!task)
		task = shunt_deque_take(state->ready);
	if (!task)
		task = take_behind(worker, state->behind);
	return task ? task : current;
}

/* ---- with a slot ----------------------------------------------------------------------------- */

/* Puts `task` into the slot, or NULL; returns what was there. */
SHUNT_INLINE struct shunt_task *slot_swap(struct steal_state *state, struct shunt_task *task,
	bool others)
{
	/* Relaxed: nobody else's, or decided by the exchange; a thief only ever empties it. */
	struct shunt_task *there = atomic_load_explicit(&state->slot, memory_order_relaxed);
	if (!task && !there)
		return NULL;
	if (others)
		/* Acquire-release pairs with itself, owner with thief [steal:slot]: the task. */
		return atomic_exchange_explicit(&state->slot, task, memory_order_acq_rel);
	/* Relaxed: nobody else looks. */
	atomic_store_explicit(&state->slot, task, memory_order_relaxed);
	return there;
}

/* Only what the running task makes ready goes to the slot. */
SHUNT_INLINE void steal_slot_enqueue(struct shunt_worker *worker, struct shunt_task *task,
	unsigned why)
{
	struct steal_state *state = shunt_policy_state(worker, struct steal_state);
	if (why == (SHUNT_WHY_NEW | SHUNT_FROM_LOCAL) || why == (SHUNT_WHY_WAKE | SHUNT_FROM_LOCAL))
		task = slot_swap(state, task, worker->env.others_may_take);
	if (task)
		push(state->behind, task);
}

/* At the cap the task stays in the slot: on its way to another queue a thief that goes to sleep
 * would see it in neither, and nobody would offer it again. */
SHUNT_INLINE struct shunt_task *steal_slot_pick(struct shunt_worker *worker,
	struct shunt_task *current)
{
	struct steal_state *state = shunt_policy_state(worker, struct steal_state);
	struct shunt_task *task;
	if (!is_fair_turn(state) && state->in_a_row < state->slot_most &&
		(task = slot_swap(state, NULL, worker->env.others_may_take))) {
		state->in_a_row++;
		return task;
	}
	state->in_a_row = 0;
	task = take_behind(worker, state->behind);
	if (!task)
		task = slot_swap(state, NULL, worker->env.others_may_take);
	return task ? task : current;
}

/* ---- with a window --------------------------------------------------------------------------- */

SHUNT_INLINE void steal_windowed_enqueue(struct shunt_worker *worker, struct shunt_task *task,
	unsigned why)
{
	struct steal_state *state = shunt_policy_state(worker, struct steal_state);
	unsigned cause = why & SHUNT_WHY_CAUSE;
	push(cause == SHUNT_WHY_NEW       ? state->ready
		: cause == SHUNT_WHY_WAKE ? state->woken
					  : state->behind,
		task);
}

SHUNT_INLINE struct shunt_task *steal_windowed_pick(struct shunt_worker *worker,
	struct shunt_task *current)
{
	struct steal_state *state = shunt_policy_state(worker, struct steal_state);
	struct shunt_task *task = NULL;
	if (is_fair_turn(state))
		task = take_behind(worker, state->behind);
	if (!task)
		task = take_behind(worker, state->woken);
	uint64_t started = (uint64_t)shunt_deque_count(state->behind) + (current != NULL);
	if (!task && shunt_deque_count(state->ready) &&
		shunt_window_opens(&state->window, started, state->fair))
		task = shunt_deque_take(state->ready);
	if (!task)
		task = take_behind(worker, state->behind);
	if (!task && !current) /* thieves have what it counted */
		task = shunt_deque_take(state->ready);
	return task ? task : current;
}

/* ---- what all have --------------------------------------------------------------------------- */

static bool steal_has_ready(const struct shunt_worker *worker)
{
	const struct steal_state *state = shunt_policy_state_of(worker, struct steal_state);
	/* Relaxed: the fences of the idle protocol order it [steal:slot]. */
	return shunt_deque_count(state->ready) || shunt_deque_count(state->behind) ||
	       (state->woken && shunt_deque_count(state->woken)) ||
	       atomic_load_explicit(&state->slot, memory_order_relaxed);
}

/* A single ready task is nearly always what its worker runs next: a token that is passed on, a
 * child that is joined at once. Taking it would move its whole neighbourhood to another cache. It
 * is taken from a worker that does not get to it. */
static bool gets_to_it(const struct shunt_worker *victim)
{
	uint64_t before = shunt_worker_switches(victim);
	for (int i = 0; i < PATIENCE_SPINS; i++) {
		if (shunt_worker_switches(victim) != before)
			return true;
		shunt_cpu_relax();
	}
	return false;
}

/* A thief that comes often stays attached until it sleeps: attaching costs the thief a lot, its
 * presence costs the victim. */
static bool comes_often(struct shunt_worker *thief)
{
	struct steal_state *state = shunt_policy_state(thief, struct steal_state);
	int64_t now = shunt_now_ns(), since = now - state->stole_ns;
	state->stole_ns = now;
	return since < OFTEN_NS;
}

/* Is the victim's oldest ready task the one of the last look? */
static bool has_waited(struct shunt_worker *thief, const struct steal_state *from)
{
	struct steal_state *state = shunt_policy_state(thief, struct steal_state);
	struct shunt_task *oldest = shunt_deque_oldest(from->ready);
	uint64_t generation = oldest ? shunt_task_generation(oldest) : 0;
	bool waited = oldest && oldest == state->oldest && generation == state->oldest_generation;
	state->oldest = oldest;
	state->oldest_generation = generation;
	return waited;
}

/* Half of what waits behind: tasks that yield are many and alike, and so the thief comes back less
 * often. */
static unsigned steal_behind(struct shunt_deque *behind, struct shunt_task **taken)
{
	void *task[SHUNT_STEAL_MOST];
	unsigned count = (unsigned)shunt_deque_steal_half(behind, task, SHUNT_STEAL_MOST);
	for (unsigned i = 0; i < count; i++)
		taken[i] = task[i];
	return count;
}

/* The oldest of what the victim would run first, the root of the largest piece of work; else what
 * waits behind. */
static unsigned steal_steal(struct shunt_worker *thief, struct shunt_worker *victim, bool wary,
	struct shunt_task **taken)
{
	struct steal_state *state = shunt_policy_state(victim, struct steal_state);
	struct shunt_task *task = NULL;
	bool lost = false;
	if (wary && !has_waited(thief, state))
		return 0;
	int64_t ready = shunt_deque_count(state->ready);
	if (ready > 1 || (ready == 1 && !gets_to_it(victim))) {
		shunt_deque_attach(state->ready, &thief->env.attached, thief->env.fenced);
		task = shunt_deque_steal(state->ready, &lost);
		if (task && !comes_often(thief))
			shunt_deque_detach(&thief->env.attached);
	}
	unsigned count = task ? 0 : steal_behind(state->behind, taken);
	if (!task && !count && state->woken)
		count = steal_behind(state->woken, taken);
	/* Relaxed: a hint; the exchange decides [steal:slot]. */
	if (!task && !count && atomic_load_explicit(&state->slot, memory_order_relaxed) &&
		!gets_to_it(victim))
		task = slot_swap(state, NULL, true);
	if (!task)
		return count;
	taken[0] = task;
	return 1;
}

/* All others in a random rotation; with victim=near those of each distance in one, nearest first:
 * thieves that are neighbours do not all begin at the same. */
static struct shunt_worker *steal_victim(struct shunt_worker *thief, unsigned attempt)
{
	struct steal_state *state = shunt_policy_state(thief, struct steal_state);
	unsigned count = thief->env.worker_count;
	if (attempt == 0)
		state->turn = (unsigned)(shunt_rng_next(&thief->env.rng) >> 40);
	if (attempt >= count - (state->order != NULL))
		return NULL;
	if (!state->order)
		return thief->env.workers[(state->turn + attempt) % count];
	const struct other *at = &state->order[attempt];
	unsigned rotated = at->first + (attempt - at->first + state->turn) % at->count;
	return thief->env.workers[state->order[rotated].index];
}

#define steal_slot_has_ready     steal_has_ready
#define steal_windowed_has_ready steal_has_ready
#define STEAL_HOOKS                                                                                \
	.steals = true, .worker_init = steal_init, .worker_fini = steal_fini,                      \
	.steal = steal_steal, .victim = steal_victim

SHUNT_POLICY_VARIANT(steal, slot, STEAL_HOOKS);
SHUNT_POLICY_VARIANT(steal, windowed, STEAL_HOOKS);

static int steal_variant(const struct shunt_values *values, const struct shunt_policy **policy,
	struct shunt_error *err)
{
	bool slot = shunt_value_int(values, "lifo_slot"),
	     window = shunt_value_int(values, "window");
	if (slot && window)
		return shunt_fail(err, -EINVAL,
			"policy=steal: lifo_slot and window are two orders for new tasks: set one "
			"of them to 0");
	if (slot || window)
		*policy = slot ? &steal_slot : &steal_windowed;
	return 0;
}

SHUNT_POLICY(steal, .summary = "depth-first on each worker; idle workers steal the oldest task",
	.params = steal_params, .variant = steal_variant, STEAL_HOOKS);
