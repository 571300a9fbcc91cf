/* SPDX-License-Identifier: MIT */
/* Facts about the processors: model, caches, frequency control, mitigations, what may be used. */
#include "core/cpus.h"
#include "core/measure/environment_internal.h"
#include "core/measure/json.h"
#include "core/measure/proc.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

#define CPUINFO_BYTES 16384 /* the first CPUs tell all that is asked */
#define CPU_PATH      "/sys/devices/system/cpu/"

/* The text after "key : " in /proc/cpuinfo. */
static bool cpuinfo(const char *text, const char *key, char *value, size_t bytes)
{
	size_t length = strlen(key);

	for (const char *line = text; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		const char *rest = line + length;
		if (strncmp(line, key, length) || !strchr(":\t ", *rest))
			continue;
		rest += strspn(rest, "\t ");
		if (*rest++ != ':')
			continue;
		rest += strspn(rest, " ");
		snprintf(value, bytes, "%.*s", (int)strcspn(rest, "\n"), rest);
		return *value != '\0';
	}
	return false;
}

static void gather_model(struct shunt_env *env, const char *text)
{
	char value[4096], model[256], part[64] = "", implementer[64] = "";

	if (cpuinfo(text, "model name", value, sizeof(value)) ||
		cpuinfo(text, "uarch", value, sizeof(value)) ||
		cpuinfo(text, "isa", value, sizeof(value))) {
		shunt_env_fact(env, "cpu.model", value, "/proc/cpuinfo");
	} else if (cpuinfo(text, "CPU implementer", implementer, sizeof(implementer)) &&
		   cpuinfo(text, "CPU part", part, sizeof(part))) {
		snprintf(model, sizeof(model), "implementer %s part %s", implementer, part);
		shunt_env_fact(env, "cpu.model", model, "/proc/cpuinfo");
	} else {
		shunt_env_absent(env, "cpu.model", "/proc/cpuinfo does not name it");
	}
	if (cpuinfo(text, "microcode", value, sizeof(value)))
		shunt_env_fact(env, "cpu.microcode", value, "/proc/cpuinfo");
	else
		shunt_env_absent(env, "cpu.microcode", "/proc/cpuinfo does not say");
	if (cpuinfo(text, "flags", value, sizeof(value)) ||
		cpuinfo(text, "Features", value, sizeof(value)))
		shunt_env_fact(env, "cpu.flags", value, "/proc/cpuinfo");
	else
		shunt_env_absent(env, "cpu.flags", "/proc/cpuinfo does not say");
}

/* "L1 Data": "48K of 0" for CPU 0. */
static void gather_caches(struct shunt_env *env, const char *root)
{
	json_t *caches = json_object();

	for (int i = 0; i < 16; i++) {
		char path[128], level[16], type[32], size[32], shared[128], name[64], value[192];
		static const char base[] = CPU_PATH "cpu0/cache/index";

		snprintf(path, sizeof(path), "%s%d/level", base, i);
		if (shunt_proc_read(root, path, level, sizeof(level)) <= 0)
			break;
		snprintf(path, sizeof(path), "%s%d/type", base, i);
		shunt_proc_read(root, path, type, sizeof(type));
		snprintf(path, sizeof(path), "%s%d/size", base, i);
		shunt_proc_read(root, path, size, sizeof(size));
		snprintf(path, sizeof(path), "%s%d/shared_cpu_list", base, i);
		shunt_proc_read(root, path, shared, sizeof(shared));
		snprintf(name, sizeof(name), "L%s %s", level, type);
		snprintf(value, sizeof(value), "%s, CPUs %s", size, shared);
		json_object_set_new(caches, name, shunt_json_text(value));
	}
	if (json_object_size(caches)) {
		shunt_env_put(env, env->facts, "cpu.caches", caches, CPU_PATH "cpu0/cache");
		return;
	}
	json_decref(caches);
	shunt_env_absent(env, "cpu.caches", "no " CPU_PATH "cpu0/cache");
}

/* Cores are told apart by their list of sibling threads. */
static void gather_counts(struct shunt_env *env, const char *root)
{
	long logical = sysconf(_SC_NPROCESSORS_ONLN), all = sysconf(_SC_NPROCESSORS_CONF);
	json_t *siblings = json_object();

	for (long cpu = 0; cpu < all; cpu++) {
		char path[96], list[256];

		snprintf(path, sizeof(path), CPU_PATH "cpu%ld/topology/thread_siblings_list", cpu);
		if (shunt_proc_read(root, path, list, sizeof(list)) > 0)
			json_object_set_new(siblings, list, json_true());
	}
	shunt_env_put(env, env->facts, "cpu.logical", json_integer(logical), "sysconf");
	if (json_object_size(siblings))
		shunt_env_put(env, env->facts, "cpu.cores",
			json_integer((json_int_t)json_object_size(siblings)),
			CPU_PATH "cpu*/topology/thread_siblings_list");
	else
		shunt_env_absent(env, "cpu.cores", "no " CPU_PATH "cpu0/topology");
	json_decref(siblings);
}

/* What a per-CPU file says, each different value once: "performance+powersave". */
static void gather_each(struct shunt_env *env, const char *root, const char *name, const char *file)
{
	long all = sysconf(_SC_NPROCESSORS_CONF);
	char joined[256] = "", path[128], value[64];

	for (long cpu = 0; cpu < all; cpu++) {
		snprintf(path, sizeof(path), CPU_PATH "cpu%ld/%s", cpu, file);
		if (shunt_proc_read(root, path, value, sizeof(value)) <= 0 || strstr(joined, value))
			continue;
		size_t used = strlen(joined);
		snprintf(joined + used, sizeof(joined) - used, "%s%s", used ? "+" : "", value);
	}
	snprintf(path, sizeof(path), CPU_PATH "cpu*/%s", file);
	if (*joined)
		shunt_env_fact(env, name, joined, path);
	else
		shunt_env_absent(env, name, "no %s", path);
}

static void gather_boost(struct shunt_env *env, const char *root)
{
	static const char boost[] = CPU_PATH "cpufreq/boost";
	static const char no_turbo[] = CPU_PATH "intel_pstate/no_turbo";
	uint64_t value;

	if (shunt_proc_number(root, boost, &value) == 0)
		shunt_env_put(env, env->facts, "cpu.boost", json_boolean(value), boost);
	else if (shunt_proc_number(root, no_turbo, &value) == 0)
		shunt_env_put(env, env->facts, "cpu.boost", json_boolean(!value), no_turbo);
	else
		shunt_env_absent(env, "cpu.boost", "no %s, no %s", boost, no_turbo);
}

static void gather_mitigations(struct shunt_env *env, const char *root)
{
	static const char folder[] = CPU_PATH "vulnerabilities";
	char path[512], state[256];
	struct dirent *entry;
	json_t *all = json_object();

	snprintf(path, sizeof(path), "%s%s", root, folder);
	DIR *open = opendir(path);
	while (open && (entry = readdir(open))) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
		if (shunt_proc_read(root, path, state, sizeof(state)) > 0)
			json_object_set_new(all, entry->d_name, shunt_json_text(state));
	}
	if (open)
		closedir(open);
	if (json_object_size(all)) {
		shunt_env_put(env, env->facts, "cpu.mitigations", all, folder);
		return;
	}
	json_decref(all);
	shunt_env_absent(env, "cpu.mitigations", "no %s", folder);
}

/* The CPUs this process may run on, as a list: "0-3,8". */
static void gather_allowed(struct shunt_env *env)
{
	struct shunt_cpus cpus;
	char *text = NULL;
	size_t length = 0;
	FILE *out = shunt_cpus_allowed(&cpus) ? NULL : open_memstream(&text, &length);

	if (!out)
		shunt_env_absent(env, "cpu.allowed", "sched_getaffinity failed");
	for (int cpu = -1; out && (cpu = shunt_cpus_next(&cpus, cpu)) >= 0;) {
		int last = cpu;

		while (shunt_cpus_has(&cpus, last + 1))
			last++;
		fprintf(out, last > cpu ? "%s%d-%d" : "%s%d", ftell(out) ? "," : "", cpu, last);
		cpu = last;
	}
	if (out && fclose(out) == 0)
		shunt_env_fact(env, "cpu.allowed", text, "sched_getaffinity");
	free(text);
	shunt_cpus_free(&cpus);
}

static void hypervisor_signature(json_t *found)
{
#if defined(__x86_64__)
	unsigned a, b, c, d;
	char text[13] = "";

	__cpuid(1, a, b, c, d);
	json_object_set_new(found, "flag", json_string(c & (1u << 31) ? "yes" : "no"));
	if (!(c & (1u << 31)))
		return;
	__cpuid(0x40000000, a, b, c, d);
	memcpy(text, &b, 4);
	memcpy(text + 4, &c, 4);
	memcpy(text + 8, &d, 4);
	json_object_set_new(found, "signature", shunt_json_text(text));
#else
	(void)found;
#endif
}

static void gather_hypervisor(struct shunt_env *env, const char *root)
{
	static const char *const files[][2] = {
		{"type", "/sys/hypervisor/type"},
		{"vendor", "/sys/class/dmi/id/sys_vendor"},
		{"product", "/sys/class/dmi/id/product_name"},
		{"compatible", "/proc/device-tree/hypervisor/compatible"},
	};
	json_t *found = json_object();
	char text[128];

	hypervisor_signature(found);
	for (size_t i = 0; i < sizeof(files) / sizeof(*files); i++)
		if (shunt_proc_read(root, files[i][1], text, sizeof(text)) > 0)
			json_object_set_new(found, files[i][0], shunt_json_text(text));
	if (json_object_size(found)) {
		shunt_env_put(env, env->facts, "machine.hypervisor", found,
			"cpuid, /sys/hypervisor, /sys/class/dmi");
		return;
	}
	json_decref(found);
	shunt_env_absent(env, "machine.hypervisor", "neither cpuid nor /sys says");
}

void shunt_env_gather_cpu(struct shunt_env *env, const char *root)
{
	char text[CPUINFO_BYTES];
	struct utsname name;

	uname(&name);
	shunt_env_fact(env, "cpu.arch", name.machine, "uname");
	shunt_proc_read(root, "/proc/cpuinfo", text, sizeof(text));
	gather_model(env, text);
	gather_caches(env, root);
	gather_counts(env, root);
	gather_each(env, root, "cpu.governor", "cpufreq/scaling_governor");
	gather_each(env, root, "cpu.freq_driver", "cpufreq/scaling_driver");
	gather_boost(env, root);
	gather_mitigations(env, root);
	gather_allowed(env);
	gather_hypervisor(env, root);
}
