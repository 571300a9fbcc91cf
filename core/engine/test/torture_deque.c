/* SPDX-License-Identifier: MIT */
/*
 * Every element pushed on a deque is taken exactly once, by its owner or by one thief.
 *
 * Threads, not tasks: an owner that pushes and takes at either end in random bursts, so that the deque
 * is empty, holds one element, or grows, all the time, and thieves that never rest. Each counts what it
 * got; an element that two got, or nobody, shows in the counts.
 */
#include "core/engine/deque.h"

#include "core/engine/sanitize.h"
#include "core/rng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define THIEVES 3
#ifdef SHUNT_TSAN
#define ELEMENTS 20000
#else
#define ELEMENTS 200000
#endif

static struct shunt_deque deque;
static _Atomic unsigned char taken[ELEMENTS + 1]; /* how often, of each element; 0 is none */
static _Atomic int over;

static int64_t now_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

static uint64_t count(void *element)
{
	if (!element)
		return 0;
	atomic_fetch_add_explicit(&taken[(uintptr_t)element], 1, memory_order_relaxed);
	return 1;
}

static void *thief(void *arg)
{
	uint64_t got = 0;
	(void)arg;
	while (!over) {
		bool lost = false;
		got += count(shunt_deque_steal(&deque, &lost));
	}
	return (void *)(uintptr_t)got;
}

/* Pushes all elements, taking some back meanwhile. How many it got. */
static uint64_t own(struct shunt_rng *rng)
{
	uint64_t got = 0;
	for (uintptr_t next = 1; next <= ELEMENTS;) {
		/* Mostly few: the last element is where owner and thieves meet. */
		uint64_t most = shunt_rng_below(rng, 64) ? 4 : 2000;
		for (uint64_t i = 1 + shunt_rng_below(rng, most); i && next <= ELEMENTS; i--)
			assert_int_equal(shunt_deque_push(&deque, (void *)next++), 0);
		for (uint64_t i = shunt_rng_below(rng, most + 2); i; i--)
			got += count(shunt_rng_below(rng, 4)
					     ? shunt_deque_take(&deque, true)
					     : shunt_deque_take_oldest(&deque, true));
	}
	for (void *element; (element = shunt_deque_take(&deque, true));)
		got += count(element);
	return got;
}

static void one_round(struct shunt_rng *rng)
{
	pthread_t thread[THIEVES];
	uint64_t got;
	memset(taken, 0, sizeof(taken));
	over = 0;
	assert_int_equal(shunt_deque_init(&deque), 0);
	for (int i = 0; i < THIEVES; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, thief, NULL), 0);
	got = own(rng);
	/* Nothing left: what the owner cannot take any more a thief has, or is about to count. */
	over = 1;
	for (int i = 0; i < THIEVES; i++) {
		void *stolen;
		assert_int_equal(pthread_join(thread[i], &stolen), 0);
		got += (uintptr_t)stolen;
	}
	for (size_t i = 1; i <= ELEMENTS; i++)
		if (taken[i] != 1)
			fail_msg("element %zu was taken %d times", i, taken[i]);
	assert_int_equal(got, ELEMENTS);
	shunt_deque_fini(&deque);
}

static void each_element_is_taken_once(void **state)
{
	const char *given = getenv("SHUNT_SEED"), *ms = getenv("SHUNT_TORTURE_MS");
	uint64_t seed = given ? strtoull(given, NULL, 0) : (uint64_t)now_ns();
	int64_t until = now_ns() + (ms ? strtoll(ms, NULL, 10) : 1000) * 1000000;
	struct shunt_rng rng;
	(void)state;
	print_message("seed %llu (SHUNT_SEED=%llu repeats it)\n", (unsigned long long)seed,
		(unsigned long long)seed);
	shunt_rng_init(&rng, seed);
	do
		one_round(&rng);
	while (now_ns() < until);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(each_element_is_taken_once)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
