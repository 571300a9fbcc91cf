/* SPDX-License-Identifier: MIT */
/* From the outcome of a run to its record. Nothing is decided here. */
#include "core/cli/run.h"

#include <stdlib.h>
#include <string.h>

static void add_params(struct shunt_record *record, const struct shunt_values *values)
{
	for (size_t i = 0; values->params && values->params[i].name; i++) {
		char text[4096];

		shunt_record_param(record, values->params[i].name,
			shunt_value_format(&values->params[i], &values->value[i], text,
				sizeof(text)));
	}
}

void cli_record_what_was_run(struct shunt_record *record, const struct shunt_outcome *outcome)
{
	for (size_t i = 0; i < outcome->composition_count; i++)
		shunt_record_composition(record, outcome->composition[i].key,
			outcome->composition[i].value);
	add_params(record, outcome->params);
	if (outcome->has_input)
		shunt_record_input(record, outcome->input_hash);
	/* What the machine is, is in the manifest; a topology is long. */
	for (size_t i = 0; i < outcome->fact_count; i++)
		if (strncmp(outcome->facts[i].key, "topology.", 9) != 0)
			shunt_record_fact(record, outcome->facts[i].key, outcome->facts[i].value,
				"run");
	for (size_t i = 0; i < outcome->counter_count; i++)
		shunt_record_counter(record, outcome->counters[i].name, outcome->counters[i].value);
	for (size_t i = 0; i < outcome->check_count; i++)
		shunt_record_check(record, outcome->checks[i].name, outcome->checks[i].expected,
			outcome->checks[i].actual, outcome->checks[i].ok);
}

static void add_results(struct shunt_record *record, const struct shunt_outcome *outcome,
	unsigned digits)
{
	for (size_t i = 0; i < outcome->iteration_count; i++)
		shunt_record_iteration(record, outcome->iterations[i].wall_ns,
			outcome->iterations[i].cpu_ns, outcome->iterations[i].ops);
	shunt_record_warmup(record, outcome->warmup_done);
	if (outcome->cold_wall_ns)
		shunt_record_cold(record, outcome->cold_wall_ns);
	for (size_t i = 0; i < outcome->metric_count; i++) {
		const struct shunt_outcome_metric *metric = &outcome->metrics[i];

		if (strcmp(metric->name, "wall_ns") == 0 || strcmp(metric->name, "cpu_ns") == 0)
			shunt_record_metric_int(record, metric->name, (uint64_t)metric->value,
				metric->unit, metric->better);
		else
			shunt_record_metric(record, metric->name, metric->value, metric->unit,
				metric->better);
	}
	for (size_t i = 0; i < outcome->series_count; i++)
		shunt_record_series(record, outcome->series[i].name, outcome->series[i].unit,
			&outcome->series[i].hist, digits);
	if (outcome->status != SHUNT_RECORD_OK)
		return;
	shunt_record_usage(record, &outcome->usage);
	shunt_record_processor(record, &outcome->counts, outcome->counted.wall_ns,
		outcome->counted.ops);
}

static void add_probes(struct shunt_record *record, const struct shunt_outcome *outcome)
{
	char text[32];

	if (outcome->sched_delay_every)
		shunt_record_probe(record, "sched_delay", outcome->sched_delay_cost_ns, 0,
			outcome->sched_delay_every, 0);
	if (!outcome->traced)
		return;
	/* The trace was of one iteration more; the metrics are of those without it. */
	shunt_record_probe(record, "trace", outcome->trace_cost_ns, outcome->trace_events, 1,
		outcome->trace_dropped);
	snprintf(text, sizeof(text), "%llu", (unsigned long long)outcome->trace_wall_ns);
	shunt_record_fact(record, "trace.wall_ns", text, "run");
	snprintf(text, sizeof(text), "%llu", (unsigned long long)outcome->trace_plain_wall_ns);
	shunt_record_fact(record, "trace.plain_wall_ns", text, "run");
}

static void add_caveats(struct shunt_record *record, const struct cli_text *caveats)
{
	for (const char *s = caveats->s; s && *s;) {
		int len = (int)strcspn(s, "\n");

		shunt_record_caveat(record, "%.*s", len, s);
		s += len + (s[len] == '\n');
	}
}

struct shunt_record *cli_run_record(const struct cli_run *run, const struct shunt_outcome *outcome,
	struct shunt_error *err)
{
	const struct shunt_values *options = &run->args.options;
	const char *arm = shunt_value_text(options, "--arm"),
		   *block = shunt_value_text(options, "--block");
	const struct shunt_record_identity identity = {
		.driver = run->program ? outcome->backend_name : NULL,
		.backend = outcome->backend_name,
		.build_id = run->program ? outcome->build_id : NULL,
		.workload = outcome->workload->name,
		.seed = outcome->seed,
		.arm = *arm ? arm : NULL,
		.block = *block ? block : NULL,
		.repetition = (uint64_t)shunt_value_int(options, "--repetition"),
	};
	struct shunt_record *record;
	int rc = shunt_record_new(&record, &identity);

	if (rc) {
		shunt_fail(err, rc, "out of memory for the record");
		return NULL;
	}
	cli_record_what_was_run(record, outcome);
	add_results(record, outcome, (unsigned)shunt_value_int(options, "--digits"));
	add_probes(record, outcome);
	/* A program's samples are from a clock of its own. */
	if (outcome->clock.read_cost_ns > 0 && !run->program)
		shunt_record_clock(record, &outcome->clock);
	add_caveats(record, &run->caveats);
	shunt_record_argv(record, run->argc, run->argv);
	shunt_record_times(record, outcome->started_ns, outcome->finished_ns, outcome->elapsed_ns);
	/* A machine that tells nothing of itself is recorded as just that. */
	if (outcome->before.have || outcome->status == SHUNT_RECORD_OK)
		shunt_record_interference(record, &outcome->before, &outcome->after);
	shunt_record_status(record, outcome->status, "%s", outcome->reason);
	rc = shunt_record_finish(record, run->env, err);
	if (rc == 0)
		return record;
	shunt_record_free(record);
	return NULL;
}
