/* SPDX-License-Identifier: MIT */
/*
 * From the values of each iteration to one number: the median, with the extremes beside it.
 *
 * The median, because one disturbed iteration must not move the result; the interval of the mean
 * would claim an independence that iterations of one process do not have.
 */
#include "core/harness/run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct metric_history *history_of(struct shunt_run *run, const struct metric_value *value)
{
	struct metric_history *history;

	for (size_t i = 0; i < run->history_count; i++)
		if (strcmp(run->history[i].name, value->name) == 0)
			return &run->history[i];
	history = shunt_run_grow(&run->history, &run->history_count, sizeof(*history));
	if (!history)
		return NULL;
	memcpy(history->name, value->name, sizeof(history->name));
	memcpy(history->unit, value->unit, sizeof(history->unit));
	memcpy(history->better, value->better, sizeof(history->better));
	return history;
}

int shunt_history_add(struct shunt_run *run, const struct metric_value *value)
{
	struct metric_history *history = history_of(run, value);
	double *place = history ? shunt_run_grow(&history->value, &history->count, sizeof(*place))
				: NULL;

	if (!place)
		return -ENOMEM;
	*place = value->value;
	return 0;
}

static int ascending(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

int shunt_history_finish(struct shunt_run *run)
{
	struct shunt_outcome *outcome = &run->outcome;

	for (size_t i = 0; i < run->history_count; i++) {
		struct metric_history *history = &run->history[i];
		struct shunt_outcome_metric *metric =
			shunt_run_grow(&outcome->metrics, &outcome->metric_count, sizeof(*metric));
		size_t n = history->count;

		if (!metric)
			return -ENOMEM;
		memcpy(metric->name, history->name, sizeof(metric->name));
		memcpy(metric->unit, history->unit, sizeof(metric->unit));
		memcpy(metric->better, history->better, sizeof(metric->better));
		qsort(history->value, n, sizeof(double), ascending);
		metric->low = history->value[0];
		metric->high = history->value[n - 1];
		metric->value = n % 2 ? history->value[n / 2]
				      : (history->value[n / 2 - 1] + history->value[n / 2]) / 2;
	}
	return 0;
}

void shunt_history_free(struct shunt_run *run)
{
	for (size_t i = 0; i < run->history_count; i++)
		free(run->history[i].value);
	free(run->history);
	free(run->outcome.metrics);
}
