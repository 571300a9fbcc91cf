/* SPDX-License-Identifier: MIT */
/*
 * What about this machine and build may disturb a measurement, and what to do about it.
 *
 * It judges the facts of the manifest, so that the report of a run, `shunt doctor` and --strict say
 * the same of the same machine. A reader must know a note. Noise must be removed before numbers are
 * published, and --strict refuses it.
 */
#include "core/cli/cli.h"

#include "core/build_info.h"
#include "core/engine/slots.h"
#include "core/measure/environment.h"

#include <errno.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The first placement that knows the topology tells it, whatever placement the run has: all runs on
 * one machine state then share one manifest. */
static void add_topology(struct shunt_env *env)
{
	for (const struct shunt_plugin *p = shunt_registry_places; p->name; p++) {
		const struct shunt_place *place = p->object;
		struct shunt_error why;

		if (!place || !place->facts || (place->probe && place->probe(&why) != 0))
			continue;
		place->facts(shunt_env_fact, env);
		return;
	}
}

struct shunt_env *cli_gather(void)
{
	struct shunt_env *env;

	if (shunt_env_new(&env) != 0)
		return NULL;
	shunt_env_gather(env, "");
	add_topology(env);
	return env;
}

const char *cli_fact(const struct shunt_env *env, const char *name, char *text, size_t bytes,
	const char *otherwise)
{
	json_t *facts = json_object_get(shunt_env_json(env), "facts");
	json_t *value = json_object_get(json_object_get(facts, name), "value");

	if (json_is_string(value) && *json_string_value(value))
		snprintf(text, bytes, "%s", json_string_value(value));
	else if (json_is_integer(value))
		snprintf(text, bytes, "%lld", (long long)json_integer_value(value));
	else if (json_is_boolean(value))
		snprintf(text, bytes, "%s", json_is_true(value) ? "yes" : "no");
	else
		snprintf(text, bytes, "%s", otherwise);
	return text;
}

/* What a fact is worth that this machine does not tell. */
#define NOT_KNOWN "not known"

/* ---- findings -------------------------------------------------------------------------------- */

struct findings {
	struct cli_finding *list;
	size_t count;
};

static void __attribute__((format(printf, 4, 5)))
found(struct findings *findings, const char *name, const char *value, const char *advice, ...)
{
	struct cli_finding *finding = &findings->list[findings->count];
	va_list args;

	if (findings->count == CLI_FINDINGS_MAX)
		return;
	findings->count++;
	*finding = (struct cli_finding){.name = name, .level = CLI_NOTE};
	snprintf(finding->value, sizeof(finding->value), "%s", value);
	va_start(args, advice);
	vsnprintf(finding->advice, sizeof(finding->advice), advice, args);
	va_end(args);
	if (!finding->advice[0])
		finding->level = strcmp(value, NOT_KNOWN) == 0 ? CLI_UNKNOWN : CLI_FINE;
}

static void is_noise(struct findings *findings)
{
	findings->list[findings->count - 1].level = CLI_NOISE;
}

static void look_at_build(struct findings *f, const struct shunt_env *env)
{
	char text[96];

	if (SHUNT_DEBUG) {
		found(f, "build", SHUNT_BUILD_TYPE,
			"debug checks or a sanitizer are compiled in; use the release preset");
		is_noise(f);
	} else {
		found(f, "build", SHUNT_BUILD_TYPE, "%s", "");
	}
	cli_fact(env, "build.dirty", text, sizeof(text), "unknown");
	if (strcmp(text, "yes") == 0)
		found(f, "source", "differs from its commit",
			"commit before measuring for publication, so that the records name the "
			"code");
	else if (strcmp(text, "no") == 0)
		found(f, "source", "as committed", "%s", "");
	else
		found(f, "source", "not a git clone", "the records cannot name the commit");
}

/* Twelve characters of cpuid, as hypervisors fill them. */
static const char *const hypervisors[][2] = {{"KVMKVMKVM", "KVM"}, {"Microsoft Hv", "Hyper-V"},
	{"VMwareVMware", "VMware"}, {"XenVMMXenVMM", "Xen"}, {"TCGTCGTCGTCG", "QEMU"},
	{"bhyve bhyve", "bhyve"}, {"VBoxVBoxVBox", "VirtualBox"}, {"lrpepyh vr", "Parallels"},
	{"ACRNACRNACRN", "ACRN"}};

/* The firmware's vendor alone says nothing: real machines have one too. */
static const char *hypervisor(const struct shunt_env *env, char *text, size_t bytes)
{
	static const char *const telling[] = {"signature", "type", "compatible"};
	json_t *facts = json_object_get(shunt_env_json(env), "facts");
	json_t *value = json_object_get(json_object_get(facts, "machine.hypervisor"), "value");

	snprintf(text, bytes, "none");
	for (size_t i = 0; i < sizeof(telling) / sizeof(telling[0]); i++) {
		const char *word = json_string_value(json_object_get(value, telling[i]));
		size_t length;

		if (!word)
			continue;
		word += strspn(word, " ");
		for (length = strlen(word); length && word[length - 1] == ' ';)
			length--;
		if (!length)
			continue;
		snprintf(text, bytes, "%.*s", (int)length, word);
		break;
	}
	for (size_t i = 0; i < sizeof(hypervisors) / sizeof(hypervisors[0]); i++)
		if (strcmp(text, hypervisors[i][0]) == 0)
			snprintf(text, bytes, "%s", hypervisors[i][1]);
	return text;
}

static void look_at_cpu(struct findings *f, const struct shunt_env *env)
{
	char text[96];

	hypervisor(env, text, sizeof(text));
	if (strcmp(text, "none") == 0)
		found(f, "hypervisor", text, "%s", "");
	else
		found(f, "hypervisor", text,
			"a virtual machine may share its CPUs and read its clock slowly; compare "
			"ratios within one session");
	cli_fact(env, "cpu.governor", text, sizeof(text), NOT_KNOWN);
	if (strcmp(text, "performance") == 0 || strcmp(text, NOT_KNOWN) == 0) {
		found(f, "governor", text, "%s", "");
	} else {
		found(f, "governor", text,
			"the clock rate follows the load; cpupower frequency-set -g performance");
		is_noise(f);
	}
	cli_fact(env, "cpu.boost", text, sizeof(text), NOT_KNOWN);
	found(f, "boost", text, "%s",
		strcmp(text, "1") == 0 || strcmp(text, "yes") == 0 || strcmp(text, "on") == 0
			? "the clock rate depends on temperature and neighbours; switch it off in "
			  "the "
			  "firmware or in /sys/devices/system/cpu"
			: "");
	cli_fact(env, "cpu.smt", text, sizeof(text), NOT_KNOWN);
	found(f, "SMT", text, "%s",
		strcmp(text, "1") == 0 || strcmp(text, "yes") == 0 || strcmp(text, "on") == 0
			? "two workers on one core share it; a placement can give each a core of "
			  "its own"
			: "");
	cli_fact(env, "cpu.isolated", text, sizeof(text), "none");
	found(f, "isolated CPUs", text, "%s",
		strcmp(text, "none") == 0 ? "" : "place the workers on them on purpose");
}

/* What the sysctl allows a filter or the kernel's build may refuse. Without parameters the call
 * sets nothing up: it is refused for that, or as such. */
static void look_at_rings(struct findings *f, const struct shunt_env *env)
{
	bool refused = syscall(SYS_io_uring_setup, 0, NULL) < 0 &&
		       (errno == ENOSYS || errno == EPERM);
	char disabled[32];

	cli_fact(env, "kernel.io_uring_disabled", disabled, sizeof(disabled), NOT_KNOWN);
	if (strcmp(disabled, "1") == 0 || strcmp(disabled, "2") == 0)
		found(f, "io_uring", disabled, "sysctl kernel.io_uring_disabled=0 allows it");
	else if (refused)
		found(f, "io_uring", "refused",
			"a seccomp filter forbids it, or the kernel lacks it; see above");
	else
		found(f, "io_uring", "allowed", "%s", "");
}

static void look_at_kernel(struct findings *f, const struct shunt_env *env)
{
	char text[96];
	long maps;

	cli_fact(env, "kernel.clocksource", text, sizeof(text), NOT_KNOWN);
	found(f, "clock source", text, "%s",
		strcmp(text, "hpet") == 0 || strcmp(text, "acpi_pm") == 0
			? "reading this clock is a slow device access; dmesg says why the TSC was "
			  "given up"
			: "");
	cli_fact(env, "kernel.thp", text, sizeof(text), NOT_KNOWN);
	found(f, "huge pages", text, "%s",
		strstr(text, "[always]")
			? "transparent huge pages everywhere, so the first touch of "
			  "memory varies; stacks "
			  "are exempt"
			: "");
	look_at_rings(f, env);
	cli_fact(env, "kernel.max_map_count", text, sizeof(text), NOT_KNOWN);
	maps = atol(text);
	found(f, "memory maps", text, "%s",
		maps > 0 && maps < 262144
			? "limits guarded stacks where the kernel has no MADV_GUARD_INSTALL; raise "
			  "it with sysctl vm.max_map_count=1048576"
			: "");
	cli_fact(env, "kernel.timer_slack_ns", text, sizeof(text), NOT_KNOWN);
	if (strcmp(text, NOT_KNOWN) != 0)
		strncat(text, " ns unless wait.slack sets it", sizeof(text) - strlen(text) - 1);
	found(f, "timer slack", text, "%s", "");
}

/* The group's quota, as the kernel writes it: "50000 100000", microseconds in a period, or "max
 * ...". */
static void look_at_quota(struct findings *f, const struct shunt_env *env)
{
	json_t *facts = json_object_get(shunt_env_json(env), "facts");
	json_t *group = json_object_get(json_object_get(facts, "machine.cgroup"), "value");
	const char *quota = json_string_value(json_object_get(group, "cpu.max"));

	if (!quota)
		quota = json_string_value(json_object_get(group, "cpu.cfs_quota_us"));
	if (!quota || *quota < '0' || *quota > '9')
		found(f, "CPU quota", "none", "%s", "");
	else
		found(f, "CPU quota", quota,
			"the control group's: beyond it the kernel stops every thread for the rest "
			"of the "
			"period, also with one worker; measure without one");
}

static void look_at_load(struct findings *f)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	char text[96];
	double load;

	if (getloadavg(&load, 1) != 1)
		return;
	snprintf(text, sizeof(text), "%.2f on %ld CPUs", load, cpus);
	if (load < 0.25 * (double)cpus) {
		found(f, "load", text, "%s", "");
	} else {
		found(f, "load", text, "other programs are running; wait, or stop them");
		is_noise(f);
	}
}

size_t cli_findings(const struct shunt_env *env, struct cli_finding list[CLI_FINDINGS_MAX])
{
	struct findings findings = {list, 0};

	look_at_build(&findings, env);
	look_at_cpu(&findings, env);
	look_at_kernel(&findings, env);
	look_at_quota(&findings, env);
	look_at_load(&findings);
	return findings.count;
}
