/* SPDX-License-Identifier: MIT */
/*
 * random: any ready task, each as likely as the other, by the run's seed.
 *
 * For torture: with one worker a seed fixes the whole schedule, and another seed is another one. A
 * task is picked by swapping the last into its place, so that both operations are constant; the
 * array grows when a worker has more tasks ready than ever before. No memory to grow is fatal: an
 * enqueue may not fail.
 */
#include "core/engine/policy.h"

#include <stdlib.h>

struct random_queue {
	struct shunt_task **task;
	size_t count; /* shared for reading [random:count] */
	size_t capacity;
};

static int random_init(struct shunt_worker *worker, const struct shunt_values *values)
{
	(void)values;
	struct random_queue *queue = shunt_policy_state(worker, struct random_queue);
	queue->capacity = 256;
	queue->task = malloc(queue->capacity * sizeof(*queue->task));
	return queue->task ? 0 : -ENOMEM;
}

static void random_fini(struct shunt_worker *worker)
{
	struct random_queue *queue = shunt_policy_state(worker, struct random_queue);
	free(queue->task);
}

static SHUNT_SLOW void grow(struct random_queue *queue)
{
	size_t capacity = queue->capacity * 2;
	struct shunt_task **task = realloc(queue->task, capacity * sizeof(*task));
	if (!task)
		shunt_panic("policy random: out of memory for a queue of %zu tasks", capacity);
	queue->task = task;
	queue->capacity = capacity;
}

static inline void set_count(struct random_queue *queue, size_t count)
{
	/* Relaxed: only emptiness is read by others [random:count]. */
	__atomic_store_n(&queue->count, count, __ATOMIC_RELAXED);
}

SHUNT_INLINE void random_enqueue(struct shunt_worker *worker, struct shunt_task *task, unsigned why)
{
	(void)why;
	struct random_queue *queue = shunt_policy_state(worker, struct random_queue);
	if (SHUNT_UNLIKELY(queue->count == queue->capacity))
		grow(queue);
	queue->task[queue->count] = task;
	set_count(queue, queue->count + 1);
}

SHUNT_INLINE struct shunt_task *random_pick(struct shunt_worker *worker, struct shunt_task *current)
{
	struct random_queue *queue = shunt_policy_state(worker, struct random_queue);
	/* A yielding task is one of the candidates, its place the one past the last. */
	size_t candidates = queue->count + (current != NULL);
	if (!candidates)
		return NULL;
	size_t at = shunt_rng_below(&worker->env.rng, candidates);
	if (at == queue->count)
		return current;
	struct shunt_task *task = queue->task[at];
	queue->task[at] = queue->task[queue->count - 1];
	set_count(queue, queue->count - 1);
	return task;
}

static bool random_has_ready(const struct shunt_worker *worker)
{
	const struct random_queue *queue = shunt_policy_state_of(worker, struct random_queue);
	/* Relaxed: the fences of the idle protocol order it [random:count]. */
	return __atomic_load_n(&queue->count, __ATOMIC_RELAXED) != 0;
}

SHUNT_POLICY(random, .summary = "a random ready task, from the seed: for stress tests",
	.worker_init = random_init, .worker_fini = random_fini);
