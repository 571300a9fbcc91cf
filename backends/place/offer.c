/* SPDX-License-Identifier: MIT */
/* See offer.h: one function a placement, callees before it. */
#include "backends/place/offer.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>

hwloc_bitmap_t *shunt_bitmaps_new(unsigned count)
{
	hwloc_bitmap_t *set = calloc(count ? count : 1, sizeof(hwloc_bitmap_t));
	for (unsigned i = 0; set && i < count; i++)
		set[i] = hwloc_bitmap_alloc();
	return set;
}

void shunt_bitmaps_free(hwloc_bitmap_t *set, unsigned count)
{
	for (unsigned i = 0; set && i < count; i++)
		hwloc_bitmap_free(set[i]);
	free(set);
}

/* An offer of `count` sets, still empty. */
static int offer_new(struct shunt_offer *offer, unsigned count, struct shunt_error *err)
{
	*offer = (struct shunt_offer){shunt_bitmaps_new(count), count, count};
	return offer->cpu ? 0 : shunt_fail(err, -ENOMEM, "out of memory for the placement");
}

int shunt_offer_compact(hwloc_topology_t topology, const struct shunt_values *values, unsigned want,
	struct shunt_offer *offer, struct shunt_error *err)
{
	(void)values, (void)want;
	int rc = offer_new(offer, (unsigned)hwloc_get_nbobjs_by_type(topology, HWLOC_OBJ_PU), err);
	for (unsigned i = 0; !rc && i < offer->count; i++)
		hwloc_bitmap_copy(offer->cpu[i],
			hwloc_get_obj_by_type(topology, HWLOC_OBJ_PU, i)->cpuset);
	return rc;
}

/* The n-th CPU of a set, from 0; -1: it has fewer. */
static int nth_cpu(hwloc_const_bitmap_t set, unsigned n)
{
	int cpu = hwloc_bitmap_first(set);
	while (cpu >= 0 && n--)
		cpu = hwloc_bitmap_next(set, cpu);
	return cpu;
}

/* The first CPU of each core, in the topology's order; then the second of those that have one … */
int shunt_offer_core(hwloc_topology_t topology, const struct shunt_values *values, unsigned want,
	struct shunt_offer *offer, struct shunt_error *err)
{
	int cores = hwloc_get_nbobjs_by_type(topology, HWLOC_OBJ_CORE);
	if (cores < 1) /* it does not tell them apart */
		return shunt_offer_compact(topology, values, want, offer, err);
	int rc = offer_new(offer, (unsigned)hwloc_get_nbobjs_by_type(topology, HWLOC_OBJ_PU), err);
	unsigned found = 0;
	for (unsigned turn = 0; !rc && found < offer->count; turn++) {
		unsigned before = found;
		for (int i = 0; i < cores; i++) {
			hwloc_obj_t core =
				hwloc_get_obj_by_type(topology, HWLOC_OBJ_CORE, (unsigned)i);
			int cpu = nth_cpu(core->cpuset, turn);
			if (cpu >= 0 && found < offer->count)
				hwloc_bitmap_only(offer->cpu[found++], (unsigned)cpu);
		}
		if (found == before)
			break; /* CPUs that belong to no core */
	}
	for (unsigned i = found; !rc && i < offer->count; i++)
		hwloc_bitmap_free(offer->cpu[i]);
	offer->count = rc ? 0 : found;
	offer->all = (unsigned)cores;
	return rc;
}

int shunt_offer_scatter(hwloc_topology_t topology, const struct shunt_values *values, unsigned want,
	struct shunt_offer *offer, struct shunt_error *err)
{
	(void)values;
	unsigned cpus = (unsigned)hwloc_get_nbobjs_by_type(topology, HWLOC_OBJ_PU);
	int rc = offer_new(offer, want && want < cpus ? want : cpus, err);
	if (rc)
		return rc;
	for (unsigned i = 0; i < offer->count; i++)
		hwloc_bitmap_free(offer->cpu[i]); /* hwloc_distrib allocates its own */
	hwloc_obj_t root = hwloc_get_root_obj(topology);
	hwloc_distrib(topology, &root, 1, offer->cpu, offer->count, INT_MAX, 0);
	for (unsigned i = 0; i < offer->count; i++)
		hwloc_bitmap_singlify(offer->cpu[i]);
	return 0;
}

/* "0+2+4-7": numbers and ranges joined by +. Calls add for each; false: malformed. */
static bool each_cpu(const char *text, void (*add)(void *arg, unsigned cpu), void *arg)
{
	const char *at = text;
	do {
		char *end;
		errno = 0;
		unsigned long first = strtoul(at, &end, 10), last = first;
		if (end == at || errno || first > 65535 || *at < '0' || *at > '9')
			return false;
		if (*end == '-') {
			at = end + 1;
			last = strtoul(at, &end, 10);
			if (end == at || errno || last > 65535 || last < first || *at < '0' ||
				*at > '9')
				return false;
		}
		for (unsigned long cpu = first; cpu <= last; cpu++)
			add(arg, (unsigned)cpu);
		if (*end && *end != '+')
			return false;
		at = end + 1;
		if (!*end)
			return true;
	} while (true);
}

static void count_one(void *arg, unsigned cpu)
{
	(void)cpu;
	++*(unsigned *)arg;
}

struct listed {
	hwloc_bitmap_t *set;
	unsigned count;
};

static void list_one(void *arg, unsigned cpu)
{
	struct listed *listed = arg;
	hwloc_bitmap_only(listed->set[listed->count++], cpu);
}

int shunt_offer_list(hwloc_topology_t topology, const struct shunt_values *values, unsigned want,
	struct shunt_offer *offer, struct shunt_error *err)
{
	(void)want;
	const char *text = shunt_value_text(values, "cpus");
	struct listed listed = {NULL, 0};
	char allowed[512];
	unsigned count = 0;
	if (!each_cpu(text, count_one, &count))
		return shunt_fail(err, -EINVAL,
			"place=%s: expected CPU numbers and ranges joined by "
			"+, such as 0+2+4-7",
			text);
	if (offer_new(offer, count, err))
		return -ENOMEM;
	listed.set = offer->cpu;
	each_cpu(text, list_one, &listed);
	hwloc_const_cpuset_t all = hwloc_topology_get_topology_cpuset(topology);
	hwloc_bitmap_list_snprintf(allowed, sizeof(allowed), all);
	for (unsigned i = 0; i < count; i++)
		if (!hwloc_bitmap_isincluded(offer->cpu[i], all)) {
			int cpu = hwloc_bitmap_first(offer->cpu[i]);
			shunt_bitmaps_free(offer->cpu, count);
			return shunt_fail(err, -ERANGE,
				"place=%s: CPU %d is not allowed for this process (%s are)", text,
				cpu, allowed);
		}
	return 0;
}
