/* SPDX-License-Identifier: MIT */
/*
 * The summation of chunked_sum, in a file of its own: its object code is the same for every
 * backend and every task, whatever the compiler does to its callers.
 */
#ifndef SHUNT_WORKLOADS_SUM_KERNEL_H
#define SHUNT_WORKLOADS_SUM_KERNEL_H

#include <stddef.h>
#include <stdint.h>

/* Sums `count` numbers, modulo 2^64. */
typedef uint64_t shunt_sum_fn(const int64_t *numbers, size_t count);

/* Four sums of pairs, each as wide as the target's baseline allows (SSE2, NEON). A chunk of 100 is
 * so few instructions that the loads of the next one begin before its own have ended. */
shunt_sum_fn shunt_sum_overlap;
/* One addition at a time: what a simple loop is at -O2. A chunk fills most of what the processor
 * looks ahead, so that each one waits for the memory. */
shunt_sum_fn shunt_sum_scalar;

/* The same work without tasks: sums everything in `slices` slices, a chunk of each in turn. */
uint64_t shunt_sum_walk(shunt_sum_fn *kernel, const int64_t *numbers, size_t count, size_t chunk,
	size_t slices);

#endif
