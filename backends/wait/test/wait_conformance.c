/* SPDX-License-Identifier: MIT */
/*
 * If this passes, every wait slot of the registry, with every value of its choices, keeps its
 * contract on one worker: a wake at any time ends the coming or present sleep, a sleep without one
 * lasts until its deadline and not for long after it, signals or not; looking costs no system call;
 * and closing leaves no descriptor behind.
 *
 * Time is judged by CLOCK_MONOTONIC alone. A slot that this machine refuses is skipped, with its
 * own reason.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "backends/wait/test/harness.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/time.h>
#include <unistd.h>

/* A sleep that nothing ends. Whoever has woken in half of it was woken, on a machine however
 * busy. */
#define LONG_NS (60000 * MS)

static void own_fired(void *arg, const struct shunt_timer *timer)
{
	(void)arg;
	(void)timer;
}

/* ---- one worker ------------------------------------------------------------------------------ */

static void sleep_ms(int64_t ms)
{
	usleep((useconds_t)ms * 1000);
}

struct alarm_clock {
	struct harness *h;
	void *target;
	int64_t after_ms;
	int64_t rung_ns;
};

static void *ring_later(void *arg)
{
	struct alarm_clock *a = arg;

	sleep_ms(a->after_ms);
	a->rung_ns = now_ns();
	a->h->ops->wake(a->target, NULL);
	return NULL;
}

static void ring_in_other_thread(struct alarm_clock *a, pthread_t *thread)
{
	assert_int_equal(pthread_create(thread, NULL, ring_later, a), 0);
}

static void a_wake_before_the_sleep_ends_it(void **state)
{
	struct harness *h = harness_open(*state);
	void *slot = harness_start(h, 0, NULL);
	struct alarm_clock a = {.h = h, .target = slot};

	for (int when = 0; when < 3; when++) {
		int64_t begin = now_ns();
		pthread_t thread;

		if (when > 0)
			prepare(h->ops, slot);
		ring_in_other_thread(&a, &thread);
		pthread_join(thread, NULL);
		if (when == 0)
			prepare(h->ops, slot);
		if (when == 2 && h->ops->poll != NULL)
			h->ops->poll(slot);
		assert_int_equal(h->ops->commit(slot, begin + LONG_NS), 0);
		assert_true(now_ns() - begin < LONG_NS / 2);
	}
	h->ops->stop(slot);
	harness_close(h);
}

static void a_wake_ends_the_sleep(void **state)
{
	struct harness *h = harness_open(*state);
	void *slot = harness_start(h, 0, NULL);

	for (int round = 0; round < 3; round++) {
		struct alarm_clock a = {.h = h, .target = slot, .after_ms = 10};
		int64_t begin = now_ns();
		pthread_t thread;

		ring_in_other_thread(&a, &thread);
		do {
			prepare(h->ops, slot);
			assert_int_equal(h->ops->commit(slot, begin + LONG_NS), 0);
		} while (now_ns() - begin < 5 * MS); /* spurious returns are allowed */
		assert_true(now_ns() - begin < LONG_NS / 2);
		pthread_join(thread, NULL);
	}
	h->ops->stop(slot);
	harness_close(h);
}

static void a_sleep_lasts_until_its_deadline(void **state)
{
	struct harness *h = harness_open(*state);
	void *slot = harness_start(h, 0, NULL);
	struct shunt_rng rng;
	int too_late = 0;

	shunt_rng_init(&rng, 7);
	for (int round = 0; round < 60; round++) {
		int64_t deadline = now_ns() + (int64_t)shunt_rng_below(&rng, 4 * MS), late;
		int returns = 0;

		do {
			prepare(h->ops, slot);
			assert_int_equal(h->ops->commit(slot, deadline), 0);
			returns++;
		} while (now_ns() < deadline);
		/* A slot that returned early each time would be a busy loop. */
		if (!h->ops->spins)
			assert_in_range(returns, 1, 8);
		late = now_ns() - deadline;
		assert_true(late < LONG_NS);
		too_late += late > 1000 * MS;
	}
	/* A busy machine may keep a thread waiting so long once or twice. */
	assert_in_range(too_late, 0, 9);
	h->ops->stop(slot);
	harness_close(h);
}

/* Taken for a length of time the last of them would be a second. The best of several: a busy
 * machine may take as long for nothing. */
static void a_deadline_in_the_past_is_no_sleep(void **state)
{
	static const int64_t past[] = {INT64_MIN, -1, 0, 1, 999999999};
	struct harness *h = harness_open(*state);
	void *slot = harness_start(h, 0, NULL);
	int64_t took = INT64_MAX;

	for (int attempt = 0; attempt < 10 && took >= 900 * MS; attempt++) {
		int64_t begin = now_ns();

		for (size_t i = 0; i < sizeof(past) / sizeof(past[0]); i++) {
			prepare(h->ops, slot);
			assert_int_equal(h->ops->commit(slot, past[i]), 0);
		}
		prepare(h->ops, slot);
		assert_int_equal(h->ops->commit(slot, begin), 0);
		took = now_ns() - begin;
	}
	assert_true(took < 900 * MS);
	h->ops->stop(slot);
	harness_close(h);
}

static void an_aborted_sleep_leaves_the_next_one_whole(void **state)
{
	struct harness *h = harness_open(*state);
	void *slot = harness_start(h, 0, NULL);
	int64_t deadline;
	int returns = 0;

	for (int i = 0; i < 100; i++)
		prepare(h->ops, slot);
	deadline = now_ns() + 5 * MS;
	do {
		prepare(h->ops, slot);
		assert_int_equal(h->ops->commit(slot, deadline), 0);
		returns++;
	} while (now_ns() < deadline);
	if (!h->ops->spins)
		assert_in_range(returns, 1, 8);
	h->ops->stop(slot);
	harness_close(h);
}

static void looking_and_waking_the_awake_cost_no_system_call(void **state)
{
	struct harness *h = harness_open(*state);
	void *slot = harness_start(h, 0, NULL);
	uint64_t before;

	assert_non_null(h->ops->syscalls);
	h->ops->wake(slot, slot);
	prepare(h->ops, slot);
	assert_int_equal(h->ops->commit(slot, 0), 0);
	before = h->ops->syscalls(slot);
	for (int i = 0; i < 1000; i++) {
		if (h->ops->poll != NULL)
			h->ops->poll(slot);
		prepare(h->ops, slot);
		h->ops->wake(slot, NULL);
	}
	assert_int_equal(h->ops->syscalls(slot) - before, 0);
	h->ops->stop(slot);
	harness_close(h);
}

static void on_signal(int number)
{
	(void)number;
}

/* A profiler's signals interrupt sleeps all the time. */
static void a_storm_of_signals_ends_no_run(void **state)
{
	struct harness *h = harness_open(*state);
	struct sigaction action = {.sa_handler = on_signal}, before;
	struct itimerval often = {{0, 150}, {0, 150}}, never = {{0, 0}, {0, 0}};
	void *slot = harness_start(h, 0, NULL);

	assert_int_equal(sigaction(SIGALRM, &action, &before), 0);
	setitimer(ITIMER_REAL, &often, NULL);
	for (int round = 0; round < 20; round++) {
		int64_t deadline = now_ns() + 3 * MS;

		do {
			prepare(h->ops, slot);
			assert_int_equal(h->ops->commit(slot, deadline), 0);
		} while (now_ns() < deadline);
		assert_true(now_ns() - deadline < LONG_NS);
	}
	setitimer(ITIMER_REAL, &never, NULL);
	sigaction(SIGALRM, &before, NULL);
	h->ops->stop(slot);
	harness_close(h);
}

static void closing_leaves_no_descriptor(void **state)
{
	int before = open_descriptors();

	for (int round = 0; round < 3; round++) {
		struct harness *h = harness_open(*state);
		void *slot = harness_start(h, 0, NULL);

		prepare(h->ops, slot);
		assert_int_equal(h->ops->commit(slot, now_ns() + MS), 0);
		h->ops->stop(slot);
		harness_close(h);
	}
	assert_int_equal(open_descriptors(), before);
}

static void count_fact(void *sink, const char *name, const char *value, const char *source)
{
	assert_true(name[0] != '\0' && value[0] != '\0' && source[0] != '\0');
	++*(int *)sink;
}

static void facts_are_told(void **state)
{
	struct harness *h = harness_open(*state);
	void *slot = harness_start(h, 0, NULL);
	int told = 0;

	if (h->ops->facts != NULL) {
		h->ops->facts(h->wait, count_fact, &told);
		assert_true(told > 0);
	}
	h->ops->stop(slot);
	harness_close(h);
}

/* ---------------------------------------------------------------------------------------------- */

static int check(struct subject *s)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_prestate(a_wake_before_the_sleep_ends_it, s),
		cmocka_unit_test_prestate(a_wake_ends_the_sleep, s),
		cmocka_unit_test_prestate(a_sleep_lasts_until_its_deadline, s),
		cmocka_unit_test_prestate(a_deadline_in_the_past_is_no_sleep, s),
		cmocka_unit_test_prestate(an_aborted_sleep_leaves_the_next_one_whole, s),
		cmocka_unit_test_prestate(looking_and_waking_the_awake_cost_no_system_call, s),
		cmocka_unit_test_prestate(a_storm_of_signals_ends_no_run, s),
		cmocka_unit_test_prestate(closing_leaves_no_descriptor, s),
		cmocka_unit_test_prestate(facts_are_told, s),
	};

	return cmocka_run_group_tests_name(s->title, tests, NULL, NULL);
}

int main(int argc, char **argv)
{
	return each_subject(argc > 1 ? argv[1] : NULL, check);
}
