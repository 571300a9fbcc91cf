/* SPDX-License-Identifier: MIT */
/* If this passes, what a machine says of its CPU quota and its hypervisor is found, and a run
 * says so. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/cli/run.h"
#include "core/measure/environment.h"
#include "core/measure/test/machine_files.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const struct cli_finding *find(const struct cli_run *run, const char *name)
{
	for (size_t i = 0; i < run->finding_count; i++)
		if (!strcmp(run->findings[i].name, name))
			return &run->findings[i];
	fail_msg("nothing is found out about: %s", name);
	return NULL;
}

/* A run on one worker that nothing disturbed, on the machine in `root`. */
static struct cli_run run_there(const char *hypervisor)
{
	struct shunt_outcome outcome = {.status = SHUNT_RECORD_OK, .warmup_done = 1};
	struct cli_run run = {.finding_count = 0};
	struct shunt_env *env;

	assert_int_equal(shunt_env_new(&env), 0);
	shunt_env_gather(env, root);
	if (hypervisor)
		json_object_set_new(json_object_get(shunt_env_json(env), "facts"),
			"machine.hypervisor",
			json_pack("{s:{s:s}}", "value", "signature", hypervisor));
	run.finding_count = cli_findings(env, run.findings);
	cli_run_caveats(&run, &outcome);
	shunt_env_free(env);
	return run;
}

static void quota_is(const char *value)
{
	struct cli_run run = run_there(NULL);
	const struct cli_finding *quota = find(&run, "CPU quota");
	bool limited = strcmp(value, "none") != 0;

	assert_string_equal(quota->value, value);
	assert_int_equal(quota->level, limited ? CLI_NOTE : CLI_FINE);
	assert_int_equal(strstr(run.caveats.s, "CPU quota") != NULL, limited);
	if (limited)
		assert_non_null(strstr(run.caveats.s, "also with one worker"));
	free(run.caveats.s);
}

static void a_quota_is_a_caveat(void **state)
{
	(void)state;
	put("/proc/self/cgroup", "0::/user/job\n");
	put("/sys/fs/cgroup/user/job/cpu.max", "50000 100000\n");
	quota_is("50000 100000");
}

static void so_is_one_of_a_group_above(void **state)
{
	(void)state;
	put("/proc/self/cgroup", "0::/user/job\n");
	put("/sys/fs/cgroup/user/cpu.max", "150000 100000\n");
	put("/sys/fs/cgroup/user/job/cpu.max", "max 100000\n");
	quota_is("150000 100000");
}

static void and_one_of_the_old_hierarchy(void **state)
{
	(void)state;
	put("/proc/self/cgroup", "4:memory:/box\n1:cpu,cpuacct:/box/inner\n0::/\n");
	put("/sys/fs/cgroup/cpu/box/cpu.cfs_quota_us", "200000\n");
	put("/sys/fs/cgroup/cpu/box/inner/cpu.cfs_quota_us", "-1\n");
	quota_is("200000");
}

static void no_quota_is_none(void **state)
{
	(void)state;
	quota_is("none");
	put("/proc/self/cgroup", "1:cpu,cpuacct:/box\n0::/job\n");
	put("/sys/fs/cgroup/cpu/box/cpu.cfs_quota_us", "-1\n");
	quota_is("none");
	put("/sys/fs/cgroup/job/cpu.max", "max 100000\n");
	quota_is("none");
}

static void a_hypervisor_has_a_name(void **state)
{
	static const char *const names[][2] = {{"KVMKVMKVM", "KVM"}, {"Microsoft Hv", "Hyper-V"},
		{"bhyve bhyve ", "bhyve"}, {" lrpepyh vr", "Parallels"}, {"  new one ", "new one"},
		{"", "none"}, {"   ", "none"}};

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		struct cli_run run = run_there(names[i][0]);

		assert_string_equal(find(&run, "hypervisor")->value, names[i][1]);
		free(run.caveats.s);
	}
}

static struct shunt_interference probed(double throughput_ns, double latency_ns)
{
	return (struct shunt_interference){.have = SHUNT_INTERFERENCE_PROBE,
		.throughput_ns = throughput_ns,
		.latency_ns = latency_ns};
}

static void a_probe_that_slowed_down_is_a_caveat(void **state)
{
	static const struct {
		double throughput_ns, latency_ns; /* after 2 and 1 before */
		const char *said;
	} cases[] = {{2.98, 0.7, NULL}, {3, 1, "1.5 times just after"},
		{1, 1, "2.0 times just before"}, {2, 40, "40.0 times just after"},
		{1, 3, "3.0 times just after"}};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct shunt_outcome outcome = {.status = SHUNT_RECORD_OK,
			.warmup_done = 1,
			.before = probed(2, 1),
			.after = probed(cases[i].throughput_ns, cases[i].latency_ns)};
		struct cli_run run = {.finding_count = 0};

		cli_run_caveats(&run, &outcome);
		if (cases[i].said)
			assert_non_null(strstr(run.caveats.s, cases[i].said));
		else
			assert_true(!run.caveats.s || !strstr(run.caveats.s, "probe"));
		free(run.caveats.s);
	}
}

int main(void)
{
#define IN_ROOT(name) cmocka_unit_test_setup_teardown(name, make_root, remove_root)
	const struct CMUnitTest tests[] = {
		IN_ROOT(a_quota_is_a_caveat),
		IN_ROOT(so_is_one_of_a_group_above),
		IN_ROOT(and_one_of_the_old_hierarchy),
		IN_ROOT(no_quota_is_none),
		IN_ROOT(a_hypervisor_has_a_name),
		cmocka_unit_test(a_probe_that_slowed_down_is_a_caveat),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
