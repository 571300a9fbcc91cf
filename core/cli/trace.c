/* SPDX-License-Identifier: MIT */
/* shunt trace check: does a trace close, and where did every worker's time go? */
#include "core/cli/cli.h"

#include "core/measure/json.h"
#include "core/measure/trace_check.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <string.h>

static const char *verdict_word(enum shunt_trace_verdict verdict)
{
	return verdict == SHUNT_TRACE_CLOSES   ? "closes"
	       : verdict == SHUNT_TRACE_BROKEN ? "broken"
					       : "cannot be closed";
}

static void print_workers(const struct shunt_trace_report *report)
{
	printf("\n%-8s %12s %8s %10s %8s %8s\n", "Worker", "time", "running", "scheduling", "idle",
		"asleep");
	for (size_t i = 0; i < report->times_count; i++) {
		const struct shunt_trace_times *t = &report->times[i];
		double span = t->span_ns ? (double)t->span_ns : 1;
		char text[32];

		printf("  %-6u %12s %7.1f%% %9.1f%% %7.1f%% %7.1f%%\n", t->worker,
			cli_ns((double)t->span_ns, text, sizeof(text)),
			100 * (double)t->run_ns / span, 100 * (double)t->schedule_ns / span,
			100 * (double)t->idle_ns / span, 100 * (double)t->wait_ns / span);
	}
}

static void print_left(const struct shunt_trace_report *report)
{
	if (report->left == 0)
		return;
	printf("\n%" PRIu64 " tasks have not ended:\n", report->left);
	for (uint64_t i = 0; i < report->left && i < SHUNT_TRACE_LISTED; i++)
		printf("  task %" PRIu64 " is %s\n", report->left_task[i].task,
			report->left_task[i].state);
}

static void print_report(const char *path, const struct shunt_trace_report *report)
{
	bool closes = report->verdict == SHUNT_TRACE_CLOSES;
	char a[32], b[32], c[32], d[32], e[32];

	printf("%s: %s%s%s\n", path, closes ? cli_green() : cli_red(),
		verdict_word(report->verdict), cli_plain());
	if (report->message[0])
		cli_wrap("", 2, report->message);
	printf("  %s events (%s lost), %s tasks, %s runs\n",
		cli_grouped(report->events, a, sizeof(a)),
		cli_grouped(report->dropped, b, sizeof(b)),
		cli_grouped(report->tasks, c, sizeof(c)), cli_grouped(report->runs, d, sizeof(d)));
	printf("  %s enqueued, %s dequeued, %s still queued",
		cli_grouped(report->enqueued, a, sizeof(a)),
		cli_grouped(report->dequeued, b, sizeof(b)),
		cli_grouped(report->queued, c, sizeof(c)));
	if (report->injected)
		printf("; %s came from outside", cli_grouped(report->injected, d, sizeof(d)));
	printf("\n");
	printf("  %s timers armed, %s fired, %s cancelled; %s wakes, %s steals\n",
		cli_grouped(report->timers_armed, a, sizeof(a)),
		cli_grouped(report->timers_fired, b, sizeof(b)),
		cli_grouped(report->timers_cancelled, c, sizeof(c)),
		cli_grouped(report->wakes, d, sizeof(d)),
		cli_grouped(report->steals, e, sizeof(e)));
	if (report->io_begun)
		printf("  %s operations begun, %s ended\n",
			cli_grouped(report->io_begun, a, sizeof(a)),
			cli_grouped(report->io_ended, b, sizeof(b)));
	print_workers(report);
	print_left(report);
}

static json_t *report_json(const char *path, const struct shunt_trace_report *report)
{
	json_t *workers = json_array();

	for (size_t i = 0; i < report->times_count; i++)
		json_array_append_new(workers,
			json_pack("{s:i, s:I, s:I, s:I, s:I, s:I}", "worker",
				(int)report->times[i].worker, "span_ns",
				(json_int_t)report->times[i].span_ns, "run_ns",
				(json_int_t)report->times[i].run_ns, "schedule_ns",
				(json_int_t)report->times[i].schedule_ns, "idle_ns",
				(json_int_t)report->times[i].idle_ns, "wait_ns",
				(json_int_t)report->times[i].wait_ns));
	return json_pack("{s:o, s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:o}", "file",
		shunt_json_text(path), "verdict", verdict_word(report->verdict), "message",
		report->message, "events", (json_int_t)report->events, "dropped",
		(json_int_t)report->dropped, "tasks", (json_int_t)report->tasks, "runs",
		(json_int_t)report->runs, "left", (json_int_t)report->left, "workers", workers);
}

static int check(const struct cli_args *args, const char *path)
{
	const struct shunt_trace_rules rules = {
		.grace_ns = (uint64_t)shunt_value_int(&args->options, "--grace")};
	struct shunt_trace_report report;
	struct shunt_error err = {""};
	int rc = shunt_trace_check(path, &rules, &report, &err);

	if (rc)
		return cli_error(args->json,
			rc == -EBADMSG  ? CLI_CORRUPT
			: rc == -ENOMEM ? CLI_RUN_FAILED
					: CLI_USAGE,
			"%s", err.text);
	int status = report.verdict == SHUNT_TRACE_CLOSES ? CLI_OK : CLI_CHECK_FAILED;

	if (args->json)
		status = cli_json(report_json(path, &report), status);
	else
		print_report(path, &report);
	if (status != CLI_OK)
		fprintf(stderr, "shunt: %s: the trace %s\n", path,
			report.verdict == SHUNT_TRACE_BROKEN ? "is broken" : "cannot be closed");
	shunt_trace_report_fini(&report);
	return status;
}

static int run(const struct cli_command *command, int argc, char **argv)
{
	struct cli_args args;
	int rc = cli_args_parse(&args, command, argc, argv);

	if (rc == 0 && (args.word_count != 2 || strcmp(args.word[0], "check") != 0))
		rc = cli_error(args.json, CLI_USAGE,
			"trace needs `check` and a file, as in `shunt trace check ring.json`");
	if (rc == 0)
		rc = check(&args, args.word[1]);
	cli_args_free(&args);
	return rc;
}

static const struct shunt_param options[] = {
	{.name = "--grace",
		.type = SHUNT_PARAM_DURATION,
		.fallback = "50ms",
		.max = 3600000000000,
		.help = "=TIME how long a task may be ready while a worker sleeps"},
	CLI_JSON,
	{.name = NULL},
};

const struct cli_command cli_trace = {
	.name = "trace",
	.summary = "check that a trace is complete and legal",
	.usage = "check FILE [--grace TIME] [--json]",
	.text = "A trace closes if every nanosecond of every worker is in exactly one state, every "
		"task makes legal steps only, what was enqueued was dequeued or is still queued, "
		"and "
		"no task waits beside a sleeping worker. Exit status: 0 it closes; 1 it does not; "
		"5 "
		"the file is damaged.\n\nThe file opens in ui.perfetto.dev and in "
		"chrome://tracing.",
	.examples = "  shunt run asm ring tasks=10 hops=1000 --trace ring.json\n"
		    "  shunt trace check ring.json\n",
	.options = options,
	.run = run,
};
