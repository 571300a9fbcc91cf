/* SPDX-License-Identifier: MIT */
/*
 * A run in progress, shared by the files of core/harness/.
 *
 * Who may touch what: once the run is prepared, the outcome changes only under `lock`, on the
 * thread in shunt_run_execute, so that the watcher may read it at any time. `now` belongs to the
 * iteration in progress and is written by tasks, under `now_lock` where they may be many.
 */
#ifndef SHUNT_CORE_HARNESS_RUN_H
#define SHUNT_CORE_HARNESS_RUN_H

#include "core/cpus.h"
#include "core/harness.h"
#include "core/spec.h"

#include <pthread.h>

struct shunt_trace;
struct shunt_watch;
struct shunt_outside;

struct metric_value {
	char name[64], unit[16], better[8];
	double value;
};

/* All values of one metric, one per measured iteration that gave one. */
struct metric_history {
	char name[64], unit[16], better[8];
	double *value;
	size_t count;
};

/* The iteration in progress. */
struct iteration {
	uint64_t begin_ns, end_ns, cpu_begin_ns, cpu_end_ns;
	bool ended; /* shunt_measure_end was called: by the workload, or else by the root task */
	uint64_t ops;
	int body_rc;
	struct metric_value *metrics;
	size_t metric_count;
	struct shunt_outcome_check *checks;
	size_t check_count;
	struct shunt_outcome_counter *before, *after; /* the backend's counters around it */
	size_t before_count, after_count;
	struct shunt_perf *perf; /* between begin and end of an iteration that is counted */
	struct shunt_perf_counts counts;
	bool out_of_memory;
	char why[512]; /* shunt_run_explain */
};

/* How a run ends that a signal or the timeout ended before it was prepared. */
struct shunt_early_end {
	enum shunt_record_status status;
	int signal;
	char what[96]; /* empty: none did */
};

struct shunt_run {
	const struct shunt_request *request;
	const struct shunt_workload *workload;
	struct shunt_spec spec;
	struct shunt_values values;
	struct shunt_sched *sched;
	void *state;
	bool resolving; /* imply is allowed */
	bool set_up;    /* teardown is due */
	bool warming_up, narrating;
	bool counting;                /* the processor's counters, in the iteration in progress */
	bool over;                    /* [guarded by lock] the outcome is final */
	bool prepared;                /* [guarded by lock] the outcome says what is run */
	struct shunt_early_end early; /* [guarded by lock] */
	struct shunt_clock_point started;
	struct shunt_usage usage_before;

	pthread_mutex_t now_lock;
	struct iteration now;
	struct shunt_series *series;
	struct metric_history *history;
	size_t history_count;
	struct shunt_hist sched_delay;
	struct shunt_hist quanta; /* without buckets where there are no quanta (SHUNT_QUANTA) */

	struct shunt_watch *watch;
	struct shunt_outside *outside; /* NULL: none runs */
	bool outside_wanted;           /* there will be one */
	int outside_cpu;               /* set apart for it; -1: none is */
	struct shunt_cpus cpus_before; /* of the process, until one was; empty: unknown */
	pthread_mutex_t lock;          /* guards outcome and where */
	char where[64];                /* "warm-up iteration 1 of 1" */
	struct shunt_outcome outcome;
};

/* Makes room for one item more; returns it zeroed, or NULL. Arrays grow by doubling. */
void *shunt_run_grow(void *array, size_t *count, size_t item_bytes);

/* Ends the run: sets status and reason, unless it is over already. Context: the executing
 * thread. */
void shunt_run_end(struct shunt_run *run, enum shunt_record_status status, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* Has it ended? Does not return where the watch ends the process: the outcome is the watch's then.
 * Context: the executing thread. */
bool shunt_run_is_over(struct shunt_run *run);
/* Says what the run is doing, for whoever interrupts it. */
void shunt_run_at(struct shunt_run *run, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* The time of day. */
int64_t shunt_run_realtime_ns(void);
/* Sets `key` of a list of the outcome's. Short of memory the pair is left out: the record's writer
 * notices a missing composition. Context: the executing thread, with the lock held once the run is
 * watched. */
void shunt_run_add_pair(struct shunt_outcome_pair **list, size_t *count, const char *key,
	const char *value);

/* Is a failure to open the user's mistake? */
bool shunt_run_is_usage_error(int rc);
/* Ends the run for a failure to open that is not. */
void shunt_run_cannot_open(struct shunt_run *run, int rc, const struct shunt_error *err);
/* Opens the scheduler of the spec into run->sched; classes failures as usage (returned) or as an
 * ended run (0). */
int shunt_run_open(struct shunt_run *run, const struct shunt_config *base, struct shunt_error *err);
void shunt_run_close(struct shunt_run *run);

/* Ends the run as skipped when the workload's needs or footprint are beyond backend or machine. */
void shunt_run_check_needs(struct shunt_run *run);
void shunt_run_check_limits(struct shunt_run *run);
/* shunt_memory_available of the machine whose files are below `root`. */
uint64_t shunt_memory_left(const char *root, const char **where);

/* One iteration with its check, on run->sched, into run->now. False: the run is over. */
bool shunt_run_iterate(struct shunt_run *run);
/* Puts a finished iteration, the index-th of all, where it belongs; false: the run is over, perhaps
 * out of memory for it. */
bool shunt_run_keep(struct shunt_run *run, unsigned index);
/* Frees what an iteration holds and makes it ready for the next one. */
void shunt_iteration_reset(struct iteration *now);

/* Series: forget, or keep, what the shards hold. */
void shunt_series_drop(struct shunt_run *run);
int shunt_series_keep(struct shunt_run *run);
void shunt_series_free(struct shunt_run *run);

/* The processor's counters, in the iteration whose run->counting is set: begin and end around the
 * timed part, keep (under run->lock) when it has ended well. `absent` says beforehand why there
 * will be none. */
void shunt_processor_absent(struct shunt_run *run);
void shunt_processor_begin(struct shunt_run *run);
void shunt_processor_end(struct shunt_run *run);
void shunt_processor_keep(struct shunt_run *run);
void shunt_processor_drop(struct iteration *now);

/* Statistics over what was kept. */
int shunt_history_add(struct shunt_run *run, const struct metric_value *value);
int shunt_history_finish(struct shunt_run *run);
void shunt_history_free(struct shunt_run *run);

/* Outside (outside.c): sets a CPU apart if one is wanted and there is one to spare, whereupon the
 * scheduler must be opened anew; and gives it back. Context: the thread that prepares and
 * executes. */
bool shunt_outside_set_apart(struct shunt_run *run);
void shunt_outside_give_back(struct shunt_run *run);

/* Probes. */
double shunt_sched_delay_cost_ns(const struct shunt_clock *clock);
/* Ends the run when its backend keeps no trace: known before anything is measured. */
int shunt_run_try_trace(struct shunt_run *run, struct shunt_error *err);
void shunt_run_traced_iteration(struct shunt_run *run);

/* The watcher: from start to stop, a signal or the deadline ends the run. 0, or a negative errno,
 * and err names the call that was refused. */
int shunt_watch_start(struct shunt_run *run, struct shunt_error *err);
/* The run is prepared. Ends the process where a signal or the deadline has ended the run
 * already. */
void shunt_watch_prepared(struct shunt_run *run);
void shunt_watch_stop(struct shunt_run *run);

/* Tells `callback`, in a signal handler, of a signal that is about to kill the process. */
void shunt_crash_watch(void (*callback)(const char *message));
void shunt_crash_unwatch(void);

#endif
