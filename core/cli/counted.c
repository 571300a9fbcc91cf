/* SPDX-License-Identifier: MIT */
/* What a run counted: over all workers, and how the work was spread over them. */
#include "core/cli/run.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

/* "worker3.switches" is "switches" of worker 3; NULL: it is of all workers. */
static const char *of_one_worker(const struct shunt_outcome_counter *counter, unsigned *worker)
{
	const char *dot = strchr(counter->name, '.');

	return dot && sscanf(counter->name, "worker%u.", worker) == 1 ? dot + 1 : NULL;
}

static int by_value(const void *left, const void *right)
{
	uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;

	return a < b ? -1 : a > b;
}

enum { EACH_MOST = 8 }; /* workers that get a line each */

/* One count of all workers: each, or of many the least, the middle and the most. */
static void spread_of(const struct shunt_outcome *outcome, const char *name, struct cli_text *text)
{
	uint64_t value[1024], sum = 0;
	unsigned workers = 0, worker;
	char number[32];

	for (size_t i = 0; i < outcome->counter_count && workers < 1024; i++) {
		const char *its = of_one_worker(&outcome->counters[i], &worker);

		if (!its || strcmp(its, name) != 0)
			continue;
		sum += value[workers++] = outcome->counters[i].value;
	}
	if (sum == 0)
		return;
	bool many = workers > EACH_MOST;

	if (many) {
		qsort(value, workers, sizeof(value[0]), by_value);
		value[1] = value[workers / 2];
		value[2] = value[workers - 1];
	}
	cli_add(text, "%s%s%c", text->len ? ", " : "", name, CLI_NBSP);
	for (unsigned i = 0; i < (many ? 3 : workers); i++)
		cli_add(text, "%s%s",
			i == 0 ? ""
			: many ? ".."
			       : "|",
			cli_grouped(value[i], number, sizeof(number)));
}

/* How the work was spread over the workers. */
static void workers(const struct shunt_outcome *outcome)
{
	struct cli_text text = {0};
	unsigned worker;

	for (size_t i = 0; i < outcome->counter_count; i++) {
		const char *name = of_one_worker(&outcome->counters[i], &worker);

		if (name && worker == 0)
			spread_of(outcome, name, &text);
	}
	if (text.len && outcome->worker_count > EACH_MOST)
		cli_add(&text, " (least..middle..most of %u)", outcome->worker_count);
	if (text.len)
		cli_wrap("Workers", CLI_REPORT_INDENT, text.s);
	free(text.s);
}

static void counters(const struct shunt_outcome *outcome)
{
	struct cli_text text = {0};
	char number[32];
	unsigned worker;

	for (size_t i = 0; i < outcome->counter_count; i++) {
		const struct shunt_outcome_counter *counter = &outcome->counters[i];

		if (counter->value == 0 || of_one_worker(counter, &worker))
			continue;
		cli_add(&text, "%s%s%c%s", text.len ? ", " : "", counter->name, CLI_NBSP,
			cli_grouped(counter->value, number, sizeof(number)));
	}
	if (text.len) {
		printf("\n");
		cli_wrap("Counted", CLI_REPORT_INDENT, text.s);
	}
	free(text.s);
}

/* Over all threads; a count that ran for a part of the time is stretched to the whole. */
static double of_all_threads(const struct shunt_perf_counts *counts, size_t event)
{
	double sum = 0;

	for (size_t i = 0; i < counts->thread_count; i++) {
		const struct shunt_perf_thread *thread = &counts->threads[i];

		if (thread->running_ns)
			sum += (double)thread->count[event] * (double)thread->enabled_ns /
			       (double)thread->running_ns;
	}
	return sum;
}

/* A reason without the error's name before it and the remedy behind it: one line. */
static void not_counted(const char *why)
{
	const char *colon = strstr(why, ": ");
	struct cli_text text = {0};

	if (colon && isupper((unsigned char)*why)) {
		why = colon + 2;
		colon = strstr(why, ": ");
	}
	cli_add(&text, "not counted: %.*s", colon ? (int)(colon - why) : (int)strlen(why), why);
	cli_wrap("Processor", CLI_REPORT_INDENT, text.s);
	free(text.s);
}

/* What the processor did for an operation, in the last warm-up iteration. */
static void processor(const struct shunt_outcome *outcome)
{
	static const char *const shown[] = {"cycles", "instructions", "branch misses",
		"cache misses"};
	const struct shunt_perf_counts *counts = &outcome->counts;
	struct cli_text text = {0};

	if (outcome->counted.ops == 0)
		return;
	if (*counts->group_why[SHUNT_PERF_HARDWARE]) {
		not_counted(counts->group_why[SHUNT_PERF_HARDWARE]);
		return;
	}
	for (size_t i = 0; i < sizeof(shown) / sizeof(*shown); i++)
		if (counts->have[i])
			cli_add(&text, "%s%.3g%c%s", text.len ? ", " : "",
				of_all_threads(counts, i) / (double)outcome->counted.ops, CLI_NBSP,
				shown[i]);
	if (text.len) {
		cli_add(&text, " for each operation, in user mode");
		cli_wrap("Processor", CLI_REPORT_INDENT, text.s);
	}
	free(text.s);
}

void cli_run_counted(const struct shunt_outcome *outcome)
{
	counters(outcome);
	workers(outcome);
	processor(outcome);
}
