/* SPDX-License-Identifier: MIT */
/*
 * What a benchmark tells of itself for its record (`shunt.run/1`), one file a benchmark.
 *
 * A benchmark calls shunt_bench_tell when it begins, and adds what it was and found; Google
 * Benchmark calls it several times to find how often is enough, and each call begins anew. When
 * its repetitions are over, the C++ side has the record written. Nothing is kept, and nothing is
 * done, unless a folder was given. One thread.
 */
#ifndef SHUNT_CORE_BENCH_RECORD_H
#define SHUNT_CORE_BENCH_RECORD_H

#include "core/backend.h"
#include "core/measure/record.h"

struct shunt_outcome;

/* Begins: `spec` is the arm, what is before its colon the backend; cost: the name of time per
 * operation. Strings are kept. */
void shunt_bench_tell(const char *spec, const char *workload, const char *cost);

/* The composition of an open scheduler, and its counters as they stand. */
void shunt_bench_tell_sched(const struct shunt_sched *sched);

/* What stands for a composition where there is no scheduler. */
void shunt_bench_tell_setting(const char *key, const char *value);

void shunt_bench_tell_check(int64_t expected, int64_t actual);

/* All that a run of the harness says of what was run, and of its last iteration. */
void shunt_bench_tell_outcome(const struct shunt_outcome *outcome);

#endif
