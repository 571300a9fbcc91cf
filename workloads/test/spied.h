/* SPDX-License-Identifier: MIT */
/*
 * A run of openloop of which every request is looked at: for the tests that compare with theory.
 */
#ifndef SHUNT_WORKLOADS_TEST_SPIED_H
#define SHUNT_WORKLOADS_TEST_SPIED_H

#include "backends/test/specs.h"
#include "core/harness.h"
#include "workloads/openloop.h"

#include <math.h>

enum { REQUESTS = 1500, SKIP = 150, MEAN_NS = 500000 };

/* What a run says of the theory: nothing where the machine disturbed it too much. A run that was
 * disturbed a little may contradict the theory by coincidence; three such runs without one that
 * agrees are no coincidence. */
enum verdict { UNKNOWN, RIGHT, WRONG };

enum { UNKNOWN_MOST = 1, WRONG_MOST = 2 };

static struct shunt_workload spied;
static const struct shunt_workload *original;
static struct request seen[REQUESTS];
static struct shunt_arrival table[REQUESTS];
static int64_t start_ns;

static void spied_verify(struct shunt_run *run)
{
	const struct openloop *loop = shunt_run_state(run);
	original->verify(run);
	assert_int_equal(loop->table.count, REQUESTS);
	memcpy(seen, loop->request, sizeof(seen));
	memcpy(table, loop->table.arrival, sizeof(table));
	start_ns = loop->start_ns;
}

/* When request i was to arrive. */
static inline double at(size_t i)
{
	return (double)start_ns + (double)table[i].at_ns;
}

/* Runs it in slices of `slice` ("0": none) and returns the reported mean of `metric`, in ns;
 * negative: no such run here, err says why. */
static inline double run_spied(const char *spec, const char *service, const char *slice,
	double load, const char *metric, struct shunt_error *err)
{
	char load_text[32], requests[32], mean[32];
	struct shunt_run *run;
	snprintf(load_text, sizeof(load_text), "%g", load);
	snprintf(requests, sizeof(requests), "%d", REQUESTS);
	snprintf(mean, sizeof(mean), "%dns", MEAN_NS);
	const struct shunt_setting settings[] = {{"load", load_text, true},
		{"service", service, true}, {"mean", mean, true}, {"requests", requests, true},
		{"slice", slice, true}};
	const struct shunt_request request = {.spec = spec,
		.workload = &spied,
		.params = settings,
		.param_count = sizeof(settings) / sizeof(settings[0]),
		.seed = 1,
		.iterations = 1};
	if (shunt_run_prepare(&run, &request, err))
		return -1;
	shunt_run_execute(run);
	double value = shunt_run_median(run, metric);
	shunt_fail(err, 0, "%s", shunt_run_outcome(run)->reason);
	shunt_run_free(run);
	return isnan(value) ? -1 : value;
}

/* Has the scheduler judged by runs until one is right. */
static inline void judge_runs(enum verdict (*judge)(void *arg), void *arg)
{
	int wrong = 0, unknown = 0;
	while (wrong <= WRONG_MOST && unknown <= UNKNOWN_MOST) {
		enum verdict verdict = judge(arg);
		if (verdict == RIGHT)
			return;
		*(verdict == WRONG ? &wrong : &unknown) += 1;
	}
	if (wrong > WRONG_MOST)
		fail_msg("%d runs are not as theory has it", wrong);
	print_message("the machine is too busy to tell\n");
	skip();
}

/* Set-up of a group of tests. */
static inline int spied_find(void **state)
{
	(void)state;
	for (const struct shunt_plugin *p = shunt_registry_workloads; p->name; p++)
		if (!strcmp(p->name, "openloop"))
			original = p->object;
	if (!original)
		return -1;
	spied = *original;
	spied.verify = spied_verify;
	return 0;
}

#endif
