/* SPDX-License-Identifier: MIT */
/* perf_event_open(2) and its ways to refuse. */
#include "core/measure/perf.h"

#include "core/measure/proc.h"

#include <dirent.h>
#include <errno.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define HARDWARE SHUNT_PERF_HARDWARE
#define SOFTWARE SHUNT_PERF_SOFTWARE

const char *const shunt_perf_group_names[] = {[HARDWARE] = "hardware", [SOFTWARE] = "software"};

const char *const shunt_perf_event_names[] = {"cycles", "instructions", "branch_misses",
	"cache_misses", "task_clock_ns", "context_switches", "migrations", "page_faults"};

/* In the order of their names; the first of a group leads it. */
static const struct event {
	unsigned group, type;
	uint64_t config;
} events[] = {
	{HARDWARE, PERF_TYPE_HARDWARE, PERF_COUNT_HW_CPU_CYCLES},
	{HARDWARE, PERF_TYPE_HARDWARE, PERF_COUNT_HW_INSTRUCTIONS},
	{HARDWARE, PERF_TYPE_HARDWARE, PERF_COUNT_HW_BRANCH_MISSES},
	{HARDWARE, PERF_TYPE_HARDWARE, PERF_COUNT_HW_CACHE_MISSES},
	{SOFTWARE, PERF_TYPE_SOFTWARE, PERF_COUNT_SW_TASK_CLOCK},
	{SOFTWARE, PERF_TYPE_SOFTWARE, PERF_COUNT_SW_CONTEXT_SWITCHES},
	{SOFTWARE, PERF_TYPE_SOFTWARE, PERF_COUNT_SW_CPU_MIGRATIONS},
	{SOFTWARE, PERF_TYPE_SOFTWARE, PERF_COUNT_SW_PAGE_FAULTS},
};

_Static_assert(sizeof(events) / sizeof(*events) == SHUNT_PERF_EVENTS, "an event without a name");

struct thread {
	pid_t tid;
	int fd[SHUNT_PERF_EVENTS]; /* -1: none */
};

struct shunt_perf {
	struct thread *threads;
	size_t thread_count;
	struct shunt_perf_counts counts; /* its reasons; no thread */
};

/* What the kernel's refusal means, and what helps. */
static void explain(char why[SHUNT_PERF_WHY_BYTES], int code, unsigned group)
{
	uint64_t paranoid = 0;
	const char *name = strerrorname_np(code);
	const char *text = "run on bare metal, or have the hypervisor pass the PMU on";

	if (code == EACCES || code == EPERM) {
		if (shunt_proc_number("", "/proc/sys/kernel/perf_event_paranoid", &paranoid))
			paranoid = 0;
		snprintf(why, SHUNT_PERF_WHY_BYTES,
			"%s: the kernel refuses (perf_event_paranoid is %llu): sysctl "
			"kernel.perf_event_paranoid=%d, CAP_PERFMON, or a seccomp profile that "
			"allows perf_event_open",
			name, (unsigned long long)paranoid, group == HARDWARE ? 2 : 1);
		return;
	}
	if (code == ENOSYS)
		text = "use a kernel with CONFIG_PERF_EVENTS; an emulator has none";
	else if (code == EMFILE || code == ENFILE)
		text = "raise the limit on open files (ulimit -n): every thread needs eight";
	else if (code != ENOENT && code != ENODEV && code != EOPNOTSUPP)
		text = strerror(code);
	snprintf(why, SHUNT_PERF_WHY_BYTES, "%s%s: %s", name ? name : "error",
		code == ENOENT || code == ENODEV || code == EOPNOTSUPP
			? ": this processor, or virtual machine, has no such counter"
			: "",
		text);
}

static int open_event(const struct event *event, pid_t tid, int leader)
{
	struct perf_event_attr attr = {.size = sizeof(attr),
		.type = event->type,
		.config = event->config,
		.read_format = PERF_FORMAT_TOTAL_TIME_ENABLED | PERF_FORMAT_TOTAL_TIME_RUNNING,
		.disabled = leader < 0,
		.inherit = 1,
		.exclude_kernel = event->group == HARDWARE,
		.exclude_hv = event->group == HARDWARE};

	return (int)syscall(SYS_perf_event_open, &attr, tid, -1, leader, PERF_FLAG_FD_CLOEXEC);
}

/* The event that leads a group. */
static unsigned leader_of(unsigned group)
{
	unsigned i = 0;

	while (events[i].group != group)
		i++;
	return i;
}

/* All events of one thread that have not been refused on another. */
static void open_thread(struct shunt_perf *perf, struct thread *thread)
{
	struct shunt_perf_counts *counts = &perf->counts;

	for (unsigned i = 0; i < SHUNT_PERF_EVENTS; i++) {
		unsigned group = events[i].group, first = leader_of(group);

		thread->fd[i] = -1;
		if (*counts->group_why[group] || *counts->event_why[i])
			continue;
		if (i != first && thread->fd[first] < 0)
			continue;
		thread->fd[i] =
			open_event(&events[i], thread->tid, i == first ? -1 : thread->fd[first]);
		if (thread->fd[i] >= 0 || errno == ESRCH) /* it has ended meanwhile */
			continue;
		bool whole = i == first || errno == EMFILE || errno == ENFILE;

		explain(whole ? counts->group_why[group] : counts->event_why[i], errno, group);
	}
}

/* The threads of the process now. */
static bool list_threads(struct shunt_perf *perf)
{
	DIR *folder = opendir("/proc/self/task");
	const struct dirent *entry;
	bool ok = folder != NULL;

	while (ok && (entry = readdir(folder))) {
		struct thread *grown;

		if (entry->d_name[0] == '.')
			continue;
		grown = realloc(perf->threads, (perf->thread_count + 1) * sizeof(*grown));
		ok = grown != NULL;
		if (!ok)
			break;
		perf->threads = grown;
		perf->threads[perf->thread_count++].tid = (pid_t)atoi(entry->d_name);
	}
	if (folder)
		closedir(folder);
	return ok;
}

static void for_leaders(struct shunt_perf *perf, unsigned long request)
{
	for (size_t t = 0; t < perf->thread_count; t++)
		for (unsigned group = 0; group < SHUNT_PERF_GROUPS; group++) {
			int fd = perf->threads[t].fd[leader_of(group)];

			if (fd >= 0)
				ioctl(fd, request, PERF_IOC_FLAG_GROUP);
		}
}

struct shunt_perf *shunt_perf_start(void)
{
	struct shunt_perf *perf = calloc(1, sizeof(*perf));

	if (!perf)
		return NULL;
	if (!list_threads(perf)) {
		free(perf->threads);
		free(perf);
		return NULL;
	}
	for (size_t t = 0; t < perf->thread_count; t++)
		open_thread(perf, &perf->threads[t]);
	for_leaders(perf, PERF_EVENT_IOC_ENABLE);
	return perf;
}

static void name_thread(char name[16], pid_t tid)
{
	char path[64], text[64];

	snprintf(path, sizeof(path), "/proc/self/task/%d/comm", (int)tid);
	if (tid == getpid() || shunt_proc_read("", path, text, sizeof(text)) < 0)
		snprintf(text, sizeof(text), "%s", tid == getpid() ? "main" : "ended");
	snprintf(name, 16, "%.15s", text);
}

/* One thread's counts; false: it did not run. */
static bool read_thread(const struct thread *thread, struct shunt_perf_thread *into)
{
	bool ran = false;

	*into = (struct shunt_perf_thread){0};
	for (unsigned i = 0; i < SHUNT_PERF_EVENTS; i++) {
		struct {
			uint64_t value, enabled_ns, running_ns;
		} held = {0};

		if (thread->fd[i] < 0 || read(thread->fd[i], &held, sizeof(held)) != sizeof(held))
			continue;
		ran |= held.enabled_ns > 0;
		into->count[i] = held.value;
		if (i == leader_of(HARDWARE)) {
			into->enabled_ns = held.enabled_ns;
			into->running_ns = held.running_ns;
		}
	}
	name_thread(into->name, thread->tid);
	return ran;
}

/* A group that waited for free counters all the time has counted nothing, which is not 0. */
static void judge(struct shunt_perf_counts *counts)
{
	uint64_t enabled_ns = 0, running_ns = 0;

	for (size_t t = 0; t < counts->thread_count; t++) {
		enabled_ns += counts->threads[t].enabled_ns;
		running_ns += counts->threads[t].running_ns;
	}
	if (!*counts->group_why[HARDWARE] && enabled_ns && !running_ns)
		snprintf(counts->group_why[HARDWARE], SHUNT_PERF_WHY_BYTES,
			"the processor had no free counters: end other profilers, or sysctl "
			"kernel.nmi_watchdog=0");
	for (unsigned i = 0; i < SHUNT_PERF_EVENTS; i++)
		counts->have[i] = counts->thread_count && !*counts->event_why[i] &&
				  !*counts->group_why[events[i].group];
}

void shunt_perf_stop(struct shunt_perf *perf, struct shunt_perf_counts *counts)
{
	if (!perf)
		return;
	for_leaders(perf, PERF_EVENT_IOC_DISABLE);
	if (counts) {
		*counts = perf->counts;
		counts->threads = calloc(perf->thread_count, sizeof(*counts->threads));
		for (size_t t = 0; counts->threads && t < perf->thread_count; t++)
			counts->thread_count += read_thread(&perf->threads[t],
				&counts->threads[counts->thread_count]);
		judge(counts);
	}
	for (size_t t = 0; t < perf->thread_count; t++)
		for (unsigned i = 0; i < SHUNT_PERF_EVENTS; i++)
			if (perf->threads[t].fd[i] >= 0)
				close(perf->threads[t].fd[i]);
	free(perf->threads);
	free(perf);
}

void shunt_perf_absent(struct shunt_perf_counts *counts, const char *why)
{
	for (unsigned group = 0; group < SHUNT_PERF_GROUPS; group++)
		snprintf(counts->group_why[group], SHUNT_PERF_WHY_BYTES, "%s", why);
}
