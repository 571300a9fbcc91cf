/* SPDX-License-Identifier: MIT */
/*
 * Synthetic work: a chain of dependent multiplications, a calibrated number in a nanosecond. This
 * is the calibration; the work itself is work_ns.c.
 *
 * The chain touches no memory and cannot be vectorised or shortened, so a task that works competes
 * for nothing but the processor. How many rounds a nanosecond takes is measured once, as the best
 * of several short series: a series that was preempted is slower, never faster. It follows that
 * `duration_ns` is processor time at the speed of the calibration, not wall time.
 */
#include "core/work.h"

#include "core/measure/clock.h"

#include <pthread.h>

#define SERIES_COUNT  24
#define SERIES_ROUNDS 4000 /* some 5 us: two hundred readings of the clock */

/* Rounds in 2^20 ns. Written once, under pthread_once. */
static uint64_t rounds_per_mega_ns;
static pthread_once_t calibrated = PTHREAD_ONCE_INIT;

/* Not in preemptible code: others who work wait for pthread_once, and a task preempted in it might
 * wait for them. */
static void calibrate(void)
{
	uint64_t best = UINT64_MAX;

	for (int i = 0; i < SERIES_COUNT; i++) {
		uint64_t begin = shunt_clock_monotonic_ns();

		shunt_work_chain(SERIES_ROUNDS);
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

uint64_t shunt_work_rounds(int64_t duration_ns)
{
	pthread_once(&calibrated, calibrate);
	return (uint64_t)(((unsigned __int128)(uint64_t)duration_ns * rounds_per_mega_ns) >> 20);
}
