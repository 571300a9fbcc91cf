/* SPDX-License-Identifier: MIT */
/*
 * The outcome of a run while it is made: how the run ended, where it is, the facts that it leaves.
 */
#include "core/harness/run.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

int64_t shunt_run_realtime_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

void shunt_run_end(struct shunt_run *run, enum shunt_record_status status, const char *format, ...)
{
	struct shunt_outcome *outcome = &run->outcome;
	va_list args;

	pthread_mutex_lock(&run->lock);
	if (!run->over) {
		run->over = true;
		outcome->status = status;
		outcome->reason[0] = '\0';
		outcome->finished_ns = shunt_run_realtime_ns();
		outcome->elapsed_ns = shunt_clock_monotonic_ns() - run->started.ns;
		va_start(args, format);
		if (status != SHUNT_RECORD_OK)
			vsnprintf(outcome->reason, sizeof(outcome->reason), format, args);
		va_end(args);
	}
	pthread_mutex_unlock(&run->lock);
}

bool shunt_run_is_over(struct shunt_run *run)
{
	pthread_mutex_lock(&run->lock);
	bool over = run->over;
	pthread_mutex_unlock(&run->lock);
	return over;
}

void shunt_run_at(struct shunt_run *run, const char *format, ...)
{
	va_list args;

	pthread_mutex_lock(&run->lock);
	va_start(args, format);
	vsnprintf(run->where, sizeof(run->where), format, args);
	va_end(args);
	pthread_mutex_unlock(&run->lock);
}

const struct shunt_outcome *shunt_run_outcome(const struct shunt_run *run)
{
	return &run->outcome;
}

void shunt_run_add_pair(struct shunt_outcome_pair **list, size_t *count, const char *key,
	const char *value)
{
	struct shunt_outcome_pair *pair = NULL;

	for (size_t i = 0; i < *count && !pair; i++)
		if (strcmp((*list)[i].key, key) == 0)
			pair = &(*list)[i];
	if (pair) {
		free(pair->value);
	} else {
		pair = shunt_run_grow(list, count, sizeof(*pair));
		if (!pair)
			return;
		pair->key = strdup(key);
	}
	pair->value = strdup(value);
	SHUNT_ASSERT(pair->key && pair->value);
}

void shunt_run_fact(struct shunt_run *run, const char *name, const char *value)
{
	pthread_mutex_lock(&run->lock);
	if (!run->over)
		shunt_run_add_pair(&run->outcome.facts, &run->outcome.fact_count, name, value);
	pthread_mutex_unlock(&run->lock);
}

void shunt_run_told_build(struct shunt_run *run, const char *build_id)
{
	pthread_mutex_lock(&run->lock);
	if (!run->over)
		snprintf(run->outcome.build_id, sizeof(run->outcome.build_id), "%s", build_id);
	pthread_mutex_unlock(&run->lock);
}

void shunt_run_told_setting(struct shunt_run *run, const char *key, const char *value)
{
	struct shunt_outcome *outcome = &run->outcome;

	pthread_mutex_lock(&run->lock);
	if (!run->over)
		shunt_run_add_pair(&outcome->composition, &outcome->composition_count, key, value);
	pthread_mutex_unlock(&run->lock);
}

void shunt_run_input(struct shunt_run *run, uint64_t hash)
{
	pthread_mutex_lock(&run->lock);
	if (!run->over) {
		run->outcome.has_input = true;
		run->outcome.input_hash = hash;
	}
	pthread_mutex_unlock(&run->lock);
}
