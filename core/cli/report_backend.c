/* SPDX-License-Identifier: MIT */
/* The lines of the report that say what ran: the backend and its settings. */
#include "core/cli/run.h"

#include "core/engine/compose.h"
#include "core/spec.h"

#include <stdlib.h>
#include <string.h>

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

void cli_run_backend(const struct shunt_outcome *outcome)
{
	struct cli_text text = {0};

	if (outcome->backend)
		cli_wrap("Backend", CLI_REPORT_INDENT, outcome->backend->summary);
	for (size_t i = 0; i < outcome->composition_count; i++)
		add_setting(&text, outcome, &outcome->composition[i]);
	if (text.len)
		cli_wrap("", CLI_REPORT_INDENT, text.s);
	free(text.s);
}
