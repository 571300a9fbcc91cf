/* SPDX-License-Identifier: MIT */
/*
 * --check-determinism: in virtual time a second run must have the same events at the same times.
 *
 * The hash of all events is compared. Where two differ, two runs more of one iteration each are
 * traced, and the first event is named in which these differ.
 */
#include "core/cli/run.h"

#include "core/measure/trace.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct row {
	struct shunt_trace_moment *moment;
	size_t count;
};

/* The events of a run, as a hash. */
static const char *hash_of(const struct shunt_outcome *outcome)
{
	for (size_t i = 0; i < outcome->fact_count; i++)
		if (strcmp(outcome->facts[i].key, "sim.hash") == 0)
			return outcome->facts[i].value;
	return "";
}

static int keep_row(void *arg, const struct shunt_trace *trace, struct shunt_error *err)
{
	struct row *row = arg;
	int rc = shunt_trace_moments(trace, &row->moment, &row->count);

	return rc ? shunt_fail(err, rc, "no memory for the events") : 0;
}

/* The row stays empty where it cannot be had. */
static void trace_once(const struct shunt_request *asked, struct row *row)
{
	struct shunt_request again = *asked;
	struct shunt_run *harness;
	struct shunt_error err;

	again.warmup = 0;
	again.iterations = 1;
	again.keep_trace = keep_row;
	again.arg = row;
	if (shunt_run_prepare(&harness, &again, &err) == 0) {
		shunt_run_execute(harness);
		shunt_run_free(harness);
	}
}

static void add_moment(struct cli_text *text, const struct row *row, size_t at, uint64_t start_ns)
{
	char why[24], time[32];

	if (at >= row->count) {
		cli_add(text, "nothing more");
		return;
	}
	const struct shunt_trace_event *event = &row->moment[at].event;

	cli_add(text, "%s %s", shunt_trace_kind_name(event->kind),
		shunt_trace_why_name(event->kind, event->why, why));
	if (event->task)
		cli_add(text, " of task %" PRIu64, event->task);
	cli_add(text, " on worker %u at %s", row->moment[at].worker,
		cli_ns((double)(event->time_ns - start_ns), time, sizeof(time)));
}

static void add_first_difference(struct cli_text *text, const struct row row[2])
{
	uint64_t start_ns[2];
	size_t at = 0;

	if (!row[0].count || !row[1].count)
		return;
	for (int i = 0; i < 2; i++)
		start_ns[i] = row[i].moment[0].event.time_ns;
	for (; at < row[0].count && at < row[1].count; at++) {
		struct shunt_trace_moment one = row[0].moment[at], other = row[1].moment[at];

		one.event.time_ns -= start_ns[0];
		other.event.time_ns -= start_ns[1];
		/* A deadline is a time, too. */
		if (one.event.kind == SHUNT_TRACE_TIMER_ARM)
			one.event.arg -= start_ns[0];
		if (other.event.kind == SHUNT_TRACE_TIMER_ARM)
			other.event.arg -= start_ns[1];
		if (one.worker != other.worker ||
			memcmp(&one.event, &other.event, sizeof(one.event)) != 0)
			break;
	}
	if (at == row[0].count && at == row[1].count)
		return;
	cli_add(text, "; traced, they differ first in event %zu: ", at + 1);
	add_moment(text, &row[0], at, start_ns[0]);
	cli_add(text, ", and ");
	add_moment(text, &row[1], at, start_ns[1]);
}

static int tell_difference(struct cli_run *run, const struct shunt_request *again,
	const char *first, const char *second)
{
	struct row row[2] = {{NULL, 0}, {NULL, 0}};
	struct cli_text text = {0};

	cli_add(&text, "not deterministic: the events of two runs have the hashes %s and %s", first,
		second);
	for (int i = 0; i < 2; i++)
		trace_once(again, &row[i]);
	add_first_difference(&text, row);
	int rc = cli_error(run->args.json, CLI_RUN_FAILED,
		"%s; look for what the workload reads of addresses, clocks or earlier runs",
		text.s);

	free(row[0].moment);
	free(row[1].moment);
	free(text.s);
	return rc;
}

int cli_run_again(struct cli_run *run, const struct shunt_outcome *first)
{
	struct shunt_request again = run->request;
	struct shunt_run *harness;
	struct shunt_error err = {""};

	again.look_around = NULL;
	again.abandoned = NULL;
	again.keep_trace = NULL;
	again.narrate = false;
	if (shunt_run_prepare(&harness, &again, &err) != 0)
		return cli_error(run->args.json, CLI_RUN_FAILED, "the second run: %s", err.text);
	shunt_run_execute(harness);
	const struct shunt_outcome *second = shunt_run_outcome(harness);
	int rc = CLI_OK;

	if (second->status != SHUNT_RECORD_OK)
		rc = cli_error(run->args.json, CLI_RUN_FAILED, "the second run: %s",
			second->reason);
	else if (!*hash_of(first) || strcmp(hash_of(first), hash_of(second)) != 0)
		rc = tell_difference(run, &again, hash_of(first), hash_of(second));
	else
		fprintf(run->args.json ? stderr : stdout,
			"Again     the same events in a second run; their hash is %s\n",
			hash_of(second));
	shunt_run_free(harness);
	return rc;
}
