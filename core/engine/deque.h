/* SPDX-License-Identifier: MIT */
/*
 * A work-stealing deque: its owner pushes and takes at the bottom, thieves take at the top.
 *
 * Chase and Lev, Dynamic Circular Work-Stealing Deque (SPAA 2005), with the orders of Lê, Pop,
 * Cohen and Zappa Nardelli (PPoPP 2013), written with sequentially consistent accesses in place of
 * their fences: on x86 the one expensive instruction stays (an exchange instead of a fence), and
 * ThreadSanitizer, which models no fences, can follow. The published resize is mended as
 * CDSChecker's authors found necessary: a thief reads the buffer after top, and old buffers live as
 * long as the deque.
 *
 *   1. Only the owner changes bottom, and only a successful compare-and-swap changes top.
 *   2. Elements [top, bottom) are valid. A push writes the element before it releases bottom.
 *   3. take() announces bottom - 1 before it reads top; steal() reads top before bottom. All four
 *      are in one order (seq_cst), so for the last element at least one sees the other; then the
 *      compare-and-swap on top decides.
 *   4. A thief reads the element before its compare-and-swap: if that succeeds, top had not moved,
 *      so the slot had not been reused.
 *
 * Without thieves the owner's take() needs none of this, and mostly it has no thief. So a thief
 * first attaches: it counts itself in `thieves` and then has a fence put into the owner
 * (barrier.h). take() announces bottom - 1 and then reads `thieves`, in program order.
 *   5. If it found 0, the announcement came before the fence of any thief that attaches later, so
 *      that thief sees it; and the owner sees the last top of any thief that has left (detach
 *      releases). So thieves take only what is below the announced bottom, and the element is the
 *      owner's alone, even the last one: no locked instruction.
 *   6. If it found another number, 3 holds.
 * With fence=full, thieves is never 0.
 *
 * A queue in which the owner too takes at the top alone, first in first out (take_oldest), needs no
 * attaching: of all who take, the compare-and-swap decides. Only there may several be stolen at
 * once.
 */
#ifndef SHUNT_CORE_ENGINE_DEQUE_H
#define SHUNT_CORE_ENGINE_DEQUE_H

#include "core/engine/barrier.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

/* Inlined into each policy's hooks, however many these are: as calls they cost a yield 30 %. */
#define SHUNT_DEQUE_HOT   static inline __attribute__((always_inline))
#define SHUNT_DEQUE_FIRST 256 /* elements of the first buffer; a power of two */

struct shunt_deque_buffer {
	struct shunt_deque_buffer *older; /* kept for thieves that may still read it */
	size_t mask;
	_Atomic(void *) element[]; /* guarded by the order of top and bottom [deque:top] */
};

struct shunt_deque {
	_Atomic int64_t bottom;                      /* [deque:bottom] */
	_Atomic(struct shunt_deque_buffer *) buffer; /* [deque:buffer] */
	_Alignas(64) _Atomic int64_t top;            /* [deque:top] */
	_Atomic unsigned thieves;                    /* [deque:thieves] that may steal now */
};

static inline struct shunt_deque_buffer *shunt_deque_buffer_new(size_t capacity)
{
	struct shunt_deque_buffer *buffer =
		malloc(sizeof(*buffer) + capacity * sizeof(buffer->element[0]));
	if (buffer) {
		buffer->older = NULL;
		buffer->mask = capacity - 1;
	}
	return buffer;
}

/* fenced: the owner is to reckon with thieves at any time, attached or not. 0 or -ENOMEM. */
static inline int shunt_deque_init(struct shunt_deque *deque, bool fenced)
{
	struct shunt_deque_buffer *buffer = shunt_deque_buffer_new(SHUNT_DEQUE_FIRST);
	if (!buffer)
		return -ENOMEM;
	atomic_init(&deque->bottom, 0);
	atomic_init(&deque->top, 0);
	atomic_init(&deque->thieves, fenced);
	atomic_init(&deque->buffer, buffer);
	return 0;
}

static inline void shunt_deque_fini(struct shunt_deque *deque)
{
	/* Relaxed: no thief is left. */
	struct shunt_deque_buffer *buffer =
		atomic_load_explicit(&deque->buffer, memory_order_relaxed);
	while (buffer) {
		struct shunt_deque_buffer *older = buffer->older;
		free(buffer);
		buffer = older;
	}
}

/* A buffer twice as large; the elements keep their indices. Owner only. NULL: no memory. */
static __attribute__((noinline, cold, unused)) struct shunt_deque_buffer *
shunt_deque_grow(struct shunt_deque *deque, struct shunt_deque_buffer *old, int64_t top,
	int64_t bottom)
{
	struct shunt_deque_buffer *buffer = shunt_deque_buffer_new((old->mask + 1) * 2);
	if (!buffer)
		return NULL;
	/* Relaxed: the owner's own elements; published by the release below. */
	for (int64_t i = top; i < bottom; i++)
		atomic_store_explicit(&buffer->element[(size_t)i & buffer->mask],
			atomic_load_explicit(&old->element[(size_t)i & old->mask],
				memory_order_relaxed),
			memory_order_relaxed);
	buffer->older = old;
	/* Release pairs with the acquire in steal [deque:buffer]: a thief that sees the new buffer
	 * sees its elements. */
	atomic_store_explicit(&deque->buffer, buffer, memory_order_release);
	return buffer;
}

/* 0, or -ENOMEM when the deque is full and cannot grow. Context: the owner. */
SHUNT_DEQUE_HOT int shunt_deque_push(struct shunt_deque *deque, void *element)
{
	/* Relaxed: only the owner writes bottom and buffer. */
	int64_t bottom = atomic_load_explicit(&deque->bottom, memory_order_relaxed);
	struct shunt_deque_buffer *buffer =
		atomic_load_explicit(&deque->buffer, memory_order_relaxed);
	/* Acquire pairs with the compare-and-swap of a thief [deque:top]: it has read the element
	 * whose slot is used again. */
	int64_t top = atomic_load_explicit(&deque->top, memory_order_acquire);
	if (__builtin_expect(bottom - top > (int64_t)buffer->mask, 0)) {
		buffer = shunt_deque_grow(deque, buffer, top, bottom);
		if (!buffer)
			return -ENOMEM;
	}
	/* Relaxed: published by the release of bottom. */
	atomic_store_explicit(&buffer->element[(size_t)bottom & buffer->mask], element,
		memory_order_relaxed);
	/* Release pairs with the load in steal [deque:bottom]: the element, and the task behind
	 * it. */
	atomic_store_explicit(&deque->bottom, bottom + 1, memory_order_release);
	return 0;
}

/* The newest element, or NULL. Context: the owner. */
SHUNT_DEQUE_HOT void *shunt_deque_take(struct shunt_deque *deque)
{
	/* Relaxed: only the owner writes bottom and buffer. */
	int64_t bottom = atomic_load_explicit(&deque->bottom, memory_order_relaxed);
	/* Relaxed: empty for the owner means empty; top only grows. */
	if (bottom == atomic_load_explicit(&deque->top, memory_order_relaxed))
		return NULL;
	struct shunt_deque_buffer *buffer =
		atomic_load_explicit(&deque->buffer, memory_order_relaxed);
	bottom--;
	/* Relaxed: a thief that attaches sees it by its fence, and one that has is met below. */
	atomic_store_explicit(&deque->bottom, bottom, memory_order_relaxed);
	shunt_barrier_frequent(false);
	/* Acquire pairs with detach [deque:thieves]: the last top of thieves that have left. */
	if (__builtin_expect(!atomic_load_explicit(&deque->thieves, memory_order_acquire), 1)) {
		/* Relaxed: ordered as said in 5; the owner wrote the element. */
		if (atomic_load_explicit(&deque->top, memory_order_relaxed) <= bottom)
			return atomic_load_explicit(&buffer->element[(size_t)bottom & buffer->mask],
				memory_order_relaxed);
		atomic_store_explicit(&deque->bottom, bottom + 1, memory_order_relaxed);
		return NULL;
	}
	/* Sequentially consistent: forbids that top is read before our claim on the last element is
	 * seen; pairs with steal [deque:bottom] [deque:top]. */
	atomic_store_explicit(&deque->bottom, bottom, memory_order_seq_cst);
	int64_t top = atomic_load_explicit(&deque->top, memory_order_seq_cst);
	if (top > bottom) {
		/* Relaxed: empty; nothing is published. */
		atomic_store_explicit(&deque->bottom, bottom + 1, memory_order_relaxed);
		return NULL;
	}
	/* Relaxed: the owner wrote it. */
	void *element = atomic_load_explicit(&buffer->element[(size_t)bottom & buffer->mask],
		memory_order_relaxed);
	if (top == bottom) {
		/* Sequentially consistent: decides against the thieves of the last element
		 * [deque:top]. */
		if (!atomic_compare_exchange_strong_explicit(&deque->top, &top, top + 1,
			    memory_order_seq_cst, memory_order_relaxed))
			element = NULL;
		/* Relaxed: empty; nothing is published. */
		atomic_store_explicit(&deque->bottom, bottom + 1, memory_order_relaxed);
	}
	return element;
}

/* The caller may no longer steal from the deque that it attached to, if any. */
static inline void shunt_deque_detach(_Atomic unsigned **attached)
{
	/* Release pairs with the acquire in take [deque:thieves]: what we did to top. */
	if (*attached)
		atomic_fetch_sub_explicit(*attached, 1, memory_order_release);
	*attached = NULL;
}

/* The caller may steal until it detaches or attaches elsewhere; *attached is its own note of where.
 * full: fence=full. Any thread but the owner. */
static inline void shunt_deque_attach(struct shunt_deque *deque, _Atomic unsigned **attached,
	bool full)
{
	if (full || *attached == &deque->thieves)
		return;
	shunt_deque_detach(attached);
	/* Relaxed: the fence that follows publishes it to the owner [deque:thieves]. */
	atomic_fetch_add_explicit(&deque->thieves, 1, memory_order_relaxed);
	shunt_barrier_rare(false);
	*attached = &deque->thieves;
}

/* The oldest element, or NULL: none, or another took it first (*lost is then set). Attached
 * threads; any thread where the owner takes at the top alone. */
SHUNT_DEQUE_HOT void *shunt_deque_steal(struct shunt_deque *deque, bool *lost)
{
	/* Sequentially consistent: forbids that bottom is read before top; pairs with take
	 * [deque:top] [deque:bottom]. */
	int64_t top = atomic_load_explicit(&deque->top, memory_order_seq_cst);
	int64_t bottom = atomic_load_explicit(&deque->bottom, memory_order_seq_cst);
	if (top >= bottom)
		return NULL;
	/* Acquire pairs with grow [deque:buffer]. */
	struct shunt_deque_buffer *buffer =
		atomic_load_explicit(&deque->buffer, memory_order_acquire);
	/* Relaxed: valid only if the compare-and-swap succeeds, which says that top had not
	 * moved. */
	void *element = atomic_load_explicit(&buffer->element[(size_t)top & buffer->mask],
		memory_order_relaxed);
	/* Sequentially consistent: decides against the owner and other thieves [deque:top]. */
	if (!atomic_compare_exchange_strong_explicit(&deque->top, &top, top + 1,
		    memory_order_seq_cst, memory_order_relaxed)) {
		*lost = true;
		return NULL;
	}
	return element;
}

/* The oldest element, for the owner: tries again when a thief was faster. */
SHUNT_DEQUE_HOT void *shunt_deque_take_oldest(struct shunt_deque *deque, bool thieves)
{
	/* Relaxed: our own bottom; a top out of date is found out by the compare-and-swap. */
	int64_t top = atomic_load_explicit(&deque->top, memory_order_relaxed);
	if (top == atomic_load_explicit(&deque->bottom, memory_order_relaxed))
		return NULL;
	if (!thieves) {
		/* Relaxed: nobody else looks. */
		atomic_store_explicit(&deque->top, top + 1, memory_order_relaxed);
		struct shunt_deque_buffer *buffer =
			atomic_load_explicit(&deque->buffer, memory_order_relaxed);
		return atomic_load_explicit(&buffer->element[(size_t)top & buffer->mask],
			memory_order_relaxed);
	}
	for (;;) {
		bool lost = false;
		void *element = shunt_deque_steal(deque, &lost);
		if (element || !lost)
			return element;
	}
}

/* Half of the elements, the oldest, at most `most` of them; how many. 0: none, or another was
 * first. Only where the owner takes at the top alone. Any thread. */
static inline size_t shunt_deque_steal_half(struct shunt_deque *deque, void **into, size_t most)
{
	/* Acquire pairs with itself [deque:top] and with push [deque:bottom]. */
	int64_t top = atomic_load_explicit(&deque->top, memory_order_acquire);
	int64_t bottom = atomic_load_explicit(&deque->bottom, memory_order_acquire);
	if (top >= bottom)
		return 0;
	size_t count = (size_t)(bottom - top + 1) / 2;
	count = count < most ? count : most;
	/* Acquire pairs with grow [deque:buffer]. */
	struct shunt_deque_buffer *buffer =
		atomic_load_explicit(&deque->buffer, memory_order_acquire);
	/* Relaxed: valid only if the compare-and-swap succeeds, as in steal. */
	for (size_t i = 0; i < count; i++)
		into[i] = atomic_load_explicit(&buffer->element[((size_t)top + i) & buffer->mask],
			memory_order_relaxed);
	/* Acquire-release: a push that sees the new top may use the slots again [deque:top]. */
	bool mine = atomic_compare_exchange_strong_explicit(&deque->top, &top, top + (int64_t)count,
		memory_order_acq_rel, memory_order_relaxed);
	return mine ? count : 0;
}

/* The element `ahead` places behind the oldest, or NULL: a hint for prefetching. Context: the
 * owner. */
SHUNT_DEQUE_HOT void *shunt_deque_peek(const struct shunt_deque *deque, int64_t ahead)
{
	/* Relaxed: a hint. */
	int64_t at = atomic_load_explicit(&deque->top, memory_order_relaxed) + ahead;
	if (at >= atomic_load_explicit(&deque->bottom, memory_order_relaxed))
		return NULL;
	struct shunt_deque_buffer *buffer =
		atomic_load_explicit(&deque->buffer, memory_order_relaxed);
	return atomic_load_explicit(&buffer->element[(size_t)at & buffer->mask],
		memory_order_relaxed);
}

/* The oldest element, or NULL: none, or it was taken meanwhile; it may have been taken since. Any
 * thread. A buffer holds what lay from its publisher's top on, and all that was pushed later. That
 * top has not moved since we have the buffer says that its publisher's was not beyond ours. */
static inline void *shunt_deque_oldest(const struct shunt_deque *deque)
{
	/* Acquire pairs with itself [deque:top], with push [deque:bottom] and with grow
	 * [deque:buffer]. */
	int64_t top = atomic_load_explicit(&deque->top, memory_order_acquire);
	int64_t bottom = atomic_load_explicit(&deque->bottom, memory_order_acquire);
	if (top >= bottom)
		return NULL;
	struct shunt_deque_buffer *buffer =
		atomic_load_explicit(&deque->buffer, memory_order_acquire);
	/* Acquire: forbids that top is read again before it [deque:top]; looked at only if that has
	 * not moved. */
	void *element = atomic_load_explicit(&buffer->element[(size_t)top & buffer->mask],
		memory_order_acquire);
	return atomic_load_explicit(&deque->top, memory_order_relaxed) == top ? element : NULL;
}

/* Elements now; exact only for the owner without thieves. Any thread. */
static inline int64_t shunt_deque_count(const struct shunt_deque *deque)
{
	/* Relaxed: a guess, or ordered by the fences of the idle protocol. */
	int64_t bottom = atomic_load_explicit(&deque->bottom, memory_order_relaxed);
	int64_t top = atomic_load_explicit(&deque->top, memory_order_relaxed);
	return bottom > top ? bottom - top : 0;
}

#endif
