/* SPDX-License-Identifier: MIT */
/* Tasks run, switch, sleep, wait for each other and end, and the engine says when none is left. */
#include "core/backend.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <string.h>

static void *add(void *arg)
{
	int *count = arg;
	for (int i = 0; i < 100; i++) {
		++*count;
		shunt_yield();
	}
	return count;
}

static void *root(void *arg)
{
	(void)arg;
	int count = 0;
	struct shunt_handle task[10];
	for (int i = 0; i < 10; i++)
		assert_int_equal(shunt_spawn(&task[i], add, &count, NULL), 0);
	for (int i = 0; i < 10; i++) {
		void *result = NULL;
		assert_int_equal(shunt_join(task[i], &result), 0);
		assert_ptr_equal(result, &count);
		assert_int_equal(shunt_join(task[i], NULL), -ESRCH);
	}
	assert_int_equal(count, 1000);
	int64_t before = shunt_now_ns();
	assert_int_equal(shunt_sleep_for(2000000), 0);
	assert_true(shunt_now_ns() - before >= 2000000);
	assert_int_equal(shunt_park_until(shunt_now_ns() + 1000000), -ETIMEDOUT);
	return arg;
}

static void runs_to_the_end(void **state)
{
	(void)state;
	struct shunt_sched *sched;
	struct shunt_error err = {""};
	int rc = shunt_open(&sched, "asm", NULL, &err);
	if (rc)
		fail_msg("%s", err.text);
	for (int i = 0; i < 3; i++) {
		void *result = NULL;
		rc = shunt_run(sched, root, &err, &result, &err);
		if (rc)
			fail_msg("%s", err.text);
		assert_ptr_equal(result, &err);
	}
	shunt_close(sched);
}

static void *stuck(void *arg)
{
	(void)arg;
	shunt_park();
	return NULL;
}

static void a_deadlock_is_named(void **state)
{
	(void)state;
	struct shunt_sched *sched;
	struct shunt_error err = {""};
	assert_int_equal(shunt_open(&sched, "asm", NULL, &err), 0);
	assert_int_equal(shunt_run(sched, stuck, NULL, NULL, &err), -EDEADLK);
	assert_non_null(strstr(err.text, "'root', task 0 in park"));
	shunt_close(sched);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(runs_to_the_end),
		cmocka_unit_test(a_deadlock_is_named),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
