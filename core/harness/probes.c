/* SPDX-License-Identifier: MIT */
/*
 * Probes: what looking costs.
 *
 * A headline number comes from a run without them. The sampled scheduling delay is on for a whole
 * run that asked for it, and the cost of one sample is measured on the spot. A trace is made of one
 * iteration more, after the measured ones, on a scheduler of its own, and the same iteration is
 * made once without it on another fresh scheduler: the two times stand beside each other in the
 * outcome.
 */
#include "core/harness/run.h"
#include "core/measure/trace.h"

#include <stdio.h>
#include <string.h>

#define CALIBRATION_SAMPLES 4096
#define TRIAL_EVENTS        16

double shunt_sched_delay_cost_ns(const struct shunt_clock *clock)
{
	struct shunt_hist hist;

	if (shunt_hist_init(&hist) != 0)
		return 0;
	uint64_t begin = shunt_clock_monotonic_ns();

	/* A sample is two readings and one record. */
	for (int i = 0; i < CALIBRATION_SAMPLES; i++) {
		uint64_t ready = shunt_clock_ns(clock);

		shunt_hist_record(&hist, (int64_t)(shunt_clock_ns(clock) - ready));
	}
	uint64_t took = shunt_clock_monotonic_ns() - begin;

	shunt_hist_fini(&hist);
	return (double)took / CALIBRATION_SAMPLES;
}

int shunt_run_try_trace(struct shunt_run *run, struct shunt_error *err)
{
	struct shunt_config config = {.seed = run->request->seed};
	struct shunt_trace *trace;
	int rc = shunt_trace_new(&trace, TRIAL_EVENTS, &run->outcome.clock);

	if (rc)
		return shunt_fail(err, rc, "no memory for the trace");
	config.trace = trace;
	shunt_run_close(run);
	rc = shunt_run_open(run, &config, err);
	if (rc || shunt_run_is_over(run)) {
		shunt_trace_free(trace);
		return rc;
	}
	shunt_run_close(run);
	shunt_trace_free(trace);
	config.trace = NULL;
	return shunt_run_open(run, &config, err);
}

/* One checked iteration on a fresh scheduler. 0: the run is over. */
static uint64_t fresh_iteration(struct shunt_run *run, struct shunt_trace *trace)
{
	struct shunt_config config = {
		.seed = run->request->seed,
		.trace = trace,
	};
	struct shunt_error err = {""};
	uint64_t wall_ns = 0;
	int rc = shunt_run_open(run, &config, &err);

	if (rc)
		shunt_run_end(run, SHUNT_RECORD_FAILED, "%s: %s", run->where, err.text);
	else if (!shunt_run_is_over(run) && shunt_run_iterate(run))
		wall_ns = run->now.end_ns - run->now.begin_ns;
	shunt_run_close(run);
	shunt_series_drop(run);
	return wall_ns;
}

static void hand_over(struct shunt_run *run, const struct shunt_trace *trace, uint64_t plain_ns,
	uint64_t traced_ns)
{
	struct shunt_outcome *outcome = &run->outcome;
	struct shunt_error err = {""};
	double cost_ns = shunt_trace_cost_ns(&outcome->clock);
	int rc = run->request->keep_trace(run->request->arg, trace, &err);

	if (rc) {
		shunt_run_end(run, SHUNT_RECORD_FAILED, "the trace cannot be kept: %s", err.text);
		return;
	}
	pthread_mutex_lock(&run->lock);
	if (!run->over) {
		outcome->traced = true;
		outcome->trace_cost_ns = cost_ns;
		outcome->trace_events = shunt_trace_events(trace);
		outcome->trace_dropped = shunt_trace_dropped(trace);
		outcome->trace_plain_wall_ns = plain_ns;
		outcome->trace_wall_ns = traced_ns;
	}
	pthread_mutex_unlock(&run->lock);
}

void shunt_run_traced_iteration(struct shunt_run *run)
{
	struct shunt_trace *trace;
	int rc;

	shunt_run_close(run);
	run->warming_up = true;
	shunt_run_at(run, "the iteration that the traced one is compared with");
	uint64_t plain_ns = fresh_iteration(run, NULL);

	if (shunt_run_is_over(run))
		return;
	rc = shunt_trace_new(&trace, run->request->trace_capacity, &run->outcome.clock);
	if (rc) {
		shunt_run_end(run, SHUNT_RECORD_FAILED, "no memory for the trace: %s",
			strerror(-rc));
		return;
	}
	shunt_run_at(run, "the traced iteration");
	uint64_t traced_ns = fresh_iteration(run, trace);

	if (!shunt_run_is_over(run))
		hand_over(run, trace, plain_ns, traced_ns);
	shunt_trace_free(trace);
}
