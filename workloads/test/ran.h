/* SPDX-License-Identifier: MIT */
/* A run of a workload in a test, and what its outcome says. */
#ifndef SHUNT_WORKLOADS_TEST_RAN_H
#define SHUNT_WORKLOADS_TEST_RAN_H

#include "core/harness.h"
#include "core/registry.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static inline const char *fact(const struct shunt_outcome *outcome, const char *name)
{
	for (size_t i = 0; i < outcome->fact_count; i++)
		if (!strcmp(outcome->facts[i].key, name))
			return outcome->facts[i].value;
	return "";
}

static inline uint64_t counter(const struct shunt_outcome *outcome, const char *name)
{
	for (size_t i = 0; i < outcome->counter_count; i++)
		if (!strcmp(outcome->counters[i].name, name))
			return outcome->counters[i].value;
	fail_msg("no counter %s", name);
	return 0;
}

/* Runs it with "key=value key=value"; the caller frees the run. */
static inline struct shunt_run *run_of(const char *spec, const char *workload, const char *settings)
{
	static char text[256];
	static struct shunt_setting list[16];
	static struct shunt_request request;
	struct shunt_run *run;
	struct shunt_error err = {""};
	size_t count = 0;
	snprintf(text, sizeof(text), "%s", settings);
	for (char *save, *word = strtok_r(text, " ", &save); word;
		word = strtok_r(NULL, " ", &save)) {
		char *equals = strchr(word, '=');
		*equals = '\0';
		list[count++] = (struct shunt_setting){word, equals + 1, true};
	}
	const struct shunt_workload *found = NULL;
	for (const struct shunt_plugin *p = shunt_registry_workloads; p->name; p++)
		if (!strcmp(p->name, workload))
			found = p->object;
	request = (struct shunt_request){.spec = spec,
		.workload = found,
		.params = list,
		.param_count = count,
		.seed = 42,
		.iterations = 2};
	if (shunt_run_prepare(&run, &request, &err))
		fail_msg("%s: %s", spec, err.text);
	shunt_run_execute(run);
	return run;
}

#endif
