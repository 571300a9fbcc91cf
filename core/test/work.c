/* SPDX-License-Identifier: MIT */
/* If this passes, shunt_work_ns computes for about as long as it was asked to, and longer for
 * more. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/sched.h"
#include "core/work.h"

#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { ATTEMPTS = 20 };

/* Of this thread: what others do on the machine must not matter. */
static int64_t cpu_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

/* The best of several: a disturbance only ever adds. */
static int64_t took(int64_t duration_ns)
{
	int64_t best = INT64_MAX;

	for (int i = 0; i < 9; i++) {
		int64_t begin = cpu_ns();

		shunt_work_ns(duration_ns);
		int64_t ns = cpu_ns() - begin;

		best = ns < best ? ns : best;
	}
	return best;
}

static bool within(int64_t value, int64_t least, int64_t most)
{
	return value >= least && value <= most;
}

/* In a process of its own, which calibrates anew: the processor may run at another speed now than
 * it did then, by more than a factor of two where others have it by halves. */
static bool as_long_as_asked(void)
{
	int status;
	pid_t child = fork();

	assert_true(child >= 0);
	if (child == 0) {
		int64_t one = took(1000000), four = took(4000000);

		_exit(within(one, 500000, 2000000) && within(four, 2000000, 8000000) &&
					within(four, 2 * one, 8 * one)
				? 0
				: 1);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static void about_as_long_as_asked(void **state)
{
	bool good = false;

	(void)state;
	for (int i = 0; i < ATTEMPTS && !good; i++)
		good = as_long_as_asked();
	assert_true(good);
	assert_true(shunt_work_calibrate() > 0);
}

static void nothing_for_nothing(void **state)
{
	(void)state;
	assert_true(took(0) < 100000);
	assert_true(took(-5) < 100000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(about_as_long_as_asked),
		cmocka_unit_test(nothing_for_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
