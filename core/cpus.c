/* SPDX-License-Identifier: MIT */
/* Sets of CPUs (cpus.h). */
#include "core/cpus.h"

#include <errno.h>
#include <string.h>

#define CPUS_MOST (1 << 20) /* more than any kernel supports */

int shunt_cpus_allowed(struct shunt_cpus *cpus)
{
	int rc = -EINVAL;
	*cpus = (struct shunt_cpus){NULL, 0};
	for (int most = CPU_SETSIZE; rc == -EINVAL && most <= CPUS_MOST; most *= 2) {
		shunt_cpus_free(cpus);
		*cpus = (struct shunt_cpus){CPU_ALLOC(most), CPU_ALLOC_SIZE(most)};
		if (!cpus->set)
			rc = -ENOMEM;
		else
			rc = sched_getaffinity(0, cpus->bytes, cpus->set) ? -errno : 0;
	}
	if (rc)
		shunt_cpus_free(cpus);
	return rc;
}

int shunt_cpus_copy(struct shunt_cpus *copy, const struct shunt_cpus *cpus)
{
	*copy = (struct shunt_cpus){NULL, 0};
	if (!cpus->set)
		return 0;
	copy->set = CPU_ALLOC(cpus->bytes * 8);
	if (!copy->set)
		return -ENOMEM;
	copy->bytes = cpus->bytes;
	memcpy(copy->set, cpus->set, cpus->bytes);
	return 0;
}

void shunt_cpus_free(struct shunt_cpus *cpus)
{
	if (cpus->set)
		CPU_FREE(cpus->set);
	*cpus = (struct shunt_cpus){NULL, 0};
}

unsigned shunt_cpus_count(const struct shunt_cpus *cpus)
{
	return cpus->set ? (unsigned)CPU_COUNT_S(cpus->bytes, cpus->set) : 0;
}

bool shunt_cpus_has(const struct shunt_cpus *cpus, int cpu)
{
	return cpus->set && CPU_ISSET_S(cpu, cpus->bytes, cpus->set);
}

int shunt_cpus_next(const struct shunt_cpus *cpus, int cpu)
{
	int most = (int)(cpus->bytes * 8);
	while (++cpu < most)
		if (shunt_cpus_has(cpus, cpu))
			return cpu;
	return -1;
}

int shunt_cpus_last(const struct shunt_cpus *cpus)
{
	int cpu = (int)(cpus->bytes * 8) - 1;
	while (cpu >= 0 && !shunt_cpus_has(cpus, cpu))
		cpu--;
	return cpu;
}

void shunt_cpus_keep_only(struct shunt_cpus *cpus, int cpu)
{
	CPU_ZERO_S(cpus->bytes, cpus->set);
	CPU_SET_S(cpu, cpus->bytes, cpus->set);
}

int shunt_cpus_bind(const struct shunt_cpus *cpus)
{
	return sched_setaffinity(0, cpus->bytes, cpus->set) ? -errno : 0;
}
