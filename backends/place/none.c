/* SPDX-License-Identifier: MIT */
/*
 * none: workers run wherever the kernel puts them, within what this process is allowed.
 *
 * The CPUs allowed come from the affinity mask, which taskset and cpuset cgroups set; a CPU quota
 * bounds workers=all. Memory is by first touch, as always.
 */
#include "backends/place/quota.h"

#include "core/cpus.h"
#include "core/engine/slots.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct none {
	unsigned allowed;
};

static int none_open(void **plan, const struct shunt_values *values, unsigned *worker_count,
	bool *oversubscribed, struct shunt_error *err)
{
	(void)values;
	struct shunt_cpus cpus;
	struct none *none = calloc(1, sizeof(*none));
	if (!none)
		return shunt_fail(err, -ENOMEM, "out of memory for the placement");
	int rc = shunt_cpus_allowed(&cpus);
	none->allowed = shunt_cpus_count(&cpus);
	shunt_cpus_free(&cpus);
	if (rc && !*worker_count) {
		free(none);
		return shunt_fail(err, -ENOTSUP,
			"the CPUs of this process cannot be read: sched_getaffinity: %s; give the "
			"number of workers, for example workers=2",
			strerror(-rc));
	}
	unsigned most = shunt_place_quota();
	if (!*worker_count)
		*worker_count = none->allowed < most ? none->allowed : most;
	*oversubscribed = (none->allowed && *worker_count > none->allowed) || *worker_count > most;
	*plan = none;
	return 0;
}

static void none_close(void *plan)
{
	free(plan);
}

static int none_bind(void *plan, unsigned worker_index, struct shunt_error *err)
{
	(void)plan, (void)worker_index, (void)err;
	return 0;
}

static void none_unbind(void *plan, unsigned worker_index)
{
	(void)plan, (void)worker_index;
}

static void none_describe(void *plan, unsigned worker_index, char *text, size_t bytes)
{
	const struct none *none = plan;
	(void)worker_index;
	if (none->allowed)
		snprintf(text, bytes, "any of %u allowed", none->allowed);
	else
		snprintf(text, bytes, "any");
}

const struct shunt_place shunt_place_none = {
	.name = "none",
	.summary = "workers run wherever the kernel puts them",
	.open = none_open,
	.close = none_close,
	.bind = none_bind,
	.unbind = none_unbind,
	.describe = none_describe,
};
