/* SPDX-License-Identifier: MIT */
/*
 * If this passes, the rounding mode belongs to the context for the FP words a switch says that it
 * keeps, and to the thread for the others: what a context sets is there when it comes back, a fresh
 * one has its maker's, and reset_fp() gives back what was there when the switch was resolved.
 */
#include "backends/switch/test/variants.h"

#include <fenv.h>

/* Two units compute: one double, and on x86-64 the x87 long double, each with words of its own. How
 * they round shows in a third and in minus a third. */
static int rounding_of_double(void)
{
	volatile double one = 1, minus = -1, three = 3;
	volatile double third = one / three, negative = minus / three;

	if (third == -negative)
		return FE_TONEAREST;
	return third > -negative ? FE_UPWARD : FE_DOWNWARD;
}

static int rounding_of_x87(void)
{
#ifdef __x86_64__
	volatile long double one = 1, minus = -1, three = 3;
	volatile long double third = one / three, negative = minus / three;

	if (third == -negative)
		return FE_TONEAREST;
	return third > -negative ? FE_UPWARD : FE_DOWNWARD;
#else
	return rounding_of_double();
#endif
}

static const struct shunt_switch_ops *ops;
static bool keeps_double, keeps_x87;
static void *main_sp, *other_sp, *stack;
static struct {
	int of_double, of_x87;
} first, again;

static void other(uintptr_t value)
{
	(void)value;
	first.of_double = rounding_of_double();
	first.of_x87 = rounding_of_x87();
	fesetround(FE_DOWNWARD);
	ops->swap(&other_sp, main_sp, 0);
	again.of_double = rounding_of_double();
	again.of_x87 = rounding_of_x87();
	ops->swap(&other_sp, main_sp, 0);
}

static void setup(const struct shunt_switch_ops *variant)
{
	ops = variant;
	keeps_double = strcmp(ops->fp, "none") != 0;
#ifdef __x86_64__
	keeps_x87 = strcmp(ops->fp, "full") == 0;
#else
	keeps_x87 = keeps_double;
#endif
	stack = stack_new();
}

static void per_context(const struct shunt_switch_ops *variant)
{
	int of_double, of_x87;

	setup(variant);
	fesetround(FE_UPWARD);
	other_sp = ops->make(stack, STACK_BYTES, other);
	fesetround(FE_TONEAREST);
	ops->swap(&main_sp, other_sp, 0);
	of_double = rounding_of_double();
	of_x87 = rounding_of_x87();
	fesetround(FE_UPWARD);
	ops->swap(&main_sp, other_sp, 0);
	fesetround(FE_TONEAREST);
	/* A fresh context has its maker's words if they are kept, else the thread's. */
	assert_int_equal(first.of_double, keeps_double ? FE_UPWARD : FE_TONEAREST);
	assert_int_equal(first.of_x87, keeps_x87 ? FE_UPWARD : FE_TONEAREST);
	/* What the other context set is not ours, unless it is the thread's. */
	assert_int_equal(of_double, keeps_double ? FE_TONEAREST : FE_DOWNWARD);
	assert_int_equal(of_x87, keeps_x87 ? FE_TONEAREST : FE_DOWNWARD);
	assert_int_equal(again.of_double, keeps_double ? FE_DOWNWARD : FE_UPWARD);
	assert_int_equal(again.of_x87, keeps_x87 ? FE_DOWNWARD : FE_UPWARD);
	free(stack);
}

static void reset(const struct shunt_switch_ops *variant)
{
	int of_double, of_x87;

	setup(variant);
	assert_int_equal(ops->reset_fp != NULL, keeps_double);
	if (ops->reset_fp) {
		fesetround(FE_UPWARD);
		ops->reset_fp(ops->fp_words);
		of_double = rounding_of_double();
		of_x87 = rounding_of_x87();
		fesetround(FE_TONEAREST);
		assert_int_equal(of_double, FE_TONEAREST);
		assert_int_equal(of_x87, keeps_x87 ? FE_TONEAREST : FE_UPWARD);
	}
	free(stack);
}

static void words_are_kept(void **state)
{
	(void)state;
	for_each_variant(per_context);
}

static void words_are_reset(void **state)
{
	(void)state;
	for_each_variant(reset);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(words_are_kept),
		cmocka_unit_test(words_are_reset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
