/* SPDX-License-Identifier: MIT */
/* shunt describe: one plug-in or workload in full, or the grammar of specs. */
#include "core/cli/cli.h"

#include "core/engine/compose.h"
#include "core/harness.h"
#include "core/plugins.h"
#include "core/workload.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#define NAMES_MAX 256

/* ---- parameters ------------------------------------------------------------------------------ */

static const char *type_name(enum shunt_param_type type)
{
	static const char *const names[] = {[SHUNT_PARAM_COUNT] = "count",
		[SHUNT_PARAM_DURATION] = "duration",
		[SHUNT_PARAM_SIZE] = "size",
		[SHUNT_PARAM_REAL] = "number",
		[SHUNT_PARAM_CHOICE] = "choice",
		[SHUNT_PARAM_TEXT] = "text"};

	return names[type];
}

static void print_params(const char *prefix, const struct shunt_param *params)
{
	for (const struct shunt_param *p = params; p && p->name; p++) {
		char label[96], range[256];
		struct cli_text text = {0};
		const char *fallback = p->fallback && *p->fallback ? p->fallback : "none";

		snprintf(label, sizeof(label), "  %s%s=%s", prefix, p->name, fallback);
		cli_add(&text, "%s", p->help ? p->help : "");
		shunt_param_range(p, range, sizeof(range));
		if (p->type != SHUNT_PARAM_TEXT)
			cli_add(&text, "\n%s: %s", type_name(p->type), range);
		cli_wrap(label, 27, text.s);
		free(text.s);
	}
}

static json_t *params_json(const char *prefix, const struct shunt_param *params)
{
	json_t *list = json_array();

	for (const struct shunt_param *p = params; p && p->name; p++) {
		char name[96];
		json_t *one;

		snprintf(name, sizeof(name), "%s%s", prefix, p->name);
		one = json_pack("{s:s, s:s, s:s, s:s}", "name", name, "type", type_name(p->type),
			"default", p->fallback ? p->fallback : "", "help", p->help ? p->help : "");
		if (p->type == SHUNT_PARAM_CHOICE) {
			json_t *choices = json_array();

			for (size_t i = 0; p->choices[i]; i++)
				json_array_append_new(choices, json_string(p->choices[i]));
			json_object_set_new(one, "choices", choices);
		} else if (p->type != SHUNT_PARAM_TEXT) {
			json_object_set_new(one, "min", json_integer(p->min));
			if (p->max != 0 || p->min != 0)
				json_object_set_new(one, "max", json_integer(p->max));
		}
		json_array_append_new(list, one);
	}
	return list;
}

/* A setting's name in a spec begins with its slot. */
static void prefix_of(const struct cli_kind *kind, char *to, size_t size)
{
	bool slot = kind->list != shunt_registry_backends && kind->list != shunt_registry_workloads;

	snprintf(to, size, "%s%s", slot ? kind->name : "", slot ? "." : "");
}

json_t *cli_params_json(const struct cli_kind *kind, const void *object)
{
	char prefix[32];

	prefix_of(kind, prefix, sizeof(prefix));
	return params_json(prefix, kind->params(object));
}

/* ---- backends -------------------------------------------------------------------------------- */

static void add_setting(void *sink, const char *key, const char *value)
{
	json_object_set_new(sink, key, json_string(value));
}

/* The composition as the preset resolves here; NULL and why when it does not. */
static json_t *composition(const struct shunt_backend *backend, unsigned *caps,
	struct shunt_error *why)
{
	struct shunt_sched *sched;

	if (shunt_open(&sched, backend->name, NULL, why) != 0)
		return NULL;
	json_t *settings = json_object();

	if (backend->composition)
		backend->composition(sched, add_setting, settings);
	*caps = sched->caps;
	shunt_close(sched);
	return settings;
}

static void print_backend(const struct shunt_backend *backend)
{
	struct shunt_error why;
	unsigned caps = 0;
	json_t *settings = composition(backend, &caps, &why);
	struct cli_text text = {0};
	const char *key;
	char words[256];
	json_t *value;

	if (backend->preset)
		cli_wrap("Preset", 12, backend->preset);
	if (settings) {
		json_object_foreach(settings, key, value) cli_add(&text, "%s%s=%s",
			text.len ? " " : "", key, json_string_value(value));
		cli_wrap("Resolved", 12, text.s ? text.s : "no settings");
		cli_wrap("Can do", 12, shunt_caps_text(caps, words, sizeof(words)));
	} else {
		cli_wrap("Here", 12, why.text);
	}
	if (backend->preset) {
		printf("\n%sSettings of every composition%s (`shunt describe spec` lists those of "
		       "its parts)\n",
			cli_bold(), cli_plain());
		print_params("", shunt_compose_params);
	}
	json_decref(settings);
	free(text.s);
}

/* ---- workloads ------------------------------------------------------------------------------- */

static void print_workload(const struct shunt_workload *workload)
{
	char words[256];

	printf("\n");
	if (workload->description)
		cli_wrap("", 0, workload->description);
	printf("\n");
	cli_wrap("Operation", 12, workload->operation);
	cli_wrap("Cost", 12, workload->cost_metric);
	cli_wrap("Needs", 12,
		workload->needs ? shunt_caps_text(workload->needs, words, sizeof(words))
				: "nothing special");
}

/* ---- any plug-in ----------------------------------------------------------------------------- */

static void print_plugin(const struct cli_kind *kind, const struct shunt_plugin *plugin)
{
	struct cli_text origin = {0};
	const struct shunt_param *params;
	struct shunt_error why = {""};
	char prefix[32];

	prefix_of(kind, prefix, sizeof(prefix));
	printf("%s%s%s (%s)", cli_bold(), plugin->name, cli_plain(), kind->name);
	printf("\n");
	if (!plugin->object) {
		cli_wrap("", 0, plugin->absent_why);
		return;
	}
	cli_wrap("", 0, kind->summary(plugin->object));
	cli_plugin_origin(&origin, plugin);
	if (origin.s)
		cli_wrap("Plug-in", 12, origin.s);
	free(origin.s);
	if (kind->list == shunt_registry_backends)
		print_backend(plugin->object);
	else if (kind->list == shunt_registry_workloads)
		print_workload(plugin->object);
	if (kind->list != shunt_registry_backends && kind->probe &&
		kind->probe(plugin->object, &why) != 0)
		cli_wrap("Here", 12, why.text);
	params = kind->params(plugin->object);
	if (params && params->name) {
		printf("\n%sParameters%s, with their defaults\n", cli_bold(), cli_plain());
		print_params(prefix, params);
	}
}

static json_t *plugin_json(const struct cli_kind *kind, const struct shunt_plugin *plugin)
{
	struct shunt_error why = {""};
	unsigned caps = 0;
	json_t *one = json_pack("{s:s, s:s, s:b}", "kind", kind->name, "name", plugin->name,
		"built", plugin->object != NULL);

	cli_plugin_origin_json(one, plugin);
	if (!plugin->object) {
		json_object_set_new(one, "why", json_string(plugin->absent_why));
		return one;
	}
	json_object_set_new(one, "summary", json_string(kind->summary(plugin->object)));
	if (kind->list == shunt_registry_backends) {
		const struct shunt_backend *backend = plugin->object;
		json_t *settings = composition(backend, &caps, &why);

		json_object_set_new(one, "preset",
			json_string(backend->preset ? backend->preset : ""));
		if (settings)
			json_object_set_new(one, "composition", settings);
	} else if (kind->list == shunt_registry_workloads) {
		const struct shunt_workload *workload = plugin->object;

		caps = workload->needs;
		json_object_set_new(one, "description", json_string(workload->description));
		json_object_set_new(one, "operation", json_string(workload->operation));
		json_object_set_new(one, "cost_metric", json_string(workload->cost_metric));
	} else if (kind->probe) {
		kind->probe(plugin->object, &why);
	}
	if (caps) {
		char words[256];

		json_object_set_new(one, kind->list == shunt_registry_workloads ? "needs" : "can",
			json_string(shunt_caps_text(caps, words, sizeof(words))));
	}
	json_object_set_new(one, "available", json_boolean(!why.text[0]));
	if (why.text[0])
		json_object_set_new(one, "why", json_string(why.text));
	json_object_set_new(one, "parameters", cli_params_json(kind, plugin->object));
	return one;
}

/* ---- the grammar ----------------------------------------------------------------------------- */

static const char grammar[] = "SPEC    = BACKEND [ \":\" SETTING { \",\" SETTING } ]\n"
			      "SETTING = KEY \"=\" VALUE\n"
			      "KEY     = SLOT | SLOT \".\" PARAMETER | PARAMETER\n";

static void print_spec(void)
{
	printf("%sThe spec of a scheduler%s\n\n%s\n", cli_bold(), cli_plain(), grammar);
	cli_wrap("", 0,
		"BACKEND is a name from `shunt list backends`. What it sets is the preset; every "
		"setting can be overridden, one at a time. Values take units: counts 10k, 1M; "
		"durations 50us, 100ms, 2s; sizes 64k, 1M (k = 1024). Lists within a value use + "
		"and "
		"ranges -, as in place=0+2+4-7.");
	printf("\n%sExamples%s\n"
	       "  asm                            the preset as it is\n"
	       "  asm:stack.size=128k            larger stacks\n"
	       "  asm:policy=lifo,wait=spin      another policy, and a worker that never sleeps\n"
	       "  asm:mt=1                       one worker that pays for atomics\n",
		cli_bold(), cli_plain());
	printf("\n%sSettings of every composition%s\n", cli_bold(), cli_plain());
	print_params("", shunt_compose_params);
	for (size_t i = 0; i < cli_kind_count; i++) {
		const struct cli_kind *kind = &cli_kinds[i];
		char prefix[32];

		if (kind->list == shunt_registry_backends || kind->list == shunt_registry_workloads)
			continue;
		printf("\n%s%s=%s %s\n", cli_bold(), kind->name, cli_plain(), kind->what);
		prefix_of(kind, prefix, sizeof(prefix));
		for (const struct shunt_plugin *p = kind->list; p->name; p++) {
			cli_wrap("", 2, p->name);
			if (p->object)
				print_params(prefix, kind->params(p->object));
		}
	}
}

static int describe_spec(const struct cli_args *args)
{
	if (!args->json) {
		print_spec();
		return CLI_OK;
	}
	return cli_json(json_pack("{s:s, s:s, s:o}", "name", "spec", "grammar", grammar, "settings",
				params_json("", shunt_compose_params)),
		CLI_OK);
}

/* ---- which one ------------------------------------------------------------------------------- */

static int unknown_name(const struct cli_args *args, const char *name)
{
	const char *names[NAMES_MAX] = {"spec"};
	size_t count = 1;

	for (size_t i = 0; i < cli_kind_count; i++)
		for (const struct shunt_plugin *p = cli_kinds[i].list; p->name; p++)
			if (count < NAMES_MAX)
				names[count++] = p->name;
	const char *near = shunt_nearest(name, names, count);

	if (near)
		return cli_error(args->json, CLI_USAGE,
			"unknown name '%.60s'; did you mean '%s'? `shunt list` shows every name",
			name, near);
	return cli_error(args->json, CLI_USAGE,
		"unknown name '%.60s'; `shunt list` shows every name", name);
}

/* A name may belong to several kinds: a backend and the switch it is named for. */
static int describe(const struct cli_args *args, const struct cli_kind *only, const char *name)
{
	json_t *found = json_array();
	size_t count = 0;

	for (size_t i = 0; i < cli_kind_count; i++) {
		const struct cli_kind *kind = &cli_kinds[i];

		if (only && only != kind)
			continue;
		for (const struct shunt_plugin *p = kind->list; p->name; p++) {
			if (strcmp(p->name, name) != 0)
				continue;
			if (args->json)
				json_array_append_new(found, plugin_json(kind, p));
			else if (count++ > 0)
				printf("\n");
			if (!args->json)
				print_plugin(kind, p);
			else
				count++;
		}
	}
	if (count == 0) {
		json_decref(found);
		return unknown_name(args, name);
	}
	if (args->json)
		return cli_json(json_pack("{s:s, s:o}", "name", name, "found", found), CLI_OK);
	json_decref(found);
	return CLI_OK;
}

static int run(const struct cli_command *command, int argc, char **argv)
{
	struct cli_args args;
	const struct cli_kind *kind = NULL;
	int rc = cli_args_parse(&args, command, argc, argv);

	if (rc == 0)
		shunt_plugins_load_bundled(NULL);
	if (rc == 0 && (args.word_count < 1 || args.word_count > 2))
		rc = cli_error(args.json, CLI_USAGE,
			"describe needs one name, as in `shunt describe yield`; `shunt list` shows "
			"every name");
	if (rc == 0 && args.word_count == 2) {
		kind = cli_kind_find(args.word[0]);
		if (!kind)
			rc = cli_error(args.json, CLI_USAGE,
				"unknown kind '%s'; `shunt list` shows every kind", args.word[0]);
	}
	if (rc == 0) {
		const char *name = args.word[args.word_count - 1];

		if (strcmp(name, "spec") == 0)
			rc = describe_spec(&args);
		else if (strchr(name, ':') && (!kind || kind->list == shunt_registry_backends))
			rc = cli_describe_composed(&args, name);
		else
			rc = describe(&args, kind, name);
	}
	cli_args_free(&args);
	return rc;
}

static const struct shunt_param options[] = {CLI_JSON, CLI_PLUGIN, {.name = NULL}};

const struct cli_command cli_describe = {
	.name = "describe",
	.summary = "one backend, workload or part in full: parameters, units, ranges",
	.usage = "[KIND] NAME|SPEC [--plugin FILE.so] [--json]",
	.text = "Describes whatever has that name: what it is, every parameter with its default, "
		"unit, range and use; for a backend also what it is composed of. `spec` is the "
		"grammar of backend settings. A backend with settings, mn:workers=4, is resolved: "
		"every setting, what it can do, and the CPU of each worker.",
	.examples = "  shunt describe yield\n  shunt describe asm\n  shunt describe policy fifo\n"
		    "  shunt describe spec\n  shunt describe mn:workers=4,place=scatter\n"
		    "  shunt describe 'mn:place=core,place.topology=pack:2 core:8 pu:2'\n",
	.options = options,
	.run = run,
};
