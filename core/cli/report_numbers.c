/* SPDX-License-Identifier: MIT */
/*
 * The lines of the report with what was measured: how fast, and how steadily; how late; at what
 * cost.
 *
 * A number is never shown without its unit, a quantile never without enough samples.
 */
#include "core/cli/run.h"

#include <inttypes.h>
#include <string.h>

/* ---- how fast -------------------------------------------------------------------------------- */

static const struct shunt_outcome_metric *metric_of(const struct shunt_outcome *outcome,
	const char *name)
{
	for (size_t i = 0; i < outcome->metric_count; i++)
		if (strcmp(outcome->metrics[i].name, name) == 0)
			return &outcome->metrics[i];
	return NULL;
}

static void times(const struct shunt_outcome *outcome)
{
	const struct shunt_outcome_metric *wall = metric_of(outcome, "wall_ns");
	const struct shunt_outcome_metric *cpu = metric_of(outcome, "cpu_ns");
	char a[32], b[32], c[32], d[32], text[256];

	if (!wall || !cpu)
		return;
	cli_ns(wall->value, a, sizeof(a));
	cli_ns(cpu->value, b, sizeof(b));
	cli_ns(wall->low, c, sizeof(c));
	cli_ns(wall->high, d, sizeof(d));
	cli_nb(a), cli_nb(b), cli_nb(c), cli_nb(d);
	if (outcome->iteration_count > 1)
		snprintf(text, sizeof(text),
			"%s wall, %s CPU: medians of %zu iterations (wall %s to %s)", a, b,
			outcome->iteration_count, c, d);
	else
		snprintf(text, sizeof(text), "%s wall, %s CPU, of one iteration", a, b);
	cli_wrap("Time", CLI_REPORT_INDENT, text);
	if (outcome->warmup_done == 0 || !(wall->value > 0))
		return;
	snprintf(text, sizeof(text), "%s wall of the first (cold) iteration, %.2f times the median",
		cli_ns((double)outcome->cold_wall_ns, a, sizeof(a)),
		(double)outcome->cold_wall_ns / wall->value);
	cli_wrap("", CLI_REPORT_INDENT, text);
}

/* "ns_per_switch" as "ns per switch". */
static void spoken(const char *name, char *text, size_t bytes)
{
	snprintf(text, bytes, "%s", name);
	for (; *text; text++)
		if (*text == '_')
			*text = ' ';
}

static void value_with_unit(const struct shunt_outcome_metric *metric, char *text, size_t bytes)
{
	char number[48];

	if (strcmp(metric->unit, "ns") == 0)
		cli_ns(metric->value, text, bytes);
	else if (strcmp(metric->unit, "bytes") == 0)
		cli_bytes(metric->value, text, bytes);
	else if (strcmp(metric->unit, "1/s") == 0)
		snprintf(text, bytes, "%s/s", cli_rate(metric->value, number, sizeof(number)));
	else if (strcmp(metric->unit, "1") == 0)
		cli_rate(metric->value, text, bytes);
	else
		snprintf(text, bytes, "%s %s", cli_rate(metric->value, number, sizeof(number)),
			metric->unit);
}

static void speed(const struct shunt_outcome *outcome)
{
	const char *cost_name = outcome->workload->cost_metric;
	const struct shunt_outcome_metric *rate = metric_of(outcome, "ops_per_s");
	const struct shunt_outcome_metric *cost = metric_of(outcome, cost_name);
	char number[48], best[48], name[64], text[256];

	if (!rate || !cost)
		return;
	snprintf(text, sizeof(text), "%s/s; one operation is %s",
		cli_rate(rate->value, number, sizeof(number)), outcome->workload->operation);
	cli_wrap("Rate", CLI_REPORT_INDENT, text);
	spoken(strncmp(cost_name, "ns_", 3) == 0 ? cost_name + 3 : cost_name, name, sizeof(name));
	cli_ns(cost->value, number, sizeof(number));
	if (outcome->iteration_count > 1)
		snprintf(text, sizeof(text), "%s %s (best %s)", number, name,
			cli_ns(cost->low, best, sizeof(best)));
	else
		snprintf(text, sizeof(text), "%s %s", number, name);
	cli_wrap("Cost", CLI_REPORT_INDENT, text);
}

/* `exact_NAME` is shown beside NAME (openloop_exact.c). */
#define EXACT "exact_"

static void exact_value(const struct shunt_outcome *outcome, const char *metric, char *text,
	size_t bytes)
{
	char name[96], value[64];

	snprintf(name, sizeof(name), EXACT "%s", metric);
	const struct shunt_outcome_metric *exact = metric_of(outcome, name);

	text[0] = '\0';
	if (!exact)
		return;
	value_with_unit(exact, value, sizeof(value));
	snprintf(text, bytes, "  exact %s", value);
}

static void other_metrics(const struct shunt_outcome *outcome)
{
	const char *label = "Also";

	for (size_t i = 0; i < outcome->metric_count; i++) {
		const struct shunt_outcome_metric *metric = &outcome->metrics[i];
		char name[80], value[64], exact[80];

		if (strncmp(metric->name, EXACT, strlen(EXACT)) == 0 ||
			strcmp(metric->name, "wall_ns") == 0 ||
			strcmp(metric->name, "cpu_ns") == 0 ||
			strcmp(metric->name, "ops_per_s") == 0 ||
			strcmp(metric->name, outcome->workload->cost_metric) == 0)
			continue;
		value_with_unit(metric, value, sizeof(value));
		exact_value(outcome, metric->name, exact, sizeof(exact));
		snprintf(name, sizeof(name), "%s", metric->name);
		printf("%-*s%-28s %20s%s\n", CLI_REPORT_INDENT, label, name, value, exact);
		label = "";
	}
}

/* ---- how late -------------------------------------------------------------------------------- */

static const struct {
	const char *name;
	unsigned ppm;
} quantiles[] = {{"p50", 500000}, {"p90", 900000}, {"p99", 990000}, {"p99.9", 999000}};
#define QUANTILES (sizeof(quantiles) / sizeof(quantiles[0]))

/* A sample of the series: a time, or a ratio in thousandths. */
static const char *sample(const struct shunt_outcome_series *series, uint64_t value, char *text,
	size_t bytes)
{
	if (strcmp(series->unit, "ns") == 0)
		return cli_ns((double)value, text, bytes);
	snprintf(text, bytes, "%.4gx", (double)value / 1000);
	return text;
}

static void latencies(const struct shunt_outcome *outcome)
{
	bool unknown = false, any = false;

	for (size_t i = 0; i < outcome->series_count; i++)
		any |= outcome->series[i].hist.count > 0;
	if (!any)
		return;
	printf("\n%-18s %11s", "Latency", "samples");
	for (size_t q = 0; q < QUANTILES; q++)
		printf(" %9s", quantiles[q].name);
	printf(" %9s\n", "max");
	for (size_t i = 0; i < outcome->series_count; i++) {
		const struct shunt_hist *hist = &outcome->series[i].hist;
		char text[32];

		if (hist->count == 0)
			continue;
		printf("  %-16s %11s", outcome->series[i].name,
			cli_grouped(hist->count, text, sizeof(text)));
		for (size_t q = 0; q < QUANTILES; q++) {
			bool known = shunt_hist_quantile_known(hist, quantiles[q].ppm);

			unknown |= !known;
			printf(" %9s", known ? sample(&outcome->series[i],
						       shunt_hist_quantile(hist, quantiles[q].ppm),
						       text, sizeof(text))
					     : "n/a");
		}
		printf(" %9s\n", sample(&outcome->series[i], hist->max, text, sizeof(text)));
	}
	if (unknown)
		printf("  n/a: too few samples (p99 needs 368, p99.9 needs 3,688)\n");
}

/* ---- what it cost ---------------------------------------------------------------------------- */

static void kernel(const struct shunt_outcome *outcome)
{
	const struct shunt_usage *usage = &outcome->usage;
	char a[32], b[32], c[32], d[32], text[256];

	snprintf(text, sizeof(text),
		"%s context switches (%s involuntary), %s page faults, peak resident memory %s",
		cli_grouped(usage->voluntary_switches + usage->involuntary_switches, a, sizeof(a)),
		cli_grouped(usage->involuntary_switches, b, sizeof(b)),
		cli_grouped(usage->minor_faults + usage->major_faults, c, sizeof(c)),
		cli_nb(cli_bytes((double)usage->peak_rss_bytes, d, sizeof(d))));
	cli_wrap("Kernel", CLI_REPORT_INDENT, text);
}

static void trace(const struct cli_run *run, const struct shunt_outcome *outcome)
{
	char a[32], b[32], c[32], d[32], text[512];

	if (!outcome->traced)
		return;
	cli_grouped(outcome->trace_events, a, sizeof(a));
	cli_ns((double)outcome->trace_wall_ns, b, sizeof(b));
	cli_ns((double)outcome->trace_plain_wall_ns, c, sizeof(c));
	cli_ns(outcome->trace_cost_ns, d, sizeof(d));
	snprintf(text, sizeof(text),
		"%s holds %s events of one extra iteration. It took %s, and %s without tracing "
		"(%.2f times). One event costs %s",
		run->trace_path, a, cli_nb(b), cli_nb(c),
		(double)outcome->trace_wall_ns / (double)outcome->trace_plain_wall_ns, cli_nb(d));
	cli_wrap("Trace", CLI_REPORT_INDENT, text);
}

void cli_run_numbers(const struct cli_run *run, const struct shunt_outcome *outcome)
{
	bool ok = outcome->status == SHUNT_RECORD_OK;

	if (ok) {
		times(outcome);
		speed(outcome);
		other_metrics(outcome);
	}
	latencies(outcome);
	if (ok) {
		cli_run_counted(outcome);
		kernel(outcome);
		trace(run, outcome);
	}
}
