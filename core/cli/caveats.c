/* SPDX-License-Identifier: MIT */
/*
 * Caveats: what a reader must know before believing a number.
 *
 * Only what applies to this run, most serious first, one line each; what can be quantified is.
 */
#include "core/cli/run.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

static const char *fact(const struct shunt_outcome *outcome, const char *name)
{
	for (size_t i = 0; i < outcome->fact_count; i++)
		if (strcmp(outcome->facts[i].key, name) == 0)
			return outcome->facts[i].value;
	return "";
}

static void about_the_machine(struct cli_run *run)
{
	for (int level = CLI_NOISE; level >= CLI_NOTE; level--)
		for (size_t i = 0; i < run->finding_count; i++) {
			const struct cli_finding *f = &run->findings[i];

			/* Notes on the kernel are for `shunt doctor`; these touch every number. */
			if ((int)f->level != level ||
				(level == CLI_NOTE && strcmp(f->name, "hypervisor") != 0 &&
					strcmp(f->name, "boost") != 0 &&
					strcmp(f->name, "CPU quota") != 0 &&
					strcmp(f->name, "clock source") != 0 &&
					strcmp(f->name, "source") != 0))
				continue;
			cli_add(&run->caveats, "%s %s: %s\n", f->name, f->value, f->advice);
		}
}

/* experiments/STATISTICS.md has where the factor comes from. */
#define SLOWED 1.5

/* The probe's loops never change: where their times differ, the machine does. */
static void about_the_speed(struct cli_run *run, const struct shunt_interference *before,
	const struct shunt_interference *after)
{
	double independent = after->throughput_ns / before->throughput_ns;
	double dependent = after->latency_ns / before->latency_ns;
	double slower_after = fmax(independent, dependent);
	double slower_before = 1 / fmin(independent, dependent);
	double times = fmax(slower_after, slower_before);

	if (times >= SLOWED)
		cli_add(&run->caveats,
			"other work slowed the processor %.1f times just %s the run (interference "
			"probe): wait, or stop it, and run again\n",
			times, slower_after > slower_before ? "after" : "before");
}

static void about_the_interference(struct cli_run *run, const struct shunt_outcome *outcome)
{
	const struct shunt_interference *before = &outcome->before, *after = &outcome->after;
	unsigned both = before->have & after->have;
	const struct shunt_usage *usage = &outcome->usage;
	double wall_ns = 0;
	char text[32];

	for (size_t i = 0; i < outcome->iteration_count; i++)
		wall_ns += (double)outcome->iterations[i].wall_ns;
	if (both & SHUNT_INTERFERENCE_PROBE)
		about_the_speed(run, before, after);
	if (both & SHUNT_INTERFERENCE_STEAL_TICKS && after->steal_ticks > before->steal_ticks)
		cli_add(&run->caveats,
			"the hypervisor took %" PRIu64 " ms of processor time during the run\n",
			(after->steal_ticks - before->steal_ticks) * 10);
	if (both & SHUNT_INTERFERENCE_THROTTLED_NS && after->throttled_ns > before->throttled_ns)
		cli_add(&run->caveats,
			"the CPU quota of the control group held the run back for %" PRIu64 " us\n",
			(after->throttled_ns - before->throttled_ns) / 1000);
	/* More often than once in 20 ms: somebody else wants the processor. */
	if (wall_ns > 0 && (double)usage->involuntary_switches > 1 + wall_ns / 2e7)
		cli_add(&run->caveats,
			"preempted %s times while measuring: other programs compete for the CPU\n",
			cli_grouped(usage->involuntary_switches, text, sizeof(text)));
	if (usage->major_faults > 0)
		cli_add(&run->caveats, "%" PRIu64 " page faults read from disk while measuring\n",
			usage->major_faults);
}

/* The samples of a latency were read from the counter; wall times were not. */
static void about_the_clock(struct cli_run *run, const struct shunt_outcome *outcome)
{
	const struct shunt_clock *clock = &outcome->clock;

	if (clock->calibration_error_ppm > SHUNT_CLOCK_ERROR_PPM)
		cli_add(&run->caveats,
			"the clock of the latencies (%s) went wrong by %.3g %%, and so did they: "
			"the machine was suspended, or its calibration was disturbed; run again\n",
			shunt_clock_name(clock), clock->calibration_error_ppm / 1e4);
}

static double metric(const struct shunt_outcome *outcome, const char *name)
{
	for (size_t i = 0; i < outcome->metric_count; i++)
		if (strcmp(outcome->metrics[i].name, name) == 0)
			return outcome->metrics[i].value;
	return 0;
}

/* A worker that never slept and yet had less processor time than there was. */
static void about_the_processor(struct cli_run *run, const struct shunt_outcome *outcome)
{
	double wall_ns = metric(outcome, "wall_ns"), cpu_ns = metric(outcome, "cpu_ns");

	for (size_t i = 0; i < outcome->counter_count; i++)
		if (strcmp(outcome->counters[i].name, "worker_sleeps") == 0 &&
			outcome->counters[i].value == 0 && cpu_ns < 0.9 * wall_ns)
			cli_add(&run->caveats,
				"other programs had the CPU for %.0f %% of the time; wall time, "
				"rate and cost include it\n",
				100 * (1 - cpu_ns / wall_ns));
}

static void about_the_iterations(struct cli_run *run, const struct shunt_outcome *outcome)
{
	for (size_t i = 0; i < outcome->metric_count; i++) {
		const struct shunt_outcome_metric *metric = &outcome->metrics[i];
		char low[32], high[32];

		if (strcmp(metric->name, "wall_ns") != 0 || metric->high <= metric->low * 1.1)
			continue;
		cli_add(&run->caveats,
			"iterations differ by %.0f %% (%s to %s): repeat before comparing\n",
			100 * (metric->high / metric->low - 1),
			cli_ns(metric->low, low, sizeof(low)),
			cli_ns(metric->high, high, sizeof(high)));
		/* Below a millisecond the clock's own cost begins to show. */
		if (metric->value < 1e6)
			cli_add(&run->caveats, "iterations are short (%s): use more operations\n",
				cli_ns(metric->value, low, sizeof(low)));
	}
	if (outcome->warmup_done == 0)
		cli_add(&run->caveats,
			"no warm-up: the numbers include the first touch of memory\n");
}

static void about_the_scheduler(struct cli_run *run, const struct shunt_outcome *outcome)
{
	if (strcmp(fact(outcome, "stack.guard"), "none") == 0)
		cli_add(&run->caveats, "stacks have no guard: an overflow corrupts memory\n");
	if (strcmp(fact(outcome, "wait.spins"), "yes") == 0)
		cli_add(&run->caveats, "idle workers spin: low latency costs CPU time\n");
	if (strcmp(fact(outcome, "place.oversubscribed"), "yes") == 0)
		cli_add(&run->caveats,
			"more workers than the placement offers or a CPU quota allows: some share "
			"a CPU or a core\n");
}

static double counter(const struct shunt_outcome *outcome, const char *name)
{
	for (size_t i = 0; i < outcome->counter_count; i++)
		if (strcmp(outcome->counters[i].name, name) == 0)
			return (double)outcome->counters[i].value;
	return 0;
}

/* Of the signals that came while another task was ready. */
static void about_preemption(struct cli_run *run, const struct shunt_outcome *outcome)
{
	double made = counter(outcome, "preempt_delivered"),
	       elsewhere = counter(outcome, "preempt_elsewhere"),
	       late = counter(outcome, "preempt_late");

	if (outcome->caps & SHUNT_AT_EDGES) {
		if (elsewhere > made + late)
			cli_add(&run->caveats,
				"preempt=compiler: %.0f of %.0f preemptions were put off: they "
				"came "
				"in step tasks, which only their own checkpoints end\n",
				elsewhere, made + elsewhere);
		return;
	}
	if (elsewhere > 0 && made + late == 0)
		cli_add(&run->caveats,
			"preempt=signal preempted nothing: %.0f signals met code that is not "
			"marked "
			"SHUNT_PREEMPTIBLE; this workload has none, or hardly any\n",
			elsewhere);
	else if (elsewhere > made + late)
		cli_add(&run->caveats,
			"preempt=signal: %.0f of %.0f preemptions were put off, because the code "
			"that ran is not marked SHUNT_PREEMPTIBLE\n",
			elsewhere, made + elsewhere);
}

static void about_the_work(struct cli_run *run, const struct shunt_outcome *outcome)
{
	double dropped = metric(outcome, "dropped");

	if (dropped > 0)
		cli_add(&run->caveats,
			"%.0f arrivals of an iteration were dropped because the backlog was full: "
			"latencies exclude them\n",
			dropped);
	double service = metric(outcome, "service_ratio");

	if (service >= 1.1)
		cli_add(&run->caveats,
			"requests took %.2f times the service asked for, so the load was higher: "
			"something else had the processor, or the slices are too short\n",
			service);
	/* Where a generator is outside and there is a p99, the workload judges for itself. */
	double lag = metric(outcome, "lag_mean_ns"), response = metric(outcome, "response_mean_ns");

	if (lag > 0.1 * response)
		cli_add(&run->caveats,
			"the generator lagged: its mean is %.0f %% of the mean response, which "
			"contains it\n",
			100 * lag / response);
}

static void about_the_probes(struct cli_run *run, const struct shunt_outcome *outcome)
{
	char cost[32];

	if (outcome->sched_delay_every)
		cli_add(&run->caveats,
			"the probe sched_delay was on: it costs %s for one event in %u, and a test "
			"for every event\n",
			cli_ns(outcome->sched_delay_cost_ns, cost, sizeof(cost)),
			outcome->sched_delay_every);
	for (size_t i = 0; i < outcome->series_count; i++) {
		const struct shunt_hist *hist = &outcome->series[i].hist;

		if (hist->negative)
			cli_add(&run->caveats,
				"%" PRIu64 " samples of %s were negative and counted as 0\n",
				hist->negative, outcome->series[i].name);
	}
	if (outcome->trace_dropped)
		cli_add(&run->caveats,
			"the trace lost %" PRIu64 " events: make the run smaller, or raise "
			"--trace-events\n",
			outcome->trace_dropped);
	if (run->request.narrate)
		cli_add(&run->caveats, "narrated: the times include printing\n");
}

/* What a simulation leaves out. The machine that it ran on does not matter. */
static void about_virtual_time(struct cli_run *run, const struct shunt_outcome *outcome)
{
	const char *costs = fact(outcome, "sim.cost");
	cli_add(&run->caveats,
		"times are virtual: a switch, spawn, wake or steal takes %s%s; not modelled: "
		"caches, memory, frequency, interrupts; processor time is the simulator's own\n",
		strcmp(costs, "zero") ? "what was measured of " : "none",
		strcmp(costs, "zero") ? costs : "");
	if (metric(outcome, "wall_ns") == 0)
		cli_add(&run->caveats,
			"no virtual time passed: this workload neither computes a declared time "
			"nor sleeps\n");
}

void cli_run_caveats(struct cli_run *run, const struct shunt_outcome *outcome)
{
	run->caveats.len = 0;
	cli_add(&run->caveats, "%s", "");
	/* Without a number there is nothing to doubt. */
	if (outcome->status != SHUNT_RECORD_OK)
		return;
	if (strcmp(fact(outcome, "time"), "virtual") == 0) {
		about_virtual_time(run, outcome);
	} else {
		about_the_clock(run, outcome);
		about_the_machine(run);
		about_the_interference(run, outcome);
		about_the_processor(run, outcome);
		about_the_iterations(run, outcome);
	}
	about_the_scheduler(run, outcome);
	about_preemption(run, outcome);
	about_the_work(run, outcome);
	about_the_probes(run, outcome);
}
