/* SPDX-License-Identifier: MIT */
/*
 * If this passes, every workload of this build has a second text, which preempt=compiler runs and
 * nothing else does, and gives its exact answer though its tasks give way at any edge of it.
 *
 * The linker puts a function of the test in the place of the one that the compiler has called:
 * tasks give way at one edge in a few, drawn at random, however short their slice. edge.c, which
 * decides that in truth, is tested by preempt.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/engine/edge.h"
#include "core/engine/worker.h"
#include "core/harness.h"
#include "core/registry.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SETTINGS_MOST = 16, ONE_IN = 7 };

static uint64_t met, given_way; /* [test:edges] */
static __thread uint32_t draw;

void __wrap___sanitizer_cov_trace_pc(void);

static bool is_drawn(void)
{
	draw = draw * 1664525 + 1013904223;
	return (draw >> 16) % ONE_IN == 0;
}

void __wrap___sanitizer_cov_trace_pc(void)
{
	struct shunt_ctx *ctx = shunt_ctx_get();
	/* Relaxed: counts [test:edges]. */
	__atomic_fetch_add(&met, 1, __ATOMIC_RELAXED);
	if (!ctx || !ctx->current || ctx->current->step || shunt_preempt_sections(ctx) ||
		!is_drawn())
		return;
	__atomic_fetch_add(&given_way, 1, __ATOMIC_RELAXED);
	shunt_yield();
}

static size_t split(char *text, struct shunt_setting *settings)
{
	size_t count = 0;
	char *save = NULL;
	for (char *word = strtok_r(text, " ", &save); word; word = strtok_r(NULL, " ", &save)) {
		char *equals = strchr(word, '=');
		assert_non_null(equals);
		assert_true(count < SETTINGS_MOST);
		*equals = '\0';
		settings[count++] = (struct shunt_setting){word, equals + 1, true};
	}
	return count;
}

/* Returns whether it ran: what a run needs that this composition lacks is not of interest here. */
static bool runs(const char *spec, const struct shunt_workload *workload, char *small)
{
	struct shunt_setting settings[SETTINGS_MOST];
	struct shunt_error err = {""};
	struct shunt_run *run;
	struct shunt_request request = {.spec = spec,
		.workload = workload,
		.params = settings,
		.param_count = split(small, settings),
		.seed = 42,
		.iterations = 1,
		.timeout_ns = UINT64_C(100000000000),
		.clock_span_ns = 1000000};
	met = given_way = 0;
	if (shunt_run_prepare(&run, &request, &err))
		fail_msg("%s %s: %s", spec, workload->name, err.text);
	shunt_run_execute(run);
	const struct shunt_outcome *outcome = shunt_run_outcome(run);
	bool ok = outcome->status == SHUNT_RECORD_OK;
	if (!ok && outcome->status != SHUNT_RECORD_SKIPPED)
		fail_msg("%s %s: %s", spec, workload->name, outcome->reason);
	if (!ok)
		print_message("%s %s: %s\n", spec, workload->name, outcome->reason);
	shunt_run_free(run);
	return ok;
}

static void every_workload(const char *spec, bool at_edges)
{
	for (const struct shunt_plugin *p = shunt_registry_workloads; p->name; p++) {
		const struct shunt_workload *workload = p->object;
		char text[512], *save = NULL;
		bool any = false;
		if (!workload)
			continue;
		strcpy(text, workload->small);
		for (char *one = strtok_r(text, "|", &save); one;
			one = strtok_r(NULL, "|", &save)) {
			any = runs(spec, workload, one + (*one == '~')) || any;
			if ((met > 0) != at_edges && any)
				fail_msg("%s %s: %llu edges met", spec, workload->name,
					(unsigned long long)met);
		}
		if (at_edges)
			print_message("%s: gave way at %llu of the last run's %llu edges\n",
				workload->name, (unsigned long long)given_way,
				(unsigned long long)met);
	}
}

static void the_plain_text_has_no_edges(void **state)
{
	(void)state;
	every_workload("ucontext", false);
}

static void answers_are_exact_on_one_worker(void **state)
{
	(void)state;
	every_workload("ucontext:wait=epoll,io=epoll,preempt=compiler,quantum=1s", true);
}

static void answers_are_exact_where_tasks_move(void **state)
{
	(void)state;
	every_workload("ucontext:preempt=compiler,quantum=1s,workers=2,policy=steal,wait=epoll,"
		       "io=epoll",
		true);
}

static void answers_are_exact_where_tasks_stay(void **state)
{
	(void)state;
	every_workload("ucontext:preempt=compiler,quantum=1s,workers=2,policy=fifo", true);
}

static void a_workload_without_one_is_skipped_with_the_reason(void **state)
{
	const struct shunt_plugin *plugin = shunt_registry_workloads;
	(void)state;
	while (!plugin->object)
		plugin++;
	struct shunt_workload alike = *(const struct shunt_workload *)plugin->object;
	struct shunt_request request = {.spec = "ucontext:preempt=compiler,quantum=1s",
		.workload = &alike,
		.iterations = 1};
	struct shunt_run *run;
	assert_int_equal(shunt_run_prepare(&run, &request, NULL), 0);
	assert_int_equal(shunt_run_outcome(run)->status, SHUNT_RECORD_SKIPPED);
	assert_non_null(strstr(shunt_run_outcome(run)->reason, "no second text"));
	assert_non_null(strstr(shunt_run_outcome(run)->reason, "use preempt=checkpoint"));
	shunt_run_free(run);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_plain_text_has_no_edges),
		cmocka_unit_test(answers_are_exact_on_one_worker),
		cmocka_unit_test(answers_are_exact_where_tasks_move),
		cmocka_unit_test(answers_are_exact_where_tasks_stay),
		cmocka_unit_test(a_workload_without_one_is_skipped_with_the_reason),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
