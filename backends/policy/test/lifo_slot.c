/* SPDX-License-Identifier: MIT */
/*
 * With policy.lifo_slot=N the newest ready task runs next, at most N times in a row, the others in
 * order.
 *
 * One worker: what runs when is one sequence, known beforehand. That thieves find what is in the
 * slot is victims.c's.
 */
#include "core/backend.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

enum { CHAIN = 5 };

static char ran[32];

static void note(char letter)
{
	size_t used = strlen(ran);
	assert_true(used + 1 < sizeof(ran));
	ran[used] = letter;
}

static void *old_one(void *arg)
{
	note((char)(uintptr_t)arg);
	return NULL;
}

/* Each link makes the next one ready, and ends. */
static void *link_of(void *arg)
{
	uintptr_t left = (uintptr_t)arg;
	note('c');
	if (left > 1)
		assert_int_equal(shunt_spawn(NULL, link_of, (void *)(left - 1), NULL), 0);
	return NULL;
}

static void *chain(void *arg)
{
	(void)arg;
	assert_int_equal(shunt_spawn(NULL, old_one, (void *)(uintptr_t)'A', NULL), 0);
	assert_int_equal(shunt_spawn(NULL, old_one, (void *)(uintptr_t)'B', NULL), 0);
	assert_int_equal(shunt_spawn(NULL, link_of, (void *)(uintptr_t)CHAIN, NULL), 0);
	return NULL;
}

static void *parks(void *arg)
{
	shunt_park();
	note('W');
	return arg;
}

/* Wakes a task when others are ready already, one because it is new and one that yielded. */
static void *wakes(void *arg)
{
	struct shunt_handle parked;
	(void)arg;
	assert_int_equal(shunt_spawn(&parked, parks, NULL, NULL), 0);
	shunt_yield();
	assert_int_equal(shunt_spawn(NULL, old_one, (void *)(uintptr_t)'A', NULL), 0);
	shunt_wake(parked);
	shunt_yield();
	note('R');
	assert_int_equal(shunt_join(parked, NULL), 0);
	return NULL;
}

static void runs(const char *settings, shunt_task_fn *root, const char *order)
{
	static const char *const ways[] = {"", ",mt=1", ",dispatch=vtable",
		",workers=1,mt=1,interval=1"};
	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		struct shunt_sched *sched;
		struct shunt_error err = {""};
		char spec[128];
		snprintf(spec, sizeof(spec), "ucontext:policy=steal%s%s", settings, ways[i]);
		memset(ran, 0, sizeof(ran));
		if (shunt_open(&sched, spec, NULL, &err) ||
			shunt_run(sched, root, NULL, NULL, &err))
			fail_msg("%s: %s", spec, err.text);
		shunt_close(sched);
		if (strcmp(ran, order))
			fail_msg("%s: ran %s, not %s", spec, ran, order);
	}
}

/* The root itself came out of the slot. */
static void a_chain_gives_way_at_the_cap(void **state)
{
	(void)state;
	runs("", chain, "cccccBA");
	runs(",policy.lifo_slot=1", chain, "AcBcccc");
	runs(",policy.lifo_slot=2", chain, "cAccBcc");
	runs(",policy.lifo_slot=3", chain, "ccAcccB");
	runs(",policy.lifo_slot=100", chain, "cccccAB");
	runs(",policy.lifo_slot=100,policy.fair=3", chain, "cAccBcc");
}

static void a_woken_task_is_next(void **state)
{
	(void)state;
	runs(",policy.lifo_slot=8", wakes, "WAR");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_chain_gives_way_at_the_cap),
		cmocka_unit_test(a_woken_task_is_next),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
