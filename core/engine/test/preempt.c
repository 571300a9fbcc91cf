/* SPDX-License-Identifier: MIT */
/*
 * If this passes, what takes the processor from a task is what `preempt` says: nothing, the task's
 * own checkpoints, or signals, which sections hold off and their ends make up for; and a
 * composition that cannot is refused with the reason and the remedy. edge.c has calls at the edges
 * of code, torture_preempt.c what a preemption must keep.
 */
#include "core/backend.h"
#include "core/engine/preempt.h"
#include "core/engine/sanitize.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "core/test/dies.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MS          INT64_C(1000000)
#define PATIENCE_NS (10000 * MS)
#define SIGNALS     "asm:preempt=signal,quantum=20us"

static struct shunt_sched *sched;

static void count(void *sink, const char *name, uint64_t value)
{
	const char *const *wanted = sink;
	if (!strcmp(name, wanted[0]))
		*(uint64_t *)(uintptr_t)wanted[1] = value;
}

/* Of the run in progress: what is read may be old. */
static uint64_t counted(const char *name)
{
	uint64_t value = 0;
	const char *wanted[2] = {name, (const char *)&value};
	sched->backend->counters(sched, count, wanted);
	return value;
}

/* Where signals cannot preempt the test is over: it has no subject there. */
static void run_on(const char *spec, shunt_task_fn *fn, void *arg)
{
	struct shunt_error err = {""};
	int rc = shunt_open(&sched, spec, NULL, &err);
	if (rc == -ENOTSUP || rc == -ENOENT || rc == -ENOSYS) {
		print_message("%s\n", err.text);
		skip();
	}
	if (rc || shunt_run(sched, fn, arg, NULL, &err))
		fail_msg("%s: %s", spec, err.text);
	shunt_close(sched);
}

/* ---- refusals -------------------------------------------------------------------------------- */

static void what_cannot_is_refused(void **state)
{
	(void)state;
	static const struct {
		const char *spec;
		int rc;
		const char *reason, *remedy;
		bool everywhere; /* asked before what build and processor can do */
	} refused[] = {
		{"asm:preempt=none,quantum=5us", -EINVAL, "nothing would end it",
			"preempt=checkpoint", true},
		{"ucontext:preempt=interrupt", -EINVAL, "preempt", "compiler", true},
		{"ucontext:preempt=compiler", -EINVAL, "without a quantum", "quantum=100us", true},
		{"ucontext:preempt=compiler,quantum=2us", -ERANGE, "every 5000 ns", "quantum=5us",
			true},
		{"sim:preempt=compiler,quantum=5us", -ENOTSUP, "nor a thread that asks",
			"preempt=checkpoint", true},
		{"ucontext:preempter=poll", -EINVAL, "there is no preempter", "preempt=signal",
			true},
		{"ucontext:preempt=compiler,quantum=5us,preempter=poll,workers=1024", -ENOTSUP,
			"a CPU of its own", "preempter=sleep", true},
		{"sim:preempt=signal,quantum=5us", -ENOTSUP, "no signals in virtual time",
			"preempt=checkpoint", true},
		{"asm:preempt=signal", -EINVAL, "without a quantum", "quantum=100us", false},
		{"asm:preempt=signal,quantum=2us", -ERANGE, "2000 ns", "quantum=5us", false},
		{"asm:preempt=signal,quantum=20us,stack.size=16k", -EINVAL, "bytes a signal",
			"stack.size=", false},
	};
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
		struct shunt_error err = {""};
		int rc = shunt_open(&sched, refused[i].spec, NULL, &err);
		assert_true(rc < 0);
		if (rc == -ENOENT || rc == -ENOSYS)
			continue; /* no assembly for this processor */
		if (rc == -ENOTSUP && !refused[i].everywhere) {
			assert_non_null(strstr(err.text, "preempt=checkpoint"));
			continue;
		}
		if (rc != refused[i].rc || !strstr(err.text, refused[i].reason) ||
			!strstr(err.text, refused[i].remedy))
			fail_msg("%s: %d, %s", refused[i].spec, rc, err.text);
	}
}

static void kernels_that_lose_registers_are_known(void **state)
{
	(void)state;
	static const char *const bad[] = {"5.2.0", "5.2.21-generic", "5.3.0-46-generic", "5.3.14",
		"5.4.0-rc1", "5.4.1"};
	static const char *const good[] = {"5.1.21", "5.3.15", "5.4.2", "5.4.100-cloud", "5.15.0",
		"4.19.0", "6.1.0-18-amd64", "6.5.2", "strange"};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_true(shunt_preempt_kernel_corrupts(bad[i]));
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_false(shunt_preempt_kernel_corrupts(good[i]));
}

/* ---- none ------------------------------------------------------------------------------------ */

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

static void *never_asked(void *arg)
{
	int ran = 0;
	const struct shunt_attr urgent = {.priority = 0};
	int64_t until = shunt_now_ns() + 10 * MS;
	assert_int_equal(shunt_spawn(NULL, sets, &ran, &urgent), 0);
	while (shunt_now_ns() < until)
		assert_false(shunt_checkpoint());
	assert_false(has_run(&ran));
	shunt_yield();
	return arg;
}

static void none_lets_every_slice_be(void **state)
{
	(void)state;
	run_on("ucontext:preempt=none", never_asked, NULL);
	run_on("ucontext:preempt=none,policy=mlfq", never_asked, NULL);
	run_on("ucontext:preempt=none,policy=prio", never_asked, NULL);
}

/* ---- signals --------------------------------------------------------------------------------- */

/* Computes until a signal has come that could not preempt it. */
static bool meets_a_signal(const char *counter)
{
	uint64_t before = counted(counter);
	int64_t until = shunt_now_ns() + PATIENCE_NS;
	while (counted(counter) == before && shunt_now_ns() < until)
		shunt_work_ns(MS / 10);
	return counted(counter) > before;
}

static void *leaves_a_section(void *arg)
{
	int ran = 0;
	struct shunt_handle other;
	shunt_preempt_off();
	assert_int_equal(shunt_spawn(&other, sets, &ran, NULL), 0);
	assert_true(meets_a_signal("preempt_in_section"));
	assert_false(has_run(&ran));
	assert_false(shunt_checkpoint());
	shunt_preempt_on();
	assert_true(has_run(&ran));
	assert_true(counted("preempt_late") > 0);
	assert_int_equal(shunt_join(other, NULL), 0);
	return arg;
}

static void the_end_of_a_section_makes_up_for_it(void **state)
{
	(void)state;
	run_on(SIGNALS, leaves_a_section, NULL);
}

/* Nothing of this function is marked, nor is what it calls. */
static void *computes_unmarked(void *arg)
{
	int ran = 0;
	struct shunt_handle other;
	volatile uint64_t x = 1;
	assert_int_equal(shunt_spawn(&other, sets, &ran, NULL), 0);
	int64_t until = shunt_now_ns() + PATIENCE_NS;
	while (!counted("preempt_elsewhere") && shunt_now_ns() < until)
		for (int i = 0; i < 10000; i++)
			x = x * 3;
	assert_true(counted("preempt_elsewhere") > 0);
	assert_false(has_run(&ran));
	assert_true(shunt_checkpoint());
	shunt_yield();
	assert_true(has_run(&ran));
	assert_int_equal(shunt_join(other, NULL), 0);
	return arg;
}

static void a_checkpoint_makes_up_for_it(void **state)
{
	(void)state;
	run_on(SIGNALS, computes_unmarked, NULL);
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

static void *computes(void *arg)
{
	shunt_work_ns(20 * MS);
	return sets(arg);
}

/* Preempted again and again, among tasks of which one is always ready. */
static void *among_yielders(void *arg)
{
	struct crowd crowd = {0, shunt_now_ns() + PATIENCE_NS};
	struct shunt_handle task[7];
	for (int i = 0; i < 6; i++)
		assert_int_equal(shunt_spawn(&task[i], yields, &crowd, NULL), 0);
	assert_int_equal(shunt_spawn(&task[6], computes, &crowd.done, NULL), 0);
	for (int i = 0; i < 6; i++)
		assert_int_equal(shunt_join(task[i], NULL), 0);
	assert_true(has_run(&crowd.done));
	assert_int_equal(shunt_join(task[6], NULL), 0);
	return arg;
}

static void a_held_task_has_its_turns(void **state)
{
	(void)state;
	run_on("asm:workers=2,policy=shared,preempt=signal,quantum=20us", among_yielders, NULL);
	run_on("asm:workers=2,policy=steal,preempt=signal,quantum=20us", among_yielders, NULL);
	run_on(SIGNALS, among_yielders, NULL);
	run_on(SIGNALS ",preempter=poll", among_yielders, NULL); /* last: it needs a second CPU */
}

/* A run inside a task has the thread; the outer one then preempts again. */
static void *runs_another(void *arg)
{
	struct shunt_sched *outer = sched;
	run_on(SIGNALS, among_yielders, NULL);
	sched = outer;
	return among_yielders(arg);
}

static void runs_nest(void **state)
{
	(void)state;
	run_on(SIGNALS, runs_another, NULL);
}

/* ---- misuse ---------------------------------------------------------------------------------- */

static void *yields_in_a_section(void *arg)
{
	shunt_preempt_off();
	shunt_yield();
	return arg;
}

/* Without a ticker: ThreadSanitizer lets no fork of a process that had threads start another. */
static void gives_way_in_a_section(const void *arg)
{
	struct shunt_error err = {""};
	(void)arg;
	if (!shunt_open(&sched, "ucontext:quantum=1ms,tick=0", NULL, &err))
		shunt_run(sched, yields_in_a_section, NULL, NULL, &err);
}

static void giving_way_in_a_section_ends_the_process(void **state)
{
	(void)state;
	dies_saying(gives_way_in_a_section, NULL, "gives way, waits or ends", "shunt_preempt_on");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		/* First: ThreadSanitizer does not follow fibers over a fork. */
		cmocka_unit_test(giving_way_in_a_section_ends_the_process),
		cmocka_unit_test(what_cannot_is_refused),
		cmocka_unit_test(kernels_that_lose_registers_are_known),
		cmocka_unit_test(none_lets_every_slice_be),
		cmocka_unit_test(the_end_of_a_section_makes_up_for_it),
		cmocka_unit_test(a_checkpoint_makes_up_for_it),
		cmocka_unit_test(a_held_task_has_its_turns),
		cmocka_unit_test(runs_nest),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
