/* SPDX-License-Identifier: MIT */
/*
 * If this passes, an idle worker runs the tasks from outside that come into the inbox of a busy
 * one, and wakes the sleepers whose timers that has armed, also when all who were told of them have
 * got work since.
 */
#include "core/backend.h"
#include "core/engine/worker.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MS       INT64_C(1000000)
#define PATIENCE (30000 * MS)

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

/* ---- tasks from outside ---------------------------------------------------------------------- */

#define GUESTS 16

struct house {
	struct shunt_sched *sched;
	pthread_t outside;
	_Atomic int ran;
	_Atomic bool gave_up;
};

static void *guest(void *arg)
{
	struct house *house = arg;
	house->ran++;
	return NULL;
}

/* One when the one before has run, after a pause in which the idle worker falls asleep again: they
 * go to the workers in turn, and nobody comes after one to wake the idle worker for it. */
static void *send_guests(void *arg)
{
	struct house *house = arg;
	const struct timespec pause = {.tv_nsec = 2 * MS};
	for (int i = 0; i < GUESTS && !house->gave_up; i++) {
		while (house->ran < i && !house->gave_up)
			nanosleep(&pause, NULL);
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

/* ---- timers ---------------------------------------------------------------------------------- */

#define ROUNDS   20
#define ATTEMPTS 50

struct alarm_clock {
	_Atomic bool rang, gave_up;
};

/* Gives way to nobody until the root has woken: only the other worker can have woken it. */
static void *snores(void *arg)
{
	struct alarm_clock *clock = arg;
	int64_t until = shunt_now_ns() + PATIENCE;
	while (!clock->rang && shunt_now_ns() < until)
		;
	clock->gave_up = !clock->rang;
	return NULL;
}

/* Goes to sleep on a worker that goes on with the other task at once, before the idle worker, which
 * is told of that task too, has woken up. */
static void *sleeps(void *arg)
{
	struct alarm_clock *clock = arg;
	for (int i = 0; i < ROUNDS && !clock->gave_up; i++) {
		struct shunt_handle task;
		clock->rang = false;
		shunt_sleep_for(MS); /* the other worker falls asleep */
		if (shunt_spawn(&task, snores, clock, NULL))
			abort();
		shunt_sleep_for(MS);
		clock->rang = true;
		shunt_join(task, NULL);
	}
	return NULL;
}

static void add_for_others(void *sink, const char *name, uint64_t value)
{
	if (!strcmp(name, "timers_fired_for_others"))
		*(uint64_t *)sink = value;
}

/* What was fired for others in one run. */
static uint64_t fired_for_others(const char *spec, struct shunt_sched *sched)
{
	struct alarm_clock clock = {.rang = false};
	struct shunt_error err = {""};
	uint64_t for_others = 0;
	if (shunt_run(sched, sleeps, &clock, NULL, &err))
		fail_msg("%s: %s", spec, err.text);
	if (clock.gave_up)
		fail_msg("%s: a sleeper was left asleep", spec);
	sched->backend->counters(sched, add_for_others, &for_others);
	return for_others;
}

/* On a busy machine the idle worker may be there to take the other task each time, and the busy one
 * is the idle one then: nothing is fired for others in that run. */
static void timers_are_fired_by_who_is_idle(void **state)
{
	static const char *const specs[] = {"ucontext:workers=2,policy=shared",
		"ucontext:workers=2,policy=shared,timers=wheel,tick=0",
		"ucontext:workers=2,policy=shared,wait=epoll",
		"ucontext:workers=2,policy=shared,wait=uring", "ucontext:workers=2,policy=steal",
		"ucontext:workers=2,policy=steal,nap=0,wait=epoll"};
	(void)state;
	for (size_t i = 0; i < sizeof(specs) / sizeof(specs[0]); i++) {
		struct shunt_error err = {""};
		struct shunt_sched *sched;
		bool seen = false;
		if (shunt_open(&sched, specs[i], NULL, &err)) { /* no io_uring here */
			print_message("%s\n", err.text);
			continue;
		}
		for (int attempt = 0; attempt < ATTEMPTS && !seen; attempt++)
			seen = fired_for_others(specs[i], sched) > 0;
		shunt_close(sched);
		if (!seen)
			fail_msg("%s: all woke, none by another worker", specs[i]);
	}
}

/* ---- a deadline changes hands ---------------------------------------------------------------- */

#define WATCHES 4
#define BUSY    2 /* tasks that compute beside the root: of four workers one is left */

struct watch {
	_Atomic int64_t armed_ns; /* 0: the sleeper has not come to it */
	_Atomic int busy;
	_Atomic bool rang, gave_up;
};

static void wait_for_ring(struct watch *watch)
{
	int64_t until = shunt_now_ns() + PATIENCE;
	while (!watch->rang && shunt_now_ns() < until)
		;
	if (!watch->rang)
		watch->gave_up = true;
}

static void *sleeper(void *arg)
{
	struct watch *watch = arg;
	int64_t deadline = shunt_now_ns() + 20 * MS;
	watch->armed_ns = deadline;
	shunt_sleep_until(deadline);
	watch->rang = true;
	return NULL;
}

static void *computes(void *arg)
{
	struct watch *watch = arg;
	watch->busy++;
	wait_for_ring(watch);
	return NULL;
}

/* Gives way to nobody for a while, in which the others fall asleep again. */
static void linger(void)
{
	int64_t until = shunt_now_ns() + 2 * MS;
	while (shunt_now_ns() < until)
		;
}

/* A task goes to sleep on a second worker; then one task at a time keeps a worker busy, each time
 * the one that fell asleep last, which is the one that knows of the deadline. */
static void *keeps_busy_who_knows(void *arg)
{
	struct watch *watch = arg;
	for (int i = 0; i < WATCHES && !watch->gave_up; i++) {
		struct shunt_handle asleep, busy[BUSY];
		watch->armed_ns = 0;
		watch->busy = 0;
		watch->rang = false;
		shunt_sleep_for(2 * MS);
		linger(); /* all others fall asleep, with no deadline in sight */
		if (shunt_spawn(&asleep, sleeper, watch, NULL))
			abort();
		int64_t until = shunt_now_ns() + 10 * MS; /* it may want this very worker */
		while (!watch->armed_ns && shunt_now_ns() < until)
			;
		for (int task = 0; task < BUSY; task++) {
			linger();
			if (shunt_spawn(&busy[task], computes, watch, NULL))
				abort();
			while (watch->armed_ns && watch->busy <= task && shunt_now_ns() < until)
				;
		}
		if (watch->armed_ns)
			wait_for_ring(watch);
		shunt_join(asleep, NULL);
		for (int task = 0; task < BUSY; task++)
			shunt_join(busy[task], NULL);
	}
	return NULL;
}

static void a_deadline_passes_to_who_still_sleeps(void **state)
{
	static const char *const specs[] = {"ucontext:workers=4,policy=shared,tick=0",
		"ucontext:workers=4,policy=shared,wait=epoll", "ucontext:workers=4,policy=edf",
		"ucontext:workers=4,policy=steal,nap=0", "ucontext:workers=4,policy=steal"};
	(void)state;
	for (size_t i = 0; i < sizeof(specs) / sizeof(specs[0]); i++) {
		struct watch watch = {.rang = false};
		run(open_spec(specs[i]), keeps_busy_who_knows, &watch);
		if (watch.gave_up)
			fail_msg("%s: one worker slept, and so did a task beyond its deadline",
				specs[i]);
	}
}

/* ---- woken for one thing, told of another ---------------------------------------------------- */

#define PARKED 6

struct errand {
	_Atomic int parked;
	_Atomic bool over, woke, gave_up; /* no more rounds; the one outside woke has run */
};

static void *parks(void *arg)
{
	struct errand *errand = arg;
	errand->parked++;
	while (!errand->over) {
		shunt_park();
		errand->woke = true;
	}
	return NULL;
}

static void *waits_for_the_woken(void *arg)
{
	struct errand *errand = arg;
	int64_t until = shunt_now_ns() + PATIENCE;
	while (!errand->woke && shunt_now_ns() < until)
		;
	if (!errand->woke)
		errand->gave_up = true;
	return NULL;
}

/* A task that is at home on this worker, or NULL. */
static const struct shunt_handle *at_home(const struct shunt_handle *task)
{
	for (int i = 0; i < PARKED; i++)
		if (task[i].task->home == shunt_worker_index())
			return &task[i];
	return NULL;
}

/* Wakes a sleeper for a task that keeps it busy, and while it gets up puts into its own inbox what
 * a thread outside would: the sleeper is told, and the third worker must hear of it. */
static void *sends_on_errands(void *arg)
{
	struct errand *errand = arg;
	struct shunt_sched *sched = shunt_self().task->sched;
	struct shunt_handle task[PARKED], busy;
	for (int i = 0; i < PARKED; i++)
		if (shunt_spawn(&task[i], parks, errand, NULL))
			abort();
	while (errand->parked < PARKED)
		shunt_yield();
	for (int i = 0; i < ROUNDS && !errand->gave_up; i++) {
		const struct shunt_handle *home = at_home(task);
		errand->woke = false;
		linger();
		if (home) {
			if (shunt_spawn(&busy, waits_for_the_woken, errand, NULL))
				abort();
			sched->backend->wake(sched, *home);
			waits_for_the_woken(errand);
			shunt_join(busy, NULL);
		}
		shunt_sleep_for(MS); /* and goes on on another worker, maybe */
	}
	errand->over = true;
	for (int i = 0; i < PARKED; i++) {
		shunt_wake(task[i]);
		shunt_join(task[i], NULL);
	}
	return NULL;
}

static void who_is_woken_passes_on_what_it_was_told(void **state)
{
	static const char *const specs[] = {"ucontext:workers=3,policy=shared",
		"ucontext:workers=3,policy=shared,fence=full",
		"ucontext:workers=3,policy=steal,nap=0"};
	(void)state;
	for (size_t i = 0; i < sizeof(specs) / sizeof(specs[0]); i++) {
		struct errand errand = {.parked = 0};
		run(open_spec(specs[i]), sends_on_errands, &errand);
		if (errand.gave_up)
			fail_msg("%s: one worker slept, and a task from outside waited", specs[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(guests_go_to_who_is_idle),
		cmocka_unit_test(timers_are_fired_by_who_is_idle),
		cmocka_unit_test(a_deadline_passes_to_who_still_sleeps),
		cmocka_unit_test(who_is_woken_passes_on_what_it_was_told),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
