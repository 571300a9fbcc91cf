/* SPDX-License-Identifier: MIT */
/*
 * Synthetic work: a chain of dependent multiplications, a calibrated number in a nanosecond.
 *
 * The chain touches no memory and cannot be vectorised or shortened, so a task that works competes
 * for nothing but the processor. How many rounds a nanosecond takes is measured once, as the best
 * of several short series: a series that was preempted is slower, never faster. It follows that
 * `duration_ns` is processor time at the speed of the calibration, not wall time.
 */
#include "core/work.h"

#include "core/backend.h"
#include "core/measure/clock.h"

#include <pthread.h>

#define SERIES_COUNT  24
#define SERIES_ROUNDS 4000 /* some 5 us: two hundred readings of the clock */

/* Rounds in 2^20 ns. Written once, under pthread_once. */
static uint64_t rounds_per_mega_ns;
static pthread_once_t calibrated = PTHREAD_ONCE_INIT;

static inline __attribute__((always_inline)) void chain(uint64_t rounds)
{
	uint64_t x = rounds;

	for (uint64_t i = 0; i < rounds; i++) {
		x = x * UINT64_C(6364136223846793005) + 1442695040888963407u;
		__asm__ volatile("" : "+r"(x));
	}
}

static SHUNT_PREEMPTIBLE void work(uint64_t rounds)
{
	chain(rounds);
}

/* Not by work(): others who work wait for pthread_once, and a task preempted in it might wait for
 * them. */
static void calibrate(void)
{
	uint64_t best = UINT64_MAX;

	for (int i = 0; i < SERIES_COUNT; i++) {
		uint64_t begin = shunt_clock_monotonic_ns();

		chain(SERIES_ROUNDS);
		uint64_t took = shunt_clock_monotonic_ns() - begin;

		if (took < best)
			best = took;
	}
	rounds_per_mega_ns = ((uint64_t)SERIES_ROUNDS << 20) / (best ? best : 1);
}

double shunt_work_calibrate(void)
{
	pthread_once(&calibrated, calibrate);
	return (double)rounds_per_mega_ns / (double)(1 << 20);
}

void shunt_work_ns(int64_t duration_ns)
{
	struct shunt_ctx *ctx = shunt_ctx_get();

	if (duration_ns <= 0)
		return;
	if (ctx && ctx->time) {
		ctx->time->work(ctx, duration_ns);
		return;
	}
	pthread_once(&calibrated, calibrate);
	work((uint64_t)(((unsigned __int128)(uint64_t)duration_ns * rounds_per_mega_ns) >> 20));
}
