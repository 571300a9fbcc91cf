/* SPDX-License-Identifier: MIT */
/*
 * Random variates that are the same bits everywhere: drawn with 64-bit integers alone.
 *
 * No floating point, so no libm, no rounding mode and no contraction can make two machines, or a
 * program in C and one in Go or Python, disagree about a seed. `next` is one output of core/rng.h;
 * `mulhi(a, b)` is the upper 64 bits of the 128-bit product; all divisions are of positive numbers.
 *
 *   exponential, mean 1     (von Neumann 1951: Various techniques used in connection with random
 *       digits)  whole = 0; again: first = last = next; n = 1; while ((u = next) < last) last = u,
 *       n++; if n is odd the variate is whole + first / 2^64; else whole++ and again.
 *   normal, |z| in 1/2^32   rejection from the exponential: x = whole * 2^32 + fraction >> 32 of
 *       one exponential, e likewise of the next; d = |x - 2^32|; if whole < 64 and
 *       2 e > (d * d) >> 32 (128-bit product) the magnitude is x, else again; then the variate is
 *       negative if the top bit of next is set.
 *   exp(y), y in 1/2^32     n = floor(y / L), L = 2977044472 (ln 2 in 1/2^32); g = (y - n L) << 32;
 *       r = 2^62; for i = 16 down to 1: r = 2^62 + mulhi(g, r) / i; the value is r 2^(n - 62).
 *
 * Error: an exponential is exact to 2^-64, a normal to 2^-31, exp to 2^-30 relative.
 */
#ifndef SHUNT_WORKLOADS_VARIATES_H
#define SHUNT_WORKLOADS_VARIATES_H

#include "core/rng.h"

#include <stdint.h>

struct shunt_exponential {
	uint64_t whole, fraction; /* whole + fraction / 2^64 */
};

struct shunt_exponential shunt_draw_exponential(struct shunt_rng *rng);

/* scale times an exponential variate, rounded down; saturates at UINT64_MAX. */
uint64_t shunt_draw_exponential_of(struct shunt_rng *rng, uint64_t scale);

/* In units of 2^-32. */
int64_t shunt_draw_normal(struct shunt_rng *rng);

/* scale times exp(y / 2^32), rounded down; saturates at `most`. scale < 2^62, |y| < 2^48. */
uint64_t shunt_scaled_exp(uint64_t scale, int64_t y, uint64_t most);

#endif
