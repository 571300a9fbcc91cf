/* SPDX-License-Identifier: MIT */
/* If this passes, a thief of uts gets large subtrees: it comes rarely, whatever the tree. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/harness.h"
#include "core/registry.h"

#include <string.h>

static uint64_t counter(const struct shunt_outcome *outcome, const char *name)
{
	for (size_t i = 0; i < outcome->counter_count; i++)
		if (!strcmp(outcome->counters[i].name, name))
			return outcome->counters[i].value;
	fail_msg("no counter %s", name);
	return 0;
}

static const struct shunt_workload *find_uts(void)
{
	for (const struct shunt_plugin *p = shunt_registry_workloads; p->name; p++)
		if (!strcmp(p->name, "uts"))
			return p->object;
	return NULL;
}

/* Of leaves, a thief takes more than half of all tasks. */
static void a_thief_comes_rarely(void **state)
{
	const struct shunt_setting params[] = {{"tree", *state, true}, {"sample", "0", true}};
	struct shunt_request request = {.spec = "asm:workers=2,policy=steal",
		.workload = find_uts(),
		.params = params,
		.param_count = 2,
		.iterations = 1,
		.clock_span_ns = 1000000};
	struct shunt_error err = {""};
	struct shunt_run *run;
	if (!request.workload)
		skip();
	assert_int_equal(shunt_run_prepare(&run, &request, &err), 0);
	shunt_run_execute(run);
	const struct shunt_outcome *outcome = shunt_run_outcome(run);
	uint64_t stolen, spawned;
	if (outcome->status != SHUNT_RECORD_OK)
		fail_msg("%s", outcome->reason);
	stolen = counter(outcome, "tasks_stolen");
	spawned = counter(outcome, "spawns");
	shunt_run_free(run);
	if (stolen > spawned / 20)
		fail_msg("%llu of %llu tasks were stolen", (unsigned long long)stolen,
			(unsigned long long)spawned);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_prestate(a_thief_comes_rarely, (void *)"T1"),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
