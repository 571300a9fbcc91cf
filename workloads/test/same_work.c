/* SPDX-License-Identifier: MIT */
/* If this passes, a seed is the same work everywhere, and the same switches wherever the policy
 * is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "backends/test/specs.h"
#include "core/harness.h"

#include <errno.h>

enum { SETTINGS_MOST = 8, FACTS = 256 };

/* Workloads without timers, whose schedule depends on nothing but the policy; and one with them, of
 * which the requests alone are the same. */
static const char *const works[] = {
	"chunked_sum items=1000 tasks=7 chunk=10 sample=0",
	"yield tasks=3 switches=500 sample=0",
	"handoff tasks=3 transfers=200 sample=0",
	"spawn_join tasks=200 alive=9 sample=0",
	"ring tasks=5 hops=200 sample=0",
	"ring tasks=5 hops=200 over=channel sample=0",
	"pingpong rounds=100 over=park sample=0",
	"skynet leaves=64 width=4 sample=0",
	"fib n=9",
	"lock tasks=5 rounds=20 sample=0",
	"openloop requests=200 mean=2us load=0.2 service=mix",
	"openloop requests=100 mean=2us load=0.2 service=lognormal injection=outside",
};

/* What one run came to. */
struct told {
	bool ran, comparable, direct; /* direct: a transfer is one swap */
	char policy[64];
	uint64_t switches;
	char checks[FACTS];
};

static struct specs specs;

static const struct shunt_workload *find_workload(const char *name)
{
	for (const struct shunt_plugin *p = shunt_registry_workloads; p->name; p++)
		if (!strcmp(p->name, name))
			return p->object;
	fail_msg("no workload %s", name);
	return NULL;
}

static void read_outcome(const struct shunt_outcome *outcome, struct told *told)
{
	size_t used = 0;
	told->comparable = (outcome->caps & SHUNT_DETERMINISTIC) && outcome->worker_count == 1 &&
			   (outcome->caps & SHUNT_CAN_BLOCK);
	told->direct = outcome->caps & SHUNT_DIRECT_TRANSFER;
	for (size_t i = 0; i < outcome->composition_count; i++)
		if (!strcmp(outcome->composition[i].key, "policy"))
			snprintf(told->policy, sizeof(told->policy), "%s",
				outcome->composition[i].value);
	for (size_t i = 0; i < outcome->counter_count; i++)
		if (!strcmp(outcome->counters[i].name, "switches"))
			told->switches = outcome->counters[i].value;
	for (size_t i = 0; i < outcome->check_count && used < sizeof(told->checks); i++)
		used += (size_t)snprintf(told->checks + used, sizeof(told->checks) - used, "%s=%s ",
			outcome->checks[i].name, outcome->checks[i].actual);
}

static struct told tell(const char *spec, const char *work, uint64_t seed)
{
	struct shunt_setting settings[SETTINGS_MOST];
	struct shunt_error err = {""};
	struct told told = {.ran = false};
	struct shunt_run *run;
	char text[128], *save = NULL;
	size_t count = 0;
	snprintf(text, sizeof(text), "%s", work);
	const struct shunt_workload *workload = find_workload(strtok_r(text, " ", &save));
	for (char *word; (word = strtok_r(NULL, " ", &save)) && count < SETTINGS_MOST; count++) {
		char *equals = strchr(word, '=');
		assert_non_null(equals);
		*equals = '\0';
		settings[count] = (struct shunt_setting){word, equals + 1, true};
	}
	struct shunt_request request = {.spec = spec,
		.workload = workload,
		.params = settings,
		.param_count = count,
		.seed = seed,
		.iterations = 1,
		.clock_span_ns = 1000000};
	int rc = shunt_run_prepare(&run, &request, &err);
	if (rc)
		fail_msg("%s %s: %s", spec, work, err.text);
	shunt_run_execute(run);
	const struct shunt_outcome *outcome = shunt_run_outcome(run);
	if (outcome->status == SHUNT_RECORD_OK) {
		told.ran = true;
		read_outcome(outcome, &told);
	} else if (outcome->status != SHUNT_RECORD_SKIPPED) {
		fail_msg("%s %s: %s", spec, work, outcome->reason);
	}
	shunt_run_free(run);
	return told;
}

static void one_work_is_the_same_everywhere(void **state)
{
	const char *work = *state, *base = specs_base();
	bool timed = !strncmp(work, "openloop", 8);
	struct told first = tell(base, work, 42);
	unsigned compared = 0;
	assert_true(first.ran && first.comparable && first.switches > 0);
	for (size_t i = 0; i < specs.count; i++) {
		struct told other = tell(specs.text[i], work, 42);
		if (!other.ran)
			continue;
		if (strcmp(first.checks, other.checks))
			fail_msg("%s: %s did %s, %s did %s", work, base, first.checks,
				specs.text[i], other.checks);
		if (timed) {
			compared++;
			continue;
		}
		if (!other.comparable || strcmp(first.policy, other.policy))
			continue;
		if (!strncmp(work, "handoff", 7) && first.direct != other.direct)
			continue; /* by way of the run queue the order is another */
		if (first.switches != other.switches)
			fail_msg("%s: %llu switches on %s, %llu on %s", work,
				(unsigned long long)first.switches, base,
				(unsigned long long)other.switches, specs.text[i]);
		compared++;
	}
	assert_true(compared > 1);
}

/* Also where a policy draws lots: they are drawn from the seed. */
static void a_seed_repeats_its_schedule(void **state)
{
	const char *work = *state;
	for (size_t i = 0; i < specs.count; i++) {
		struct told once = tell(specs.text[i], work, 7),
			    again = tell(specs.text[i], work, 7);
		if (once.ran && once.comparable && once.switches != again.switches)
			fail_msg("%s on %s: %llu switches, then %llu", work, specs.text[i],
				(unsigned long long)once.switches,
				(unsigned long long)again.switches);
	}
}

/* One that cannot be opened here is left out. */
static void keep_what_opens(void)
{
	size_t kept = 0;
	for (size_t i = 0; i < specs.count; i++) {
		struct shunt_sched *sched;
		struct shunt_error err;
		if (specs_open(&sched, specs.text[i], &err))
			continue;
		shunt_close(sched);
		memmove(specs.text[kept++], specs.text[i], SPEC_BYTES);
	}
	specs.count = kept;
}

int main(void)
{
	enum { WORKS = sizeof(works) / sizeof(works[0]) };
	static struct CMUnitTest tests[WORKS + 1];
	specs_make(&specs);
	keep_what_opens();
	for (size_t i = 0; i < WORKS; i++)
		tests[i] = (struct CMUnitTest){.name = works[i],
			.test_func = one_work_is_the_same_everywhere,
			.initial_state = (void *)works[i]};
	tests[WORKS] = (struct CMUnitTest){.name = "a seed repeats its schedule",
		.test_func = a_seed_repeats_its_schedule,
		.initial_state = (void *)works[1]};
	return _cmocka_run_group_tests("same_work", tests, WORKS + 1, NULL, NULL);
}
