/* SPDX-License-Identifier: MIT */
/*
 * shunt describe SPEC: what a spec resolves to on this machine, and where its workers would run.
 *
 * The scheduler is opened and not run, so that it may also be planned on a machine that this one is
 * not (place.topology).
 */
#include "core/cli/cli.h"

#include "core/backend.h"
#include "core/harness.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

static void add_setting(void *sink, const char *key, const char *value)
{
	json_object_set_new(sink, key, json_string(value));
}

/* Of the machine itself the manifest tells, at length. */
static void add_fact(void *sink, const char *name, const char *value, const char *source)
{
	(void)source;
	if (strncmp(name, "topology.", 9) != 0)
		json_object_set_new(sink, name, json_string(value));
}

static void print_object(const char *label, json_t *object)
{
	struct cli_text text = {0};
	const char *key;
	json_t *value;

	json_object_foreach(object, key, value)
	{
		size_t at = text.len;

		cli_add(&text, "%s%s=%s", at ? "\n" : "", key, json_string_value(value));
	}
	if (text.s)
		cli_wrap(label, 12, text.s);
	free(text.s);
}

int cli_describe_composed(const struct cli_args *args, const char *spec)
{
	struct shunt_error err = {""};
	struct shunt_sched *sched;
	char words[256];
	int rc = shunt_open(&sched, spec, NULL, &err);

	if (rc)
		return cli_error(args->json,
			rc == -ENOENT || rc == -EINVAL || rc == -ERANGE ? CLI_USAGE
									: CLI_RUN_FAILED,
			"%s", err.text);
	json_t *settings = json_object(), *facts = json_object();
	const struct shunt_backend *backend = sched->backend;

	if (backend->composition)
		backend->composition(sched, add_setting, settings);
	if (backend->facts)
		backend->facts(sched, add_fact, facts);
	shunt_caps_text(sched->caps, words, sizeof(words));
	shunt_close(sched);
	if (args->json)
		return cli_json(json_pack("{s:s, s:o, s:s, s:o}", "name", spec, "composition",
					settings, "can", words, "facts", facts),
			CLI_OK);
	printf("%s%s%s\n", cli_bold(), spec, cli_plain());
	cli_wrap("", 0, backend->summary);
	cli_wrap("Can do", 12, words);
	print_object("Resolved", settings);
	print_object("Facts", facts);
	json_decref(settings);
	json_decref(facts);
	return CLI_OK;
}
