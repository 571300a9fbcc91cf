/* SPDX-License-Identifier: MIT */
/*
 * If this passes, a workload whose tasks are refused a timer ends and says so, on every timer
 * queue.
 *
 * The queue's memory cannot grow while the body runs: by --wrap, realloc refuses. A queue that does
 * not ask for any is run all the same.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "backends/test/specs.h"
#include "core/harness.h"

#include <signal.h>
#include <unistd.h>

enum { PATIENCE_S = 100 };

static const struct shunt_workload *original;
static _Atomic bool refusing;
static _Atomic unsigned refused;

void *__real_realloc(void *old, size_t bytes);
void *__wrap_realloc(void *old, size_t bytes);

void *__wrap_realloc(void *old, size_t bytes)
{
	if (!refusing)
		return __real_realloc(old, bytes);
	refused++;
	return NULL;
}

static int body(struct shunt_run *run)
{
	refusing = true;
	int rc = original->body(run);
	refusing = false;
	return rc;
}

/* Was anything refused? */
static bool tried(const char *spec, const char *name, const struct shunt_setting *settings)
{
	struct shunt_error err = {""};
	struct shunt_workload copy = {.name = NULL};
	for (const struct shunt_plugin *p = shunt_registry_workloads; p->name; p++)
		if (!strcmp(p->name, name))
			copy = *(original = p->object);
	assert_non_null(copy.name);
	copy.body = body;
	const struct shunt_request request = {.spec = spec,
		.workload = &copy,
		.params = settings,
		.param_count = 3,
		.seed = 1,
		.iterations = 1};
	struct shunt_run *run;
	refused = 0;
	if (shunt_run_prepare(&run, &request, &err))
		fail_msg("%s: %s", spec, err.text);
	alarm(PATIENCE_S);
	shunt_run_execute(run);
	alarm(0);
	const struct shunt_outcome *outcome = shunt_run_outcome(run);
	bool ok = !refused ? outcome->status == SHUNT_RECORD_OK
			   : outcome->status == SHUNT_RECORD_FAILED &&
				     strstr(outcome->reason, strerror(ENOMEM));
	if (!ok)
		fail_msg("%s: %s: %s", spec, name, outcome->reason);
	shunt_run_free(run);
	return refused;
}

static void every_workload_with_timers(void **state)
{
	static const struct {
		const char *name;
		struct shunt_setting settings[3];
	} cases[] = {
		{"suspended", {{"tasks", "300", true}, {"wait", "sleep", true},
				      {"period", "10ms", true}}},
		{"suspended",
			{{"tasks", "300", true}, {"wait", "timeout", true}, {"sample", "1", true}}},
		{"timers",
			{{"tasks", "300", true}, {"sleeps", "2", true}, {"period", "10ms", true}}},
		{"timers", {{"tasks", "300", true}, {"sleeps", "2", true}, {"cancel", "1", true}}},
		{"chunked_sum",
			{{"tasks", "300", true}, {"items", "4k", true}, {"pause", "10ms", true}}},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		unsigned queues = 0;
		for (const struct shunt_plugin *p = shunt_registry_timers; p->name; p++) {
			char spec[64];
			snprintf(spec, sizeof(spec), "%s:timers=%s", specs_base(), p->name);
			queues += p->object && tried(spec, cases[i].name, cases[i].settings);
		}
		if (!queues)
			fail_msg("%s: no queue was refused anything", cases[i].name);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(every_workload_with_timers)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
