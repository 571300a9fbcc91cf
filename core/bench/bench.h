/* SPDX-License-Identifier: MIT */
/*
 * The C side of shunt-bench: benchmarks are C functions, and Google Benchmark never sees a task.
 *
 * A benchmark makes as many operations as it is told, on whatever schedulers it opens, and returns
 * on the stack it was called on with the time they took and, where it has one, the time its floor
 * took just before and after: a ratio of two numbers taken together means something on a machine
 * where neither does alone.
 */
#ifndef SHUNT_CORE_BENCH_BENCH_H
#define SHUNT_CORE_BENCH_BENCH_H

#include <stddef.h>
#include <stdint.h>

struct shunt_error; /* core/param.h */

#ifdef __cplusplus
extern "C" {
#endif

struct shunt_bench_result {
	double ns;       /* of all operations */
	double floor_ns; /* of as many operations of the floor; 0: it has none */
};

/* 0, or a negative errno with err: the benchmark is reported as failed. Context: no task. */
typedef int shunt_bench_fn(const void *arg, uint64_t operations, struct shunt_bench_result *result,
	struct shunt_error *err);

/* Provided by the C++ side. name, arg: kept. */
void shunt_bench_add(const char *name, shunt_bench_fn *fn, const void *arg);

/* Runs one and leaves the reason of a failure in why[bytes]: for C++, to which core's headers, where
 * a function and a struct may share a name, are no pleasure. */
int shunt_bench_run(shunt_bench_fn *fn, const void *arg, uint64_t operations,
	struct shunt_bench_result *result, char *why, size_t bytes);

/* Provided by the C side: adds every benchmark of its file. */
void shunt_bench_add_primitives(void);
void shunt_bench_add_workloads(void);

#ifdef __cplusplus
}
#endif

#endif
