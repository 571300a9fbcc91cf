/* SPDX-License-Identifier: MIT */
/*
 * A chunked sum in progress, shared by chunked_sum.c (the tasks, an iteration, its answer) and
 * chunked_sum_setup.c (from parameters to slices).
 */
#ifndef SHUNT_WORKLOADS_CHUNKED_SUM_H
#define SHUNT_WORKLOADS_CHUNKED_SUM_H

#include "workloads/crowd.h"
#include "workloads/numbers.h"
#include "workloads/sum_kernel.h"

struct slice {
	struct sum *sum;
	const int64_t *number;
	size_t count;
	uint64_t rounds;
	uint64_t sample_in; /* rounds until the first sample */
	char name[2];       /* "A", "B", …; empty beyond Z */
	/* Results of the iteration, written by its task. */
	uint64_t total, yields, early;
	int rc;
	int64_t before_ns; /* form=step: a recorded yield, or when the sleep is due */
};

/* form=step: what is alive over a step. A round touches nothing else of its task: one cache
 * line. */
struct frame {
	_Alignas(64) struct shunt_step step;
	struct sum *sum;
	const int64_t *at;
	size_t left;
	uint64_t total, rounds_left, sample_in;
};
_Static_assert(sizeof(struct frame) == 64, "one cache line");

/* One run. */
struct sum {
	struct shunt_run *run;
	struct shunt_numbers numbers;
	uint64_t task_count, chunk, rounds, sample;
	uint64_t walk, walked; /* in how many slices before each iteration; what they came to */
	int64_t walk_ns;       /* how long that took */
	int64_t pause_ns;
	shunt_sum_fn *kernel;
	struct slice *slice;
	struct frame *frame; /* NULL: tasks with stacks */
	uint64_t *expected;  /* sum of each slice, modulo 2^64 */
	struct crowd crowd;
	struct shunt_series *resume_delay, *completion;
	int64_t start_ns, elapsed_ns;
	bool narrating;
};

/* ---- chunked_sum_setup.c --------------------------------------------------------------------- */

extern const struct shunt_param chunked_sum_params[];

/* The hooks of struct shunt_workload. */
int chunked_sum_resolve(struct shunt_run *run, struct shunt_error *err);
void chunked_sum_footprint(const struct shunt_run *run, struct shunt_footprint *footprint);
int chunked_sum_setup(struct shunt_run *run, struct shunt_error *err);
void chunked_sum_teardown(struct shunt_run *run);

#endif
