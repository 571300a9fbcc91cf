/* SPDX-License-Identifier: MIT */
/* If this passes, parameters parse exactly, refuse what is wrong, and say what would be right. */
#include "core/param.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const char *const modes[] = {"symmetric", "asymmetric", NULL};
static const struct shunt_param table[] = {
	{.name = "tasks", .type = SHUNT_PARAM_COUNT, .fallback = "2", .min = 1, .max = 16000000},
	{.name = "count", .type = SHUNT_PARAM_COUNT, .fallback = "0"},
	{.name = "pause", .type = SHUNT_PARAM_DURATION, .fallback = "100ms", .max = 3600000000000},
	{.name = "slack", .type = SHUNT_PARAM_DURATION, .fallback = "0", .min = -1, .max = 1000000},
	{.name = "stack",
		.type = SHUNT_PARAM_SIZE,
		.fallback = "64k",
		.min = 16384,
		.max = 1 << 30},
	{.name = "rate", .type = SHUNT_PARAM_REAL, .fallback = "0.5", .min = 0, .max = 10},
	{.name = "mode", .type = SHUNT_PARAM_CHOICE, .fallback = "symmetric", .choices = modes},
	{.name = "input", .type = SHUNT_PARAM_TEXT, .fallback = ""},
	{.name = "skip", .type = SHUNT_PARAM_COUNT, .fallback = "auto", .max = 100},
	{.name = NULL},
};

static struct shunt_values values;
static struct shunt_error err;

static int set_up(void **state)
{
	(void)state;
	err.text[0] = '\0';
	return shunt_values_init(&values, table, &err);
}

static int tear_down(void **state)
{
	(void)state;
	shunt_values_fini(&values);
	return 0;
}

static int set(const char *key, const char *text)
{
	return shunt_values_set(&values, "workload 'w'", key, text, &err);
}

static void expect(const char *key, const char *text, int64_t value)
{
	if (set(key, text) != 0)
		fail_msg("%s", err.text);
	if (shunt_value_int(&values, key) != value)
		fail_msg("%s=%s gave %lld", key, text, (long long)shunt_value_int(&values, key));
	assert_true(shunt_value(&values, key)->given);
}

static void refuse(int code, const char *key, const char *text, const char *message)
{
	assert_int_equal(set(key, text), code);
	assert_string_equal(err.text, message);
}

/* "auto", where it is the default, is as good as not to be given. */
static void computed(void **state)
{
	(void)state;
	expect("skip", "7", 7);
	assert_int_equal(set("skip", "auto"), 0);
	assert_int_equal(shunt_value_int(&values, "skip"), 0);
	assert_false(shunt_value(&values, "skip")->given);
	assert_int_equal(set("count", "auto"), -EINVAL);
}

static void defaults(void **state)
{
	(void)state;
	assert_int_equal(shunt_value_int(&values, "tasks"), 2);
	assert_int_equal(shunt_value_int(&values, "pause"), 100000000);
	assert_int_equal(shunt_value_int(&values, "stack"), 65536);
	assert_true(shunt_value(&values, "rate")->real == 0.5);
	assert_string_equal(shunt_value_text(&values, "mode"), "symmetric");
	assert_string_equal(shunt_value_text(&values, "input"), "");
	for (size_t i = 0; table[i].name; i++)
		assert_false(values.value[i].given);
}

static void units(void **state)
{
	(void)state;
	expect("count", "0", 0);
	expect("count", "1000", 1000);
	expect("count", "10k", 10000);
	expect("count", "1.5k", 1500);
	expect("count", "1M", 1000000);
	expect("count", "2G", 2000000000);
	expect("count", "9223372036854775807", INT64_MAX);
	expect("count", "0000000000000000000000000000000000000000000000012", 12);
	expect("pause", "0", 0);
	expect("pause", "7ns", 7);
	expect("pause", "50us", 50000);
	expect("pause", "0.5ms", 500000);
	expect("pause", "1.000000001s", 1000000001);
	expect("slack", "-1ns", -1);
	expect("stack", "16k", 16384);
	expect("stack", "1M", 1 << 20);
	expect("stack", "64KiB", 65536);
	expect("stack", "64kB", 65536);
	expect("stack", "0.5MiB", 1 << 19);
	expect("stack", "65537", 65537);
	expect("mode", "asymmetric", 1);
}

static void reals_and_texts(void **state)
{
	char text[64];

	(void)state;
	assert_int_equal(set("rate", "0.1"), 0);
	assert_true(shunt_value(&values, "rate")->real == 0.1);
	assert_string_equal(shunt_value_format(&table[5], shunt_value(&values, "rate"), text,
				    sizeof(text)),
		"0.1");
	assert_int_equal(set("rate", "1e-3"), 0);
	assert_int_equal(set("rate", "nan"), -EINVAL);
	assert_int_equal(set("rate", "0x1"), -EINVAL);
	assert_int_equal(set("rate", "1e999"), -ERANGE);
	assert_int_equal(set("rate", "10.5"), -ERANGE);
	assert_int_equal(set("input", "a=b, c"), 0);
	assert_int_equal(set("input", "/tmp/x"), 0);
	assert_string_equal(shunt_value_text(&values, "input"), "/tmp/x");
}

static void messages(void **state)
{
	(void)state;
	refuse(-EINVAL, "tasks", "abc",
		"workload 'w': tasks=abc is not a number: expected a count "
		"such as 1000, 10k or 1M, 1 to 16M");
	refuse(-EINVAL, "tasks", "",
		"workload 'w': tasks= is empty: expected a count such as 1000, "
		"10k or 1M, 1 to 16M");
	refuse(-ERANGE, "tasks", "0",
		"workload 'w': tasks=0 is out of range: expected a count such "
		"as 1000, 10k or 1M, 1 to 16M");
	refuse(-ERANGE, "tasks", "-3",
		"workload 'w': tasks=-3 is negative: expected a count such as "
		"1000, 10k or 1M, 1 to 16M");
	refuse(-ERANGE, "tasks", "16000001",
		"workload 'w': tasks=16000001 is out of range: expected a count such as 1000, 10k "
		"or 1M, 1 to 16M");
	refuse(-ERANGE, "count", "9223372036854775808",
		"workload 'w': count=9223372036854775808 is "
		"too large: expected a count such as 1000, 10k or 1M, 0 or more");
	refuse(-ERANGE, "count", "99999999999999999999999999999999999999999",
		"workload 'w': "
		"count=99999999999999999999999999999999999999999 is too large: expected a count "
		"such "
		"as 1000, 10k or 1M, 0 or more");
	refuse(-EINVAL, "pause", "100",
		"workload 'w': pause=100 has no unit (ns, us, ms or s): "
		"expected a duration such as 50us, 100ms or 2s, 0 to 3600s");
	refuse(-EINVAL, "pause", "5k",
		"workload 'w': pause=5k has an unknown unit: expected a "
		"duration such as 50us, 100ms or 2s, 0 to 3600s");
	refuse(-EINVAL, "pause", "0.5ns",
		"workload 'w': pause=0.5ns is not a whole number: expected "
		"a duration such as 50us, 100ms or 2s, 0 to 3600s");
	refuse(-ERANGE, "stack", "8k",
		"workload 'w': stack=8k is out of range: expected a size such "
		"as 4096, 64k or 1M, 16k to 1G");
	refuse(-EINVAL, "stack", "64kb",
		"workload 'w': stack=64kb has an unknown unit: expected a "
		"size such as 4096, 64k or 1M, 16k to 1G");
	refuse(-EINVAL, "mode", "symetric",
		"workload 'w': mode=symetric is not known (did you mean "
		"symmetric?): expected symmetric or asymmetric");
	refuse(-ENOENT, "taks", "1",
		"workload 'w' has no parameter 'taks'; did you mean 'tasks'? It "
		"takes tasks, count, pause, slack, stack, rate, mode, input, skip");
	refuse(-ENOENT, "zzz", "1",
		"workload 'w' has no parameter 'zzz': it takes tasks, count, "
		"pause, slack, stack, rate, mode, input, skip");
	/* What was set before a refusal stays. */
	assert_int_equal(shunt_value_int(&values, "tasks"), 2);
}

static void malformed_numbers(void **state)
{
	static const char *const wrong[] = {" 1", "1 ", "+1", "1,000", "1_000", "0x10", "1e3",
		"1..2", ".", "-", "k", "1kk", "1.0001", "0.1k1", "--1"};

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		if (set("tasks", wrong[i]) != -EINVAL)
			fail_msg("tasks=%s was taken", wrong[i]);
	assert_int_equal(set("stack", "8589934592G"), -ERANGE);
	assert_int_equal(set("pause", "9223372037s"), -ERANGE);
}

/* "0.", that many zeros, and what follows them. */
static const char *after_zeros(size_t zeros, const char *rest)
{
	static char text[512];

	memcpy(text, "0.", 2);
	memset(text + 2, '0', zeros);
	strcpy(text + 2 + zeros, rest);
	return text;
}

static void any_number_of_places(void **state)
{
	(void)state;
	for (size_t zeros = 1; zeros < 400; zeros++) {
		expect("count", after_zeros(zeros, ""), 0);
		expect("pause", after_zeros(zeros, "s"), 0);
		if (zeros > 2)
			assert_int_equal(set("count", after_zeros(zeros, "1k")), -EINVAL);
		if (zeros > 8)
			assert_int_equal(set("pause", after_zeros(zeros, "1s")), -EINVAL);
	}
	expect("pause", "2.50000000000000000000000000000000000000000000000s", 2500000000);
	assert_int_equal(set("pause", "2.00000000000000000000000000000000000000000000001s"),
		-EINVAL);
	assert_int_equal(set("count", "1.00000000000000000000000000000000000000000000001"),
		-EINVAL);
}

static void a_long_value_does_not_hide_the_range(void **state)
{
	char text[2000];

	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	assert_int_equal(set("tasks", text), -EINVAL);
	assert_non_null(strstr(err.text, "xxx... is not a number"));
	assert_non_null(strstr(err.text, "1 to 16M"));
}

static void bad_default(void **state)
{
	static const struct shunt_param broken[] = {
		{.name = "a", .type = SHUNT_PARAM_COUNT, .fallback = "0", .min = 1, .max = 2},
		{.name = NULL},
	};
	struct shunt_values other;

	(void)state;
	assert_int_equal(shunt_values_init(&other, broken, &err), -EINVAL);
	assert_int_equal(shunt_values_init(&other, NULL, &err), 0);
	assert_int_equal(shunt_values_set(&other, "backend 'null'", "x", "1", &err), -ENOENT);
	assert_string_equal(err.text, "backend 'null' has no parameter 'x': it takes none");
	shunt_values_fini(&other);
}

static void notation(void **state)
{
	char text[64];

	(void)state;
	assert_string_equal(shunt_param_notation(SHUNT_PARAM_COUNT, 10000000, text, sizeof(text)),
		"10M");
	assert_string_equal(shunt_param_notation(SHUNT_PARAM_COUNT, 1234, text, sizeof(text)),
		"1234");
	assert_string_equal(shunt_param_notation(SHUNT_PARAM_DURATION, 100000000, text,
				    sizeof(text)),
		"100ms");
	assert_string_equal(shunt_param_notation(SHUNT_PARAM_DURATION, 1500, text, sizeof(text)),
		"1500ns");
	assert_string_equal(shunt_param_notation(SHUNT_PARAM_SIZE, 65536, text, sizeof(text)),
		"64k");
	assert_string_equal(shunt_param_notation(SHUNT_PARAM_DURATION, -1, text, sizeof(text)),
		"-1ns");
}

static void nearest(void **state)
{
	static const char *const names[] = {"ucontext", "asm", "uring", "uring-each", "mn",
		"threads", "null"};
	const size_t count = sizeof(names) / sizeof(names[0]);

	(void)state;
	assert_string_equal(shunt_nearest("ucontxt", names, count), "ucontext");
	assert_string_equal(shunt_nearest("uirng", names, count), "uring");
	assert_string_equal(shunt_nearest("thread", names, count), "threads");
	assert_string_equal(shunt_nearest("ASM", names, count), "asm");
	assert_string_equal(shunt_nearest("ucon", names, count), "ucontext");
	assert_string_equal(shunt_nearest("asmm", names, count), "asm");
	assert_null(shunt_nearest("goroutines", names, count));
	assert_null(shunt_nearest("", names, count));
	assert_null(shunt_nearest("x", names, 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(defaults, set_up, tear_down),
		cmocka_unit_test_setup_teardown(computed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(units, set_up, tear_down),
		cmocka_unit_test_setup_teardown(reals_and_texts, set_up, tear_down),
		cmocka_unit_test_setup_teardown(messages, set_up, tear_down),
		cmocka_unit_test_setup_teardown(malformed_numbers, set_up, tear_down),
		cmocka_unit_test_setup_teardown(any_number_of_places, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_long_value_does_not_hide_the_range, set_up,
			tear_down),
		cmocka_unit_test(bad_default),
		cmocka_unit_test(notation),
		cmocka_unit_test(nearest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
