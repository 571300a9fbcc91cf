/* SPDX-License-Identifier: MIT */
/*
 * The lock of sync objects and joins: held for a dozen instructions, never over a switch, and not
 * taken at all with one worker. It spins, then lets the kernel run somebody else, because the
 * holder may be a kernel thread that was preempted.
 */
#ifndef SHUNT_CORE_LOCK_H
#define SHUNT_CORE_LOCK_H

#include "core/turn.h"

#include <stdbool.h>

static inline void shunt_cpu_relax(void)
{
#if defined(__x86_64__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

/* A sequentially consistent fence: it forbids that a load after it is made before a store before it
 * is seen. The caller says which two.
 * ThreadSanitizer does not model fences and says so; ours order flags, never data. */
static inline void shunt_full_fence(void)
{
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wtsan"
#endif
	__atomic_thread_fence(__ATOMIC_SEQ_CST); /* forbids the order described above */
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic pop
#endif
}

/* Out of line: a call, if only in a branch rarely taken, would cost the hot hooks a frame. */
static __attribute__((noinline, cold, unused)) void shunt_spin_wait(const int *lock)
{
	unsigned spins = 0;
	/* Relaxed: only to wait without taking the line; the caller's exchange decides. */
	while (__atomic_load_n(lock, __ATOMIC_RELAXED)) {
		shunt_cpu_relax();
		if (++spins % 128 == 0)
			shunt_let_others();
	}
}

static inline void shunt_spin_lock(int *lock, bool many)
{
	if (!many)
		return;
	/* Acquire pairs with the release in shunt_spin_unlock [waiters:lock]. */
	while (__builtin_expect(__atomic_exchange_n(lock, 1, __ATOMIC_ACQUIRE), 0))
		shunt_spin_wait(lock);
}

static inline void shunt_spin_unlock(int *lock, bool many)
{
	if (many)
		/* Release pairs with the acquire in shunt_spin_lock [waiters:lock]. */
		__atomic_store_n(lock, 0, __ATOMIC_RELEASE);
}

#endif
