/* SPDX-License-Identifier: MIT */
/* tally: tasks add to one number under a mutex, and yield between two additions. */
#include "core/plugin.h"
#include "core/sched.h"
#include "core/workload.h"

#include <stdlib.h>

struct tally {
	struct shunt_run *run;
	struct shunt_mutex lock;
	int64_t tasks, rounds, sum;
	struct shunt_series *turnaround;
	struct shunt_handle *task;
};

static const struct shunt_param params[] = {
	{.name = "tasks",
		.type = SHUNT_PARAM_COUNT,
		.fallback = "10",
		.min = 1,
		.max = 100000,
		.help = "tasks that add"},
	{.name = "rounds",
		.type = SHUNT_PARAM_COUNT,
		.fallback = "1k",
		.min = 1,
		.max = 1000000,
		.help = "additions of each"},
	{.name = NULL},
};

static void footprint(const struct shunt_run *run, struct shunt_footprint *footprint)
{
	footprint->tasks = (uint64_t)shunt_run_int(run, "tasks") + 1;
}

static int setup(struct shunt_run *run, struct shunt_error *err)
{
	struct tally *tally = calloc(1, sizeof(*tally));

	if (!tally)
		return shunt_fail(err, -12, "out of memory");
	shunt_run_set_state(run, tally);
	tally->run = run;
	tally->tasks = shunt_run_int(run, "tasks");
	tally->rounds = shunt_run_int(run, "rounds");
	tally->turnaround = shunt_series(run, "turnaround");
	tally->task = calloc((size_t)tally->tasks, sizeof(*tally->task));
	return tally->task && tally->turnaround ? 0 : shunt_fail(err, -12, "out of memory");
}

static void *add(void *arg)
{
	struct tally *tally = arg;

	for (int64_t i = 0; i < tally->rounds; i++) {
		int64_t begin_ns = shunt_now_ns();

		shunt_mutex_lock(&tally->lock);
		tally->sum++;
		shunt_mutex_unlock(&tally->lock);
		shunt_yield();
		if (i % 64 == 0)
			shunt_series_record(tally->turnaround, shunt_now_ns() - begin_ns);
	}
	return NULL;
}

static int body(struct shunt_run *run)
{
	struct tally *tally = shunt_run_state(run);
	int rc = 0;
	int64_t spawned = 0;

	tally->sum = 0;
	while (rc == 0 && spawned < tally->tasks) {
		rc = shunt_spawn(&tally->task[spawned], add, tally, NULL);
		spawned += rc == 0;
	}
	for (int64_t i = 0; i < spawned; i++)
		shunt_join(tally->task[i], NULL);
	return rc;
}

static void verify(struct shunt_run *run)
{
	struct tally *tally = shunt_run_state(run);

	shunt_operations(run, (uint64_t)tally->sum);
	shunt_check_int(run, "sum", tally->tasks * tally->rounds, tally->sum);
}

static void teardown(struct shunt_run *run)
{
	struct tally *tally = shunt_run_state(run);

	if (tally)
		free(tally->task);
	free(tally);
}

const struct shunt_workload shunt_workload_tally = {
	.name = "tally",
	.summary = "tasks add to one number under a mutex",
	.description = "Each task takes the mutex, adds one, gives it back, and yields.",
	.operation = "one addition",
	.cost_metric = "ns_per_addition",
	.needs = SHUNT_CAN_BLOCK,
	.params = params,
	.small = "tasks=3 rounds=10",
	.footprint = footprint,
	.setup = setup,
	.body = body,
	.verify = verify,
	.teardown = teardown,
};

SHUNT_PLUGIN(tally, SHUNT_PLUGIN_HAS(workload, tally));
