/* SPDX-License-Identifier: MIT */
/*
 * If this passes, a timer fires under tasks that compute, or block in the kernel, for long between
 * two switches, a run that only sleeps pays for no ticks, and the ticker ends nobody's system call.
 */
#include "core/backend.h"
#include "core/engine/worker.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#define MS         INT64_C(1000000)
#define SLICE_NS   (5 * MS)
#define SLICES_OFF 61 /* without a tick: the engine's interval */
#define FAR                                                                                        \
	50 /* switches to the next visit; after that many slow turns a timer is late beyond doubt */
#define SLEEPS     40
#define TURNS_LATE 3
#define ATTEMPTS   12 /* of which one must do: a busy machine may keep any thread waiting */

static const char *const specs[] = {
	"ucontext",
	"ucontext:timers=wheel",
	"ucontext:workers=2,policy=fifo",
	"ucontext:wait=uring",
	"ucontext:wait=uring-each",
};

static const struct shunt_engine *engine; /* of the run */

static void run_on(const char *spec, shunt_task_fn *fn, void *arg)
{
	struct shunt_sched *sched;
	struct shunt_error err = {""};
	if (shunt_open(&sched, spec, NULL, &err)) {
		print_message("%s: skipped: %s\n", spec, err.text);
		return;
	}
	engine = shunt_engine_of(sched);
	if (shunt_run(sched, fn, arg, NULL, &err))
		fail_msg("%s: %s", spec, err.text);
	shunt_close(sched);
}

static int64_t cpu_ns(void)
{
	struct timespec used;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
	return (int64_t)used.tv_sec * 1000000000 + used.tv_nsec;
}

/* Of processor time, which on a busy machine is less than time. */
static void spin_ns(int64_t time_ns)
{
	for (int64_t end = cpu_ns() + time_ns; cpu_ns() < end;)
		;
}

/* ---- a timer under busy tasks ---------------------------------------------------------------- */

struct race {
	void (*turn)(int64_t time_ns);
	bool quick; /* turns that take no time come first */
	_Atomic bool woke;
	int64_t due_ns;
	unsigned late_slices; /* that began after the sleeper was due and before it ran */
};

static void *sleeper(void *arg)
{
	struct race *race = arg;
	shunt_sleep_until(race->due_ns);
	race->woke = true;
	return NULL;
}

static void block_ns(int64_t time_ns)
{
	nanosleep(&(struct timespec){.tv_nsec = time_ns}, NULL);
}

/* Takes quick turns until the worker has just visited its slow path and, by these turns, will do so
 * again after many more. */
static void be_quick(struct race *race)
{
	int64_t left = 0;
	while (left < FAR && !race->woke) {
		const struct shunt_worker *worker = engine->workers[shunt_worker_index()];
		shunt_yield();
		left = (int64_t)(atomic_load(&worker->limit) - shunt_worker_switches(worker));
	}
	/* Kept from it for too long, this attempt tells nothing. */
	if (race->woke)
		race->late_slices = UINT_MAX;
}

static void *takes_long(void *arg)
{
	struct race *race = arg;
	if (race->quick)
		be_quick(race);
	while (!race->woke && race->late_slices <= 2 * SLICES_OFF) {
		race->late_slices += shunt_now_ns() > race->due_ns;
		race->turn(SLICE_NS);
		shunt_yield();
	}
	return NULL;
}

static void *race_main(void *arg)
{
	struct shunt_handle task[2];
	struct race *race = arg;
	race->due_ns = shunt_now_ns() + 2 * SLICE_NS;
	assert_int_equal(shunt_spawn(&task[0], sleeper, race, NULL), 0);
	shunt_yield(); /* it sleeps */
	assert_int_equal(shunt_spawn(&task[1], takes_long, race, NULL), 0);
	for (int i = 0; i < 2; i++)
		assert_int_equal(shunt_join(task[i], NULL), 0);
	return NULL;
}

/* In the best of several attempts: on a busy machine a turn takes less of the time, and the ticker
 * has to wait for a processor too. */
static void starve_no_timer(void (*turn)(int64_t time_ns), bool quick)
{
	for (size_t i = 0; i < sizeof(specs) / sizeof(specs[0]); i++) {
		unsigned best = UINT_MAX;
		for (int attempt = 0; attempt < ATTEMPTS && best > TURNS_LATE; attempt++) {
			struct race race = {.turn = turn, .quick = quick};
			run_on(specs[i], race_main, &race);
			best = race.late_slices < best ? race.late_slices : best;
		}
		if (best == UINT_MAX) {
			print_message("%s: no attempt told anything\n", specs[i]);
			continue;
		}
		if (best > TURNS_LATE)
			fail_msg("%s: %u turns late at best", specs[i], best);
		print_message("%s: %u turns late\n", specs[i], best);
	}
}

static void busy_tasks_starve_no_timer(void **state)
{
	(void)state;
	starve_no_timer(spin_ns, false);
}

/* Processor time stands still meanwhile. */
static void tasks_that_block_in_the_kernel_starve_no_timer(void **state)
{
	(void)state;
	starve_no_timer(block_ns, false);
}

/* No worker can know from quick turns that the next ones are slow: the ticker asks it to look. */
static void nor_do_they_after_quick_turns(void **state)
{
	(void)state;
	starve_no_timer(block_ns, true);
}

/* ---- sleeping costs no ticks ----------------------------------------------------------------- */

static long switches_made(void)
{
	struct rusage use;
	getrusage(RUSAGE_SELF, &use);
	return use.ru_nvcsw;
}

static void *only_sleeps(void *arg)
{
	long *made = arg;
	shunt_sleep_for(MS);
	*made = switches_made();
	for (int i = 0; i < SLEEPS; i++)
		shunt_sleep_for(MS);
	*made = switches_made() - *made;
	return NULL;
}

/* A tick would be one more for each sleep, always; what else the process does adds some now and
 * then. */
static void a_sleeper_pays_for_no_ticks(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(specs) / sizeof(specs[0]); i++) {
		long best = LONG_MAX;
		if (strstr(specs[i], "workers=2")) /* who wake each other */
			continue;
		for (int attempt = 0; attempt < ATTEMPTS && best > SLEEPS * 3 / 2; attempt++) {
			long made = 0;
			run_on(specs[i], only_sleeps, &made);
			best = made < best ? made : best;
		}
		if (best > SLEEPS * 3 / 2)
			fail_msg("%s: %ld context switches for %d sleeps", specs[i], best, SLEEPS);
	}
}

/* ---- system calls ---------------------------------------------------------------------------- */

static void *blocks_and_computes(void *arg)
{
	struct race *race = arg;
	for (int i = 0; i < 20 && !race->woke; i++) {
		spin_ns(SLICE_NS);
		assert_int_equal(poll(NULL, 0, 1), 0);
		assert_int_equal(nanosleep(&(struct timespec){.tv_nsec = MS}, NULL), 0);
	}
	return NULL;
}

static void *blocks_beside_a_timer(void *arg)
{
	struct shunt_handle task[2];
	struct race *race = arg;
	race->due_ns = shunt_now_ns() + 60 * MS;
	assert_int_equal(shunt_spawn(&task[0], sleeper, race, NULL), 0);
	assert_int_equal(shunt_spawn(&task[1], blocks_and_computes, race, NULL), 0);
	for (int i = 0; i < 2; i++)
		assert_int_equal(shunt_join(task[i], NULL), 0);
	return NULL;
}

static void the_ticker_interrupts_no_system_call(void **state)
{
	struct race race = {.woke = false};
	(void)state;
	run_on("ucontext", blocks_beside_a_timer, &race);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(busy_tasks_starve_no_timer),
		cmocka_unit_test(tasks_that_block_in_the_kernel_starve_no_timer),
		cmocka_unit_test(nor_do_they_after_quick_turns),
		cmocka_unit_test(a_sleeper_pays_for_no_ticks),
		cmocka_unit_test(the_ticker_interrupts_no_system_call),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
