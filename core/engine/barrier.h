/* SPDX-License-Identifier: MIT */
/*
 * An asymmetric fence: free for the side that passes it often, expensive for the side that seldom
 * does.
 *
 * Two sides each write, and then read what the other one writes. Each needs a full fence in
 * between, or both may read the old value. With membarrier(2) the rare side makes the kernel run a
 * fence on every running thread of the process. The frequent side only needs the compiler to keep
 * the order. The rare side then sees whatever a thread of the frequent side wrote before that
 * fence, and whatever the thread reads after it sees what the rare side wrote. That fence is always
 * somewhere between two of the thread's instructions, so one of the two holds. (Dice, Huang, Yang:
 * Asymmetric Dekker Synchronization, 2001; membarrier(2), PRIVATE_EXPEDITED, Linux 4.14.)
 *
 * Where the kernel refuses, and with fence=full, both sides use a fence of the processor's.
 * Measured on a virtual machine with 2 processors: a fence 8 ns, the system call 17 us while the
 * other one runs a worker and 0.13 us while it does not.
 */
#ifndef SHUNT_CORE_ENGINE_BARRIER_H
#define SHUNT_CORE_ENGINE_BARRIER_H

#include "core/lock.h"

#include <stdatomic.h>

/* Makes this process one that the kernel puts fences into. 0, or a negative errno: it cannot. */
int shunt_barrier_register(void);

/* The rare side. full: the frequent side fences itself. Any thread. */
void shunt_barrier_rare(bool full);

/* The frequent side. */
static inline void shunt_barrier_frequent(bool full)
{
	if (__builtin_expect(full, 0))
		shunt_full_fence(); /* forbids the same, pairs with shunt_barrier_rare */
	else
		/* Of the compiler alone it forbids that what follows is read before what came
		 * before is written. */
		atomic_signal_fence(memory_order_seq_cst);
}

#endif
