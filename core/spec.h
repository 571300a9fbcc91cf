/* SPDX-License-Identifier: MIT */
/*
 * Specs: the text that names a scheduler.
 *
 *   SPEC    = BACKEND [ ":" SETTING { "," SETTING } ]        asm:wait=uring,stack.size=128k
 *   SETTING = KEY "=" VALUE
 *   KEY     = SLOT | SLOT "." PARAMETER | PARAMETER
 *
 * A backend's preset is settings too, which the backend reads first, so that the user's override
 * it. Lists within a value use "+" and ranges "-" (place=0+2+4-7), since "," ends a setting.
 */
#ifndef SHUNT_CORE_SPEC_H
#define SHUNT_CORE_SPEC_H

#include "core/backend.h"
#include "core/registry.h"

struct shunt_spec {
	const struct shunt_backend *backend;
	struct shunt_setting *settings; /* the user's, in order; the backend adds its preset's */
	size_t setting_count;
	char *text; /* what names and settings point into */
};

/*
 * Parses a spec and finds its backend in the registry; says nothing about the values of settings,
 * which only the backend can judge. -ENOENT: no such backend; -ENOSYS: this build does not have it;
 * -EINVAL: malformed, or a key set twice; -ENOMEM. err says which, and names the nearest backend.
 * `backend`, unless NULL, is one that is in no registry and whose name the text begins with.
 */
int shunt_spec_parse(struct shunt_spec *spec, const struct shunt_backend *backend, const char *text,
	struct shunt_error *err);
void shunt_spec_fini(struct shunt_spec *spec);

/* Opens a parsed spec; the rest of shunt_open. */
int shunt_spec_open(struct shunt_sched **sched, const struct shunt_spec *spec,
	const struct shunt_config *base, struct shunt_error *err);

/*
 * For complete backends: all settings of the config as values of its parameter table, with
 * messages that say "backend 'NAME'". 0, or as shunt_values_init and shunt_values_set.
 */
int shunt_config_values(struct shunt_values *values, const struct shunt_param *params,
	const struct shunt_config *config, struct shunt_error *err);

/*
 * The entry of a registry list. -ENOENT: no such name, and err gives the nearest or the list;
 * -ENOSYS: not built, with the reason. `kind` is the word for it: "backend".
 */
int shunt_registry_find(const struct shunt_plugin **plugin, const struct shunt_plugin *list,
	const char *kind, const char *name, struct shunt_error *err);

#endif
