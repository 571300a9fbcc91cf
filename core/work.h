/* SPDX-License-Identifier: MIT */
/* What shunt_work_ns (core/sched.h) computes, and how much of it is a nanosecond. */
#ifndef SHUNT_CORE_WORK_H
#define SHUNT_CORE_WORK_H

#include <stdint.h>

/* Calibrates if need be, which takes about a millisecond; returns rounds of work per nanosecond. */
double shunt_work_calibrate(void);

/* How many rounds take so long; calibrates as above. */
uint64_t shunt_work_rounds(int64_t duration_ns);

static inline __attribute__((always_inline)) uint64_t shunt_work_round(uint64_t x)
{
	x = x * UINT64_C(6364136223846793005) + 1442695040888963407u;
	__asm__ volatile("" : "+r"(x));
	return x;
}

/* Eight in a row, so that an edge (core/engine/edge.c) is a small part of them. */
static inline __attribute__((always_inline)) void shunt_work_chain(uint64_t rounds)
{
	uint64_t x = rounds;

	for (uint64_t i = rounds / 8; i; i--) {
		x = shunt_work_round(x);
		x = shunt_work_round(x);
		x = shunt_work_round(x);
		x = shunt_work_round(x);
		x = shunt_work_round(x);
		x = shunt_work_round(x);
		x = shunt_work_round(x);
		x = shunt_work_round(x);
	}
	for (uint64_t i = rounds % 8; i; i--)
		x = shunt_work_round(x);
}

#endif
