/* SPDX-License-Identifier: MIT */
/*
 * Latency series: sampled by tasks on any worker, merged between iterations.
 *
 * One worker records into one histogram, without a lock. Where tasks run in parallel there are a
 * few shards, chosen by worker index, each under a lock that is nearly never contended: a kernel
 * thread per task would need a histogram of 424 KiB each otherwise.
 */
#include "core/harness/run.h"
#include "core/lock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SHARDS_MAX 16

struct shard {
	int lock; /* of shunt_spin_lock, which states its order */
	struct shunt_hist hist;
} __attribute__((aligned(128)));

struct shunt_series {
	struct shunt_series *next;
	char name[48], unit[16];
	bool parallel;
	unsigned shard_count;
	struct shard shard[SHARDS_MAX];
};

static unsigned shards_of(const struct shunt_run *run)
{
	unsigned count = run->outcome.worker_count;

	if (!(run->outcome.caps & SHUNT_PARALLEL))
		return 1;
	return count < 2 || count > SHARDS_MAX ? SHARDS_MAX : count;
}

static void free_one(struct shunt_series *series)
{
	for (unsigned i = 0; i < series->shard_count; i++)
		shunt_hist_fini(&series->shard[i].hist);
	free(series);
}

static struct shunt_series *make(const struct shunt_run *run, const char *name, const char *unit)
{
	struct shunt_series *series = aligned_alloc(128, sizeof(*series));
	unsigned count = shards_of(run);

	if (!series)
		return NULL;
	memset(series, 0, sizeof(*series));
	snprintf(series->name, sizeof(series->name), "%s", name);
	snprintf(series->unit, sizeof(series->unit), "%s", unit);
	series->parallel = run->outcome.caps & SHUNT_PARALLEL;
	for (; series->shard_count < count; series->shard_count++) {
		if (shunt_hist_init(&series->shard[series->shard_count].hist) == 0)
			continue;
		free_one(series);
		return NULL;
	}
	return series;
}

struct shunt_series *shunt_series(struct shunt_run *run, const char *name)
{
	return shunt_series_in(run, name, "ns");
}

struct shunt_series *shunt_series_in(struct shunt_run *run, const char *name, const char *unit)
{
	struct shunt_series *series, **end = &run->series;

	pthread_mutex_lock(&run->now_lock);
	for (; (series = *end) != NULL; end = &series->next)
		if (strcmp(series->name, name) == 0)
			break;
	if (!series)
		series = *end = make(run, name, unit);
	pthread_mutex_unlock(&run->now_lock);
	return series;
}

void shunt_series_record(struct shunt_series *series, int64_t value_ns)
{
	if (!series)
		return;
	if (!series->parallel) {
		shunt_hist_record(&series->shard[0].hist, value_ns);
		return;
	}
	struct shard *shard = &series->shard[shunt_worker_index() % series->shard_count];

	shunt_spin_lock(&shard->lock, true);
	shunt_hist_record(&shard->hist, value_ns);
	shunt_spin_unlock(&shard->lock, true);
}

void shunt_series_drop(struct shunt_run *run)
{
	for (struct shunt_series *series = run->series; series; series = series->next)
		for (unsigned i = 0; i < series->shard_count; i++)
			shunt_hist_reset(&series->shard[i].hist);
	if (run->request->sched_delay_every)
		shunt_hist_reset(&run->sched_delay);
	if (run->outcome.caps & SHUNT_QUANTA)
		shunt_hist_reset(&run->quanta);
}

/* The outcome's histogram of that name, made if need be. Under run->lock. */
static struct shunt_hist *kept(struct shunt_run *run, const char *name, const char *unit)
{
	struct shunt_outcome *outcome = &run->outcome;
	struct shunt_outcome_series *series;

	for (size_t i = 0; i < outcome->series_count; i++)
		if (strcmp(outcome->series[i].name, name) == 0)
			return &outcome->series[i].hist;
	series = shunt_run_grow(&outcome->series, &outcome->series_count, sizeof(*series));
	if (!series)
		return NULL;
	snprintf(series->name, sizeof(series->name), "%s", name);
	snprintf(series->unit, sizeof(series->unit), "%s", unit);
	if (shunt_hist_init(&series->hist) == 0)
		return &series->hist;
	outcome->series_count--;
	return NULL;
}

/* Under run->lock, between iterations. */
int shunt_series_keep(struct shunt_run *run)
{
	struct shunt_hist *into;

	for (struct shunt_series *series = run->series; series; series = series->next) {
		into = kept(run, series->name, series->unit);
		if (!into)
			return -ENOMEM;
		for (unsigned i = 0; i < series->shard_count; i++)
			shunt_hist_merge(into, &series->shard[i].hist);
	}
	if (run->request->sched_delay_every) {
		into = kept(run, "sched_delay", "ns");
		if (!into)
			return -ENOMEM;
		shunt_hist_merge(into, &run->sched_delay);
	}
	if (run->quanta.count) {
		into = kept(run, "quantum_achieved", "ns");
		if (!into)
			return -ENOMEM;
		shunt_hist_merge(into, &run->quanta);
	}
	return 0;
}

void shunt_series_free(struct shunt_run *run)
{
	while (run->series) {
		struct shunt_series *next = run->series->next;

		free_one(run->series);
		run->series = next;
	}
	for (size_t i = 0; i < run->outcome.series_count; i++)
		shunt_hist_fini(&run->outcome.series[i].hist);
	free(run->outcome.series);
	if (run->request->sched_delay_every)
		shunt_hist_fini(&run->sched_delay);
	shunt_hist_fini(&run->quanta);
}
