/* SPDX-License-Identifier: MIT */
/* getrusage, the process clock and /proc/self/statm, in one struct. */
#include "core/measure/usage.h"

#include "core/measure/clock.h"
#include "core/measure/proc.h"

#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

static uint64_t timeval_ns(struct timeval time)
{
	return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_usec * 1000u;
}

/* 0 if they cannot be read. The kernel may count the last few pages of each CPU late, up to 64, so
 * that differences below a megabyte mean nothing. */
static uint64_t rss_bytes(void)
{
	char text[128];
	unsigned long long pages;

	if (shunt_proc_read("", "/proc/self/statm", text, sizeof(text)) <= 0 ||
		sscanf(text, "%*u %llu", &pages) != 1)
		return 0;
	return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* It cannot fail with a valid pointer and one of these two. */
static struct shunt_usage usage_of(int who)
{
	struct rusage kernel;

	getrusage(who, &kernel);
	return (struct shunt_usage){
		.cpu_ns = timeval_ns(kernel.ru_utime) + timeval_ns(kernel.ru_stime),
		.user_ns = timeval_ns(kernel.ru_utime),
		.system_ns = timeval_ns(kernel.ru_stime),
		.voluntary_switches = (uint64_t)kernel.ru_nvcsw,
		.involuntary_switches = (uint64_t)kernel.ru_nivcsw,
		.minor_faults = (uint64_t)kernel.ru_minflt,
		.major_faults = (uint64_t)kernel.ru_majflt,
		.peak_rss_bytes = (uint64_t)kernel.ru_maxrss * 1024u,
	};
}

void shunt_usage_read_children(struct shunt_usage *now)
{
	*now = usage_of(RUSAGE_CHILDREN);
}

void shunt_usage_read(struct shunt_usage *now)
{
	*now = usage_of(RUSAGE_SELF);
	now->cpu_ns = shunt_clock_cpu_ns();
	now->rss_bytes = rss_bytes();
	/* The kernel brings its peak up to date less often than its present size. */
	if (now->peak_rss_bytes < now->rss_bytes)
		now->peak_rss_bytes = now->rss_bytes;
}

struct shunt_usage shunt_usage_since(const struct shunt_usage *before,
	const struct shunt_usage *after)
{
	return (struct shunt_usage){
		.cpu_ns = after->cpu_ns - before->cpu_ns,
		.user_ns = after->user_ns - before->user_ns,
		.system_ns = after->system_ns - before->system_ns,
		.voluntary_switches = after->voluntary_switches - before->voluntary_switches,
		.involuntary_switches = after->involuntary_switches - before->involuntary_switches,
		.minor_faults = after->minor_faults - before->minor_faults,
		.major_faults = after->major_faults - before->major_faults,
		.peak_rss_bytes = after->peak_rss_bytes,
		.rss_bytes = after->rss_bytes,
	};
}
