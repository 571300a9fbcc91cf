/* SPDX-License-Identifier: MIT */
/* If this passes, every workload gives its exact answer on every scheduler that can run it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "backends/test/specs.h"
#include "core/harness.h"
#include "core/test/share.h"

#include <errno.h>
#include <unistd.h>

enum { SETTINGS_MOST = 16 };

static struct specs specs;

/* "tasks=4 switches=100" into settings that point into text. */
static size_t split_settings(char *text, struct shunt_setting *settings)
{
	size_t count = 0;
	char *save = NULL;
	for (char *word = strtok_r(text, " ", &save); word; word = strtok_r(NULL, " ", &save)) {
		char *equals = strchr(word, '=');
		assert_non_null(equals);
		assert_true(count < SETTINGS_MOST);
		*equals = '\0';
		settings[count++] = (struct shunt_setting){word, equals + 1, true};
	}
	return count;
}

/* The first check that failed, for the message. */
static const char *failed_check(const struct shunt_outcome *outcome, char *text, size_t bytes)
{
	text[0] = '\0';
	for (size_t i = 0; i < outcome->check_count; i++)
		if (!outcome->checks[i].ok)
			snprintf(text, bytes, " (%s: expected %s, got %s)", outcome->checks[i].name,
				outcome->checks[i].expected, outcome->checks[i].actual);
	return text;
}

static void every_sample_is_in_order(const struct shunt_outcome *outcome, const char *what)
{
	for (size_t i = 0; i < outcome->series_count; i++)
		if (outcome->series[i].hist.negative)
			fail_msg("%s: series %s has %llu negative samples", what,
				outcome->series[i].name,
				(unsigned long long)outcome->series[i].hist.negative);
}

/* A run that does not come back ends the test, by name. */
static void stuck(void *arg, const struct shunt_outcome *outcome, int signal)
{
	(void)signal;
	print_error("%s: %s\n", (const char *)arg, outcome->reason);
	fflush(NULL);
	_exit(1);
}

/* Returns whether it ran; a run that cannot be made must say why. */
static bool run_one(const char *spec, const struct shunt_workload *workload, const char *small)
{
	struct shunt_setting settings[SETTINGS_MOST];
	struct shunt_error err = {""};
	struct shunt_run *run;
	char text[256], what[512], check[256];
	assert_true(strlen(small) < sizeof(text));
	strcpy(text, small);
	snprintf(what, sizeof(what), "%s %s %s", spec, workload->name, small);
	struct shunt_request request = {.spec = spec,
		.workload = workload,
		.params = settings,
		.param_count = split_settings(text, settings),
		.seed = 42,
		.warmup = 1,
		.iterations = 1,
		.timeout_ns = UINT64_C(100000000000),
		.clock_span_ns = 1000000, /* there are thousands of runs, each of a few ms */
		.abandoned = stuck,
		.arg = what};
	int rc = shunt_run_prepare(&run, &request, &err);
	if (rc)
		fail_msg("%s: %s", what, err.text);
	shunt_run_execute(run);
	const struct shunt_outcome *outcome = shunt_run_outcome(run);
	bool ran = outcome->status == SHUNT_RECORD_OK;
	if (!ran && outcome->status != SHUNT_RECORD_SKIPPED)
		fail_msg("%s: %s%s", what, outcome->reason,
			failed_check(outcome, check, sizeof(check)));
	if (ran) {
		assert_true(outcome->check_count > 0);
		assert_true(outcome->metric_count > 0);
		every_sample_is_in_order(outcome, what);
	} else {
		assert_true(outcome->reason[0] != '\0');
	}
	shunt_run_free(run);
	return ran;
}

/* What a workload that runs to completion asks of nobody; a run marked `~`, or of step tasks, asks
 * for more. */
static bool must_run(const struct shunt_workload *workload, unsigned caps, const char *small)
{
	unsigned full = SHUNT_CAN_BLOCK | SHUNT_TIMED;
	if (*small == '~')
		full |= SHUNT_PARALLEL | SHUNT_PINS;
	if (strstr(small, "form=step"))
		full |= SHUNT_STEPS;
	if (strstr(small, "outside"))
		full |= SHUNT_EXTERNAL_WAKE;
	return (caps & full) == full && (workload->needs & ~caps) == 0;
}

static bool only_from_files;
static unsigned ran_in_all;

static void runs_every_workload(void **state)
{
	const char *spec = *state;
	struct shunt_sched *sched;
	struct shunt_error err = {""};
	unsigned ran = 0, skipped = 0, dealt = 0;
	size_t composition = (size_t)(spec - specs.text[0]) / SPEC_BYTES;
	if (specs_open(&sched, spec, &err)) {
		print_message("%s\n", err.text);
		skip();
	}
	unsigned caps = sched->caps;
	shunt_close(sched);
	for (const struct shunt_plugin *p = shunt_registry_workloads; p->name; p++) {
		const struct shunt_workload *workload = p->object;
		char text[512], *save = NULL;
		if (!workload || (only_from_files && !p->from))
			continue;
		if (!workload->small)
			fail_msg("workload %s has no `small` settings", workload->name);
		assert_true(strlen(workload->small) < sizeof(text));
		strcpy(text, workload->small);
		save = text + strlen(text);
		for (char *one = *text ? strtok_r(text, "|", &save) : text; one;
			one = strtok_r(NULL, "|", &save)) {
			if (!share_takes(composition, dealt++))
				continue;
			bool did = run_one(spec, workload, one + (*one == '~'));
			if (!did && must_run(workload, caps, one))
				fail_msg("%s must be able to run %s %s", spec, workload->name, one);
			ran += did;
			skipped += !did;
		}
	}
	print_message("%s: %u runs, %u skipped\n", spec, ran, skipped);
	ran_in_all += ran;
	assert_true(ran > 0 || only_from_files || share_of() > 1);
}

/* Of files that have workloads alone, these on every composition. */
int main(int argc, char **argv)
{
	static struct CMUnitTest tests[SPECS_MOST];
	if (!specs_load(argc, argv))
		return 2;
	if (argc > 1)
		specs_make_from_files(&specs);
	only_from_files = argc > 1 && specs.count == 0;
	if (specs.count == 0)
		specs_make(&specs);
	for (size_t i = 0; i < specs.count; i++)
		tests[i] = (struct CMUnitTest){.name = specs.text[i],
			.test_func = runs_every_workload,
			.initial_state = specs.text[i]};
	int failed = _cmocka_run_group_tests("matrix", tests, specs.count, NULL, NULL);
	if (!failed && ran_in_all == 0) {
		print_error("no composition can run any of them\n");
		return 1;
	}
	return failed;
}
