/* SPDX-License-Identifier: MIT */
/*
 * If this passes, darc divides the workers by what it has profiled, no long type runs on a worker
 * of a shorter one, and whoever may run a task is woken for it.
 *
 * The first tests call the hooks of a scheduler that never runs, with times of their own. The last
 * one runs tasks on eight workers of which seven may not run the long ones.
 */
#include "core/backend.h"
#include "core/engine/policy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdio.h>
#include <time.h>

enum { SHORT, MIDDLE, LONG, UNKNOWN, TASKS = 8, WINDOW = 1000 };

#define US INT64_C(1000)

static struct shunt_sched *sched;
static struct shunt_engine *engine;
static struct shunt_task task[TASKS];

static void begin(unsigned workers)
{
	char spec[64];
	struct shunt_error err = {""};
	snprintf(spec, sizeof(spec), "ucontext:policy=darc,workers=%u", workers);
	if (shunt_open(&sched, spec, NULL, &err))
		fail_msg("%s: %s", spec, err.text);
	engine = shunt_engine_of(sched);
	for (unsigned i = 0; i < workers; i++)
		engine->workers[i]->ctx.current = &engine->workers[i]->loop;
}

static void spawn(struct shunt_task *new, unsigned type)
{
	struct shunt_attr attr = {.priority = type};
	*new = (struct shunt_task){.key = engine->policy->key(&attr)};
	engine->policy->enqueue(engine->workers[0], new, SHUNT_WHY_NEW);
}

/* What the worker runs next; it has then ended after so much time. */
static struct shunt_task *take(unsigned index, int64_t ran_ns)
{
	struct shunt_worker *worker = engine->workers[index];
	assert_true(engine->policy->has_ready(worker));
	struct shunt_task *next = engine->policy->pick(worker, NULL);
	assert_non_null(next);
	worker->env.ran_ns = ran_ns;
	engine->policy->stopping(worker, next);
	return next;
}

static void assert_idle(unsigned index)
{
	assert_false(engine->policy->has_ready(engine->workers[index]));
	assert_null(engine->policy->pick(engine->workers[index], NULL));
}

/* One window, on the last worker: of every 16 tasks 13 are short, 2 middle and 1 long. */
static void profile(const int64_t ran_ns[3])
{
	struct shunt_task one;
	for (int i = 0; i < WINDOW; i++) {
		unsigned type = i % 16 < 13 ? SHORT : i % 16 < 15 ? MIDDLE : LONG;
		spawn(&one, type);
		assert_ptr_equal(take(engine->worker_count - 1, ran_ns[type]), &one);
	}
}

/* The first worker that runs a task of the type. */
static unsigned first_of(unsigned type)
{
	unsigned first = 0;
	spawn(&task[0], type);
	while (!engine->policy->has_ready(engine->workers[first]))
		assert_idle(first++);
	for (unsigned i = first; i < engine->worker_count; i++)
		assert_true(engine->policy->has_ready(engine->workers[i]));
	assert_ptr_equal(engine->policy->pick(engine->workers[first], NULL), &task[0]);
	return first;
}

static void before_the_profile_all_is_one_queue(void **state)
{
	static const unsigned type[] = {LONG, SHORT, UNKNOWN, MIDDLE};
	(void)state;
	begin(4);
	for (unsigned i = 0; i < 4; i++)
		spawn(&task[i], type[i]);
	for (unsigned i = 0; i < 4; i++)
		assert_ptr_equal(take(i, US), &task[i]);
	shunt_close(sched);
}

/* Of the time the short have 52, the middle 80 and the long 100 of 232 parts: of 8 workers 2, 3 and
 * the rest. */
static void workers_are_divided_by_demand(void **state)
{
	(void)state;
	begin(8);
	profile((const int64_t[3]){4 * US, 40 * US, 100 * US});
	assert_int_equal(first_of(SHORT), 0);
	assert_int_equal(first_of(MIDDLE), 2);
	assert_int_equal(first_of(LONG), 5);
	assert_int_equal(first_of(UNKNOWN), 7);
	/* The next windows find another demand: 13, 500 and 1000 parts. */
	for (int i = 0; i < 8; i++)
		profile((const int64_t[3]){1 * US, 250 * US, 1000 * US});
	assert_int_equal(first_of(MIDDLE), 1);
	assert_int_equal(first_of(LONG), 4);
	shunt_close(sched);
}

static void types_that_are_alike_are_one_group(void **state)
{
	(void)state;
	begin(8);
	profile((const int64_t[3]){10 * US, 19 * US, 100 * US});
	assert_int_equal(first_of(SHORT), 0);
	assert_int_equal(first_of(MIDDLE), 0);
	assert_int_equal(first_of(LONG), 5);
	shunt_close(sched);
}

static void the_shortest_that_it_may_run_is_first(void **state)
{
	static const unsigned type[] = {LONG, MIDDLE, SHORT, LONG, SHORT};
	(void)state;
	begin(2);
	profile((const int64_t[3]){10 * US, 19 * US, 100 * US});
	for (unsigned i = 0; i < 5; i++)
		spawn(&task[i], type[i]);
	assert_ptr_equal(take(1, US), &task[2]);
	assert_ptr_equal(take(0, US), &task[4]);
	assert_ptr_equal(take(1, US), &task[1]);
	assert_idle(0);
	assert_ptr_equal(take(1, US), &task[0]);
	assert_ptr_equal(take(1, US), &task[3]);
	assert_idle(1);
	/* A yield gives way to what the worker may run, and to nothing else. */
	spawn(&task[0], LONG);
	assert_ptr_equal(engine->policy->pick(engine->workers[0], &task[2]), &task[2]);
	assert_ptr_equal(engine->policy->pick(engine->workers[1], &task[2]), &task[0]);
	shunt_close(sched);
}

/* A type whose number is smaller is not thereby shorter. */
static void one_worker_runs_all(void **state)
{
	(void)state;
	begin(1);
	profile((const int64_t[3]){90 * US, 10 * US, 1 * US});
	for (unsigned i = 0; i < 4; i++)
		spawn(&task[i], i);
	assert_ptr_equal(take(0, US), &task[LONG]);
	assert_ptr_equal(take(0, US), &task[MIDDLE]);
	assert_ptr_equal(take(0, US), &task[SHORT]);
	assert_ptr_equal(take(0, US), &task[UNKNOWN]);
	shunt_close(sched);
}

/* What waits when the first profile is made goes to the queue of its type, in order. */
static void the_first_profile_sorts_the_queue(void **state)
{
	static const unsigned type[] = {LONG, SHORT, LONG, SHORT};
	(void)state;
	begin(2);
	for (int i = 0; i + 1 < WINDOW; i++) {
		struct shunt_task one;
		spawn(&one, i % 2 ? SHORT : LONG);
		take(1, i % 2 ? 1 * US : 10 * US);
	}
	for (unsigned i = 0; i < 4; i++)
		spawn(&task[i], type[i]);
	assert_ptr_equal(take(1, US), &task[0]);
	assert_ptr_equal(take(0, US), &task[1]);
	assert_ptr_equal(take(0, US), &task[3]);
	assert_idle(0);
	assert_ptr_equal(take(1, US), &task[2]);
	shunt_close(sched);
}

/* ---- who is woken ---------------------------------------------------------------------------- */

static unsigned notified;

void __real_shunt_wake_notify(struct shunt_worker *from);
void __wrap_shunt_wake_notify(struct shunt_worker *from);
void __wrap_shunt_wake_notify(struct shunt_worker *from)
{
	__atomic_fetch_add(&notified, 1, __ATOMIC_RELAXED);
	__real_shunt_wake_notify(from);
}

/* What only one that was just woken could run may be another's now, who sleeps. */
static void all_look_again_after_a_division(void **state)
{
	(void)state;
	begin(3);
	notified = 0;
	profile((const int64_t[3]){1 * US, 10 * US, 100 * US});
	assert_int_equal(notified, 3);
	shunt_close(sched);
}

enum { ROUNDS = 1000, WORKERS = 8 };

static int longs_done;

static void *spins(void *arg)
{
	int64_t until = shunt_now_ns() + (int64_t)(intptr_t)arg;
	while (shunt_now_ns() < until)
		;
	return arg;
}

static void spawn_one(unsigned type, shunt_task_fn *fn, int64_t for_ns)
{
	struct shunt_attr attr = {.name = "one", .priority = type};
	assert_int_equal(shunt_spawn(NULL, fn, (void *)(intptr_t)for_ns, &attr), 0);
}

static void *counts(void *arg)
{
	__atomic_fetch_add(&longs_done, 1, __ATOMIC_RELAXED);
	return spins(arg);
}

/* All workers but the last may run the first only, and all may be asleep. */
static void *short_and_long(void *arg)
{
	spawn_one(SHORT, spins, 0);
	spawn_one(LONG, counts, 100 * US);
	return arg;
}

/* Nearly all of the time is that of short tasks. */
static void *profiles(void *arg)
{
	for (int i = 0; i < WINDOW; i++) {
		spawn_one(i % 50 ? SHORT : LONG, spins, i % 50 ? 20 * US : 100 * US);
		if (i % 50 == 0)
			shunt_sleep_for(US);
	}
	return arg;
}

static void *runs(void *arg)
{
	struct shunt_error err = {""};
	if (shunt_run(sched, profiles, NULL, NULL, &err))
		fail_msg("%s", err.text);
	return arg;
}

static void nap(long ns)
{
	nanosleep(&(struct timespec){.tv_nsec = ns}, NULL);
}

static void whoever_may_run_it_is_woken(void **state)
{
	struct shunt_attr attr = {.name = "outsider", .priority = SHORT};
	pthread_t thread;
	(void)state;
	begin(WORKERS);
	const struct shunt_worker *reserved = engine->workers[WORKERS - 2];
	shunt_hold(sched);
	assert_int_equal(pthread_create(&thread, NULL, runs, NULL), 0);
	for (int round = 0; round < ROUNDS; round++) {
		assert_int_equal(shunt_spawn_external(sched, NULL, short_and_long, NULL, &attr), 0);
		int64_t deadline = shunt_now_ns() + INT64_C(5000000000);
		while (__atomic_load_n(&longs_done, __ATOMIC_RELAXED) <= round) {
			if (shunt_now_ns() > deadline)
				fail_msg("nobody runs the long task of round %d", round);
			nap(10000);
		}
		nap(200000); /* all go to sleep */
	}
	shunt_release(sched);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_false(engine->policy->has_ready(reserved));
	shunt_close(sched);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(before_the_profile_all_is_one_queue),
		cmocka_unit_test(workers_are_divided_by_demand),
		cmocka_unit_test(types_that_are_alike_are_one_group),
		cmocka_unit_test(the_shortest_that_it_may_run_is_first),
		cmocka_unit_test(one_worker_runs_all),
		cmocka_unit_test(the_first_profile_sorts_the_queue),
		cmocka_unit_test(all_look_again_after_a_division),
		cmocka_unit_test(whoever_may_run_it_is_woken),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
