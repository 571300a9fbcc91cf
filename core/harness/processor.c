/* SPDX-License-Identifier: MIT */
/*
 * The counters of the processor, of the last warm-up iteration: what is measured does not pay for
 * them (core/measure/perf.h says what that would be).
 */
#include "core/harness/run.h"

#include <stdlib.h>

void shunt_processor_begin(struct shunt_run *run)
{
	if (!run->counting)
		return;
	shunt_processor_drop(&run->now); /* of the part before the one that the workload marks */
	run->now.perf = shunt_perf_start();
}

void shunt_processor_end(struct shunt_run *run)
{
	shunt_perf_stop(run->now.perf, &run->now.counts);
	run->now.perf = NULL;
}

void shunt_processor_drop(struct iteration *now)
{
	shunt_perf_stop(now->perf, NULL);
	free(now->counts.threads);
	now->perf = NULL;
	now->counts = (struct shunt_perf_counts){0};
}

void shunt_processor_keep(struct shunt_run *run)
{
	struct iteration *now = &run->now;
	struct shunt_outcome *outcome = &run->outcome;

	if (!run->counting)
		return;
	outcome->counts = now->counts;
	outcome->counted = (struct shunt_outcome_iteration){.wall_ns = now->end_ns - now->begin_ns,
		.cpu_ns = now->cpu_end_ns - now->cpu_begin_ns,
		.ops = now->ops};
	now->counts = (struct shunt_perf_counts){0};
}

void shunt_processor_absent(struct shunt_run *run)
{
	const char *why = "the run ended before";

	if (run->request->backend)
		why = "not of a recorded program: perf stat counts it";
	else if (!run->request->warmup)
		why = "counted in the last warm-up iteration; add one with --warmup 1";
	pthread_mutex_lock(&run->lock);
	if (!run->over)
		shunt_perf_absent(&run->outcome.counts, why);
	pthread_mutex_unlock(&run->lock);
}
