/* SPDX-License-Identifier: MIT */
/* The parts of `shunt explore`: the search (explore.c), and one run of it (explore_run.c). */
#ifndef SHUNT_CORE_CLI_EXPLORE_H
#define SHUNT_CORE_CLI_EXPLORE_H

#include "core/cli/run.h"

#include <signal.h>
#include <time.h>

/* What came of one schedule: written by the child. */
struct verdict {
	bool told, in_virtual_time;
	enum shunt_record_status status;
	char reason[sizeof(((struct shunt_outcome *)NULL)->reason)];
	unsigned workers;
	uint64_t tasks, picks;
};

struct search {
	struct cli_run run; /* what was asked */
	const char *policy, *strategy;
	uint64_t first, runs, steps, tasks;
	unsigned depth;
	bool bounded;            /* pct's bound is of runs in which one task runs at a time */
	struct verdict *verdict; /* of the last run */
	time_t told_s;
};

/* One schedule: a line of `shunt run`. */
struct schedule {
	uint64_t seed;
	unsigned depth;
};

/* The signal that ended the search; 0: none has. */
extern volatile sig_atomic_t cli_explore_interrupted;

/* Adds the spec of a schedule. */
void cli_explore_spec(const struct search *search, struct schedule schedule, struct cli_text *text);

/* Runs it in a child process; the verdict is search->verdict. 0, or an exit status and the reason
 * told. */
int cli_explore_try(struct search *search, struct schedule schedule);

#endif
