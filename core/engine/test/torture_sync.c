/* SPDX-License-Identifier: MIT */
/*
 * What goes into a channel comes out once and in order, a mutex lets in one, an ended task is
 * joined once.
 *
 * In every round tasks are pitted against each other with deadlines that fall right among the
 * events:
 *
 *   channel  senders number their values, receivers add them up; every value is received once,
 *            those of one sender in its order, and what timed out was not sent. Closing ends
 *            the rest.
 *   mutex    lock, lock until, try lock and conditions guard two counters that must stay equal.
 *   join     joiners, some with deadlines, and detachers of one task: exactly one gets its result.
 *
 * There is no timeout behind any of it: a wake that is lost ends in a reported deadlock.
 */
#include "core/engine/test/engine_torture.h"

#include <string.h>

#define SENDERS   6
#define RECEIVERS 5
#define VALUES    TORTURE_SCALE(150)
#define LOCKERS   10
#define LOCKS     TORTURE_SCALE(120)
#define JOINERS   4
#define LIVES     TORTURE_SCALE(60)

static void pause_a_little(struct shunt_rng *rng)
{
	switch (shunt_rng_below(rng, 8)) {
	case 0:
		shunt_sleep_for((int64_t)shunt_rng_below(rng, 10000));
		break;
	case 1:
	case 2:
		shunt_yield();
		break;
	default:
		break;
	}
}

static int64_t soon(struct shunt_rng *rng)
{
	return shunt_now_ns() + (int64_t)shunt_rng_below(rng, 20000);
}

/* ---- channel --------------------------------------------------------------------------------- */

static struct shunt_channel channel;
static _Atomic long received[SENDERS];

struct sender {
	uintptr_t index;
	uint64_t seed;
};

static void *send_all(void *arg)
{
	const struct sender *sender = arg;
	struct shunt_rng rng;
	shunt_rng_init(&rng, sender->seed);
	for (uintptr_t i = 0; i < VALUES;) {
		void *value = (void *)(sender->index << 32 | i);
		int rc = shunt_rng_below(&rng, 2)
				 ? shunt_channel_send(&channel, value)
				 : shunt_channel_send_until(&channel, value, soon(&rng));
		assert_true(rc == 0 || rc == -ETIMEDOUT);
		i += rc == 0;
		if (rc)
			shunt_yield(); /* lifo runs the woken first: it would time out for ever */
		pause_a_little(&rng);
	}
	return NULL;
}

static void *receive_all(void *arg)
{
	struct shunt_rng rng;
	long next[SENDERS] = {0}; /* what this receiver sees of one sender must grow */
	shunt_rng_init(&rng, *(uint64_t *)arg);
	for (;;) {
		void *value = NULL;
		int rc = shunt_rng_below(&rng, 2)
				 ? shunt_channel_receive(&channel, &value)
				 : shunt_channel_receive_until(&channel, &value, soon(&rng));
		if (rc == -EPIPE)
			return NULL;
		if (rc == 0) {
			uintptr_t sender = (uintptr_t)value >> 32;
			long number = (long)((uintptr_t)value & UINT32_MAX);
			assert_true(sender < SENDERS && number < VALUES);
			assert_true(number >= next[sender]);
			next[sender] = number + 1;
			received[sender]++;
		} else {
			assert_int_equal(rc, -ETIMEDOUT);
			shunt_yield();
		}
		pause_a_little(&rng);
	}
}

static void torture_channel(struct shunt_rng *rng)
{
	static const size_t capacities[] = {0, 1, 7};
	struct shunt_handle task[SENDERS + RECEIVERS];
	struct sender sender[SENDERS];
	uint64_t seed[RECEIVERS];
	assert_int_equal(shunt_channel_init(&channel, capacities[shunt_rng_below(rng, 3)]), 0);
	for (int i = 0; i < RECEIVERS; i++) {
		seed[i] = shunt_rng_next(rng);
		assert_int_equal(shunt_spawn(&task[SENDERS + i], receive_all, &seed[i], NULL), 0);
	}
	for (uintptr_t i = 0; i < SENDERS; i++) {
		received[i] = 0;
		sender[i] = (struct sender){i, shunt_rng_next(rng)};
		assert_int_equal(shunt_spawn(&task[i], send_all, &sender[i], NULL), 0);
	}
	for (int i = 0; i < SENDERS; i++)
		assert_int_equal(shunt_join(task[i], NULL), 0);
	shunt_channel_close(&channel);
	for (int i = 0; i < RECEIVERS; i++)
		assert_int_equal(shunt_join(task[SENDERS + i], NULL), 0);
	for (int i = 0; i < SENDERS; i++)
		assert_int_equal(received[i], VALUES);
	shunt_channel_fini(&channel);
}

/* ---- mutex and condition --------------------------------------------------------------------- */

static struct shunt_mutex mutex;
static struct shunt_condition changed;
static long inside, first, second, wanted;

static int enter(struct shunt_rng *rng)
{
	switch (shunt_rng_below(rng, 3)) {
	case 0:
		return shunt_mutex_lock_until(&mutex, soon(rng));
	case 1:
		return shunt_mutex_try_lock(&mutex) ? 0 : -ETIMEDOUT;
	default:
		return shunt_mutex_lock(&mutex);
	}
}

static void *contend(void *arg)
{
	struct shunt_rng rng;
	shunt_rng_init(&rng, *(uint64_t *)arg);
	for (int i = 0; i < LOCKS;) {
		int rc = enter(&rng);
		if (rc) {
			assert_int_equal(rc, -ETIMEDOUT);
			shunt_yield();
			continue;
		}
		assert_int_equal(++inside, 1);
		first++;
		pause_a_little(&rng);
		second++;
		assert_int_equal(first, second);
		assert_int_equal(--inside, 0);
		if (first == wanted || shunt_rng_below(&rng, 4) == 0)
			shunt_condition_broadcast(&changed);
		else
			shunt_condition_signal(&changed);
		assert_int_equal(shunt_mutex_unlock(&mutex), 0);
		i++;
	}
	return NULL;
}

/* Waits until all have been inside as often as they will. */
static void *watch(void *arg)
{
	struct shunt_rng rng;
	shunt_rng_init(&rng, *(uint64_t *)arg);
	assert_int_equal(shunt_mutex_lock(&mutex), 0);
	while (first < wanted) {
		assert_int_equal(first, second);
		int rc = shunt_rng_below(&rng, 2)
				 ? shunt_condition_wait(&changed, &mutex)
				 : shunt_condition_wait_until(&changed, &mutex, soon(&rng));
		assert_true(rc == 0 || rc == -ETIMEDOUT);
		assert_int_equal(++inside, 1);
		assert_int_equal(--inside, 0);
		if (rc) {
			assert_int_equal(shunt_mutex_unlock(&mutex), 0);
			shunt_yield();
			assert_int_equal(shunt_mutex_lock(&mutex), 0);
		}
	}
	assert_int_equal(shunt_mutex_unlock(&mutex), 0);
	return NULL;
}

static void torture_mutex(struct shunt_rng *rng)
{
	struct shunt_handle task[LOCKERS + 2];
	uint64_t seed[LOCKERS + 2];
	memset(&mutex, 0, sizeof(mutex));
	memset(&changed, 0, sizeof(changed));
	inside = first = second = 0;
	wanted = (long)LOCKERS * LOCKS;
	for (int i = 0; i < LOCKERS + 2; i++) {
		seed[i] = shunt_rng_next(rng);
		assert_int_equal(shunt_spawn(&task[i], i < LOCKERS ? contend : watch, &seed[i],
					 NULL),
			0);
	}
	for (int i = 0; i < LOCKERS + 2; i++)
		assert_int_equal(shunt_join(task[i], NULL), 0);
	assert_int_equal(second, wanted);
	assert_null(mutex.owner.task);
	assert_null(mutex.waiters.head);
	assert_null(changed.waiters.head);
}

/* ---- join ------------------------------------------------------------------------------------ */

static struct shunt_handle prey;
static struct shunt_wait_group gate;
static _Atomic long fetched, detached;

/* Its seed is its argument, and its result: a detached one may run long after whoever spawned it
 * has gone on. */
static void *live_shortly(void *arg)
{
	struct shunt_rng rng;
	shunt_rng_init(&rng, (uintptr_t)arg);
	for (uint64_t i = shunt_rng_below(&rng, 3); i; i--)
		pause_a_little(&rng);
	return arg;
}

static void *hunt(void *arg)
{
	struct shunt_rng rng;
	shunt_rng_init(&rng, *(uint64_t *)arg);
	assert_int_equal(shunt_wait_group_wait(&gate), 0);
	for (;;) {
		void *result = NULL;
		uint64_t how = shunt_rng_below(&rng, 8);
		int rc = how == 0  ? shunt_detach(prey)
			 : how < 4 ? shunt_join_until(prey, soon(&rng), &result)
				   : shunt_join(prey, &result);
		if (rc == 0 && how) {
			assert_non_null(result);
			fetched++;
		}
		detached += rc == 0 && !how;
		if (rc == 0 || rc == -ESRCH)
			return NULL;
		assert_true(rc == -EBUSY || rc == -ETIMEDOUT);
		shunt_yield();
	}
}

static void torture_join(struct shunt_rng *rng)
{
	for (int life = 0; life < LIVES; life++) {
		struct shunt_handle hunter[JOINERS];
		uint64_t seed[JOINERS + 1];
		fetched = detached = 0;
		gate = (struct shunt_wait_group){.count = 1};
		for (int i = 0; i <= JOINERS; i++)
			seed[i] = shunt_rng_next(rng);
		for (int i = 0; i < JOINERS; i++)
			assert_int_equal(shunt_spawn(&hunter[i], hunt, &seed[i], NULL), 0);
		void *any = (void *)(uintptr_t)(seed[JOINERS] | 1); /* but NULL */
		assert_int_equal(shunt_spawn(&prey, live_shortly, any, NULL), 0);
		shunt_wait_group_done(&gate);
		for (int i = 0; i < JOINERS; i++)
			assert_int_equal(shunt_join(hunter[i], NULL), 0);
		assert_int_equal(fetched + detached, 1);
	}
}

/* ---------------------------------------------------------------------------------------------- */

static void *root(void *arg)
{
	struct shunt_rng rng;
	shunt_rng_init(&rng, *(uint64_t *)arg);
	int64_t until = shunt_now_ns() + torture_slice_ns();
	do {
		torture_channel(&rng);
		torture_mutex(&rng);
		torture_join(&rng);
	} while (shunt_now_ns() < until);
	return NULL;
}

static void everything_happens_once(void **state)
{
	(void)state;
	torture_everywhere(torture_seed(), root);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(everything_happens_once)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
