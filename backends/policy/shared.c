/* SPDX-License-Identifier: MIT */
/*
 * shared: one queue for all workers, first in, first out (c-FCFS: centralised first come, first
 * served).
 *
 * No worker idles while a task is ready, and nobody overtakes: the best tail latency of the simple
 * policies as long as tasks are long against the lock, which every enqueue and pick takes. With
 * tiny tasks the lock's cache line is all the machine does.
 */
#include "core/engine/policy.h"

#include <stdlib.h>

struct shared {
	_Alignas(64) int lock; /* [waiters:lock] */
	struct shunt_queue queue;
};

static int shared_open(void **state, const struct shunt_values *values, unsigned worker_count)
{
	(void)values, (void)worker_count;
	struct shared *shared = aligned_alloc(64, sizeof(*shared));
	if (!shared)
		return -ENOMEM;
	*shared = (struct shared){.lock = 0};
	*state = shared;
	return 0;
}

static void shared_close(void *state)
{
	free(state);
}

SHUNT_INLINE void shared_enqueue(struct shunt_worker *worker, struct shunt_task *task, unsigned why)
{
	(void)why;
	struct shared *shared = worker->policy_shared;
	shunt_spin_lock(&shared->lock, worker->ctx.many);
	shunt_queue_push(&shared->queue, task);
	shunt_spin_unlock(&shared->lock, worker->ctx.many);
}

SHUNT_INLINE struct shunt_task *shared_pick(struct shunt_worker *worker, struct shunt_task *current)
{
	struct shared *shared = worker->policy_shared;
	if (shunt_queue_empty(&shared->queue))
		return current;
	shunt_spin_lock(&shared->lock, worker->ctx.many);
	struct shunt_task *next = shunt_queue_pop(&shared->queue);
	shunt_spin_unlock(&shared->lock, worker->ctx.many);
	return next ? next : current;
}

static bool shared_has_ready(const struct shunt_worker *worker)
{
	const struct shared *shared = worker->policy_shared;
	return !shunt_queue_empty(&shared->queue);
}

SHUNT_POLICY(shared, .summary = "one queue for all workers, first in, first out", .shared = true,
	.fifo = true, .open = shared_open, .close = shared_close);
