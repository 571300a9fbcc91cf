/* SPDX-License-Identifier: MIT */
/*
 * Placement by hwloc: which CPU each worker is bound to, of those that a placement offers
 * (offer.h).
 *
 *   compact  neighbouring CPUs first: workers share caches, and SMT siblings
 *   scatter  as far apart as the machine allows (hwloc_distrib): the most cache and bandwidth each
 *   core     one worker a core, never two on SMT siblings; workers beyond the cores get those
 *   list     the CPUs named, in that order: place=0+2+4-7
 *
 * Only CPUs that this process may use count: the topology is first restricted to the affinity mask
 * (taskset, cpuset cgroups). A cgroup's CPU quota is no set of CPUs but bounds workers=all. A
 * binding is strict and verified by where the kernel says the thread last ran; one that it refuses
 * is an error, never an approximation, and how it was verified is recorded. Where there are more
 * workers than CPUs, some share a CPU, and the run has a caveat.
 *
 * Memory is by first touch: a page is where the worker is that first writes to it, unless that node
 * is full.
 *
 * place.topology=TEXT plans on another machine, to see what a placement would do there: a synthetic
 * one, as hwloc describes them ("pack:2 core:4 pu:2"), or FILE.xml, which lstopo writes and a
 * record's manifest holds. Such a plan cannot be run; `shunt describe SPEC` shows it.
 */
#include "backends/place/offer.h"
#include "backends/place/quota.h"

#include "core/cpus.h"
#include "core/engine/slots.h"
#include "core/file.h"

#include <errno.h>
#include <hwloc.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct plan {
	hwloc_topology_t topology;
	bool synthetic;
	hwloc_bitmap_t *cpu;    /* of each worker: one CPU */
	hwloc_bitmap_t *before; /* of each worker's thread, to put back */
	unsigned char *bound;   /* of each worker: enum bound, in the last run */
	unsigned count;
};

enum bound { NOT_BOUND, VERIFIED, UNVERIFIED };

/* ---- the machine ----------------------------------------------------------------------------- */

/* Another machine than this one. */
static int describe(hwloc_topology_t topology, const char *text)
{
	size_t length = strlen(text), bytes;
	if (length <= 4 || strcmp(text + length - 4, ".xml"))
		return hwloc_topology_set_synthetic(topology, text);
	/* The library would wait for the writer of a named pipe. */
	int fd = shunt_file_open(text, "place.topology", UINT64_MAX, &bytes, NULL);
	if (fd < 0)
		return fd;
	close(fd);
	return hwloc_topology_set_xml(topology, text);
}

/* What cannot be read of a machine is said by what we make of it, not by the library on standard
 * error; unless the user wants to see it. */
static void hide_errors(void)
{
	setenv("HWLOC_HIDE_ERRORS", "2", 0);
}

/* hwloc takes another machine from the environment (HWLOC_SYNTHETIC, HWLOC_XMLFILE …), or a part of
 * this one, and no record would tell: place.topology is the way that does. */
static void ignore_environment(void)
{
	static const char ours[] = "HWLOC_HIDE_ERRORS=";
	for (char **at = environ; *at;) {
		char name[64];
		size_t length = strcspn(*at, "=");
		if (strncmp(*at, "HWLOC_", 6) || !strncmp(*at, ours, sizeof(ours) - 1) ||
			length >= sizeof(name)) {
			at++;
			continue;
		}
		memcpy(name, *at, length);
		name[length] = '\0';
		unsetenv(name); /* moves the rest up */
	}
}

/* The library asks for the CPUs that may be used until it is answered: forever, where the call
 * is refused. */
static int affinity_refused(void)
{
	struct shunt_cpus cpus;
	int rc = shunt_cpus_allowed(&cpus);
	shunt_cpus_free(&cpus);
	return rc;
}

static int read_topology(hwloc_topology_t *topology, const char *synthetic, struct shunt_error *err)
{
	if (hwloc_topology_init(topology))
		return shunt_fail(err, -ENOMEM, "hwloc: out of memory");
	if (synthetic && describe(*topology, synthetic)) {
		hwloc_topology_destroy(*topology);
		return shunt_fail(err, -EINVAL,
			"place.topology=%s: hwloc cannot parse it; expected a description such as "
			"pack:2 core:4 pu:2, or a file name that ends in .xml",
			synthetic);
	}
	if (hwloc_topology_load(*topology)) {
		hwloc_topology_destroy(*topology);
		return shunt_fail(err, -EIO, "hwloc could not read the topology of this machine");
	}
	return 0;
}

/* This machine is read once in a process, which takes milliseconds, and copied from then on. A CPU
 * that goes offline later is missed by nobody: each plan keeps only those that may be used. */
static pthread_mutex_t machine_lock = PTHREAD_MUTEX_INITIALIZER;
static hwloc_topology_t machine; /* [guarded by machine_lock] NULL: not read yet */

static int copy_of_this_machine(hwloc_topology_t *topology, struct shunt_error *err)
{
	pthread_mutex_lock(&machine_lock);
	int rc = machine ? 0 : read_topology(&machine, NULL, err);
	if (rc)
		machine = NULL;
	else if (hwloc_topology_dup(topology, machine))
		rc = shunt_fail(err, -ENOMEM, "hwloc: out of memory");
	pthread_mutex_unlock(&machine_lock);
	return rc;
}

/* At the end of the process; not while a thread is still reading it, which may be for ever. */
__attribute__((destructor)) static void forget_machine(void)
{
	if (pthread_mutex_trylock(&machine_lock))
		return;
	if (machine)
		hwloc_topology_destroy(machine);
	machine = NULL;
	pthread_mutex_unlock(&machine_lock);
}

static int load(hwloc_topology_t *topology, const char *synthetic, struct shunt_error *err)
{
	int rc = affinity_refused();
	if (rc)
		return shunt_fail(err, -ENOTSUP,
			"the CPUs of this process cannot be read: sched_getaffinity: %s; "
			"place=none with a number of workers runs without",
			strerror(-rc));
	hide_errors();
	ignore_environment();
	return synthetic ? read_topology(topology, synthetic, err)
			 : copy_of_this_machine(topology, err);
}

/* Leaves only the CPUs that this thread may use. */
static int restrict_to_allowed(hwloc_topology_t topology, struct shunt_error *err)
{
	hwloc_bitmap_t allowed = hwloc_bitmap_alloc();
	int rc = 0;
	if (!allowed)
		return shunt_fail(err, -ENOMEM, "hwloc: out of memory");
	if (hwloc_get_cpubind(topology, allowed, HWLOC_CPUBIND_THREAD) == 0 &&
		!hwloc_bitmap_iszero(allowed) && hwloc_topology_restrict(topology, allowed, 0))
		rc = shunt_fail(err, -errno,
			"hwloc could not restrict the topology to the CPUs "
			"allowed (%s)",
			strerror(errno));
	hwloc_bitmap_free(allowed);
	return rc;
}

/* ---- open, bind ------------------------------------------------------------------------------ */

static void plan_close(void *state)
{
	struct plan *plan = state;
	shunt_bitmaps_free(plan->cpu, plan->count);
	shunt_bitmaps_free(plan->before, plan->count);
	free(plan->bound);
	hwloc_topology_destroy(plan->topology);
	free(plan);
}

/* As many workers as asked for, or as offered, `most` of them; round again where they are more than
 * the CPUs. */
static int assign(struct plan *plan, const struct shunt_offer *offer, unsigned most,
	unsigned *worker_count, bool *oversubscribed)
{
	if (!*worker_count)
		*worker_count = offer->all < most ? offer->all : most;
	*oversubscribed = *worker_count > offer->all || *worker_count > most;
	plan->count = *worker_count;
	plan->cpu = shunt_bitmaps_new(plan->count);
	plan->before = shunt_bitmaps_new(plan->count);
	plan->bound = calloc(plan->count, 1);
	if (!plan->cpu || !plan->before || !plan->bound)
		return -ENOMEM;
	for (unsigned i = 0; i < plan->count; i++)
		hwloc_bitmap_copy(plan->cpu[i], offer->cpu[i % offer->count]);
	return 0;
}

static int plan_open(shunt_offer_fn *fn, void **state, const struct shunt_values *values,
	unsigned *worker_count, bool *oversubscribed, struct shunt_error *err)
{
	const char *synthetic = shunt_value_text(values, "topology");
	bool here = !*synthetic || !strcmp(synthetic, "none");
	struct plan *plan = calloc(1, sizeof(*plan));
	if (!plan)
		return shunt_fail(err, -ENOMEM, "out of memory for the placement");
	plan->synthetic = !here;
	int rc = load(&plan->topology, here ? NULL : synthetic, err);
	if (rc) {
		free(plan);
		return rc;
	}
	struct shunt_offer offer;
	/* A quota may allow fewer workers than there are CPUs: those are spread over all CPUs. */
	unsigned most = shunt_place_quota();
	unsigned want = *worker_count || most == UINT_MAX ? *worker_count : most;
	rc = here ? restrict_to_allowed(plan->topology, err) : 0;
	if (!rc)
		rc = fn(plan->topology, values, want, &offer, err);
	if (!rc) {
		rc = assign(plan, &offer, most, worker_count, oversubscribed);
		if (rc)
			shunt_fail(err, rc, "out of memory for the placement of %u workers",
				*worker_count);
		shunt_bitmaps_free(offer.cpu, offer.count);
	}
	if (rc)
		plan_close(plan);
	else
		*state = plan;
	return rc;
}

/* Is it where the kernel says this thread last ran, after it has had a chance to move it?
 * NOT_BOUND: no; UNVERIFIED: it does not say. */
static enum bound runs_there(const struct plan *plan, hwloc_const_bitmap_t cpu)
{
	hwloc_bitmap_t last = hwloc_bitmap_alloc();
	enum bound bound = NOT_BOUND;
	for (int i = 0; last && bound == NOT_BOUND && i < 10; i++) {
		sched_yield();
		if (hwloc_get_last_cpu_location(plan->topology, last, HWLOC_CPUBIND_THREAD))
			bound = UNVERIFIED;
		else if (hwloc_bitmap_isincluded(last, cpu))
			bound = VERIFIED;
	}
	hwloc_bitmap_free(last);
	return bound;
}

static void plan_unbind(void *state, unsigned worker_index)
{
	struct plan *plan = state;
	if (!hwloc_bitmap_iszero(plan->before[worker_index]))
		hwloc_set_cpubind(plan->topology, plan->before[worker_index], HWLOC_CPUBIND_THREAD);
}

/* The thread is bound: is it there? */
static int settle(struct plan *plan, unsigned worker_index, const char *text,
	struct shunt_error *err)
{
	plan->bound[worker_index] = runs_there(plan, plan->cpu[worker_index]);
	if (!plan->bound[worker_index])
		return shunt_fail(err, -EXDEV,
			"bound to CPU %s, but the kernel runs the worker elsewhere; place=none "
			"does not bind",
			text);
	return 0;
}

static int plan_bind(void *state, unsigned worker_index, struct shunt_error *err)
{
	struct plan *plan = state;
	hwloc_bitmap_t cpu = plan->cpu[worker_index];
	char text[128];
	hwloc_bitmap_list_snprintf(text, sizeof(text), cpu);
	if (plan->synthetic)
		return shunt_fail(err, -ENOTSUP,
			"place.topology describes another machine: `shunt describe SPEC` shows the "
			"plan, but it cannot run here");
	hwloc_get_cpubind(plan->topology, plan->before[worker_index], HWLOC_CPUBIND_THREAD);
	if (hwloc_set_cpubind(plan->topology, cpu, HWLOC_CPUBIND_THREAD | HWLOC_CPUBIND_STRICT))
		return shunt_fail(err, -errno,
			"the kernel refused to bind the worker to CPU %s (%s); place=none does not "
			"bind",
			text, strerror(errno));
	int rc = settle(plan, worker_index, text, err);
	if (rc)
		plan_unbind(plan, worker_index);
	return rc;
}

static void plan_describe(void *state, unsigned worker_index, char *text, size_t bytes)
{
	const struct plan *plan = state;
	hwloc_bitmap_list_snprintf(text, bytes, plan->cpu[worker_index]);
}

static const char *plan_binding(void *state)
{
	const struct plan *plan = state;
	bool verified = true;
	for (unsigned i = 0; i < plan->count; i++) {
		if (!plan->bound[i])
			return "planned";
		verified &= plan->bound[i] == VERIFIED;
	}
	return verified ? "strict, verified by where each worker ran"
			: "strict, not verified: the kernel does not say where a thread ran";
}

/* 0 the same core, 1 a shared cache, 2 the same package, 3 further. */
static unsigned plan_distance(void *state, unsigned a, unsigned b)
{
	const struct plan *plan = state;
	hwloc_bitmap_t both = hwloc_bitmap_alloc();
	unsigned distance = 3;
	if (!both)
		return distance;
	hwloc_bitmap_or(both, plan->cpu[a], plan->cpu[b]);
	hwloc_obj_t common = hwloc_get_obj_covering_cpuset(plan->topology, both);
	hwloc_bitmap_free(both);
	for (; common && distance == 3; common = common->parent) {
		if (common->type == HWLOC_OBJ_CORE || common->type == HWLOC_OBJ_PU)
			distance = 0;
		else if (hwloc_obj_type_is_cache(common->type))
			distance = 1;
		else if (common->type == HWLOC_OBJ_PACKAGE)
			distance = 2;
	}
	return distance;
}

static void plan_facts(shunt_fact_fn *fact, void *sink)
{
	hwloc_topology_t topology;
	struct shunt_error err;
	char *xml;
	int bytes;
	if (load(&topology, NULL, &err))
		return;
	if (hwloc_topology_export_xmlbuffer(topology, &xml, &bytes, 0) == 0) {
		fact(sink, "topology.xml", xml, "hwloc");
		hwloc_free_xmlbuffer(topology, xml);
	}
	hwloc_topology_destroy(topology);
}

#define TOPOLOGY_PARAM                                                                             \
	{                                                                                          \
		.name = "topology", .type = SHUNT_PARAM_TEXT, .fallback = "none",                  \
		.help = "plan for another machine, in hwloc's notation (pack:2 core:4 "            \
			"pu:2) or FILE.xml; such a plan cannot run"                                \
	}

static const struct shunt_param plan_params[] = {TOPOLOGY_PARAM, {.name = NULL}};

static const struct shunt_param list_params[] = {
	{.name = "cpus",
		.type = SHUNT_PARAM_TEXT,
		.fallback = "0",
		.help = "CPU numbers and ranges joined by +, one for each worker: 0+2+4-7"},
	TOPOLOGY_PARAM,
	{.name = NULL},
};

/* One exported table a placement; they differ in the plan alone. */
#define PLACEMENT(NAME, SUMMARY, PARAMS, ...)                                                      \
	static int NAME##_open(void **state, const struct shunt_values *values,                    \
		unsigned *worker_count, bool *oversubscribed, struct shunt_error *err)             \
	{                                                                                          \
		return plan_open(shunt_offer_##NAME, state, values, worker_count, oversubscribed,  \
			err);                                                                      \
	}                                                                                          \
	const struct shunt_place shunt_place_##NAME = {.name = #NAME,                              \
		.summary = SUMMARY,                                                                \
		.params = PARAMS,                                                                  \
		.open = NAME##_open,                                                               \
		.close = plan_close,                                                               \
		.bind = plan_bind,                                                                 \
		.unbind = plan_unbind,                                                             \
		.describe = plan_describe,                                                         \
		.binding = plan_binding,                                                           \
		.distance = plan_distance,                                                         \
		.facts = plan_facts,                                                               \
		__VA_ARGS__}

PLACEMENT(compact, "neighbouring CPUs first, SMT siblings together", plan_params);
PLACEMENT(scatter, "as far apart as the machine allows", plan_params);
PLACEMENT(core, "one worker per core; SMT siblings only when all cores are taken", plan_params);
PLACEMENT(list, "the CPUs named: place=0+2+4-7", list_params, .numbers_are = "cpus");
