/* SPDX-License-Identifier: MIT */
/* The part of coroutine.cc whose headers are C alone. */
#include "core/engine/test/coroutine.h"

#include "core/engine/test/engine_torture.h"

static shunt_task_fn *root;
static long expected;

static void coroutines_run_as_step_tasks(void **state)
{
	static const char *const specs[] = {"ucontext", "asm", "asm:interval=1",
		"asm:workers=2,policy=steal", "asm:workers=2,policy=shared"};
	(void)state;
	for (size_t i = 0; i < sizeof(specs) / sizeof(specs[0]); i++) {
		struct shunt_error err = {""};
		struct shunt_sched *sched;
		void *result = NULL;
		if (shunt_open(&sched, specs[i], NULL, &err) ||
			shunt_run(sched, root, NULL, &result, &err))
			fail_msg("%s: %s", specs[i], err.text);
		shunt_close(sched);
		assert_non_null(result);
		assert_int_equal(*(long *)result, expected);
	}
}

int coroutine_test(shunt_task_fn *fn, long sum)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(coroutines_run_as_step_tasks)};
	root = fn;
	expected = sum;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
