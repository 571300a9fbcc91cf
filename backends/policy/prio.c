/* SPDX-License-Identifier: MIT */
/*
 * prio: strict classes, 0 the most urgent to 63 the least; first in, first out within each; one set
 * of queues for all workers.
 *
 * The class is the attribute of the spawn, 0 unless set; one above 63 counts as 63. A task never
 * runs while one of a more urgent class is ready, so that the urgent can starve the rest. A bit for
 * each class that has a task ready makes both operations constant. It preempts at checkpoints
 * alone, of many workers as edf; a yield gives way within its class and to more urgent ones.
 */
#include "core/engine/policy.h"

#include <stdlib.h>

enum { PRIO_CLASSES = 64 };

struct prio {
	_Alignas(64) int lock; /* [waiters:lock] */
	uint64_t ready;        /* classes; changed under the lock, read without [prio:ready] */
	struct shunt_queue class[PRIO_CLASSES];
};

static int prio_open(void **state, const struct shunt_values *values, unsigned worker_count)
{
	(void)values, (void)worker_count;
	struct prio *prio = aligned_alloc(64, sizeof(*prio));
	if (!prio)
		return -ENOMEM;
	*prio = (struct prio){.lock = 0};
	*state = prio;
	return 0;
}

static void prio_close(void *state)
{
	free(state);
}

static inline int64_t prio_key(const struct shunt_attr *attr)
{
	unsigned class = attr ? attr->priority : 0;
	return class < PRIO_CLASSES ? class : PRIO_CLASSES - 1;
}

static inline uint64_t ready_classes(const struct prio *prio)
{
	/* Relaxed: the fences of the idle protocol order it; the lock where it decides
	 * [prio:ready]. */
	return __atomic_load_n(&prio->ready, __ATOMIC_RELAXED);
}

static inline void set_ready(struct prio *prio, uint64_t classes)
{
	/* Relaxed: others read only whether there is any [prio:ready]. */
	__atomic_store_n(&prio->ready, classes, __ATOMIC_RELAXED);
}

SHUNT_INLINE void prio_enqueue(struct shunt_worker *worker, struct shunt_task *task, unsigned why)
{
	(void)why;
	struct prio *prio = worker->policy_shared;
	int64_t class = task->key; /* once unlocked it may be another worker's */
	shunt_spin_lock(&prio->lock, worker->ctx.many);
	shunt_queue_push(&prio->class[class], task);
	set_ready(prio, prio->ready | UINT64_C(1) << class);
	shunt_spin_unlock(&prio->lock, worker->ctx.many);
	if (class < worker->ctx.current->key)
		shunt_more_urgent(worker);
}

SHUNT_INLINE struct shunt_task *prio_pick(struct shunt_worker *worker, struct shunt_task *current)
{
	struct prio *prio = worker->policy_shared;
	struct shunt_task *next = current;
	if (!ready_classes(prio))
		return current;
	shunt_spin_lock(&prio->lock, worker->ctx.many);
	uint64_t ready = prio->ready;
	int class = ready ? __builtin_ctzll(ready) : PRIO_CLASSES;
	if (ready && (!current || class <= current->key)) {
		next = shunt_queue_pop(&prio->class[class]);
		if (shunt_queue_empty(&prio->class[class]))
			set_ready(prio, ready & (ready - 1));
	}
	shunt_spin_unlock(&prio->lock, worker->ctx.many);
	return next;
}

static bool prio_has_ready(const struct shunt_worker *worker)
{
	return ready_classes(worker->policy_shared) != 0;
}

static bool prio_preempts(struct shunt_worker *worker, const struct shunt_task *current)
{
	uint64_t ready = ready_classes(worker->policy_shared);
	return ready && __builtin_ctzll(ready) < current->key;
}

SHUNT_POLICY_KEYED(prio, .summary = "strict priority classes, first in, first out within each",
	.shared = true, .open = prio_open, .close = prio_close, .preempts = prio_preempts);
