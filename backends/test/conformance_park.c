/* SPDX-License-Identifier: MIT */
/* Clauses about waiting: permits, parks, transfers, sleeps, deadlines. */
#include "backends/test/conformance.h"

#include "core/rng.h"

#include <errno.h>

static void *a_wake_before_the_park_is_kept(void *arg)
{
	EXPECT(shunt_wake(shunt_self()));
	EXPECT_INT(0, shunt_park());
	EXPECT(shunt_wake(shunt_self()));
	EXPECT_INT(0, shunt_park_until(shunt_now_ns() + 60000 * MS));
	/* The permit comes before the deadline, also one that has passed. */
	EXPECT(shunt_wake(shunt_self()));
	EXPECT_INT(0, shunt_park_until(shunt_now_ns() - MS));
	return arg;
}

static void *one_permit_is_kept(void *arg)
{
	int without_cause = 0;
	for (int i = 0; i < 5; i++)
		EXPECT(shunt_wake(shunt_self()));
	EXPECT_INT(0, shunt_park());
	/* A park may end without cause now and then, but not five times for five wakes. */
	for (int i = 0; i < 4; i++)
		without_cause += shunt_park_until(shunt_now_ns() + MS / 2) == 0;
	EXPECT(without_cause < 4);
	return arg;
}

static void *a_parked_task_is_woken_by_another(void *flag)
{
	while (!count_now(flag))
		shunt_park();
	return flag;
}

static void *wakes_end_parks(void *arg)
{
	struct shunt_handle handle[20];
	int told = 0;
	for (int i = 0; i < 20; i++)
		EXPECT_INT(0,
			shunt_spawn(&handle[i], a_parked_task_is_woken_by_another, &told, NULL));
	shunt_yield();
	count_up(&told);
	for (int i = 0; i < 20; i++)
		shunt_wake(handle[i]);
	for (int i = 0; i < 20; i++)
		EXPECT_INT(0, shunt_join(handle[i], NULL));
	return arg;
}

static void *a_park_ends_at_its_deadline(void *arg)
{
	for (int i = 0; i < 5; i++) {
		int64_t deadline = shunt_now_ns() + MS / 2;
		int rc;
		while ((rc = shunt_park_until(deadline)) == 0)
			;
		EXPECT_INT(-ETIMEDOUT, rc);
		EXPECT(shunt_now_ns() >= deadline);
	}
	/* Deadlines that have passed, even before the clock began. */
	EXPECT_INT(-ETIMEDOUT, shunt_park_until(shunt_now_ns() - 1));
	EXPECT_INT(-ETIMEDOUT, shunt_park_until(0));
	EXPECT_INT(-ETIMEDOUT, shunt_park_until(-5));
	EXPECT_INT(-ETIMEDOUT, shunt_park_until(INT64_MIN));
	return arg;
}

static void *a_late_permit_stays(void *arg)
{
	int rc;
	while ((rc = shunt_park_until(shunt_now_ns() + MS / 4)) == 0)
		;
	EXPECT_INT(-ETIMEDOUT, rc);
	EXPECT(shunt_wake(shunt_self()));
	EXPECT_INT(0, shunt_park());
	return arg;
}

static void *sleep_a_while(void *arg)
{
	int64_t deadline = shunt_now_ns() + 4 * MS;
	count_up(arg);
	EXPECT_INT(0, shunt_sleep_until(deadline));
	EXPECT(shunt_now_ns() >= deadline);
	/* The permits that came meanwhile are still there: one of them. */
	EXPECT_INT(0, shunt_park());
	return arg;
}

static void *permits_do_not_shorten_a_sleep(void *arg)
{
	struct shunt_handle handle;
	int asleep = 0;
	EXPECT_INT(0, shunt_spawn(&handle, sleep_a_while, &asleep, NULL));
	while (!count_now(&asleep))
		give_way();
	for (int i = 0; i < 10; i++) {
		shunt_wake(handle);
		give_way();
	}
	EXPECT_INT(0, shunt_join(handle, NULL));
	return arg;
}

static void *sleep_randomly(void *arg)
{
	struct shunt_rng rng;
	shunt_rng_init(&rng, (uintptr_t)arg);
	for (int i = 0; i < 10; i++) {
		int64_t deadline =
			shunt_now_ns() + (int64_t)shunt_rng_below(&rng, 2 * (uint64_t)MS);
		EXPECT_INT(0, shunt_sleep_until(deadline));
		EXPECT(shunt_now_ns() >= deadline);
	}
	return arg;
}

static void *no_sleep_ends_early(void *arg)
{
	struct shunt_handle handle[40];
	for (intptr_t i = 0; i < 40; i++)
		EXPECT_INT(0, shunt_spawn(&handle[i], sleep_randomly, (void *)i, NULL));
	for (int i = 0; i < 40; i++)
		EXPECT_INT(0, shunt_join(handle[i], NULL));
	return arg;
}

static void *sleeps_in_the_past_return(void *arg)
{
	EXPECT_INT(0, shunt_sleep_until(shunt_now_ns() - MS));
	EXPECT_INT(0, shunt_sleep_until(0));
	EXPECT_INT(0, shunt_sleep_until(-1));
	EXPECT_INT(0, shunt_sleep_until(INT64_MIN));
	EXPECT_INT(0, shunt_sleep_for(0));
	EXPECT_INT(0, shunt_sleep_for(-MS));
	return arg;
}

static int computing;

static void *compute_and_yield(void *arg)
{
	while (count_now(&computing)) {
		shunt_work_ns(20000);
		shunt_yield();
	}
	return arg;
}

static void *busy_tasks_do_not_starve_timers(void *arg)
{
	struct shunt_handle busy[2];
	computing = 1;
	for (int i = 0; i < 2; i++)
		EXPECT_INT(0, shunt_spawn(&busy[i], compute_and_yield, NULL, NULL));
	for (int i = 0; i < 5; i++)
		EXPECT_INT(0, shunt_sleep_for(MS));
	__atomic_store_n(&computing, 0, __ATOMIC_SEQ_CST);
	for (int i = 0; i < 2; i++)
		EXPECT_INT(0, shunt_join(busy[i], NULL));
	return arg;
}

/* ---- transfer -------------------------------------------------------------------------------- */

struct pair {
	struct shunt_handle other;
	int turn; /* 0: the root's, 1: its partner's */
	int steps;
};

static void *partner(void *arg)
{
	struct pair *pair = arg;
	for (int i = 0; i < 10; i++) {
		while (count_now(&pair->turn) != 1)
			shunt_park();
		EXPECT_INT(2 * i + 1, pair->steps);
		pair->steps++;
		__atomic_store_n(&pair->turn, 0, __ATOMIC_SEQ_CST);
		if (i < 9)
			shunt_transfer(pair->other);
		else
			shunt_wake(pair->other);
	}
	return arg;
}

static void *transfer_passes_control(void *arg)
{
	struct pair pair = {.other = shunt_self()};
	struct shunt_handle handle;
	EXPECT_INT(0, shunt_spawn(&handle, partner, &pair, NULL));
	for (int i = 0; i < 10; i++) {
		EXPECT_INT(2 * i, pair.steps);
		pair.steps++;
		__atomic_store_n(&pair.turn, 1, __ATOMIC_SEQ_CST);
		shunt_transfer(handle);
		while (count_now(&pair.turn) != 0)
			shunt_park();
	}
	EXPECT_INT(0, shunt_join(handle, NULL));
	EXPECT_INT(20, pair.steps);
	return arg;
}

static void *transfer_to_itself_returns(void *arg)
{
	EXPECT_INT(0, shunt_transfer(shunt_self()));
	return arg;
}

static void *wake_the_root(void *handle)
{
	struct shunt_handle root = *(struct shunt_handle *)handle;
	for (int i = 0; i < 3; i++)
		give_way();
	shunt_wake(root);
	return NULL;
}

static void *nothing(void *arg)
{
	return arg;
}

static void *transfer_to_an_ended_task_parks(void *arg)
{
	struct shunt_handle ended, waker, self = shunt_self();
	EXPECT_INT(0, shunt_spawn(&ended, nothing, NULL, NULL));
	EXPECT_INT(0, shunt_join(ended, NULL));
	EXPECT_INT(0, shunt_spawn(&waker, wake_the_root, &self, NULL));
	EXPECT_INT(0, shunt_transfer(ended));
	EXPECT_INT(0, shunt_join(waker, NULL));
	return arg;
}

static void *take_permit(void *arg)
{
	EXPECT_INT(0, shunt_park());
	shunt_wake(*(struct shunt_handle *)arg);
	return arg;
}

static void *transfer_leaves_a_permit(void *arg)
{
	struct shunt_handle fresh, self = shunt_self();
	EXPECT_INT(0, shunt_spawn(&fresh, take_permit, &self, NULL));
	/* It may not even have begun: the wake is a permit then, and it wakes us in turn. */
	EXPECT_INT(0, shunt_transfer(fresh));
	EXPECT_INT(0, shunt_join(fresh, NULL));
	return arg;
}

/* ---- races of a deadline and a wake ---------------------------------------------------------- */

struct race {
	struct shunt_handle parker;
	int rounds, asked, answered;
};

static void *answer_at_the_last_moment(void *arg)
{
	struct race *race = arg;
	while (count_now(&race->answered) < race->rounds) {
		if (count_now(&race->asked) > count_now(&race->answered)) {
			count_up(&race->answered);
			shunt_wake(race->parker);
		}
		shunt_yield();
	}
	return arg;
}

static void *a_wait_ends_once(void *arg)
{
	struct race race = {.parker = shunt_self(), .rounds = 200};
	struct shunt_handle waker;
	EXPECT_INT(0, shunt_spawn(&waker, answer_at_the_last_moment, &race, NULL));
	for (int i = 0; i < race.rounds; i++) {
		count_up(&race.asked);
		int64_t deadline = shunt_now_ns() + 1000 + (i % 64) * 1000;
		int rc = shunt_park_until(deadline);
		EXPECT(rc == 0 || (rc == -ETIMEDOUT && shunt_now_ns() >= deadline));
		while (count_now(&race.answered) <= i)
			shunt_park();
	}
	EXPECT_INT(0, shunt_join(waker, NULL));
	return arg;
}

#define BLOCKS SHUNT_CAN_BLOCK
#define TIMES  (SHUNT_CAN_BLOCK | SHUNT_TIMED)

const struct clause conformance_park[] = {
	CLAUSE("a wake before the park is kept", BLOCKS, a_wake_before_the_park_is_kept),
	CLAUSE("one permit is kept", TIMES, one_permit_is_kept),
	CLAUSE("wakes end parks", BLOCKS, wakes_end_parks),
	CLAUSE("a park ends at its deadline, never before", TIMES, a_park_ends_at_its_deadline),
	CLAUSE("a permit that comes after the deadline stays", TIMES, a_late_permit_stays),
	CLAUSE("permits do not shorten a sleep", TIMES, permits_do_not_shorten_a_sleep),
	CLAUSE("no sleep ends early", TIMES, no_sleep_ends_early),
	CLAUSE("sleeps whose deadline has passed return", TIMES, sleeps_in_the_past_return),
	CLAUSE("busy tasks do not starve timers", TIMES, busy_tasks_do_not_starve_timers),
	CLAUSE("transfer passes control", BLOCKS, transfer_passes_control),
	CLAUSE("a transfer to itself returns", BLOCKS, transfer_to_itself_returns),
	CLAUSE("a transfer to an ended task parks", TIMES, transfer_to_an_ended_task_parks),
	CLAUSE("a transfer leaves a permit", BLOCKS, transfer_leaves_a_permit),
	CLAUSE("of a deadline and a wake one ends the wait", TIMES, a_wait_ends_once),
	{.name = NULL},
};
