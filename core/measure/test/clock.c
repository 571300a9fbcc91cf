/* SPDX-License-Identifier: MIT */
/* If this passes, the counter and CLOCK_MONOTONIC agree as far as the clock claims they do. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/measure/clock.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static void monotonic_on_request(void **state)
{
	struct shunt_clock clock;

	(void)state;
	shunt_clock_init(&clock, false, 0);
	assert_int_equal(clock.source, SHUNT_CLOCK_MONOTONIC);
	assert_string_equal(shunt_clock_name(&clock), "monotonic");
	assert_true(strlen(clock.why) > 0);
	assert_int_equal(clock.ticks_per_s, 0);
	assert_true(clock.read_cost_ns > 0);
	assert_float_equal(shunt_clock_verify(&clock), 0, 0);
	uint64_t before = shunt_clock_monotonic_ns(), at = shunt_clock_ns(&clock);
	assert_true(at >= before && at <= shunt_clock_monotonic_ns());
}

static void counter_says_why_or_is_calibrated(void **state)
{
	struct shunt_clock clock;

	(void)state;
	shunt_clock_init(&clock, true, 0);
	if (clock.source == SHUNT_CLOCK_MONOTONIC) {
		assert_true(strlen(clock.why) > 0);
		assert_int_equal(clock.scale, 0);
		return;
	}
	assert_int_equal(strlen(clock.why), 0);
	assert_string_not_equal(shunt_clock_name(&clock), "monotonic");
	assert_true(clock.ticks_per_s > 1000000 && clock.ticks_per_s < 20000000000u);
	assert_true(clock.calibration_span_ns >= 5000000u);
	assert_true(clock.calibration_error_ppm > 0);
	assert_true(clock.read_cost_ns > 0 && clock.monotonic_cost_ns > 0);
}

/* In place of the library's: it fails with `sleep_error` always, as under a filter or a storm of
 * signals. */
static int sleep_error, sleeps;

int clock_nanosleep(clockid_t id, int flags, const struct timespec *time, struct timespec *left)
{
	sleeps++;
	if (sleep_error)
		return sleep_error;
	return syscall(SYS_clock_nanosleep, id, flags, time, left) ? errno : 0;
}

static void a_calibration_that_never_sleeps_ends(void **state)
{
	struct shunt_clock clock;

	(void)state;
	sleep_error = EINTR;
	alarm(60);
	shunt_clock_init(&clock, true, 0);
	alarm(0);
	sleep_error = 0;
	assert_true(clock.source == SHUNT_CLOCK_MONOTONIC || clock.calibration_span_ns >= 5000000u);
}

static void a_sleep_that_is_refused_is_named_and_not_tried_again(void **state)
{
	struct shunt_clock clock;

	(void)state;
	sleep_error = EPERM;
	sleeps = 0;
	shunt_clock_init(&clock, true, 0);
	sleep_error = 0;
	if (!sleeps) /* no counter to calibrate, or the span passed on a busy machine */
		skip();
	assert_int_equal(sleeps, 1);
	assert_int_equal(clock.source, SHUNT_CLOCK_MONOTONIC);
	assert_non_null(strstr(clock.why, "clock_nanosleep: Operation not permitted"));
}

static void a_span_that_has_passed_is_not_slept_for(void **state)
{
	const uint64_t span_ns = 2000000;
	struct shunt_clock_point first = shunt_clock_point();
	struct shunt_clock clock;

	(void)state;
	while (shunt_clock_monotonic_ns() < first.ns + span_ns)
		continue;
	sleep_error = EPERM;
	shunt_clock_init_since(&clock, true, first, span_ns);
	sleep_error = 0;
	if (clock.source == SHUNT_CLOCK_MONOTONIC && !strstr(clock.why, "clock_nanosleep"))
		skip();
	assert_string_equal(clock.why, "");
	assert_int_equal(clock.base_ns, first.ns);
	assert_true(clock.calibration_span_ns >= span_ns);
}

/* How far a reading is outside the two readings of CLOCK_MONOTONIC around it. */
static uint64_t outside_ns(const struct shunt_clock *clock)
{
	uint64_t before = shunt_clock_monotonic_ns(), at = shunt_clock_ns(clock);
	uint64_t after = shunt_clock_monotonic_ns();

	return at < before ? before - at : at > after ? at - after : 0;
}

static void the_two_clocks_agree_within_the_claim(void **state)
{
	struct shunt_clock clock;

	(void)state;
	shunt_clock_init(&clock, true, 20000000);
	for (int i = 0; i < 20; i++) {
		struct timespec pause = {0, 1000000};
		double since_ns = (double)(shunt_clock_monotonic_ns() - clock.base_ns);

		/* Twice the bound, and a microsecond for the base point's own bracket. */
		assert_true((double)outside_ns(&clock) <=
			    since_ns * clock.calibration_error_ppm * 2e-6 + 1000);
		nanosleep(&pause, NULL);
	}
	uint64_t scale = clock.scale;
	double drift_ppm = shunt_clock_verify(&clock);

	assert_true(drift_ppm >= 0 && drift_ppm < 10000);
	assert_int_equal(clock.scale, scale);
}

static void it_never_runs_backwards(void **state)
{
	struct shunt_clock clock;
	uint64_t last = 0;

	(void)state;
	shunt_clock_init(&clock, true, 1000000);
	for (int i = 0; i < 100000; i++) {
		uint64_t now = i % 2 ? shunt_clock_ns(&clock) : shunt_clock_ordered_ns(&clock);

		assert_true(now >= last);
		last = now;
	}
}

static void conversion_is_linear_and_does_not_overflow(void **state)
{
	struct shunt_clock clock = {.base_ticks = 1000, .base_ns = 77, .scale = UINT64_C(1) << 31};

	(void)state;
	assert_int_equal(shunt_clock_convert(&clock, 1000), 77);
	assert_int_equal(shunt_clock_convert(&clock, 1002), 78);
	/* A year at 4 GHz is 2^57 ticks: beyond what a 64-bit product with the scale holds. */
	assert_int_equal(shunt_clock_convert(&clock, 1000 + (UINT64_C(1) << 57)),
		77 + (UINT64_C(1) << 56));
}

static void cpu_time_grows_with_work(void **state)
{
	uint64_t before = shunt_clock_cpu_ns();

	(void)state;
	for (volatile int i = 0; i < 3000000; i++)
		continue;
	assert_true(shunt_clock_cpu_ns() > before);
}

/* A timer on the process's CPU time must not make readings as coarse as the
 * kernel's interrupts: 100 us of work are none of them then, as a rule. */
static void cpu_time_is_fine_beside_a_cpu_timer(void **state)
{
	struct itimerspec hour = {.it_value = {3600, 0}}; /* its signal never comes */
	timer_t timer;

	(void)state;
	if (timer_create(CLOCK_PROCESS_CPUTIME_ID, NULL, &timer) != 0)
		skip();
	assert_int_equal(timer_settime(timer, 0, &hour, NULL), 0);
	for (int look = 0; look < 50; look++) {
		uint64_t before = shunt_clock_cpu_ns(), begin = shunt_clock_monotonic_ns();

		while (shunt_clock_monotonic_ns() - begin < 100000)
			continue;
		assert_true(shunt_clock_cpu_ns() > before);
	}
	timer_delete(timer);
}

static _Atomic int spinning; /* 1: it spins; 2: it is to end */

static void *spin(void *arg)
{
	spinning = 1;
	while (spinning == 1)
		continue;
	return arg;
}

/* After a refresh a reading holds what the other thread has used so far: asked for its time once
 * more, no more is added than two threads can have used since. Without, up to 4 ms are. */
static void cpu_time_of_others_is_fine_after_a_refresh(void **state)
{
	struct itimerspec hour = {.it_value = {3600, 0}};
	struct timespec time;
	pthread_t other;
	clockid_t others;
	timer_t timer;

	(void)state;
	if (timer_create(CLOCK_PROCESS_CPUTIME_ID, NULL, &timer) != 0)
		skip();
	assert_int_equal(timer_settime(timer, 0, &hour, NULL), 0);
	assert_int_equal(pthread_create(&other, NULL, spin, NULL), 0);
	assert_int_equal(pthread_getcpuclockid(other, &others), 0);
	while (spinning != 1)
		continue;
	for (int look = 0; look < 50; look++) {
		uint64_t begin = shunt_clock_monotonic_ns();

		while (shunt_clock_monotonic_ns() - begin < 1000000)
			continue;
		begin = shunt_clock_monotonic_ns();
		shunt_clock_cpu_refresh();
		uint64_t refreshed = shunt_clock_cpu_ns();
		assert_int_equal(clock_gettime(others, &time), 0);
		uint64_t again = shunt_clock_cpu_ns();
		assert_true(again - refreshed <= 2 * (shunt_clock_monotonic_ns() - begin));
	}
	spinning = 2;
	pthread_join(other, NULL);
	timer_delete(timer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(monotonic_on_request),
		cmocka_unit_test(counter_says_why_or_is_calibrated),
		cmocka_unit_test(a_calibration_that_never_sleeps_ends),
		cmocka_unit_test(a_sleep_that_is_refused_is_named_and_not_tried_again),
		cmocka_unit_test(a_span_that_has_passed_is_not_slept_for),
		cmocka_unit_test(the_two_clocks_agree_within_the_claim),
		cmocka_unit_test(it_never_runs_backwards),
		cmocka_unit_test(conversion_is_linear_and_does_not_overflow),
		cmocka_unit_test(cpu_time_grows_with_work),
		cmocka_unit_test(cpu_time_is_fine_beside_a_cpu_timer),
		cmocka_unit_test(cpu_time_of_others_is_fine_after_a_refresh),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
