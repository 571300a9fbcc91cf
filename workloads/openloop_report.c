/* SPDX-License-Identifier: MIT */
/*
 * What an open loop tells: series, metrics, checks, and whether they may be believed.
 *
 * Tasks only note times; everything is worked out here, after the last request, so that measuring
 * costs a request two or three readings of the clock and no more. Metrics are of one iteration (the
 * harness takes their medians), a quantile only where there are enough samples for it:
 *
 *   offered_per_s, achieved_per_s    arrivals by the table's span; completions by the time taken
 *   offered_load, utilisation        the table's work by its span; work completed by the time taken
 *                                    and the number of workers
 *   response_mean_ns, response_p50_ns, _p99_ns, _p999_ns    and response_p99_ns.classN, _p999_ns…
 *   slowdown_p50, _p99, _p999        and slowdown_p99.classN, slowdown_p999.classN
 *   queueing_mean_ns, queueing_p99_ns, lag_p99_ns, lag_mean_ns, injection_mean_ns
 *   backlog_max, dropped, deadline_missed (the part of the requests that took longer)
 *   service_ratio  service by the table's; tasks that gave way or slept are charged their own time.
 *                  None where signals preempt: the turns of others are in the series `service`
 *   exact_…        the mean and quantiles of queueing, response and slowdown that the same table
 *                  has without a scheduler, where they are known (openloop_exact.c) and nothing was
 *                  dropped
 *   overhead_ns    processor time but for service, per request: of requests in one piece alone, as
 *                  only their service is known; it is the time from first run to end, in which
 *                  other programs may have taken the processor, and of tasks that the kernel
 *                  schedules, for which their own kind may have, the thread's processor time
 *
 * All but backlog_max, dropped, rates and loads leave out the first `skip` requests.
 */
#include "workloads/openloop.h"

#include "core/measure/hist.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LAG, INJECTION, QUEUEING, SERVICE, RESPONSE, SLOWDOWN, PLAIN_GAUGES };

/* More than this part of the response's p99 must not be the lag of a generator outside. */
#define LAG_PART 0.1

/* A quantity. A class that the table lacks has no buckets. */
struct gauge {
	struct shunt_series *series; /* of the run; NULL: not kept */
	struct shunt_hist hist;      /* of the iteration */
};

struct openloop_gauges {
	struct gauge plain[PLAIN_GAUGES];
	struct gauge response[SHUNT_CLASSES], slowdown[SHUNT_CLASSES]; /* of each class */
	struct gauge exact[PLAIN_GAUGES]; /* QUEUEING, RESPONSE, SLOWDOWN; empty: not known */
};

static const char *const gauge_names[PLAIN_GAUGES] = {"lag", "injection", "queueing", "service",
	"response", "slowdown"};

/* ---- gauges ---------------------------------------------------------------------------------- */

static bool kept(const struct openloop *loop, const char *name)
{
	return loop->keep == KEEP_ALL ||
	       (loop->keep == KEEP_RESPONSE && !strcmp(name, gauge_names[RESPONSE])) ||
	       (loop->keep == KEEP_SLOWDOWN && !strcmp(name, gauge_names[SLOWDOWN]));
}

static int gauge_init(struct openloop *loop, struct gauge *gauge, const char *name,
	const char *unit)
{
	if (kept(loop, name)) {
		gauge->series = shunt_series_in(loop->run, name, unit);
		if (!gauge->series)
			return -ENOMEM;
	}
	return shunt_hist_init(&gauge->hist);
}

static int class_init(struct openloop *loop, unsigned class)
{
	struct openloop_gauges *gauges = loop->gauges;
	char name[32];

	snprintf(name, sizeof(name), "response.class%u", class);
	int rc = gauge_init(loop, &gauges->response[class], name, "ns");

	snprintf(name, sizeof(name), "slowdown.class%u", class);
	return rc ? rc : gauge_init(loop, &gauges->slowdown[class], name, "1/1000");
}

int openloop_gauges_init(struct openloop *loop)
{
	loop->gauges = calloc(1, sizeof(*loop->gauges));
	int rc = loop->gauges ? 0 : -ENOMEM;

	for (unsigned i = 0; i < PLAIN_GAUGES && !rc; i++)
		rc = gauge_init(loop, &loop->gauges->plain[i], gauge_names[i],
			i == SLOWDOWN ? "1/1000" : "ns");
	for (unsigned c = 0; loop->table.classes > 1 && c < loop->table.classes && !rc; c++)
		rc = class_init(loop, c);
	for (unsigned i = QUEUEING; i < PLAIN_GAUGES && !rc; i++)
		rc = i == SERVICE ? 0 : shunt_hist_init(&loop->gauges->exact[i].hist);
	return rc;
}

void openloop_gauges_fini(struct openloop *loop)
{
	struct openloop_gauges *gauges = loop->gauges;

	for (unsigned i = 0; gauges && i < PLAIN_GAUGES; i++) {
		shunt_hist_fini(&gauges->plain[i].hist);
		shunt_hist_fini(&gauges->exact[i].hist);
	}
	for (unsigned c = 0; gauges && c < SHUNT_CLASSES; c++) {
		shunt_hist_fini(&gauges->response[c].hist);
		shunt_hist_fini(&gauges->slowdown[c].hist);
	}
	free(gauges);
	loop->gauges = NULL;
}

static void gauge_record(struct gauge *gauge, int64_t value)
{
	if (!gauge->hist.bucket)
		return;
	shunt_series_record(gauge->series, value);
	shunt_hist_record(&gauge->hist, value);
}

static void reset(struct openloop_gauges *gauges)
{
	for (unsigned i = 0; i < PLAIN_GAUGES; i++)
		shunt_hist_reset(&gauges->plain[i].hist);
	for (unsigned c = 0; c < SHUNT_CLASSES; c++) {
		if (!gauges->response[c].hist.bucket)
			continue;
		shunt_hist_reset(&gauges->response[c].hist);
		shunt_hist_reset(&gauges->slowdown[c].hist);
	}
}

/* ---- one iteration --------------------------------------------------------------------------- */

struct totals {
	uint64_t done, dropped, measured, missed;
	uint64_t work_ns;  /* that the table gives to those done */
	int64_t served_ns; /* of those done, but for the injected stall */
};

static void measure(struct openloop *loop, size_t index, struct totals *totals)
{
	struct openloop_gauges *gauges = loop->gauges;
	const struct request *request = &loop->request[index];
	const struct shunt_arrival *arrival = &loop->table.arrival[index];
	int64_t intended_ns = openloop_intended(loop, index);
	int64_t response_ns = request->ended_ns - intended_ns;
	int64_t slowdown = (int64_t)((__int128)response_ns * 1000 / (int64_t)arrival->service_ns);

	gauge_record(&gauges->plain[LAG], request->lag_ns);
	gauge_record(&gauges->plain[INJECTION], request->injected_ns - intended_ns);
	gauge_record(&gauges->plain[QUEUEING], request->started_ns - intended_ns);
	gauge_record(&gauges->plain[SERVICE], request->ended_ns - request->started_ns);
	gauge_record(&gauges->plain[RESPONSE], response_ns);
	gauge_record(&gauges->plain[SLOWDOWN], slowdown);
	gauge_record(&gauges->response[arrival->class], response_ns);
	gauge_record(&gauges->slowdown[arrival->class], slowdown);
	totals->measured++;
	totals->missed += response_ns > loop->deadline_ns;
}

static struct totals walk(struct openloop *loop)
{
	struct totals totals = {0};

	for (size_t i = 0; i < loop->table.count; i++) {
		const struct request *request = &loop->request[i];

		totals.dropped += request->dropped;
		if (request->dropped)
			continue;
		totals.done++;
		totals.work_ns += loop->table.arrival[i].service_ns;
		totals.served_ns += request->served_ns - (i == loop->stall_at ? loop->stall_ns : 0);
		if (i >= loop->skip)
			measure(loop, i, &totals);
	}
	return totals;
}

static const char exact[] = "exact_";

static void quantile(struct openloop *loop, const char *name, const struct shunt_hist *hist,
	unsigned ppm, const char *unit)
{
	double scale = *unit == '1' ? 1000 : 1;
	bool is_exact = !strncmp(name, exact, sizeof(exact) - 1);

	if (shunt_hist_quantile_known(hist, ppm))
		shunt_metric(loop->run, name, (double)shunt_hist_quantile(hist, ppm) / scale, unit,
			is_exact ? "none" : "lower");
}

static void mean(struct openloop *loop, const char *name, const struct shunt_hist *hist)
{
	bool is_exact = !strncmp(name, exact, sizeof(exact) - 1);

	shunt_metric(loop->run, name, shunt_hist_mean(hist), "ns", is_exact ? "none" : "lower");
}

static const struct {
	const char *name;    /* behind "exact_" */
	unsigned gauge, ppm; /* 0: the mean */
} told[] = {
	{"exact_response_mean_ns", RESPONSE, 0},
	{"exact_queueing_mean_ns", QUEUEING, 0},
	{"exact_response_p50_ns", RESPONSE, 500000},
	{"exact_response_p99_ns", RESPONSE, 990000},
	{"exact_response_p999_ns", RESPONSE, 999000},
	{"exact_slowdown_p50", SLOWDOWN, 500000},
	{"exact_slowdown_p99", SLOWDOWN, 990000},
	{"exact_slowdown_p999", SLOWDOWN, 999000},
	{"exact_queueing_p99_ns", QUEUEING, 990000},
};

/* Of what was measured; of the same table without a scheduler, under names that begin with
 * "exact_". */
static void tell(struct openloop *loop, const struct gauge *gauges, size_t prefix)
{
	for (size_t i = 0; i < sizeof(told) / sizeof(told[0]); i++) {
		const struct shunt_hist *hist = &gauges[told[i].gauge].hist;
		const char *unit = told[i].gauge == SLOWDOWN ? "1" : "ns";

		if (told[i].ppm)
			quantile(loop, told[i].name + prefix, hist, told[i].ppm, unit);
		else
			mean(loop, told[i].name + prefix, hist);
	}
}

static void quantiles(struct openloop *loop)
{
	const struct openloop_gauges *gauges = loop->gauges;
	char name[32];

	quantile(loop, "lag_p99_ns", &gauges->plain[LAG].hist, 990000, "ns");
	for (unsigned c = 0; c < SHUNT_CLASSES; c++) {
		if (!gauges->response[c].hist.bucket)
			continue;
		snprintf(name, sizeof(name), "response_p99_ns.class%u", c);
		quantile(loop, name, &gauges->response[c].hist, 990000, "ns");
		snprintf(name, sizeof(name), "response_p999_ns.class%u", c);
		quantile(loop, name, &gauges->response[c].hist, 999000, "ns");
		snprintf(name, sizeof(name), "slowdown_p99.class%u", c);
		quantile(loop, name, &gauges->slowdown[c].hist, 990000, "1");
		snprintf(name, sizeof(name), "slowdown_p999.class%u", c);
		quantile(loop, name, &gauges->slowdown[c].hist, 999000, "1");
	}
}

/* The table is the same in every iteration, and so is this. */
static void exactly(struct openloop *loop)
{
	struct gauge *gauges = loop->gauges->exact;

	if (gauges[RESPONSE].hist.count || !openloop_exact(loop, &gauges[QUEUEING].hist,
						   &gauges[RESPONSE].hist, &gauges[SLOWDOWN].hist))
		tell(loop, gauges, 0);
}

static void rates(struct openloop *loop, const struct totals *totals)
{
	struct shunt_run *run = loop->run;
	double span_ns = (double)loop->table.arrival[loop->table.count - 1].at_ns + 1;
	double took_ns = (double)(loop->end_ns - loop->start_ns);
	double workers = loop->worker_count;

	shunt_metric(run, "offered_per_s", (double)loop->table.count * 1e9 / span_ns, "1/s",
		"none");
	shunt_metric(run, "achieved_per_s", (double)totals->done * 1e9 / took_ns, "1/s", "higher");
	shunt_metric(run, "offered_load", (double)shunt_arrivals_work(&loop->table) / span_ns, "1",
		"none");
	shunt_metric(run, "utilisation", (double)totals->work_ns / took_ns / workers, "1", "none");
	shunt_metric(run, "backlog_max", (double)loop->backlog_max, "1", "lower");
	shunt_metric(run, "dropped", (double)totals->dropped, "1", "lower");
}

void openloop_report(struct openloop *loop)
{
	char text[32];

	reset(loop->gauges);
	struct totals totals = walk(loop);

	rates(loop, &totals);
	/* Where it is not asked, a request does not know when others had its turn. */
	bool asked = !(shunt_run_caps(loop->run) & (SHUNT_PREEMPTS | SHUNT_AT_EDGES));

	if (totals.done && asked)
		shunt_metric(loop->run, "service_ratio",
			(double)totals.served_ns / (double)totals.work_ns, "1", "none");
	if (totals.measured) {
		tell(loop, loop->gauges->plain, sizeof(exact) - 1);
		mean(loop, "lag_mean_ns", &loop->gauges->plain[LAG].hist);
		mean(loop, "injection_mean_ns", &loop->gauges->plain[INJECTION].hist);
		quantiles(loop);
		if (!totals.dropped)
			exactly(loop);
		shunt_metric(loop->run, "deadline_missed",
			(double)totals.missed / (double)totals.measured, "1", "lower");
	}
	/* Virtual service takes no processor time. */
	bool real = !(shunt_run_caps(loop->run) & SHUNT_VIRTUAL_TIME);

	if (totals.done && !loop->slice_ns && !loop->block_ns && !loop->work && real && asked)
		shunt_metric(loop->run, "overhead_ns",
			((double)loop->cpu_ns - (double)totals.served_ns) / (double)totals.done,
			"ns", "lower");
	snprintf(text, sizeof(text), "%llu", (unsigned long long)totals.dropped);
	shunt_run_fact(loop->run, "requests.dropped", text);
	shunt_run_fact(loop->run, "requests.steered", loop->steered ? "hash" : "policy");
}

void openloop_check(const struct openloop *loop)
{
	struct shunt_run *run = loop->run;
	int64_t runs = 0, dropped = 0, ids = 0, expected_ids = 0, early = 0;

	for (size_t i = 0; i < loop->table.count; i++) {
		const struct request *request = &loop->request[i];
		int64_t id = (int64_t)i + 1;

		runs += request->runs;
		dropped += request->dropped;
		expected_ids += id;
		ids += id * (request->runs + (int64_t)request->dropped);
		early += request->runs && (request->injected_ns < openloop_intended(loop, i) ||
						  request->started_ns < request->injected_ns ||
						  request->ended_ns < request->started_ns);
	}
	shunt_check_int(run, "requests", (int64_t)loop->table.count, runs + dropped);
	shunt_check_int(run, "sum_of_ids", expected_ids, ids);
	shunt_check_int(run, "before_their_time", 0, early);
	shunt_check_int(run, "arrivals_hash", (int64_t)loop->table_hash,
		(int64_t)shunt_arrivals_hash(&loop->table));
	shunt_operations(run, (uint64_t)runs ? (uint64_t)runs : 1);
}

int openloop_judge(const struct shunt_run *run, struct shunt_error *err)
{
	const struct openloop *loop = shunt_run_state(run);
	double lag = shunt_run_median(run, "lag_p99_ns");
	double response = shunt_run_median(run, "response_p99_ns");

	/* A generator that is a task is the scheduler's own, and so is its lag. */
	if (loop->injection == INJECT_TIMER || isnan(lag) || isnan(response) ||
		lag <= LAG_PART * response)
		return 0;
	return shunt_fail(err, -EINVAL,
		"the generator lagged: its p99 is %.1f us, more than a tenth of the response's "
		"%.1f us. The CPU of injection=outside is not free, or other programs use the "
		"machine",
		lag / 1000, response / 1000);
}
