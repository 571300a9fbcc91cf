/* SPDX-License-Identifier: MIT */
/*
 * mlfq: a multi-level feedback queue, one for all workers (Corbató, Merwin-Daggett and Daley, An
 * Experimental Time-Sharing System, 1962; Arpaci-Dusseau, Operating Systems: Three Easy Pieces, ch.
 * 8).
 *
 * A new task begins on level 0 and runs before all tasks of later levels; each level is first in,
 * first out. A task that has run for its level's allotment moves down one level. The allotment
 * doubles from level to level, and is the quantum as well. Waits and yields do not renew it. Each
 * `boost` period moves all tasks, ready or not, back to level 0.
 *
 * It approaches srpt without knowing a service time: short tasks finish on the first levels, long
 * ones give way to them. It gains nothing where all services are alike: a quantum shorter than they
 * are then makes every response longer. Tasks without checkpoints are demoted only when they stop.
 * Without a boost the long tasks may starve, and with a frequent one it becomes round robin. It
 * charges run times, so every switch reads the clock. It does not place large tasks on a later
 * level, as the paper does.
 *
 * A task's level counts only for the boost that it knows of: no boost touches the tasks that wait.
 */
#include "core/engine/policy.h"

#include <stdlib.h>

enum { MLFQ_LEVELS = 8, MLFQ_BASE_MOST = 10000000 };

struct mlfq_task {
	uint32_t used_ns; /* of its level's allotment */
	uint16_t boosts;  /* when its level was set; another number now means level 0 */
	uint8_t level;
};

_Static_assert((INT64_C(1) * MLFQ_BASE_MOST << (MLFQ_LEVELS - 1)) <= UINT32_MAX,
	"used_ns holds the largest allotment");

struct mlfq {
	_Alignas(64) int lock; /* [waiters:lock] */
	uint32_t ready;        /* levels; changed under the lock, read without [mlfq:ready] */
	uint16_t boosts;       /* the same [mlfq:boosts] */
	int64_t boost_at_ns;   /* the same [mlfq:boost_at] */
	unsigned levels;
	int64_t base_ns, period_ns; /* period 0: no boost */
	struct shunt_queue level[MLFQ_LEVELS];
};

static const struct shunt_param mlfq_params[] = {
	{.name = "levels",
		.type = SHUNT_PARAM_COUNT,
		.fallback = "8",
		.min = 1,
		.max = MLFQ_LEVELS,
		.help = "levels; on the last one tasks take turns"},
	{.name = "base",
		.type = SHUNT_PARAM_DURATION,
		.fallback = "10us",
		.min = 1,
		.max = MLFQ_BASE_MOST,
		.help = "allotment and quantum of level 0; each later level has twice as much"},
	{.name = "boost",
		.type = SHUNT_PARAM_DURATION,
		.fallback = "100ms",
		.max = INT64_C(1000000000000),
		.help = "how often all tasks return to level 0; 0: never"},
	{.name = NULL},
};

static int mlfq_open(void **state, const struct shunt_values *values, unsigned worker_count)
{
	(void)worker_count;
	struct mlfq *mlfq = aligned_alloc(64, sizeof(*mlfq));
	if (!mlfq)
		return -ENOMEM;
	*mlfq = (struct mlfq){.levels = (unsigned)shunt_value_int(values, "levels"),
		.base_ns = shunt_value_int(values, "base"),
		.period_ns = shunt_value_int(values, "boost")};
	mlfq->boost_at_ns = mlfq->period_ns ? shunt_now_ns() + mlfq->period_ns : SHUNT_NEVER;
	*state = mlfq;
	return 0;
}

static void mlfq_close(void *state)
{
	free(state);
}

/* ---- the levels ------------------------------------------------------------------------------ */

static inline uint32_t ready_levels(const struct mlfq *mlfq)
{
	/* Relaxed: the fences of the idle protocol order it; the lock where it decides
	 * [mlfq:ready]. */
	return __atomic_load_n(&mlfq->ready, __ATOMIC_RELAXED);
}

static inline void set_ready(struct mlfq *mlfq, uint32_t levels)
{
	/* Relaxed: others read only a hint of what is ready [mlfq:ready]. */
	__atomic_store_n(&mlfq->ready, levels, __ATOMIC_RELAXED);
}

/* The task's own part, on level 0 with nothing used if there was a boost since. */
static inline struct mlfq_task part_of(const struct mlfq *mlfq, const struct shunt_task *task)
{
	struct mlfq_task part = shunt_policy_task(task, struct mlfq_task);
	/* Relaxed: a boost that comes meanwhile counts at the next look [mlfq:boosts]. */
	uint16_t boosts = __atomic_load_n(&mlfq->boosts, __ATOMIC_RELAXED);
	return part.boosts == boosts ? part : (struct mlfq_task){.boosts = boosts};
}

static inline int64_t allotment_ns(const struct mlfq *mlfq, unsigned level)
{
	return mlfq->base_ns << level;
}

static void append(struct shunt_queue *queue, struct shunt_queue *more)
{
	if (shunt_queue_empty(more))
		return;
	if (shunt_queue_empty(queue))
		shunt_queue_set_head(queue, more->head);
	else
		queue->tail->next = more->head;
	queue->tail = more->tail;
	shunt_queue_set_head(more, NULL);
}

/* All ready tasks go to level 0, in the order of their levels; the others by the number of
 * boosts. */
static SHUNT_SLOW void boost(struct mlfq *mlfq, int64_t now_ns, bool many)
{
	shunt_spin_lock(&mlfq->lock, many);
	if (now_ns >= mlfq->boost_at_ns) {
		for (unsigned level = 1; level < mlfq->levels; level++)
			append(&mlfq->level[0], &mlfq->level[level]);
		set_ready(mlfq, mlfq->ready != 0);
		/* Relaxed: under the lock; who reads them without takes either value
		 * [mlfq:boosts] [mlfq:boost_at]. */
		__atomic_store_n(&mlfq->boosts, (uint16_t)(mlfq->boosts + 1), __ATOMIC_RELAXED);
		__atomic_store_n(&mlfq->boost_at_ns, now_ns + mlfq->period_ns, __ATOMIC_RELAXED);
	}
	shunt_spin_unlock(&mlfq->lock, many);
}

/* ---- the hooks ------------------------------------------------------------------------------- */

static inline int64_t mlfq_key(const struct shunt_attr *attr)
{
	(void)attr;
	return 0;
}

SHUNT_INLINE void mlfq_enqueue(struct shunt_worker *worker, struct shunt_task *task, unsigned why)
{
	(void)why;
	struct mlfq *mlfq = worker->policy_shared;
	shunt_spin_lock(&mlfq->lock, worker->ctx.many);
	unsigned level = part_of(mlfq, task).level;
	shunt_queue_push(&mlfq->level[level], task);
	set_ready(mlfq, mlfq->ready | UINT32_C(1) << level);
	shunt_spin_unlock(&mlfq->lock, worker->ctx.many);
	if (level < part_of(mlfq, worker->ctx.current).level)
		shunt_more_urgent(worker);
}

SHUNT_INLINE struct shunt_task *mlfq_pick(struct shunt_worker *worker, struct shunt_task *current)
{
	struct mlfq *mlfq = worker->policy_shared;
	struct shunt_task *next = current;
	if (!ready_levels(mlfq))
		return current;
	shunt_spin_lock(&mlfq->lock, worker->ctx.many);
	uint32_t ready = mlfq->ready;
	unsigned level = ready ? (unsigned)__builtin_ctz(ready) : MLFQ_LEVELS;
	if (ready && (!current || level <= part_of(mlfq, current).level)) {
		next = shunt_queue_pop(&mlfq->level[level]);
		if (shunt_queue_empty(&mlfq->level[level]))
			set_ready(mlfq, ready & (ready - 1));
	}
	shunt_spin_unlock(&mlfq->lock, worker->ctx.many);
	return next;
}

static bool mlfq_has_ready(const struct shunt_worker *worker)
{
	return ready_levels(worker->policy_shared) != 0;
}

static bool mlfq_preempts(struct shunt_worker *worker, const struct shunt_task *current)
{
	const struct mlfq *mlfq = worker->policy_shared;
	uint32_t ready = ready_levels(mlfq);
	return ready && __builtin_ctz(ready) < part_of(mlfq, current).level;
}

/* On the last level, where nothing is used up, the whole. */
static int64_t mlfq_quantum(struct shunt_worker *worker, const struct shunt_task *task)
{
	const struct mlfq *mlfq = worker->policy_shared;
	struct mlfq_task part = part_of(mlfq, task);
	return allotment_ns(mlfq, part.level) - part.used_ns;
}

/* A task that ran for several allotments moves down as many levels. */
static void mlfq_stopping(struct shunt_worker *worker, struct shunt_task *task)
{
	struct mlfq *mlfq = worker->policy_shared;
	struct mlfq_task part = part_of(mlfq, task);
	int64_t used_ns = part.used_ns + worker->env.ran_ns;
	for (; part.level + 1u < mlfq->levels && used_ns >= allotment_ns(mlfq, part.level);
		part.level++)
		used_ns -= allotment_ns(mlfq, part.level);
	part.used_ns = part.level + 1u < mlfq->levels ? (uint32_t)used_ns : 0;
	shunt_policy_set_task(task, part);
	/* Relaxed: boost looks again under the lock [mlfq:boost_at]. */
	if (worker->env.now_ns >= __atomic_load_n(&mlfq->boost_at_ns, __ATOMIC_RELAXED))
		boost(mlfq, worker->env.now_ns, worker->ctx.many);
}

SHUNT_POLICY_KEYED(mlfq,
	.summary = "feedback levels: a task that has used up its time on one runs on the next",
	.params = mlfq_params, .shared = true, .needs_time = true, .open = mlfq_open,
	.close = mlfq_close, .preempts = mlfq_preempts, .quantum = mlfq_quantum,
	.stopping = mlfq_stopping);
