/* SPDX-License-Identifier: MIT */
/*
 * If this passes, every wait slot that brings its own timers fires each live one once and never
 * early, by CLOCK_MONOTONIC, fires no cancelled one, and has none left in flight in the end.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "backends/wait/test/harness.h"

#define OWN_TIMERS 20000 /* more than any ring of ours holds */
#define FEW        32

/* What is not done by then is taken for lost, on a machine however busy. */
#define PATIENCE_NS (60000 * MS)

struct own {
	struct shunt_task *task;
	int64_t *deadline_ns;
	unsigned char *armed;
	size_t fired_count;
	bool early, stale, wrong;
};

static void own_fired(void *arg, const struct shunt_timer *timer)
{
	struct own *own = arg;
	size_t i = (size_t)(timer->task - own->task);

	own->early |= now_ns() < own->deadline_ns[i];
	own->wrong |= timer->deadline_ns != own->deadline_ns[i];
	own->stale |= !own->armed[i];
	own->armed[i] = 0;
	own->fired_count++;
	task_runs(timer->task);
}

static struct own *own_new(size_t count)
{
	struct own *own = calloc(1, sizeof(*own));

	own->task = aligned_alloc(_Alignof(struct shunt_task), count * sizeof(*own->task));
	own->deadline_ns = calloc(count, sizeof(*own->deadline_ns));
	own->armed = calloc(count, 1);
	assert_true(own->task != NULL && own->deadline_ns != NULL && own->armed != NULL);
	memset(own->task, 0, count * sizeof(*own->task));
	return own;
}

static void own_free(struct own *own)
{
	free(own->task);
	free(own->deadline_ns);
	free(own->armed);
	free(own);
}

static void own_arm(struct harness *h, void *slot, struct own *own, size_t i, int64_t deadline_ns)
{
	struct shunt_timer timer;

	task_blocks(&own->task[i]);
	timer = timer_of(&own->task[i], deadline_ns);
	own->deadline_ns[i] = deadline_ns;
	own->armed[i] = 1;
	assert_int_equal(h->ops->arm(slot, &timer), 0);
}

static void own_cancel(struct harness *h, void *slot, struct own *own, size_t i)
{
	struct shunt_timer timer = timer_of(&own->task[i], own->deadline_ns[i]);

	task_runs(&own->task[i]);
	own->armed[i] = 0;
	h->ops->cancelled(slot, &timer);
}

static void own_wait_for(struct harness *h, void *slot, struct own *own, size_t count)
{
	int64_t begin = now_ns();

	while (own->fired_count < count && now_ns() - begin < PATIENCE_NS) {
		h->ops->poll(slot);
		if (own->fired_count >= count)
			break;
		prepare(h->ops, slot);
		assert_int_equal(h->ops->commit(slot, begin + PATIENCE_NS), 0);
		h->ops->poll(slot);
	}
	assert_int_equal(own->fired_count, count);
	assert_false(own->early);
	assert_false(own->wrong);
	assert_false(own->stale);
}

static void own_timers_fire_once_and_never_early(void **state)
{
	struct harness *h = harness_open(*state);
	struct own *own;
	struct shunt_rng rng;
	void *slot;

	own = own_new(OWN_TIMERS);
	slot = harness_start(h, 0, own);
	shunt_rng_init(&rng, harness_seed(h));
	for (size_t i = 0; i < OWN_TIMERS; i++)
		own_arm(h, slot, own, i, now_ns() + (int64_t)shunt_rng_below(&rng, 50 * MS) - MS);
	own_wait_for(h, slot, own, OWN_TIMERS);
	assert_int_equal(h->ops->in_flight(slot), 0);
	h->ops->stop(slot);
	own_free(own);
	harness_close(h);
}

/* Arms as many as there are, every other one far ahead, and cancels those and half of the rest. */
static void arm_and_cancel(struct harness *h, void *slot, struct own *own, struct shunt_rng *rng)
{
	for (size_t i = 0; i < OWN_TIMERS; i++) {
		bool far = i % 2 != 0;

		if (i % 64 == 0)
			h->ops->poll(slot); /* what a second look finds the kernel gets */
		own_arm(h, slot, own, i,
			now_ns() + (far ? 3600000 * MS
					: 20 * MS + (int64_t)shunt_rng_below(rng, 40 * MS)));
		if (i >= 1000 && (far || shunt_rng_below(rng, 2) == 0)) {
			size_t victim = i - 1 - shunt_rng_below(rng, 900);

			if (own->armed[victim] && own->deadline_ns[victim] > now_ns() + 5 * MS)
				own_cancel(h, slot, own, victim);
		}
	}
	for (size_t i = 1; i < OWN_TIMERS; i += 2)
		if (own->armed[i])
			own_cancel(h, slot, own, i);
	/* Due already, and cancelled before anybody has looked. */
	for (size_t i = 1; i < 32; i += 2) {
		own_arm(h, slot, own, i, now_ns() - MS);
		own_cancel(h, slot, own, i);
	}
}

/* More than once, as a tombstone that upsets the slot's lists shows when they are used again. */
static void cancelled_own_timers_never_fire(void **state)
{
	struct harness *h = harness_open(*state);
	struct own *own = own_new(OWN_TIMERS);
	void *slot = harness_start(h, 0, own);
	struct shunt_rng rng;

	shunt_rng_init(&rng, harness_seed(h));
	for (int round = 0; round < 3; round++) {
		size_t live = 0;
		int64_t end;

		arm_and_cancel(h, slot, own, &rng);
		for (size_t i = 0; i < OWN_TIMERS; i++)
			live += own->armed[i];
		own_wait_for(h, slot, own, own->fired_count + live);
		/* The far ones were taken back too: nothing stays in flight until its hour
		 * comes. */
		end = now_ns() + PATIENCE_NS;
		while (h->ops->in_flight(slot) > 0 && now_ns() < end) {
			prepare(h->ops, slot);
			assert_int_equal(h->ops->commit(slot, now_ns() + 10 * MS), 0);
			h->ops->poll(slot);
		}
		assert_int_equal(h->ops->in_flight(slot), 0);
		own_wait_for(h, slot, own, own->fired_count);
	}
	h->ops->stop(slot);
	own_free(own);
	harness_close(h);
}

/* Cancels before the slot has looked, and looks: nobody else has dealt with them by then. */
static void cancelled_before_a_look_never_fire(void **state)
{
	struct harness *h = harness_open(*state);
	struct own *own = own_new(FEW);
	void *slot = harness_start(h, 0, own);

	for (size_t i = 0; i < FEW; i++) {
		own_arm(h, slot, own, i, now_ns() - MS);
		own_cancel(h, slot, own, i);
		h->ops->poll(slot);
		assert_int_equal(own->fired_count, 0);
	}
	prepare(h->ops, slot);
	assert_int_equal(h->ops->in_flight(slot), 0);
	h->ops->stop(slot);
	own_free(own);
	harness_close(h);
}

/* Arms a few for later, has the slot look until they are handed on, and cancels what has not fired.
 * How many it cancelled. */
static size_t hand_on_and_cancel(struct harness *h, void *slot, struct own *own, int64_t ahead_ns)
{
	size_t cancelled = 0;
	int64_t deadline_ns = now_ns() + ahead_ns;

	for (size_t i = 0; i < FEW; i++)
		own_arm(h, slot, own, i, deadline_ns);
	for (int look = 0; look < 3; look++)
		h->ops->poll(slot);
	for (size_t i = 0; i < FEW; i++)
		if (own->armed[i]) {
			own_cancel(h, slot, own, i);
			cancelled++;
		}
	return cancelled;
}

/* As the kernel may find them due before they are taken back: looks alone take none back. */
static void cancelled_ones_that_come_due_never_fire(void **state)
{
	struct harness *h = harness_open(*state);
	struct own *own = own_new(FEW);
	void *slot = harness_start(h, 0, own);
	int64_t ahead_ns = 10 * MS, end;
	size_t fired;

	while (hand_on_and_cancel(h, slot, own, ahead_ns) == 0)
		ahead_ns *= 2; /* they were due before it came to cancel them */
	fired = own->fired_count;
	end = now_ns() + PATIENCE_NS;
	while (h->ops->in_flight(slot) > 0 && now_ns() < end)
		h->ops->poll(slot);
	assert_int_equal(h->ops->in_flight(slot), 0);
	assert_int_equal(own->fired_count, fired);
	assert_false(own->stale);
	h->ops->stop(slot);
	own_free(own);
	harness_close(h);
}

/* ---------------------------------------------------------------------------------------------- */

static bool checked;

static int check(struct subject *s)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_prestate(own_timers_fire_once_and_never_early, s),
		cmocka_unit_test_prestate(cancelled_own_timers_never_fire, s),
		cmocka_unit_test_prestate(cancelled_before_a_look_never_fire, s),
		cmocka_unit_test_prestate(cancelled_ones_that_come_due_never_fire, s),
	};

	if (!s->ops->own_timers)
		return 0;
	checked = true;
	return cmocka_run_group_tests_name(s->title, tests, NULL, NULL);
}

int main(int argc, char **argv)
{
	int failed = each_subject(argc > 1 ? argv[1] : NULL, check);

	return checked ? failed : 77;
}
