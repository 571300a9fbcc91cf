/* SPDX-License-Identifier: MIT */
/*
 * A queue of ready tasks in order of their keys, one for all workers: what `edf`, `srpt` and
 * `eevdf` are made of.
 *
 * A binary heap of {key, order of arrival, task}: the smallest key first, equal ones first in,
 * first out, in O(log n). Key and arrival stand in the heap, so that sifting does not touch the
 * tasks. One queue behind one lock (c-EDF, c-SRPT): with a queue for each worker the order would be
 * that of the worker which a task happens to be on. The lock is not taken where one worker works.
 *
 * Room is made while tasks are spawned (shunt_policy.reserve), for every descriptor that there is,
 * so that an enqueue never fails and never allocates. Who spawns may be a thread that is no worker,
 * while the only worker sifts without a lock: so the larger heap is only laid ready (`larger`), and
 * whoever enqueues what the old one has no place for moves into it. It is there by then: of more
 * tasks than the old one holds, all queued, one was spawned after the larger one was laid ready,
 * and enqueued before.
 */
#ifndef SHUNT_CORE_ENGINE_KEYED_H
#define SHUNT_CORE_ENGINE_KEYED_H

#include "core/engine/policy.h"

#include <stdlib.h>
#include <string.h>

#define SHUNT_KEY_LAST INT64_MAX /* after all others: nothing is known of the task */

struct shunt_keyed_entry {
	int64_t key;
	uint64_t arrival;
	struct shunt_task *task;
};

struct shunt_keyed_heap {
	size_t capacity;
	struct shunt_keyed_entry entry[];
};

struct shunt_keyed {
	_Alignas(64) int lock; /* [waiters:lock] */
	size_t count;          /* changed under the lock, read without [keyed:count] */
	size_t capacity;       /* of the heap */
	uint64_t arrivals;
	struct shunt_keyed_heap *heap;
	struct shunt_keyed_heap *larger; /* [keyed:larger] to move into; NULL: none */
	size_t reserved;                 /* the capacity of the last one that was made */
};

static inline int shunt_keyed_open(void **state, const struct shunt_values *values,
	unsigned worker_count)
{
	(void)values, (void)worker_count;
	struct shunt_keyed *keyed = aligned_alloc(64, sizeof(*keyed));
	if (!keyed)
		return -ENOMEM;
	*keyed = (struct shunt_keyed){.lock = 0};
	*state = keyed;
	return 0;
}

static inline void shunt_keyed_fini(struct shunt_keyed *keyed)
{
	free(keyed->heap);
	free(keyed->larger);
}

static inline void shunt_keyed_close(void *state)
{
	shunt_keyed_fini(state);
	free(state);
}

/* Twice the room if need be. The queue may be in use meanwhile: nothing of it is touched. */
static inline int shunt_keyed_reserve(void *state, uint64_t tasks)
{
	struct shunt_keyed *keyed = state;
	if (tasks <= keyed->reserved)
		return 0;
	size_t capacity = keyed->reserved ? keyed->reserved * 2 : 256;
	while (capacity < tasks)
		capacity *= 2;
	struct shunt_keyed_heap *heap = malloc(sizeof(*heap) + capacity * sizeof(heap->entry[0]));
	if (!heap)
		return -ENOMEM;
	heap->capacity = keyed->reserved = capacity;
	/* Acquire-release pairs with itself and with move [keyed:larger]: who takes a heap sees it
	 * whole, and one that nobody has taken is freed here. */
	free(__atomic_exchange_n(&keyed->larger, heap, __ATOMIC_ACQ_REL));
	return 0;
}

/* Into the larger heap. Context: as insert. */
static __attribute__((noinline, cold, unused)) void shunt_keyed_move(struct shunt_keyed *keyed)
{
	/* Acquire pairs with reserve [keyed:larger]. */
	struct shunt_keyed_heap *larger =
		__atomic_exchange_n(&keyed->larger, NULL, __ATOMIC_ACQUIRE);
	SHUNT_ASSERT(larger && larger->capacity > keyed->count);
	if (keyed->heap)
		memcpy(larger->entry, keyed->heap->entry, keyed->count * sizeof(larger->entry[0]));
	free(keyed->heap);
	keyed->heap = larger;
	keyed->capacity = larger->capacity;
}

static inline bool shunt_keyed_before(const struct shunt_keyed_entry *a,
	const struct shunt_keyed_entry *b)
{
	return a->key != b->key ? a->key < b->key : a->arrival < b->arrival;
}

static inline void shunt_keyed_set_count(struct shunt_keyed *keyed, size_t count)
{
	/* Relaxed: only emptiness is read by others [keyed:count]. */
	__atomic_store_n(&keyed->count, count, __ATOMIC_RELAXED);
}

static inline bool shunt_keyed_empty(const struct shunt_keyed *keyed)
{
	/* Relaxed: the fences of the idle protocol order it [keyed:count]. */
	return __atomic_load_n(&keyed->count, __ATOMIC_RELAXED) == 0;
}

/* Context: the lock is held. */
static inline void shunt_keyed_insert_at(struct shunt_keyed *keyed, struct shunt_task *task,
	int64_t key)
{
	struct shunt_keyed_entry entry = {key, keyed->arrivals++, task};
	size_t at = keyed->count;
	if (SHUNT_UNLIKELY(at == keyed->capacity))
		shunt_keyed_move(keyed);
	struct shunt_keyed_entry *heap = keyed->heap->entry;
	shunt_keyed_set_count(keyed, at + 1);
	for (size_t parent; at > 0; at = parent) {
		parent = (at - 1) / 2;
		if (shunt_keyed_before(&heap[parent], &entry))
			break;
		heap[at] = heap[parent];
	}
	heap[at] = entry;
}

/* The first one's key. Context: the lock is held, the queue is not empty. */
static inline int64_t shunt_keyed_first(const struct shunt_keyed *keyed)
{
	return keyed->heap->entry[0].key;
}

/* The first one. Context: the lock is held, the queue is not empty. */
static inline struct shunt_task *shunt_keyed_remove(struct shunt_keyed *keyed)
{
	struct shunt_keyed_entry *heap = keyed->heap->entry;
	struct shunt_task *task = heap[0].task;
	size_t count = keyed->count - 1, at = 0;
	struct shunt_keyed_entry last = heap[count];
	shunt_keyed_set_count(keyed, count);
	for (size_t child; (child = 2 * at + 1) < count; at = child) {
		if (child + 1 < count && shunt_keyed_before(&heap[child + 1], &heap[child]))
			child++;
		if (shunt_keyed_before(&last, &heap[child]))
			break;
		heap[at] = heap[child];
	}
	heap[at] = last;
	return task;
}

/* ---- the hooks ------------------------------------------------------------------------------- */

SHUNT_INLINE void shunt_keyed_enqueue(struct shunt_worker *worker, struct shunt_task *task,
	unsigned why)
{
	(void)why;
	struct shunt_keyed *keyed = worker->policy_shared;
	int64_t key = task->key; /* once unlocked it may be another worker's */
	shunt_spin_lock(&keyed->lock, worker->ctx.many);
	shunt_keyed_insert_at(keyed, task, key);
	shunt_spin_unlock(&keyed->lock, worker->ctx.many);
	if (key < worker->ctx.current->key)
		shunt_more_urgent(worker);
}

/* A yielding task goes on before those with a larger key, and after those with its own. */
SHUNT_INLINE struct shunt_task *shunt_keyed_pick(struct shunt_worker *worker,
	struct shunt_task *current)
{
	struct shunt_keyed *keyed = worker->policy_shared;
	struct shunt_task *next = current;
	if (shunt_keyed_empty(keyed))
		return current;
	shunt_spin_lock(&keyed->lock, worker->ctx.many);
	if (keyed->count && (!current || shunt_keyed_first(keyed) <= current->key))
		next = shunt_keyed_remove(keyed);
	shunt_spin_unlock(&keyed->lock, worker->ctx.many);
	return next;
}

static inline bool shunt_keyed_has_ready(const struct shunt_worker *worker)
{
	return !shunt_keyed_empty(worker->policy_shared);
}

static inline bool shunt_keyed_preempts(struct shunt_worker *worker,
	const struct shunt_task *current)
{
	struct shunt_keyed *keyed = worker->policy_shared;
	shunt_spin_lock(&keyed->lock, worker->ctx.many);
	bool preempts = keyed->count && shunt_keyed_first(keyed) < current->key;
	shunt_spin_unlock(&keyed->lock, worker->ctx.many);
	return preempts;
}

/*
 * The whole of a policy `edf` that orders by edf_key(attr), but for what it adds:
 *
 *     SHUNT_POLICY_IN_ORDER(edf, .summary = "…");
 */
#define SHUNT_POLICY_IN_ORDER(P, ...)                                                              \
	SHUNT_INLINE void P##_enqueue(struct shunt_worker *worker, struct shunt_task *task,        \
		unsigned why)                                                                      \
	{                                                                                          \
		shunt_keyed_enqueue(worker, task, why);                                            \
	}                                                                                          \
	SHUNT_INLINE struct shunt_task *P##_pick(struct shunt_worker *worker,                      \
		struct shunt_task *current)                                                        \
	{                                                                                          \
		return shunt_keyed_pick(worker, current);                                          \
	}                                                                                          \
	static bool P##_has_ready(const struct shunt_worker *worker)                               \
	{                                                                                          \
		return shunt_keyed_has_ready(worker);                                              \
	}                                                                                          \
	SHUNT_POLICY_KEYED(P, .shared = true, .open = shunt_keyed_open,                            \
		.close = shunt_keyed_close, .reserve = shunt_keyed_reserve,                        \
		.preempts = shunt_keyed_preempts, __VA_ARGS__)

#endif
