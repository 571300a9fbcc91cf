/* SPDX-License-Identifier: MIT */
/*
 * A task's waits go on when their 32-bit epoch comes round, as it does after 2^32 of them.
 *
 * Every task puts its own epoch shortly before the end, then waits in all the ways there are: what
 * ends a wait must find it, and what was cancelled before must not.
 */
#include "core/backend.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>

#define ROUNDS 12 /* waits on both sides of the end */
#define MS     INT64_C(1000000)

static struct shunt_mutex mutex;
static struct shunt_semaphore turn[2];

static void to_epoch(uint64_t epoch)
{
	struct shunt_task *self = shunt_self().task;
	uint64_t word = atomic_load(&self->word);
	while (!atomic_compare_exchange_weak(&self->word, &word,
		(word & ~SHUNT_WORD_EPOCH) | epoch << 32))
		;
}

static void to_the_last_epochs(void)
{
	to_epoch(0xfffffffc);
}

static unsigned epoch_now(void)
{
	return (unsigned)(atomic_load(&shunt_self().task->word) >> 32);
}

static void *nap(void *arg)
{
	to_the_last_epochs();
	for (int i = 0; i < ROUNDS; i++) {
		int64_t before = shunt_now_ns();
		assert_int_equal(shunt_sleep_for(50000), 0);
		assert_true(shunt_now_ns() - before >= 50000);
		while (shunt_park_until(shunt_now_ns() + 50000) != -ETIMEDOUT)
			;
	}
	assert_true(epoch_now() < 0xfffffffc);
	return arg;
}

/* Two take turns; every wait has a deadline that is never met, and so a timer to cancel. */
static void *take_turns(void *arg)
{
	int me = arg == &turn[1];
	to_the_last_epochs();
	for (int i = 0; i < ROUNDS; i++) {
		int64_t never = shunt_now_ns() + 60000 * MS;
		assert_int_equal(shunt_semaphore_wait_until(&turn[me], never), 0);
		assert_int_equal(shunt_mutex_lock(&mutex), 0);
		assert_int_equal(shunt_mutex_unlock(&mutex), 0);
		shunt_semaphore_post(&turn[!me]);
	}
	return arg;
}

/* Parks in epoch 0, as the first task of its descriptor: its timer is cancelled all the same. */
static void *park_in_epoch_0(void *arg)
{
	_Atomic int *begun = arg;
	to_epoch(0xffffffff);
	*begun = 1;
	assert_int_equal(shunt_park_until(shunt_now_ns() + 60000 * MS), 0);
	assert_true(epoch_now() <= 1);
	return arg;
}

static void *echo(void *arg)
{
	shunt_yield();
	return arg;
}

static void *root(void *arg)
{
	struct shunt_handle task[3], child;
	void *result = NULL;
	_Atomic int begun = 0;
	assert_int_equal(shunt_spawn(&child, park_in_epoch_0, &begun, NULL), 0);
	/* A wake before it parks would be a permit, and there would be no such wait. */
	while (!begun || shunt_word_state(atomic_load(&child.task->word)) != SHUNT_TASK_PARKED)
		shunt_sleep_for(100000);
	assert_true(shunt_wake(child));
	assert_int_equal(shunt_join(child, NULL), 0);
	shunt_semaphore_init(&turn[0], 1);
	shunt_semaphore_init(&turn[1], 0);
	assert_int_equal(shunt_spawn(&task[0], nap, arg, NULL), 0);
	assert_int_equal(shunt_spawn(&task[1], take_turns, &turn[0], NULL), 0);
	assert_int_equal(shunt_spawn(&task[2], take_turns, &turn[1], NULL), 0);
	to_the_last_epochs();
	for (int i = 0; i < ROUNDS; i++) {
		assert_int_equal(shunt_spawn(&child, echo, &result, NULL), 0);
		assert_int_equal(shunt_join_until(child, shunt_now_ns() + 60000 * MS, &result), 0);
		assert_ptr_equal(result, &result);
	}
	for (int i = 0; i < 3; i++)
		assert_int_equal(shunt_join(task[i], NULL), 0);
	return arg;
}

static void waits_go_on(void **state)
{
	static const char *const specs[] = {"asm", "asm:timers=wheel", "asm:wait=uring-each",
		"asm:workers=2,policy=fifo", "asm:workers=2,policy=steal", "threads"};
	(void)state;
	for (size_t i = 0; i < sizeof(specs) / sizeof(specs[0]); i++) {
		struct shunt_sched *sched;
		struct shunt_error err = {""};
		if (shunt_open(&sched, specs[i], NULL, &err)) {
			print_message("%s: left out: %s\n", specs[i], err.text);
			continue;
		}
		int64_t before = shunt_now_ns();
		if (shunt_run(sched, root, NULL, NULL, &err))
			fail_msg("%s: %s", specs[i], err.text);
		/* No cancelled timer of a minute was waited for. */
		assert_true(shunt_now_ns() - before < 30000 * MS);
		shunt_close(sched);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(waits_go_on)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
