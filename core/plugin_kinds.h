/* SPDX-License-Identifier: MIT */
/* The kinds of plug-ins that a file may bring, and what each must have: plugin_kinds.c. */
#ifndef SHUNT_CORE_PLUGIN_KINDS_H
#define SHUNT_CORE_PLUGIN_KINDS_H

#include "core/param.h"
#include "core/plugin.h"
#include "core/registry.h"

#include <stdbool.h>
#include <stddef.h>

#define SHUNT_PLUGIN_SYMBOL "shunt_plugin_v1"

struct shunt_plugin_kind {
	const char *name;
	struct shunt_plugin *list;
	size_t bytes; /* of its table now */
	size_t least; /* of the shortest table that there may be */
	bool locked;
	const size_t *required; /* offsets of what may not be NULL; ends with 0, the name's */
};

/* All of them; the last has no name. */
extern const struct shunt_plugin_kind shunt_plugin_kinds[];

/* NULL: no kind has that name. */
const struct shunt_plugin_kind *shunt_plugin_kind_find(const char *name);

/* May a plug-in have that name? NULL is allowed. */
bool shunt_plugin_is_name(const char *name);

/* The table of a file, before its entries. 0 or -ENOEXEC and why. */
int shunt_plugin_check_head(const struct shunt_plugin_v1 *table, struct shunt_error *err);

/* One entry of it: 0 and its object, which has NULL for what its table lacks and lives as long as
 * the process; else a negative errno and why it cannot be used. */
int shunt_plugin_judge(const struct shunt_plugin_kind *kind, const struct shunt_plugin_v1 *table,
	const struct shunt_plugin_entry *entry, const void **object, struct shunt_error *err);

#endif
