/* SPDX-License-Identifier: MIT */
/*
 * Every workload's operation, on every backend that this machine can run, at the workload's small
 * size: one iteration of the harness makes as many operations as it makes, and the time is scaled to
 * the number asked for. For quick looks and regressions; what is published comes from `shunt run`.
 */
#include "core/bench/bench.h"
#include "core/harness.h"
#include "core/registry.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct work {
	const struct shunt_workload *workload;
	const char *backend;
	char name[96];
	struct work *next;
};

/* They live as long as the process. */
static struct work *works;

#define SETTINGS_MOST 32

/* "tasks=4 switches=100|tasks=8": the first alternative, into settings that point into `text`. */
static size_t split(char *text, struct shunt_setting *settings)
{
	size_t count = 0;
	for (char *save, *word = strtok_r(text, " ", &save); word && count < SETTINGS_MOST;
		word = strtok_r(NULL, " ", &save)) {
		char *equals = strchr(word, '=');
		if (!equals)
			continue;
		*equals = '\0';
		settings[count++] = (struct shunt_setting){word, equals + 1, true};
	}
	return count;
}

static int run_work(const void *arg, uint64_t operations, struct shunt_bench_result *result,
	struct shunt_error *err)
{
	const struct work *work = arg;
	struct shunt_setting settings[SETTINGS_MOST];
	char small[512];
	const char *all = work->workload->small ? work->workload->small : "";
	snprintf(small, sizeof(small), "%.*s", (int)strcspn(all, "|"), all);
	struct shunt_request request = {.spec = work->backend,
		.workload = work->workload,
		.params = settings,
		.param_count = split(small, settings),
		.seed = 1,
		.warmup = 1,
		.iterations = 1};
	struct shunt_run *run;
	int rc = shunt_run_prepare(&run, &request, err);
	if (rc)
		return rc;
	shunt_run_execute(run);
	const struct shunt_outcome *outcome = shunt_run_outcome(run);
	if (outcome->status != SHUNT_RECORD_OK || !outcome->iterations[0].ops)
		rc = shunt_fail(err, -EIO, "%s", outcome->reason);
	else
		result->ns = (double)outcome->iterations[0].wall_ns * (double)operations /
			     (double)outcome->iterations[0].ops;
	shunt_run_free(run);
	return rc;
}

/* Can this backend run here, and give this workload what it needs? */
static bool fits(const struct shunt_backend *backend, const struct shunt_workload *workload)
{
	struct shunt_sched *sched;
	struct shunt_error err;
	if (shunt_open(&sched, backend->name, NULL, &err))
		return false;
	bool ok = (workload->needs & ~sched->caps) == 0;
	shunt_close(sched);
	return ok;
}

void shunt_bench_add_workloads(void)
{
	for (const struct shunt_plugin *w = shunt_registry_workloads; w->name; w++)
		for (const struct shunt_plugin *b = shunt_registry_backends; b->name; b++) {
			if (!w->object || !b->object || !fits(b->object, w->object))
				continue;
			struct work *work = malloc(sizeof(*work));
			if (!work)
				return;
			work->next = works;
			works = work;
			work->workload = w->object;
			work->backend = b->name;
			snprintf(work->name, sizeof(work->name), "workload/%s/%s", w->name,
				b->name);
			shunt_bench_add(work->name, run_work, work);
		}
}
