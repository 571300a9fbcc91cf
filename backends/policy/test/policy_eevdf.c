/* SPDX-License-Identifier: MIT */
/*
 * If this passes, eevdf shares the processor by weight: of the eligible tasks the one with the
 * earliest virtual deadline runs, and none gets ahead of or behind its share by more than a slice.
 *
 * The test calls the hooks of one worker with times of its own. The shares are computed here again
 * as what an ideal processor would give, in floating point. SHUNT_SEED repeats a drawn schedule.
 */
#include "core/backend.h"
#include "core/engine/policy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>
#include <stdlib.h>

enum { TASKS = 12, STEPS = 20000 };

#define US    INT64_C(1000)
#define SLICE (100 * US)

static struct shunt_sched *sched;
static struct shunt_worker *worker;
static const struct shunt_policy *policy;
static struct shunt_task task[TASKS];

static void begin(void)
{
	struct shunt_error err = {""};
	if (shunt_open(&sched, "ucontext:policy=eevdf,policy.slice=100us", NULL, &err))
		fail_msg("%s", err.text);
	worker = shunt_engine_of(sched)->workers[0];
	policy = shunt_engine_of(sched)->policy;
	worker->ctx.current = &worker->loop;
	assert_int_equal(policy->reserve(worker->policy_shared, TASKS), 0);
}

static void spawn(int number, unsigned class)
{
	struct shunt_attr attr = {.priority = class};
	task[number] = (struct shunt_task){.key = policy->key(&attr)};
	policy->enqueue(worker, &task[number], SHUNT_WHY_NEW);
}

static int taken(struct shunt_task *current)
{
	struct shunt_task *next = policy->pick(worker, current);
	return next ? (int)(next - task) : -1;
}

static void ran(int number, int64_t ran_ns)
{
	worker->env.ran_ns = ran_ns;
	policy->stopping(worker, &task[number]);
}

/* The task has run and yields; returns the next one. */
static int yields(int number, int64_t ran_ns)
{
	ran(number, ran_ns);
	int next = taken(&task[number]);
	if (next != number)
		policy->enqueue(worker, &task[number], SHUNT_WHY_YIELD);
	return next;
}

/* The task has run and blocks or ends; returns the next one, or -1. */
static int leaves(int number, int64_t ran_ns)
{
	ran(number, ran_ns);
	return taken(NULL);
}

static void equal_weights_take_turns(void **state)
{
	(void)state;
	begin();
	for (int i = 0; i < 3; i++)
		spawn(i, 0);
	int next = taken(NULL);
	for (int i = 0; i < 30; i++) {
		assert_int_equal(next, i % 3);
		next = yields(next, SLICE);
	}
	shunt_close(sched);
}

/* Task 0 has the earlier deadline, 2 against 8 slices, but has run for more than its share. */
static void only_the_eligible_run(void **state)
{
	(void)state;
	begin();
	spawn(0, 0);
	spawn(1, 3);
	assert_int_equal(taken(NULL), 0);
	assert_int_equal(yields(0, SLICE), 1);
	/* The other is ahead now, and nobody else is until it has given way for eight slices. */
	int next = yields(1, SLICE);
	for (int i = 0; i < 8; i++) {
		assert_int_equal(next, 0);
		next = yields(0, SLICE);
	}
	assert_int_equal(next, 1);
	shunt_close(sched);
}

/* Both are eligible: a new task of the larger weight has the earlier deadline. */
static void the_earlier_deadline_runs(void **state)
{
	(void)state;
	begin();
	spawn(0, 2);
	spawn(1, 1);
	spawn(2, 0);
	assert_int_equal(taken(NULL), 2);
	shunt_close(sched);
}

static void a_class_beyond_the_last_is_the_last(void **state)
{
	struct shunt_attr last = {.priority = 6}, beyond = {.priority = 63};
	(void)state;
	begin();
	assert_int_equal(policy->key(&beyond), policy->key(&last));
	assert_int_equal(policy->key(NULL), 0);
	shunt_close(sched);
}

/* A wait earns nothing: whoever comes back has its slice, and no more, before the others. */
static void a_wait_earns_nothing(void **state)
{
	(void)state;
	begin();
	spawn(0, 0);
	spawn(1, 0);
	assert_int_equal(taken(NULL), 0);
	assert_int_equal(leaves(0, 1 * US), 1);
	for (int i = 0; i < 100; i++)
		assert_int_equal(yields(1, SLICE), 1);
	policy->enqueue(worker, &task[0], SHUNT_WHY_TIMER);
	int turns = 0, next = yields(1, SLICE);
	for (int i = 0; i < 20; i++) {
		turns += next == 0;
		next = yields(next, SLICE);
	}
	assert_in_range(turns, 9, 11);
	shunt_close(sched);
}

/* Short tasks that come and go leave what they have not used to those that stay: a task that has
 * been there all the time keeps up with one that comes at the end. */
static void what_is_left_goes_to_those_that_stay(void **state)
{
	(void)state;
	begin();
	spawn(0, 0);
	assert_int_equal(taken(NULL), 0);
	for (int i = 0; i < 1000; i++) {
		spawn(1, 0);
		assert_int_equal(yields(0, SLICE), 1);
		assert_int_equal(leaves(1, 1 * US), 0);
	}
	spawn(2, 0);
	int turns = 0, next = yields(0, SLICE);
	for (int i = 0; i < 20; i++) {
		turns += next == 0;
		next = yields(next, SLICE);
	}
	assert_in_range(turns, 9, 11);
	shunt_close(sched);
}

/* What each has run against its share of all, with drawn weights and drawn runs within a slice. */
static void nobody_is_off_by_more_than_a_slice(void **state)
{
	const char *given = getenv("SHUNT_SEED");
	uint64_t seed = given ? strtoull(given, NULL, 0) : (uint64_t)shunt_now_ns();
	double weight[TASKS], has[TASKS] = {0}, all = 0, done = 0;
	struct shunt_rng rng;
	(void)state;
	shunt_rng_init(&rng, seed);
	begin();
	for (int i = 0; i < TASKS; i++) {
		unsigned class = (unsigned)shunt_rng_below(&rng, 7);
		all += weight[i] = pow(0.5, class);
		spawn(i, class);
	}
	int next = taken(NULL);
	for (int step = 0; step < STEPS; step++) {
		int64_t ran_ns = 1 + (int64_t)shunt_rng_below(&rng, SLICE);
		int now = next;
		next = yields(now, ran_ns);
		has[now] += (double)ran_ns;
		done += (double)ran_ns;
		for (int i = 0; i < TASKS; i++)
			if (fabs(has[i] - done * weight[i] / all) > (double)SLICE + 1)
				fail_msg("task %d of weight %g is %g ns off after %g "
					 "(SHUNT_SEED=%llu)",
					i, weight[i], has[i] - done * weight[i] / all, done,
					(unsigned long long)seed);
	}
	shunt_close(sched);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(equal_weights_take_turns),
		cmocka_unit_test(only_the_eligible_run),
		cmocka_unit_test(the_earlier_deadline_runs),
		cmocka_unit_test(a_class_beyond_the_last_is_the_last),
		cmocka_unit_test(a_wait_earns_nothing),
		cmocka_unit_test(what_is_left_goes_to_those_that_stay),
		cmocka_unit_test(nobody_is_off_by_more_than_a_slice),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
