/* SPDX-License-Identifier: MIT */
/*
 * The kinds of plug-ins behind one face, for list, describe and doctor.
 *
 * Whether a backend can run here is asked by opening it: a preset can run if all its slots can.
 */
#include "core/cli/cli.h"

#include "core/backend.h"
#include "core/engine/slots.h"
#include "core/workload.h"

#include <errno.h>
#include <string.h>

#define SUMMARY(kind)                                                                              \
	static const char *kind##_summary(const void *object)                                      \
	{                                                                                          \
		return ((const struct shunt_##kind *)object)->summary;                             \
	}
#define ACCESSORS(kind)                                                                            \
	SUMMARY(kind)                                                                              \
	static const struct shunt_param *kind##_params(const void *object)                         \
	{                                                                                          \
		return ((const struct shunt_##kind *)object)->params;                              \
	}
#define PROBE(kind)                                                                                \
	static int kind##_probe(const void *object, struct shunt_error *why)                       \
	{                                                                                          \
		const struct shunt_##kind *plugin = object;                                        \
                                                                                                   \
		return plugin->probe ? plugin->probe(why) : 0;                                     \
	}

ACCESSORS(switch)
PROBE(switch)
ACCESSORS(wait)
PROBE(wait)
ACCESSORS(place)
PROBE(place)
SUMMARY(timers)
SUMMARY(io)
ACCESSORS(policy)
ACCESSORS(backend)
ACCESSORS(workload)

static const struct shunt_param *no_params(const void *object)
{
	(void)object;
	return NULL;
}

static int backend_probe(const void *object, struct shunt_error *why)
{
	struct shunt_sched *sched;
	int rc = shunt_open(&sched, ((const struct shunt_backend *)object)->name, NULL, why);

	if (rc == 0)
		shunt_close(sched);
	return rc;
}

const struct cli_kind cli_kinds[] = {
	{"backend", "backends", shunt_registry_backends, "schedulers that workloads run on",
		backend_summary, backend_params, backend_probe},
	{"workload", "workloads", shunt_registry_workloads, "programs that are measured",
		workload_summary, workload_params, NULL},
	{"switch", "switches", shunt_registry_switches, "how a worker switches between tasks",
		switch_summary, switch_params, switch_probe},
	{"wait", "waits", shunt_registry_waits, "how a worker sleeps and is woken", wait_summary,
		wait_params, wait_probe},
	{"timers", "timers", shunt_registry_timers, "how deadlines are kept", timers_summary,
		no_params, NULL},
	{"policy", "policies", shunt_registry_policies, "which ready task runs next",
		policy_summary, policy_params, NULL},
	{"place", "places", shunt_registry_places, "which CPUs each worker runs on", place_summary,
		place_params, place_probe},
	{"io", "ios", shunt_registry_ios, "how tasks read and write", io_summary, no_params, NULL},
};
const size_t cli_kind_count = sizeof(cli_kinds) / sizeof(cli_kinds[0]);

const struct cli_kind *cli_kind_find(const char *name)
{
	for (size_t i = 0; i < cli_kind_count; i++)
		if (strcmp(name, cli_kinds[i].name) == 0 || strcmp(name, cli_kinds[i].plural) == 0)
			return &cli_kinds[i];
	return NULL;
}
