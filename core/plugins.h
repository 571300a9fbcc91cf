/* SPDX-License-Identifier: MIT */
/*
 * Plug-ins from files: loaded, they stand in the registry as those of the build do.
 *
 * A file is code, and may run as soon as it is loaded. So only what the user names is loaded, on
 * the command line or in SHUNT_PLUGIN_PATH. What does not fit is refused before a function of a
 * table is called, and is listed with the reason. What is loaded stays until the process ends.
 *
 * Context of all: one thread at a time, and before the first scheduler is opened.
 */
#ifndef SHUNT_CORE_PLUGINS_H
#define SHUNT_CORE_PLUGINS_H

#include "core/object.h"
#include "core/param.h"
#include "core/registry.h"

/* One file that was asked for. */
struct shunt_plugin_file {
	char *path;
	const char *name; /* as it calls itself; NULL: it could not be asked */
	char build_id[SHUNT_BUILD_ID_BYTES];
	bool bundled;   /* it belongs to the build */
	unsigned count; /* plug-ins of it that are in the registry and can be used */
	/* Why it, or the first of its plug-ins that was refused, was; empty: nothing was. */
	struct shunt_error why;
	struct shunt_plugin_file *next;
};

/*
 * Loads a file. 0: all that is in it can be used, or it is loaded already. Else a negative errno
 * and why, which is listed too: a plug-in that was refused by itself stands in the registry with
 * its reason, and the others of the file can be used.
 */
int shunt_plugins_load(const char *path, struct shunt_error *err);

/* Loads what ends in ".so" in the folders of a list with colons, in the order of their names. What
 * is refused is listed, and so is a folder that cannot be read. */
void shunt_plugins_load_folders(const char *folders);

/*
 * Loads the file of the build that has `entry` (entry->bundled), or if `entry` is NULL all of them.
 * Afterwards the entry has its object, or the reason why it has none. shunt_plugins does not
 * have such files.
 */
void shunt_plugins_load_bundled(const struct shunt_plugin *entry);

/* Every file that was asked for, in that order; NULL: none. */
const struct shunt_plugin_file *shunt_plugins(void);

/* The file that a plug-in of that kind ("policy") and name comes from; NULL: the build. */
const struct shunt_plugin_file *shunt_plugins_origin(const char *kind, const char *name);

#endif
