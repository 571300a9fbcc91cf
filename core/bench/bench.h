/* SPDX-License-Identifier: MIT */
/*
 * The C side of shunt-bench: benchmarks are C functions, and Google Benchmark never sees a task.
 *
 * A benchmark makes at least as many operations as it is told, on whatever schedulers it opens, and
 * returns on the stack it was called on with the time they took and, where it has one, the time its
 * floor took just before and after: a ratio of two numbers taken together means something on a
 * machine where neither does alone.
 */
#ifndef SHUNT_CORE_BENCH_BENCH_H
#define SHUNT_CORE_BENCH_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct shunt_error; /* core/param.h */

#ifdef __cplusplus
extern "C" {
#endif

struct shunt_bench_result {
	uint64_t made;          /* operations that were made, and counted */
	double wall_ns, cpu_ns; /* of all of them */
	double ns;              /* of as many as were asked for */
	double floor_ns;        /* of as many operations of the floor; 0: it has none */
};

/* 0, or a negative errno with err: the benchmark is reported as failed. Context: no task. */
typedef int shunt_bench_fn(const void *arg, uint64_t operations, struct shunt_bench_result *result,
	struct shunt_error *err);

/* First in main: cli_begin (core/cli/cli.h). */
void shunt_bench_begin(void);

/* Provided by the C++ side. name, arg: kept. */
void shunt_bench_add(const char *name, shunt_bench_fn *fn, const void *arg);

/* Runs one and leaves the reason of a failure in why[bytes]: for C++, to which core's headers,
 * where a function and a struct may share a name, are no pleasure. */
int shunt_bench_run(shunt_bench_fn *fn, const void *arg, uint64_t operations,
	struct shunt_bench_result *result, char *why, size_t bytes);

/* Provided by the C side: adds every benchmark of its file. */
void shunt_bench_add_primitives(void);
void shunt_bench_add_workloads(void);
void shunt_bench_add_preempt(void);

/* Records (record.c): one file a benchmark in `folder`, which is made if need be. The arguments are
 * kept. 0, or a negative errno with the reason in why[bytes]. */
int shunt_bench_record_into(const char *folder, bool redacted, int argc, char **argv, char *why,
	size_t bytes);
/* Writes the record of the benchmark that ran last: its repetitions, or why it failed. */
int shunt_bench_record(const char *name, const struct shunt_bench_result *results, size_t count,
	const char *failure, char *why, size_t bytes);
void shunt_bench_record_end(void);

#ifdef __cplusplus
}
#endif

#endif
