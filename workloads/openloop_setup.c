/* SPDX-License-Identifier: MIT */
/*
 * From the parameters of an open loop to one that can start: what implies what, what excludes what,
 * the table, the memory.
 */
#include "workloads/openloop.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static const char *const process_names[] = {"poisson", "constant", NULL};
static const char *const law_names[] = {"fixed", "exponential", "bimodal", "extreme", "lognormal",
	"mix", NULL};
static const char *const steer_names[] = {"auto", "policy", "hash", NULL};
static const char *const injection_names[] = {"timer", "outside", NULL};
static const char *const keep_names[] = {"all", "response", "slowdown", "none", NULL};

/* ---- parameters ------------------------------------------------------------------------------ */

static double real(const struct shunt_run *run, const char *param)
{
	return shunt_value(shunt_run_values(run), param)->real;
}

__attribute__((format(printf, 4, 5))) static int imply(struct shunt_run *run, const char *param,
	struct shunt_error *err, const char *format, ...)
{
	char text[64];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	return shunt_run_imply(run, param, text, err);
}

/* The first `most` requests of the trace (0: all), with its gaps scaled if a load is asked for. */
static int read_trace(const struct shunt_run *run, size_t most, struct shunt_arrivals *table,
	struct shunt_error *err)
{
	int rc = shunt_arrivals_read(table, shunt_run_text(run, "input"), most, err);

	if (rc || !shunt_run_given(run, "load"))
		return rc;
	rc = shunt_arrivals_stretch(table, real(run, "load"));
	if (!rc)
		return 0;
	shunt_arrivals_free(table);
	return shunt_fail(err, -EINVAL,
		"load=%g: the trace would take no time, or more than 104 days; the load must be "
		"above 0 and its arrivals not all at once",
		real(run, "load"));
}

/* A trace has its own services, and its own rate but for a load that is asked for; what they come
 * to is in the record. */
static int resolve_input(struct shunt_run *run, struct shunt_error *err)
{
	static const char *const own[] = {"rate", "process", "service", "mean", "sigma"};
	struct shunt_arrivals table;

	for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
		if (shunt_run_given(run, own[i]))
			return shunt_fail(err, -EINVAL,
				"%s and input exclude each other: the trace has its own", own[i]);
	size_t most = shunt_run_given(run, "requests") ? (size_t)shunt_run_int(run, "requests") : 0;
	int rc = read_trace(run, most, &table, err);

	if (rc)
		return rc == -ENOMEM ? rc : -EINVAL;
	uint64_t work_ns = shunt_arrivals_work(&table);
	uint64_t span_ns = table.arrival[table.count - 1].at_ns + 1;
	double rate = (double)table.count * 1e9 / (double)span_ns;

	rc = shunt_run_given(run, "requests") ? 0 : imply(run, "requests", err, "%zu", table.count);
	if (!rc)
		rc = imply(run, "rate", err, "%.0f", rate < 1 ? 1 : rate > 1e9 ? 1e9 : rate);
	if (!rc && !shunt_run_given(run, "load"))
		rc = imply(run, "load", err, "%.9g", (double)work_ns / (double)span_ns);
	if (!rc)
		rc = imply(run, "mean", err, "%lluns",
			(unsigned long long)(work_ns / table.count ? work_ns / table.count : 1));
	shunt_arrivals_free(&table);
	return rc;
}

/* Draws may still take the table beyond its end: make_table. */
static int too_long(const struct shunt_run *run, struct shunt_error *err)
{
	double requests = (double)shunt_run_int(run, "requests");

	return shunt_fail(err, -EINVAL,
		"%.0f requests at a rate of %lld a second would arrive for more than 78 hours, the "
		"most that a table of arrivals spans; ask for fewer requests or a higher rate",
		requests, (long long)shunt_run_int(run, "rate"));
}

static bool is_too_long(const struct shunt_run *run)
{
	return (double)shunt_run_int(run, "requests") * 1e9 / (double)shunt_run_int(run, "rate") >
	       (double)SHUNT_TABLE_MOST_NS;
}

/* Of rate and load, one follows from the other. */
static int resolve_rate(struct shunt_run *run, struct shunt_error *err)
{
	double mean_ns = (double)shunt_run_int(run, "mean"), load = real(run, "load");

	if (shunt_run_given(run, "rate") && shunt_run_given(run, "load"))
		return shunt_fail(err, -EINVAL,
			"rate and load exclude each other: load is rate x mean");
	if (shunt_run_given(run, "rate")) {
		if (shunt_run_int(run, "rate") == 0)
			return shunt_fail(err, -EINVAL, "rate is 0: nothing would ever arrive");
		return imply(run, "load", err, "%.9g",
			(double)shunt_run_int(run, "rate") * mean_ns / 1e9);
	}
	double rate = load * 1e9 / mean_ns + 0.5;

	if (!(rate >= 1 && rate <= 1e9))
		return shunt_fail(err, -EINVAL,
			"load=%g of mean %.0f ns is %.3g requests a second; it must be 1 to 10^9",
			load, mean_ns, rate);
	return imply(run, "rate", err, "%llu", (unsigned long long)rate);
}

int openloop_resolve(struct shunt_run *run, struct shunt_error *err)
{
	bool lognormal = shunt_run_int(run, "service") == SHUNT_SERVICE_LOGNORMAL;

	if (shunt_run_given(run, "sigma") && !lognormal)
		return shunt_fail(err, -EINVAL, "sigma belongs to service=lognormal");
	int rc = *shunt_run_text(run, "input") ? resolve_input(run, err) : resolve_rate(run, err);

	if (!rc && !*shunt_run_text(run, "input") && is_too_long(run))
		rc = too_long(run, err);
	if (!rc)
		rc = imply(run, "stall_at", err, "%lld",
			(long long)shunt_run_int(run, "requests") / 2);
	if (!rc)
		rc = openloop_resolve_rest(run, shunt_run_int(run, "mean"), err);
	if (rc || shunt_run_int(run, "form") != FORM_STEP)
		return rc;
	return shunt_run_int(run, "injection") == INJECT_OUTSIDE
		       ? shunt_fail(err, -EINVAL,
				 "form=step and injection=outside exclude each other: only a task "
				 "can spawn a step task; injection=timer does")
		       : form_check(run, err);
}

int openloop_resolve_rest(struct shunt_run *run, int64_t mean_ns, struct shunt_error *err)
{
	int rc = imply(run, "skip", err, "%lld", (long long)shunt_run_int(run, "requests") / 10);

	if (!rc)
		rc = imply(run, "deadline", err, "%lldns", (long long)mean_ns * 10);
	if (rc)
		return rc;
	if (shunt_run_int(run, "steer") == STEER_HASH && !(shunt_run_caps(run) & SHUNT_PINS))
		return shunt_fail(err, -ENOTSUP,
			"steer=hash puts each request on a worker, and under this policy or "
			"backend "
			"tasks do not stay where they are put; policy=fifo keeps them");
	if (shunt_run_int(run, "skip") >= shunt_run_int(run, "requests"))
		return shunt_fail(err, -EINVAL, "skip leaves no request to measure");
	if (shunt_run_int(run, "injection") != INJECT_OUTSIDE)
		return 0;
	if (!(shunt_run_caps(run) & SHUNT_EXTERNAL_WAKE))
		return shunt_fail(err, -ENOTSUP,
			"injection=outside spawns from a thread beside the scheduler, which this "
			"backend does not take; injection=timer does without");
	shunt_outside_wanted(run);
	return 0;
}

void openloop_footprint(const struct shunt_run *run, struct shunt_footprint *footprint)
{
	uint64_t requests = (uint64_t)shunt_run_int(run, "requests");
	uint64_t backlog = (uint64_t)shunt_run_int(run, "backlog");

	footprint->tasks = (backlog < requests ? backlog : requests) + 2;
	footprint->stackless = shunt_run_int(run, "form") == FORM_STEP;
	footprint->bytes =
		requests * (sizeof(struct request) + sizeof(struct shunt_arrival) +
				   (footprint->stackless ? sizeof(struct openloop_frame) : 0));
}

const struct shunt_param openloop_params[] = {
	{"requests", SHUNT_PARAM_COUNT, "10k", 1, 100000000, NULL,
		"requests per iteration; of a trace, the first N (all unless set)"},
	{"process", SHUNT_PARAM_CHOICE, "poisson", 0, 0, process_names,
		"arrivals: independent of each other (poisson), or equally spaced (constant)"},
	{"load", SHUNT_PARAM_REAL, "0.5", 0, 1024, NULL,
		"offered load in CPUs, rate x mean; 2 workers serve at most 2. With input: the "
		"trace's gaps are scaled to it"},
	{"rate", SHUNT_PARAM_COUNT, "0", 0, 1000000000, NULL,
		"arrivals per second, instead of load"},
	{"service", SHUNT_PARAM_CHOICE, "exponential", 0, 0, law_names,
		"how service times are spread around the mean; bimodal: 50:50 in 1:100; extreme: "
		"99.5:0.5 in 1:1000; mix: five classes as in TPC-C"},
	{"mean", SHUNT_PARAM_DURATION, "10us", 1, SHUNT_SERVICE_MOST_NS, NULL,
		"mean service time; bimodal is 1 and 100 us at 50500ns, extreme 0.5 and 500 us at "
		"2998ns, mix as published at 19068ns"},
	{"sigma", SHUNT_PARAM_REAL, "1", 0, 8, NULL,
		"of service=lognormal: the deviation of the logarithm"},
	{"slice", SHUNT_PARAM_DURATION, "0", 0, SHUNT_SERVICE_MOST_NS, NULL,
		"length of the pieces of work, after each of which a quantum may end; 0: one "
		"piece"},
	{"block", SHUNT_PARAM_DURATION, "0", 0, SHUNT_SERVICE_MOST_NS, NULL,
		"sleep this long in the middle of each request"},
	{"deadline", SHUNT_PARAM_DURATION, "auto", 0, SHUNT_SERVICE_MOST_NS, NULL,
		"response-time objective, which policies may use; auto: 10 x mean"},
	{"injection", SHUNT_PARAM_CHOICE, "timer", 0, 0, injection_names,
		"timer: a task of the scheduler, one a worker where requests are steered by hash; "
		"outside: a thread beside it, on the last CPU, which it has to itself if there are "
		"fewer workers than CPUs"},
	{"steer", SHUNT_PARAM_CHOICE, "auto", 0, 0, steer_names,
		"hash: to a worker by a hash of the request (d-FCFS); policy: wherever the policy "
		"puts it; auto: hash where tasks stay on the worker they are put on"},
	{"backlog", SHUNT_PARAM_COUNT, "10k", 1, 100000000, NULL,
		"most requests in the system at once; further arrivals are dropped and counted"},
	{"skip", SHUNT_PARAM_COUNT, "auto", 0, 100000000, NULL,
		"first requests to leave out of series and metrics; auto: a tenth"},
	{"input", SHUNT_PARAM_TEXT, "", 0, 0, NULL,
		"arrivals from a file of lines `arrival_ns service_ns [class]`, at its own load "
		"unless load is set"},
	{"series", SHUNT_PARAM_CHOICE, "all", 0, 0, keep_names,
		"which latencies the record holds in full; means and quantiles are metrics in any "
		"case"},
	{"stall", SHUNT_PARAM_DURATION, "0", 0, SHUNT_SERVICE_MOST_NS, NULL,
		"an injected fault: one request holds its worker this much longer"},
	{"stall_at", SHUNT_PARAM_COUNT, "auto", 0, 100000000, NULL,
		"which request stalls; auto: the middle one"},
	FORM_PARAM,
	{.name = NULL},
};

/* ---- set-up ---------------------------------------------------------------------------------- */

static int make_table(struct shunt_run *run, struct openloop *loop, struct shunt_error *err)
{
	const struct shunt_arrival_plan plan = {
		.seed = shunt_run_seed(run),
		.count = (size_t)shunt_run_int(run, "requests"),
		.rate = (uint64_t)shunt_run_int(run, "rate"),
		.process = (enum shunt_arrival_process)shunt_run_int(run, "process"),
		.law = (enum shunt_service_law)shunt_run_int(run, "service"),
		.mean_ns = (uint64_t)shunt_run_int(run, "mean"),
		.sigma_q16 = (uint64_t)(real(run, "sigma") * 65536 + 0.5),
	};
	const char *input = shunt_run_text(run, "input");

	if (!*input) {
		int made = shunt_arrivals_make(&loop->table, &plan);
		return made == -ERANGE ? too_long(run, err) : made;
	}
	int rc = read_trace(run, plan.count, &loop->table, err);

	if (!rc && loop->table.count < plan.count)
		rc = shunt_fail(err, -EINVAL, "input '%s' has %zu requests, not %zu", input,
			loop->table.count, plan.count);
	return rc;
}

int openloop_begin(struct shunt_run *run, struct openloop *loop, struct shunt_error *err)
{
	char text[32];

	loop->run = run;
	loop->backlog_limit = (uint64_t)shunt_run_int(run, "backlog");
	loop->skip = (uint64_t)shunt_run_int(run, "skip");
	loop->deadline_ns = shunt_run_int(run, "deadline");
	loop->injection = (enum openloop_injection)shunt_run_int(run, "injection");
	loop->steer = (enum openloop_steer)shunt_run_int(run, "steer");
	loop->keep = (enum openloop_keep)shunt_run_int(run, "series");
	loop->seed = shunt_run_seed(run);
	loop->shared_by_kernel = shunt_run_caps(run) & SHUNT_KERNEL_TASKS;
	loop->request = calloc(loop->table.count, sizeof(*loop->request));
	if (!loop->request || openloop_gauges_init(loop))
		return shunt_fail(err, -ENOMEM, "no memory for %zu requests", loop->table.count);
	loop->table_hash = shunt_arrivals_hash(&loop->table);
	snprintf(text, sizeof(text), "%016llx", (unsigned long long)loop->table_hash);
	shunt_run_fact(run, "arrivals.hash", text);
	return 0;
}

int openloop_setup(struct shunt_run *run, struct shunt_error *err)
{
	struct openloop *loop = calloc(1, sizeof(*loop));

	shunt_run_set_state(run, loop);
	if (!loop)
		return -ENOMEM;
	loop->slice_ns = shunt_run_int(run, "slice");
	loop->block_ns = shunt_run_int(run, "block");
	loop->stall_ns = shunt_run_int(run, "stall");
	loop->stall_at = (uint64_t)shunt_run_int(run, "stall_at");
	int rc = make_table(run, loop, err);

	if (!rc)
		rc = openloop_begin(run, loop, err);
	if (rc)
		return rc;
	if (shunt_run_int(run, "form") == FORM_STEP) {
		loop->frame = calloc(loop->table.count, sizeof(*loop->frame));
		if (!loop->frame)
			return shunt_fail(err, -ENOMEM, "no memory for %zu requests",
				loop->table.count);
	}
	if (shunt_run_text(run, "input")[0])
		shunt_run_input(run, loop->table_hash);
	return 0;
}

void openloop_print_arrivals(const struct shunt_run *run, FILE *out)
{
	const struct openloop *loop = shunt_run_state(run);

	fprintf(out, "# hash %016" PRIx64 "\n", loop->table_hash);
	for (size_t i = 0; i < loop->table.count; i++)
		fprintf(out, "%" PRIu64 " %" PRIu64 " %" PRIu64 "\n", loop->table.arrival[i].at_ns,
			loop->table.arrival[i].service_ns, loop->table.arrival[i].class);
}

void openloop_end(struct openloop *loop)
{
	openloop_gauges_fini(loop);
	free(loop->stream);
	shunt_arrivals_free(&loop->table);
	free(loop->request);
	free(loop->frame);
}

void openloop_teardown(struct shunt_run *run)
{
	struct openloop *loop = shunt_run_state(run);

	if (!loop)
		return;
	openloop_end(loop);
	free(loop);
}
