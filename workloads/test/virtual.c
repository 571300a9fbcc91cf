/* SPDX-License-Identifier: MIT */
/* If this passes, virtual time is that of queueing theory's own recursions, request by request, and
 * the same on every machine. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "workloads/test/oracle.h"
#include "workloads/test/ran.h"
#include "workloads/test/spied.h"

#include <errno.h>

enum { WORKERS_MOST = 64 };

/* ---- the open loop against its table --------------------------------------------------------- */

static const struct queue {
	const char *name, *spec;
	unsigned servers; /* of one queue */
	unsigned queues;  /* or one server each */
	double load;
} queues[] = {
	{"M/M/1", "sim:policy=fifo", 1, 1, 0.8},
	{"M/M/2", "sim:workers=2,policy=shared", 2, 1, 1.6},
	{"M/M/16", "sim:workers=16,policy=shared", 16, 1, 14.4},
	{"M/M/64", "sim:workers=64,policy=shared", 64, 1, 60},
	{"16 times M/M/1", "sim:workers=16,policy=fifo", 1, 16, 12.8},
};

/* Lindley's recursion (1952), for several servers Kiefer and Wolfowitz's (1955): each request
 * starts at its arrival, or when the first server becomes free. */
static void starts_when_the_recursion_says(void **state)
{
	const struct queue *queue = *state;
	static double free_at[WORKERS_MOST];
	struct shunt_error err = {""};
	if (run_spied(queue->spec, "exponential", "0", queue->load, "queueing_mean_ns", &err) < 0)
		fail_msg("%s: %s", queue->name, err.text);
	memset(free_at, 0, sizeof(free_at));
	for (size_t i = 0; i < REQUESTS; i++) {
		unsigned which = queue->queues > 1 ? seen[i].worker - 1 : 0;
		struct fcfs own = {free_at + which, queue->servers};
		double start = fcfs_start(&own, at(i), 0, (double)table[i].service_ns);
		assert_int_equal(seen[i].started_ns, (int64_t)start);
		assert_int_equal(seen[i].ended_ns, (int64_t)start + (int64_t)table[i].service_ns);
	}
}

/* ---- the same run everywhere ----------------------------------------------------------------- */

/* What was seen on x86-64, and must be on every processor, with every compiler and sanitizer. A
 * change of the engine, of a policy or a workload may change these; nothing else may. */
static const struct known {
	const char *spec, *workload, *settings;
	uint64_t hash;
} known[] = {
	{"sim", "openloop", "requests=500 mean=5us load=0.7 service=mix", 0xb5b1642a264e9025},
	{"sim:workers=7", "openloop", "requests=500 mean=5us load=5 service=bimodal",
		0xaff1bd781f804165},
	{"sim:workers=3,policy=srpt", "openloop", "requests=500 mean=5us load=2.5 slice=1us",
		0x34b93311fa86e5e1},
	{"sim:workers=2,timers=wheel,quantum=3us", "openloop",
		"requests=300 mean=9us load=1.5 slice=1us block=20us form=step",
		0x715d4dce10ab3ca6},
	{"sim:workers=5", "timers", "tasks=20 sleeps=5", 0x7b399596577c65ae},
};

static void happens_alike_everywhere(void **state)
{
	const struct known *one = *state;
	struct shunt_run *run = run_of(one->spec, one->workload, one->settings);
	const struct shunt_outcome *outcome = shunt_run_outcome(run);
	if (outcome->status != SHUNT_RECORD_OK)
		fail_msg("%s %s: %s", one->spec, one->workload, outcome->reason);
	assert_string_equal(fact(outcome, "time"), "virtual");
	uint64_t hash = strtoull(fact(outcome, "sim.hash"), NULL, 16);
	if (hash != one->hash)
		fail_msg("%s %s %s: 0x%016llx", one->spec, one->workload, one->settings,
			(unsigned long long)hash);
	shunt_run_free(run);
}

/* ---- what it costs --------------------------------------------------------------------------- */

/* Idle workers sleep through what is not theirs: an arrival wakes who watches the timers, and who
 * gets the request. */
static void a_timer_wakes_few(void **state)
{
	(void)state;
	struct shunt_run *run = run_of("sim:workers=64", "openloop",
		"requests=2000 mean=10us load=51.2 series=none");
	const struct shunt_outcome *outcome = shunt_run_outcome(run);
	assert_int_equal(outcome->status, SHUNT_RECORD_OK);
	assert_in_range(counter(outcome, "worker_sleeps"), 1, 2000 * 5);
	shunt_run_free(run);
}

/* ---- no deadline is slept through ------------------------------------------------------------ */

enum { LONG_NS = 10000000, STEP_NS = 100000 };

struct sleeper {
	int64_t due_ns, late_ns, work_ns;
};

static void *sleeps_then_works(void *arg)
{
	struct sleeper *self = arg;
	shunt_sleep_until(self->due_ns);
	self->late_ns = shunt_now_ns() - self->due_ns;
	shunt_work_ns(self->work_ns);
	return NULL;
}

static void *one_a_worker(void *arg)
{
	struct sleeper *sleeper = arg;
	struct shunt_handle handle[WORKERS_MOST];
	unsigned count = shunt_worker_count();
	int64_t now_ns = shunt_now_ns();
	for (unsigned i = 0; i < count; i++) {
		sleeper[i] = (struct sleeper){now_ns + (i + 1) * STEP_NS, -1, LONG_NS};
		assert_int_equal(shunt_spawn(&handle[i], sleeps_then_works, &sleeper[i], NULL), 0);
	}
	for (unsigned i = 0; i < count; i++)
		shunt_join(handle[i], NULL);
	return NULL;
}

/* As many sleepers as workers, and each wakes while those before it still compute: who watches the
 * deadlines goes to work, and another one must watch them. */
static void somebody_watches(void **state)
{
	static const unsigned counts[] = {1, 2, 3, 4, 16, 64};
	(void)state;
	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		static struct sleeper sleeper[WORKERS_MOST];
		struct shunt_sched *sched;
		struct shunt_error err = {""};
		char spec[64];
		snprintf(spec, sizeof(spec), "sim:workers=%u", counts[i]);
		assert_int_equal(shunt_open(&sched, spec, NULL, &err), 0);
		assert_int_equal(shunt_run(sched, one_a_worker, sleeper, NULL, &err), 0);
		shunt_close(sched);
		for (unsigned k = 0; k < counts[i]; k++)
			assert_int_equal(sleeper[k].late_ns, 0);
	}
}

/* ---- what cannot be -------------------------------------------------------------------------- */

static void *nothing(void *arg)
{
	return arg;
}

static void threads_outside_are_refused(void **state)
{
	(void)state;
	struct shunt_sched *sched;
	struct shunt_error err = {""};
	assert_int_equal(shunt_open(&sched, "sim:workers=3", NULL, &err), 0);
	assert_int_equal(sched->caps & SHUNT_EXTERNAL_WAKE, 0);
	assert_int_equal(shunt_spawn_external(sched, NULL, nothing, NULL, NULL), -ENOTSUP);
	shunt_hold(sched); /* there is nothing outside to wait for */
	assert_int_equal(shunt_run(sched, nothing, NULL, NULL, &err), 0);
	assert_int_equal(shunt_run(sched, nothing, NULL, NULL, &err), 0);
	shunt_close(sched);
}

static void a_search_takes_no_time(void **state)
{
	static const char *const specs[] = {"sim:tick=1ms", "sim:search=20us", "sim:wait.spin=1us"};
	(void)state;
	for (size_t i = 0; i < sizeof(specs) / sizeof(specs[0]); i++) {
		struct shunt_sched *sched;
		struct shunt_error err = {""};
		assert_int_equal(shunt_open(&sched, specs[i], NULL, &err), -EINVAL);
		assert_non_null(strstr(err.text, "=0"));
	}
}

static void *waits_for_nobody(void *arg)
{
	(void)arg;
	shunt_park();
	return NULL;
}

static void a_deadlock_is_told(void **state)
{
	(void)state;
	struct shunt_sched *sched;
	struct shunt_error err = {""};
	assert_int_equal(shunt_open(&sched, "sim:workers=4", NULL, &err), 0);
	assert_int_equal(shunt_run(sched, waits_for_nobody, NULL, NULL, &err), -EDEADLK);
	shunt_close(sched);
}

/* Waits by looking at the clock, and by giving way: both get on. */
static void *polls(void *arg)
{
	int64_t until = shunt_now_ns() + 50000;
	while (shunt_now_ns() < until)
		;
	until += 50000;
	while (shunt_now_ns() < until)
		shunt_yield();
	return arg;
}

static void a_poller_gets_on(void **state)
{
	(void)state;
	struct shunt_sched *sched;
	struct shunt_error err = {""};
	assert_int_equal(shunt_open(&sched, "sim:workers=2", NULL, &err), 0);
	assert_int_equal(shunt_run(sched, polls, NULL, NULL, &err), 0);
	shunt_close(sched);
}

int main(void)
{
	enum {
		QUEUES = sizeof(queues) / sizeof(queues[0]),
		KNOWN = sizeof(known) / sizeof(known[0])
	};
	static struct CMUnitTest tests[QUEUES + KNOWN + 6] = {cmocka_unit_test(a_timer_wakes_few),
		cmocka_unit_test(somebody_watches), cmocka_unit_test(threads_outside_are_refused),
		cmocka_unit_test(a_search_takes_no_time), cmocka_unit_test(a_deadlock_is_told),
		cmocka_unit_test(a_poller_gets_on)};
	size_t count = 6;
	for (size_t i = 0; i < QUEUES; i++)
		tests[count++] = (struct CMUnitTest){.name = queues[i].name,
			.test_func = starts_when_the_recursion_says,
			.initial_state = (void *)&queues[i]};
	for (size_t i = 0; i < KNOWN; i++)
		tests[count++] = (struct CMUnitTest){.name = known[i].spec,
			.test_func = happens_alike_everywhere,
			.initial_state = (void *)&known[i]};
	return _cmocka_run_group_tests("virtual", tests, count, spied_find, NULL);
}
