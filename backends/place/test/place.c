/* SPDX-License-Identifier: MIT */
/*
 * Placements put workers where they say, on machines that this one is not, and refuse the rest.
 *
 * Plans are made on hwloc's synthetic topologies through the scheduler itself, and read back from
 * the facts of the resolved composition.
 */
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

static struct shunt_error err;

struct facts {
	char cpus[256]; /* of worker 0, 1, …, separated by spaces */
	char oversubscribed[8];
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
	}
}

static bool have(const char *name)
{
	for (const struct shunt_plugin *p = shunt_registry_places; p->name; p++)
		if (!strcmp(p->name, name))
			return p->object != NULL;
	return false;
}

static struct facts plan(const char *spec)
{
	struct facts facts = {"", ""};
	struct shunt_sched *sched;
	if (shunt_open(&sched, spec, NULL, &err))
		fail_msg("%s: %s", spec, err.text);
	sched->backend->facts(sched, on_fact, &facts);
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
	/* One package with two fast cores of two siblings and four slow ones of one each. */
	assert_string_equal(plan("ucontext:workers=2,place=core,place.topology=pack:1 core:6 pu:1")
				    .cpus,
		"0 1");
}

static void more_workers_than_cpus_are_said(void **state)
{
	(void)state;
	if (!have("core"))
		skip();
	struct facts facts = plan("ucontext:workers=6,place=core," SMT);
	assert_string_equal(facts.cpus, "0 2 4 6 0 2");
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
		int rc = shunt_run(sched, where_am_i, &ran, NULL, &err);
		shunt_close(sched);
		if (rc == -ENOSYS || rc == -EXDEV) { /* emulators do not bind */
			print_message("%s\n", err.text);
			skip();
		}
		assert_int_equal(rc, 0);
		assert_int_equal(ran, cpu);
	}
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
	sched_setaffinity(0, sizeof(allowed), &allowed);
	assert_string_equal(facts.cpus, expected);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(plans_follow_the_machine),
		cmocka_unit_test(more_workers_than_cpus_are_said),
		cmocka_unit_test(nonsense_is_refused),
		cmocka_unit_test(a_worker_runs_where_it_was_put),
		cmocka_unit_test(a_synthetic_plan_cannot_be_run),
		cmocka_unit_test(one_allowed_cpu_gives_one_worker),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
