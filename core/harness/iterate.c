/* SPDX-License-Identifier: MIT */
/*
 * One iteration: body inside the root task between two clock readings, then its check.
 *
 * Everything that is not the workload's own (counters, merging, checks) is outside the two
 * readings.
 */
#include "core/harness/run.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void shunt_iteration_reset(struct iteration *now)
{
	free(now->metrics);
	free(now->checks);
	free(now->before);
	free(now->after);
	shunt_processor_drop(now);
	*now = (struct iteration){0};
}

static void *root(void *arg)
{
	struct shunt_run *run = arg;

	shunt_measure_begin(run);
	run->now.body_rc = run->workload->body(run);
	if (!run->now.ended)
		shunt_measure_end(run);
	return NULL;
}

struct counter_sink {
	struct shunt_outcome_counter **list;
	size_t *count;
	bool full;
};

static void collect(void *arg, const char *name, uint64_t value)
{
	struct counter_sink *sink = arg;
	struct shunt_outcome_counter *counter =
		shunt_run_grow(sink->list, sink->count, sizeof(*counter));

	if (!counter) {
		sink->full = true;
		return;
	}
	snprintf(counter->name, sizeof(counter->name), "%s", name);
	counter->value = value;
}

static bool read_counters(struct shunt_run *run, struct shunt_outcome_counter **list, size_t *count)
{
	struct counter_sink sink = {list, count, false};

	if (run->sched->backend->counters)
		run->sched->backend->counters(run->sched, collect, &sink);
	return !sink.full;
}

/* Why shunt_run failed, as a status of the run. */
static void scheduler_failed(struct shunt_run *run, int rc, const struct shunt_error *err)
{
	const char *why = err->text[0] ? err->text : strerror(-rc);

	if (rc == -EDEADLK)
		shunt_run_end(run, SHUNT_RECORD_FAILED, "deadlock in %s: %s", run->where, why);
	else
		shunt_run_end(run, SHUNT_RECORD_FAILED, "%s: %s", run->where, why);
}

static void body_failed(struct shunt_run *run)
{
	int rc = run->now.body_rc;

	if (run->now.why[0])
		shunt_run_end(run, SHUNT_RECORD_FAILED, "%s: %s", run->where, run->now.why);
	else if (rc < 0)
		shunt_run_end(run, SHUNT_RECORD_FAILED, "%s: %s", run->where, strerror(-rc));
	else
		shunt_run_end(run, SHUNT_RECORD_FAILED, "%s: the workload failed with %d",
			run->where, rc);
}

/* Hands the iteration's checks to the outcome; false if one of them failed. */
static bool keep_checks(struct shunt_run *run)
{
	struct iteration *now = &run->now;
	const struct shunt_outcome_check *wrong = NULL;

	pthread_mutex_lock(&run->lock);
	if (!run->over) {
		free(run->outcome.checks);
		run->outcome.checks = now->checks;
		run->outcome.check_count = now->check_count;
		now->checks = NULL;
		now->check_count = 0;
	}
	for (size_t i = 0; i < run->outcome.check_count && !wrong; i++)
		if (!run->outcome.checks[i].ok)
			wrong = &run->outcome.checks[i];
	run->outcome.check_failed = wrong != NULL;
	pthread_mutex_unlock(&run->lock);
	if (wrong)
		shunt_run_end(run, SHUNT_RECORD_FAILED,
			"wrong answer in %s: %s should be %s and is %s", run->where, wrong->name,
			wrong->expected, wrong->actual);
	else if (run->outcome.check_count == 0)
		shunt_run_end(run, SHUNT_RECORD_FAILED, "%s: the workload did not check its answer",
			run->where);
	return !shunt_run_is_over(run);
}

bool shunt_run_iterate(struct shunt_run *run)
{
	struct iteration *now = &run->now;
	struct shunt_error err = {""};

	shunt_iteration_reset(now);
	if (!read_counters(run, &now->before, &now->before_count))
		now->out_of_memory = true;
	int rc = shunt_run(run->sched, root, run, NULL, &err);

	/* Of a run that failed before its body could: the thread's next spawn is refused. */
	shunt_outside_join(run);
	if (rc) {
		scheduler_failed(run, rc, &err);
		return false;
	}
	if (!read_counters(run, &now->after, &now->after_count))
		now->out_of_memory = true;
	if (now->body_rc) {
		body_failed(run);
		return false;
	}
	run->workload->verify(run);
	if (now->out_of_memory)
		shunt_run_end(run, SHUNT_RECORD_FAILED, "%s: out of memory for its results",
			run->where);
	if (shunt_run_is_over(run) || !keep_checks(run))
		return false;
	if (now->ops == 0)
		shunt_run_end(run, SHUNT_RECORD_FAILED,
			"%s: the workload did not count its operations", run->where);
	return !shunt_run_is_over(run);
}
