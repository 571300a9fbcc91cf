/* SPDX-License-Identifier: MIT */
/*
 * The life of a run: resolve, check what it needs, set up, iterate, sum up.
 *
 * Nothing here is fast or has to be: what is timed is in iterate.c alone.
 */
#include "core/harness/run.h"
#include "core/plugins.h"
#include "core/work.h"

#include <limits.h>
#include <malloc.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- what the scheduler says of itself ------------------------------------------------------- */

struct pair_sink {
	struct shunt_outcome_pair **list;
	size_t *count;
};

static void add_pair(void *arg, const char *key, const char *value)
{
	struct pair_sink *sink = arg;

	shunt_run_add_pair(sink->list, sink->count, key, value);
}

static void add_fact(void *arg, const char *name, const char *value, const char *source)
{
	(void)source;
	if (value)
		add_pair(arg, name, value);
}

static void read_facts(struct shunt_run *run)
{
	struct pair_sink sink = {&run->outcome.facts, &run->outcome.fact_count};

	pthread_mutex_lock(&run->lock);
	if (!run->over && run->sched->backend->facts)
		run->sched->backend->facts(run->sched, add_fact, &sink);
	pthread_mutex_unlock(&run->lock);
}

static void free_pairs(struct shunt_outcome_pair *pairs, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		free(pairs[i].key);
		free(pairs[i].value);
	}
	free(pairs);
}

/* ---- prepare --------------------------------------------------------------------------------- */

static int set_params(struct shunt_run *run, struct shunt_error *err)
{
	const struct shunt_request *request = run->request;
	char where[96];
	int rc = shunt_values_init(&run->values, run->workload->params, err);

	snprintf(where, sizeof(where), "workload '%s'", run->workload->name);
	for (size_t i = 0; i < request->param_count && rc == 0; i++)
		rc = shunt_values_set(&run->values, where, request->params[i].key,
			request->params[i].value, err);
	return rc;
}

static int find_backend(struct shunt_run *run, struct shunt_error *err)
{
	struct shunt_outcome *outcome = &run->outcome;
	int rc = shunt_spec_parse(&run->spec, run->request->backend, run->request->spec, err);

	snprintf(outcome->backend_name, sizeof(outcome->backend_name), "%.*s",
		(int)strcspn(run->request->spec, ":"), run->request->spec);
	outcome->backend = run->spec.backend;
	if (rc && !shunt_run_is_usage_error(rc)) {
		shunt_run_cannot_open(run, rc, err);
		return 0;
	}
	return rc;
}

/* A plug-in from a file is named with its build-id: that is part of what is run. */
static void add_origin(struct shunt_outcome *outcome, const char *kind, const char *name)
{
	const struct shunt_plugin_file *file = shunt_plugins_origin(kind, name);
	char key[32], value[256];

	if (!file)
		return;
	snprintf(key, sizeof(key), "plugin.%s", kind);
	snprintf(value, sizeof(value), "%s@%s", file->name, file->build_id);
	shunt_run_add_pair(&outcome->composition, &outcome->composition_count, key, value);
}

static void add_origins(struct shunt_run *run)
{
	struct shunt_outcome *outcome = &run->outcome;
	size_t count = outcome->composition_count;

	for (size_t i = 0; i < count; i++)
		add_origin(outcome, outcome->composition[i].key, outcome->composition[i].value);
	add_origin(outcome, "workload", run->workload->name);
	if (!run->request->backend)
		add_origin(outcome, "backend", outcome->backend_name);
}

/* The workload's second text, where that is what preempts. */
static void choose_text(struct shunt_run *run)
{
	const struct shunt_texts *texts = shunt_registry_texts;

	if (!(run->outcome.caps & SHUNT_AT_EDGES))
		return;
	while (texts->plain && texts->plain != run->request->workload)
		texts++;
	if (texts->edges)
		run->workload = texts->edges;
	else
		shunt_run_end(run, SHUNT_RECORD_SKIPPED,
			"preempt=compiler: workload '%s' has no second text, compiled with a call "
			"at "
			"every edge, in this program; those of this build's own `shunt` have one, "
			"plug-ins have none: use preempt=checkpoint, or preempt=signal",
			run->workload->name);
}

/* Opens the backend to learn what it is made of and can do. */
static int look_at_backend(struct shunt_run *run, struct shunt_error *err)
{
	struct shunt_outcome *outcome = &run->outcome;
	const struct shunt_config config = {.seed = run->request->seed};
	struct pair_sink sink = {&outcome->composition, &outcome->composition_count};
	int rc = shunt_run_open(run, &config, err);

	if (rc || shunt_run_is_over(run))
		return rc;
	outcome->caps = run->sched->caps;
	outcome->worker_count = run->sched->worker_count;
	if (run->sched->backend->composition)
		run->sched->backend->composition(run->sched, add_pair, &sink);
	add_origins(run);
	choose_text(run);
	if (outcome->caps & SHUNT_QUANTA && !run->quanta.bucket && shunt_hist_init(&run->quanta))
		return shunt_fail(err, -ENOMEM, "out of memory");
	return 0;
}

static int resolve_workload(struct shunt_run *run, struct shunt_error *err)
{
	int rc = 0;

	if (run->workload->resolve) {
		run->resolving = true;
		rc = run->workload->resolve(run, err);
		run->resolving = false;
	}
	if (rc == -ENOTSUP)
		shunt_run_end(run, SHUNT_RECORD_SKIPPED, "%s",
			err->text[0] ? err->text : "the workload refuses this backend");
	else if (rc)
		return rc;
	return 0;
}

static int prepare(struct shunt_run *run, struct shunt_error *err)
{
	int rc = set_params(run, err);

	if (rc == 0)
		rc = find_backend(run, err);
	if (rc == 0 && !shunt_run_is_over(run))
		rc = look_at_backend(run, err);
	if (rc == 0 && !shunt_run_is_over(run))
		rc = resolve_workload(run, err);
	/* A program would inherit what is left, and places its own threads. */
	if (rc == 0 && !shunt_run_is_over(run) && run->outside_wanted && !run->request->backend &&
		shunt_outside_set_apart(run)) {
		shunt_run_close(run);
		rc = look_at_backend(run, err);
	}
	if (rc == 0 && !shunt_run_is_over(run) && run->request->keep_trace)
		rc = shunt_run_try_trace(run, err);
	if (rc || shunt_run_is_over(run))
		return rc;
	run->workload->footprint(run, &run->outcome.footprint);
	shunt_run_check_needs(run);
	if (!shunt_run_is_over(run))
		shunt_run_check_limits(run);
	return 0;
}

static int prepare_watched(struct shunt_run *run, struct shunt_error *err)
{
	struct shunt_error why = {""};
	int rc;

	shunt_run_at(run, "the preparation");
	if (shunt_watch_start(run, &why))
		shunt_run_end(run, SHUNT_RECORD_FAILED, "%s", why.text);
	rc = run->request->look_around ? run->request->look_around(run->request->arg) : 0;
	return rc ? rc : prepare(run, err);
}

int shunt_run_prepare(struct shunt_run **made, const struct shunt_request *request,
	struct shunt_error *err)
{
	struct shunt_run *run = calloc(1, sizeof(*run));

	if (!run)
		return shunt_fail(err, -ENOMEM, "out of memory");
	SHUNT_ASSERT(request->iterations > 0);
	run->request = request;
	run->workload = request->workload;
	run->outcome.workload = request->workload;
	run->outcome.params = &run->values;
	run->outcome.seed = request->seed;
	run->outside_cpu = -1;
	shunt_cpus_allowed(&run->cpus_before);
	run->outcome.started_ns = shunt_run_realtime_ns();
	run->outcome.sched_delay_every = request->sched_delay_every;
	run->started = shunt_clock_point();
	pthread_mutex_init(&run->lock, NULL);
	pthread_mutex_init(&run->now_lock, NULL);
	int rc = request->sched_delay_every ? shunt_hist_init(&run->sched_delay) : 0;

	if (rc == 0)
		rc = prepare_watched(run, err);
	shunt_run_close(run);
	if (rc) {
		shunt_run_free(run);
		return rc;
	}
	shunt_watch_prepared(run);
	*made = run;
	return 0;
}

/* ---- execute --------------------------------------------------------------------------------- */

static void read_usage(const struct shunt_run *run, struct shunt_usage *usage)
{
	if (run->request->backend)
		shunt_usage_read_children(usage);
	else
		shunt_usage_read(usage);
}

static void iterate_all(struct shunt_run *run)
{
	const struct shunt_request *request = run->request;
	unsigned all = request->warmup + request->iterations;
	struct shunt_usage usage;

	shunt_processor_absent(run);
	for (unsigned i = 0; i < all; i++) {
		run->warming_up = i < request->warmup;
		run->narrating = request->narrate && i == request->warmup;
		run->counting = i + 1 == request->warmup && !request->backend;
		if (run->warming_up)
			shunt_run_at(run, "warm-up iteration %u of %u", i + 1, request->warmup);
		else
			shunt_run_at(run, "iteration %u of %u", i - request->warmup + 1,
				request->iterations);
		if (i == request->warmup)
			read_usage(run, &run->usage_before);
		if (!shunt_run_iterate(run) || !shunt_run_keep(run, i))
			return;
	}
	run->narrating = false;
	read_usage(run, &usage);
	pthread_mutex_lock(&run->lock);
	run->outcome.usage = shunt_usage_since(&run->usage_before, &usage);
	pthread_mutex_unlock(&run->lock);
}

static void set_up(struct shunt_run *run)
{
	struct shunt_error err = {""};
	int rc;

	run->set_up = true;
	rc = run->workload->setup ? run->workload->setup(run, &err) : 0;
	if (rc)
		shunt_run_end(run, rc == -ENOTSUP ? SHUNT_RECORD_SKIPPED : SHUNT_RECORD_FAILED,
			"%s",
			err.text[0]       ? err.text
			: run->now.why[0] ? run->now.why
					  : strerror(rc < 0 ? -rc : rc));
}

static void open_to_measure(struct shunt_run *run)
{
	const struct shunt_request *request = run->request;
	const struct shunt_config config = {
		.seed = request->seed,
		.sched_delay = request->sched_delay_every ? &run->sched_delay : NULL,
		.sched_delay_every = request->sched_delay_every,
		.quanta = run->outcome.caps & SHUNT_QUANTA ? &run->quanta : NULL,
	};
	struct shunt_error err = {""};

	if (shunt_run_open(run, &config, &err))
		shunt_run_end(run, SHUNT_RECORD_FAILED, "%s", err.text);
}

double shunt_run_median(const struct shunt_run *run, const char *metric)
{
	const struct shunt_outcome *outcome = &run->outcome;

	for (size_t i = 0; i < outcome->metric_count; i++)
		if (strcmp(outcome->metrics[i].name, metric) == 0)
			return outcome->metrics[i].value;
	return NAN;
}

static void judge(struct shunt_run *run)
{
	struct shunt_error err = {""};

	if (run->workload->judge && run->workload->judge(run, &err))
		shunt_run_end(run, SHUNT_RECORD_SKIPPED, "invalid: %s", err.text);
}

/* False: no memory for them. */
static bool medians(struct shunt_run *run)
{
	pthread_mutex_lock(&run->lock);
	int rc = run->over ? 0 : shunt_history_finish(run);
	pthread_mutex_unlock(&run->lock);
	return rc == 0;
}

static void measure(struct shunt_run *run)
{
	const struct shunt_request *request = run->request;

	set_up(run);
	if (!shunt_run_is_over(run))
		open_to_measure(run);
	if (shunt_run_is_over(run))
		return;
	iterate_all(run);
	read_facts(run);
	if (!shunt_run_is_over(run) && request->keep_trace)
		shunt_run_traced_iteration(run);
	if (!medians(run))
		shunt_run_end(run, SHUNT_RECORD_FAILED, "out of memory for the results");
	if (!shunt_run_is_over(run))
		judge(run);
}

/* The clocks, and the machine's state before. Only then does the outcome get them, whole. */
static void calibrate(struct shunt_run *run)
{
	struct shunt_outcome *outcome = &run->outcome;
	struct shunt_interference before;
	struct shunt_clock clock;

	shunt_run_at(run, "the calibration");
	/* The clock last: what the others take need not be slept for. */
	shunt_work_calibrate();
	shunt_interference_read(&before, "");
	shunt_interference_probe(&before);
	shunt_clock_init_since(&clock, true, run->started, run->request->clock_span_ns);
	double cost_ns = run->request->sched_delay_every ? shunt_sched_delay_cost_ns(&clock) : 0;

	pthread_mutex_lock(&run->lock);
	outcome->clock = clock;
	outcome->sched_delay_cost_ns = cost_ns;
	outcome->before = before;
	pthread_mutex_unlock(&run->lock);
}

/* What an iteration frees stays with the process for the next one: else malloc gives it back, and
 * each iteration takes the page faults of the first. 32 MiB is the most that glibc allows. */
static void keep_freed_memory(void)
{
#ifdef __GLIBC__
	mallopt(M_MMAP_THRESHOLD, 32 << 20);
	mallopt(M_TRIM_THRESHOLD, INT_MAX);
#endif
}

void shunt_run_execute(struct shunt_run *run)
{
	struct shunt_outcome *outcome = &run->outcome;

	if (shunt_run_is_over(run)) {
		shunt_watch_stop(run);
		return;
	}
	keep_freed_memory();
	calibrate(run);
	shunt_run_at(run, "set-up");
	measure(run);
	shunt_run_close(run);
	if (run->set_up && run->workload->teardown)
		run->workload->teardown(run);
	pthread_mutex_lock(&run->lock);
	shunt_clock_verify(&outcome->clock);
	shunt_interference_read(&outcome->after, "");
	shunt_interference_probe(&outcome->after);
	pthread_mutex_unlock(&run->lock);
	shunt_run_end(run, SHUNT_RECORD_OK, "%s", "");
	shunt_watch_stop(run);
}

void shunt_run_free(struct shunt_run *run)
{
	struct shunt_outcome *outcome = &run->outcome;

	shunt_watch_stop(run);
	shunt_outside_give_back(run);
	shunt_cpus_free(&run->cpus_before);
	shunt_iteration_reset(&run->now);
	shunt_series_free(run);
	shunt_history_free(run);
	shunt_spec_fini(&run->spec);
	shunt_values_fini(&run->values);
	free_pairs(outcome->composition, outcome->composition_count);
	free_pairs(outcome->facts, outcome->fact_count);
	free(outcome->iterations);
	free(outcome->checks);
	free(outcome->counters);
	free(outcome->counts.threads);
	pthread_mutex_destroy(&run->lock);
	pthread_mutex_destroy(&run->now_lock);
	free(run);
}
