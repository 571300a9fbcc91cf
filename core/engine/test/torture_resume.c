/* SPDX-License-Identifier: MIT */
/*
 * A task is resumed once for each time it gave way, from where it gave way, by no stale wake.
 *
 * Every task counts its own steps twice: in a variable on its stack, which a resume from stale
 * registers would turn back, and in shared memory. Wakers pelt all of them, the living, the ended
 * and those whose descriptors are in use again, with wakes that are nearly always stale; threads
 * that are no workers do the same. Sleeps must not end early, mutexes must exclude, and a park may
 * end spuriously but not be lost: each task parks for the permit that its partner surely gives.
 */
#include "core/engine/test/engine_torture.h"

#include <pthread.h>

#define TASKS   32
#define STEPS   TORTURE_SCALE(300)
#define HANDLES 256

static struct shunt_mutex mutex;
static struct shunt_wait_group gate;
static long inside;
static _Atomic long shared_steps[TASKS];
static _Atomic long permits[TASKS];
static struct shunt_handle partner[TASKS];
static struct shunt_handle seen[HANDLES];
static _Atomic int stop;

struct walker {
	int index;
	uint64_t seed;
};

/* Waits until the partner's permit number `n` has come: park may return without one. */
static void await(int index, long n)
{
	while (permits[index] < n)
		shunt_park();
}

static void give(int index)
{
	permits[index]++;
	shunt_wake(partner[index]);
}

static void *short_life(void *arg)
{
	seen[(uintptr_t)arg % HANDLES] = shunt_self();
	return arg;
}

static void step(struct shunt_rng *rng)
{
	int64_t before = shunt_now_ns(), pause;
	switch (shunt_rng_below(rng, 6)) {
	case 0:
	case 1:
		shunt_yield();
		break;
	case 2:
		pause = (int64_t)shunt_rng_below(rng, 20000);
		assert_int_equal(shunt_sleep_for(pause), 0);
		assert_true(shunt_now_ns() - before >= pause);
		break;
	case 3:
		assert_int_equal(shunt_mutex_lock(&mutex), 0);
		assert_int_equal(++inside, 1);
		shunt_yield();
		assert_int_equal(--inside, 0);
		assert_int_equal(shunt_mutex_unlock(&mutex), 0);
		break;
	case 4:
		shunt_park_until(before + (int64_t)shunt_rng_below(rng, 5000));
		break;
	default:
		assert_int_equal(shunt_spawn(NULL, short_life,
					 (void *)(uintptr_t)shunt_rng_below(rng, HANDLES), NULL),
			0);
	}
}

static void *walk(void *arg)
{
	struct walker *walker = arg;
	struct shunt_rng rng;
	volatile long steps = 0;
	int next = (walker->index + 1) % TASKS;
	shunt_rng_init(&rng, walker->seed);
	assert_int_equal(shunt_wait_group_wait(&gate), 0);
	for (long i = 1; i <= STEPS; i++) {
		step(&rng);
		assert_int_equal(++shared_steps[walker->index], ++steps);
		if (i % 10 == 0) {
			give(next);
			await(walker->index, i / 10);
		}
	}
	return NULL;
}

/* Reading a handle while a task writes it would race: each waker has its own old copies. */
static void *pelt(void *arg)
{
	struct shunt_rng rng;
	shunt_rng_init(&rng, *(uint64_t *)arg);
	struct shunt_handle copy[TASKS];
	for (int i = 0; i < TASKS; i++)
		copy[i] = partner[i];
	while (!stop)
		torture_pelt(&rng, copy, TASKS);
	return NULL;
}

static void *root(void *arg)
{
	struct shunt_rng rng;
	shunt_rng_init(&rng, *(uint64_t *)arg);
	int64_t until = shunt_now_ns() + torture_slice_ns();
	do {
		struct walker walker[TASKS];
		struct shunt_handle waker;
		pthread_t outside;
		uint64_t seed[2] = {shunt_rng_next(&rng), shunt_rng_next(&rng)};
		stop = 0;
		for (int i = 0; i < TASKS; i++) {
			shared_steps[i] = permits[i] = 0;
			walker[i] = (struct walker){i, shunt_rng_next(&rng)};
		}
		/* All handles are known before any task goes on: they start behind this gate. */
		gate = (struct shunt_wait_group){.count = 1};
		for (int i = 0; i < TASKS; i++)
			assert_int_equal(shunt_spawn(&partner[i], walk, &walker[i], NULL), 0);
		shunt_wait_group_done(&gate);
		assert_int_equal(shunt_spawn(&waker, pelt, &seed[0], NULL), 0);
		assert_int_equal(pthread_create(&outside, NULL, pelt, &seed[1]), 0);
		for (int i = 0; i < TASKS; i++)
			assert_int_equal(shunt_join(partner[i], NULL), 0);
		stop = 1;
		assert_int_equal(shunt_join(waker, NULL), 0);
		assert_int_equal(pthread_join(outside, NULL), 0);
		for (int i = 0; i < TASKS; i++)
			assert_int_equal(shared_steps[i], STEPS);
	} while (shunt_now_ns() < until);
	return NULL;
}

static void no_step_is_lost_or_repeated(void **state)
{
	(void)state;
	torture_everywhere(torture_seed(), root);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(no_step_is_lost_or_repeated)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
