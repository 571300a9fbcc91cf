/* SPDX-License-Identifier: MIT */
/*
 * A wake into a worker's inbox ends its nap, and so does a deadline armed by one that goes on.
 *
 * Worker 1 is made to nap for a minute. A task whose home it has is woken from outside while the
 * root computes, and so keeps worker 0 from doing it instead. It must have run in half of that
 * time. In the same way a task computes until the root, which sleeps for a millisecond, has woken.
 */
#include "core/engine/test/engine_torture.h"
#include "core/engine/worker.h"

#include <pthread.h>

#define NAP_NS   INT64_C(60000000000)
#define LIMIT_NS (NAP_NS / 2)

static struct shunt_engine *engine;

static bool in_time(int64_t since_ns)
{
	return shunt_now_ns() - since_ns < LIMIT_NS;
}

/* Until worker 1 is on its way to sleep, and some time longer. One that never says so is found out
 * by the wake. */
static void await_nap(void)
{
	int64_t begin = shunt_now_ns();
	struct timespec pause = {.tv_nsec = 20000000};
	/* Relaxed: a look from outside [worker:idle]. */
	while (!atomic_load_explicit(&engine->workers[1]->idle, memory_order_relaxed) &&
		shunt_now_ns() - begin < NAP_NS / 20)
		sched_yield();
	nanosleep(&pause, NULL);
}

struct parked {
	struct shunt_handle handle;
	int ran; /* [nap:ran] */
};

static void *parks(void *arg)
{
	struct parked *parked = arg;
	shunt_park();
	/* On the worker that napped, which has no more naps of that length; the end would wait
	 * for them. */
	if (shunt_self().task->home == 1)
		engine->workers[1]->backoff.nap_ns = 0;
	/* Release pairs with the acquire in wakes_outside [nap:ran]. */
	__atomic_store_n(&parked->ran, 1, __ATOMIC_RELEASE);
	return NULL;
}

static void *wake_it(void *arg)
{
	shunt_wake(((struct parked *)arg)->handle);
	return NULL;
}

/* Of two tasks one has its home with worker 1: what wakes it from outside goes to that inbox. */
static void *wakes_outside(void *arg)
{
	struct parked parked[2] = {{.ran = 0}, {.ran = 0}};
	struct parked *theirs = NULL;
	for (int i = 0; i < 2; i++) {
		assert_int_equal(shunt_spawn(&parked[i].handle, parks, &parked[i], NULL), 0);
		if (parked[i].handle.task->home == 1)
			theirs = &parked[i];
	}
	assert_non_null(theirs);
	for (int i = 0; i < 4; i++)
		shunt_yield(); /* both park */
	await_nap();
	pthread_t thread;
	int64_t begin = shunt_now_ns();
	assert_int_equal(pthread_create(&thread, NULL, wake_it, theirs), 0);
	/* Acquire pairs with the release in parks [nap:ran]. */
	while (!__atomic_load_n(&theirs->ran, __ATOMIC_ACQUIRE) && in_time(begin))
		sched_yield();
	assert_true(in_time(begin));
	assert_int_equal(pthread_join(thread, NULL), 0);
	for (int i = 0; i < 2; i++) {
		if (&parked[i] != theirs)
			shunt_wake(parked[i].handle);
		assert_int_equal(shunt_join(parked[i].handle, NULL), 0);
	}
	return arg;
}

static void *computes(void *arg)
{
	const int *woke = arg;
	int64_t begin = shunt_now_ns();
	/* Acquire pairs with the release in sleeps_beside [nap:woke]. */
	while (!__atomic_load_n(woke, __ATOMIC_ACQUIRE) && in_time(begin))
		sched_yield();
	return NULL;
}

/* Worker 0 goes on with the one that computes. */
static void *sleeps_beside(void *arg)
{
	struct shunt_handle task;
	int woke = 0; /* [nap:woke] */
	await_nap();
	int64_t begin = shunt_now_ns();
	assert_int_equal(shunt_spawn(&task, computes, &woke, NULL), 0);
	shunt_sleep_for(1000000);
	assert_true(in_time(begin));
	engine->workers[1]->backoff.nap_ns = 0;
	/* Release pairs with the acquire in computes [nap:woke]. */
	__atomic_store_n(&woke, 1, __ATOMIC_RELEASE);
	assert_int_equal(shunt_join(task, NULL), 0);
	return arg;
}

static void nap_through(shunt_task_fn *root)
{
	static const char *const waits[] = {"futex", "epoll"};
	for (size_t i = 0; i < sizeof(waits) / sizeof(waits[0]); i++) {
		struct shunt_sched *sched;
		struct shunt_error err = {""};
		char spec[64];
		snprintf(spec, sizeof(spec), "ucontext:workers=2,policy=steal,wait=%s", waits[i]);
		if (shunt_open(&sched, spec, NULL, &err))
			fail_msg("%s: %s", spec, err.text);
		engine = shunt_engine_of(sched);
		engine->workers[1]->backoff.nap_ns = NAP_NS;
		engine->workers[1]->backoff.nap_due = true;
		if (shunt_run(sched, root, NULL, NULL, &err))
			fail_msg("%s: %s", spec, err.text);
		assert_true(engine->workers[1]->naps > 0);
		shunt_close(sched);
	}
}

static void a_wake_into_the_inbox_ends_a_nap(void **state)
{
	(void)state;
	nap_through(wakes_outside);
}

static void a_deadline_of_one_that_goes_on_ends_a_nap(void **state)
{
	(void)state;
	nap_through(sleeps_beside);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_wake_into_the_inbox_ends_a_nap),
		cmocka_unit_test(a_deadline_of_one_that_goes_on_ends_a_nap),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
