/* SPDX-License-Identifier: MIT */
/*
 * eevdf: the earliest eligible virtual deadline first, one queue for all workers (Stoica and
 * Abdel-Wahab, Earliest Eligible Virtual Deadline First: A Flexible and Accurate Mechanism for
 * Proportional Share Resource Allocation, 1995).
 *
 * Ready tasks share the processor time by weight: 64 for class 0, and half of it for each class
 * after, to 1 for class 6 and beyond; the class is the attribute `priority`. Virtual time is what a
 * task of weight 64 would have run had all shared exactly. A task is eligible while it has run for
 * no more than that; of the eligible, the first is the one whose next `slice` would end the
 * earliest in virtual time. On one worker no task gets ahead or behind by more than a slice.
 *
 * A task that becomes ready joins at the present virtual time. One that leaves behind its share
 * gives the difference to those that stay; one that leaves ahead of it begins its next run there.
 * Where none is eligible, which happens with many workers, the least far ahead runs. It shares the
 * time and promises no short tail: with equal weights it is processor sharing in slices. Tasks
 * without checkpoints overrun their slice, and are charged for it. Every switch reads the clock.
 */
#include "core/engine/keyed.h"

enum { CLASSES = 7, CLASS_BITS = 3, HEAVIEST = 1 << (CLASSES - 1) };

struct eevdf {
	struct shunt_keyed eligible; /* by virtual deadline; its lock guards all */
	struct shunt_keyed later;    /* by the virtual time from which they are eligible */
	int64_t now;                 /* virtual, in ns */
	int64_t rest;                /* of the last division for it */
	int64_t weight;              /* of all tasks that run or are ready */
	int64_t slice_ns;
};

/* What a worker runs, which may be gone when the worker picks the next one. */
struct running {
	int64_t from; /* virtual time from which it is eligible again */
	int class;    /* -1: nothing */
};

static const struct shunt_param eevdf_params[] = {
	{.name = "slice",
		.type = SHUNT_PARAM_DURATION,
		.fallback = "100us",
		.min = 1,
		.max = INT64_C(1000000000),
		.help = "quantum of a task; shorter ones are closer to exact shares"},
	{.name = NULL},
};

static int eevdf_open(void **state, const struct shunt_values *values, unsigned worker_count)
{
	(void)worker_count;
	struct eevdf *eevdf = aligned_alloc(64, sizeof(*eevdf));
	if (!eevdf)
		return -ENOMEM;
	*eevdf = (struct eevdf){.slice_ns = shunt_value_int(values, "slice")};
	*state = eevdf;
	return 0;
}

static void eevdf_close(void *state)
{
	struct eevdf *eevdf = state;
	shunt_keyed_fini(&eevdf->eligible);
	shunt_keyed_fini(&eevdf->later);
	free(eevdf);
}

static int eevdf_reserve(void *state, uint64_t tasks)
{
	struct eevdf *eevdf = state;
	int rc = shunt_keyed_reserve(&eevdf->eligible, tasks);
	return rc ? rc : shunt_keyed_reserve(&eevdf->later, tasks);
}

static int eevdf_worker_init(struct shunt_worker *worker, const struct shunt_values *values)
{
	(void)values;
	shunt_policy_state(worker, struct running)->class = -1;
	return 0;
}

/* ---- shares ---------------------------------------------------------------------------------- */

/* The key of a task: the virtual time from which it is eligible, above its class. */
static inline int64_t eevdf_key(const struct shunt_attr *attr)
{
	unsigned class = attr ? attr->priority : 0;
	return class < CLASSES ? class : CLASSES - 1;
}

static inline int class_of(int64_t key)
{
	return (int)(key & ((1 << CLASS_BITS) - 1));
}

static inline int64_t from_of(int64_t key)
{
	return key >> CLASS_BITS;
}

static inline int64_t weight_of(int class)
{
	return HEAVIEST >> class;
}

static inline int64_t deadline_of(const struct eevdf *eevdf, int64_t key)
{
	return from_of(key) + (eevdf->slice_ns << class_of(key));
}

/* Weighted service was done, or is given up by one that leaves. Context: the lock is held. */
static inline void advance(struct eevdf *eevdf, int64_t service)
{
	if (eevdf->weight == 0)
		return;
	eevdf->rest += service;
	eevdf->now += eevdf->rest / eevdf->weight;
	eevdf->rest %= eevdf->weight;
}

/* The last one blocked or ended. Context: the lock is held. */
static inline void leave(struct eevdf *eevdf, struct running *running)
{
	if (running->class < 0)
		return;
	int64_t lag = eevdf->now - running->from;
	eevdf->weight -= weight_of(running->class);
	if (lag > 0)
		advance(eevdf, lag * weight_of(running->class));
	running->class = -1;
}

static inline void put(struct eevdf *eevdf, struct shunt_task *task)
{
	if (from_of(task->key) <= eevdf->now)
		shunt_keyed_insert_at(&eevdf->eligible, task, deadline_of(eevdf, task->key));
	else
		shunt_keyed_insert_at(&eevdf->later, task, from_of(task->key));
}

/* ---- the hooks ------------------------------------------------------------------------------- */

SHUNT_INLINE void eevdf_enqueue(struct shunt_worker *worker, struct shunt_task *task, unsigned why)
{
	struct eevdf *eevdf = worker->policy_shared;
	shunt_spin_lock(&eevdf->eligible.lock, worker->ctx.many);
	if ((why & SHUNT_WHY_CAUSE) != SHUNT_WHY_YIELD) {
		int class = class_of(task->key);
		eevdf->weight += weight_of(class);
		if (from_of(task->key) < eevdf->now)
			task->key = eevdf->now << CLASS_BITS | class;
	}
	put(eevdf, task);
	shunt_spin_unlock(&eevdf->eligible.lock, worker->ctx.many);
}

/* The next task of `current`, which may be NULL, and the queues. Context: the lock is held. */
static inline struct shunt_task *choose(struct eevdf *eevdf, struct shunt_task *current)
{
	struct shunt_keyed *eligible = &eevdf->eligible, *later = &eevdf->later;
	while (later->count && shunt_keyed_first(later) <= eevdf->now)
		put(eevdf, shunt_keyed_remove(later));
	bool may = current && from_of(current->key) <= eevdf->now;
	if (eligible->count &&
		(!may || shunt_keyed_first(eligible) <= deadline_of(eevdf, current->key)))
		return shunt_keyed_remove(eligible);
	if (later->count && (!current || shunt_keyed_first(later) <= from_of(current->key)))
		return shunt_keyed_remove(later);
	return current;
}

SHUNT_INLINE struct shunt_task *eevdf_pick(struct shunt_worker *worker, struct shunt_task *current)
{
	struct eevdf *eevdf = worker->policy_shared;
	struct running *running = shunt_policy_state(worker, struct running);
	if (running->class < 0 && shunt_keyed_empty(&eevdf->eligible) &&
		shunt_keyed_empty(&eevdf->later))
		return current;
	shunt_spin_lock(&eevdf->eligible.lock, worker->ctx.many);
	if (!current)
		leave(eevdf, running);
	struct shunt_task *next = choose(eevdf, current);
	shunt_spin_unlock(&eevdf->eligible.lock, worker->ctx.many);
	running->class = next ? class_of(next->key) : -1;
	return next;
}

static bool eevdf_has_ready(const struct shunt_worker *worker)
{
	const struct eevdf *eevdf = worker->policy_shared;
	return !shunt_keyed_empty(&eevdf->eligible) || !shunt_keyed_empty(&eevdf->later);
}

static int64_t eevdf_quantum(struct shunt_worker *worker, const struct shunt_task *task)
{
	const struct eevdf *eevdf = worker->policy_shared;
	(void)task;
	return eevdf->slice_ns;
}

static void eevdf_stopping(struct shunt_worker *worker, struct shunt_task *task)
{
	struct eevdf *eevdf = worker->policy_shared;
	int64_t ran_ns = worker->env.ran_ns;
	int class = class_of(task->key);
	task->key += ran_ns << class << CLASS_BITS;
	shunt_policy_state(worker, struct running)->from = from_of(task->key);
	shunt_spin_lock(&eevdf->eligible.lock, worker->ctx.many);
	advance(eevdf, ran_ns * HEAVIEST);
	shunt_spin_unlock(&eevdf->eligible.lock, worker->ctx.many);
}

SHUNT_POLICY_KEYED(eevdf, .summary = "shares by weight: the earliest eligible virtual deadline",
	.params = eevdf_params, .shared = true, .needs_time = true, .open = eevdf_open,
	.close = eevdf_close, .reserve = eevdf_reserve, .worker_init = eevdf_worker_init,
	.quantum = eevdf_quantum, .stopping = eevdf_stopping);
