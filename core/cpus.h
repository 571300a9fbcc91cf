/* SPDX-License-Identifier: MIT */
/*
 * A set of CPUs of whatever size the kernel has: it refuses a mask shorter than its own (EINVAL),
 * and one of 1,024 bits, as cpu_set_t is, is shorter on machines that could have more CPUs.
 */
#ifndef SHUNT_CORE_CPUS_H
#define SHUNT_CORE_CPUS_H

#include <sched.h>
#include <stdbool.h>
#include <stddef.h>

struct shunt_cpus {
	cpu_set_t *set; /* NULL: unknown, which counts as empty */
	size_t bytes;   /* as the CPU_…_S macros and the calls want it */
};

/* The CPUs that the calling thread may use. 0, or a negative errno: then they are unknown. */
int shunt_cpus_allowed(struct shunt_cpus *cpus);
/* 0, or -ENOMEM: then *copy is unknown. */
int shunt_cpus_copy(struct shunt_cpus *copy, const struct shunt_cpus *cpus);
void shunt_cpus_free(struct shunt_cpus *cpus);

unsigned shunt_cpus_count(const struct shunt_cpus *cpus);
bool shunt_cpus_has(const struct shunt_cpus *cpus, int cpu);
/* The first of the set above `cpu`, -1 to begin with; -1: none. */
int shunt_cpus_next(const struct shunt_cpus *cpus, int cpu);
int shunt_cpus_last(const struct shunt_cpus *cpus); /* -1: it is empty */
void shunt_cpus_keep_only(struct shunt_cpus *cpus, int cpu);

/* Binds the calling thread to them. 0 or a negative errno. */
int shunt_cpus_bind(const struct shunt_cpus *cpus);

#endif
