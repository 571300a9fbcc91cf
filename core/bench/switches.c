/* SPDX-License-Identifier: MIT */
/* From the settings of a composition back to its switch. */
#include "core/bench/switches.h"

#include "core/registry.h"

#include <stdio.h>
#include <string.h>

struct switch_choice {
	char name[64], fp[16], fp_load[16];
};

static void on_setting(void *sink, const char *key, const char *value)
{
	struct switch_choice *choice = sink;
	if (!strcmp(key, "switch"))
		snprintf(choice->name, sizeof(choice->name), "%s", value);
	else if (!strcmp(key, "switch.fp"))
		snprintf(choice->fp, sizeof(choice->fp), "%s", value);
	else if (!strcmp(key, "switch.fp_load"))
		snprintf(choice->fp_load, sizeof(choice->fp_load), "%s", value);
}

bool shunt_bench_switch_of(const struct shunt_sched *sched, struct shunt_switch_ops *ops)
{
	struct switch_choice choice = {"", "", ""};
	struct shunt_error err;
	if (sched->backend->composition)
		sched->backend->composition(sched, on_setting, &choice);
	for (const struct shunt_plugin *p = shunt_registry_switches; p->name; p++) {
		const struct shunt_switch *slot = p->object;
		if (!slot || strcmp(p->name, choice.name))
			continue;
		struct shunt_values values = {NULL, NULL};
		if (slot->params && shunt_values_init(&values, slot->params, &err))
			return false;
		if (slot->params && *choice.fp)
			shunt_values_set(&values, slot->name, "fp", choice.fp, &err);
		if (slot->params && *choice.fp_load)
			shunt_values_set(&values, slot->name, "fp_load", choice.fp_load, &err);
		bool ok = slot->resolve(&values, ops, &err) == 0;
		if (slot->params)
			shunt_values_fini(&values);
		return ok;
	}
	return false;
}
