/* SPDX-License-Identifier: MIT */
/*
 * What else the machine was doing: read before and after a run, for the record.
 *
 * It does not judge; who compares runs may leave out the ones that were disturbed. What cannot be
 * read is absent, never zero.
 */
#ifndef SHUNT_CORE_MEASURE_INTERFERENCE_H
#define SHUNT_CORE_MEASURE_INTERFERENCE_H

#include <stdint.h>

/* One bit for each field of shunt_interference. */
enum shunt_interference_field {
	SHUNT_INTERFERENCE_LOAD1 = 1 << 0,
	SHUNT_INTERFERENCE_PROCS_RUNNING = 1 << 1,
	SHUNT_INTERFERENCE_STEAL_TICKS = 1 << 2,
	SHUNT_INTERFERENCE_CONTEXT_SWITCHES = 1 << 3,
	SHUNT_INTERFERENCE_FREQ_KHZ = 1 << 4,
	SHUNT_INTERFERENCE_THROTTLED_NS = 1 << 5,
	SHUNT_INTERFERENCE_MEMORY_AVAILABLE = 1 << 6,
	SHUNT_INTERFERENCE_PROBE = 1 << 7,
};

struct shunt_interference {
	unsigned have;                       /* enum shunt_interference_field */
	double load1;                        /* runnable threads, averaged over a minute */
	uint64_t procs_running;              /* runnable threads now, this one included */
	uint64_t steal_ticks;                /* of all CPUs, since boot: taken by the hypervisor */
	uint64_t context_switches;           /* of the whole machine, since boot */
	uint64_t freq_khz_min, freq_khz_max; /* over the CPUs, now */
	uint64_t throttled_ns;               /* this control group held back by its CPU quota */
	uint64_t memory_available_bytes;
	double throughput_ns; /* a step of independent arithmetic, now, on the caller's CPU */
	double latency_ns;    /* a step that waits for the one before it */
};

/** Reads it all, below root ("" for this machine). Context: any thread, outside measured time. */
void shunt_interference_read(struct shunt_interference *now, const char *root);

/**
 * Adds the speed of the caller's CPU, gaps included. It takes 1 ms, in which nothing but the caller
 * should run in this process. Context: any thread, outside measured time.
 */
void shunt_interference_probe(struct shunt_interference *now);

#endif
