/* SPDX-License-Identifier: MIT */
/* Who runs next in virtual time: a binary heap by time, and of one time by turn (sim.c). */
#ifndef SHUNT_CORE_ENGINE_SIM_HEAP_H
#define SHUNT_CORE_ENGINE_SIM_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SHUNT_SIM_NOWHERE SIZE_MAX

/* One that may wait for its turn. */
struct shunt_sim_seat {
	int64_t until_ns; /* when it runs next, if it is in the heap */
	uint64_t turn;    /* of those at one time, who is first */
	size_t at;        /* in the heap, or SHUNT_SIM_NOWHERE */
};

struct shunt_sim_heap {
	struct shunt_sim_seat **seat; /* has room for all */
	size_t count;
	uint64_t turns;
};

static inline bool shunt_sim_before(const struct shunt_sim_seat *a, const struct shunt_sim_seat *b)
{
	return a->until_ns != b->until_ns ? a->until_ns < b->until_ns : a->turn < b->turn;
}

static inline void shunt_sim_put(struct shunt_sim_heap *heap, struct shunt_sim_seat *one, size_t at)
{
	heap->seat[at] = one;
	one->at = at;
}

static inline void shunt_sim_sift_up(struct shunt_sim_heap *heap, struct shunt_sim_seat *one,
	size_t at)
{
	for (; at && shunt_sim_before(one, heap->seat[(at - 1) / 2]); at = (at - 1) / 2)
		shunt_sim_put(heap, heap->seat[(at - 1) / 2], at);
	shunt_sim_put(heap, one, at);
}

static inline void shunt_sim_sift_down(struct shunt_sim_heap *heap, struct shunt_sim_seat *one,
	size_t at)
{
	for (size_t child; (child = 2 * at + 1) < heap->count; at = child) {
		if (child + 1 < heap->count &&
			shunt_sim_before(heap->seat[child + 1], heap->seat[child]))
			child++;
		if (!shunt_sim_before(heap->seat[child], one))
			break;
		shunt_sim_put(heap, heap->seat[child], at);
	}
	shunt_sim_put(heap, one, at);
}

/* It runs at until_ns: new in the heap, or earlier than it was to. */
static inline void shunt_sim_heap_add(struct shunt_sim_heap *heap, struct shunt_sim_seat *one,
	int64_t until_ns)
{
	one->until_ns = until_ns;
	one->turn = heap->turns++;
	shunt_sim_sift_up(heap, one, one->at == SHUNT_SIM_NOWHERE ? heap->count++ : one->at);
}

/* The first, of at least one. */
static inline struct shunt_sim_seat *shunt_sim_heap_take(struct shunt_sim_heap *heap)
{
	struct shunt_sim_seat *first = heap->seat[0], *last = heap->seat[--heap->count];
	if (last != first)
		shunt_sim_sift_down(heap, last, 0);
	first->at = SHUNT_SIM_NOWHERE;
	return first;
}

#endif
