/* SPDX-License-Identifier: MIT */
/* The limits on threads, of which the tightest counts, each with what raises it. */
#include "backends/threads/threads.h"

#include "core/measure/proc.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

struct limit {
	uint64_t tasks;
	const char *name, *remedy;
};

static void tighten(struct limit *limit, uint64_t most, uint64_t used, const char *name,
	const char *remedy)
{
	uint64_t left = most > used ? most - used : 1;
	if (!limit->tasks || left < limit->tasks)
		*limit = (struct limit){left, name, remedy};
}

/* Threads of the whole system: the number after the slash in "0.00 0.01 0.05 1/123 4567". */
static uint64_t threads_in_use(void)
{
	char text[128];
	unsigned long long used = 0;
	if (shunt_proc_read("", "/proc/loadavg", text, sizeof(text)) <= 0)
		return 0;
	return sscanf(text, "%*f %*f %*f %*u/%llu", &used) == 1 ? used : 0;
}

static void cgroup_limit(struct limit *limit)
{
	char text[64], path[SHUNT_PROC_PATH_BYTES];
	if (shunt_proc_cgroup("", "pids", "pids.max", "pids.max", text, sizeof(text), path) <= 0 ||
		text[0] < '0' || text[0] > '9')
		return;
	uint64_t most = strtoull(text, NULL, 10), used = 0;
	if (shunt_proc_beside("", path, "pids.current", text, sizeof(text)) > 0)
		used = strtoull(text, NULL, 10);
	tighten(limit, most, used, "the control group's pids.max",
		"raise it for the container or the service");
}

uint64_t shunt_threads_task_limit(const struct shunt_sched *sched, struct shunt_error *reason)
{
	(void)sched;
	struct limit limit = {0, NULL, NULL};
	uint64_t most, used = threads_in_use();
	struct rlimit own;
	/* The superuser is not held to RLIMIT_NPROC. */
	if (geteuid() != 0 && getrlimit(RLIMIT_NPROC, &own) == 0 && own.rlim_cur != RLIM_INFINITY)
		tighten(&limit, own.rlim_cur, 0, "RLIMIT_NPROC", "raise it: ulimit -u");
	if (shunt_proc_number("", "/proc/sys/kernel/threads-max", &most) == 0)
		tighten(&limit, most, used, "kernel.threads-max",
			"raise it: sysctl kernel.threads-max");
	if (shunt_proc_number("", "/proc/sys/kernel/pid_max", &most) == 0)
		tighten(&limit, most, used, "kernel.pid_max", "raise it: sysctl kernel.pid_max");
	/* A thread's stack is two mappings, one of them its guard. */
	if (shunt_proc_number("", "/proc/sys/vm/max_map_count", &most) == 0)
		tighten(&limit, most / 2, 64, "vm.max_map_count, two mappings per thread",
			"raise it: sysctl vm.max_map_count");
	cgroup_limit(&limit);
	if (limit.tasks)
		shunt_fail(reason, 0, "each task is a kernel thread, limited by %s; %s", limit.name,
			limit.remedy);
	return limit.tasks;
}
