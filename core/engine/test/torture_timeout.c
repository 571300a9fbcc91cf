/* SPDX-License-Identifier: MIT */
/*
 * Of a wake and a deadline exactly one ends a wait, however close they come.
 *
 * Takers wait for units of a semaphore until deadlines that fall right among the posts. Every unit
 * posted is taken once or still there: a wait ended twice, or ended by nobody, breaks the sum. The
 * same for joins with deadlines: every result is fetched exactly once. No safety net: a lost wake
 * ends in a reported deadlock or in the test's time limit.
 */
#include "core/engine/test/engine_torture.h"

#define TAKERS 24
#define POSTS  TORTURE_SCALE(400)

static struct shunt_semaphore semaphore;
static _Atomic long taken, expired;
static _Atomic int posting;

struct taker {
	uint64_t seed;
};

static void *take(void *arg)
{
	struct taker *taker = arg;
	struct shunt_rng rng;
	shunt_rng_init(&rng, taker->seed);
	while (posting) {
		int64_t deadline = shunt_now_ns() + (int64_t)shunt_rng_below(&rng, 30000);
		int rc = shunt_semaphore_wait_until(&semaphore, deadline);
		if (rc == 0) {
			taken++;
		} else {
			assert_int_equal(rc, -ETIMEDOUT);
			assert_true(shunt_now_ns() >= deadline);
			expired++;
			/* lifo runs woken tasks first: without this the posters starve, as it
			 * says. */
			shunt_yield();
		}
	}
	return arg;
}

static void *post(void *arg)
{
	struct shunt_rng rng;
	shunt_rng_init(&rng, *(uint64_t *)arg);
	for (int i = 0; i < POSTS; i++) {
		shunt_semaphore_post(&semaphore);
		if (shunt_rng_below(&rng, 3) == 0)
			shunt_yield();
		else if (shunt_rng_below(&rng, 3) == 0)
			shunt_sleep_for((int64_t)shunt_rng_below(&rng, 20000));
	}
	return NULL;
}

static void *nap(void *arg)
{
	shunt_sleep_for((int64_t)(intptr_t)arg);
	return arg;
}

/* Joins with deadlines around the end of what is joined, again until it succeeds. */
static void join_with_deadlines(struct shunt_rng *rng)
{
	for (int i = 0; i < 20; i++) {
		struct shunt_handle handle;
		intptr_t ns = (intptr_t)shunt_rng_below(rng, 50000);
		void *result = NULL;
		int rc;
		assert_int_equal(shunt_spawn(&handle, nap, (void *)ns, NULL), 0);
		do
			rc = shunt_join_until(handle,
				shunt_now_ns() + (int64_t)shunt_rng_below(rng, 20000), &result);
		while (rc == -ETIMEDOUT);
		assert_int_equal(rc, 0);
		assert_ptr_equal(result, (void *)ns);
		assert_int_equal(shunt_join(handle, NULL), -ESRCH);
	}
}

static void *root(void *arg)
{
	struct shunt_rng rng;
	shunt_rng_init(&rng, *(uint64_t *)arg);
	int64_t until = shunt_now_ns() + torture_slice_ns();
	do {
		struct taker taker[TAKERS];
		struct shunt_handle task[TAKERS], poster[2];
		uint64_t seed[2] = {shunt_rng_next(&rng), shunt_rng_next(&rng)};
		shunt_semaphore_init(&semaphore, 0);
		taken = expired = 0;
		posting = 1;
		for (int i = 0; i < TAKERS; i++) {
			taker[i].seed = shunt_rng_next(&rng);
			assert_int_equal(shunt_spawn(&task[i], take, &taker[i], NULL), 0);
		}
		for (int i = 0; i < 2; i++)
			assert_int_equal(shunt_spawn(&poster[i], post, &seed[i], NULL), 0);
		for (int i = 0; i < 2; i++)
			assert_int_equal(shunt_join(poster[i], NULL), 0);
		posting = 0;
		for (int i = 0; i < TAKERS; i++)
			assert_int_equal(shunt_join(task[i], NULL), 0);
		assert_int_equal(taken + semaphore.count, 2 * POSTS);
		assert_null(semaphore.waiters.head);
		join_with_deadlines(&rng);
	} while (shunt_now_ns() < until);
	return NULL;
}

static void exactly_one_wins(void **state)
{
	(void)state;
	torture_everywhere(torture_seed(), root);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(exactly_one_wins)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
