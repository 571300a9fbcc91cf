/* SPDX-License-Identifier: MIT */
/* shunt list: every plug-in, and why one is not there or cannot run here. */
#include "core/cli/cli.h"

#include "core/backend.h"
#include "core/plugins.h"
#include "core/workload.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

/* "" if the plug-in can be used here, else why not. */
static const char *why_not(const struct cli_kind *kind, const struct shunt_plugin *plugin,
	struct shunt_error *why)
{
	why->text[0] = '\0';
	if (!plugin->object)
		return plugin->absent_why;
	int rc = kind->probe ? kind->probe(plugin->object, why) : 0;

	if (rc && !why->text[0])
		shunt_fail(why, rc, "%s", strerror(-rc));
	return rc ? why->text : "";
}

static void list_one(const struct cli_kind *kind, const struct shunt_plugin *plugin)
{
	struct shunt_error why;
	struct cli_text text = {0};
	char label[64];
	const char *not = why_not(kind, plugin, &why);

	snprintf(label, sizeof(label), "  %s", plugin->name);
	if (plugin->object)
		cli_add(&text, "%s", kind->summary(plugin->object));
	if (*not )
		cli_add(&text, "%s%s%s", plugin->object ? "\n" : "",
			plugin->object ? "cannot run here: " : "", not );
	cli_plugin_origin(&text, plugin);
	cli_wrap(label, 22, text.s ? text.s : "");
	free(text.s);
}

static void list_kind(const struct cli_kind *kind, bool first)
{
	printf("%s%s%s%s: %s\n", first ? "" : "\n", cli_bold(), kind->plural, cli_plain(),
		kind->what);
	for (const struct shunt_plugin *plugin = kind->list; plugin->name; plugin++)
		list_one(kind, plugin);
	if (!kind->list->name)
		printf("  none\n");
}

static json_t *kind_json(const struct cli_kind *kind)
{
	json_t *list = json_array();

	for (const struct shunt_plugin *plugin = kind->list; plugin->name; plugin++) {
		struct shunt_error why;
		const char *not = why_not(kind, plugin, &why);
		json_t *one = json_pack("{s:s, s:b, s:b}", "name", plugin->name, "built",
			plugin->object != NULL, "available", *not == '\0');

		if (plugin->object) {
			json_object_set_new(one, "summary",
				json_string(kind->summary(plugin->object)));
			json_object_set_new(one, "parameters",
				cli_params_json(kind, plugin->object));
		}
		if (plugin->object && kind->list == shunt_registry_workloads) {
			const struct shunt_workload *workload = plugin->object;
			json_object_set_new(one, "cost_metric", json_string(workload->cost_metric));
		}
		if (*not )
			json_object_set_new(one, "why", json_string(not ));
		cli_plugin_origin_json(one, plugin);
		json_array_append_new(list, one);
	}
	return list;
}

static int unknown_kind(const struct cli_args *args)
{
	const char *names[32], *word = args->word[0];
	struct cli_text all = {0};
	int rc;

	for (size_t i = 0; i < cli_kind_count; i++) {
		names[i] = cli_kinds[i].plural;
		cli_add(&all, "%s%s", i ? ", " : "", names[i]);
	}
	const char *near = shunt_nearest(word, names, cli_kind_count);

	if (near)
		rc = cli_error(args->json, CLI_USAGE,
			"unknown kind '%.60s'; did you mean '%s'? There are %s", word, near, all.s);
	else
		rc = cli_error(args->json, CLI_USAGE, "unknown kind '%.60s'; there are %s", word,
			all.s);
	free(all.s);
	return rc;
}

static int run(const struct cli_command *command, int argc, char **argv)
{
	struct cli_args args;
	const struct cli_kind *only = NULL;
	int rc = cli_args_parse(&args, command, argc, argv);

	if (rc == 0)
		shunt_plugins_load_bundled(NULL);
	if (rc == 0 && args.word_count > 1)
		rc = cli_error(args.json, CLI_USAGE, "list takes one kind; '%s' is one too many",
			args.word[1]);
	if (rc == 0 && args.word_count == 1) {
		only = cli_kind_find(args.word[0]);
		rc = only ? 0 : unknown_kind(&args);
	}
	json_t *document = rc == 0 && args.json ? json_object() : NULL;

	for (size_t i = 0; i < cli_kind_count && rc == 0; i++) {
		if (only && only != &cli_kinds[i])
			continue;
		if (args.json)
			json_object_set_new(document, cli_kinds[i].plural,
				kind_json(&cli_kinds[i]));
		else
			list_kind(&cli_kinds[i], only || i == 0);
	}
	if (rc == 0 && !only && !args.json)
		cli_plugins_list();
	if (document && !only && shunt_plugins())
		json_object_set_new(document, "plug-ins", cli_plugins_json());
	if (document)
		rc = cli_json(document, rc);
	cli_args_free(&args);
	return rc;
}

static const struct shunt_param options[] = {CLI_JSON, CLI_PLUGIN, {.name = NULL}};

const struct cli_command cli_list = {
	.name = "list",
	.summary = "what this build has: backends, workloads, and the parts of backends",
	.usage = "[backends|workloads|switches|waits|timers|policies|places] [--plugin FILE.so] "
		 "[--json]",
	.text = "Lists every plug-in with what it is. One that this build does not have, or that "
		"this machine cannot run, is listed with the reason. Plug-ins from files are "
		"listed "
		"with their file, also those that were refused.",
	.examples = "  shunt list\n  shunt list backends\n  shunt list --json | jq .workloads\n",
	.options = options,
	.run = run,
};
