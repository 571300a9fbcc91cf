/* SPDX-License-Identifier: MIT */
/* The parts of `shunt run`: what was asked, the record of what came of it, the report. */
#ifndef SHUNT_CORE_CLI_RUN_H
#define SHUNT_CORE_CLI_RUN_H

#include "core/cli/cli.h"

#include "core/harness.h"

struct cli_program; /* core/cli/program.h */
struct shunt_env;
struct shunt_record;

#define CLI_SEED_OPTION                                                                            \
	{                                                                                          \
		.name = "--seed", .type = SHUNT_PARAM_TEXT, .fallback = "1",                       \
		.help = "=N source of all random input: the same seed gives the same work"         \
	}

/* The options of every command that makes a record. */
#define CLI_RUN_OPTIONS                                                                            \
	CLI_SEED_OPTION, CLI_PLUGIN,                                                               \
		{.name = "--warmup",                                                               \
			.type = SHUNT_PARAM_COUNT,                                                 \
			.fallback = "1",                                                           \
			.max = 1000000,                                                            \
			.help = "=N unmeasured iterations first"},                                 \
		{.name = "--iters",                                                                \
			.type = SHUNT_PARAM_COUNT,                                                 \
			.fallback = "5",                                                           \
			.min = 1,                                                                  \
			.max = 1000000,                                                            \
			.help = "=N measured iterations; metrics are their medians"},              \
		{.name = "--record",                                                               \
			.type = SHUNT_PARAM_TEXT,                                                  \
			.help = "=FILE write the record there, and the machine's manifest to "     \
				"env/ beside "                                                     \
				"it; a pipe or a device such as /dev/stdout gets the record "      \
				"alone"},                                                          \
		CLI_FLAG("--force", "replace a record that exists"),                               \
		{.name = "--digits",                                                               \
			.type = SHUNT_PARAM_COUNT,                                                 \
			.fallback = "3",                                                           \
			.min = SHUNT_HIST_DIGITS_LEAST,                                            \
			.max = SHUNT_HIST_DIGITS,                                                  \
			.help = "=N significant digits of latencies in the record, 2 or 3; 2 "     \
				"makes it "                                                        \
				"several times smaller and keeps quantiles and extremes"},         \
		{.name = "--arm",                                                                  \
			.type = SHUNT_PARAM_TEXT,                                                  \
			.help = "=NAME the column of the comparison this run belongs to"},         \
		{.name = "--repetition",                                                           \
			.type = SHUNT_PARAM_COUNT,                                                 \
			.fallback = "0",                                                           \
			.help = "=K which repetition of its point this run is"},                   \
		{.name = "--block",                                                                \
			.type = SHUNT_PARAM_TEXT,                                                  \
			.help = "=ID the block of the plan this run belongs to"},                  \
		CLI_FLAG("--json", "print the record, one JSON document, instead of the report"),  \
		{.name = "--timeout",                                                              \
			.type = SHUNT_PARAM_DURATION,                                              \
			.fallback = "0",                                                           \
			.help = "=TIME end the run after this time, counted from the start; 0: "   \
				"never"},                                                          \
		CLI_FLAG("--strict",                                                               \
			"refuse a machine that is too noisy to measure on (exit status 4)"),       \
		CLI_FLAG("--redact",                                                               \
			"leave host names, user names and paths out of record and manifest")

/* One `shunt run` or `shunt record`, as asked. */
struct cli_run {
	struct cli_args args;
	struct shunt_request request;
	struct shunt_setting *params;
	struct cli_program *program; /* of `record`; else NULL */
	int argc;
	char **argv;
	const char *record_path, *trace_path; /* NULL: none */
	bool force, check_determinism;
	int refused; /* the exit status, once the paths or the machine were found wanting */
	struct shunt_env *env; /* sealed before the run */
	struct cli_finding findings[CLI_FINDINGS_MAX];
	size_t finding_count;
	struct cli_text caveats; /* one a line */
};

/* Finds the workload that the second word names; the command's name and an example are for who
 * gave less. 0, or an exit status and the reason told. */
int cli_run_take_workload(struct cli_run *run, const char *command, const char *example);
/* Takes the spec, the parameters, and CLI_RUN_OPTIONS; the workload is the caller's to find. 0, or
 * an exit status and the reason told. */
int cli_run_take(struct cli_run *run);
/* The parameters among the words from `first` on, and the seed. The same result. */
int cli_run_take_params(struct cli_run *run, size_t first);
/* Makes the run, its record and its report. Returns the exit status. (run_perform.c) */
int cli_run_perform(struct cli_run *run);
/* In virtual time: makes the run again, without a record. Were its events those of `first`? Returns
 * the exit status. (run_again.c) */
int cli_run_again(struct cli_run *run, const struct shunt_outcome *first);
void cli_run_release(struct cli_run *run);

/* Tries whether the record and the trace can be written where they are wanted. 0, or an exit status
 * and the reason told. (run_paths.c) */
int cli_run_check_paths(const struct cli_run *run);

/* What the reader of this outcome must know: into run->caveats. (caveats.c) */
void cli_run_caveats(struct cli_run *run, const struct shunt_outcome *outcome);

/* The record of an outcome, finished. NULL and err when it cannot be made. (run_record.c) */
struct shunt_record *cli_run_record(const struct cli_run *run, const struct shunt_outcome *outcome,
	struct shunt_error *err);

/* What an outcome says of what was run and what was found, its times and metrics not: composition,
 * parameters, facts, counters, checks. */
void cli_record_what_was_run(struct shunt_record *record, const struct shunt_outcome *outcome);

#define CLI_REPORT_INDENT 10
/* What was counted, in all and by worker. (counted.c) */
void cli_run_counted(const struct shunt_outcome *outcome);
/* The backend and its settings. (report_backend.c) */
void cli_run_backend(const struct shunt_outcome *outcome);
/* Times, metrics, latencies, and what they cost. (report_numbers.c) */
void cli_run_numbers(const struct cli_run *run, const struct shunt_outcome *outcome);

/* The report, to standard output. `kept` says where the record is; NULL: not kept. (report.c) */
void cli_run_report(const struct cli_run *run, const struct shunt_outcome *outcome,
	const char *kept);

#endif
