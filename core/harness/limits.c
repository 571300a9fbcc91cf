/* SPDX-License-Identifier: MIT */
/*
 * Can this run be made here? Asked before it starts, so that a run beyond the machine is skipped
 * with a reason instead of ending the machine's other work.
 */
#include "core/harness/run.h"
#include "core/measure/proc.h"
#include "core/param_parse.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

/* What a task that waits holds at least: one touched page of its stack, and its descriptor; a step
 * task, whose frame is the workload's own memory. */
#define TASK_BYTES (4096 + 512)
#define STEP_BYTES 160

static const struct {
	unsigned cap;
	const char *words;
} cap_words[] = {
	{SHUNT_CAN_BLOCK, "tasks that wait"},
	{SHUNT_TIMED, "sleeps and deadlines"},
	{SHUNT_EXTERNAL_WAKE, "wakes from outside"},
	{SHUNT_DIRECT_TRANSFER, "direct transfer"},
	{SHUNT_PARALLEL, "tasks in parallel"},
	{SHUNT_MIGRATES, "migration"},
	{SHUNT_DETERMINISTIC, "the same schedule for the same seed"},
	{SHUNT_VIRTUAL_TIME, "virtual time"},
	{SHUNT_DEADLOCK, "deadlock reports"},
	{SHUNT_PINS, "tasks that stay on the worker they are put on"},
	{SHUNT_PARTS, "a switch made of parts"},
	{SHUNT_KERNEL_TASKS, "tasks that the kernel schedules"},
	{SHUNT_FIFO, "first in, first out"},
	{SHUNT_STEPS, "step tasks"},
	{SHUNT_CAN_IO, "input and output by tasks"},
	{SHUNT_CAN_FILES, "files read and written by tasks"},
	{SHUNT_PREEMPTS, "preemption by signals"},
	{SHUNT_AT_EDGES, "preemption at the edges of code"},
	{SHUNT_QUANTA, "quanta"},
};

const char *shunt_caps_text(unsigned caps, char *text, size_t bytes)
{
	size_t used = 0;

	text[0] = '\0';
	for (size_t i = 0; i < sizeof(cap_words) / sizeof(cap_words[0]); i++)
		if (caps & cap_words[i].cap && used < bytes)
			used += (size_t)snprintf(text + used, bytes - used, "%s%s",
				used ? ", " : "", cap_words[i].words);
	return text;
}

/* What more workers, or another policy, can add to what a preset can do. */
#define BY_SETTINGS                                                                                \
	(SHUNT_PARALLEL | SHUNT_MIGRATES | SHUNT_DETERMINISTIC | SHUNT_PINS | SHUNT_FIFO)

/* What an io can. */
#define BY_IO (SHUNT_CAN_IO | SHUNT_CAN_FILES)

/* Of `needs`, what the spec lacks: all of it where it cannot be opened. */
static unsigned lacks(const char *spec, unsigned needs)
{
	struct shunt_sched *sched;

	if (shunt_open(&sched, spec, NULL, NULL) != 0)
		return needs;
	unsigned lacking = needs & ~sched->caps;
	shunt_close(sched);
	return lacking;
}

/* Which io, and which wait slot it goes with, gives a backend all of `needs`. */
static bool find_io(const char *name, unsigned needs, char *spec, size_t bytes)
{
	for (const struct shunt_plugin *io = shunt_registry_ios; io->name; io++)
		for (const struct shunt_plugin *wait = shunt_registry_waits; wait->name; wait++) {
			snprintf(spec, bytes, "%s:wait=%s,io=%s", name, wait->name, io->name);
			if (io->object && wait->object && !lacks(spec, needs))
				return true;
		}
	return false;
}

/* The shortest spec of a backend that has all of `needs`: as its preset is, or with another policy,
 * or with that and two workers. */
static bool find_spec(const struct shunt_plugin *plugin, unsigned needs, char *spec, size_t bytes)
{
	const struct shunt_backend *backend = plugin->object;
	static const char *const workers[] = {"", ",workers=2"};

	snprintf(spec, bytes, "%s", plugin->name);
	unsigned lacking = backend ? lacks(spec, needs) : needs;
	if (!backend || !lacking)
		return backend;
	if (!(lacking & ~(unsigned)BY_IO) && backend->preset &&
		find_io(plugin->name, needs, spec, bytes))
		return true;
	if (!backend->preset || lacking & ~BY_SETTINGS)
		return false;
	for (size_t w = lacking & SHUNT_PARALLEL ? 1 : 0; w < 2; w++)
		for (const struct shunt_plugin *p = shunt_registry_policies; p->name; p++) {
			snprintf(spec, bytes, "%s:policy=%s%s", plugin->name, p->name, workers[w]);
			if (p->object && !lacks(spec, needs))
				return true;
		}
	return false;
}

/* A spec of each backend that has all of `needs`. */
static const char *specs_with(unsigned needs, char *text, size_t bytes)
{
	size_t used = 0;
	char spec[128];

	text[0] = '\0';
	for (const struct shunt_plugin *plugin = shunt_registry_backends; plugin->name; plugin++)
		if (find_spec(plugin, needs, spec, sizeof(spec)) && used < bytes)
			used += (size_t)snprintf(text + used, bytes - used, "%s%s",
				used ? ", " : "", spec);
	return text;
}

void shunt_run_check_needs(struct shunt_run *run)
{
	unsigned missing = run->workload->needs & ~run->outcome.caps;
	char words[256], able[256];

	if (!missing)
		return;
	shunt_caps_text(missing, words, sizeof(words));
	specs_with(run->workload->needs, able, sizeof(able));
	shunt_run_end(run, SHUNT_RECORD_SKIPPED,
		"workload '%s' needs %s, which backend '%s' does not have; %s%s",
		run->workload->name, words, run->outcome.backend_name,
		able[0] ? "these do: " : "no backend of this build has it", able);
}

/* ---- memory ---------------------------------------------------------------------------------- */

/* Bytes that the control group still leaves, or the one above it that has the limit, to all that
 * are in it; or UINT64_MAX. Its page cache can be taken back. */
static uint64_t cgroup_left(const char *root)
{
	char text[16384], path[SHUNT_PROC_PATH_BYTES];
	uint64_t limit, used, cache = 0;

	if (shunt_proc_cgroup(root, "memory", "memory.max", "memory.limit_in_bytes", text,
		    sizeof(text), path) <= 0 ||
		text[0] < '0' || text[0] > '9')
		return UINT64_MAX;
	limit = strtoull(text, NULL, 10);
	if (shunt_proc_beside(root, path,
		    strstr(path, "memory.max") ? "memory.current" : "memory.usage_in_bytes", text,
		    sizeof(text)) <= 0)
		return UINT64_MAX;
	used = strtoull(text, NULL, 10);
	if (shunt_proc_beside(root, path, "memory.stat", text, sizeof(text)) > 0)
		(void)shunt_proc_field(text, "inactive_file", &cache);
	used -= cache < used ? cache : used;
	return limit > used ? limit - used : 0;
}

uint64_t shunt_memory_left(const char *root, const char **where)
{
	char text[8192];
	uint64_t kib = 0, group = cgroup_left(root);

	if (where)
		*where = "MemAvailable of this machine";
	if (shunt_proc_read(root, "/proc/meminfo", text, sizeof(text)) > 0)
		(void)shunt_proc_field(text, "MemAvailable:", &kib);
	if (group == UINT64_MAX || (kib && kib * 1024 <= group))
		return kib * 1024;
	if (where)
		*where = "left by the memory limit of its control group";
	return group;
}

uint64_t shunt_memory_available(const char **where)
{
	return shunt_memory_left("", where);
}

static void check_memory(struct shunt_run *run)
{
	const struct shunt_footprint *need = &run->outcome.footprint;
	const char *where;
	uint64_t available = shunt_memory_available(&where);
	uint64_t each = need->stackless ? STEP_BYTES : TASK_BYTES;
	unsigned __int128 bytes = (unsigned __int128)need->tasks * each + need->bytes;

	if (available == 0 || bytes <= available)
		return;
	shunt_run_end(run, SHUNT_RECORD_SKIPPED,
		"needs at least %.1f GiB (%" PRIu64
		" tasks, %.1f GiB of data), and %.1f GiB are %s",
		(double)bytes / (1 << 30), need->tasks, (double)need->bytes / (1 << 30),
		(double)available / (1 << 30), where);
}

/* What the program and a scheduler have open themselves: three a worker, and some. */
#define OWN_DESCRIPTORS 64

static void check_descriptors(struct shunt_run *run)
{
	uint64_t need = run->outcome.footprint.descriptors;
	struct rlimit limit;

	need += need ? OWN_DESCRIPTORS + 4 * (uint64_t)run->outcome.worker_count : 0;
	if (getrlimit(RLIMIT_NOFILE, &limit) || need <= limit.rlim_cur)
		return;
	uint64_t most = limit.rlim_max;

	limit.rlim_cur = need; /* the soft limit is for programs that cannot do with more */
	if (need > most || setrlimit(RLIMIT_NOFILE, &limit))
		shunt_run_end(run, SHUNT_RECORD_SKIPPED,
			"needs %" PRIu64 " descriptors at once, and this process may open %" PRIu64
			": run `ulimit -n %" PRIu64 "` before it, as root",
			need, most, need);
}

void shunt_run_check_limits(struct shunt_run *run)
{
	const struct shunt_backend *backend = run->sched->backend;
	struct shunt_error why = {""};
	uint64_t limit = backend->task_limit ? backend->task_limit(run->sched, &why) : 0;

	if (limit && run->outcome.footprint.tasks > limit && !run->outcome.footprint.stackless)
		shunt_run_end(run, SHUNT_RECORD_SKIPPED,
			"needs %" PRIu64 " tasks at once, and %" PRIu64 " fit here: %s",
			run->outcome.footprint.tasks, limit, why.text);
	else
		check_memory(run);
	if (!shunt_run_is_over(run))
		check_descriptors(run);
}
