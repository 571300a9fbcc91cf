/* SPDX-License-Identifier: MIT */
/*
 * darc: workers are reserved for short types of tasks (Demoulin, Fried, Pedisich, Kogias, Loo, Phan
 * and Zhang, When Idling is Ideal: Optimizing Tail-Latency for Heavy-Tailed Datacenter Workloads
 * with Persephone, SOSP 2021).
 *
 * A task's type is the attribute `priority`, as a name only: no type is more urgent. Each type has
 * a queue, first in, first out, and a profile: the mean time that its tasks run, and its share of
 * all time. From these the workers are divided anew with every WINDOW tasks: types that are alike
 * form a group, and the groups, the shortest first, get as many workers as their share of the time
 * is, one at least. A task may run on the workers of its own group and of longer ones, never on
 * those of shorter ones: these rather idle. A worker takes the shortest type that it may run. The
 * last worker runs every type (the paper's spillway). Before the first profile all is one queue.
 *
 * It needs several workers: with one, nothing can be reserved, and it is the shortest type first,
 * from one queue a type, without preemption. It loses throughput where short tasks are few and
 * their workers idle, gains nothing where all types are alike, and long types may starve under an
 * overload of short ones. The paper divides when the profile or the delays have changed; here the
 * profile is smoothed instead, each window weighing half of the next. Every switch reads the clock.
 */
#include "core/engine/policy.h"

#include <stdlib.h>

enum { TYPES = 8, WINDOW = 1000, ALIKE = 2, BEGUN = TYPES };

struct type {
	struct shunt_queue queue;
	uint64_t begun;      /* tasks, each window half of the next */
	uint64_t charged_ns; /* the same [darc:charged] */
};

struct darc {
	_Alignas(64) int lock; /* [waiters:lock] guards all but where tagged */
	uint32_t ready;        /* types with a task queued; read without [darc:ready] */
	unsigned window;       /* tasks begun in it */
	unsigned worker_count;
	bool profiled;
	uint8_t order[TYPES]; /* of the types, the shortest first */
	struct type type[TYPES];
	uint32_t may[]; /* the types that each worker may run; read without [darc:may] */
};

static int darc_open(void **state, const struct shunt_values *values, unsigned worker_count)
{
	size_t bytes = sizeof(struct darc) + worker_count * sizeof(uint32_t);
	struct darc *darc = aligned_alloc(64, (bytes + 63) / 64 * 64);
	(void)values;
	if (!darc)
		return -ENOMEM;
	memset(darc, 0, bytes);
	darc->worker_count = worker_count;
	for (unsigned i = 0; i < worker_count; i++)
		darc->may[i] = (1u << TYPES) - 1;
	for (unsigned i = 0; i < TYPES; i++)
		darc->order[i] = (uint8_t)i;
	*state = darc;
	return 0;
}

static void darc_close(void *state)
{
	free(state);
}

/* ---- the reservation ------------------------------------------------------------------------- */

static inline void set_ready(struct darc *darc, uint32_t types)
{
	/* Relaxed: others read only a hint of what is ready [darc:ready]. */
	__atomic_store_n(&darc->ready, types, __ATOMIC_RELAXED);
}

static inline uint32_t may_run(const struct darc *darc, const struct shunt_worker *worker)
{
	/* Relaxed: the fences of the idle protocol order them; the lock where it decides
	 * [darc:ready] [darc:may]. */
	return __atomic_load_n(&darc->ready, __ATOMIC_RELAXED) &
	       __atomic_load_n(&darc->may[worker->env.index], __ATOMIC_RELAXED);
}

static inline uint64_t charged_ns(const struct type *type)
{
	/* Relaxed: what is charged meanwhile counts next time [darc:charged]. */
	return __atomic_load_n(&type->charged_ns, __ATOMIC_RELAXED);
}

/* Of a type of which nothing is known the largest: it runs on the last worker alone. */
static uint64_t mean_ns(const struct type *type)
{
	return type->begun ? charged_ns(type) / type->begun : UINT64_MAX;
}

/* Stable, by means that no charge changes on the way. */
static void order_types(struct darc *darc, const uint64_t mean[TYPES])
{
	for (unsigned i = 1; i < TYPES; i++) {
		uint8_t type = darc->order[i];
		unsigned at = i;
		for (; at > 0 && mean[darc->order[at - 1]] > mean[type]; at--)
			darc->order[at] = darc->order[at - 1];
		darc->order[at] = type;
	}
}

/* From `first` on all workers may run the type, of shorter groups none may. */
static void allow(struct darc *darc, unsigned type, unsigned first)
{
	for (unsigned i = 0; i < darc->worker_count; i++) {
		uint32_t others = darc->may[i] & ~(1u << type);
		/* Relaxed: under the lock; who reads without takes either value [darc:may]. */
		__atomic_store_n(&darc->may[i], others | (uint32_t)(i >= first) << type,
			__ATOMIC_RELAXED);
	}
}

/* Workers that have so much of the time, to the nearest, and one at least. */
static unsigned share_of(const struct darc *darc, uint64_t part_ns, uint64_t all_ns)
{
	uint64_t share = all_ns ? (2 * part_ns * darc->worker_count + all_ns) / (2 * all_ns) : 0;
	return share ? (unsigned)share : 1;
}

static void divide_workers(struct darc *darc, const uint64_t mean[TYPES])
{
	unsigned first = 0, last = darc->worker_count - 1;
	uint64_t all_ns = 0, group_ns = 0, shortest = 0;
	for (unsigned i = 0; i < TYPES; i++)
		all_ns += charged_ns(&darc->type[i]);
	for (unsigned i = 0; i < TYPES; i++) {
		unsigned type = darc->order[i];
		if (mean[type] == UINT64_MAX) {
			allow(darc, type, last);
			continue;
		}
		if (i == 0 || mean[type] / ALIKE > shortest) {
			first += i ? share_of(darc, group_ns, all_ns) : 0;
			shortest = mean[type];
			group_ns = 0;
		}
		group_ns += charged_ns(&darc->type[type]);
		allow(darc, type, first < last ? first : last);
	}
}

/* The first profile is there: out of the one queue, each to that of its type. */
static void sort_out(struct darc *darc)
{
	struct shunt_queue all = darc->type[0].queue;
	struct shunt_task *task;
	shunt_queue_set_head(&darc->type[0].queue, NULL);
	darc->profiled = true;
	set_ready(darc, 0);
	while ((task = shunt_queue_pop(&all))) {
		unsigned type = (unsigned)task->key % TYPES;
		shunt_queue_push(&darc->type[type].queue, task);
		set_ready(darc, darc->ready | 1u << type);
	}
}

/* Context: the lock is held. */
static SHUNT_SLOW void end_window(struct darc *darc)
{
	uint64_t mean[TYPES];
	for (unsigned i = 0; i < TYPES; i++)
		mean[i] = mean_ns(&darc->type[i]);
	order_types(darc, mean);
	divide_workers(darc, mean);
	for (unsigned i = 0; i < TYPES; i++) {
		darc->type[i].begun /= 2;
		/* Relaxed: a charge that is lost to it changes a mean by a task's time
		 * [darc:charged]. */
		__atomic_store_n(&darc->type[i].charged_ns, charged_ns(&darc->type[i]) / 2,
			__ATOMIC_RELAXED);
	}
	if (!darc->profiled)
		sort_out(darc);
	darc->window = 0;
}

/* ---- the hooks ------------------------------------------------------------------------------- */

static inline int64_t darc_key(const struct shunt_attr *attr)
{
	unsigned type = attr ? attr->priority : 0;
	return type < TYPES ? type : TYPES - 1;
}

SHUNT_INLINE void darc_enqueue(struct shunt_worker *worker, struct shunt_task *task, unsigned why)
{
	struct darc *darc = worker->policy_shared;
	(void)why;
	shunt_spin_lock(&darc->lock, worker->ctx.many);
	unsigned queue = darc->profiled ? (unsigned)task->key % TYPES : 0;
	shunt_queue_push(&darc->type[queue].queue, task);
	set_ready(darc, darc->ready | 1u << queue);
	shunt_spin_unlock(&darc->lock, worker->ctx.many);
}

/* The first of the shortest type, or NULL. Context: the lock is held. */
static inline struct shunt_task *take(struct darc *darc, uint32_t types)
{
	for (unsigned i = 0; types && i < TYPES; i++) {
		unsigned type = darc->order[i];
		struct type *from = &darc->type[type];
		if (!(types & 1u << type))
			continue;
		struct shunt_task *task = shunt_queue_pop(&from->queue);
		if (shunt_queue_empty(&from->queue))
			set_ready(darc, darc->ready & ~(1u << type));
		return task;
	}
	return NULL;
}

/* Counts a task that runs for the first time; true: with it the window ends. */
static inline bool begins(struct darc *darc, struct shunt_task *task)
{
	if (task->key & BEGUN)
		return false;
	darc->type[task->key].begun++;
	task->key |= BEGUN;
	return ++darc->window == WINDOW;
}

/* A yield gives way to whatever the worker may run. */
SHUNT_INLINE struct shunt_task *darc_pick(struct shunt_worker *worker, struct shunt_task *current)
{
	struct darc *darc = worker->policy_shared;
	bool changed = false;
	if (!may_run(darc, worker))
		return current;
	shunt_spin_lock(&darc->lock, worker->ctx.many);
	struct shunt_task *next = take(darc, may_run(darc, worker));
	if (next && SHUNT_UNLIKELY(begins(darc, next))) {
		end_window(darc);
		changed = true;
	}
	shunt_spin_unlock(&darc->lock, worker->ctx.many);
	if (SHUNT_UNLIKELY(changed))
		shunt_policy_offer(worker);
	return next ? next : current;
}

static bool darc_has_ready(const struct shunt_worker *worker)
{
	return may_run(worker->policy_shared, worker) != 0;
}

static void darc_stopping(struct shunt_worker *worker, struct shunt_task *task)
{
	struct darc *darc = worker->policy_shared;
	/* Relaxed: a sum [darc:charged]. */
	__atomic_fetch_add(&darc->type[task->key % TYPES].charged_ns, (uint64_t)worker->env.ran_ns,
		__ATOMIC_RELAXED);
}

SHUNT_POLICY_KEYED(darc, .summary = "workers reserved for short types, which a profile finds",
	.shared = true, .needs_time = true, .open = darc_open, .close = darc_close,
	.stopping = darc_stopping);
