/* SPDX-License-Identifier: MIT */
/*
 * Counters of the processor and of the kernel, for each thread of the process, by perf_event_open.
 *
 * Two groups a thread. The hardware group counts in user mode alone, which the kernel grants to
 * everybody by default; so it means the same on every machine. Its counters run together or not at
 * all, and the times tell for how long. The software group needs no hardware. What cannot be
 * counted is absent with a reason; a group that fails on one thread is absent on all.
 *
 * An open event costs at every context switch of the kernel, most in a virtual machine. So no
 * iteration is measured while events are open (core/harness/processor.c).
 */
#ifndef SHUNT_CORE_MEASURE_PERF_H
#define SHUNT_CORE_MEASURE_PERF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SHUNT_PERF_GROUPS = 2, SHUNT_PERF_EVENTS = 8, SHUNT_PERF_WHY_BYTES = 256 };

/* In counts of groups. */
enum { SHUNT_PERF_HARDWARE, SHUNT_PERF_SOFTWARE };

/* What is counted, by group: "hardware", "software"; by event: "cycles", … */
extern const char *const shunt_perf_group_names[SHUNT_PERF_GROUPS];
extern const char *const shunt_perf_event_names[SHUNT_PERF_EVENTS];

struct shunt_perf_thread {
	char name[16];       /* of the kernel; "main" is the process's first */
	uint64_t enabled_ns; /* the hardware group: how long it was to count */
	uint64_t running_ns; /* and how long it did */
	uint64_t count[SHUNT_PERF_EVENTS];
};

struct shunt_perf_counts {
	struct shunt_perf_thread *threads; /* those that ran; the caller frees it */
	size_t thread_count;
	bool have[SHUNT_PERF_EVENTS];
	/* Why what is not there is not; empty: it is there, or its group is not. */
	char group_why[SHUNT_PERF_GROUPS][SHUNT_PERF_WHY_BYTES];
	char event_why[SHUNT_PERF_EVENTS][SHUNT_PERF_WHY_BYTES];
};

struct shunt_perf;

/**
 * Begins to count on all threads that the process has now, and on those that these will make. NULL
 * when memory is short. Context: any thread or task; some system calls for each thread.
 */
struct shunt_perf *shunt_perf_start(void);

/** Ends counting, fills `counts` (NULL: drops them) and frees `perf`, which may be NULL. */
void shunt_perf_stop(struct shunt_perf *perf, struct shunt_perf_counts *counts);

/** Says of every group that it was not counted, and why. */
void shunt_perf_absent(struct shunt_perf_counts *counts, const char *why);

#endif
