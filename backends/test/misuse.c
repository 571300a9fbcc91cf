/* SPDX-License-Identifier: MIT */
/* If this passes, a call that only tasks may make ends the process when made outside one, named. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/sched.h"
#include "core/step.h"
#include "core/test/dies.h"

static struct shunt_handle nobody;
static struct shunt_mutex mutex;
static struct shunt_semaphore semaphore;
static struct shunt_condition condition;
static struct shunt_channel channel;
static struct shunt_wait_group group;
static void *value;

static void *never(void *arg)
{
	return arg;
}

#define CALL(name, ...)                                                                            \
	static void call_##name(void)                                                              \
	{                                                                                          \
		(void)shunt_##name(__VA_ARGS__);                                                   \
	}
#define CALL_VOID(name, ...)                                                                       \
	static void call_##name(void)                                                              \
	{                                                                                          \
		shunt_##name(__VA_ARGS__);                                                         \
	}
CALL(spawn, &nobody, never, NULL, NULL)
CALL(join, nobody, NULL)
CALL(join_until, nobody, 0, NULL)
CALL(detach, nobody)
CALL(self)
CALL(task_id)
CALL_VOID(yield)
CALL(transfer, nobody)
CALL(checkpoint)
CALL(sleep_until, 0)
CALL(sleep_for, 0)
CALL(park)
CALL(park_until, 0)
CALL(worker_index)
CALL(worker_count)
CALL(mutex_lock, &mutex)
CALL(mutex_lock_until, &mutex, 0)
CALL(mutex_try_lock, &mutex)
CALL(mutex_unlock, &mutex)
CALL(semaphore_wait, &semaphore)
CALL(semaphore_wait_until, &semaphore, 0)
CALL(semaphore_try_wait, &semaphore)
CALL_VOID(semaphore_post, &semaphore)
CALL(condition_wait, &condition, &mutex)
CALL(condition_wait_until, &condition, &mutex, 0)
CALL_VOID(condition_signal, &condition)
CALL_VOID(condition_broadcast, &condition)
CALL(channel_send, &channel, NULL)
CALL(channel_send_until, &channel, NULL, 0)
CALL(channel_receive, &channel, &value)
CALL(channel_receive_until, &channel, &value, 0)
CALL_VOID(channel_close, &channel)
CALL_VOID(wait_group_add, &group, 1)
CALL_VOID(wait_group_done, &group)
CALL(wait_group_wait, &group)
CALL(wait_group_wait_until, &group, 0)

static struct shunt_step frame;
static int never_called(struct shunt_step *step)
{
	(void)step;
	return SHUNT_STEP_DONE;
}
CALL(spawn_step, &nobody, never_called, &frame, NULL)
CALL(sleep_poll, 0)
CALL(park_poll, 0)
CALL(join_poll, nobody, 0, NULL)
CALL(mutex_lock_poll, &mutex, 0)
CALL(semaphore_wait_poll, &semaphore, 0)
CALL(condition_wait_poll, &condition, &mutex, 0)
CALL(channel_send_poll, &channel, NULL, 0)
CALL(channel_receive_poll, &channel, &value, 0)
CALL(wait_group_wait_poll, &group, 0)

/* `told`: the call that the message names, where another one does the work. */
static const struct misuse {
	const char *name, *told;
	void (*call)(void);
} misuses[] = {
#define ROW(name)                                                                                  \
	{                                                                                          \
		"shunt_" #name, "shunt_" #name, call_##name                                        \
	}
#define BY(name, other)                                                                            \
	{                                                                                          \
		"shunt_" #name, "shunt_" #other, call_##name                                       \
	}
	ROW(spawn),
	ROW(join),
	ROW(join_until),
	ROW(detach),
	ROW(self),
	ROW(task_id),
	ROW(yield),
	ROW(transfer),
	ROW(checkpoint),
	ROW(sleep_until),
	BY(sleep_for, sleep_until),
	ROW(park),
	ROW(park_until),
	ROW(worker_index),
	ROW(worker_count),
	ROW(mutex_lock),
	ROW(mutex_lock_until),
	ROW(mutex_try_lock),
	ROW(mutex_unlock),
	ROW(semaphore_wait),
	ROW(semaphore_wait_until),
	ROW(semaphore_try_wait),
	ROW(semaphore_post),
	BY(condition_wait, condition_wait),
	ROW(condition_wait_until),
	ROW(condition_signal),
	ROW(condition_broadcast),
	BY(channel_send, channel_send),
	ROW(channel_send_until),
	BY(channel_receive, channel_receive),
	ROW(channel_receive_until),
	ROW(channel_close),
	ROW(wait_group_add),
	BY(wait_group_done, wait_group),
	ROW(wait_group_wait),
	ROW(wait_group_wait_until),
	ROW(spawn_step),
	ROW(sleep_poll),
	ROW(park_poll),
	ROW(join_poll),
	ROW(mutex_lock_poll),
	ROW(semaphore_wait_poll),
	ROW(condition_wait_poll),
	ROW(channel_send_poll),
	ROW(channel_receive_poll),
	ROW(wait_group_wait_poll),
};

static void call(const void *misuse)
{
	((const struct misuse *)misuse)->call();
}

static void each_call_is_named(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(misuses) / sizeof(misuses[0]); i++)
		dies_saying(call, &misuses[i], misuses[i].told, "outside a task");
}

static void these_are_for_anybody(void **state)
{
	(void)state;
	assert_false(shunt_in_task());
	assert_false(shunt_wake(nobody));
	assert_true(shunt_now_ns() > 0);
	shunt_work_ns(1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_call_is_named),
		cmocka_unit_test(these_are_for_anybody),
	};
	return cmocka_run_group_tests_name("misuse", tests, NULL, NULL);
}
