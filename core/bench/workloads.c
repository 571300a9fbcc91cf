/* SPDX-License-Identifier: MIT */
/*
 * Every workload's operation, on every backend that this machine can run, at the sizes that the
 * workload gives (`bench`), or at its small one. An iteration of the harness makes as many
 * operations as it makes; there are as many of them as the number asked for wants, up to a bound,
 * and the time is scaled to that number. For quick looks and regressions; what is published comes
 * from `shunt run`.
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
	const char *settings; /* up to a `|` */
	char name[128];
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

/* What the workload says that an operation takes without tasks; 0: it does not say. */
static double floor_ns(const struct work *work, const struct shunt_outcome *outcome)
{
	char name[64];
	snprintf(name, sizeof(name), "floor_%s", work->workload->cost_metric);
	for (size_t i = 0; i < outcome->metric_count; i++)
		if (!strcmp(outcome->metrics[i].name, name))
			return outcome->metrics[i].value;
	return 0;
}

static void add_up(struct work *work, const struct shunt_outcome *outcome, uint64_t operations,
	struct shunt_bench_result *result)
{
	result->floor_ns = floor_ns(work, outcome) * (double)operations;
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
	char text[512];
	snprintf(text, sizeof(text), "%.*s", (int)strcspn(work->settings, "|"), work->settings);
	struct shunt_request request = {.spec = work->backend,
		.workload = work->workload,
		.params = settings,
		.param_count = split(text, settings),
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

/* Named for what tells it from the workload's other benchmarks, its first setting. */
static void add(const struct shunt_workload *workload, const struct shunt_backend *backend,
	const char *settings)
{
	struct work *work = malloc(sizeof(*work));
	if (!work)
		return;
	*work = (struct work){.workload = workload,
		.backend = backend->name,
		.settings = settings,
		.next = works};
	works = work;
	int named = workload->bench ? (int)strcspn(settings, " |") : 0;
	snprintf(work->name, sizeof(work->name), "workload/%s%s%.*s/%s", workload->name,
		named ? ":" : "", named, settings, backend->name);
	shunt_bench_add(work->name, run_work, work);
}

/* Those of one workload on one backend: each of `bench`, or the first of `small`. */
static void add_each(const struct shunt_workload *workload, const struct shunt_backend *backend)
{
	const char *settings = workload->bench;
	if (!settings)
		add(workload, backend, workload->small ? workload->small : "");
	for (; settings; settings = strchr(settings, '|')) {
		settings += *settings == '|';
		add(workload, backend, settings);
	}
}

void shunt_bench_add_workloads(void)
{
	for (const struct shunt_plugin *w = shunt_registry_workloads; w->name; w++)
		for (const struct shunt_plugin *b = shunt_registry_backends; b->name; b++)
			if (w->object && b->object && fits(b->object, w->object))
				add_each(w->object, b->object);
}
