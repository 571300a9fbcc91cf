/* SPDX-License-Identifier: MIT */
/*
 * What the kernel counts for this process: CPU time, context switches, faults, resident memory.
 *
 * Read before and after the measured iterations; the difference is the run's.
 */
#ifndef SHUNT_CORE_MEASURE_USAGE_H
#define SHUNT_CORE_MEASURE_USAGE_H

#include <stdint.h>

struct shunt_usage {
	uint64_t cpu_ns;               /* all threads, to the nanosecond */
	uint64_t user_ns, system_ns;   /* the same divided, less precise */
	uint64_t voluntary_switches;   /* of the kernel's: a thread blocked */
	uint64_t involuntary_switches; /* a thread was preempted */
	uint64_t minor_faults, major_faults;
	uint64_t peak_rss_bytes; /* since the process began */
	uint64_t rss_bytes;      /* now; 0 if it cannot be read */
};

/** Reads it. Context: any thread; a few system calls. */
void shunt_usage_read(struct shunt_usage *now);

/** The same for child processes that have been waited for, and theirs; no size is that of now. */
void shunt_usage_read_children(struct shunt_usage *now);

/** What was used from `before` to `after`; the two sizes are those of `after`. */
struct shunt_usage shunt_usage_since(const struct shunt_usage *before,
	const struct shunt_usage *after);

#endif
