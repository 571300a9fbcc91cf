/* SPDX-License-Identifier: MIT */
/*
 * The part of cmocka that our tests call, for CPUs for which the distribution has no cmocka.
 *
 * Debian's cross compilers come with libc alone, but cmocka.h is the same on every CPU: a cross
 * build compiles the tests against that header and links them with this file. It has no mocks, no
 * checked malloc and no signal handlers; a test that needs one of these does not link, and a crash
 * ends the process as it would anyway.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum outcome { PASSED, FAILED, SKIPPED };

/* A failed assertion jumps back here; one in a thread that runs no test ends the process. */
static __thread jmp_buf *running;

static void __attribute__((noreturn)) leave(enum outcome outcome)
{
	fflush(stdout);
	if (!running)
		_Exit(EXIT_FAILURE);
	longjmp(*running, outcome);
}

static void __attribute__((noreturn, format(printf, 3, 4)))
failed(const char *file, int line, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vprint_error(format, args);
	va_end(args);
	print_error("\n%s:%d: error: Failure!\n", file, line);
	leave(FAILED);
}

void vprint_message(const char *const format, va_list args)
{
	vprintf(format, args);
}

void vprint_error(const char *const format, va_list args)
{
	fflush(stdout);
	vfprintf(stderr, format, args);
}

void print_message(const char *const format, ...)
{
	va_list args;

	va_start(args, format);
	vprint_message(format, args);
	va_end(args);
}

void print_error(const char *const format, ...)
{
	va_list args;

	va_start(args, format);
	vprint_error(format, args);
	va_end(args);
}

void _fail(const char *const file, const int line)
{
	failed(file, line, "fail() called");
}

void _skip(const char *const file, const int line)
{
	print_message("%s:%d: skipped\n", file, line);
	leave(SKIPPED);
}

void _assert_true(const LargestIntegralType result, const char *const expression,
	const char *const file, const int line)
{
	if (!result)
		failed(file, line, "%s", expression);
}

void _assert_return_code(const LargestIntegralType result, size_t rlen,
	const LargestIntegralType error, const char *const expression, const char *const file,
	const int line)
{
	LargestIntegralType top_bit = (LargestIntegralType)1 << (rlen * 8 - 1);

	if (result & top_bit)
		failed(file, line, "%s < 0, errno %" PRIu64, expression, (uint64_t)error);
}

void _assert_int_equal(const LargestIntegralType a, const LargestIntegralType b,
	const char *const file, const int line)
{
	if (a != b)
		failed(file, line, "%#" PRIx64 " != %#" PRIx64, (uint64_t)a, (uint64_t)b);
}

void _assert_int_not_equal(const LargestIntegralType a, const LargestIntegralType b,
	const char *const file, const int line)
{
	if (a == b)
		failed(file, line, "%#" PRIx64 " == %#" PRIx64, (uint64_t)a, (uint64_t)b);
}

void _assert_float_equal(const float a, const float n, const float epsilon, const char *const file,
	const int line)
{
	float gap = a > n ? a - n : n - a;

	if (!(gap <= epsilon))
		failed(file, line, "%g != %g", (double)a, (double)n);
}

void _assert_string_equal(const char *const a, const char *const b, const char *const file,
	const int line)
{
	if (!a || !b || strcmp(a, b) != 0)
		failed(file, line, "\"%s\" != \"%s\"", a ? a : "NULL", b ? b : "NULL");
}

void _assert_string_not_equal(const char *const a, const char *const b, const char *file,
	const int line)
{
	if (a == b || (a && b && strcmp(a, b) == 0))
		failed(file, line, "\"%s\" == \"%s\"", a ? a : "NULL", b ? b : "NULL");
}

void _assert_memory_equal(const void *const a, const void *const b, const size_t size,
	const char *const file, const int line)
{
	if (memcmp(a, b, size) != 0)
		failed(file, line, "%zu bytes differ", size);
}

void _assert_memory_not_equal(const void *const a, const void *const b, const size_t size,
	const char *const file, const int line)
{
	if (memcmp(a, b, size) == 0)
		failed(file, line, "%zu bytes are the same", size);
}

void _assert_in_range(const LargestIntegralType value, const LargestIntegralType minimum,
	const LargestIntegralType maximum, const char *const file, const int line)
{
	if (value < minimum || value > maximum)
		failed(file, line, "%" PRIu64 " is not in %" PRIu64 "-%" PRIu64, (uint64_t)value,
			(uint64_t)minimum, (uint64_t)maximum);
}

void _assert_not_in_range(const LargestIntegralType value, const LargestIntegralType minimum,
	const LargestIntegralType maximum, const char *const file, const int line)
{
	if (value >= minimum && value <= maximum)
		failed(file, line, "%" PRIu64 " is in %" PRIu64 "-%" PRIu64, (uint64_t)value,
			(uint64_t)minimum, (uint64_t)maximum);
}

/* Set-up, test and tear-down of one test; the tear-down runs after a failed test too. */
static enum outcome run_one(const struct CMUnitTest *test, void **state)
{
	jmp_buf here;
	volatile enum outcome outcome = PASSED;

	running = &here;
	int left = setjmp(here);

	if (left != 0)
		outcome = (enum outcome)left;
	else if (test->setup_func && test->setup_func(state) != 0)
		outcome = FAILED;
	else
		test->test_func(state);
	running = NULL;
	if (test->teardown_func && test->teardown_func(state) != 0 && outcome == PASSED)
		outcome = FAILED;
	return outcome;
}

int _cmocka_run_group_tests(const char *group_name, const struct CMUnitTest *const tests,
	const size_t num_tests, CMFixtureFunction group_setup, CMFixtureFunction group_teardown)
{
	static const char *const words[] =
		{[PASSED] = "[       OK ]", [FAILED] = "[  FAILED  ]", [SKIPPED] = "[  SKIPPED ]"};
	size_t count[3] = {0};
	void *group_state = NULL;

	print_message("[==========] Running %zu test(s) of %s.\n", num_tests, group_name);
	if (group_setup && group_setup(&group_state) != 0) {
		print_error("[  FAILED  ] group setup of %s\n", group_name);
		return (int)num_tests;
	}
	for (size_t i = 0; i < num_tests; i++) {
		void *state = tests[i].initial_state ? tests[i].initial_state : group_state;

		print_message("[ RUN      ] %s\n", tests[i].name);
		enum outcome outcome = run_one(&tests[i], &state);

		count[outcome]++;
		print_message("%s %s\n", words[outcome], tests[i].name);
	}
	if (group_teardown && group_teardown(&group_state) != 0) {
		print_error("[  FAILED  ] group teardown of %s\n", group_name);
		count[FAILED]++;
	}
	print_message("[==========] %zu passed, %zu failed, %zu skipped.\n", count[PASSED],
		count[FAILED], count[SKIPPED]);
	return (int)count[FAILED];
}
