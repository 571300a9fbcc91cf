/* SPDX-License-Identifier: MIT */
/*
 * If this passes, an idle worker sees to what a busy one does not get to: tasks from outside in its
 * inbox, and its timers, also when it naps.
 */
#include "core/backend.h"
#include "core/engine/sanitize.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MS       INT64_C(1000000)
#define PATIENCE (5000 * MS)

static struct shunt_sched *open_spec(const char *spec)
{
	struct shunt_sched *sched;
	struct shunt_error err = {""};
	if (shunt_open(&sched, spec, NULL, &err))
		fail_msg("%s: %s", spec, err.text);
	return sched;
}

static void run(struct shunt_sched *sched, shunt_task_fn *fn, void *arg)
{
	struct shunt_error err = {""};
	if (shunt_run(sched, fn, arg, NULL, &err))
		fail_msg("%s", err.text);
	shunt_close(sched);
}

/* ---- tasks from outside ------------------------------------------------------------------------ */

#define GUESTS 16

struct house {
	struct shunt_sched *sched;
	pthread_t outside;
	_Atomic int ran;
	bool gave_up;
};

static void *guest(void *arg)
{
	struct house *house = arg;
	house->ran++;
	return NULL;
}

/* One at a time, with a pause in which the idle worker falls asleep again. */
static void *send_guests(void *arg)
{
	struct house *house = arg;
	const struct timespec pause = {.tv_nsec = 2 * MS};
	for (int i = 0; i < GUESTS; i++) {
		nanosleep(&pause, NULL);
		if (shunt_spawn_external(house->sched, NULL, guest, house, NULL))
			abort();
	}
	return NULL;
}

/* Gives way to nobody until all guests have run: only the other worker can have run them. */
static void *host(void *arg)
{
	struct house *house = arg;
	if (pthread_create(&house->outside, NULL, send_guests, house))
		abort();
	int64_t until = shunt_now_ns() + PATIENCE;
	while (house->ran < GUESTS && shunt_now_ns() < until)
		;
	house->gave_up = house->ran < GUESTS;
	pthread_join(house->outside, NULL);
	return NULL;
}

static void guests_go_to_who_is_idle(void **state)
{
	static const char *const specs[] = {"ucontext:workers=2,policy=steal",
		"ucontext:workers=2,policy=steal,nap=0", "ucontext:workers=2,policy=shared",
		"ucontext:workers=2,policy=shared,wait=epoll"};
	(void)state;
	for (size_t i = 0; i < sizeof(specs) / sizeof(specs[0]); i++) {
		struct house house = {.sched = open_spec(specs[i])};
		run(house.sched, host, &house);
		if (house.gave_up)
			fail_msg("%s: %d of %d ran", specs[i], house.ran, GUESTS);
	}
}

/* ---- timers of a busy worker ------------------------------------------------------------------- */

#define NAP_MS   40
#define ATTEMPTS 12
#ifdef SHUNT_TSAN
#define CRUMBS 500 /* its fibres keep a frame of every task that ended on them: 65,535 at most */
#else
#define CRUMBS INT64_MAX
#endif

struct race {
	_Atomic bool woke;
	int late;
};

static void *crumb(void *arg)
{
	return arg;
}

/* Has the other worker learn that there is nothing to gain here, up to the longest nap. */
static void crumble(int64_t time_ns)
{
	int64_t until = shunt_now_ns() + time_ns;
	for (int64_t left = CRUMBS; left > 0 && shunt_now_ns() < until; left--) {
		struct shunt_handle task[8];
		for (int i = 0; i < 8; i++)
			assert_int_equal(shunt_spawn(&task[i], crumb, NULL, NULL), 0);
		for (int i = 0; i < 8; i++)
			shunt_join(task[i], NULL);
	}
}

static void *computes(void *arg)
{
	struct race *race = arg;
	int64_t until = shunt_now_ns() + PATIENCE;
	while (!race->woke && shunt_now_ns() < until)
		;
	return NULL;
}

static void *sleeps_beside_one_that_computes(void *arg)
{
	struct race *race = arg;
	for (int i = 0; i < ATTEMPTS; i++) {
		struct shunt_handle task;
		crumble(2 * NAP_MS * MS);
		race->woke = false;
		int64_t due = shunt_now_ns() + MS;
		assert_int_equal(shunt_spawn(&task, computes, race, NULL), 0);
		shunt_sleep_until(due);
		race->late += shunt_now_ns() - due > NAP_MS * MS / 8;
		race->woke = true;
		shunt_join(task, NULL);
	}
	return NULL;
}

/* Left alone, a nap would go on for half its length on average; so most would be late. */
static void a_busy_workers_timer_ends_a_nap(void **state)
{
	struct race race = {.woke = false};
	(void)state;
	run(open_spec("ucontext:workers=2,policy=steal,nap=40ms"), sleeps_beside_one_that_computes,
		&race);
	if (race.late > ATTEMPTS / 2)
		fail_msg("late in %d of %d attempts", race.late, ATTEMPTS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(guests_go_to_who_is_idle),
		cmocka_unit_test(a_busy_workers_timer_ends_a_nap),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
