/* SPDX-License-Identifier: MIT */
/*
 * With policy.window=N a task that has not started waits while N tasks that have are ready, unless
 * they all wait for it; one that was woken waits for nobody.
 *
 * One worker: what runs when is one sequence, known beforehand.
 */
#include "core/backend.h"
#include "core/step.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

enum { MANY = 300, TURNS = 61 };

static char ran[64];

static void note(int letter)
{
	size_t used = strlen(ran);
	assert_true(used + 1 < sizeof(ran));
	ran[used] = (char)letter;
}

static void spawn(struct shunt_handle *handle, shunt_task_fn *fn, uintptr_t arg)
{
	assert_int_equal(shunt_spawn(handle, fn, (void *)arg, NULL), 0);
}

static int run(const char *spec, shunt_task_fn *root, struct shunt_error *err)
{
	struct shunt_sched *sched;
	int rc = shunt_open(&sched, spec, NULL, err);
	if (rc)
		return rc;
	memset(ran, 0, sizeof(ran));
	rc = shunt_run(sched, root, NULL, NULL, err);
	shunt_close(sched);
	return rc;
}

static void runs(const char *policy, shunt_task_fn *root, const char *order)
{
	static const char *const ways[] = {"", ",mt=1", ",dispatch=vtable",
		",workers=1,mt=1,interval=1"};
	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		struct shunt_error err = {""};
		char spec[128];
		snprintf(spec, sizeof(spec), "ucontext:policy=%s%s", policy, ways[i]);
		if (run(spec, root, &err))
			fail_msg("%s: %s", spec, err.text);
		if (strcmp(ran, order))
			fail_msg("%s: ran %s, not %s", spec, ran, order);
	}
}

/* ---- the order ------------------------------------------------------------------------------- */

static void *thrice(void *arg)
{
	for (int i = 0; i < 3; i++) {
		note((int)(uintptr_t)arg);
		shunt_yield();
	}
	return arg;
}

static void *five(void *arg)
{
	for (uintptr_t letter = 'A'; letter <= 'E'; letter++)
		spawn(NULL, thrice, letter);
	return arg;
}

static void new_tasks_wait_for_those_in_turn(void **state)
{
	(void)state;
	runs("fifo", five, "ABCDEABCDEABCDE");
	runs("fifo,policy.window=0", five, "ABCDEABCDEABCDE");
	runs("fifo,policy.window=5", five, "ABCDEABCDEABCDE");
	runs("fifo,policy.window=1000", five, "ABCDEABCDEABCDE");
	runs("fifo,policy.window=1", five, "AAABBBCCCDDDEEE");
	runs("fifo,policy.window=2", five, "ABABABCDCDCDEEE");
	runs("steal", five, "EDCBAEDCBAEDCBA");
	runs("steal,policy.window=1000", five, "EDCBAEDCBAEDCBA");
	runs("steal,policy.window=1", five, "EEEDDDCCCBBBAAA");
	runs("steal,policy.window=2", five, "EDEDEDCBCBCBAAA");
}

struct stepper {
	struct shunt_step step;
	int letter, left;
};

static int thrice_in_steps(struct shunt_step *step)
{
	struct stepper *self = (struct stepper *)step;
	if (self->left-- == 0)
		return SHUNT_STEP_DONE;
	note(self->letter);
	return SHUNT_STEP_YIELD;
}

static void *five_in_steps(void *arg)
{
	static struct stepper stepper[5];
	for (int i = 0; i < 5; i++) {
		stepper[i] = (struct stepper){.letter = 'A' + i, .left = 3};
		assert_int_equal(shunt_spawn_step(NULL, thrice_in_steps, &stepper[i].step, NULL),
			0);
	}
	return arg;
}

static void step_tasks_count_as_others(void **state)
{
	(void)state;
	runs("fifo,policy.window=2", five_in_steps, "ABABABCDCDCDEEE");
	runs("steal,policy.window=2", five_in_steps, "EDEDEDCBCBCBAAA");
}

/* ---- how many -------------------------------------------------------------------------------- */

static int under_way, most_under_way;

static void *often(void *arg)
{
	under_way++;
	most_under_way = under_way > most_under_way ? under_way : most_under_way;
	for (int i = 0; i < TURNS - 2; i++)
		shunt_yield();
	under_way--;
	return arg;
}

static void *many(void *arg)
{
	for (int i = 0; i < MANY; i++)
		spawn(NULL, often, 0);
	return arg;
}

static void no_more_than_the_window_take_turns(void **state)
{
	static const char *const policies[] = {"fifo", "steal"};
	(void)state;
	for (int i = 0; i < 2; i++)
		for (int window = 1; window < 2 * MANY; window = window * 3 + 1) {
			char spec[64];
			struct shunt_error err = {""};
			snprintf(spec, sizeof(spec), "ucontext:policy=%s,policy.window=%d",
				policies[i], window);
			most_under_way = 0;
			if (run(spec, many, &err))
				fail_msg("%s: %s", spec, err.text);
			assert_int_equal(most_under_way, window < MANY ? window : MANY);
		}
}

/* ---- who does not wait ----------------------------------------------------------------------- */

static int awaited;

static void *polls(void *arg)
{
	while (!awaited)
		shunt_yield();
	return arg;
}

static void *is_awaited(void *arg)
{
	awaited = 1;
	return arg;
}

/* All of the rotation waits for the task that would start as the last one. */
static void *pollers(void *arg)
{
	bool first = !strcmp(ran, "s");
	awaited = 0;
	if (first)
		spawn(NULL, is_awaited, 0);
	for (int i = 0; i < 20; i++)
		spawn(NULL, polls, 0);
	if (!first)
		spawn(NULL, is_awaited, 0);
	return arg;
}

static void *newest_first(void *arg)
{
	note('s');
	return pollers(arg);
}

static void who_polls_for_a_new_task_gets_it(void **state)
{
	static const char *const windows[] = {"1", "3", "20"};
	(void)state;
	for (size_t i = 0; i < sizeof(windows) / sizeof(windows[0]); i++) {
		char policy[64];
		snprintf(policy, sizeof(policy), "fifo,policy.window=%s", windows[i]);
		runs(policy, pollers, "");
		snprintf(policy, sizeof(policy), "steal,policy.window=%s", windows[i]);
		runs(policy, newest_first, "s");
	}
}

static struct shunt_handle parked[3];

static void *parks(void *arg)
{
	shunt_park();
	note((int)(uintptr_t)arg);
	shunt_yield();
	note((int)(uintptr_t)arg);
	return arg;
}

static void *new_one(void *arg)
{
	note('n');
	return arg;
}

/* More are woken than the window holds, with a new task there before. */
static void *wakes(void *arg)
{
	for (uintptr_t i = 0; i < 3; i++)
		spawn(&parked[i], parks, 'A' + i);
	shunt_sleep_for(1000000);
	spawn(NULL, new_one, 0);
	for (int i = 0; i < 3; i++)
		shunt_wake(parked[i]);
	return arg;
}

static void a_woken_task_does_not_wait(void **state)
{
	(void)state;
	runs("fifo,policy.window=2", wakes, "ABCABnC");
	runs("steal,policy.window=2", wakes, "ABCABnC");
}

/* ---- clear answers --------------------------------------------------------------------------- */

static void refused(const char *spec, const char *word)
{
	struct shunt_error err = {""};
	struct shunt_sched *sched;
	assert_true(shunt_open(&sched, spec, NULL, &err) < 0);
	if (!strstr(err.text, word))
		fail_msg("%s: %s", spec, err.text);
}

static void what_makes_no_sense_is_refused(void **state)
{
	(void)state;
	refused("ucontext:policy=lifo,policy.window=2", "policy.window");
	refused("ucontext:policy=shared,policy.window=2", "policy.window");
	refused("ucontext:policy=fifo,policy.window=-1", "window");
	refused("ucontext:policy=steal,policy.window=2,policy.lifo_slot=2", "lifo_slot and window");
}

static void it_is_first_in_first_out_no_more(void **state)
{
	struct shunt_sched *sched;
	(void)state;
	assert_int_equal(shunt_open(&sched, "ucontext", NULL, NULL), 0);
	assert_true(sched->caps & SHUNT_FIFO);
	shunt_close(sched);
	assert_int_equal(shunt_open(&sched, "ucontext:policy.window=2", NULL, NULL), 0);
	assert_false(sched->caps & SHUNT_FIFO);
	shunt_close(sched);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(new_tasks_wait_for_those_in_turn),
		cmocka_unit_test(step_tasks_count_as_others),
		cmocka_unit_test(no_more_than_the_window_take_turns),
		cmocka_unit_test(who_polls_for_a_new_task_gets_it),
		cmocka_unit_test(a_woken_task_does_not_wait),
		cmocka_unit_test(what_makes_no_sense_is_refused),
		cmocka_unit_test(it_is_first_in_first_out_no_more),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
