/* SPDX-License-Identifier: MIT */
/*
 * The delays of delays.h: mostly none, now and then a microsecond, rarely the rest of the time
 * slice.
 *
 * Each thread draws from a generator of its own, seeded from SHUNT_SEED and the order in which
 * threads come: the seed repeats the delays, not the machine's own timing.
 */
#include "core/engine/test/delays.h"

#include "core/lock.h"
#include "core/rng.h"

#include <sched.h>
#include <stdlib.h>

#if defined(__clang__)
#define OPAQUE __attribute__((noinline, optnone))
#else
#define OPAQUE __attribute__((noipa))
#endif

static __thread struct shunt_rng rng;
static __thread int seeded;
static unsigned threads;

static void seed(void)
{
	const char *text = getenv("SHUNT_SEED");
	unsigned number = __sync_fetch_and_add(&threads, 1);
	shunt_rng_init(&rng, (text ? strtoull(text, NULL, 0) : 1) + number);
	seeded = 1;
}

/* May be called on any stack; it never comes back on another thread. */
OPAQUE void shunt_delay(void)
{
	if (!seeded)
		seed();
	uint64_t draw = shunt_rng_next(&rng);
	if (draw % 64)
		return;
	draw /= 64;
	if (draw % 64 == 0) {
		sched_yield();
		return;
	}
	for (uint64_t i = draw / 64 % 200; i; i--)
		shunt_cpu_relax();
}
