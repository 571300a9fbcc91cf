/* SPDX-License-Identifier: MIT */
/*
 * What a workload implements: a program against the task API (sched.h) with parameters, a seed and
 * an exact check of its answer. One file in workloads/, one CMake line.
 *
 * A run calls setup once, then for each iteration (first the warm-up ones) body inside the root
 * task and verify after it, then teardown. The clock runs while body does, or between
 * shunt_measure_begin and shunt_measure_end if body calls them.
 */
#ifndef SHUNT_CORE_WORKLOAD_H
#define SHUNT_CORE_WORKLOAD_H

#include "core/param.h"
#include "core/sched.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* What a workload may need of a backend; matched against the resolved composition. */
enum shunt_cap {
	SHUNT_CAN_BLOCK = 1 << 0,     /* park, join of an unfinished task, sync objects; without it
					   yield returns at once */
	SHUNT_TIMED = 1 << 1,         /* sleeps and deadlines */
	SHUNT_EXTERNAL_WAKE = 1 << 2, /* wake and spawn from any thread */
	SHUNT_DIRECT_TRANSFER = 1 << 3, /* transfer is one swap */
	SHUNT_PARALLEL = 1 << 4,        /* more than one task may run at a time */
	SHUNT_MIGRATES = 1 << 5,        /* a task may go on on another thread */
	SHUNT_DETERMINISTIC = 1 << 6,   /* same seed, same schedule (without timers) */
	SHUNT_VIRTUAL_TIME = 1 << 7,
	SHUNT_DEADLOCK = 1 << 8, /* notices and reports a deadlock */
	SHUNT_PINS = 1 << 9,     /* shunt_attr.worker holds: a task stays where it was put */
	SHUNT_PARTS = 1 << 10,   /* its switch can be measured part by part (core/parts.h) */
	SHUNT_KERNEL_TASKS =
		1 << 11,      /* each task is a kernel thread, and the kernel may take the processor
					   from it for another one of the run */
	SHUNT_FIFO = 1 << 12, /* tasks run in the order in which they became ready, each until it
			       * gives way: in one queue, or with SHUNT_PINS in one a worker */
	SHUNT_STEPS = 1 << 13,     /* step tasks, which have no stack (core/step.h) */
	SHUNT_CAN_IO = 1 << 14,    /* tasks read and write descriptors (core/io.h) */
	SHUNT_PREEMPTS = 1 << 15,  /* takes the processor from SHUNT_PREEMPTIBLE code */
	SHUNT_AT_EDGES = 1 << 16,  /* takes it anywhere in a workload's second text */
	SHUNT_QUANTA = 1 << 17,    /* a quantum bounds how long a task runs at a time */
	SHUNT_CAN_FILES = 1 << 18, /* of descriptors, those of files (core/io.h) */
};

struct shunt_run;  /* one run in progress: parameters, seed, and where results go */
struct shunt_hist; /* core/measure/hist.h */

/* What a run will need at its peak, so that one beyond the machine is skipped with a reason. */
struct shunt_footprint {
	uint64_t tasks;       /* alive at once */
	bool stackless;       /* nearly all of them are step tasks */
	uint64_t bytes;       /* of the workload's own memory, stacks and descriptors not counted */
	uint64_t descriptors; /* files and sockets, open at once */
};

struct shunt_workload {
	const char *name;
	const char *summary;     /* one line */
	const char *description; /* a paragraph for `describe`: what it is, what it tells */
	const char *operation;   /* what one operation is: "one switch", "one chunk summed" */
	const char *cost_metric; /* name of time per operation: "ns_per_switch" */
	unsigned needs;          /* enum shunt_cap bits */
	const struct shunt_param *params;
	/* Settings for a run of some milliseconds on any backend, for tests: "tasks=4 sleeps=2".
	 * Several such runs are divided by `|`; one that begins with `~` needs more than `needs`
	 * says, and every backend with many workers that pins tasks has it; one with form=step
	 * needs SHUNT_STEPS. */
	const char *small;
	/* Optional: the same for shunt-bench, which else makes the first run of `small`. A metric
	 * "floor_" and the name of the cost metric is what it takes for the floor. */
	const char *bench;

	/* Optional: checks parameters against each other and lets one imply others. -EINVAL;
	 * -ENOTSUP: these parameters need more than the backend can (err says what), a run to
	 * skip. */
	int (*resolve)(struct shunt_run *run, struct shunt_error *err);
	/* Required. May read parameters only. */
	void (*footprint)(const struct shunt_run *run, struct shunt_footprint *footprint);
	/* Optional. Allocates, reads input, makes the data from the seed; outside a task. -ENOTSUP:
	 * a run to skip. */
	int (*setup)(struct shunt_run *run, struct shunt_error *err);
	/* Required. One iteration, called in the root task. Non-zero fails the run. */
	int (*body)(struct shunt_run *run);
	/* Required. Calls shunt_check* for each fact about the iteration's answer; outside a
	 * task. */
	void (*verify)(struct shunt_run *run);
	/* Optional. May the numbers be believed? Called once, when every iteration was right,
	 * outside a task; asks shunt_run_median. Non-zero, with err: no. The run is then skipped,
	 * its reason "invalid: " and err: it keeps iterations, series and checks, and has no
	 * metric. */
	int (*judge)(const struct shunt_run *run, struct shunt_error *err);
	/* Optional. Prints the arrival table that setup made, one request a line, for programs in
	 * other languages (`shunt arrivals`). */
	void (*print_arrivals)(const struct shunt_run *run, FILE *out);
	/* Optional. Frees what setup made; called also when setup failed half-way. */
	void (*teardown)(struct shunt_run *run);
};

/* ---- what the hooks call; Context: any unless it says otherwise ------------------------------ */

const struct shunt_values *shunt_run_values(const struct shunt_run *run);
int64_t shunt_run_int(const struct shunt_run *run, const char *param);
const char *shunt_run_text(const struct shunt_run *run, const char *param);
bool shunt_run_given(const struct shunt_run *run, const char *param); /* set by the user? */
/* Sets a parameter that the user left open (resolve only): a preset implying others. */
int shunt_run_imply(struct shunt_run *run, const char *param, const char *text,
	struct shunt_error *err);
uint64_t shunt_run_seed(const struct shunt_run *run);
unsigned shunt_run_caps(const struct shunt_run *run); /* of the backend it runs on */
bool shunt_run_warming_up(const struct shunt_run *run);
/* The workload's own state, set in setup. */
void shunt_run_set_state(struct shunt_run *run, void *state);
void *shunt_run_state(const struct shunt_run *run);

/* Narrows the timed region to a part of body. Context: task; once an iteration. */
void shunt_measure_begin(struct shunt_run *run);
void shunt_measure_end(struct shunt_run *run);

/* How many operations this iteration made: required of every body or verify. */
void shunt_operations(struct shunt_run *run, uint64_t count);

/* An extra result of this iteration; unit "ns", "bytes", "1/s", "1"; better "lower", "higher" or
 * "none". The record's value is the median over iterations. */
void shunt_metric(struct shunt_run *run, const char *name, double value, const char *unit,
	const char *better);

/* A latency series in ns for this run, made at the first call; warm-up samples are dropped by the
 * harness. NULL: out of memory. Per worker: record into the caller's own (worker_index) copy;
 * they are merged. Context: setup makes them, tasks record through shunt_series_record. */
struct shunt_series;
struct shunt_series *shunt_series(struct shunt_run *run, const char *name);
/* The same for another quantity than nanoseconds: unit "1/1000" is a ratio in thousandths. */
struct shunt_series *shunt_series_in(struct shunt_run *run, const char *name, const char *unit);
void shunt_series_record(struct shunt_series *series, int64_t value_ns); /* Context: task. */

/* An exact check; a run with a failed one is a failed run. */
void shunt_check_int(struct shunt_run *run, const char *name, int64_t expected, int64_t actual);
void shunt_check_true(struct shunt_run *run, const char *name, bool holds);

/* By how much the backend's counter `name` grew in this iteration. -ENOENT: it has none of that
 * name. Context: verify. */
int shunt_run_counter(const struct shunt_run *run, const char *name, uint64_t *growth);

/* The median of a metric over the measured iterations; NAN: none gave it. Context: judge. */
double shunt_run_median(const struct shunt_run *run, const char *metric);

/* A fact for the record, beside those of the backend; the last value of a name stays. Context: any
 * but a task of a parallel backend. */
void shunt_run_fact(struct shunt_run *run, const char *name, const char *value);

/* The hash of what was read from a file. Two runs with the same parameters had the same input if it
 * is the same, and it belongs to their identity. Context: setup. */
void shunt_run_input(struct shunt_run *run, uint64_t hash);

/* A line of the workload's own story, printed only under --narrate (stdout), in order.
 * Context: any; takes a lock, does not switch. */
void shunt_narrate(struct shunt_run *run, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
bool shunt_narrating(const struct shunt_run *run);

/* ---- a source of work outside the scheduler (core/harness/outside.c) ------------------------- */

/* There will be such a thread: the last CPU is set apart for it, where the scheduler does with the
 * others (the fact outside.apart). Context: resolve. */
void shunt_outside_wanted(struct shunt_run *run);

/*
 * Starts one kernel thread that runs fn(arg) beside the scheduler, as clients do: bound to the last
 * CPU that the process may use (the fact outside.cpu), and announced to the scheduler, which takes
 * idleness for no deadlock until it is joined. Tests shunt_run_caps for SHUNT_EXTERNAL_WAKE first.
 * Beside real-time workers its priority is one higher, or one that spins would keep it from its
 * CPU. 0; -ENOTSUP: the backend takes nothing from outside; -EBUSY: there is one already; -EDEADLK:
 * no priority is higher than the workers', who share its CPU; -EAGAIN …: no thread to be had.
 * Context: body; once an iteration.
 */
int shunt_outside_start(struct shunt_run *run, void (*fn)(struct shunt_run *run, void *arg),
	void *arg);

/* As shunt_spawn, for that thread. Context: fn of shunt_outside_start. */
int shunt_outside_spawn(struct shunt_run *run, struct shunt_handle *handle, shunt_task_fn *fn,
	void *arg, const struct shunt_attr *attr);

/* Waits for a time without the lateness of a sleep: computes through the last part of the wait,
 * unless the process has one CPU only. Context: fn of shunt_outside_start. */
void shunt_outside_wait_until(int64_t deadline_ns);

/* Waits until fn has returned, which must be near; returns the processor time that it used, 0 if
 * none was started. Context: body; blocks the worker. */
uint64_t shunt_outside_join(struct shunt_run *run);

/* Says why setup or body failed. */
void shunt_run_explain(struct shunt_run *run, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

#endif
