/* SPDX-License-Identifier: MIT */
/*
 * shunt record: a run of a program, recorded as `shunt run` records its own.
 *
 * The workload is one of this build's, by whose table the parameters are read and completed, or one
 * that only the program knows; then they are texts, handed on as they are.
 */
#include "core/cli/run.h"

#include "core/cli/program.h"
#include "core/measure/record.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

static int refuse(const struct cli_run *run, const char *word, const char *what)
{
	return cli_error(run->args.json, CLI_USAGE, "'%.60s' is not a valid %s", word, what);
}

/* The rule of names in a record. */
static bool is_name(const char *word, size_t length)
{
	return length && length < 48 && isalnum((unsigned char)word[0]) &&
	       strspn(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.+-") >=
		       length;
}

/* KEY=VALUE, with a key that a record takes. */
static bool is_pair(const char *word)
{
	char key[64];
	size_t length = strcspn(word, "=,");

	snprintf(key, sizeof(key), "%.*s", (int)length, word);
	return word[length] == '=' && length < sizeof(key) && shunt_record_is_name(key);
}

static int check_words(const struct cli_run *run)
{
	const char *spec = run->args.word[0], *workload = run->args.word[1];
	size_t name = strcspn(spec, ":");

	if (!is_name(spec, name))
		return refuse(run, spec, "name of a backend");
	if (!is_name(workload, strlen(workload)))
		return refuse(run, workload, "name of a workload");
	for (const char *at = spec[name] ? spec + name + 1 : NULL; at; at = strchr(at, ',')) {
		at += *at == ',';
		if (!is_pair(at))
			return refuse(run, at,
				"setting; expected KEY=VALUE, with KEY in lower case");
	}
	return 0;
}

/* A table of the parameters that were given, all of them texts. NULL: no memory. */
static struct shunt_param *table_of_texts(const struct cli_run *run)
{
	size_t count = run->args.word_count - 2;
	struct shunt_param *table = calloc(count + 1, sizeof(*table));

	for (size_t i = 0; table && i < count; i++) {
		const char *word = run->args.word[i + 2];

		table[i] = (struct shunt_param){.name = strndup(word, strcspn(word, "=")),
			.type = SHUNT_PARAM_TEXT,
			.fallback = "",
			.help = ""};
	}
	return table;
}

/* What is run, into *found; its table, if it is made here, into *texts. */
static int find_workload(const struct cli_run *run, struct shunt_workload *found,
	struct shunt_param **texts)
{
	const char *name = run->args.word[1];

	for (const struct shunt_plugin *at = shunt_registry_workloads; at->name; at++)
		if (at->object && strcmp(at->name, name) == 0) {
			*found = *(const struct shunt_workload *)at->object;
			return 0;
		}
	for (size_t i = 2; i < run->args.word_count; i++)
		if (!is_pair(run->args.word[i]))
			return refuse(run, run->args.word[i],
				"parameter; expected KEY=VALUE, with KEY in lower case");
	*texts = table_of_texts(run);
	if (!*texts)
		return cli_error(run->args.json, CLI_RUN_FAILED, "out of memory");
	*found = (struct shunt_workload){.name = name,
		.summary = "a workload of the program's own",
		.operation = "one operation of the program's own",
		.cost_metric = "ns_per_op",
		.params = *texts};
	return 0;
}

static int perform(struct cli_run *run, const char *const *command)
{
	static struct cli_program program;
	struct shunt_param *texts = NULL;
	struct shunt_workload workload;
	char backend[48];
	int rc = check_words(run);

	if (rc == 0)
		rc = find_workload(run, &workload, &texts);
	if (rc == 0)
		rc = cli_run_take(run);
	if (rc == 0) {
		snprintf(backend, sizeof(backend), "%.*s", (int)strcspn(run->args.word[0], ":"),
			run->args.word[0]);
		cli_program_init(&program, backend, &workload, command,
			run->request.warmup + run->request.iterations);
		run->request.backend = &program.backend;
		run->request.workload = &program.workload;
		run->program = &program;
		rc = cli_run_perform(run);
	}
	for (size_t i = 0; texts && texts[i].name; i++)
		free((char *)(uintptr_t)texts[i].name);
	free(texts);
	return rc;
}

static int record_command(const struct cli_command *command, int argc, char **argv)
{
	struct cli_run run = {.argc = argc + 1, .argv = argv - 1};
	int rc = cli_args_parse(&run.args, command, argc, argv);

	if (rc == 0 && (run.args.dashes < 2 || run.args.word_count == run.args.dashes))
		rc = cli_error(run.args.json, CLI_USAGE,
			"record needs a backend, a workload and, after --, a command, as in `shunt "
			"record "
			"mine yield tasks=10 -- ./mine`");
	if (rc == 0) {
		const char **words = run.args.word + run.args.dashes;

		run.args.word_count = run.args.dashes;
		rc = perform(&run, words);
	}
	cli_run_release(&run);
	return rc;
}

static const struct shunt_param options[] = {
	CLI_RUN_OPTIONS,
	{.name = NULL},
};

const struct cli_command cli_record = {
	.name = "record",
	.summary = "run a program that reports by lines; check, record, report",
	.usage = "BACKEND[:KEY=VALUE,...] WORKLOAD [KEY=VALUE ...] [options] -- COMMAND [ARGUMENT "
		 "...]",
	.text = "Starts the command, asks it for warm-up and measured iterations by a line of JSON "
		"on its "
		"standard input, and reads from its standard output, one JSON object a line, what "
		"each "
		"iteration took and found. Makes of it the record that `shunt run` makes, with the "
		"same "
		"checks, medians, timeout and manifest. BACKEND and WORKLOAD are what it is "
		"recorded "
		"as: the parameters of a workload of this build are checked and completed, those "
		"of "
		"another are handed on as texts. The protocol is experiments/drivers/README.md.\n\n"
		"Exit status: as of `shunt run`.",
	.examples = "  shunt record mine yield switches=10k -- python3 mine.py\n"
		    "  shunt record mine:workers=2 tour cities=30 --record tour.json -- ./tour\n",
	.options = options,
	.run = record_command,
};
