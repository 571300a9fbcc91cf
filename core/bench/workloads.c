/* SPDX-License-Identifier: MIT */
/*
 * Every workload's operation, on every backend that this machine can run, at the workload's small
 * size. An iteration of the harness makes as many operations as it makes; there are as many of them
 * as the number asked for wants, up to a bound, and the time is scaled to that number. For quick
 * looks and regressions; what is published comes from `shunt run`.
 */
#include "core/bench/bench.h"
#include "core/bench/record.h"
#include "core/harness.h"
#include "core/registry.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ITERATIONS_MOST 64

struct work {
	const struct shunt_workload *workload;
	const char *backend;
	char name[96];
	uint64_t ops; /* of one iteration, once known */
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

static void add_up(struct work *work, const struct shunt_outcome *outcome, uint64_t operations,
	struct shunt_bench_result *result)
{
	for (size_t i = 0; i < outcome->iteration_count; i++) {
		result->made += outcome->iterations[i].ops;
		result->wall_ns += (double)outcome->iterations[i].wall_ns;
		result->cpu_ns += (double)outcome->iterations[i].cpu_ns;
	}
	result->ns = result->wall_ns * (double)operations / (double)result->made;
	work->ops = outcome->iterations[0].ops;
}

static unsigned iterations_for(const struct work *work, uint64_t operations)
{
	uint64_t wanted = work->ops ? operations / work->ops : 1;
	return (unsigned)(wanted < 1 ? 1 : wanted > ITERATIONS_MOST ? ITERATIONS_MOST : wanted);
}

static int run_work(const void *arg, uint64_t operations, struct shunt_bench_result *result,
	struct shunt_error *err)
{
	struct work *work = (struct work *)arg; /* what was added: it is ours */
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
		.iterations = iterations_for(work, operations)};
	struct shunt_run *run;
	shunt_bench_tell(work->backend, work->workload->name, work->workload->cost_metric);
	int rc = shunt_run_prepare(&run, &request, err);
	if (rc)
		return rc;
	shunt_run_execute(run);
	const struct shunt_outcome *outcome = shunt_run_outcome(run);
	if (outcome->status != SHUNT_RECORD_OK || !outcome->iterations[0].ops)
		rc = shunt_fail(err, -EIO, "%s", outcome->reason);
	else
		add_up(work, outcome, operations, result);
	shunt_bench_tell_outcome(outcome);
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
			work->ops = 0;
			work->workload = w->object;
			work->backend = b->name;
			snprintf(work->name, sizeof(work->name), "workload/%s/%s", w->name,
				b->name);
			shunt_bench_add(work->name, run_work, work);
		}
}
