/* SPDX-License-Identifier: MIT */
/*
 * shunt run: one run, its record, its report (run_perform.c).
 *
 * Everything that can be found wrong without running is found before: the names and values, the
 * record's path, the trace's path.
 */
#include "core/cli/run.h"

#include "core/measure/trace.h"
#include "core/spec.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define SCHED_DELAY_EVERY 64

/* ---- what was asked -------------------------------------------------------------------------- */

static int take_params(struct cli_run *run, size_t first)
{
	struct shunt_request *request = &run->request;

	run->params = calloc(run->args.word_count + 1, sizeof(*run->params));
	if (!run->params)
		return cli_error(run->args.json, CLI_RUN_FAILED, "out of memory");
	for (size_t i = first; i < run->args.word_count; i++) {
		char *copy = strdup(run->args.word[i]), *equals = copy ? strchr(copy, '=') : NULL;

		if (!equals || equals == copy) {
			free(copy);
			return cli_error(run->args.json, CLI_USAGE,
				"'%.80s' is not a parameter; expected KEY=VALUE, as in tasks=1000",
				run->args.word[i]);
		}
		*equals = '\0';
		for (size_t j = 0; j < request->param_count; j++)
			if (strcmp(run->params[j].key, copy) == 0) {
				int rc = cli_error(run->args.json, CLI_USAGE,
					"the parameter %s is given twice", copy);

				free(copy);
				return rc;
			}
		run->params[request->param_count++] =
			(struct shunt_setting){.key = copy, .value = equals + 1, .by_user = true};
	}
	request->params = run->params;
	return 0;
}

int cli_run_take_workload(struct cli_run *run, const char *command, const char *example)
{
	const struct shunt_plugin *plugin;
	struct shunt_error err;

	if (run->args.word_count < 2)
		return cli_error(run->args.json, CLI_USAGE,
			"%s needs a backend and a workload, as in `shunt %s %s`; `shunt list` "
			"shows their names",
			command, command, example);
	int rc = shunt_registry_find(&plugin, shunt_registry_workloads, "workload",
		run->args.word[1], &err);

	if (rc)
		return cli_error(run->args.json, rc == -ENOSYS ? CLI_RUN_FAILED : CLI_USAGE, "%s",
			err.text);
	run->request.workload = plugin->object;
	return 0;
}

/* "sched_delay" or "sched_delay=EVERY". */
static int take_probe(struct cli_run *run)
{
	static const char name[] = "sched_delay";
	const struct shunt_param every[] = {{.name = name,
						    .type = SHUNT_PARAM_COUNT,
						    .fallback = "64",
						    .min = 1,
						    .max = 1000000000},
		{.name = NULL}};
	const char *text = shunt_value_text(&run->args.options, "--probe");
	size_t len = strcspn(text, "=");
	struct shunt_values values;
	struct shunt_error err;
	int rc = 0;

	if (!*text)
		return 0;
	if (len != strlen(name) || strncmp(text, name, len) != 0)
		return cli_error(run->args.json, CLI_USAGE,
			"unknown probe '%.60s'; the only one is sched_delay (or sched_delay=N, one "
			"event in N)",
			text);
	run->request.sched_delay_every = SCHED_DELAY_EVERY;
	if (!text[len])
		return 0;
	if (shunt_values_init(&values, every, &err) != 0)
		return cli_error(run->args.json, CLI_RUN_FAILED, "%s", err.text);
	if (shunt_values_set(&values, "run: --probe", name, text + len + 1, &err) != 0)
		rc = cli_error(run->args.json, CLI_USAGE, "%s", err.text);
	run->request.sched_delay_every = (unsigned)shunt_value_int(&values, name);
	shunt_values_fini(&values);
	return rc;
}

static void print_line(void *arg, const char *line)
{
	struct cli_run *run = arg;
	FILE *out = run->args.json ? stderr : stdout;

	/* At once: it is a story, told while it happens. */
	fprintf(out, "%s\n", line);
	fflush(out);
}

static int keep_trace(void *arg, const struct shunt_trace *trace, struct shunt_error *err)
{
	struct cli_run *run = arg;

	return shunt_trace_export(trace, run->trace_path, err);
}

/* An empty name is a script's variable that was never set: nothing would be kept, and nothing
 * said. */
static int take_file(const struct cli_run *run, const char *option, const char **path)
{
	const char *text = shunt_value_text(&run->args.options, option);

	*path = *text ? text : NULL;
	if (*text || !cli_given(&run->args, option))
		return 0;
	return cli_error(run->args.json, CLI_USAGE, "%s: the name of the file is empty", option);
}

/* A seed is any of 64 bits, which is more than a count can be. */
static int take_seed(struct cli_run *run)
{
	const char *text = shunt_value_text(&run->args.options, "--seed");
	char *end;

	errno = 0;
	run->request.seed = strtoull(text, &end, 10);
	if (isdigit((unsigned char)*text) && !*end && !errno)
		return 0;
	return cli_error(run->args.json, CLI_USAGE,
		"--seed: '%.60s' is not a valid seed; expected a whole number from 0 to %" PRIu64,
		text, UINT64_MAX);
}

int cli_run_take_params(struct cli_run *run, size_t first)
{
	int rc = take_params(run, first);

	run->request.iterations = 1;
	return rc ? rc : take_seed(run);
}

int cli_run_take(struct cli_run *run)
{
	const struct shunt_values *options = &run->args.options;
	struct shunt_request *request = &run->request;
	int rc = cli_run_take_params(run, 2);

	request->spec = run->args.word[0];
	request->warmup = (unsigned)shunt_value_int(options, "--warmup");
	request->iterations = (unsigned)shunt_value_int(options, "--iters");
	request->timeout_ns = (uint64_t)shunt_value_int(options, "--timeout");
	request->watch_signals = true;
	request->arg = run;
	run->force = cli_is_set(&run->args, "--force");
	return rc ? rc : take_file(run, "--record", &run->record_path);
}

/* The options that `record` does not have. */
static int take_options(struct cli_run *run)
{
	struct shunt_request *request = &run->request;

	request->narrate = cli_is_set(&run->args, "--narrate");
	run->check_determinism = cli_is_set(&run->args, "--check-determinism");
	/* A story is told once: without warm-up, unless one is asked for. */
	if (request->narrate && !cli_given(&run->args, "--warmup"))
		request->warmup = 0;
	if (request->narrate && !cli_given(&run->args, "--iters"))
		request->iterations = 1;
	request->trace_capacity = (uint64_t)shunt_value_int(&run->args.options, "--trace-events");
	request->line = print_line;
	int rc = take_file(run, "--trace", &run->trace_path);

	if (run->trace_path)
		request->keep_trace = keep_trace;
	return rc ? rc : take_probe(run);
}

/* ---- the command ----------------------------------------------------------------------------- */

static int run_command(const struct cli_command *command, int argc, char **argv)
{
	/* Not on the stack: a task that ends the main thread takes the frames of main() with it,
	 * and the watcher still has the record to write. */
	struct cli_run *run = calloc(1, sizeof(*run));
	int rc;

	if (!run)
		return cli_error(false, CLI_RUN_FAILED, "out of memory");
	/* The words as they were typed, the program's name among them. */
	run->argc = argc + 1;
	run->argv = argv - 1;
	rc = cli_args_parse(&run->args, command, argc, argv);
	if (rc == 0)
		rc = cli_run_take_workload(run, "run", "asm yield");
	if (rc == 0)
		rc = cli_run_take(run);
	if (rc == 0)
		rc = take_options(run);
	if (rc == 0)
		rc = cli_run_perform(run);
	cli_run_release(run);
	free(run);
	return rc;
}

static const struct shunt_param options[] = {
	CLI_RUN_OPTIONS,
	CLI_FLAG("--narrate",
		"print what the tasks do, as it happens; in one iteration, without warm-up, "
		"unless asked otherwise"),
	{.name = "--trace",
		.type = SHUNT_PARAM_TEXT,
		.help = "=FILE trace one extra iteration, for Perfetto and `shunt trace check`"},
	{.name = "--trace-events",
		.type = SHUNT_PARAM_COUNT,
		.fallback = "262144",
		.min = 1000,
		.max = 100000000,
		.help = "=N events that the trace holds per worker"},
	CLI_FLAG("--check-determinism",
		"in virtual time: make the run twice, and fail unless the same events happen at "
		"the same times"),
	{.name = "--probe",
		.type = SHUNT_PARAM_TEXT,
		.help = "=PROBE sched_delay: sample the time from ready to running; sched_delay=N: "
			"of one event in N"},
	{.name = NULL},
};

const struct cli_command cli_run = {
	.name = "run",
	.summary = "run one workload on one backend, check its answer, report",
	.usage = "BACKEND[:KEY=VALUE,...] WORKLOAD [KEY=VALUE ...] [options]",
	.text = "Runs the workload on the backend in this process: warm-up iterations, then "
		"measured ones. The answer is checked after each. Prints a report; --record keeps "
		"a record.\n\nExit status: 0 the run is good; 1 a wrong answer; 2 usage error; 3 "
		"failed, timed out or skipped; 4 refused by --strict; 130, 143 interrupted; 141 "
		"the reader of standard output left. The record says what happened, except "
		"after 2 and 4, and where there was no memory to set the run up.",
	.examples =
		"  shunt run asm yield                           the cost of a switch\n"
		"  shunt run asm chunked_sum preset=tutorial --narrate\n"
		"  shunt run ucontext yield tasks=100 switches=1M --record yield.json\n"
		"  shunt run asm:wait=spin,stack.size=128k timers --timeout 30s\n"
		"  shunt run asm ring --trace ring.json          then open it in ui.perfetto.dev\n"
		"\n`shunt describe WORKLOAD` lists parameters, `shunt describe spec` settings.\n",
	.options = options,
	.run = run_command,
};
