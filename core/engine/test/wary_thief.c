/* SPDX-License-Identifier: MIT */
/*
 * A thief that has learnt from a program of crumbs that stealing does not pay still takes what the
 * owner does not get to, be its pace another than before or the same.
 *
 * The root makes crumbs until a thief has learnt it, if it does. Then there is a task that only a
 * thief can run: the newest task computes until it has, or the root goes on with crumbs above it
 * until it has.
 */
#include "core/engine/test/engine_torture.h"
#include "core/engine/worker.h"

#include <sched.h>

#define CRUMBS   100
#define LEARN_NS INT64_C(500000000)
#define LIMIT_NS INT64_C(30000000000)

static struct shunt_engine *engine;
static int ran; /* [wary:ran] */

static void *crumb(void *arg)
{
	return arg;
}

static void *aside(void *arg)
{
	/* Release pairs with the acquire in has_run [wary:ran]. */
	__atomic_store_n(&ran, 1, __ATOMIC_RELEASE);
	return arg;
}

static bool has_run(void)
{
	/* Acquire pairs with the release in aside [wary:ran]. */
	return __atomic_load_n(&ran, __ATOMIC_ACQUIRE);
}

/* Is there a thief that will only look, more than once? A glance at what is its own. */
__attribute__((no_sanitize("thread"))) static bool learnt(void)
{
	for (unsigned i = 0; i < engine->worker_count; i++)
		if (i != shunt_worker_index() &&
			*(volatile unsigned *)&engine->workers[i]->backoff.looks > 1)
			return true;
	return false;
}

/* Until `until` says so, or for so long. */
static void make_crumbs(bool (*until)(void), int64_t limit_ns)
{
	int64_t begin = shunt_now_ns();
	while (!until() && shunt_now_ns() - begin < limit_ns) {
		struct shunt_handle handle[CRUMBS];
		for (int i = 0; i < CRUMBS; i++)
			assert_int_equal(shunt_spawn(&handle[i], crumb, NULL, NULL), 0);
		for (int i = 0; i < CRUMBS; i++)
			assert_int_equal(shunt_join(handle[i], NULL), 0);
	}
}

static void *computes(void *arg)
{
	int64_t begin = shunt_now_ns();
	while (!has_run() && shunt_now_ns() - begin < LIMIT_NS)
		sched_yield();
	return has_run() ? arg : NULL;
}

/* The newest runs first. */
static void *another_pace(void *arg)
{
	struct shunt_handle first, second;
	void *result = NULL;
	make_crumbs(learnt, LEARN_NS);
	assert_int_equal(shunt_spawn(&first, aside, NULL, NULL), 0);
	assert_int_equal(shunt_spawn(&second, computes, arg, NULL), 0);
	assert_int_equal(shunt_join(second, &result), 0);
	assert_int_equal(shunt_join(first, NULL), 0);
	return result;
}

static void *the_same_pace(void *arg)
{
	struct shunt_handle first;
	make_crumbs(learnt, LEARN_NS);
	assert_int_equal(shunt_spawn(&first, aside, NULL, NULL), 0);
	make_crumbs(has_run, LIMIT_NS);
	void *result = has_run() ? arg : NULL;
	assert_int_equal(shunt_join(first, NULL), 0);
	return result;
}

static void run_both_ways(shunt_task_fn *root)
{
	static const char *const specs[] = {"asm:workers=2,policy=steal",
		"asm:workers=3,policy=steal,fence=full"};
	for (size_t i = 0; i < sizeof(specs) / sizeof(specs[0]); i++) {
		struct shunt_sched *sched;
		struct shunt_error err = {""};
		void *result = NULL;
		ran = 0;
		if (shunt_open(&sched, specs[i], NULL, &err))
			fail_msg("%s: %s", specs[i], err.text);
		engine = shunt_engine_of(sched);
		if (shunt_run(sched, root, &ran, &result, &err))
			fail_msg("%s: %s", specs[i], err.text);
		assert_non_null(result);
		shunt_close(sched);
	}
}

static void work_at_another_pace_is_taken(void **state)
{
	(void)state;
	run_both_ways(another_pace);
}

static void work_that_waits_at_the_same_pace_is_taken(void **state)
{
	(void)state;
	run_both_ways(the_same_pace);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(work_at_another_pace_is_taken),
		cmocka_unit_test(work_that_waits_at_the_same_pace_is_taken),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
