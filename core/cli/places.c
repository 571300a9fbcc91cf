/* SPDX-License-Identifier: MIT */
/* What workers=all means on this machine under each placement: how many, and on which CPUs. */
#include "core/cli/cli.h"

#include "core/engine/slots.h"
#include "core/registry.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The CPUs of each worker, joined by blanks; said once where all have the same. 0, or why not. */
static int offer_of(const struct shunt_place *place, unsigned *count, struct cli_text *cpus,
	struct shunt_error *err)
{
	struct shunt_values values = {0};
	bool oversubscribed;
	void *plan;
	char before[256] = "", text[256];
	int rc = place->params ? shunt_values_init(&values, place->params, err) : 0;

	*count = 0;
	if (rc == 0)
		rc = place->open(&plan, &values, count, &oversubscribed, err);
	for (unsigned i = 0; rc == 0 && i < *count; i++) {
		place->describe(plan, i, text, sizeof(text));
		if (strcmp(text, before) != 0)
			cli_add(cpus, "%s%s", cpus->len ? " " : "", text);
		snprintf(before, sizeof(before), "%s", text);
	}
	if (rc == 0)
		place->close(plan);
	shunt_values_fini(&values);
	return rc;
}

/* The one that is told its CPUs offers just those. */
static bool offers(const struct shunt_plugin *plugin)
{
	const struct shunt_place *place = plugin->object;

	return place && !place->numbers_are;
}

void cli_print_places(void)
{
	printf("\n%sWhat workers=all gives%s, by placement: how many, and their CPUs\n", cli_bold(),
		cli_plain());
	for (const struct shunt_plugin *p = shunt_registry_places; p->name; p++) {
		struct cli_text cpus = {0}, text = {0};
		struct shunt_error err = {""};
		char label[64];
		unsigned count;

		if (!offers(p))
			continue;
		snprintf(label, sizeof(label), "  %s", p->name);
		if (offer_of(p->object, &count, &cpus, &err))
			cli_add(&text, "%s", err.text);
		else
			cli_add(&text, "%u: %s", count, cpus.s ? cpus.s : "");
		cli_wrap(label, 18, text.s);
		free(cpus.s);
		free(text.s);
	}
}

json_t *cli_places_json(void)
{
	json_t *places = json_object();

	for (const struct shunt_plugin *p = shunt_registry_places; p->name; p++) {
		struct cli_text cpus = {0};
		struct shunt_error err = {""};
		unsigned count;

		if (!offers(p))
			continue;
		if (offer_of(p->object, &count, &cpus, &err))
			json_object_set_new(places, p->name, json_pack("{s:s}", "why", err.text));
		else
			json_object_set_new(places, p->name,
				json_pack("{s:i, s:s}", "workers", (int)count, "cpus",
					cpus.s ? cpus.s : ""));
		free(cpus.s);
	}
	return places;
}
