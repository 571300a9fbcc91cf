/* SPDX-License-Identifier: MIT */
/*
 * If this passes, a call at an edge of its code takes the processor from a task whose slice is
 * over, and not before; a section holds that off and its end makes up for it; each slice that was
 * cut is on record, and each request is counted once; a preempter that polls asks as one that
 * sleeps does.
 *
 * The test makes the calls that the compiler makes in a workload's second text, of which
 * workloads/test/edges.c has the rest.
 */
#include "core/backend.h"
#include "core/engine/edge.h"
#include "core/measure/hist.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <string.h>

#define MS          INT64_C(1000000)
#define PATIENCE_NS (10000 * MS)

static struct shunt_sched *sched;

static void count(void *sink, const char *name, uint64_t value)
{
	const char *const *wanted = sink;
	if (!strcmp(name, wanted[0]))
		*(uint64_t *)(uintptr_t)wanted[1] = value;
}

static uint64_t counted(const char *name)
{
	uint64_t value = 0;
	const char *wanted[2] = {name, (const char *)&value};
	sched->backend->counters(sched, count, wanted);
	return value;
}

static void *sets(void *arg)
{
	/* Relaxed: only that it ran. */
	__atomic_store_n((int *)arg, 1, __ATOMIC_RELAXED);
	return NULL;
}

static bool has_run(const int *flag)
{
	return __atomic_load_n(flag, __ATOMIC_RELAXED); /* Relaxed: see sets(). */
}

/* Not inlined: a compiler keeps the address of errno over a switch to another thread. */
static __attribute__((noinline)) void errno_set(int number)
{
	errno = number;
	__asm__ volatile("" ::: "memory");
}

static __attribute__((noinline)) int errno_get(void)
{
	__asm__ volatile("" ::: "memory");
	return errno;
}

struct crowd {
	int done;
	int64_t until_ns;
};

static void *yields(void *arg)
{
	const struct crowd *crowd = arg;
	while (!has_run(&crowd->done) && shunt_now_ns() < crowd->until_ns)
		shunt_yield();
	return NULL;
}

static struct shunt_hist quanta;

static void at_an_edge(void)
{
	for (int i = 0; i < 1000; i++)
		__sanitizer_cov_trace_pc();
}

/* Counters are not read while a run is on: the preempter's thread changes them. */
static bool is_marked(void)
{
	/* Relaxed: changed by this thread alone. */
	return !(__atomic_load_n(&shunt_ctx_get()->preempt, __ATOMIC_RELAXED) &
		 SHUNT_PREEMPT_UNMARKED);
}

static void *leaves_a_section_at_edges(void *arg)
{
	int ran = 0;
	struct shunt_handle other;
	int64_t until = shunt_now_ns() + PATIENCE_NS;
	shunt_preempt_off();
	assert_int_equal(shunt_spawn(&other, sets, &ran, NULL), 0);
	while (!is_marked() && shunt_now_ns() < until)
		at_an_edge();
	assert_true(is_marked());
	assert_false(has_run(&ran));
	shunt_preempt_on();
	assert_true(has_run(&ran));
	assert_int_equal(shunt_join(other, NULL), 0);
	return arg;
}

/* Errno is the task's own, also where it goes on on another thread. */
static void *edges(void *arg)
{
	struct crowd *crowd = arg;
	int64_t until = shunt_now_ns() + 10 * MS;
	errno_set(7);
	while (shunt_now_ns() < until)
		at_an_edge();
	assert_int_equal(errno_get(), 7);
	return sets(&crowd->done);
}

static void *among_yielders_at_edges(void *arg)
{
	struct crowd crowd = {0, shunt_now_ns() + PATIENCE_NS};
	struct shunt_handle task[7];
	for (int i = 0; i < 6; i++)
		assert_int_equal(shunt_spawn(&task[i], yields, &crowd, NULL), 0);
	assert_int_equal(shunt_spawn(&task[6], edges, &crowd, NULL), 0);
	for (int i = 0; i < 7; i++)
		assert_int_equal(shunt_join(task[i], NULL), 0);
	return arg;
}

/* And each slice that was cut is on record, with its length. */
static void edges_preempt_on(const char *spec)
{
	struct shunt_config base = {.quanta = &quanta};
	struct shunt_error err = {""};
	int64_t until = shunt_now_ns() + PATIENCE_NS;
	assert_int_equal(shunt_hist_init(&quanta), 0);
	if (shunt_open(&sched, spec, &base, &err))
		fail_msg("%s: %s", spec, err.text);
	do
		if (shunt_run(sched, among_yielders_at_edges, NULL, NULL, &err))
			fail_msg("%s: %s", spec, err.text);
	while (counted("preempt_delivered") < 20 && shunt_now_ns() < until);
	assert_true(counted("preempt_delivered") >= 20);
	assert_int_equal(quanta.count, counted("preempt_delivered") + counted("preempt_late"));
	assert_true(quanta.min >= 20000);
	assert_int_equal(counted("preempt_asked"),
		counted("preempt_delivered") + counted("preempt_in_section") +
			counted("preempt_elsewhere") + counted("preempt_in_vain"));
	shunt_close(sched);
	shunt_hist_fini(&quanta);
}

static void an_edge_preempts(void **state)
{
	(void)state;
	edges_preempt_on("ucontext:preempt=compiler,quantum=20us");
	edges_preempt_on("ucontext:preempt=compiler,quantum=20us,workers=2,policy=steal");
	edges_preempt_on("ucontext:preempt=compiler,quantum=20us,workers=2,policy=shared");
}

static void a_section_holds_it_off(void **state)
{
	struct shunt_error err = {""};
	(void)state;
	if (shunt_open(&sched, "ucontext:preempt=compiler,quantum=20us", NULL, &err) ||
		shunt_run(sched, leaves_a_section_at_edges, NULL, NULL, &err))
		fail_msg("%s", err.text);
	assert_true(counted("preempt_in_section") > 0);
	assert_true(counted("preempt_late") > 0);
	shunt_close(sched);
}

static void a_preempter_may_poll(void **state)
{
	struct shunt_error err = {""};
	(void)state;
	if (shunt_open(&sched, "ucontext:preempt=compiler,quantum=20us,preempter=poll", NULL,
		    &err) == -ENOTSUP) {
		print_message("%s\n", err.text); /* one CPU */
		skip();
	}
	shunt_close(sched);
	edges_preempt_on("ucontext:preempt=compiler,quantum=20us,preempter=poll");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_edge_preempts),
		cmocka_unit_test(a_section_holds_it_off),
		cmocka_unit_test(a_preempter_may_poll),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
