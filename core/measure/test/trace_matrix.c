/* SPDX-License-Identifier: MIT */
/* If this passes, a trace of every workload on every preset of the engine closes, whole. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/harness.h"
#include "core/measure/trace.h"
#include "core/measure/trace_check.h"
#include "core/registry.h"
#include "core/test/share.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Small enough for a trace, whatever the workload calls its size. */
static const struct shunt_setting small[] = {
	{"tasks", "12", true},
	{"items", "3000", true},
	{"chunk", "100", true},
	{"switches", "300", true},
	{"transfers", "300", true},
	{"alive", "10", true},
	{"sleeps", "3", true},
	{"period", "200us", true},
	{"spread", "50us", true},
	{"hops", "300", true},
	{"rounds", "100", true},
	{"n", "8", true},
	{"depth", "4", true},
	{"leaves", "1000", true},
	{"requests", "100", true},
	{"operations", "300", true},
	{"wakes", "50", true},
};

static struct shunt_error err;
static struct shunt_trace_report report;

static int keep(void *arg, const struct shunt_trace *trace, struct shunt_error *why)
{
	/* A loaded machine may be slow to wake a thread; a wake-up that is lost takes for ever. */
	const struct shunt_trace_rules patient = {.grace_ns = 30000000000u};

	(void)arg;
	return shunt_trace_check_loaded(trace, "trace", &patient, &report, why);
}

/* The settings that this workload knows. */
static size_t settings_of(const struct shunt_workload *workload, struct shunt_setting *settings)
{
	size_t count = 0;

	for (size_t i = 0; i < sizeof(small) / sizeof(*small); i++)
		for (const struct shunt_param *param = workload->params; param && param->name;
			param++)
			if (strcmp(param->name, small[i].key) == 0)
				settings[count++] = small[i];
	return count;
}

/* 1 if a trace was made and closed, 0 if this backend or build cannot run it. `more` is one setting
 * more, or NULL. */
static int closes_with(const char *spec, const struct shunt_workload *workload,
	const struct shunt_setting *more)
{
	struct shunt_setting settings[sizeof(small) / sizeof(*small) + 1];
	size_t count = settings_of(workload, settings);
	if (more)
		settings[count++] = *more;
	const struct shunt_request request = {
		.spec = spec,
		.workload = workload,
		.params = settings,
		.param_count = count,
		.seed = 42,
		.iterations = 1,
		.timeout_ns = 100000000000u,
		.clock_span_ns = 1000000,
		.keep_trace = keep,
		.trace_capacity = 1 << 13,
	};
	struct shunt_run *run = NULL;

	if (shunt_run_prepare(&run, &request, &err) < 0) {
		print_message("%s %s: %s\n", spec, workload->name, err.text);
		return 0;
	}
	memset(&report, 0, sizeof(report));
	shunt_run_execute(run);
	const struct shunt_outcome *outcome = shunt_run_outcome(run);
	if (outcome->status == SHUNT_RECORD_SKIPPED) {
		shunt_run_free(run);
		return 0;
	}
	if (outcome->status != SHUNT_RECORD_OK)
		fail_msg("%s %s: %s", spec, workload->name, outcome->reason);
	if (report.verdict != SHUNT_TRACE_CLOSES)
		fail_msg("%s %s: %s", spec, workload->name, report.message);
	assert_true(report.tasks > 0);
	assert_int_equal(report.left, 0);
	assert_int_equal(report.times_count, outcome->worker_count);
	assert_int_equal(report.timers_armed, report.timers_fired + report.timers_cancelled);
	shunt_trace_report_fini(&report);
	shunt_run_free(run);
	return 1;
}

static int closes(const char *spec, const struct shunt_workload *workload)
{
	return closes_with(spec, workload, NULL);
}

static int all_workloads(const char *spec)
{
	static size_t composition;
	size_t dealt = 0;
	int made = 0;

	composition++;
	for (const struct shunt_plugin *plugin = shunt_registry_workloads; plugin->name; plugin++)
		if (plugin->object && share_takes(composition, dealt++))
			made += closes(spec, plugin->object);
	return made;
}

/* Those whose own line names a composition; a complete backend keeps no trace. */
static void every_preset_closes(void **state)
{
	int made = 0;

	(void)state;
	for (const struct shunt_plugin *plugin = shunt_registry_backends; plugin->name; plugin++) {
		const struct shunt_backend *backend = plugin->object;

		if (backend && backend->preset && (!backend->probe || backend->probe(&err) == 0))
			made += all_workloads(plugin->name);
	}
	print_message("%d traces closed\n", made);
	assert_true(made > 0);
}

/* Every choice of one slot, the others as the first preset has them. */
static void every_slot(const char *slot, const struct shunt_plugin *list)
{
	int made = 0;

	const char *asked = getenv("SHUNT_MATRIX");
	if (asked && *asked)
		skip(); /* a further compiler or sanitizer: presets and two workers will do */
	for (; list->name; list++) {
		char spec[128];

		if (!list->object)
			continue;
		snprintf(spec, sizeof(spec), "%s:%s=%s", shunt_registry_backends[0].name, slot,
			list->name);
		made += all_workloads(spec);
	}
	print_message("%s: %d traces closed\n", slot, made);
	assert_true(made > 0);
}

static void every_policy_closes(void **state)
{
	(void)state;
	every_slot("policy", shunt_registry_policies);
}

static void every_wait_closes(void **state)
{
	(void)state;
	every_slot("wait", shunt_registry_waits);
}

static void every_timer_queue_closes(void **state)
{
	(void)state;
	every_slot("timers", shunt_registry_timers);
}

/* Two workers give and take tasks across threads; where the order of stamps must hold. */
static void two_workers_close(void **state)
{
	int made = 0;

	(void)state;
	for (const struct shunt_plugin *policy = shunt_registry_policies; policy->name; policy++) {
		char spec[128];

		if (!policy->object)
			continue;
		snprintf(spec, sizeof(spec), "%s:workers=2,policy=%s",
			shunt_registry_backends[0].name, policy->name);
		made += all_workloads(spec);
	}
	print_message("two workers: %d traces closed\n", made);
	assert_true(made > 0);
}

/* A task from a thread that is no worker is in the trace from when that thread hands it over. */
static void what_comes_from_outside_is_seen(void **state)
{
	const struct shunt_setting outside = {"injection", "outside", true};
	int made = 0;

	(void)state;
	for (const struct shunt_plugin *plugin = shunt_registry_workloads; plugin->name; plugin++) {
		const struct shunt_workload *workload = plugin->object;
		bool knows = false;

		for (const struct shunt_param *param = workload ? workload->params : NULL;
			param && param->name; param++)
			knows |= strcmp(param->name, outside.key) == 0;
		if (!knows || !closes_with(shunt_registry_backends[0].name, workload, &outside))
			continue;
		assert_int_equal(report.injected, 100); /* requests of `small` */
		made++;
	}
	if (made == 0)
		skip(); /* one CPU: nobody is outside */
}

/* One worker and two, whose tasks may begin an operation on one and end it on the other. */
static void operations_of(const char *io, const char *wait)
{
	static const char *const workers[] = {"", ",workers=2,policy=steal"};

	for (size_t w = 0; w < sizeof(workers) / sizeof(*workers); w++)
		for (const struct shunt_plugin *p = shunt_registry_workloads; p->name; p++) {
			const struct shunt_workload *workload = p->object;
			char spec[128];

			if (!workload || !(workload->needs & SHUNT_CAN_IO))
				continue;
			snprintf(spec, sizeof(spec), "%s:wait=%s,io=%s%s",
				shunt_registry_backends[0].name, wait, io, workers[w]);
			if (!closes(spec, workload))
				continue;
			assert_true(report.io_begun > 0);
			assert_int_equal(report.io_begun, report.io_ended);
		}
}

static void operations_end(void **state)
{
	(void)state;
	for (const struct shunt_plugin *io = shunt_registry_ios; io->name; io++)
		for (const struct shunt_plugin *wait = shunt_registry_waits; wait->name; wait++)
			if (io->object && wait->object)
				operations_of(io->name, wait->name);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_preset_closes),
		cmocka_unit_test(every_policy_closes),
		cmocka_unit_test(every_wait_closes),
		cmocka_unit_test(every_timer_queue_closes),
		cmocka_unit_test(two_workers_close),
		cmocka_unit_test(operations_end),
		cmocka_unit_test(what_comes_from_outside_is_seen),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
