/* SPDX-License-Identifier: MIT */
/*
 * The clock of the measurements: CLOCK_MONOTONIC, or the processor's own counter.
 *
 * A reading of CLOCK_MONOTONIC costs about as much as several yields, a reading of an invariant
 * counter less than half of that. So probes and latency samples may be read from the counter (TSC,
 * CNTVCT, rdtime) when it is known to tick at one rate on every CPU; it is calibrated against
 * CLOCK_MONOTONIC, and which one was used, the error of the calibration and the cost of a reading
 * go into the record.
 *
 * What it is not for: a deadline. The two clocks drift apart by the calibration's error, so whether
 * a wake was early or late is judged by shunt_clock_monotonic_ns() alone, and a counter's reading
 * is subtracted from another reading of the same clock only.
 */
#ifndef SHUNT_CORE_MEASURE_CLOCK_H
#define SHUNT_CORE_MEASURE_CLOCK_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

enum shunt_clock_source {
	SHUNT_CLOCK_MONOTONIC,
	SHUNT_CLOCK_TSC,    /* x86-64: rdtsc */
	SHUNT_CLOCK_CNTVCT, /* aarch64: the virtual counter */
	SHUNT_CLOCK_RDTIME, /* riscv64: the time CSR */
	SHUNT_CLOCK_TOLD,   /* none of the machine's: virtual time */
};

/*
 * One clock: set by shunt_clock_init, constant after, read by any number of threads.
 * ns = base_ns + ((ticks - base_ticks) * scale >> 32).
 */
struct shunt_clock {
	uint64_t base_ticks, base_ns;
	uint64_t scale; /* ns per tick, 32 fractional bits; 0: CLOCK_MONOTONIC itself */
	enum shunt_clock_source source;
	const int64_t *told; /* of SHUNT_CLOCK_TOLD: what a simulator says (scale is 0) */
	char why[96];        /* why it is not the counter; empty when it is */

	/* For the record. */
	double read_cost_ns;          /* of shunt_clock_ns() */
	double monotonic_cost_ns;     /* of shunt_clock_monotonic_ns() */
	uint64_t ticks_per_s;         /* as calibrated; 0 without a counter */
	double calibration_error_ppm; /* bound on the rate's error; 0 without a counter */
	uint64_t calibration_span_ns;
};

/** Nanoseconds of CLOCK_MONOTONIC. Context: any thread; does not block. */
static inline uint64_t shunt_clock_monotonic_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/** CPU time of the calling thread, in nanoseconds: a system call. */
static inline uint64_t shunt_clock_thread_cpu_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/**
 * CPU time of all threads of the process, in nanoseconds: two system calls.
 *
 * Once a timer runs on this clock, the kernel answers from sums that it brings up to date at a
 * thread's switches and timer interrupts, up to 4 ms late; asking for the calling thread's time
 * brings its part up to date. Other threads that run meanwhile may be so late, unless
 * shunt_clock_cpu_refresh() was called.
 */
static inline uint64_t shunt_clock_cpu_ns(void)
{
	struct timespec now;

	(void)shunt_clock_thread_cpu_ns();
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/**
 * Has the kernel bring the CPU time of every other thread of the process up to date, by asking for
 * it (proc(5), clock_getcpuclockid(3)). Some 10 us and one more for each thread; beyond a thousand
 * threads the rest stays as it is, and so do all where /proc is not mounted.
 */
void shunt_clock_cpu_refresh(void);

/*
 * The counter, as it is; 0 on a processor without one. No barrier: the processor may move the
 * reading by some tens of instructions, which is less than a reading costs.
 */
static inline uint64_t shunt_clock_ticks(void)
{
#if defined(__x86_64__)
	return __builtin_ia32_rdtsc();
#elif defined(__aarch64__)
	uint64_t ticks;

	__asm__ volatile("mrs %0, cntvct_el0" : "=r"(ticks));
	return ticks;
#elif defined(__riscv)
	uint64_t ticks;

	__asm__ volatile("rdtime %0" : "=r"(ticks));
	return ticks;
#else
	return 0;
#endif
}

/*
 * The counter, not before every earlier instruction is done: what was seen from another CPU before
 * the reading is older than the reading.
 */
static inline uint64_t shunt_clock_ticks_ordered(void)
{
#if defined(__x86_64__)
	__builtin_ia32_lfence();
#elif defined(__aarch64__)
	__asm__ volatile("isb" : : : "memory");
#elif defined(__riscv)
	__asm__ volatile("fence iorw, iorw" : : : "memory");
#endif
	return shunt_clock_ticks();
}

/** Nanoseconds for a counter reading of this clock taken at or after its calibration. */
static inline uint64_t shunt_clock_convert(const struct shunt_clock *clock, uint64_t ticks)
{
	return clock->base_ns +
	       (uint64_t)(((unsigned __int128)(ticks - clock->base_ticks) * clock->scale) >> 32);
}

/** Now, in nanoseconds since the origin of CLOCK_MONOTONIC. Context: any thread. */
static inline uint64_t shunt_clock_ns(const struct shunt_clock *clock)
{
	if (clock->scale == 0)
		return clock->told ? (uint64_t)*clock->told : shunt_clock_monotonic_ns();
	return shunt_clock_convert(clock, shunt_clock_ticks());
}

/** The same, not before every earlier instruction is done; CLOCK_MONOTONIC is so by itself. */
static inline uint64_t shunt_clock_ordered_ns(const struct shunt_clock *clock)
{
	if (clock->scale == 0)
		return clock->told ? (uint64_t)*clock->told : shunt_clock_monotonic_ns();
	return shunt_clock_convert(clock, shunt_clock_ticks_ordered());
}

/* A calibration whose error may be larger is not used; a larger drift is reported with the
 * results. */
#define SHUNT_CLOCK_ERROR_PPM 1000

/**
 * Makes the clock, calibrating it for span_ns if the counter may be used.
 *
 * @counter: take the processor's counter if it is invariant and the kernel trusts it; false asks
 *           for CLOCK_MONOTONIC.
 * @span_ns: how long to calibrate, the thread asleep meanwhile; 0 means 5 ms. The error is about
 *           two readings' jitter over the span: some ppm at 5 ms. A span that was disturbed is
 *           taken again, three times at most.
 * Always succeeds: where the counter cannot be used the clock is CLOCK_MONOTONIC and `why` says so.
 * Context: any thread, outside measured time; sleeps.
 */
void shunt_clock_init(struct shunt_clock *clock, bool counter, uint64_t span_ns);

/* The counter and CLOCK_MONOTONIC at one moment; width_ns: how far apart they may be. */
struct shunt_clock_point {
	uint64_t ticks, ns, width_ns;
};

/** Now. Context: any thread; some microseconds. */
struct shunt_clock_point shunt_clock_point(void);

/**
 * shunt_clock_init over a span that began at `first`, a point of this process's recent past: it
 * sleeps only for what is left of the span.
 */
void shunt_clock_init_since(struct shunt_clock *clock, bool counter, struct shunt_clock_point first,
	uint64_t span_ns);

/**
 * Calibrates again over all the time since shunt_clock_init, and returns the difference of the two
 * rates in ppm: what the samples of the run are wrong by. Updates calibration_error_ppm and
 * calibration_span_ns, not the rate, so that samples taken before and after agree. 0 for
 * CLOCK_MONOTONIC. Context: any thread, while no other thread reads the error.
 */
double shunt_clock_verify(struct shunt_clock *clock);

/** "monotonic", "tsc", "cntvct", "rdtime" or "virtual", as records have it. */
const char *shunt_clock_name(const struct shunt_clock *clock);

#endif
