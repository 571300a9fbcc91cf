/* SPDX-License-Identifier: MIT */
/*
 * Calibration of the processor's counter against CLOCK_MONOTONIC.
 *
 * One point of the line is a counter reading between two readings of CLOCK_MONOTONIC; of some dozen
 * tries the one with the narrowest bracket is kept, so an interrupt in between does no harm. Two
 * points give the rate, and half the sum of their brackets over the span bounds its error. A span
 * that a storm of signals or a suspended machine has spoilt is taken again; a rate whose bound
 * stays too wide is not used.
 *
 * The counter is used only when both the processor says that it is invariant and the kernel's own
 * clock rests on it: the kernel has watched it since boot and drops it when the CPUs disagree.
 */
#include "core/measure/clock.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

#define SPAN_DEFAULT_NS 5000000u
#define POINT_TRIES     32
#define SLEEP_TRIES                                                                                \
	1000000 /* sleeps in one span, each ended by a signal; the deadline comes sooner */
#define SPAN_TRIES   4
#define COST_BATCHES 15
#define COST_READS   256
#define REFRESH_MOST 1024

struct shunt_clock_point shunt_clock_point(void)
{
	struct shunt_clock_point best = {.width_ns = UINT64_MAX};

	for (int i = 0; i < POINT_TRIES; i++) {
		uint64_t before = shunt_clock_monotonic_ns();
		uint64_t ticks = shunt_clock_ticks();
		uint64_t after = shunt_clock_monotonic_ns();

		if (after - before < best.width_ns)
			best = (struct shunt_clock_point){ticks, before + (after - before) / 2,
				after - before};
	}
	return best;
}

/* The smallest batch mean: what a reading costs when nothing disturbs it. */
static double read_cost_ns(const struct shunt_clock *clock)
{
	double least = 1e9;

	for (int batch = 0; batch < COST_BATCHES; batch++) {
		uint64_t start = shunt_clock_monotonic_ns(), sum = 0;

		for (int i = 0; i < COST_READS; i++)
			sum += shunt_clock_ns(clock);
		__asm__ volatile("" : : "r"(sum));
		double mean = (double)(shunt_clock_monotonic_ns() - start) / COST_READS;
		if (mean < least)
			least = mean;
	}
	return least;
}

#if defined(__x86_64__)
static bool counter_invariant(char *why, size_t bytes)
{
	unsigned a, b, c, d;

	if (__get_cpuid(0x80000007, &a, &b, &c, &d) && (d & (1u << 8)))
		return true;
	snprintf(why, bytes, "the processor does not say that its TSC is invariant");
	return false;
}

/* Kernel clocks that are computed from the TSC and given up when it proves unstable. */
static bool kernel_trusts(char *why, size_t bytes)
{
	static const char path[] =
		"/sys/devices/system/clocksource/clocksource0/current_clocksource";
	static const char *const on_tsc[] = {"tsc", "kvm-clock", "hyperv_clocksource_tsc_page"};
	char name[40] = "";
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t got = fd < 0 ? -1 : read(fd, name, sizeof(name) - 1);

	if (fd >= 0)
		close(fd);
	if (got <= 0) {
		snprintf(why, bytes, "the kernel's clock source cannot be read");
		return false;
	}
	name[strcspn(name, "\n")] = '\0';
	for (size_t i = 0; i < sizeof(on_tsc) / sizeof(*on_tsc); i++)
		if (strcmp(name, on_tsc[i]) == 0)
			return true;
	snprintf(why, bytes, "the kernel's clock source is %s, not the TSC", name);
	return false;
}

static enum shunt_clock_source counter_source(char *why, size_t bytes)
{
	if (!counter_invariant(why, bytes) || !kernel_trusts(why, bytes))
		return SHUNT_CLOCK_MONOTONIC;
	return SHUNT_CLOCK_TSC;
}
#elif defined(__aarch64__)
/* The architecture demands one rate and one value on all CPUs, and Linux lets user code read it. */
static enum shunt_clock_source counter_source(char *why, size_t bytes)
{
	(void)why, (void)bytes;
	return SHUNT_CLOCK_CNTVCT;
}
#elif defined(__riscv)
/* As above: the time CSR is a constant-rate view of one platform counter. */
static enum shunt_clock_source counter_source(char *why, size_t bytes)
{
	(void)why, (void)bytes;
	return SHUNT_CLOCK_RDTIME;
}
#else
static enum shunt_clock_source counter_source(char *why, size_t bytes)
{
	snprintf(why, bytes, "no counter is known for this processor");
	return SHUNT_CLOCK_MONOTONIC;
}
#endif

/* Sleeps to the deadline, whatever signals come: 0, or a positive errno. */
static int sleep_until(uint64_t deadline_ns)
{
	const struct timespec at = {(time_t)(deadline_ns / 1000000000u),
		(long)(deadline_ns % 1000000000u)};
	int rc = EINTR;

	for (int i = 0; i < SLEEP_TRIES && rc == EINTR && shunt_clock_monotonic_ns() < deadline_ns;
		i++)
		rc = clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL);
	return rc == EINTR ? 0 : rc;
}

static void give_up(struct shunt_clock *clock, const char *why, const char *more)
{
	clock->source = SHUNT_CLOCK_MONOTONIC;
	clock->scale = clock->ticks_per_s = clock->calibration_span_ns = 0;
	clock->calibration_error_ppm = 0;
	snprintf(clock->why, sizeof(clock->why), "%s%s", why, more);
}

/* Over one span from *first; true: the rate is known well enough. */
static bool calibrate_once(struct shunt_clock *clock, struct shunt_clock_point first,
	uint64_t span_ns)
{
	int rc = sleep_until(first.ns + span_ns);
	struct shunt_clock_point last = shunt_clock_point();
	uint64_t ticks = last.ticks - first.ticks, ns = last.ns - first.ns;

	if (rc) {
		give_up(clock,
			"the calibration's sleep was refused: clock_nanosleep: ", strerror(rc));
		return true;
	}
	if (ns < span_ns || last.ticks <= first.ticks || ticks < ns / 100000u) {
		give_up(clock, ns < span_ns ? "CLOCK_MONOTONIC" : "the counter", " does not count");
		return true;
	}
	clock->base_ticks = first.ticks;
	clock->base_ns = first.ns;
	clock->scale = (uint64_t)(((unsigned __int128)ns << 32) / ticks);
	clock->ticks_per_s = (uint64_t)((unsigned __int128)ticks * 1000000000u / ns);
	clock->calibration_span_ns = ns;
	/* One tick of the counter's own resolution counts too: 100 ns at 10 MHz. */
	double tick_ns = (double)ns / (double)ticks;
	clock->calibration_error_ppm =
		((double)(first.width_ns + last.width_ns) / 2 + tick_ns) / (double)ns * 1e6;
	return clock->calibration_error_ppm <= SHUNT_CLOCK_ERROR_PPM;
}

static void calibrate(struct shunt_clock *clock, struct shunt_clock_point first, uint64_t span_ns)
{
	for (int i = 0; i < SPAN_TRIES; i++) {
		if (calibrate_once(clock, first, span_ns))
			return;
		first = shunt_clock_point();
	}
	give_up(clock, "signals or other programs disturbed the calibration", "");
}

void shunt_clock_init_since(struct shunt_clock *clock, bool counter, struct shunt_clock_point first,
	uint64_t span_ns)
{
	memset(clock, 0, sizeof(*clock));
	clock->monotonic_cost_ns = read_cost_ns(clock);
	if (!counter)
		snprintf(clock->why, sizeof(clock->why), "CLOCK_MONOTONIC was asked for");
	else
		clock->source = counter_source(clock->why, sizeof(clock->why));
	if (clock->source != SHUNT_CLOCK_MONOTONIC)
		calibrate(clock, first, span_ns ? span_ns : SPAN_DEFAULT_NS);
	clock->read_cost_ns = clock->scale ? read_cost_ns(clock) : clock->monotonic_cost_ns;
}

void shunt_clock_init(struct shunt_clock *clock, bool counter, uint64_t span_ns)
{
	shunt_clock_init_since(clock, counter, shunt_clock_point(), span_ns);
}

double shunt_clock_verify(struct shunt_clock *clock)
{
	if (clock->scale == 0)
		return 0;

	struct shunt_clock_point now = shunt_clock_point();
	double span_ns = (double)(now.ns - clock->base_ns);
	double off_ns = (double)shunt_clock_convert(clock, now.ticks) - (double)now.ns;
	double drift_ppm = (off_ns < 0 ? -off_ns : off_ns) / span_ns * 1e6;

	clock->calibration_span_ns = (uint64_t)span_ns;
	clock->calibration_error_ppm = drift_ppm + (double)now.width_ns / 2 / span_ns * 1e6;
	return drift_ppm;
}

const char *shunt_clock_name(const struct shunt_clock *clock)
{
	static const char *const names[] = {
		[SHUNT_CLOCK_MONOTONIC] = "monotonic",
		[SHUNT_CLOCK_TSC] = "tsc",
		[SHUNT_CLOCK_CNTVCT] = "cntvct",
		[SHUNT_CLOCK_RDTIME] = "rdtime",
		[SHUNT_CLOCK_TOLD] = "virtual",
	};

	return names[clock->source];
}

/* A thread's clock by its number, as the kernel counts them: clock_getcpuclockid(3) knows
 * processes only. */
static clockid_t clock_of_thread(long tid)
{
	enum { OF_ONE_THREAD = 4, SCHEDULED_TIME = 2 };

	return (clockid_t)(~(unsigned)tid << 3 | OF_ONE_THREAD | SCHEDULED_TIME);
}

void shunt_clock_cpu_refresh(void)
{
	DIR *tasks = opendir("/proc/self/task");

	for (int left = REFRESH_MOST; tasks && left > 0; left--) {
		const struct dirent *task = readdir(tasks);
		struct timespec time;

		if (!task)
			break;
		long tid = strtol(task->d_name, NULL, 10);
		if (tid > 0)
			clock_gettime(clock_of_thread(tid), &time); /* it may have ended */
	}
	if (tasks)
		closedir(tasks);
}
