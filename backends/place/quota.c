/* SPDX-License-Identifier: MIT */
/* See quota.h. Control Group v2 and CFS Bandwidth Control in the kernel's documentation. */
#include "backends/place/quota.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#define V2_ROOT "/sys/fs/cgroup"
#define V1_ROOT "/sys/fs/cgroup/cpu"

static unsigned cpus(long long most, long long period)
{
	return most > 0 && period > 0 ? (unsigned)((most + period - 1) / period) : UINT_MAX;
}

static long long number_in(const char *folder, const char *name)
{
	char path[PATH_MAX + 128];
	long long value = -1;
	snprintf(path, sizeof(path), "%s/%s", folder, name);
	FILE *file = fopen(path, "re");
	if (file && fscanf(file, "%lld", &value) != 1)
		value = -1;
	if (file)
		fclose(file);
	return value;
}

/* "150000 100000", or "max 100000". */
static unsigned quota_v2(const char *folder)
{
	char path[PATH_MAX + 128];
	long long most = -1, period = -1;
	snprintf(path, sizeof(path), "%s/cpu.max", folder);
	FILE *file = fopen(path, "re");
	if (file && fscanf(file, "%lld %lld", &most, &period) != 2)
		most = -1;
	if (file)
		fclose(file);
	return cpus(most, period);
}

static unsigned quota_v1(const char *folder)
{
	return cpus(number_in(folder, "cpu.cfs_quota_us"), number_in(folder, "cpu.cfs_period_us"));
}

/* The least of a group and all above it; the root too, which in a container is its own group. */
static unsigned least_above(const char *root, const char *group, unsigned (*quota)(const char *))
{
	char path[PATH_MAX + 64];
	unsigned least = UINT_MAX;
	snprintf(path, sizeof(path), "%s%s", root, group);
	for (;;) {
		unsigned found = quota(path);
		least = found < least ? found : least;
		char *slash = strrchr(path, '/');
		if (strlen(path) <= strlen(root) || !slash)
			return least;
		*slash = '\0';
	}
}

/* Is `cpu` one of the controllers "cpu,cpuacct"? */
static int has_cpu(const char *controllers, size_t length)
{
	while (length) {
		size_t word = strcspn(controllers, ",:");
		if (word == 3 && !strncmp(controllers, "cpu", 3))
			return 1;
		if (word >= length)
			return 0;
		controllers += word + 1;
		length -= word + 1;
	}
	return 0;
}

unsigned shunt_place_quota(void)
{
	char line[PATH_MAX + 64];
	unsigned least = UINT_MAX;
	FILE *file = fopen("/proc/self/cgroup", "re");
	while (file && fgets(line, sizeof(line), file)) {
		/* number:controllers:/group */
		char *controllers = strchr(line, ':');
		char *group = controllers ? strchr(controllers + 1, ':') : NULL;
		unsigned found = UINT_MAX;
		if (!group)
			continue;
		group++;
		group[strcspn(group, "\n")] = '\0';
		if (group == controllers + 2)
			found = least_above(V2_ROOT, group, quota_v2);
		else if (has_cpu(controllers + 1, (size_t)(group - controllers - 2)))
			found = least_above(V1_ROOT, group, quota_v1);
		least = found < least ? found : least;
	}
	if (file)
		fclose(file);
	return least;
}
