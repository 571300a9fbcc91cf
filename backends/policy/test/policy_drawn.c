/* SPDX-License-Identifier: MIT */
/*
 * If this passes, a seed of drawn is a schedule, priorities last as long as the strategy says, a
 * task falls behind at a drawn change, or when it is picked again and again, and of two that fell
 * behind at changes either may go on first.
 */
#include "core/backend.h"
#include "core/engine/policy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>

enum { TASKS = 6, ROUNDS = 40, PATIENCE = 1000 };

static struct shunt_sched *sched;
static struct shunt_worker *worker;
static const struct shunt_policy *policy;
static struct shunt_task task[TASKS];

static void begin(const char *spec)
{
	struct shunt_error err = {""};
	if (shunt_open(&sched, spec, NULL, &err))
		fail_msg("%s: %s", spec, err.text);
	worker = shunt_engine_of(sched)->workers[0];
	policy = shunt_engine_of(sched)->policy;
	if (policy->reserve(worker->policy_shared, TASKS))
		fail_msg("no memory");
}

static void put(int which, unsigned why)
{
	policy->enqueue(worker, &task[which], why);
}

static int taken(struct shunt_task *current)
{
	struct shunt_task *next = policy->pick(worker, current);
	return next ? (int)(next - task) : -1;
}

/* All tasks become ready, and then run; their order as a number. */
static int order(unsigned why)
{
	int digits = 0;
	for (int i = 0; i < TASKS; i++)
		put(i, why);
	for (int i = 0; i < TASKS; i++)
		digits = digits * 10 + taken(NULL);
	assert_int_equal(taken(NULL), -1);
	return digits;
}

static int first_order(const char *spec)
{
	begin(spec);
	int digits = order(SHUNT_WHY_NEW);
	shunt_close(sched);
	return digits;
}

static void a_seed_is_a_schedule(void **state)
{
	(void)state;
	int others = 0, one = first_order("ucontext:policy=drawn,policy.seed=1");
	char spec[64];
	assert_int_equal(first_order("ucontext:policy=drawn,policy.seed=1"), one);
	for (int seed = 2; seed < 12; seed++) {
		snprintf(spec, sizeof(spec), "ucontext:policy=drawn,policy.seed=%d", seed);
		others += first_order(spec) != one;
	}
	assert_true(others >= 8); /* of 720 orders */
}

static void priorities_last(void **state)
{
	(void)state;
	begin("ucontext:policy=drawn,policy.depth=1");
	int one = order(SHUNT_WHY_NEW);
	for (int i = 0; i < ROUNDS; i++)
		assert_int_equal(order(SHUNT_WHY_WAKE), one);
	shunt_close(sched);

	begin("ucontext:policy=drawn,policy.strategy=pos");
	int others = 0;
	one = order(SHUNT_WHY_NEW);
	for (int i = 0; i < ROUNDS; i++)
		others += order(SHUNT_WHY_WAKE) != one;
	assert_true(others > ROUNDS / 2);
	shunt_close(sched);
}

static void a_change_puts_one_behind(void **state)
{
	(void)state;
	/* The one change is at the first pick: who would be first is last from then on. */
	begin("ucontext:policy=drawn,policy.depth=2,policy.steps=1");
	int changed = order(SHUNT_WHY_NEW), last = changed % 10;
	assert_int_equal(order(SHUNT_WHY_WAKE), changed);
	shunt_close(sched);
	/* The same with a change that never comes. */
	begin("ucontext:policy=drawn,policy.depth=2,policy.steps=1000000000");
	int whole = order(SHUNT_WHY_NEW);
	assert_int_equal(whole / 100000, last);
	assert_int_equal(whole % 100000, changed / 10);
	shunt_close(sched);
}

/* So a schedule with fewer changes differs from the whole one in these alone. */
static void the_depth_does_not_change_priorities(void **state)
{
	(void)state;
	char spec[96];
	for (int seed = 1; seed <= ROUNDS; seed++) {
		int digits[3];
		for (int i = 0; i < 3; i++) {
			snprintf(spec, sizeof(spec),
				"ucontext:policy=drawn,policy.depth=%d,policy.steps=1000000000,"
				"policy.seed=%d",
				(int[]){1, 2, 16}[i], seed);
			digits[i] = first_order(spec);
		}
		assert_int_equal(digits[1], digits[0]);
		assert_int_equal(digits[2], digits[0]);
	}
}

/* Two changes at the first two picks: the tasks that fell behind are the last, in either order. */
static void of_two_behind_either_is_first(void **state)
{
	(void)state;
	char spec[80];
	int swapped = 0, kept = 0;
	for (int seed = 1; seed <= 5 * ROUNDS; seed++) {
		snprintf(spec, sizeof(spec), "ucontext:policy=drawn,policy.depth=1,policy.seed=%d",
			seed);
		int whole = first_order(spec);
		snprintf(spec, sizeof(spec),
			"ucontext:policy=drawn,policy.depth=3,policy.steps=2,policy.seed=%d", seed);
		begin(spec);
		order(SHUNT_WHY_NEW);
		int last = order(SHUNT_WHY_WAKE) % 100;
		shunt_close(sched);
		/* The first falls at the first pick, and the second runs; then the third falls. */
		int first = whole / 100000, third = whole / 1000 % 10;
		kept += last == 10 * first + third;
		swapped += last == 10 * third + first;
	}
	/* In half of the seeds both changes are at one pick. */
	assert_true(kept > ROUNDS / 2);
	assert_true(swapped > ROUNDS / 2);
}

static void who_polls_falls_behind(void **state)
{
	(void)state;
	begin("ucontext:policy=drawn,policy.depth=1");
	put(0, SHUNT_WHY_NEW);
	put(1, SHUNT_WHY_NEW);
	int first = taken(NULL), picks = 2;
	while (taken(&task[first]) == first)
		picks++;
	assert_int_equal(picks, PATIENCE);
	/* The other one runs; what yielded is behind it for good. */
	put(first, SHUNT_WHY_YIELD);
	assert_int_equal(taken(&task[1 - first]), 1 - first);
	shunt_close(sched);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_seed_is_a_schedule),
		cmocka_unit_test(priorities_last),
		cmocka_unit_test(a_change_puts_one_behind),
		cmocka_unit_test(the_depth_does_not_change_priorities),
		cmocka_unit_test(of_two_behind_either_is_first),
		cmocka_unit_test(who_polls_falls_behind),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
