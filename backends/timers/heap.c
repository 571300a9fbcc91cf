/* SPDX-License-Identifier: MIT */
/*
 * heap: deadlines in a 4-ary heap, held by value.
 *
 * A node's children are 4i + 1 … 4i + 4: half the depth of a binary heap, and four neighbouring
 * entries to compare at each level (LaMarca and Ladner, The Influence of Caches on the
 * Performance of Heaps, 1996). Exact: expire() goes in deadline order, earliest() is a deadline.
 * Arm is O(1) on average and O(log n) at worst, expire O(log n) a timer.
 *
 * A cancelled entry stays as a tombstone. Tombstones are dropped where they surface, and swept
 * when they outnumber the rest: a sweep of n entries is paid for by the n/2 cancels before it.
 * cancelled() only counts, as it may be called from any thread and without the lock; the next
 * call that holds the lock sweeps.
 *
 * The count is an estimate. A cancel that races with the expiry of its own entry is counted after
 * the entry has gone, one that is still on its way is not counted yet; each sweep starts it anew.
 */
#include "core/engine/slots.h"
#include "core/engine/task.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

#define ARITY         4
#define CAPACITY_MIN  64
#define CAPACITY_KEPT 16384 /* entries an empty heap may keep: 384 KiB */
#define SWEEP_MIN     64    /* tombstones worth a sweep */
#define HANDFUL       16    /* entries whose tasks are fetched together */

struct heap {
	struct shunt_timer *entry;
	size_t count;
	size_t capacity;
	uint64_t dropped; /* cancels accounted for */
	/* [heap:cancels] relaxed: it only times a sweep, and liveness is read from the task. */
	_Atomic uint64_t cancels;
};

static int heap_open(void **queue, const struct shunt_values *values)
{
	struct heap *heap = calloc(1, sizeof(*heap));

	(void)values;
	if (heap == NULL)
		return -ENOMEM;
	*queue = heap;
	return 0;
}

static void heap_close(void *queue)
{
	struct heap *heap = queue;

	free(heap->entry);
	free(heap);
}

/* Puts timer at i or nearer the root. */
static void sift_up(struct heap *heap, size_t i, struct shunt_timer timer)
{
	while (i > 0) {
		size_t parent = (i - 1) / ARITY;

		if (heap->entry[parent].deadline_ns <= timer.deadline_ns)
			break;
		heap->entry[i] = heap->entry[parent];
		i = parent;
	}
	heap->entry[i] = timer;
}

static size_t least_child(const struct heap *heap, size_t first)
{
	size_t end = first + ARITY < heap->count ? first + ARITY : heap->count;
	size_t least = first;

	for (size_t i = first + 1; i < end; i++)
		least = heap->entry[i].deadline_ns < heap->entry[least].deadline_ns ? i : least;
	return least;
}

/* Puts timer at i or further from the root. */
static void sift_down(struct heap *heap, size_t i, struct shunt_timer timer)
{
	for (;;) {
		size_t child = i * ARITY + 1;

		if (child >= heap->count)
			break;
		child = least_child(heap, child);
		if (timer.deadline_ns <= heap->entry[child].deadline_ns)
			break;
		heap->entry[i] = heap->entry[child];
		i = child;
	}
	heap->entry[i] = timer;
}

static void shrink_when_empty(struct heap *heap)
{
	if (heap->count > 0 || heap->capacity <= CAPACITY_KEPT)
		return;
	free(heap->entry);
	heap->entry = NULL;
	heap->capacity = 0;
}

static void drop_root(struct heap *heap)
{
	struct shunt_timer last = heap->entry[--heap->count];

	if (heap->count > 0)
		sift_down(heap, 0, last);
}

/* Removes every tombstone and orders the rest anew, in O(n). */
static void sweep(struct heap *heap, uint64_t cancels)
{
	size_t kept = 0;

	for (size_t i = 0; i < heap->count; i++)
		if (shunt_timer_is_live(&heap->entry[i]))
			heap->entry[kept++] = heap->entry[i];
	heap->count = kept;
	heap->dropped = cancels;
	if (kept > 1)
		for (size_t i = (kept - 2) / ARITY + 1; i-- > 0;)
			sift_down(heap, i, heap->entry[i]);
}

static void sweep_if_due(struct heap *heap)
{
	/* Relaxed: see [heap:cancels]. */
	uint64_t cancels = atomic_load_explicit(&heap->cancels, memory_order_relaxed);
	int64_t tombstones = (int64_t)(cancels - heap->dropped);

	if (tombstones >= SWEEP_MIN && (uint64_t)tombstones > heap->count / 2)
		sweep(heap, cancels);
}

static int grow(struct heap *heap)
{
	size_t capacity = heap->capacity > 0 ? heap->capacity * 2 : CAPACITY_MIN;
	struct shunt_timer *entry;

	if (capacity > SIZE_MAX / sizeof(*entry))
		return -ENOMEM;
	entry = realloc(heap->entry, capacity * sizeof(*entry));
	if (entry == NULL)
		return -ENOMEM;
	heap->entry = entry;
	heap->capacity = capacity;
	return 0;
}

static int heap_arm(void *queue, const struct shunt_timer *timer)
{
	struct heap *heap = queue;

	sweep_if_due(heap);
	if (heap->count == heap->capacity) {
		int code = grow(heap);

		if (code != 0)
			return code;
	}
	sift_up(heap, heap->count++, *timer);
	return 0;
}

static void heap_cancelled(void *queue)
{
	struct heap *heap = queue;

	/* Relaxed: see [heap:cancels]. */
	atomic_fetch_add_explicit(&heap->cancels, 1, memory_order_relaxed);
}

/* Takes up to `room` due entries out. Whether they are live is in their tasks, which come into the
 * cache meanwhile, all at once. */
static size_t take_due(struct heap *heap, int64_t now_ns, struct shunt_timer *due, size_t room)
{
	size_t count = 0;

	while (count < room && heap->count > 0 && heap->entry[0].deadline_ns <= now_ns) {
		due[count] = heap->entry[0];
		__builtin_prefetch(due[count++].task, 1);
		drop_root(heap);
	}
	return count;
}

static size_t heap_expire(void *queue, int64_t now_ns, size_t most, shunt_fired_fn *fired,
	void *arg)
{
	struct heap *heap = queue;
	struct shunt_timer due[HANDFUL];
	size_t called = 0, count = 1;

	while (called < most && count > 0) {
		count = take_due(heap, now_ns, due,
			most - called < HANDFUL ? most - called : HANDFUL);
		for (size_t i = 0; i < count; i++) {
			if (!shunt_timer_is_live(&due[i])) {
				heap->dropped++;
				continue;
			}
			fired(arg, &due[i]);
			called++;
		}
	}
	shrink_when_empty(heap);
	return called;
}

static int64_t heap_earliest(void *queue)
{
	struct heap *heap = queue;

	sweep_if_due(heap);
	while (heap->count > 0 && !shunt_timer_is_live(&heap->entry[0])) {
		drop_root(heap);
		heap->dropped++;
	}
	shrink_when_empty(heap);
	return heap->count > 0 ? heap->entry[0].deadline_ns : SHUNT_NEVER;
}

static size_t heap_count(const void *queue)
{
	const struct heap *heap = queue;

	return heap->count;
}

const struct shunt_timers shunt_timers_heap = {
	.name = "heap",
	.summary = "4-ary heap: exact, O(log n); cancelled timers are swept when they outnumber "
		   "the rest",
	.open = heap_open,
	.close = heap_close,
	.arm = heap_arm,
	.cancelled = heap_cancelled,
	.expire = heap_expire,
	.earliest = heap_earliest,
	.count = heap_count,
};
