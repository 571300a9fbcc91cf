/* SPDX-License-Identifier: MIT */
/*
 * The record of one run: `shunt.run/1`, as core/measure/record.schema.json has it.
 *
 * A record is built while the run goes on and written once, whatever became of the run: one that
 * failed, timed out, was skipped or interrupted leaves a record too, with the reason and without
 * any metric. Setters keep the first thing that goes wrong and shunt_record_write reports it, so
 * that the caller checks once.
 *
 *   run_id = first 16 hex digits of SHA-256 of the compact JSON, keys sorted, of
 *            {arm, block, identity, machine_class, repetition}
 *
 * Not thread-safe: who interrupts a run from another thread builds a record of its own.
 */
#ifndef SHUNT_CORE_MEASURE_RECORD_H
#define SHUNT_CORE_MEASURE_RECORD_H

#include "core/measure/environment.h"
#include "core/measure/perf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct shunt_clock;
struct shunt_hist;
struct shunt_interference;
struct shunt_record;
struct shunt_usage;

#define SHUNT_RUN_ID_BYTES 17 /* 16 hex digits */

enum shunt_record_status {
	SHUNT_RECORD_OK,
	SHUNT_RECORD_FAILED, /* a check failed, or the backend did */
	SHUNT_RECORD_TIMEOUT,
	SHUNT_RECORD_SKIPPED, /* this machine cannot run it, or not so that it can be believed */
	SHUNT_RECORD_INTERRUPTED, /* SIGINT or SIGTERM */
};

/* What was run, and its place in a plan. Strings are copied. */
struct shunt_record_identity {
	const char *driver; /* NULL: "shunt" */
	const char *backend, *workload;
	uint64_t seed;
	const char *build_id; /* NULL: of the running executable */
	const char *arm;      /* NULL: the backend's name */
	const char *block;    /* NULL: "", a run outside any plan */
	uint64_t repetition;
};

/** Has a name the form that records ask of settings, metrics, series, counters and facts? */
bool shunt_record_is_name(const char *name);

/** Begins a record, with status failed and the reason "the run did not end". 0 or -ENOMEM. */
int shunt_record_new(struct shunt_record **record, const struct shunt_record_identity *identity);
void shunt_record_free(struct shunt_record *record);

/*
 * The setters. A name has the form [a-z][a-z0-9_.-]*; the same name again replaces. Those that
 * take a void * are callbacks of the contracts (backend.h, slots.h), with the record as sink.
 */

/** One resolved setting of the composition or one parameter of the workload, in base units. */
void shunt_record_composition(void *record, const char *key, const char *value);
void shunt_record_param(void *record, const char *key, const char *value);

/** The hash of what the workload read from a file: a part of the identity. */
void shunt_record_input(struct shunt_record *record, uint64_t hash);

/** A shunt_counter_fn. */
void shunt_record_counter(void *record, const char *name, uint64_t value);

/** A shunt_fact_fn: what the run found out about itself. The source is not kept. */
void shunt_record_fact(void *record, const char *name, const char *value, const char *source);

/**
 * A result. A value that is not finite is left out, and a caveat says so.
 * @unit: "ns", "bytes", "1/s", "1", "ns/op"; @better: "lower", "higher" or "none".
 */
void shunt_record_metric(struct shunt_record *record, const char *name, double value,
	const char *unit, const char *better);
/** The same for an exact integer. */
void shunt_record_metric_int(struct shunt_record *record, const char *name, uint64_t value,
	const char *unit, const char *better);

/** One measured iteration, in order. */
void shunt_record_iteration(struct shunt_record *record, uint64_t wall_ns, uint64_t cpu_ns,
	uint64_t ops);
void shunt_record_cold(struct shunt_record *record, uint64_t wall_ns);
void shunt_record_warmup(struct shunt_record *record, unsigned count);

/**
 * A histogram, with the quantiles that have enough samples behind them.
 * @digits: 2 or 3, the significant digits that its buckets are kept to. All else (quantiles,
 * extremes, sum) is the same for both.
 */
void shunt_record_series(struct shunt_record *record, const char *name, const char *unit,
	const struct shunt_hist *hist, unsigned digits);

void shunt_record_check(struct shunt_record *record, const char *name, const char *expected,
	const char *actual, bool ok);
void shunt_record_check_int(struct shunt_record *record, const char *name, int64_t expected,
	int64_t actual);

void shunt_record_usage(struct shunt_record *record, const struct shunt_usage *used);
/** The processor's counters, and the iteration in which they were counted. */
void shunt_record_processor(struct shunt_record *record, const struct shunt_perf_counts *counts,
	uint64_t wall_ns, uint64_t ops);
void shunt_record_clock(struct shunt_record *record, const struct shunt_clock *clock);
/** A probe that was on: what one event cost, how many, one in how many (0: all), how many lost. */
void shunt_record_probe(struct shunt_record *record, const char *name, double cost_ns,
	uint64_t events, uint64_t every, uint64_t dropped);
void shunt_record_caveat(struct shunt_record *record, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
void shunt_record_argv(struct shunt_record *record, int argc, char *const *argv);
/** Instants are nanoseconds of CLOCK_REALTIME, the duration of CLOCK_MONOTONIC. */
void shunt_record_times(struct shunt_record *record, int64_t started_ns, int64_t finished_ns,
	uint64_t elapsed_ns);
void shunt_record_interference(struct shunt_record *record, const struct shunt_interference *before,
	const struct shunt_interference *after);

/** What became of the run. The reason is required unless the status is ok, and then ignored. */
void shunt_record_status(struct shunt_record *record, enum shunt_record_status status,
	const char *format, ...) __attribute__((format(printf, 3, 4)));
/** "ok", "failed", "timeout", "skipped", "interrupted". */
const char *shunt_record_status_name(enum shunt_record_status status);

/**
 * Completes the record against a sealed manifest: machine class, env_id, run_id; drops the metrics
 * of a run that is not ok, and redacts it if the manifest is. Once only; setters do nothing after.
 *
 * Returns 0; -ENOMEM or -EINVAL with the first thing that a setter could not take; -EINVAL for a
 * run said to be ok that has no wall_ns, no iteration, no check, or a failed one. A record that is
 * refused may be given another status, or more, and completed again.
 */
int shunt_record_finish(struct shunt_record *record, const struct shunt_env *env,
	struct shunt_error *err);

/** Of a finished record. */
const char *shunt_record_run_id(const struct shunt_record *record);

/** The document; owned by the record. */
struct json_t *shunt_record_json(const struct shunt_record *record);

/**
 * One line of JSON with its newline, which the caller frees; NULL when memory is short. The last
 * member is sha256, of all bytes before its comma.
 */
char *shunt_record_text(const struct shunt_record *record);

/**
 * Writes a finished record to path and its manifest to env/ beside it, the manifest first. Each
 * appears whole or not at all. A path that is a device or a pipe gets the record alone.
 *
 * @replace: an existing record is overwritten; else it is -EEXIST.
 * Returns 0 or a negative errno, with path, cause and remedy in err. May be called again, for
 * another path.
 */
int shunt_record_write(const struct shunt_record *record, const struct shunt_env *env,
	const char *path, bool replace, struct shunt_error *err);

#endif
