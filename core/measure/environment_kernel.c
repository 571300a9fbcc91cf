/* SPDX-License-Identifier: MIT */
/* Facts about kernel and machine: a table of files, and a few that are asked for by calls. */
#include "core/measure/environment_internal.h"
#include "core/measure/json.h"
#include "core/measure/proc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#define CPU_PATH "/sys/devices/system/cpu/"

/* A file whose text is the fact. One that exists and is empty says "none". */
static const struct {
	const char *name, *path;
	bool number;
} files[] = {
	{"cpu.smt", CPU_PATH "smt/control", false},
	{"cpu.isolated", CPU_PATH "isolated", false},
	{"cpu.nohz_full", CPU_PATH "nohz_full", false},
	{"cpu.idle_driver", CPU_PATH "cpuidle/current_driver", false},
	{"cpu.idle_governor", CPU_PATH "cpuidle/current_governor", false},
	{"kernel.cmdline", "/proc/cmdline", false},
	{"kernel.clocksource", "/sys/devices/system/clocksource/clocksource0/current_clocksource",
		false},
	{"kernel.thp", "/sys/kernel/mm/transparent_hugepage/enabled", false},
	{"kernel.io_uring_disabled", "/proc/sys/kernel/io_uring_disabled", true},
	{"kernel.max_map_count", "/proc/sys/vm/max_map_count", true},
	{"kernel.threads_max", "/proc/sys/kernel/threads-max", true},
	{"kernel.pid_max", "/proc/sys/kernel/pid_max", true},
	{"kernel.overcommit_memory", "/proc/sys/vm/overcommit_memory", true},
	{"kernel.swappiness", "/proc/sys/vm/swappiness", true},
	{"kernel.aslr", "/proc/sys/kernel/randomize_va_space", true},
	{"kernel.numa_balancing", "/proc/sys/kernel/numa_balancing", true},
	{"kernel.autogroup", "/proc/sys/kernel/sched_autogroup_enabled", true},
	{"kernel.perf_event_paranoid", "/proc/sys/kernel/perf_event_paranoid", true},
	{"machine.numa_nodes", "/sys/devices/system/node/online", false},
};

static void gather_files(struct shunt_env *env, const char *root)
{
	for (size_t i = 0; i < sizeof(files) / sizeof(*files); i++) {
		char text[8192];
		uint64_t number;
		long length = shunt_proc_read(root, files[i].path, text, sizeof(text));

		if (length < 0)
			shunt_env_absent(env, files[i].name, "%s: %s", files[i].path,
				strerror((int)-length));
		else if (files[i].number && shunt_proc_parse(text, &number) == 0)
			shunt_env_put(env, env->facts, files[i].name, shunt_json_uint(number),
				files[i].path);
		else
			shunt_env_fact(env, files[i].name, length ? text : "none", files[i].path);
	}
}

static void gather_memory(struct shunt_env *env, const char *root)
{
	static const char path[] = "/proc/meminfo";
	char text[8192];
	uint64_t kib;

	shunt_proc_read(root, path, text, sizeof(text));
	if (shunt_proc_field(text, "MemTotal", &kib) == 0)
		shunt_env_put(env, env->facts, "machine.memory_bytes", shunt_json_uint(kib * 1024),
			path);
	else
		shunt_env_absent(env, "machine.memory_bytes", "%s does not say", path);
	if (shunt_proc_field(text, "SwapTotal", &kib) == 0)
		shunt_env_put(env, env->facts, "machine.swap_bytes", shunt_json_uint(kib * 1024),
			path);
	else
		shunt_env_absent(env, "machine.swap_bytes", "%s does not say", path);
	if (shunt_proc_field(text, "MemAvailable", &kib) == 0)
		shunt_env_put(env, env->passing, "machine.memory_available_bytes",
			shunt_json_uint(kib * 1024), path);
}

/* Limits that are set for the group of this process, or one above it. */
static void gather_cgroup(struct shunt_env *env, const char *root)
{
	static const char *const limits[][3] = {
		{"cpu", "cpu.max", "cpu.cfs_quota_us"},
		{"cpu", "cpu.weight", "cpu.shares"},
		{"cpuset", "cpuset.cpus.effective", "cpuset.effective_cpus"},
		{"memory", "memory.max", "memory.limit_in_bytes"},
		{"pids", "pids.max", "pids.max"},
	};
	json_t *found = json_object();

	for (size_t i = 0; i < sizeof(limits) / sizeof(*limits); i++) {
		char text[512], source[SHUNT_PROC_PATH_BYTES];

		if (shunt_proc_cgroup(root, limits[i][0], limits[i][1], limits[i][2], text,
			    sizeof(text), source) >= 0)
			json_object_set_new(found, strrchr(source, '/') + 1, shunt_json_text(text));
	}
	if (json_object_size(found)) {
		shunt_env_put(env, env->facts, "machine.cgroup", found,
			"/proc/self/cgroup, /sys/fs/cgroup");
		return;
	}
	json_decref(found);
	shunt_env_absent(env, "machine.cgroup", "no limit of a control group can be read");
}

static void gather_limits(struct shunt_env *env)
{
	static const struct {
		const char *name;
		__rlimit_resource_t which;
	} limits[] = {
		{"address_space", RLIMIT_AS},
		{"data", RLIMIT_DATA},
		{"open_files", RLIMIT_NOFILE},
		{"locked_memory", RLIMIT_MEMLOCK},
		{"processes", RLIMIT_NPROC},
		{"stack", RLIMIT_STACK},
		{"realtime_priority", RLIMIT_RTPRIO},
	};
	json_t *all = json_object();

	for (size_t i = 0; i < sizeof(limits) / sizeof(*limits); i++) {
		struct rlimit limit;

		if (getrlimit(limits[i].which, &limit) < 0)
			continue;
		json_object_set_new(all, limits[i].name,
			limit.rlim_cur == RLIM_INFINITY
				? json_string("unlimited")
				: json_sprintf("%llu", (unsigned long long)limit.rlim_cur));
	}
	shunt_env_put(env, env->facts, "process.limits", all, "getrlimit, soft limits");
}

/* Variables that change how the C library or the loader behaves. */
static void gather_variables(struct shunt_env *env)
{
	static const char *const names[] = {"LD_PRELOAD", "LD_LIBRARY_PATH", "LD_BIND_NOW",
		"GLIBC_TUNABLES", "MALLOC_ARENA_MAX", "MALLOC_CONF", "ASAN_OPTIONS",
		"TSAN_OPTIONS"};
	json_t *set = json_object();

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (getenv(names[i]))
			json_object_set_new(set, names[i], shunt_json_text(getenv(names[i])));
	shunt_env_put(env, env->facts, "process.environment", set, "getenv, of a fixed list");
}

static void gather_system(struct shunt_env *env, const char *root)
{
	char text[2048];
	const char *name = shunt_proc_read(root, "/etc/os-release", text, sizeof(text)) > 0
				   ? strstr(text, "PRETTY_NAME=")
				   : NULL;

	if (name) {
		name += strlen("PRETTY_NAME=");
		name += *name == '"';
		text[(size_t)(name - text) + strcspn(name, "\"\n")] = '\0';
		shunt_env_fact(env, "machine.os", name, "/etc/os-release");
	} else {
		shunt_env_absent(env, "machine.os", "/etc/os-release does not say");
	}
}

/* What is different at every look. */
static void gather_passing(struct shunt_env *env, const char *root)
{
	char text[128];
	time_t now = time(NULL);
	struct tm utc;

	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &utc));
	shunt_env_volatile(env, "machine.time", text, "time");
	if (shunt_proc_read(root, "/proc/loadavg", text, sizeof(text)) > 0)
		shunt_env_volatile(env, "machine.load", text, "/proc/loadavg");
	if (shunt_proc_read(root, "/proc/uptime", text, sizeof(text)) > 0)
		shunt_env_volatile(env, "machine.uptime_s", strtok(text, " "), "/proc/uptime");
}

void shunt_env_gather_kernel(struct shunt_env *env, const char *root)
{
	struct utsname name;
	int slack_ns = prctl(PR_GET_TIMERSLACK, 0, 0, 0, 0);

	uname(&name);
	shunt_env_fact(env, "kernel.release", name.release, "uname");
	shunt_env_fact(env, "kernel.version", name.version, "uname");
	shunt_env_fact(env, "machine.hostname", name.nodename, "uname");
	if (slack_ns >= 0)
		shunt_env_put(env, env->facts, "kernel.timer_slack_ns", json_integer(slack_ns),
			"prctl, of the thread that asked");
	else
		shunt_env_absent(env, "kernel.timer_slack_ns", "prctl does not say");
	gather_files(env, root);
	gather_memory(env, root);
	gather_cgroup(env, root);
	gather_limits(env);
	gather_variables(env);
	gather_system(env, root);
	gather_passing(env, root);
}
