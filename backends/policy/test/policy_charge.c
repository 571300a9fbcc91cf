/* SPDX-License-Identifier: MIT */
/*
 * srpt takes off what a task ran and nothing else; edf, srpt and prio ask the running task to give
 * way to a more urgent one, and to no other.
 *
 * What a task runs is measured by the clock, and so it seems to run while a busy machine has taken
 * the processor away: where that could change the order, one good attempt out of several is enough.
 */
#include "core/backend.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#define MS INT64_C(1000000)

enum { ORDER_MOST = 8, ATTEMPTS = 10 };

static char order[ORDER_MOST];
static size_t ordered;

static void note(char who)
{
	assert_true(ordered + 1 < ORDER_MOST);
	order[ordered++] = who;
	order[ordered] = '\0';
}

static void run_on(const char *spec, shunt_task_fn *fn)
{
	struct shunt_sched *sched;
	struct shunt_error err = {""};
	ordered = 0;
	order[0] = '\0';
	if (shunt_open(&sched, spec, NULL, &err))
		fail_msg("%s: %s", spec, err.text);
	if (shunt_run(sched, fn, NULL, NULL, &err))
		fail_msg("%s: %s", spec, err.text);
	shunt_close(sched);
}

static void run_for(int64_t duration_ns)
{
	for (int64_t end = shunt_now_ns() + duration_ns; shunt_now_ns() < end;)
		;
}

static void spawn(struct shunt_handle *handle, shunt_task_fn *fn, struct shunt_attr attr)
{
	assert_int_equal(shunt_spawn(handle, fn, NULL, &attr), 0);
}

static void *b(void *arg)
{
	note('b');
	return arg;
}

static void *nearly_done(void *arg)
{
	run_for(80 * MS);
	spawn(NULL, b, (struct shunt_attr){.service_ns = 60 * MS});
	shunt_yield();
	note('a');
	return arg;
}

static void *just_begun(void *arg)
{
	run_for(1 * MS);
	spawn(NULL, b, (struct shunt_attr){.service_ns = 50000 * MS});
	shunt_yield();
	note('a');
	return arg;
}

static void *begins_nearly_done(void *arg)
{
	spawn(NULL, nearly_done, (struct shunt_attr){.service_ns = 100 * MS});
	return arg;
}

static void *begins_just_begun(void *arg)
{
	spawn(NULL, just_begun, (struct shunt_attr){.service_ns = 100000 * MS});
	return arg;
}

static void a_yield_charges_what_was_run(void **state)
{
	(void)state;
	run_on("ucontext:policy=srpt", begins_nearly_done);
	assert_string_equal(order, "ab");
	run_on("ucontext:policy=srpt", begins_just_begun);
	assert_string_equal(order, "ba");
	run_on("ucontext:policy=srpt,mt=1,dispatch=vtable", begins_nearly_done);
	assert_string_equal(order, "ab");
}

static struct shunt_handle parked;

static void *runs_then_parks(void *arg)
{
	run_for(80 * MS);
	shunt_park();
	note('a');
	return arg;
}

static void *sleeps_then_parks(void *arg)
{
	shunt_sleep_for(80 * MS);
	shunt_park();
	note('a');
	return arg;
}

/* Of unknown service: it runs only when nobody else can. */
static void *wakes_after_spawning_b(void *arg)
{
	shunt_yield();
	shunt_sleep_for(120 * MS);
	spawn(NULL, b, (struct shunt_attr){.service_ns = 60 * MS});
	shunt_wake(parked);
	return arg;
}

static void *park_after_run(void *arg)
{
	spawn(&parked, runs_then_parks, (struct shunt_attr){.service_ns = 100 * MS});
	wakes_after_spawning_b(NULL);
	return arg;
}

static void *park_after_sleep(void *arg)
{
	spawn(&parked, sleeps_then_parks, (struct shunt_attr){.service_ns = 100 * MS});
	wakes_after_spawning_b(NULL);
	return arg;
}

static void a_wait_is_not_charged_but_what_led_to_it(void **state)
{
	(void)state;
	run_on("ucontext:policy=srpt", park_after_run);
	assert_string_equal(order, "ab");
	/* A charge of 40 ms for the little that it does run would be "ab" too. */
	for (int attempt = 0; attempt < ATTEMPTS && strcmp(order, "ba"); attempt++)
		run_on("ucontext:policy=srpt", park_after_sleep);
	assert_string_equal(order, "ba");
	run_on("ucontext:policy=srpt,mt=1", park_after_run);
	assert_string_equal(order, "ab");
}

/* ---- checkpoints ----------------------------------------------------------------------------- */

#define QUANTUM_NS (1000 * MS)

static bool slept, missed;
static int64_t nap_ns; /* longer in each attempt that missed it */

static void *sleeper(void *arg)
{
	shunt_sleep_for(nap_ns);
	slept = true;
	return arg;
}

/* The ticker has it look when the sleeper is due, who is as urgent at most. */
static void *asked_to_give_way(void *arg)
{
	const struct shunt_attr *others = arg;
	int64_t begin = shunt_now_ns();
	missed = slept; /* a busy machine has let it come due before */
	while (!missed && shunt_now_ns() - begin < 2 * nap_ns)
		if (shunt_checkpoint()) {
			missed = shunt_now_ns() - begin >= QUANTUM_NS - MS;
			assert_true(missed);
		}
	if (missed)
		return NULL;
	spawn(NULL, b, others[1]);
	assert_true(shunt_checkpoint());
	shunt_yield();
	assert_int_equal(order[0], 'b');
	assert_false(shunt_checkpoint());
	return NULL;
}

/* The running one, one that is as urgent or less, one that is more. */
static struct shunt_attr deadlines[] = {{.deadline_ns = 50}, {.deadline_ns = 50},
	{.deadline_ns = 49}};
static struct shunt_attr services[] = {{.service_ns = 90000 * MS}, {.service_ns = 0},
	{.service_ns = 30000 * MS}};
static struct shunt_attr classes[] = {{.priority = 5}, {.priority = 5}, {.priority = 4}};

static void *preempt(struct shunt_attr *attrs)
{
	slept = false;
	spawn(NULL, sleeper, attrs[1]);
	shunt_sleep_for(1);
	assert_int_equal(shunt_spawn(NULL, asked_to_give_way, &attrs[1], &attrs[0]), 0);
	return NULL;
}

static void *preempt_edf(void *arg)
{
	(void)arg;
	return preempt(deadlines);
}

static void *preempt_srpt(void *arg)
{
	(void)arg;
	return preempt(services);
}

static void *preempt_prio(void *arg)
{
	(void)arg;
	return preempt(classes);
}

static void preempts(const char *policy, const char *way, shunt_task_fn *fn)
{
	char spec[64];
	snprintf(spec, sizeof(spec), "ucontext:policy=%s%s", policy, way);
	missed = true;
	nap_ns = 20 * MS;
	for (int attempt = 0; attempt < ATTEMPTS && missed; attempt++, nap_ns += 10 * MS)
		run_on(spec, fn);
	assert_false(missed);
}

static void only_the_more_urgent_preempt(void **state)
{
	(void)state;
	static const char *const ways[] = {"", ",mt=1", ",dispatch=vtable", ",quantum=1s"};
	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		preempts("edf", ways[i], preempt_edf);
		preempts("srpt", ways[i], preempt_srpt);
		preempts("prio", ways[i], preempt_prio);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_yield_charges_what_was_run),
		cmocka_unit_test(a_wait_is_not_charged_but_what_led_to_it),
		cmocka_unit_test(only_the_more_urgent_preempt),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
