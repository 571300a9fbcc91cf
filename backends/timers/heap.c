/* SPDX-License-Identifier: MIT */
/*
 * heap: deadlines in a 4-ary heap, and before it two runs of those that came in order.
 *
 * A node's children are 4i + 1 … 4i + 4: half the depth of a binary heap, and four neighbouring
 * entries to compare at each level (LaMarca and Ladner, The Influence of Caches on the
 * Performance of Heaps, 1996). Exact: expire() goes in deadline order, earliest() is a deadline.
 * Arm is O(1) on average and O(log n) at worst, expire O(log n) a timer.
 *
 * But most timers of a program have one of a few durations, and those of one duration are armed in
 * the order in which they are due. So a timer that is due no earlier than the last of a run (run.h)
 * goes behind it, and comes off its front: O(1). It takes the run whose last is nearest to it,
 * which keeps durations apart. One that fits behind neither goes into the heap, or rather what is
 * alone in a run does, so that a single timer far ahead holds no run up. With 10,000 tasks that
 * sleep 10 ms a timer takes 35 ns instead of 135 (shunt-timers-bench, hold); where deadlines are at
 * random, 4 more. Four runs took 51.
 *
 * A cancelled entry stays as a tombstone. Tombstones are dropped where they surface, and swept
 * when they outnumber the rest: a sweep of n entries is paid for by the n/2 cancels before it.
 * cancelled() only counts, as it may be called from any thread and without the lock; the next
 * call that holds the lock sweeps.
 *
 * The count is an estimate. A cancel that races with the expiry of its own entry is counted after
 * the entry has gone, one that is still on its way is not counted yet; each sweep starts it anew.
 */
#include "backends/timers/run.h"

#include <stdatomic.h>
#include <stdlib.h>

#define ARITY         4
#define RUNS          2
#define CAPACITY_MIN  64
#define CAPACITY_KEPT 16384 /* entries an empty heap may keep: 384 KiB */
#define RUN_KEPT      4096  /* and each run: 96 KiB */
#define SWEEP_MIN     64    /* tombstones worth a sweep */
#define HANDFUL       16    /* entries whose tasks are fetched together */

struct heap {
	struct run run[RUNS];
	struct shunt_timer *entry; /* the heap's own */
	size_t count, capacity;
	size_t held;      /* in all of them */
	uint64_t dropped; /* cancels accounted for */
	/* [heap:cancels] relaxed: it only times a sweep, and liveness is read from the task. */
	_Atomic uint64_t cancels;
};

static int heap_open(void **queue)
{
	struct heap *heap = calloc(1, sizeof(*heap));

	if (heap == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < RUNS; i++)
		run_init(&heap->run[i]);
	*queue = heap;
	return 0;
}

static void heap_close(void *queue)
{
	struct heap *heap = queue;

	for (size_t i = 0; i < RUNS; i++)
		free(heap->run[i].entry);
	free(heap->entry);
	free(heap);
}

/* ---- the heap -------------------------------------------------------------------------------- */

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

static void drop_root(struct heap *heap)
{
	struct shunt_timer last = heap->entry[--heap->count];

	if (heap->count > 0)
		sift_down(heap, 0, last);
}

static void sweep_heap(struct heap *heap)
{
	size_t kept = 0;

	for (size_t i = 0; i < heap->count; i++)
		if (shunt_timer_is_live(&heap->entry[i]))
			heap->entry[kept++] = heap->entry[i];
	heap->count = kept;
	if (kept > 1)
		for (size_t i = (kept - 2) / ARITY + 1; i-- > 0;)
			sift_down(heap, i, heap->entry[i]);
}

/* ---- the runs and the heap ------------------------------------------------------------------- */

/* The run behind which this deadline fits, the nearest to it; RUNS: none. */
static size_t run_for(const struct heap *heap, int64_t deadline_ns)
{
	size_t best = RUNS;

	for (size_t i = 0; i < RUNS; i++)
		if (heap->run[i].last_ns <= deadline_ns &&
			(best == RUNS || heap->run[i].last_ns > heap->run[best].last_ns))
			best = i;
	return best;
}

/* Which queue has the entry that is due first, and when: a run, or RUNS for the heap. RUNS too if
 * all are empty. */
static size_t first_of(const struct heap *heap, int64_t *due_ns)
{
	size_t first = RUNS;

	*due_ns = heap->count > 0 ? heap->entry[0].deadline_ns : SHUNT_NEVER;
	for (size_t i = 0; i < RUNS; i++)
		if (heap->run[i].front_ns < *due_ns) {
			*due_ns = heap->run[i].front_ns;
			first = i;
		}
	return first;
}

static const struct shunt_timer *front_of(const struct heap *heap, size_t which)
{
	return which < RUNS ? run_entry(&heap->run[which], 0) : &heap->entry[0];
}

static void drop_front(struct heap *heap, size_t which)
{
	heap->held--;
	if (which < RUNS)
		run_drop_front(&heap->run[which]);
	else
		drop_root(heap);
}

static void shrink_when_empty(struct heap *heap)
{
	if (heap->held > 0)
		return;
	for (size_t i = 0; i < RUNS; i++)
		run_shrink(&heap->run[i], RUN_KEPT);
	if (heap->capacity <= CAPACITY_KEPT)
		return;
	free(heap->entry);
	heap->entry = NULL;
	heap->capacity = 0;
}

/* Removes every tombstone, in O(n). */
static void sweep(struct heap *heap, uint64_t cancels)
{
	sweep_heap(heap);
	heap->held = heap->count;
	for (size_t i = 0; i < RUNS; i++) {
		run_sweep(&heap->run[i]);
		heap->held += heap->run[i].count;
	}
	heap->dropped = cancels;
}

static void sweep_if_due(struct heap *heap)
{
	/* Relaxed: see [heap:cancels]. */
	uint64_t cancels = atomic_load_explicit(&heap->cancels, memory_order_relaxed);
	int64_t tombstones = (int64_t)(cancels - heap->dropped);

	if (tombstones >= SWEEP_MIN && (uint64_t)tombstones > heap->held / 2)
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

static int push(struct heap *heap, const struct shunt_timer *timer)
{
	int code = heap->count == heap->capacity ? grow(heap) : 0;

	if (code == 0)
		sift_up(heap, heap->count++, *timer);
	return code;
}

/* A run whose only timer is due later than this, now in the heap; RUNS: none. */
static size_t run_freed(struct heap *heap)
{
	for (size_t i = 0; i < RUNS; i++)
		if (heap->run[i].count == 1 && push(heap, run_entry(&heap->run[i], 0)) == 0) {
			run_drop_front(&heap->run[i]);
			return i;
		}
	return RUNS;
}

static int heap_arm(void *queue, const struct shunt_timer *timer)
{
	struct heap *heap = queue;
	size_t which;
	int code;

	sweep_if_due(heap);
	which = run_for(heap, timer->deadline_ns);
	if (which == RUNS)
		which = run_freed(heap);
	code = which < RUNS ? run_append(&heap->run[which], timer) : push(heap, timer);
	if (code == 0)
		heap->held++;
	return code;
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

	while (count < room) {
		int64_t due_ns;
		size_t first = first_of(heap, &due_ns);

		if (due_ns > now_ns)
			break;
		due[count] = *front_of(heap, first);
		__builtin_prefetch(&due[count++].task->word, 1);
		drop_front(heap, first);
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

	int64_t due_ns;

	sweep_if_due(heap);
	for (;;) {
		size_t first = first_of(heap, &due_ns);

		if (due_ns == SHUNT_NEVER || shunt_timer_is_live(front_of(heap, first)))
			break;
		drop_front(heap, first);
		heap->dropped++;
	}
	shrink_when_empty(heap);
	return due_ns;
}

static size_t heap_count(const void *queue)
{
	const struct heap *heap = queue;

	return heap->held;
}

const struct shunt_timers shunt_timers_heap = {
	.name = "heap",
	.summary = "4-ary heap behind sorted runs: exact; O(1) for timers that come in order, else "
		   "O(log n)",
	.open = heap_open,
	.close = heap_close,
	.arm = heap_arm,
	.cancelled = heap_cancelled,
	.expire = heap_expire,
	.earliest = heap_earliest,
	.count = heap_count,
};
