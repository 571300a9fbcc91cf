/* SPDX-License-Identifier: MIT */
/*
 * What a program tells `shunt record`: one JSON object a line, taken into the run in progress.
 *
 * experiments/drivers/README.md is the protocol. Every line is judged when it comes: its form, its
 * place, its names and ranges. So a record never has what its schema refuses, and a program that
 * talks for ever takes no memory for ever.
 */
#ifndef SHUNT_CORE_CLI_TOLD_H
#define SHUNT_CORE_CLI_TOLD_H

#include "core/backend.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TOLD_COUNTERS_MOST 256
#define TOLD_SERIES_MOST   32

struct cli_told_counter {
	char name[48];
	uint64_t value; /* over all iterations, but for levels */
};

struct cli_told_series {
	char name[48], unit[16];
	struct shunt_series *series;
};

struct cli_told {
	struct shunt_run *run;
	unsigned iterations;     /* that there will be */
	const char *cost_metric; /* which the harness computes */
	/* What has come so far. */
	bool has_build, inside;
	unsigned begun;
	unsigned facts,
		results; /* facts and settings of the run; checks and metrics of the iteration */
	struct cli_told_counter counter[TOLD_COUNTERS_MOST];
	unsigned counter_count;
	struct cli_told_series series[TOLD_SERIES_MOST];
	unsigned series_count;
};

enum cli_told_what { TOLD_MORE, TOLD_BEGIN, TOLD_END };

/*
 * Takes one line, without its newline. Returns enum cli_told_what, or a negative errno with err:
 * -ENOTSUP, it says that it cannot do this (err is its reason); -ECANCELED, it says that it failed
 * (likewise); -EINVAL, a line that is not of the protocol, with the member and the value; -ENOMEM.
 * Context: setup or body of the run's workload.
 */
int cli_told_line(struct cli_told *told, const char *line, size_t length, struct shunt_error *err);

#endif
