/* SPDX-License-Identifier: MIT */
/* The parts of `shunt run`: what was asked, the record of what came of it, the report. */
#ifndef SHUNT_CORE_CLI_RUN_H
#define SHUNT_CORE_CLI_RUN_H

#include "core/cli/cli.h"

#include "core/harness.h"

struct shunt_env;
struct shunt_record;

/* One `shunt run`, as asked. */
struct cli_run {
	struct cli_args args;
	struct shunt_request request;
	struct shunt_setting *params;
	int argc;
	char **argv;
	const char *record_path, *trace_path; /* NULL: none */
	bool force;
	int refused; /* the exit status, once the paths or the machine were found wanting */
	struct shunt_env *env; /* sealed before the run */
	struct cli_finding findings[CLI_FINDINGS_MAX];
	size_t finding_count;
	struct cli_text caveats; /* one a line */
};

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

/* The lines of the report that say what was counted, in all and by worker. (counted.c) */
void cli_run_counted(const struct shunt_outcome *outcome, int indent);

/* The report, to standard output. `kept` says where the record is; NULL: not kept. (report.c) */
void cli_run_report(const struct cli_run *run, const struct shunt_outcome *outcome,
	const char *kept);

#endif
