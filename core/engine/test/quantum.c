/* SPDX-License-Identifier: MIT */
/*
 * A checkpoint says so when the running task has used up its quantum and somebody else is ready,
 * not before, and never without a quantum; tasks that heed it share the processor.
 */
#include "core/backend.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#define MS          INT64_C(1000000)
#define QUANTUM_NS  (5 * MS)
#define PATIENCE_NS (20000 * MS) /* no machine is so busy that it takes longer */

static void sum_quanta(void *sink, const char *name, uint64_t value)
{
	if (!strcmp(name, "quanta_used_up"))
		*(uint64_t *)sink += value;
}

static void run_on(const char *spec, shunt_task_fn *fn, void *arg, uint64_t *quanta)
{
	struct shunt_sched *sched;
	struct shunt_error err = {""};
	if (shunt_open(&sched, spec, NULL, &err))
		fail_msg("%s: %s", spec, err.text);
	if (shunt_run(sched, fn, arg, NULL, &err))
		fail_msg("%s: %s", spec, err.text);
	if (quanta) {
		*quanta = 0;
		sched->backend->counters(sched, sum_quanta, quanta);
	}
	shunt_close(sched);
}

/* Runs until a checkpoint says so, or, false, for limit_ns without. */
static bool run_until_asked(int64_t limit_ns)
{
	int64_t begin = shunt_now_ns();
	while (!shunt_checkpoint())
		if (shunt_now_ns() - begin >= limit_ns)
			return false;
	return true;
}

static void *nothing(void *arg)
{
	return arg;
}

static void *asked_in_time(void *arg)
{
	/* Alone: nobody to give way to, however long. */
	assert_false(run_until_asked(3 * QUANTUM_NS));
	/* With another: at once, for the quantum is used up. */
	assert_int_equal(shunt_spawn(NULL, nothing, NULL, NULL), 0);
	assert_true(shunt_checkpoint());
	/* Before the new slice begins: on a busy machine anything may pass until the next line. */
	int64_t gave_way = shunt_now_ns();
	shunt_yield();
	/* Not before its end. */
	assert_int_equal(shunt_spawn(NULL, nothing, NULL, NULL), 0);
	bool asked = run_until_asked(PATIENCE_NS);
	int64_t ran = shunt_now_ns() - gave_way;
	assert_true(asked);
	assert_true(ran >= QUANTUM_NS - MS / 10);
	return arg;
}

static void the_quantum_counts_from_the_last_resume(void **state)
{
	(void)state;
	static const char *const ways[] = {"", ",mt=1", ",dispatch=vtable", ",policy=lifo",
		",policy=steal", ",policy=shared,workers=1,mt=1", ",policy=edf", ",policy=prio",
		",policy=srpt"};
	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		char spec[80];
		uint64_t quanta;
		snprintf(spec, sizeof(spec), "ucontext:quantum=5ms%s", ways[i]);
		run_on(spec, asked_in_time, NULL, &quanta);
		assert_int_equal(quanta, 2);
	}
}

static void *never_asked(void *arg)
{
	assert_int_equal(shunt_spawn(NULL, nothing, NULL, NULL), 0);
	assert_false(run_until_asked(10 * MS));
	return arg;
}

static void without_a_quantum_it_never_ends(void **state)
{
	(void)state;
	uint64_t quanta;
	run_on("ucontext", never_asked, NULL, &quanta);
	assert_int_equal(quanta, 0);
	run_on("ucontext:policy=shared,mt=1", never_asked, NULL, NULL);
	run_on("threads", never_asked, NULL, NULL);
}

/* ---- sharing --------------------------------------------------------------------------------- */

struct share {
	int64_t work_ns, ended_ns;
};

static void *works(void *arg)
{
	struct share *share = arg;
	for (int64_t done = 0; done < share->work_ns; done += MS / 10) {
		for (int64_t end = shunt_now_ns() + MS / 10; shunt_now_ns() < end;)
			;
		if (shunt_checkpoint())
			shunt_yield();
	}
	share->ended_ns = shunt_now_ns();
	return NULL;
}

/* A long one first, then a short one. */
static void *long_then_short(void *arg)
{
	struct share *share = arg;
	struct shunt_handle task[2];
	share[0].work_ns = 100 * MS;
	share[1].work_ns = 5 * MS;
	for (int i = 0; i < 2; i++)
		assert_int_equal(shunt_spawn(&task[i], works, &share[i], NULL), 0);
	for (int i = 0; i < 2; i++)
		assert_int_equal(shunt_join(task[i], NULL), 0);
	return NULL;
}

static void a_short_task_overtakes_a_long_one(void **state)
{
	(void)state;
	struct share share[2];
	run_on("ucontext:quantum=1ms", long_then_short, share, NULL);
	assert_true(share[1].ended_ns < share[0].ended_ns);
	run_on("ucontext", long_then_short, share, NULL);
	assert_true(share[0].ended_ns < share[1].ended_ns);
}

/* ---- who becomes ready meanwhile ------------------------------------------------------------- */

static void *sleeps(void *arg)
{
	shunt_sleep_for(1 * MS);
	/* Relaxed: only that it happened; the join orders the rest. */
	__atomic_store_n((bool *)arg, true, __ATOMIC_RELAXED);
	return NULL;
}

static void *waits_busily(void *arg)
{
	bool woke = false;
	struct shunt_handle task;
	(void)arg;
	assert_int_equal(shunt_spawn(&task, sleeps, &woke, NULL), 0);
	shunt_yield();
	/* Relaxed: see sleeps(). */
	for (int64_t end = shunt_now_ns() + PATIENCE_NS;
		!__atomic_load_n(&woke, __ATOMIC_RELAXED) && shunt_now_ns() < end;)
		if (shunt_checkpoint())
			shunt_yield();
	assert_true(__atomic_load_n(&woke, __ATOMIC_RELAXED)); /* Relaxed: see sleeps(). */
	return shunt_join(task, NULL) ? arg : NULL;
}

static void a_timer_is_seen_when_the_quantum_ends(void **state)
{
	(void)state;
	run_on("ucontext:quantum=2ms,tick=0", waits_busily, NULL, NULL);
	run_on("ucontext:quantum=2ms,tick=0,workers=2,policy=fifo", waits_busily, NULL, NULL);
	run_on("ucontext:quantum=2ms,tick=0,workers=2,policy=steal", waits_busily, NULL, NULL);
}

static void *many(void *arg)
{
	struct shunt_handle task[8];
	struct share share[8];
	for (int i = 0; i < 8; i++) {
		share[i].work_ns = (i + 1) * MS;
		assert_int_equal(shunt_spawn(&task[i], works, &share[i], NULL), 0);
	}
	for (int i = 0; i < 8; i++)
		assert_int_equal(shunt_join(task[i], NULL), 0);
	return arg;
}

static void workers_share_with_any_policy(void **state)
{
	(void)state;
	static const char *const policies[] = {"fifo", "steal", "shared", "edf", "srpt", "prio"};
	for (size_t i = 0; i < sizeof(policies) / sizeof(policies[0]); i++) {
		char spec[80];
		uint64_t quanta;
		snprintf(spec, sizeof(spec), "ucontext:workers=2,quantum=200us,policy=%s",
			policies[i]);
		run_on(spec, many, NULL, &quanta);
		assert_true(quanta > 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_quantum_counts_from_the_last_resume),
		cmocka_unit_test(without_a_quantum_it_never_ends),
		cmocka_unit_test(a_short_task_overtakes_a_long_one),
		cmocka_unit_test(a_timer_is_seen_when_the_quantum_ends),
		cmocka_unit_test(workers_share_with_any_policy),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
