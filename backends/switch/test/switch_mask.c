/* SPDX-License-Identifier: MIT */
/* If this passes, a switch that says so keeps the signal mask per context, and no other does. */
#include "backends/switch/test/variants.h"

#include <signal.h>

static const struct shunt_switch_ops *ops;
static void *main_sp, *other_sp;
static bool seen_in_other;

static bool is_blocked(int signal)
{
	sigset_t now;

	sigemptyset(&now);
	sigprocmask(SIG_BLOCK, NULL, &now);
	return sigismember(&now, signal);
}

static void change(int how, int signal)
{
	sigset_t one;

	sigemptyset(&one);
	sigaddset(&one, signal);
	sigprocmask(how, &one, NULL);
}

static void other(uintptr_t value)
{
	(void)value;
	change(SIG_BLOCK, SIGUSR1);
	ops->swap(&other_sp, main_sp, 0);
	seen_in_other = is_blocked(SIGUSR1);
	ops->swap(&other_sp, main_sp, 0);
}

static void mask_of(const struct shunt_switch_ops *variant)
{
	void *stack = stack_new();

	ops = variant;
	change(SIG_UNBLOCK, SIGUSR1);
	other_sp = ops->make(stack, STACK_BYTES, other);
	ops->swap(&main_sp, other_sp, 0);
	assert_int_equal(is_blocked(SIGUSR1), !ops->saves_signal_mask);
	change(SIG_UNBLOCK, SIGUSR1);
	ops->swap(&main_sp, other_sp, 0);
	assert_int_equal(seen_in_other, ops->saves_signal_mask);
	change(SIG_UNBLOCK, SIGUSR1);
	free(stack);
}

static void masks(void **state)
{
	(void)state;
	for_each_variant(mask_of);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(masks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
