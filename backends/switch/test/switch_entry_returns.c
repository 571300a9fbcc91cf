/* SPDX-License-Identifier: MIT */
/* If this passes, an entry that returns ends the process by a trap, and runs nothing else. */
#include "backends/switch/test/variants.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static void *main_sp, *other_sp;

static void returns(uintptr_t value)
{
	(void)value;
}

static void __attribute__((noreturn)) run_child(const struct shunt_switch_ops *ops)
{
	const struct rlimit no_core = {0, 0};
	void *stack = stack_new();

	setrlimit(RLIMIT_CORE, &no_core);
	signal(SIGILL, SIG_DFL);
	signal(SIGTRAP, SIG_DFL);
	other_sp = ops->make(stack, STACK_BYTES, returns);
	ops->swap(&main_sp, other_sp, 0);
	_exit(0);
}

static void traps(const struct shunt_switch_ops *ops)
{
	int status = 0;
	pid_t child = fork();

	assert_true(child >= 0);
	if (child == 0)
		run_child(ops);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status));
	assert_true(WTERMSIG(status) == SIGILL || WTERMSIG(status) == SIGTRAP);
}

static void entries_that_return(void **state)
{
	(void)state;
	for_each_variant(traps);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(entries_that_return),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
