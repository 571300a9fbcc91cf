/* SPDX-License-Identifier: MIT */
/*
 * A sync object may go as soon as its last waiter has what it waited for.
 *
 * Who waits on an object of its own, on its stack or on the heap, returns and takes it away;
 * whoever ended the wait must not touch it after that, not even to unlock it. The waiter here
 * poisons the object at once and looks for a while whether anybody wrote to it. ThreadSanitizer
 * sees a late unlock whenever the waiter was claimed before it had left its stack, without that
 * luck.
 */
#include "core/engine/test/engine_torture.h"

#include "core/lock.h"

#include <string.h>

#define ROUNDS 64 /* between two looks at the clock */

enum kind { SEMAPHORE, WAIT_GROUP, MUTEX, CONDITION, RENDEZVOUS, BUFFERED, KINDS };

static const char *const kind_name[] = {"semaphore", "wait group", "mutex", "condition",
	"rendezvous", "buffered channel"};

struct object {
	union {
		struct shunt_semaphore semaphore;
		struct shunt_wait_group group;
		struct shunt_mutex mutex;
		struct shunt_condition condition;
		struct shunt_channel channel;
	};
};

/* What the two sides share. The object is memory that others write only as a sync object. */
static struct object object;
static struct shunt_mutex guard; /* of the condition; outlives it */
static struct shunt_semaphore owned;
static _Atomic int offered; /* 1 + kind: the waiter is about to wait; 0: done */
static _Atomic int pause_of, stop;

static void relax(int times)
{
	while (times-- > 0)
		shunt_cpu_relax();
}

static void give(enum kind kind)
{
	switch (kind) {
	case SEMAPHORE:
		shunt_semaphore_post(&object.semaphore);
		break;
	case WAIT_GROUP:
		shunt_wait_group_done(&object.group);
		break;
	case MUTEX:
		shunt_mutex_unlock(&object.mutex);
		break;
	case CONDITION:
		shunt_mutex_lock(&guard); /* the waiter has joined before it gave this up */
		shunt_mutex_unlock(&guard);
		shunt_condition_signal(&object.condition);
		break;
	default:
		shunt_channel_send(&object.channel, &object);
	}
}

/* Ends one wait after the other. A mutex must be its own before the waiter can wait for it. */
static void *partner(void *arg)
{
	while (!stop) {
		int kind = offered - 1;
		if (kind < 0) {
			shunt_yield();
			continue;
		}
		if (kind == MUTEX) {
			shunt_mutex_lock(&object.mutex);
			shunt_semaphore_post(&owned);
		}
		relax(pause_of);
		offered = 0;
		give((enum kind)kind);
	}
	return arg;
}

static void make(enum kind kind)
{
	memset(&object, 0, sizeof(object));
	if (kind == WAIT_GROUP)
		object.group.count = 1;
	if (kind == RENDEZVOUS || kind == BUFFERED)
		assert_int_equal(shunt_channel_init(&object.channel, kind == BUFFERED), 0);
}

static void await(enum kind kind)
{
	void *value = NULL;
	switch (kind) {
	case SEMAPHORE:
		assert_int_equal(shunt_semaphore_wait(&object.semaphore), 0);
		break;
	case WAIT_GROUP:
		assert_int_equal(shunt_wait_group_wait(&object.group), 0);
		break;
	case MUTEX:
		assert_int_equal(shunt_semaphore_wait(&owned), 0);
		assert_int_equal(shunt_mutex_lock(&object.mutex), 0);
		break;
	case CONDITION:
		assert_int_equal(shunt_condition_wait(&object.condition, &guard), 0);
		break;
	default:
		assert_int_equal(shunt_channel_receive(&object.channel, &value), 0);
		assert_ptr_equal(value, &object);
	}
}

static void one_round(enum kind kind, struct shunt_rng *rng)
{
	unsigned char poison[sizeof(object)];
	make(kind);
	void *ring = kind == BUFFERED ? object.channel.ring : NULL;
	if (kind == CONDITION)
		shunt_mutex_lock(&guard);
	pause_of = (int)shunt_rng_below(rng, 64);
	offered = kind + 1;
	await(kind);
	memset(&object, 0xa5, sizeof(object));
	memset(poison, 0xa5, sizeof(poison));
	relax(20 + (int)shunt_rng_below(rng, 100));
	if (memcmp(&object, poison, sizeof(object)) != 0)
		fail_msg("%s: written to after its waiter had gone on", kind_name[kind]);
	if (kind == CONDITION)
		shunt_mutex_unlock(&guard);
	free(ring);
}

static void *root(void *arg)
{
	struct shunt_rng rng;
	struct shunt_handle handle;
	int64_t until = shunt_now_ns() + torture_slice_ns();
	shunt_rng_init(&rng, *(uint64_t *)arg);
	memset(&guard, 0, sizeof(guard));
	shunt_semaphore_init(&owned, 0);
	stop = offered = 0;
	assert_int_equal(shunt_spawn(&handle, partner, NULL, NULL), 0);
	do
		for (int i = 0; i < ROUNDS; i++)
			one_round((enum kind)shunt_rng_below(&rng, KINDS), &rng);
	while (shunt_now_ns() < until);
	stop = 1;
	assert_int_equal(shunt_join(handle, NULL), 0);
	return NULL;
}

static const char *const gone_specs[] = {
	"threads",
	"asm:workers=2,policy=fifo,wait=spin",
	"asm:workers=2,policy=steal",
	"asm:workers=2,policy=shared",
	"asm",
};

static void nobody_touches_it_afterwards(void **state)
{
	(void)state;
	torture_all(gone_specs, sizeof(gone_specs) / sizeof(gone_specs[0]), torture_seed(), root);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(nobody_touches_it_afterwards)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
