/* SPDX-License-Identifier: MIT */
/*
 * The report of one run: what people see most, in 80 columns.
 *
 * In order of the questions a reader has: what ran on what; is the answer right; how fast, and how
 * steadily; how late; what did it cost; why not to believe it; how to get it again.
 */
#include "core/cli/run.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

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
		cli_wrap("Reason", CLI_REPORT_INDENT, outcome->reason);
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
	cli_wrap("Work", CLI_REPORT_INDENT, outcome->workload->summary);
	cli_wrap("", CLI_REPORT_INDENT, text.s);
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
		printf("%*s%-28s %20s\n", CLI_REPORT_INDENT, "", check->name, shown);
	else
		printf("%*s%s%-28s %20s, expected %s%s\n", CLI_REPORT_INDENT, "", cli_red(),
			check->name, shown, check->expected, cli_plain());
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
	cli_wrap("Answer", CLI_REPORT_INDENT, text);
	for (size_t i = 0; i < outcome->check_count; i++)
		if (!outcome->checks[i].ok || shown < CHECKS_SHOWN) {
			one_check(&outcome->checks[i]);
			shown++;
		}
	if (shown < outcome->check_count)
		printf("%*sand %zu more, all correct\n", CLI_REPORT_INDENT, "",
			outcome->check_count - shown);
}

/* ---- why not to believe it, and how to get it again ------------------------------------------ */

static void caveats(const struct cli_run *run)
{
	const char *label = "Caveats";

	for (const char *s = run->caveats.s; s && *s;) {
		int len = (int)strcspn(s, "\n");
		char line[512], left[32];

		snprintf(line, sizeof(line), "%.*s", len, s);
		snprintf(left, sizeof(left), "%-*s-", CLI_REPORT_INDENT - 2, label);
		cli_wrap(left, CLI_REPORT_INDENT, line);
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

	cli_wrap("Record", CLI_REPORT_INDENT, kept ? kept : "not kept; --record FILE keeps it");
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
	cli_wrap("Repeat", CLI_REPORT_INDENT, text.s);
	free(text.s);
}

void cli_run_report(const struct cli_run *run, const struct shunt_outcome *outcome,
	const char *kept)
{
	headline(outcome);
	printf("\n");
	work(outcome);
	cli_run_backend(outcome);
	if (outcome->check_count)
		printf("\n");
	answer(outcome);
	cli_run_numbers(run, outcome);
	printf("\n");
	caveats(run);
	again(run, kept);
}
