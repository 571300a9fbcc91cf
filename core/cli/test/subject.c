/* SPDX-License-Identifier: MIT */
/* A plug-in, compiled again and again by plugins.py, each time with another mistake. */
#include "core/plugin.h"
#include "core/workload.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#ifndef KIND
#define KIND "workload"
#endif
#ifndef ENTRY_BYTES
#define ENTRY_BYTES sizeof(struct shunt_workload)
#endif
#ifndef NAME
#define NAME "subject"
#endif
#ifndef LOCKED
#define LOCKED NULL
#endif
#ifndef BODY
#define BODY body
#endif
#ifndef RIGHT
#define RIGHT true
#endif
#ifndef OPERATIONS
#define OPERATIONS 1
#endif

static void footprint(const struct shunt_run *run, struct shunt_footprint *footprint)
{
	(void)run;
	footprint->tasks = 1;
}

__attribute__((unused)) static int body(struct shunt_run *run)
{
	shunt_operations(run, OPERATIONS);
	return 0;
}

static void verify(struct shunt_run *run)
{
	shunt_check_true(run, "done", RIGHT);
}

/* What a host that takes more of the table than there is would call. */
static void absent(struct shunt_run *run)
{
	(void)run;
	__builtin_trap();
}

static const struct shunt_workload workload = {
	.name = NAME,
	.summary = "nothing",
	.description = "It does nothing.",
	.operation = "nothing",
	.cost_metric = "ns_per_nothing",
	.small = "",
	.footprint = footprint,
	.body = BODY,
	.verify = verify,
	.teardown = ENTRY_BYTES < sizeof(struct shunt_workload) ? absent : NULL,
};

/* Leaves a trace, so that a test can tell that the file was loaded. */
__attribute__((constructor)) static void loaded(void)
{
	const char *mark = getenv("SUBJECT_MARK");
	FILE *file = mark ? fopen(mark, "w") : NULL;

	if (file)
		fclose(file);
}

static const struct shunt_plugin_entry entries[] = {{KIND, &workload, ENTRY_BYTES}};

extern const struct shunt_plugin_v1 shunt_plugin_v1;
__attribute__((visibility("default"))) const struct shunt_plugin_v1 shunt_plugin_v1 = {
	.magic = SHUNT_PLUGIN_MAGIC,
	.abi = SHUNT_PLUGIN_ABI,
	.bytes = sizeof(struct shunt_plugin_v1),
	.flags = SHUNT_PLUGIN_FLAGS,
	.entry_count = 1,
	.fingerprint = SHUNT_PLUGIN_FINGERPRINT,
	.name = "subject",
	.entries = entries,
	.locked = LOCKED,
};
