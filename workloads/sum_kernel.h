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

/* One addition at a time: what a simple loop is at -O2, in any compiler. */
shunt_sum_fn shunt_sum_scalar;
/* As wide as the target's baseline allows (SSE2, NEON): for chunks that are bound by arithmetic. */
shunt_sum_fn shunt_sum_vector;

#endif
