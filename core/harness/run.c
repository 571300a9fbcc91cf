/* SPDX-License-Identifier: MIT */
/*
 * What a workload's hooks call: parameters, results, checks, its story.
 *
 * Results go into the iteration in progress; whether they count is decided when it is over.
 */
#include "core/harness/run.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void *shunt_run_grow(void *array, size_t *count, size_t item_bytes)
{
	char *items;

	/* The caller's pointer has a type of its own: copied, not read as another. */
	memcpy(&items, array, sizeof(items));
	/* Room for a power of two: it is full when the count is one. */
	if ((*count & (*count - 1)) == 0) {
		items = realloc(items, (*count ? *count * 2 : 1) * item_bytes);
		if (!items)
			return NULL;
		memcpy(array, &items, sizeof(items));
	}
	return memset(items + (*count)++ * item_bytes, 0, item_bytes);
}

/* ---- what the workload asks ------------------------------------------------------------------ */

const struct shunt_values *shunt_run_values(const struct shunt_run *run)
{
	return &run->values;
}

int64_t shunt_run_int(const struct shunt_run *run, const char *param)
{
	return shunt_value_int(&run->values, param);
}

const char *shunt_run_text(const struct shunt_run *run, const char *param)
{
	return shunt_value_text(&run->values, param);
}

bool shunt_run_given(const struct shunt_run *run, const char *param)
{
	return shunt_value(&run->values, param)->given;
}

int shunt_run_imply(struct shunt_run *run, const char *param, const char *text,
	struct shunt_error *err)
{
	char where[96];

	SHUNT_ASSERT(run->resolving);
	if (shunt_run_given(run, param))
		return 0;
	snprintf(where, sizeof(where), "workload '%s', implied", run->workload->name);
	int rc = shunt_values_set(&run->values, where, param, text, err);

	for (size_t i = 0; run->values.params[i].name; i++)
		if (strcmp(run->values.params[i].name, param) == 0)
			run->values.value[i].given = false;
	return rc;
}

uint64_t shunt_run_seed(const struct shunt_run *run)
{
	return run->request->seed;
}

unsigned shunt_run_caps(const struct shunt_run *run)
{
	return run->outcome.caps;
}

bool shunt_run_warming_up(const struct shunt_run *run)
{
	return run->warming_up;
}

void shunt_run_set_state(struct shunt_run *run, void *state)
{
	run->state = state;
}

void *shunt_run_state(const struct shunt_run *run)
{
	return run->state;
}

int shunt_run_counter(const struct shunt_run *run, const char *name, uint64_t *growth)
{
	const struct iteration *now = &run->now;

	for (size_t i = 0; i < now->after_count; i++) {
		if (strcmp(now->after[i].name, name) != 0)
			continue;
		uint64_t before = 0;

		for (size_t j = 0; j < now->before_count; j++)
			if (strcmp(now->before[j].name, name) == 0)
				before = now->before[j].value;
		*growth = now->after[i].value - before;
		return 0;
	}
	return -ENOENT;
}

/* ---- what the workload says ------------------------------------------------------------------ */

/* The processor time of all threads. With many workers the others run, and their part is brought up
 * to date; *spent_ns is what that took of this thread's time. */
static uint64_t cpu_now(const struct shunt_run *run, uint64_t *spent_ns)
{
	uint64_t before = shunt_clock_thread_cpu_ns();

	if (run->sched->many)
		shunt_clock_cpu_refresh();
	*spent_ns = shunt_clock_thread_cpu_ns() - before;
	return shunt_clock_cpu_ns();
}

/* The processor's clock is read outside the wall's, so that its system calls are not in it. */
void shunt_measure_begin(struct shunt_run *run)
{
	uint64_t before_it;

	shunt_processor_begin(run);
	run->now.cpu_begin_ns = cpu_now(run, &before_it);
	run->now.begin_ns = (uint64_t)shunt_now_ns();
}

void shunt_measure_end(struct shunt_run *run)
{
	uint64_t own;

	run->now.end_ns = (uint64_t)shunt_now_ns();
	run->now.cpu_end_ns = cpu_now(run, &own);
	run->now.cpu_end_ns -= own;
	run->now.ended = true;
	shunt_processor_end(run);
}

void shunt_run_told_times(struct shunt_run *run, uint64_t wall_ns, uint64_t cpu_ns)
{
	run->now.begin_ns = run->now.cpu_begin_ns = 0;
	run->now.end_ns = wall_ns;
	run->now.cpu_end_ns = cpu_ns;
	run->now.ended = true;
}

void shunt_operations(struct shunt_run *run, uint64_t count)
{
	run->now.ops = count;
}

/* The iteration's metric of that name, made if need be. Under now_lock. */
static struct metric_value *metric_of(struct iteration *now, const char *name)
{
	for (size_t i = 0; i < now->metric_count; i++)
		if (strcmp(now->metrics[i].name, name) == 0)
			return &now->metrics[i];
	return shunt_run_grow(&now->metrics, &now->metric_count, sizeof(*now->metrics));
}

void shunt_metric(struct shunt_run *run, const char *name, double value, const char *unit,
	const char *better)
{
	struct iteration *now = &run->now;
	struct metric_value *metric;

	pthread_mutex_lock(&run->now_lock);
	metric = metric_of(now, name);
	if (metric) {
		snprintf(metric->name, sizeof(metric->name), "%s", name);
		snprintf(metric->unit, sizeof(metric->unit), "%s", unit);
		snprintf(metric->better, sizeof(metric->better), "%s", better);
		metric->value = value;
	} else {
		now->out_of_memory = true;
	}
	pthread_mutex_unlock(&run->now_lock);
}

static void add_check(struct shunt_run *run, const struct shunt_outcome_check *check)
{
	struct iteration *now = &run->now;
	struct shunt_outcome_check *place;

	pthread_mutex_lock(&run->now_lock);
	place = shunt_run_grow(&now->checks, &now->check_count, sizeof(*place));
	if (place)
		*place = *check;
	else
		now->out_of_memory = true;
	pthread_mutex_unlock(&run->now_lock);
}

void shunt_check_int(struct shunt_run *run, const char *name, int64_t expected, int64_t actual)
{
	struct shunt_outcome_check check = {.ok = expected == actual};

	snprintf(check.name, sizeof(check.name), "%s", name);
	snprintf(check.expected, sizeof(check.expected), "%" PRId64, expected);
	snprintf(check.actual, sizeof(check.actual), "%" PRId64, actual);
	add_check(run, &check);
}

void shunt_check_true(struct shunt_run *run, const char *name, bool holds)
{
	struct shunt_outcome_check check = {.ok = holds, .expected = "true"};

	snprintf(check.name, sizeof(check.name), "%s", name);
	snprintf(check.actual, sizeof(check.actual), "%s", holds ? "true" : "false");
	add_check(run, &check);
}

bool shunt_narrating(const struct shunt_run *run)
{
	return run->narrating;
}

void shunt_narrate(struct shunt_run *run, const char *format, ...)
{
	char line[512];
	va_list args;

	if (!run->narrating || !run->request->line)
		return;
	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	pthread_mutex_lock(&run->now_lock);
	run->request->line(run->request->arg, line);
	pthread_mutex_unlock(&run->now_lock);
}

void shunt_run_explain(struct shunt_run *run, const char *format, ...)
{
	va_list args;

	pthread_mutex_lock(&run->now_lock);
	va_start(args, format);
	vsnprintf(run->now.why, sizeof(run->now.why), format, args);
	va_end(args);
	pthread_mutex_unlock(&run->now_lock);
}
