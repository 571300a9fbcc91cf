/* SPDX-License-Identifier: MIT */
/* Tasks run, switch, sleep, wait for each other and end, and the engine says when none is left. */
#include "core/backend.h"
#include "core/step.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/prctl.h>

enum { YIELDS = 100 };

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

/* ---- runs from several threads --------------------------------------------------------------- */

enum { THREADS = 4, TRIES = 100 };

static struct shared {
	struct shunt_sched *sched;
	_Atomic int inside, most, ran, refused, wrong;
} shared;

static void *alone(void *arg)
{
	int inside = ++shared.inside;
	if (inside > shared.most)
		shared.most = inside;
	shunt_yield();
	shared.ran++;
	shared.inside--;
	return arg;
}

static void *tries(void *arg)
{
	for (int i = 0; i < TRIES; i++) {
		struct shunt_error err = {""};
		void *result = NULL;
		int rc = shunt_run(shared.sched, alone, &err, &result, &err);
		shared.refused += rc == -EBUSY;
		shared.wrong += rc == 0 ? result != &err : rc != -EBUSY || !err.text[0];
	}
	return arg;
}

static void one_run_is_on_at_a_time(void **state)
{
	static const char *const specs[] = {"asm", "ucontext:workers=2"};
	(void)state;
	for (size_t i = 0; i < sizeof(specs) / sizeof(specs[0]); i++) {
		struct shunt_error err = {""};
		pthread_t thread[THREADS];
		shared = (struct shared){.sched = NULL};
		if (shunt_open(&shared.sched, specs[i], NULL, &err))
			fail_msg("%s", err.text);
		for (int t = 0; t < THREADS; t++)
			assert_int_equal(pthread_create(&thread[t], NULL, tries, NULL), 0);
		for (int t = 0; t < THREADS; t++)
			assert_int_equal(pthread_join(thread[t], NULL), 0);
		shunt_close(shared.sched);
		assert_int_equal(shared.most, 1);
		assert_int_equal(shared.wrong, 0);
		assert_int_equal(shared.ran + shared.refused, THREADS * TRIES);
		assert_true(shared.ran > 0);
	}
}

/* ---- counts ---------------------------------------------------------------------------------- */

#define TRANSFERS 10000

static void *give_back(void *arg)
{
	shunt_park();
	for (int i = 0; i < TRANSFERS; i++)
		shunt_transfer(*(struct shunt_handle *)arg);
	return arg;
}

static void *hand_over(void *arg)
{
	struct shunt_handle self = shunt_self(), other;
	assert_int_equal(shunt_spawn(&other, give_back, &self, NULL), 0);
	shunt_yield();
	for (int i = 0; i < TRANSFERS; i++)
		shunt_transfer(other);
	shunt_wake(other);
	assert_int_equal(shunt_join(other, NULL), 0);
	return arg;
}

static void take_switches(void *sink, const char *name, uint64_t value)
{
	if (!strcmp(name, "switches"))
		*(uint64_t *)sink = value;
}

/* Those that go by way of the slow path, too. */
static void a_transfer_is_one_switch(void **state)
{
	uint64_t switches = 0;
	struct shunt_sched *sched;
	(void)state;
	assert_int_equal(shunt_open(&sched, "asm:interval=3", NULL, NULL), 0);
	assert_int_equal(shunt_run(sched, hand_over, NULL, NULL, NULL), 0);
	sched->backend->counters(sched, take_switches, &switches);
	assert_in_range(switches, 2 * TRANSFERS, 2 * TRANSFERS + 20);
	shunt_close(sched);
}

/* ---- a yield to oneself ---------------------------------------------------------------------- */

static int yield_alone_step(struct shunt_step *step)
{
	static int left;
	SHUNT_STEP_BEGIN(step);
	for (left = YIELDS; left; left--)
		SHUNT_STEP_GIVE_WAY(step);
	SHUNT_STEP_END(step);
}

static void *yield_alone(void *arg)
{
	struct shunt_step frame;
	struct shunt_handle task;
	for (int i = 0; i < YIELDS; i++)
		shunt_yield();
	assert_int_equal(shunt_spawn_step(&task, yield_alone_step, &frame, NULL), 0);
	assert_int_equal(shunt_join(task, NULL), 0);
	return arg;
}

static void take_self_picks(void *sink, const char *name, uint64_t value)
{
	if (!strcmp(name, "self_picks"))
		*(uint64_t *)sink = value;
}

/* With a stack and without one, and on the slow path. */
static void a_yield_to_oneself_is_no_switch(void **state)
{
	uint64_t switches = 0, self_picks = 0;
	struct shunt_sched *sched;
	assert_int_equal(shunt_open(&sched, *state, NULL, NULL), 0);
	assert_int_equal(shunt_run(sched, yield_alone, NULL, NULL, NULL), 0);
	sched->backend->counters(sched, take_switches, &switches);
	sched->backend->counters(sched, take_self_picks, &self_picks);
	assert_int_equal(self_picks, 2 * YIELDS);
	assert_in_range(switches, 1, 10);
	shunt_close(sched);
}

static int slack_ns(void)
{
	return prctl(PR_GET_TIMERSLACK, 0, 0, 0, 0);
}

static void *look_at_slack(void *arg)
{
	*(int *)arg = slack_ns();
	return NULL;
}

static void the_slack_is_set_and_put_back(void **state)
{
	(void)state;
	int before = slack_ns(), meanwhile[3];
	const char *specs[] = {"asm:wait.slack=12345ns", "asm:wait.slack=0", "sim"};
	for (int i = 0; i < 3; i++) {
		struct shunt_sched *sched;
		assert_int_equal(shunt_open(&sched, specs[i], NULL, NULL), 0);
		assert_int_equal(shunt_run(sched, look_at_slack, &meanwhile[i], NULL, NULL), 0);
		assert_int_equal(slack_ns(), before);
		shunt_close(sched);
	}
	assert_int_equal(meanwhile[0], 12345);
	assert_int_equal(meanwhile[1], before);
	assert_int_equal(meanwhile[2], before);
}

/* The kernel would take the setting in silence, and the record would name it. */
static void a_real_time_thread_has_no_slack(void **state)
{
	(void)state;
	struct sched_param first = {.sched_priority = 1}, none = {.sched_priority = 0};
	struct shunt_sched *sched;
	struct shunt_error err = {""};
	if (sched_setscheduler(0, SCHED_FIFO, &first))
		skip(); /* not allowed here */
	assert_int_equal(shunt_open(&sched, "asm:wait.slack=12345ns", NULL, NULL), 0);
	assert_int_equal(shunt_run(sched, add, NULL, NULL, &err), -EOPNOTSUPP);
	assert_non_null(strstr(err.text, "wait.slack=12345ns"));
	shunt_close(sched);
	assert_int_equal(sched_setscheduler(0, SCHED_OTHER, &none), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(runs_to_the_end),
		cmocka_unit_test(a_deadlock_is_named),
		cmocka_unit_test(one_run_is_on_at_a_time),
		cmocka_unit_test(a_transfer_is_one_switch),
		cmocka_unit_test(the_slack_is_set_and_put_back),
		cmocka_unit_test(a_real_time_thread_has_no_slack),
		cmocka_unit_test_prestate(a_yield_to_oneself_is_no_switch,
			(void *)"asm:interval=3"),
		cmocka_unit_test_prestate(a_yield_to_oneself_is_no_switch,
			(void *)"asm:interval=3,mt=1,policy=steal"),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
