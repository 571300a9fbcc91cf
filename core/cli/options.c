/* SPDX-License-Identifier: MIT */
/*
 * Options are parameters: the same tables, units, ranges and messages as everywhere in shunt.
 *
 * `--name value`, `--name=value`, flags without a value, `--` ends the options, and options may
 * stand between other words. getopt_long is not used: it accepts abbreviations, which break when an
 * option is added, and cannot name the nearest option.
 */
#include "core/cli/cli.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

const char *const cli_flag[] = {"no", "yes", NULL};
static const char plugin[] = "--plugin";

static const struct shunt_param *find_option(const struct shunt_param *options, const char *name)
{
	for (; options && options->name; options++)
		if (strcmp(options->name, name) == 0)
			return options;
	return NULL;
}

static int unknown_option(const struct cli_command *command, const char *name, bool json)
{
	const char *names[64] = {"--help"};
	size_t count = 1;

	for (const struct shunt_param *p = command->options; p && p->name && count < 64; p++)
		names[count++] = p->name;
	const char *near = shunt_nearest(name, names, count);

	if (near)
		return cli_error(json, CLI_USAGE,
			"%s has no option %.60s; did you mean %s? See `shunt %s --help`",
			command->name, name, near, command->name);
	return cli_error(json, CLI_USAGE, "%s has no option %.60s; see `shunt %s --help`",
		command->name, name, command->name);
}

/* One option at argv[*at], its value perhaps the next word. */
static int parse_option(struct cli_args *args, const struct cli_command *command, int argc,
	char **argv, int *at)
{
	char name[64];
	const char *word = argv[*at], *equals = strchr(word, '=');
	const char *value = equals ? equals + 1 : NULL;
	struct shunt_error err;

	snprintf(name, sizeof(name), "%.*s", (int)(equals ? equals - word : 63), word);
	const struct shunt_param *option = find_option(command->options, name);

	if (!option)
		return unknown_option(command, name, args->json);
	bool flag = option->choices == cli_flag;

	if (flag && value)
		return cli_error(args->json, CLI_USAGE, "%s takes no value", name);
	if (flag)
		value = "yes";
	else if (!value && *at + 1 < argc)
		value = argv[++*at];
	if (!value)
		return cli_error(args->json, CLI_USAGE, "%s needs a value: expected %s", name,
			shunt_param_expects(option));
	if (shunt_values_set(&args->options, command->name, name, value, &err) != 0)
		return cli_error(args->json, CLI_USAGE, "%s", err.text);
	return strcmp(name, plugin) == 0 ? cli_plugins_take(command, value, args->json) : 0;
}

/* Known before anything can fail, so that a failure can be a document. */
static bool asks_json(const struct cli_command *command, int argc, char **argv)
{
	if (!find_option(command->options, "--json"))
		return false;
	for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
		if (strcmp(argv[i], "--json") == 0)
			return true;
	return false;
}

int cli_args_parse(struct cli_args *args, const struct cli_command *command, int argc, char **argv)
{
	struct shunt_error err;
	bool only_words = false;

	*args = (struct cli_args){.json = asks_json(command, argc, argv)};
	args->word = calloc((size_t)argc + 1, sizeof(*args->word));
	if (!args->word || shunt_values_init(&args->options, command->options, &err) != 0)
		return cli_error(args->json, CLI_RUN_FAILED, "%s",
			args->word ? err.text : "out of memory");
	if (find_option(command->options, plugin))
		cli_plugins_begin();
	for (int i = 1; i < argc; i++) {
		int rc = 0;

		if (!only_words && strcmp(argv[i], "--") == 0) {
			only_words = true;
			args->dashes = args->word_count;
		} else if (!only_words && argv[i][0] == '-' && argv[i][1] != '\0')
			rc = parse_option(args, command, argc, argv, &i);
		else
			args->word[args->word_count++] = argv[i];
		if (rc)
			return rc;
	}
	if (!only_words)
		args->dashes = args->word_count;
	return 0;
}

void cli_args_free(struct cli_args *args)
{
	shunt_values_fini(&args->options);
	free(args->word);
}

bool cli_given(const struct cli_args *args, const char *option)
{
	return shunt_value(&args->options, option)->given;
}

bool cli_is_set(const struct cli_args *args, const char *flag)
{
	return shunt_value_int(&args->options, flag) != 0;
}

/* ---- help ------------------------------------------------------------------------------------ */

static void help_option(const struct shunt_param *option)
{
	char left[64], right[512];
	const char *help = option->help;
	int word = 0;

	if (help[0] == '=')
		word = (int)strcspn(help, " ");
	snprintf(left, sizeof(left), "  %s%s%.*s", option->name, word ? " " : "",
		word ? word - 1 : 0, help + 1);
	help += word ? word + 1 : 0;
	bool told = option->choices != cli_flag && option->fallback && option->fallback[0];

	snprintf(right, sizeof(right), "%s%s%s%s", help, told ? " [" : "",
		told ? option->fallback : "", told ? "]" : "");
	cli_wrap(left, 23, right);
}

void cli_help(const struct cli_command *command)
{
	char label[32], usage[512];

	snprintf(label, sizeof(label), "%sUsage:%s", cli_bold(), cli_plain());
	snprintf(usage, sizeof(usage), "shunt %s%s%s", command->name, command->usage[0] ? " " : "",
		command->usage);
	cli_wrap(label, 7, usage);
	printf("\n");
	cli_wrap("", 0, command->text ? command->text : command->summary);
	printf("\n%sOptions%s\n", cli_bold(), cli_plain());
	for (const struct shunt_param *p = command->options; p && p->name; p++)
		help_option(p);
	cli_wrap("  --help", 23, "show this");
	if (command->examples)
		printf("\n%sExamples%s\n%s", cli_bold(), cli_plain(), command->examples);
}
