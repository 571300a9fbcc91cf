/* SPDX-License-Identifier: MIT */
/*
 * What a thread beside the scheduler spawns runs once, whatever the workers do meanwhile; and what
 * it wakes too late moves no task.
 *
 * The thread has the policy make room for more tasks, while the only worker picks and enqueues and
 * takes no lock for it. And a mark that a late wake has left on a descriptor, still in the inbox of
 * the worker where its last task was at home, meets the next one on its way to another worker. When
 * a run has failed the thread learns of it, and what it is doing at the time meets no worker that
 * has gone.
 */
#include "core/engine/test/engine_torture.h"

#include "core/engine/halt.h"
#include "core/engine/ready.h"
#include "core/engine/worker.h"
#include "core/lock.h"

#include <pthread.h>

#define TASKS TORTURE_SCALE(20000)

/* ---- room ------------------------------------------------------------------------------------ */

static _Atomic long begun, ended;
static _Atomic bool all_spawned;

/* Is in the queue until all are there. */
static void *stay(void *arg)
{
	begun++;
	while (!all_spawned)
		shunt_yield();
	ended++;
	return arg;
}

static void *spawn_many(void *arg)
{
	struct shunt_sched *sched = arg;
	const struct shunt_attr attr = {.deadline_ns = 1, .service_ns = 1000000000};
	long spawned = 0;
	while (spawned < TASKS && !shunt_spawn_external(sched, NULL, stay, NULL, &attr))
		spawned++;
	all_spawned = true;
	shunt_release(sched);
	return (void *)spawned;
}

static void *make_room(void *arg)
{
	struct shunt_sched *sched = shunt_self().task->sched;
	pthread_t thread;
	void *spawned;
	begun = ended = 0;
	all_spawned = false;
	shunt_hold(sched);
	assert_int_equal(pthread_create(&thread, NULL, spawn_many, sched), 0);
	while (!all_spawned)
		shunt_yield();
	assert_int_equal(pthread_join(thread, &spawned), 0);
	assert_int_equal((long)spawned, TASKS);
	return arg;
}

static void room_is_made_beside_a_worker(void **state)
{
	static const char *const specs[] = {"asm:policy=edf", "asm:policy=srpt",
		"asm:policy=edf,mt=1", "asm:policy=edf,workers=2", "asm:policy=prio"};
	(void)state;
	for (size_t i = 0; i < sizeof(specs) / sizeof(specs[0]); i++) {
		torture_run(specs[i], 1, make_room, NULL);
		assert_int_equal(begun, TASKS);
		assert_int_equal(ended, TASKS);
	}
}

/* ---- a mark that is left --------------------------------------------------------------------- */

static _Atomic bool at_work, go_on;

static void *compute(void *arg)
{
	at_work = true;
	while (!go_on)
		sched_yield();
	return arg;
}

static void *note_where(void *arg)
{
	*(unsigned *)arg = shunt_worker_index();
	return arg;
}

static void *leave_a_mark(void *arg)
{
	struct shunt_worker *self = shunt_worker_of(shunt_ctx_get());
	unsigned marked = (self->ctx.index + 1) % 3, home = (self->ctx.index + 2) % 3, found = 3;
	const struct shunt_attr there = {.worker = marked + 1}, here = {.worker = home + 1};
	struct shunt_handle busy, task;
	at_work = go_on = false;
	assert_int_equal(shunt_spawn(&busy, compute, NULL, &there), 0);
	while (!at_work)
		shunt_yield();
	/* As a wake from outside does that looked at the descriptor's last task before it ended. */
	struct shunt_task *next = self->free_tasks;
	shunt_ready_push(self->engine->workers[marked], NULL, next, SHUNT_INJECT_WAKE);
	assert_int_equal(shunt_spawn(&task, note_where, &found, &here), 0);
	assert_ptr_equal(task.task, next);
	go_on = true;
	assert_int_equal(shunt_join(task, NULL), 0);
	assert_int_equal(shunt_join(busy, NULL), 0);
	assert_int_equal(found, home);
	return arg;
}

static void a_mark_that_is_left_moves_no_task(void **state)
{
	(void)state;
	torture_run("asm:workers=3,policy=fifo", 1, leave_a_mark, NULL);
}

/* ---- wakes that come too late ---------------------------------------------------------------- */

#define LATE    TORTURE_SCALE(20000) /* as many as there is time for */
#define LATE_NS INT64_C(300000000)

static struct shunt_handle shown[LATE];
static _Atomic int shown_last; /* one more than the index; -1: no more are shown */

static void *give_way(void *arg)
{
	shunt_yield();
	return arg;
}

/* Wakes the task that was shown last, which may have ended, and its descriptor be another's. */
static void *wake_what_is_shown(void *arg)
{
	int last;
	while ((last = shown_last) >= 0)
		if (last)
			shunt_wake(shown[last - 1]);
	shunt_release(arg);
	return NULL;
}

static void *show_many(void *arg)
{
	struct shunt_sched *sched = shunt_self().task->sched;
	pthread_t thread;
	shown_last = 0;
	shunt_hold(sched);
	assert_int_equal(pthread_create(&thread, NULL, wake_what_is_shown, sched), 0);
	int64_t until = shunt_now_ns() + LATE_NS;
	for (int i = 0; i < LATE && shunt_now_ns() < until; i++) {
		assert_int_equal(shunt_spawn(&shown[i], give_way, NULL, NULL), 0);
		shown_last = i + 1;
		assert_int_equal(shunt_join(shown[i], NULL), 0);
	}
	shown_last = -1;
	assert_int_equal(pthread_join(thread, NULL), 0);
	return arg;
}

/* Whose home a late wake reads is being written for the descriptor's next task: ThreadSanitizer
 * sees whether both know. */
static void late_wakes_disturb_nothing(void **state)
{
	(void)state;
	torture_run("asm:workers=2,policy=fifo", 1, show_many, NULL);
	torture_run("asm:workers=2,policy=steal", 1, show_many, NULL);
}

/* ---- a run that ends ------------------------------------------------------------------------- */

#define ENDINGS    TORTURE_SCALE(4000) /* as many as there is time for */
#define ENDINGS_NS INT64_C(300000000)

static void *do_nothing(void *arg)
{
	return arg;
}

static _Atomic long endings, guests_ran; /* runs whose root is about to end; -1: no more */

static void *count_guest(void *arg)
{
	guests_ran++;
	return arg;
}

/* One task for each run, at about the time at which it ends; nobody has announced it by a hold. */
static void *spawn_at_the_end(void *arg)
{
	long spawned = 0, ending;
	while ((ending = endings) >= 0) {
		if (ending == spawned)
			continue;
		for (long i = spawned % 64 * 4; i > 0; i--)
			shunt_cpu_relax();
		if (shunt_spawn_external(arg, NULL, count_guest, NULL, NULL))
			abort();
		spawned++;
	}
	return (void *)spawned;
}

static void *end_soon(void *arg)
{
	endings++;
	return arg;
}

static void a_guest_at_the_end_is_no_deadlock(void **state)
{
	static const char *const specs[] = {"asm", "asm:mt=1", "asm:workers=2,policy=shared",
		"threads"};
	(void)state;
	for (size_t i = 0; i < sizeof(specs) / sizeof(specs[0]); i++) {
		struct shunt_error err = {""};
		struct shunt_sched *sched;
		pthread_t thread;
		void *spawned;
		endings = guests_ran = 0;
		assert_int_equal(shunt_open(&sched, specs[i], NULL, &err), 0);
		assert_int_equal(pthread_create(&thread, NULL, spawn_at_the_end, sched), 0);
		int64_t until = shunt_now_ns() + ENDINGS_NS;
		for (long run = 0; run < ENDINGS && shunt_now_ns() < until; run++)
			if (shunt_run(sched, end_soon, NULL, NULL, &err))
				fail_msg("%s, run %ld: %s", specs[i], run, err.text);
		endings = -1;
		assert_int_equal(pthread_join(thread, &spawned), 0);
		assert_int_equal(shunt_run(sched, do_nothing, NULL, NULL, &err), 0);
		assert_int_equal((long)spawned, guests_ran);
		shunt_close(sched);
	}
}

/* ---- a run that failed ----------------------------------------------------------------------- */

static _Atomic long accepted;

/* Until it is refused, as the clients of a service are when that goes down. */
static void *spawn_on(void *arg)
{
	int64_t until = shunt_now_ns() + 60 * INT64_C(1000000000);
	int rc = 0;
	while (!rc && shunt_now_ns() < until) {
		rc = shunt_spawn_external(arg, NULL, do_nothing, NULL, NULL);
		accepted += rc == 0;
	}
	shunt_release(arg);
	return (void *)(intptr_t)rc;
}

static void *fail_the_run(void *arg)
{
	struct shunt_sched *sched = shunt_self().task->sched;
	shunt_hold(sched);
	assert_int_equal(pthread_create(arg, NULL, spawn_on, sched), 0);
	while (accepted < 10)
		shunt_yield();
	shunt_halt_fail(shunt_engine_of(sched), -EIO, "the test says so");
	return NULL;
}

static void a_run_that_failed_takes_no_more(void **state)
{
	static const char *const specs[] = {"asm", "asm:workers=2,policy=shared"};
	(void)state;
	for (size_t i = 0; i < sizeof(specs) / sizeof(specs[0]); i++) {
		struct shunt_error err = {""};
		struct shunt_sched *sched;
		pthread_t thread;
		void *rc;
		accepted = 0;
		assert_int_equal(shunt_open(&sched, specs[i], NULL, &err), 0);
		assert_int_equal(shunt_run(sched, fail_the_run, &thread, NULL, &err), -EIO);
		assert_string_equal(err.text, "the test says so");
		assert_int_equal(pthread_join(thread, &rc), 0);
		assert_int_equal((intptr_t)rc, -ECANCELED);
		shunt_close(sched);
	}
}

/* ---- a run that fails under wakes ------------------------------------------------------------ */

#define FAILURES 250

static struct shunt_handle parked;
static _Atomic bool is_there, stop;
static _Atomic long woken;

static void *park_for_ever(void *arg)
{
	for (;; woken++)
		shunt_park();
	return arg;
}

/* Of a task that never ends, whether there is a run or not. */
static void *wake_on(void *arg)
{
	while (!is_there)
		sched_yield();
	while (!stop) {
		shunt_wake(parked);
		for (int i = 0; i < 30; i++)
			shunt_cpu_relax();
	}
	return arg;
}

static void *fail_under_wakes(void *arg)
{
	struct shunt_sched *sched = shunt_self().task->sched;
	shunt_hold(sched);
	assert_int_equal(shunt_spawn(&parked, park_for_ever, NULL, NULL), 0);
	is_there = true;
	for (long until = *(long *)arg % 40; woken < until;)
		shunt_sleep_for(20000);
	shunt_halt_fail(shunt_engine_of(sched), -EIO, "the test says so");
	return NULL;
}

/* The workers fall asleep and are woken all the time; ThreadSanitizer sees one woken that has
 * gone. */
static void a_wake_finds_no_worker_gone(void **state)
{
	(void)state;
	for (long i = 0; i < FAILURES; i++) {
		struct shunt_sched *sched;
		pthread_t thread;
		is_there = stop = false;
		woken = 0;
		assert_int_equal(shunt_open(&sched, "asm:workers=2,policy=fifo", NULL, NULL), 0);
		assert_int_equal(pthread_create(&thread, NULL, wake_on, NULL), 0);
		assert_int_equal(shunt_run(sched, fail_under_wakes, &i, NULL, NULL), -EIO);
		stop = true;
		assert_int_equal(pthread_join(thread, NULL), 0);
		shunt_close(sched);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(room_is_made_beside_a_worker),
		cmocka_unit_test(a_mark_that_is_left_moves_no_task),
		cmocka_unit_test(late_wakes_disturb_nothing),
		cmocka_unit_test(a_guest_at_the_end_is_no_deadlock),
		cmocka_unit_test(a_run_that_failed_takes_no_more),
		cmocka_unit_test(a_wake_finds_no_worker_gone),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
