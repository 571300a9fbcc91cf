/* SPDX-License-Identifier: MIT */
/*
 * What becomes of a finished iteration: its times, metrics, series and counters are added to the
 * outcome's, or, of a warm-up, counted and dropped.
 */
#include "core/harness/run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void add_metric(struct shunt_run *run, const char *name, double value, const char *unit,
	const char *better)
{
	struct metric_value metric = {.value = value};

	snprintf(metric.name, sizeof(metric.name), "%s", name);
	snprintf(metric.unit, sizeof(metric.unit), "%s", unit);
	snprintf(metric.better, sizeof(metric.better), "%s", better);
	if (shunt_history_add(run, &metric) != 0)
		run->now.out_of_memory = true;
}

/* Under run->lock: the iteration's results become the outcome's. */
static void keep_measured(struct shunt_run *run)
{
	struct iteration *now = &run->now;
	struct shunt_outcome *outcome = &run->outcome;
	struct shunt_outcome_iteration *kept =
		shunt_run_grow(&outcome->iterations, &outcome->iteration_count, sizeof(*kept));

	if (!kept || shunt_series_keep(run) != 0) {
		now->out_of_memory = true;
		return;
	}
	*kept = (struct shunt_outcome_iteration){now->end_ns - now->begin_ns,
		now->cpu_end_ns - now->cpu_begin_ns, now->ops};
	double wall_ns = (double)kept->wall_ns;

	add_metric(run, "wall_ns", (double)kept->wall_ns, "ns", "lower");
	add_metric(run, "cpu_ns", (double)kept->cpu_ns, "ns", "lower");
	if (kept->wall_ns) /* in virtual time all may have happened at once */
		add_metric(run, "ops_per_s", (double)kept->ops * 1e9 / wall_ns, "1/s", "higher");
	add_metric(run, run->workload->cost_metric, wall_ns / (double)kept->ops, "ns", "lower");
	for (size_t i = 0; i < now->metric_count; i++)
		if (shunt_history_add(run, &now->metrics[i]) != 0)
			now->out_of_memory = true;
}

static bool is_level(const char *name)
{
	size_t len = strlen(name);

	return len > 5 &&
	       (strcmp(name + len - 5, "_peak") == 0 || strcmp(name + len - 5, "_live") == 0);
}

/* Under run->lock. The backend's counters, as this iteration changed them. */
static void keep_counters(struct shunt_run *run)
{
	struct iteration *now = &run->now;
	struct shunt_outcome *outcome = &run->outcome;

	for (size_t i = 0; i < now->after_count; i++) {
		struct shunt_outcome_counter *after = &now->after[i];
		uint64_t growth = 0;

		if (is_level(after->name))
			continue;
		/* Usually both lists are alike, and long with many workers. */
		if (i < now->before_count && strcmp(now->before[i].name, after->name) == 0)
			after->value -= now->before[i].value;
		else if (shunt_run_counter(run, after->name, &growth) == 0)
			after->value = growth;
	}
	free(outcome->counters);
	outcome->counters = now->after;
	outcome->counter_count = now->after_count;
	now->after = NULL;
	now->after_count = 0;
}

bool shunt_run_keep(struct shunt_run *run, unsigned index)
{
	struct shunt_outcome *outcome = &run->outcome;

	pthread_mutex_lock(&run->lock);
	if (!run->over) {
		if (index == 0)
			outcome->cold_wall_ns = run->now.end_ns - run->now.begin_ns;
		if (run->warming_up) {
			outcome->warmup_done++;
			shunt_processor_keep(run);
		} else {
			keep_measured(run);
			keep_counters(run);
		}
	}
	pthread_mutex_unlock(&run->lock);
	shunt_series_drop(run);
	if (run->now.out_of_memory)
		shunt_run_end(run, SHUNT_RECORD_FAILED, "%s: out of memory for its results",
			run->where);
	return !shunt_run_is_over(run);
}
