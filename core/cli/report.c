/* SPDX-License-Identifier: MIT */
/*
 * The report of one run: what people see most, in 80 columns.
 *
 * In order of the questions a reader has: what ran on what; is the answer right; how fast, and how
 * steadily; how late; what did it cost; why not to believe it; how to get it again. A number is
 * never shown without its unit, a quantile never without enough samples.
 */
#include "core/cli/run.h"

#include "core/engine/compose.h"
#include "core/measure/trace.h"
#include "core/spec.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define INDENT 10

/* ---- what ran on what ------------------------------------------------------------------------ */

static void headline(const struct shunt_outcome *outcome)
{
	bool ok = outcome->status == SHUNT_RECORD_OK;
	const char *word = ok                      ? "ok"
			   : outcome->check_failed ? "WRONG ANSWER"
						   : shunt_record_status_name(outcome->status);

	printf("%s%s on %s%s: %s%s%s\n", cli_bold(), outcome->workload->name, outcome->backend_name,
		cli_plain(), ok ? cli_green() : cli_red(), word, cli_plain());
	if (!ok)
		cli_wrap("Reason", INDENT, outcome->reason);
}

/* A value as the user would write it. */
static void add_notation(struct cli_text *text, const struct shunt_param *param,
	const struct shunt_value *value)
{
	char notation[256];

	if (param->type <= SHUNT_PARAM_SIZE)
		shunt_param_notation(param->type, value->integer, notation, sizeof(notation));
	else
		shunt_value_format(param, value, notation, sizeof(notation));
	cli_add(text, "%s%s=%s", text->len ? " " : "", param->name, notation);
}

static void work(const struct shunt_outcome *outcome)
{
	const struct shunt_values *values = outcome->params;
	struct cli_text text = {0};

	for (size_t i = 0; values->params && values->params[i].name; i++)
		if (values->params[i].type != SHUNT_PARAM_TEXT || *values->value[i].text)
			add_notation(&text, &values->params[i], &values->value[i]);
	cli_add(&text, "%sseed=%" PRIu64, text.len ? " " : "", outcome->seed);
	cli_wrap("Work", INDENT, outcome->workload->summary);
	cli_wrap("", INDENT, text.s);
	free(text.s);
}

/* The parameters that a key "slot.param" or "param" of this composition has; NULL: not known. */
static const struct shunt_param *param_of(const struct shunt_outcome *outcome, const char *key)
{
	const char *dot = strchr(key, '.');

	for (const struct shunt_param *p = shunt_compose_params; p->name; p++)
		if (strcmp(p->name, key) == 0)
			return p;
	for (size_t i = 0; dot && i < outcome->composition_count; i++) {
		const struct shunt_outcome_pair *slot = &outcome->composition[i];

		if (strncmp(slot->key, key, (size_t)(dot - key)) != 0 ||
			slot->key[dot - key] != '\0')
			continue;
		const struct cli_kind *kind = cli_kind_find(slot->key);
		const struct shunt_plugin *plugin;

		if (!kind || shunt_registry_find(&plugin, kind->list, "", slot->value, NULL) != 0)
			return NULL;
		for (const struct shunt_param *p = kind->params(plugin->object); p && p->name; p++)
			if (strcmp(p->name, dot + 1) == 0)
				return p;
	}
	return NULL;
}

/* Is the setting what it would be if nobody had said anything? */
static bool is_default(const struct shunt_param *param, const char *value)
{
	const struct shunt_param table[2] = {*param, {.name = NULL}};
	struct shunt_values defaults;
	char fallback[128];

	if (shunt_values_init(&defaults, table, NULL) != 0)
		return false;
	shunt_value_format(param, defaults.value, fallback, sizeof(fallback));
	shunt_values_fini(&defaults);
	return strcmp(fallback, value) == 0;
}

/* Slots always, and what must agree between compared columns; the rest where it is no default. */
static bool is_shown(const struct shunt_param *param, const char *key, const char *value)
{
	static const char *const always[] = {"workers", "mt", "dispatch"};

	for (size_t i = 0; i < sizeof(always) / sizeof(always[0]); i++)
		if (strcmp(key, always[i]) == 0)
			return true;
	if (cli_kind_find(key) || strncmp(key, "plugin.", 7) == 0)
		return true;
	return param && !is_default(param, value);
}

static void add_setting(struct cli_text *text, const struct shunt_outcome *outcome,
	const struct shunt_outcome_pair *pair)
{
	const struct shunt_param *param = param_of(outcome, pair->key);
	const char *value = pair->value;
	char notation[64];

	/* A complete backend declares its own: all of them. */
	if (outcome->backend && outcome->backend->preset && !is_shown(param, pair->key, value))
		return;
	if (param && param->type <= SHUNT_PARAM_SIZE)
		value = shunt_param_notation(param->type, strtoll(pair->value, NULL, 10), notation,
			sizeof(notation));
	cli_add(text, "%s%s=%s", text->len ? " " : "", pair->key, value);
}

static void backend(const struct shunt_outcome *outcome)
{
	struct cli_text text = {0};

	if (outcome->backend)
		cli_wrap("Backend", INDENT, outcome->backend->summary);
	for (size_t i = 0; i < outcome->composition_count; i++)
		add_setting(&text, outcome, &outcome->composition[i]);
	if (text.len)
		cli_wrap("", INDENT, text.s);
	free(text.s);
}

/* ---- the answer ------------------------------------------------------------------------------ */

static void one_check(const struct shunt_outcome_check *check)
{
	char actual[48];
	const char *shown = check->actual;
	char *end;
	uint64_t n = strtoull(check->actual, &end, 10);

	if (*check->actual && *end == '\0' && check->actual[0] != '-')
		shown = cli_grouped(n, actual, sizeof(actual));
	if (check->ok)
		printf("%*s%-28s %20s\n", INDENT, "", check->name, shown);
	else
		printf("%*s%s%-28s %20s, expected %s%s\n", INDENT, "", cli_red(), check->name,
			shown, check->expected, cli_plain());
}

#define CHECKS_SHOWN 8

static void answer(const struct shunt_outcome *outcome)
{
	size_t iterations = outcome->iteration_count + outcome->warmup_done, shown = 0;
	char text[96];

	if (outcome->check_count == 0)
		return;
	if (outcome->check_failed)
		snprintf(text, sizeof(text), "WRONG");
	else
		snprintf(text, sizeof(text), "correct in %s%zu iteration%s",
			iterations > 1 ? "all " : "", iterations, iterations == 1 ? "" : "s");
	cli_wrap("Answer", INDENT, text);
	for (size_t i = 0; i < outcome->check_count; i++)
		if (!outcome->checks[i].ok || shown < CHECKS_SHOWN) {
			one_check(&outcome->checks[i]);
			shown++;
		}
	if (shown < outcome->check_count)
		printf("%*sand %zu more, all correct\n", INDENT, "", outcome->check_count - shown);
}

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
	cli_wrap("Time", INDENT, text);
	if (outcome->warmup_done == 0 || !(wall->value > 0))
		return;
	snprintf(text, sizeof(text), "%s wall of the first (cold) iteration, %.2f times the median",
		cli_ns((double)outcome->cold_wall_ns, a, sizeof(a)),
		(double)outcome->cold_wall_ns / wall->value);
	cli_wrap("", INDENT, text);
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
	cli_wrap("Rate", INDENT, text);
	spoken(strncmp(cost_name, "ns_", 3) == 0 ? cost_name + 3 : cost_name, name, sizeof(name));
	cli_ns(cost->value, number, sizeof(number));
	if (outcome->iteration_count > 1)
		snprintf(text, sizeof(text), "%s %s (best %s)", number, name,
			cli_ns(cost->low, best, sizeof(best)));
	else
		snprintf(text, sizeof(text), "%s %s", number, name);
	cli_wrap("Cost", INDENT, text);
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
		printf("%-*s%-28s %20s%s\n", INDENT, label, name, value, exact);
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
	cli_wrap("Kernel", INDENT, text);
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
	cli_wrap("Trace", INDENT, text);
}

/* ---- why not to believe it, and how to get it again ------------------------------------------ */

static void caveats(const struct cli_run *run)
{
	const char *label = "Caveats";

	for (const char *s = run->caveats.s; s && *s;) {
		int len = (int)strcspn(s, "\n");
		char line[512], left[32];

		snprintf(line, sizeof(line), "%.*s", len, s);
		snprintf(left, sizeof(left), "%-*s-", INDENT - 2, label);
		cli_wrap(left, INDENT, line);
		label = "";
		s += len + (s[len] == '\n');
	}
}

/* Options that say where results go are left out of the command that repeats the run. */
static int words_to_skip(const char *word)
{
	static const char *const where[] = {"--record", "--trace"};

	if (strcmp(word, "--force") == 0)
		return 1;
	for (size_t i = 0; i < sizeof(where) / sizeof(where[0]); i++) {
		size_t len = strlen(where[i]);

		if (strncmp(word, where[i], len) == 0 && (word[len] == '\0' || word[len] == '='))
			return word[len] == '\0' ? 2 : 1;
	}
	return 0;
}

static void again(const struct cli_run *run, const char *kept)
{
	const char *folders = getenv("SHUNT_PLUGIN_PATH");
	struct cli_text text = {0};

	cli_wrap("Record", INDENT, kept ? kept : "not kept; --record FILE keeps it");
	if (folders && *folders) {
		cli_add(&text, "SHUNT_PLUGIN_PATH=");
		cli_add_shell(&text, folders);
		cli_add(&text, " ");
	}
	cli_add_shell(&text, run->argv[0]);
	for (int i = 1; i < run->argc; i++) {
		int skip = words_to_skip(run->argv[i]);

		if (skip) {
			i += skip - 1;
			continue;
		}
		cli_add(&text, " ");
		cli_add_shell(&text, run->argv[i]);
	}
	cli_wrap("Repeat", INDENT, text.s);
	free(text.s);
}

void cli_run_report(const struct cli_run *run, const struct shunt_outcome *outcome,
	const char *kept)
{
	bool ok = outcome->status == SHUNT_RECORD_OK;

	headline(outcome);
	printf("\n");
	work(outcome);
	backend(outcome);
	if (outcome->check_count)
		printf("\n");
	answer(outcome);
	if (ok) {
		times(outcome);
		speed(outcome);
		other_metrics(outcome);
	}
	latencies(outcome);
	if (ok) {
		cli_run_counted(outcome, INDENT);
		kernel(outcome);
		trace(run, outcome);
	}
	printf("\n");
	caveats(run);
	again(run, kept);
}
