/* SPDX-License-Identifier: MIT */
/*
 * A step task is called once for each time it became ready, never on two workers at once, also when
 * it was claimed before its step had returned; and no wait of it is lost.
 *
 * Every walker marks itself as called while a step of it runs, and stays there for a random time
 * after a poll has registered its wait: that is when wakers, timers and other tasks claim it early.
 * It counts its own rounds in its frame, without an atomic, and in shared memory. Tasks with stacks
 * do the same beside it, wakers and a thread outside pelt all of them with wakes, nearly all of
 * them stale.
 */
#include "core/engine/test/engine_torture.h"

#include "core/lock.h"
#include "core/step.h"

#include <pthread.h>

#define TASKS  24
#define STACKS 4 /* tasks with stacks beside them */
#define ROUNDS TORTURE_SCALE(400)

struct walker {
	struct shunt_step step;
	struct shunt_rng rng;
	struct shunt_handle child;
	int64_t deadline_ns;
	long round;
	int index, rc;
	unsigned what;
	struct shunt_step childs;
	_Atomic int called;
};

static struct walker walkers[TASKS];
static struct shunt_handle handles[TASKS];
static _Atomic long rounds[TASKS], permits[TASKS];
static struct shunt_mutex mutex;
static struct shunt_semaphore semaphore;
static struct shunt_channel channel;
static struct shunt_wait_group gate;
static long inside;
static _Atomic int stop;

enum { GIVE_WAY, SLEEP, PARK, LOCK, SEMAPHORE, CHANNEL, CHILD, KINDS };

static int short_life(struct shunt_step *step)
{
	return step->line++ ? SHUNT_STEP_DONE : SHUNT_STEP_YIELD;
}

/* One round's work; its own macros' lines are apart from those of walk. */
static int work(struct walker *self)
{
	struct shunt_step *step = &self->step;
	void *value;
	SHUNT_STEP_BEGIN(step);
	SHUNT_STEP_AWAIT(step, self->rc, shunt_wait_group_wait_poll(&gate, SHUNT_FOREVER));
	for (self->round = 1; self->round <= ROUNDS; self->round++) {
		self->what = (unsigned)shunt_rng_below(&self->rng, KINDS);
		self->deadline_ns = shunt_now_ns() + (int64_t)shunt_rng_below(&self->rng, 20000);
		if (self->what == GIVE_WAY)
			SHUNT_STEP_GIVE_WAY(step);
		if (self->what == SLEEP) {
			SHUNT_STEP_AWAIT(step, self->rc, shunt_sleep_poll(self->deadline_ns));
			assert_true(shunt_now_ns() >= self->deadline_ns);
		}
		if (self->what == PARK)
			SHUNT_STEP_AWAIT(step, self->rc, shunt_park_poll(self->deadline_ns));
		if (self->what == LOCK) {
			SHUNT_STEP_AWAIT(step, self->rc,
				shunt_mutex_lock_poll(&mutex, self->deadline_ns));
			if (self->rc == 0) {
				assert_int_equal(++inside, 1);
				SHUNT_STEP_GIVE_WAY(step);
				assert_int_equal(--inside, 0);
				assert_int_equal(shunt_mutex_unlock(&mutex), 0);
			}
		}
		if (self->what == SEMAPHORE) {
			shunt_semaphore_post(&semaphore);
			SHUNT_STEP_AWAIT(step, self->rc,
				shunt_semaphore_wait_poll(&semaphore, SHUNT_FOREVER));
			assert_int_equal(self->rc, 0);
		}
		if (self->what == CHANNEL && self->index % 2)
			SHUNT_STEP_AWAIT(step, self->rc,
				shunt_channel_send_poll(&channel, self, self->deadline_ns));
		if (self->what == CHANNEL && self->index % 2 == 0) {
			SHUNT_STEP_AWAIT(step, self->rc,
				shunt_channel_receive_poll(&channel, &value, self->deadline_ns));
			if (self->rc == 0)
				assert_true(((struct walker *)value)->index % 2 == 1);
		}
		if (self->what == CHILD) {
			assert_int_equal(shunt_spawn_step(&self->child, short_life, &self->childs,
						 NULL),
				0);
			SHUNT_STEP_AWAIT(step, self->rc,
				shunt_join_poll(self->child, SHUNT_FOREVER, &value));
			assert_true(self->rc == 0 && value == &self->childs);
		}
		assert_int_equal(++rounds[self->index], self->round);
		if (self->round % 10)
			continue;
		permits[(self->index + 1) % TASKS]++;
		shunt_wake(handles[(self->index + 1) % TASKS]);
		while (permits[self->index] < self->round / 10)
			SHUNT_STEP_AWAIT(step, self->rc, shunt_park_poll(SHUNT_FOREVER));
	}
	SHUNT_STEP_END(step);
}

static int walk(struct shunt_step *step)
{
	struct walker *self = (struct walker *)step;
	if (atomic_exchange(&self->called, 1))
		shunt_panic("a step task is called on two workers at once");
	int rc = work(self);
	if (rc == SHUNT_STEP_WAIT)
		for (uint64_t i = shunt_rng_below(&self->rng, 200); i; i--)
			shunt_cpu_relax();
	self->called = 0;
	return rc;
}

/* The same objects, with a stack. */
static void *share(void *arg)
{
	struct shunt_rng rng;
	shunt_rng_init(&rng, (uintptr_t)arg);
	while (!stop) {
		if (!shunt_mutex_lock_until(&mutex,
			    shunt_now_ns() + (int64_t)shunt_rng_below(&rng, 20000))) {
			assert_int_equal(++inside, 1);
			shunt_yield();
			assert_int_equal(--inside, 0);
			assert_int_equal(shunt_mutex_unlock(&mutex), 0);
		}
		shunt_semaphore_post(&semaphore);
		assert_int_equal(shunt_semaphore_wait(&semaphore), 0);
		shunt_sleep_for((int64_t)shunt_rng_below(&rng, 20000));
	}
	return NULL;
}

static void *pelt(void *arg)
{
	struct shunt_rng rng;
	struct shunt_handle copy[TASKS];
	shunt_rng_init(&rng, *(uint64_t *)arg);
	memcpy(copy, handles, sizeof(copy));
	while (!stop)
		torture_pelt(&rng, copy, TASKS);
	return NULL;
}

static void once(uint64_t seed)
{
	struct shunt_handle beside[STACKS], waker;
	struct shunt_rng rng;
	pthread_t outside;
	shunt_rng_init(&rng, seed);
	stop = 0;
	inside = 0;
	memset(&mutex, 0, sizeof(mutex));
	shunt_semaphore_init(&semaphore, 0);
	assert_int_equal(shunt_channel_init(&channel, 1), 0);
	gate = (struct shunt_wait_group){.count = 1};
	for (int i = 0; i < TASKS; i++) {
		rounds[i] = permits[i] = 0;
		walkers[i] = (struct walker){.index = i};
		shunt_rng_init(&walkers[i].rng, shunt_rng_next(&rng));
		assert_int_equal(shunt_spawn_step(&handles[i], walk, &walkers[i].step, NULL), 0);
	}
	uint64_t seeds[2] = {shunt_rng_next(&rng), shunt_rng_next(&rng)};
	shunt_wait_group_done(&gate);
	for (uintptr_t i = 0; i < STACKS; i++)
		assert_int_equal(shunt_spawn(&beside[i], share, (void *)(seed + i), NULL), 0);
	assert_int_equal(shunt_spawn(&waker, pelt, &seeds[0], NULL), 0);
	assert_int_equal(pthread_create(&outside, NULL, pelt, &seeds[1]), 0);
	for (int i = 0; i < TASKS; i++)
		assert_int_equal(shunt_join(handles[i], NULL), 0);
	stop = 1;
	for (int i = 0; i < STACKS; i++)
		assert_int_equal(shunt_join(beside[i], NULL), 0);
	assert_int_equal(shunt_join(waker, NULL), 0);
	assert_int_equal(pthread_join(outside, NULL), 0);
	for (int i = 0; i < TASKS; i++)
		assert_int_equal(rounds[i], ROUNDS);
	shunt_channel_fini(&channel);
}

static void *root(void *arg)
{
	struct shunt_rng rng;
	shunt_rng_init(&rng, *(uint64_t *)arg);
	int64_t until = shunt_now_ns() + torture_slice_ns();
	do
		once(shunt_rng_next(&rng));
	while (shunt_now_ns() < until);
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
