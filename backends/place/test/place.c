/* SPDX-License-Identifier: MIT */
/*
 * Placements put workers where they say, on machines that this one is not, and refuse the rest.
 *
 * Plans are made on hwloc's synthetic topologies through the scheduler itself, and read back from
 * the facts of the resolved composition. What control groups say is put in by --wrap=fopen; what
 * the kernel refuses is refused by real seccomp filters, in a child each.
 */
#include "backends/test/forbid.h"
#include "core/backend.h"
#include "core/registry.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static struct shunt_error err;

struct facts {
	char cpus[256]; /* of worker 0, 1, …, separated by spaces */
	char oversubscribed[8];
	char binding[96];
};

static void on_fact(void *sink, const char *name, const char *value, const char *source)
{
	struct facts *facts = sink;
	(void)source;
	if (!strncmp(name, "place.worker", 12)) {
		size_t used = strlen(facts->cpus);
		snprintf(facts->cpus + used, sizeof(facts->cpus) - used, "%s%s", used ? " " : "",
			value);
	} else if (!strcmp(name, "place.oversubscribed")) {
		snprintf(facts->oversubscribed, sizeof(facts->oversubscribed), "%s", value);
	} else if (!strcmp(name, "place.binding")) {
		snprintf(facts->binding, sizeof(facts->binding), "%s", value);
	}
}

static bool have(const char *name)
{
	for (const struct shunt_plugin *p = shunt_registry_places; p->name; p++)
		if (!strcmp(p->name, name))
			return p->object != NULL;
	return false;
}

static struct facts facts_of(const struct shunt_sched *sched)
{
	struct facts facts = {.cpus = ""};
	sched->backend->facts(sched, on_fact, &facts);
	return facts;
}

static struct facts plan(const char *spec)
{
	struct shunt_sched *sched;
	if (shunt_open(&sched, spec, NULL, &err))
		fail_msg("%s: %s", spec, err.text);
	struct facts facts = facts_of(sched);
	shunt_close(sched);
	return facts;
}

/* Two packages of two cores with two SMT siblings each: CPUs 0 1 | 2 3 || 4 5 | 6 7. */
#define SMT "place.topology=pack:2 core:2 pu:2"

static void plans_follow_the_machine(void **state)
{
	(void)state;
	if (!have("core"))
		skip();
	assert_string_equal(plan("ucontext:workers=4,place=compact," SMT).cpus, "0 1 2 3");
	assert_string_equal(plan("ucontext:workers=4,place=core," SMT).cpus, "0 2 4 6");
	assert_string_equal(plan("ucontext:workers=all,place=core," SMT).cpus, "0 2 4 6");
	assert_string_equal(plan("ucontext:workers=2,place=scatter," SMT).cpus, "0 4");
	assert_string_equal(plan("ucontext:workers=3,place=1+4-5," SMT).cpus, "1 4 5");
	assert_string_equal(
		plan("ucontext:workers=2,place=scatter,place.topology=pack:1 core:6 pu:1").cpus,
		"0 3");
}

/* ---- a machine whose cores differ ------------------------------------------------------------ */

#define SETS(mask)                                                                                 \
	"cpuset=\"" mask "\" complete_cpuset=\"" mask "\" allowed_cpuset=\"" mask                  \
	"\" nodeset=\"0x1\" complete_nodeset=\"0x1\" allowed_nodeset=\"0x1\""
#define PU(index, mask)                                                                            \
	"<object type=\"PU\" os_index=\"" index "\" gp_index=\"1" index "\" " SETS(mask) "/>"
#define CORE(index, mask, ...)                                                                     \
	"<object type=\"Core\" os_index=\"" index "\" gp_index=\"2" index                          \
	"\" " SETS(mask) ">" __VA_ARGS__ "</object>"

/* Two fast cores of two siblings each, then four slow ones: CPUs 0 1 | 2 3 | 4 | 5 | 6 | 7. */
/* clang-format off */
static const char hybrid[] =
	"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<!DOCTYPE topology SYSTEM \"hwloc2.dtd\">\n"
	"<topology version=\"2.0\">"
	"<object type=\"Machine\" os_index=\"0\" gp_index=\"1\" " SETS("0xff") ">"
	"<object type=\"NUMANode\" os_index=\"0\" gp_index=\"2\" " SETS("0xff")
	" local_memory=\"1024\"/>"
	"<object type=\"Package\" os_index=\"0\" gp_index=\"3\" " SETS("0xff") ">"
	CORE("0", "0x03", PU("0", "0x01") PU("1", "0x02"))
	CORE("1", "0x0c", PU("2", "0x04") PU("3", "0x08"))
	CORE("2", "0x10", PU("4", "0x10"))
	CORE("3", "0x20", PU("5", "0x20"))
	CORE("4", "0x40", PU("6", "0x40"))
	CORE("5", "0x80", PU("7", "0x80"))
	"</object></object></topology>\n";
/* clang-format on */

static void plans_follow_a_hybrid_machine(void **state)
{
	char file[] = "/tmp/shunt-place-XXXXXX.xml", spec[256];
	(void)state;
	if (!have("core"))
		skip();
	int fd = mkstemps(file, 4);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, hybrid, sizeof(hybrid) - 1), (ssize_t)sizeof(hybrid) - 1);
	close(fd);
	snprintf(spec, sizeof(spec), "ucontext:workers=all,place=core,place.topology=%s", file);
	assert_string_equal(plan(spec).cpus, "0 2 4 5 6 7");
	snprintf(spec, sizeof(spec), "ucontext:workers=all,place=compact,place.topology=%s", file);
	assert_string_equal(plan(spec).cpus, "0 1 2 3 4 5 6 7");
	/* Beyond the cores: the siblings of those that have one, then round again. */
	snprintf(spec, sizeof(spec), "ucontext:workers=10,place=core,place.topology=%s", file);
	assert_string_equal(plan(spec).cpus, "0 2 4 5 6 7 1 3 0 2");
	unlink(file);
}

/* ---- a CPU quota ----------------------------------------------------------------------------- */

/* Files of /proc and /sys, in place of the machine's; an empty list: the machine's own. */
struct fake {
	const char *path, *text;
};
static const struct fake *fakes;

FILE *__real_fopen(const char *path, const char *mode);
FILE *__wrap_fopen(const char *path, const char *mode);

FILE *__wrap_fopen(const char *path, const char *mode)
{
	if (!fakes || (strncmp(path, "/sys/fs/cgroup", 14) && strcmp(path, "/proc/self/cgroup")))
		return __real_fopen(path, mode);
	for (const struct fake *fake = fakes; fake->path; fake++)
		if (!strcmp(fake->path, path)) {
			FILE *file = tmpfile();
			assert_non_null(file);
			assert_true(fputs(fake->text, file) >= 0);
			rewind(file);
			return file;
		}
	errno = ENOENT;
	return NULL;
}

#define EIGHT "place.topology=pack:1 core:8 pu:1"

static void with_quota(const struct fake *files, const char *cpus, const char *more_is_said)
{
	fakes = files;
	assert_string_equal(plan("ucontext:workers=all,place=core," EIGHT).cpus, cpus);
	assert_string_equal(plan("ucontext:workers=4,place=core," EIGHT).oversubscribed,
		more_is_said);
	assert_string_equal(plan("ucontext:workers=4,place=core," EIGHT).cpus, "0 1 2 3");
	fakes = NULL;
}

static void a_quota_bounds_all(void **state)
{
	static const struct fake above[] = {{"/proc/self/cgroup", "0::/a/b\n"},
		{"/sys/fs/cgroup/a/b/cpu.max", "max 100000\n"},
		{"/sys/fs/cgroup/a/cpu.max", "250000 100000\n"}, {NULL, NULL}};
	static const struct fake container[] = {{"/proc/self/cgroup", "0::/\n"},
		{"/sys/fs/cgroup/cpu.max", "50000 100000\n"}, {NULL, NULL}};
	static const struct fake nested[] = {{"/proc/self/cgroup", "0::/job\n"},
		{"/sys/fs/cgroup/job/cpu.max", "max 100000\n"},
		{"/sys/fs/cgroup/cpu.max", "200000 100000\n"}, {NULL, NULL}};
	static const struct fake old[] = {{"/proc/self/cgroup",
						  "5:memory:/x\n4:cpu,cpuacct:/x\n0::/\n"},
		{"/sys/fs/cgroup/cpu/x/cpu.cfs_quota_us", "300000\n"},
		{"/sys/fs/cgroup/cpu/x/cpu.cfs_period_us", "100000\n"}, {NULL, NULL}};
	static const struct fake none[] = {{"/proc/self/cgroup", "4:cpu:/x\n0::/a\n"},
		{"/sys/fs/cgroup/cpu/x/cpu.cfs_quota_us", "-1\n"},
		{"/sys/fs/cgroup/cpu/x/cpu.cfs_period_us", "100000\n"},
		{"/sys/fs/cgroup/a/cpu.max", "rubbish\n"}, {NULL, NULL}};
	(void)state;
	if (!have("core"))
		skip();
	with_quota(above, "0 1 2", "yes");
	with_quota(container, "0", "yes");
	with_quota(nested, "0 1", "yes");
	with_quota(old, "0 1 2", "yes");
	with_quota(none, "0 1 2 3 4 5 6 7", "no");
	/* The workers that the quota allows are spread over all CPUs. */
	fakes = nested;
	assert_string_equal(plan("ucontext:workers=all,place=scatter," SMT).cpus, "0 4");
	/* Without hwloc's help it counts too. */
	fakes = container;
	assert_string_equal(plan("ucontext:workers=2,place=none").oversubscribed, "yes");
	fakes = NULL;
}

static void more_workers_than_cpus_are_said(void **state)
{
	(void)state;
	if (!have("core"))
		skip();
	struct facts facts = plan("ucontext:workers=6,place=core," SMT);
	assert_string_equal(facts.cpus, "0 2 4 6 1 3");
	assert_string_equal(facts.oversubscribed, "yes");
	facts = plan("ucontext:workers=9,place=compact," SMT);
	assert_string_equal(facts.cpus, "0 1 2 3 4 5 6 7 0");
	assert_string_equal(facts.oversubscribed, "yes");
	assert_string_equal(plan("ucontext:workers=4,place=core," SMT).oversubscribed, "no");
}

static void refused(const char *spec, int expected, const char *words)
{
	struct shunt_sched *sched;
	int rc = shunt_open(&sched, spec, NULL, &err);
	if (rc != expected)
		fail_msg("%s: %d instead of %d (%s)", spec, rc, expected, err.text);
	if (!strstr(err.text, words))
		fail_msg("%s: '%s' not in: %s", spec, words, err.text);
}

static void nonsense_is_refused(void **state)
{
	(void)state;
	if (!have("core"))
		skip();
	refused("ucontext:workers=0", -ERANGE, "workers=0: must be from 1");
	refused("ucontext:workers=100000", -ERANGE, "workers=100000");
	refused("ucontext:workers=-1", -EINVAL, "workers=-1");
	refused("ucontext:workers=few", -EINVAL, "workers=few");
	refused("ucontext:place=corse", -ENOENT, "core");
	refused("ucontext:place=0+x", -EINVAL, "0+2+4-7");
	refused("ucontext:place=3-1", -EINVAL, "3-1");
	refused("ucontext:place=0+9999", -ERANGE, "CPU 9999");
	refused("ucontext:place=core,place.topology=pack:two", -EINVAL, "pack:two");
	refused("ucontext:workers=2,mt=0", -EINVAL, "mt=1");
}

static void *where_am_i(void *arg)
{
	*(int *)arg = sched_getcpu();
	return NULL;
}

static void a_worker_runs_where_it_was_put(void **state)
{
	(void)state;
	cpu_set_t allowed, after;
	if (!have("core"))
		skip();
	assert_int_equal(sched_getaffinity(0, sizeof(allowed), &allowed), 0);
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		char spec[64];
		int ran = -1;
		struct shunt_sched *sched;
		if (!CPU_ISSET(cpu, &allowed))
			continue;
		snprintf(spec, sizeof(spec), "ucontext:place=%d", cpu);
		assert_int_equal(shunt_open(&sched, spec, NULL, &err), 0);
		assert_string_equal(facts_of(sched).binding, "planned");
		int rc = shunt_run(sched, where_am_i, &ran, NULL, &err);
		struct facts facts = facts_of(sched);
		shunt_close(sched);
		if (rc == -ENOSYS || rc == -EXDEV) { /* emulators do not bind */
			print_message("%s\n", err.text);
			skip();
		}
		assert_int_equal(rc, 0);
		assert_int_equal(ran, cpu);
		assert_int_equal(strncmp(facts.binding, "strict, ", 8), 0);
		if (access("/proc/self/task", F_OK) == 0)
			assert_string_equal(facts.binding,
				"strict, verified by where each worker ran");
	}
	assert_string_equal(plan("ucontext:place=none").binding, "none");
	/* The caller's thread was worker 0, and is free again. */
	assert_int_equal(sched_getaffinity(0, sizeof(after), &after), 0);
	assert_true(CPU_EQUAL(&allowed, &after));
}

static void a_synthetic_plan_cannot_be_run(void **state)
{
	(void)state;
	struct shunt_sched *sched;
	int ran;
	if (!have("core"))
		skip();
	assert_int_equal(shunt_open(&sched, "ucontext:place=core," SMT, NULL, &err), 0);
	assert_int_equal(shunt_run(sched, where_am_i, &ran, NULL, &err), -ENOTSUP);
	shunt_close(sched);
}

/* ---- what the kernel refuses ----------------------------------------------------------------- */

enum { FILTERS_REFUSED = 77 };

/* May this thread run where it might before? */
static bool allowed_as(const cpu_set_t *before)
{
	cpu_set_t now;
	return !sched_getaffinity(0, sizeof(now), &now) && CPU_EQUAL(&now, before);
}

/* A run of two workers under a filter: how it ends, and a word of what it says. The caller, which
 * was worker 0, is bound no longer. */
static void is_refused(unsigned call, const char *spec, int expected, const char *words)
{
	int status;
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		struct shunt_sched *sched;
		cpu_set_t before;
		sched_getaffinity(0, sizeof(before), &before);
		int ran, rc = forbid(call, EPERM);
		if (rc)
			_exit(FILTERS_REFUSED);
		alarm(100);
		rc = shunt_open(&sched, spec, NULL, &err);
		if (!rc)
			rc = shunt_run(sched, where_am_i, &ran, NULL, &err);
		fprintf(stderr, "%s: %d %s\n", spec, rc, err.text);
		if (!allowed_as(&before))
			_exit(2);
		_exit(rc == expected && (rc == 0 || strstr(err.text, words)) ? 0 : 1);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	if (WIFEXITED(status) && WEXITSTATUS(status) == FILTERS_REFUSED)
		skip(); /* emulators have no filters */
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void a_refused_binding_is_an_error(void **state)
{
	(void)state;
	if (!have("core"))
		skip();
	is_refused(SYS_sched_setaffinity, "ucontext:workers=2,place=core", -EPERM,
		"refused to bind the worker to CPU");
	is_refused(SYS_sched_setaffinity, "ucontext:workers=2,place=none", 0, "");
}

/* hwloc says on standard error what it could not read; we do not, unless asked. */
static void the_library_is_silent(void **state)
{
	(void)state;
	if (!have("core"))
		skip();
	unsetenv("HWLOC_HIDE_ERRORS");
	plan("ucontext:place=core");
	assert_string_equal(getenv("HWLOC_HIDE_ERRORS"), "2");
	setenv("HWLOC_HIDE_ERRORS", "0", 1);
	plan("ucontext:place=core");
	assert_string_equal(getenv("HWLOC_HIDE_ERRORS"), "0");
}

/* Another machine comes from place.topology alone, which the record tells. */
static void the_environment_brings_no_other_machine(void **state)
{
	(void)state;
	if (!have("core"))
		skip();
	struct facts before = plan("ucontext:workers=all,place=core");
	setenv("HWLOC_SYNTHETIC", "pack:2 core:4 pu:2", 1);
	setenv("HWLOC_XMLFILE", "/no/such/file", 1);
	setenv("HWLOC_THISSYSTEM", "1", 1);
	struct facts after = plan("ucontext:workers=all,place=core");
	assert_null(getenv("HWLOC_SYNTHETIC"));
	assert_string_equal(before.cpus, after.cpus);
}

static void one_allowed_cpu_gives_one_worker(void **state)
{
	(void)state;
	cpu_set_t allowed, one;
	if (!have("core"))
		skip();
	assert_int_equal(sched_getaffinity(0, sizeof(allowed), &allowed), 0);
	int last = -1;
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
		last = CPU_ISSET(cpu, &allowed) ? cpu : last;
	CPU_ZERO(&one);
	CPU_SET(last, &one); /* a set without CPU 0 where there are two */
	assert_int_equal(sched_setaffinity(0, sizeof(one), &one), 0);
	char expected[16];
	snprintf(expected, sizeof(expected), "%d", last);
	struct facts facts = plan("ucontext:workers=all,place=core");
	struct facts anywhere = plan("ucontext:workers=all,place=none");
	struct facts two = plan("ucontext:workers=2,place=core");
	sched_setaffinity(0, sizeof(allowed), &allowed);
	assert_string_equal(facts.cpus, expected);
	assert_string_equal(anywhere.cpus, "any of 1 allowed");
	assert_string_equal(facts.oversubscribed, "no");
	assert_string_equal(two.oversubscribed, "yes");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		/* First: under ThreadSanitizer no child starts threads once tasks have run. */
		cmocka_unit_test(a_refused_binding_is_an_error),
		cmocka_unit_test(plans_follow_the_machine),
		cmocka_unit_test(more_workers_than_cpus_are_said),
		cmocka_unit_test(nonsense_is_refused),
		cmocka_unit_test(a_worker_runs_where_it_was_put),
		cmocka_unit_test(a_synthetic_plan_cannot_be_run),
		cmocka_unit_test(plans_follow_a_hybrid_machine),
		cmocka_unit_test(a_quota_bounds_all),
		cmocka_unit_test(the_library_is_silent),
		cmocka_unit_test(the_environment_brings_no_other_machine),
		cmocka_unit_test(one_allowed_cpu_gives_one_worker),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
