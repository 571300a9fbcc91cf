/* SPDX-License-Identifier: MIT */
/*
 * A program as a backend and its workload in one: what `shunt record` hands to the harness.
 *
 * The harness then does for it all that it does for a run of its own: checks, medians, series,
 * timeout, signals, record. The program is started in setup, asked by one line on its standard
 * input, and read (told.h) in body, once for each iteration.
 */
#ifndef SHUNT_CORE_CLI_PROGRAM_H
#define SHUNT_CORE_CLI_PROGRAM_H

#include "core/cli/child.h"
#include "core/cli/told.h"

#define PROGRAM_SETTINGS_MOST 64

struct cli_program {
	/* Set before the run. */
	struct shunt_backend backend;
	struct shunt_workload workload;
	const char *const *command; /* words, and NULL */
	unsigned iterations;
	/* The run's own. */
	struct shunt_sched sched;
	struct shunt_setting setting[PROGRAM_SETTINGS_MOST];
	size_t setting_count;
	struct cli_child child;
	struct cli_told told;
};

/*
 * Fills backend and workload. `workload` is what it is recorded as, whose parameters and rules
 * hold. The run's state (shunt_run_set_state) must be the program before the run is executed.
 */
void cli_program_init(struct cli_program *program, const char *backend,
	const struct shunt_workload *workload, const char *const *command, unsigned iterations);

#endif
