/* SPDX-License-Identifier: MIT */
/*
 * One run: one workload on one scheduler, measured, checked, and told in full whatever became of
 * it.
 *
 * shunt_run_prepare resolves the request and finds what is wrong with it. shunt_run_execute makes
 * `warmup` unmeasured and `iterations` measured iterations in this process and leaves an outcome. A
 * watcher thread sees signals and the timeout, from the start of shunt_run_prepare to the end of
 * shunt_run_execute, so that even a run stuck in a computation ends with an outcome.
 *
 * What the numbers are:
 *   - an iteration is one shunt_run of a root task around the workload's body; its wall and CPU
 *     time begin and end inside the root task: starting and stopping workers is not in them;
 *   - metrics are medians over the measured iterations; the first iteration of all is cold_wall_ns;
 *   - series hold the samples of the measured iterations alone;
 *   - counters are the growth in the last measured iteration, so that they can be compared with
 *     what one iteration should do; those that end in `_peak` or `_live` are levels, not growth;
 *   - the processor's counters are of the last warm-up iteration;
 *   - usage is over all measured iterations, their checks included; of a program, over its life.
 */
#ifndef SHUNT_CORE_HARNESS_H
#define SHUNT_CORE_HARNESS_H

#include "core/backend.h"
#include "core/measure/clock.h"
#include "core/measure/hist.h"
#include "core/measure/interference.h"
#include "core/measure/perf.h"
#include "core/measure/record.h"
#include "core/measure/usage.h"
#include "core/workload.h"

struct shunt_outcome;
struct shunt_trace; /* core/measure/trace.h */

struct shunt_request {
	const char *spec; /* "asm:wait=uring" */
	/* What the spec names, if it is in no registry: a program whose results the workload's
	 * hooks pass on. Its child processes are then what is accounted for. NULL: the registry has
	 * it. */
	const struct shunt_backend *backend;
	const struct shunt_workload *workload;
	const struct shunt_setting *params; /* of the workload */
	size_t param_count;
	uint64_t seed;
	unsigned warmup, iterations; /* iterations: at least 1 */
	uint64_t timeout_ns;         /* since the start of shunt_run_prepare; 0: none */
	uint64_t clock_span_ns;      /* of the clock's calibration; 0: its default, 5 ms */

	bool narrate;               /* in the first measured iteration */
	unsigned sched_delay_every; /* probe: sample one in this many; 0: off */
	/* Takes the trace of one iteration more, made after the others; NULL: none is made. 0 or a
	 * negative errno, with err, which fails the run. */
	int (*keep_trace)(void *arg, const struct shunt_trace *trace, struct shunt_error *err);
	uint64_t trace_capacity; /* events per worker; 0: the trace's default */
	/* SIGINT, SIGTERM, SIGHUP, SIGXCPU and crashes end the run with an outcome; what is ignored
	 * at the start stays ignored. */
	bool watch_signals;

	/* Called first in shunt_run_prepare, when the run is watched already; NULL: nothing is. A
	 * negative errno ends the preparation. */
	int (*look_around)(void *arg);
	/* Prints one line of the workload's story; no newline at its end. */
	void (*line)(void *arg, const char *line);
	/* The run cannot come back (signal, timeout, crash). Called on the watcher's thread, or at
	 * the end of shunt_run_prepare, with an outcome that does not change any more; must end the
	 * process. `signal` is 0 unless one did it. NULL: exit status 3. */
	void (*abandoned)(void *arg, const struct shunt_outcome *outcome, int signal);
	void *arg;
};

struct shunt_outcome_pair {
	char *key, *value;
};

struct shunt_outcome_iteration {
	uint64_t wall_ns, cpu_ns, ops;
};

struct shunt_outcome_metric {
	char name[64], unit[16], better[8];
	double value;     /* median of the measured iterations */
	double low, high; /* their extremes */
};

struct shunt_outcome_check {
	char name[64], expected[32], actual[32];
	bool ok;
};

struct shunt_outcome_counter {
	char name[48];
	uint64_t value;
};

struct shunt_outcome_series {
	char name[48], unit[16];
	struct shunt_hist hist;
};

struct shunt_outcome {
	enum shunt_record_status status;
	char reason[1024]; /* empty if and only if the status is ok */
	bool check_failed; /* the status is failed because the answer was wrong */
	bool incomplete;   /* it ended, stuck, before it was known what is run */

	/* What was run. */
	const struct shunt_backend *backend; /* NULL: this build does not have it */
	char backend_name[64];
	char build_id[SHUNT_BUILD_ID_BYTES]; /* of a request's own backend; empty: not told */
	const struct shunt_workload *workload;
	const struct shunt_values *params;
	bool has_input; /* it read a file, and what it read has this hash */
	uint64_t input_hash;
	uint64_t seed;
	unsigned caps, worker_count;
	struct shunt_outcome_pair *composition;
	size_t composition_count;
	struct shunt_outcome_pair *facts; /* of the backend, and of the harness */
	size_t fact_count;
	struct shunt_footprint footprint;

	/* What was measured. */
	struct shunt_clock clock;
	unsigned warmup_done;
	uint64_t cold_wall_ns; /* 0: no iteration ended */
	struct shunt_outcome_iteration *iterations;
	size_t iteration_count;
	struct shunt_outcome_metric *metrics; /* only when the status is ok */
	size_t metric_count;
	struct shunt_outcome_series *series;
	size_t series_count;
	struct shunt_outcome_check *checks; /* of the last iteration that was checked */
	size_t check_count;
	struct shunt_outcome_counter *counters;
	size_t counter_count;
	struct shunt_perf_counts counts;        /* of the processor, */
	struct shunt_outcome_iteration counted; /* in this iteration */
	struct shunt_usage usage;
	struct shunt_interference before, after;
	int64_t started_ns, finished_ns; /* CLOCK_REALTIME */
	uint64_t elapsed_ns;

	/* Probes; a cost is in nanoseconds per event. */
	unsigned sched_delay_every;
	double sched_delay_cost_ns;
	bool traced;
	double trace_cost_ns;
	uint64_t trace_events, trace_dropped;
	uint64_t trace_wall_ns, trace_plain_wall_ns; /* the same iteration with and without */
};

/*
 * Resolves a request: opens the backend for a moment to learn its composition, and sets the
 * workload's parameters. The request must outlive the run.
 *
 * -ENOENT, -EINVAL, -ERANGE: asked for wrongly; err says what, and nothing is left. Otherwise 0
 * with a run, which may already be over (shunt_run_outcome: skipped, failed).
 * Context: no task. The run is watched from here on, until it is executed or freed.
 */
int shunt_run_prepare(struct shunt_run **run, const struct shunt_request *request,
	struct shunt_error *err);

/* Runs it, once; does nothing when it is over already. Context: no task. */
void shunt_run_execute(struct shunt_run *run);

const struct shunt_outcome *shunt_run_outcome(const struct shunt_run *run);
void shunt_run_free(struct shunt_run *run);

/*
 * For the hooks of a request whose backend is a program: what only that program knows. The build-id
 * is of the form that the record's schema has; the times are of the iteration in progress.
 */
void shunt_run_told_build(struct shunt_run *run, const char *build_id);
void shunt_run_told_setting(struct shunt_run *run, const char *key, const char *value);
void shunt_run_told_times(struct shunt_run *run, uint64_t wall_ns, uint64_t cpu_ns);

/* The words for capabilities: "can block, timed"; returns text. */
const char *shunt_caps_text(unsigned caps, char *text, size_t bytes);

/* Memory that this process can still take: the machine's, or what its control group leaves; 0: not
 * known. *where (may be NULL) says which. */
uint64_t shunt_memory_available(const char **where);

#endif
