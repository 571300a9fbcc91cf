/* SPDX-License-Identifier: MIT */
/*
 * How fast the processor is just now, by two loops that never change.
 *
 * Independent steps fill every execution unit: a neighbour on the other hardware thread takes half
 * of them. Dependent steps wait for each other, and such a neighbour costs them little; a lower
 * frequency slows both. Whoever takes the whole processor leaves a gap in the loop that runs.
 * Nothing leaves the registers, so neighbours that only use caches or memory do not show.
 */
#include "core/measure/clock.h"
#include "core/measure/interference.h"

#define LOOP_NS     500000
#define CHUNK_STEPS 2048 /* some microseconds: a reading of the clock must not count */

/* Keeps the compiler from joining steps, or making vectors of them. */
#define STEP(x) __asm__ volatile("" : "+r"(x))

static uint64_t independent(uint64_t seed)
{
	uint64_t a = seed, b = seed + 1, c = seed + 2, d = seed + 3, e = seed + 4, f = seed + 5;

	for (int i = 0; i < CHUNK_STEPS; i++) {
		a += a >> 3 ^ seed;
		b += b >> 3 ^ seed;
		c += c >> 3 ^ seed;
		d += d >> 3 ^ seed;
		e += e >> 3 ^ seed;
		f += f >> 3 ^ seed;
		__asm__ volatile("" : "+r"(a), "+r"(b), "+r"(c), "+r"(d), "+r"(e), "+r"(f));
	}
	return a ^ b ^ c ^ d ^ e ^ f;
}

static uint64_t dependent(uint64_t x)
{
	for (int i = 0; i < CHUNK_STEPS; i++) {
		x = x * UINT64_C(0x9E3779B97F4A7C15) + 1;
		STEP(x);
	}
	return x;
}

/* Nanoseconds a step, gaps included. */
static double ns_per_step(uint64_t (*chunk)(uint64_t))
{
	uint64_t begin = shunt_clock_monotonic_ns(), took, chunks = 0, x = begin;

	do {
		x = chunk(x);
		chunks++;
		took = shunt_clock_monotonic_ns() - begin;
	} while (took < LOOP_NS);
	STEP(x);
	return (double)took / (double)(chunks * CHUNK_STEPS);
}

void shunt_interference_probe(struct shunt_interference *now)
{
	now->throughput_ns = ns_per_step(independent);
	now->latency_ns = ns_per_step(dependent);
	now->have |= SHUNT_INTERFERENCE_PROBE;
}
