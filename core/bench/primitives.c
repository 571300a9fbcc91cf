/* SPDX-License-Identifier: MIT */
/*
 * The task API's primitives, each on a row of compositions that differ in one mechanism, with its
 * floor on the same swap beside it where there is one.
 */
#include "core/backend.h"
#include "core/bench/bench.h"
#include "core/bench/floor.h"
#include "core/bench/record.h"
#include "core/bench/switches.h"
#include "core/engine/edge.h"
#include "core/measure/clock.h"
#include "core/registry.h"
#include "core/workload.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ALIVE 1000

/* ---- bodies: run in the root task, time themselves ------------------------------------------- */

/* At least `operations`; *made: how many, as those who made them count. Returns nanoseconds. */
typedef double body_fn(uint64_t operations, uint64_t *made);

static void *yielder(void *arg)
{
	uint64_t count = *(uint64_t *)arg;
	for (uint64_t i = count; i; i--)
		shunt_yield();
	return (void *)(uintptr_t)count;
}

/* Joins both, and adds up what they return. */
static uint64_t join_two(const struct shunt_handle task[2])
{
	void *first = NULL, *second = NULL;
	shunt_join(task[0], &first);
	shunt_join(task[1], &second);
	return (uintptr_t)first + (uintptr_t)second;
}

static double yield_body(uint64_t operations, uint64_t *made)
{
	struct shunt_handle task[2];
	uint64_t each = (operations + 1) / 2;
	int64_t start = shunt_now_ns();
	for (int i = 0; i < 2; i++)
		SHUNT_ASSERT(!shunt_spawn(&task[i], yielder, &each, NULL));
	*made = join_two(task);
	return (double)(shunt_now_ns() - start);
}

static void *one(void *arg)
{
	(void)arg;
	return (void *)1;
}

static double spawn_join_body(uint64_t operations, uint64_t *made)
{
	static struct shunt_handle task[ALIVE];
	int64_t start = shunt_now_ns();
	while (*made < operations) {
		for (int i = 0; i < ALIVE; i++)
			SHUNT_ASSERT(!shunt_spawn(&task[i], one, NULL, NULL));
		for (int i = 0; i < ALIVE; i++) {
			void *ran = NULL;
			shunt_join(task[i], &ran);
			*made += (uintptr_t)ran;
		}
	}
	return (double)(shunt_now_ns() - start);
}

static struct shunt_semaphore ring[ALIVE];
static uint64_t rounds;

static void *hopper(void *arg)
{
	uintptr_t at = (uintptr_t)arg;
	for (uint64_t i = rounds; i; i--) {
		shunt_semaphore_wait(&ring[at]);
		shunt_semaphore_post(&ring[(at + 1) % ALIVE]);
	}
	return (void *)(uintptr_t)rounds;
}

static double ring_body(uint64_t operations, uint64_t *made)
{
	static struct shunt_handle task[ALIVE];
	rounds = (operations + ALIVE - 1) / ALIVE;
	for (uintptr_t i = 0; i < ALIVE; i++) {
		shunt_semaphore_init(&ring[i], 0);
		SHUNT_ASSERT(!shunt_spawn(&task[i], hopper, (void *)i, NULL));
	}
	shunt_yield();
	int64_t start = shunt_now_ns();
	shunt_semaphore_post(&ring[0]);
	for (int i = 0; i < ALIVE; i++) {
		void *hops = NULL;
		shunt_join(task[i], &hops);
		*made += (uintptr_t)hops;
	}
	return (double)(shunt_now_ns() - start);
}

static struct shunt_handle partner[2];
static struct shunt_semaphore at_start;

/*
 * Both wait for the word to go, and only the first gets it: the other is parked, as it must be to
 * be switched to directly. A permit left over from a wake before the first transfer would be
 * passed between the two for ever, and every transfer would go by way of the queue.
 */
static void *transferrer(void *arg)
{
	uintptr_t other = (uintptr_t)arg;
	shunt_semaphore_post(&at_start);
	shunt_park();
	for (uint64_t i = rounds; i; i--)
		shunt_transfer(partner[other]);
	shunt_wake(partner[other]);
	return (void *)(uintptr_t)rounds;
}

static double transfer_body(uint64_t operations, uint64_t *made)
{
	rounds = (operations + 1) / 2;
	shunt_semaphore_init(&at_start, 0);
	for (uintptr_t i = 0; i < 2; i++)
		SHUNT_ASSERT(!shunt_spawn(&partner[i], transferrer, (void *)(1 - i), NULL));
	for (int i = 0; i < 2; i++)
		shunt_semaphore_wait(&at_start);
	shunt_yield(); /* from the post to the park */
	int64_t start = shunt_now_ns();
	shunt_wake(partner[0]);
	*made = join_two(partner);
	return (double)(shunt_now_ns() - start);
}

static double wake_park_body(uint64_t operations, uint64_t *made)
{
	struct shunt_handle self = shunt_self();
	int64_t start = shunt_now_ns();
	for (; *made < operations; ++*made) {
		shunt_wake(self);
		shunt_park();
	}
	return (double)(shunt_now_ns() - start);
}

static double mutex_body(uint64_t operations, uint64_t *made)
{
	struct shunt_mutex mutex = {.owner = {NULL, 0}};
	int64_t start = shunt_now_ns();
	for (; *made < operations; ++*made) {
		shunt_mutex_lock(&mutex);
		shunt_mutex_unlock(&mutex);
	}
	return (double)(shunt_now_ns() - start);
}

/* What preempt=compiler costs at an edge where no slice is over. */
static double edge_body(uint64_t operations, uint64_t *made)
{
	int64_t start = shunt_now_ns();
	for (; *made < operations; ++*made)
		__sanitizer_cov_trace_pc();
	return (double)(shunt_now_ns() - start);
}

static struct shunt_semaphore signalled;

static void *poster(void *arg)
{
	for (uint64_t i = *(uint64_t *)arg; i; i--) {
		shunt_semaphore_post(&signalled);
		shunt_yield();
	}
	return NULL;
}

/* A timeout that never comes: arm, be woken first, cancel. */
static double arm_cancel_body(uint64_t operations, uint64_t *made)
{
	struct shunt_handle task;
	int64_t never = shunt_now_ns() + INT64_C(3600000000000);
	shunt_semaphore_init(&signalled, 0);
	int64_t start = shunt_now_ns();
	SHUNT_ASSERT(!shunt_spawn(&task, poster, &operations, NULL));
	for (uint64_t i = operations; i; i--)
		*made += shunt_semaphore_wait_until(&signalled, never) == 0;
	shunt_join(task, NULL);
	return (double)(shunt_now_ns() - start);
}

/* Not how long a sleep takes, but how late it ends. */
static double sleep_late_body(uint64_t operations, uint64_t *made)
{
	double late_ns = 0;
	for (uint64_t i = operations; i; i--) {
		int64_t deadline = shunt_now_ns() + SHUNT_FLOOR_SLEEP_NS;
		SHUNT_ASSERT(!shunt_sleep_until(deadline));
		int64_t late = shunt_now_ns() - deadline;
		*made += late >= 0; /* an early one is no sleep */
		late_ns += (double)late;
	}
	return late_ns;
}

/* ---- running one ----------------------------------------------------------------------------- */

struct primitive {
	const char *name;
	const char *workload; /* its name in a record */
	body_fn *body;
	shunt_floor_fn *floor;
	unsigned needs; /* SHUNT_CAN_ bits */
};

static const struct primitive primitives[] = {
	{"yield", "primitive.yield", yield_body, shunt_floor_swap, 0},
	{"yield_queue", "primitive.yield_queue", yield_body, shunt_floor_yield, 0},
	{"spawn_join_1000", "primitive.spawn_join_1000", spawn_join_body, shunt_floor_spawn_join,
		0},
	{"ring_1000", "primitive.ring_1000", ring_body, shunt_floor_ring, SHUNT_CAN_BLOCK},
	{"transfer", "primitive.transfer", transfer_body, shunt_floor_swap, SHUNT_CAN_BLOCK},
	{"wake_park", "primitive.wake_park", wake_park_body, NULL, SHUNT_CAN_BLOCK},
	{"mutex", "primitive.mutex", mutex_body, NULL, SHUNT_CAN_BLOCK},
	{"edge", "primitive.edge", edge_body, NULL, 0},
	{"arm_cancel", "primitive.arm_cancel", arm_cancel_body, NULL,
		SHUNT_CAN_BLOCK | SHUNT_TIMED},
	{"sleep_late", "primitive.sleep_late", sleep_late_body, shunt_floor_sleep,
		SHUNT_CAN_BLOCK | SHUNT_TIMED},
};
#define PRIMITIVES (sizeof(primitives) / sizeof(primitives[0]))

/* Which compositions: backends/CMakeLists.txt says, as the plug-ins are named there. */
static const char *const specs[] = {SHUNT_BENCH_SPECS};
#define SPECS (sizeof(specs) / sizeof(specs[0]))

struct point {
	const struct primitive *primitive;
	const char *spec;
	char name[96];
};

struct timing {
	const struct point *point;
	uint64_t operations, made;
	double ns;
	uint64_t cpu_ns;
};

static void *root(void *arg)
{
	struct timing *timing = arg;
	shunt_clock_cpu_refresh();
	uint64_t before = shunt_clock_cpu_ns();
	timing->ns = timing->point->primitive->body(timing->operations, &timing->made);
	uint64_t own = shunt_clock_thread_cpu_ns();
	shunt_clock_cpu_refresh();
	own = shunt_clock_thread_cpu_ns() - own; /* what the refresh took */
	timing->cpu_ns = shunt_clock_cpu_ns() - own - before;
	return NULL;
}

/* A primitive makes its operations in batches, so it may make more than were asked for; fewer are
 * an error. */
static int conclude(const struct timing *timing, struct shunt_bench_result *result,
	struct shunt_error *err)
{
	bool all = timing->made >= timing->operations && timing->made < timing->operations + ALIVE;
	shunt_bench_tell_check((int64_t)(all ? timing->made : timing->operations),
		(int64_t)timing->made);
	if (!all)
		return shunt_fail(err, -EIO, "%" PRIu64 " operations were made, not %" PRIu64,
			timing->made, timing->operations);
	result->made = timing->made;
	result->wall_ns = timing->ns;
	result->cpu_ns = (double)timing->cpu_ns;
	result->ns = timing->ns * (double)timing->operations / (double)timing->made;
	return 0;
}

/* The primitive's floor on the scheduler's own switch or, on another runtime, the same loop without
 * shunt; 0: it has none. */
static double floor_of(struct shunt_sched *sched, const struct primitive *primitive,
	uint64_t operations)
{
	struct shunt_switch_ops ops;
	uint64_t made = 0;
	if (sched->backend->native) {
		double ns = sched->backend->native(sched, primitive->name, operations, &made);
		return made ? ns * (double)operations / (double)made : 0;
	}
	if (primitive->floor == shunt_floor_sleep ||
		(primitive->floor && shunt_bench_switch_of(sched, &ops)))
		return primitive->floor(&ops, operations);
	return 0;
}

static int run_point(const void *arg, uint64_t operations, struct shunt_bench_result *result,
	struct shunt_error *err)
{
	const struct point *point = arg;
	struct timing timing = {.point = point, .operations = operations};
	struct shunt_sched *sched;
	shunt_bench_tell(point->spec, point->primitive->workload, "ns_per_operation");
	int rc = shunt_open(&sched, point->spec, NULL, err);
	if (rc)
		return rc;
	double before = floor_of(sched, point->primitive, operations);
	rc = shunt_run(sched, root, &timing, NULL, err);
	double after = floor_of(sched, point->primitive, operations);
	shunt_bench_tell_sched(sched);
	shunt_close(sched);
	if (rc)
		return rc;
	result->floor_ns = (before + after) / 2;
	return conclude(&timing, result, err);
}

/* The bare swap of each switch, by itself. */
static int run_swap(const void *arg, uint64_t operations, struct shunt_bench_result *result,
	struct shunt_error *err)
{
	const struct shunt_switch *slot = arg;
	struct shunt_switch_ops ops;
	struct shunt_values values = {NULL, NULL};
	shunt_bench_tell(slot->name, "primitive.swap", "ns_per_operation");
	int rc = slot->params ? shunt_values_init(&values, slot->params, err) : 0;
	if (!rc)
		rc = slot->resolve(&values, &ops, err);
	if (!rc) {
		uint64_t cpu_ns;
		result->wall_ns = result->ns = shunt_floor_swap(&ops, operations);
		result->made = shunt_floor_swaps(&cpu_ns);
		result->cpu_ns = (double)cpu_ns;
		if (result->ns < 0)
			rc = shunt_fail(err, (int)result->ns, "no memory for a stack");
		shunt_bench_tell_check((int64_t)(operations + operations % 2),
			(int64_t)result->made);
		shunt_bench_tell_setting("switch", slot->name);
		shunt_bench_tell_setting("switch.fp", ops.fp);
	}
	if (slot->params)
		shunt_values_fini(&values);
	return rc;
}

int shunt_bench_run(shunt_bench_fn *fn, const void *arg, uint64_t operations,
	struct shunt_bench_result *result, char *why, size_t bytes)
{
	struct shunt_error err = {""};
	int rc = fn(arg, operations, result, &err);
	snprintf(why, bytes, "%s", err.text[0] ? err.text : strerror(-rc));
	return rc;
}

/* What a composition can do; all, where it cannot be opened: the benchmark then says why. */
static unsigned caps_of(const char *spec)
{
	struct shunt_sched *sched;
	struct shunt_error err;
	if (shunt_open(&sched, spec, NULL, &err))
		return UINT_MAX;
	unsigned caps = sched->caps;
	shunt_close(sched);
	return caps;
}

void shunt_bench_add_primitives(void)
{
	static struct point points[PRIMITIVES * SPECS];
	unsigned caps[SPECS];
	static char names[16][64];
	size_t count = 0;
	for (const struct shunt_plugin *p = shunt_registry_switches; p->name && count < 16; p++) {
		if (!p->object)
			continue;
		snprintf(names[count], sizeof(names[count]), "swap/%s", p->name);
		shunt_bench_add(names[count++], run_swap, p->object);
	}
	for (size_t j = 0; j < SPECS; j++)
		caps[j] = caps_of(specs[j]);
	for (size_t i = 0; i < PRIMITIVES; i++)
		for (size_t j = 0; j < SPECS; j++) {
			if (primitives[i].needs & ~caps[j])
				continue;
			struct point *point = &points[i * SPECS + j];
			point->primitive = &primitives[i];
			point->spec = specs[j];
			snprintf(point->name, sizeof(point->name), "%s/%s", primitives[i].name,
				specs[j]);
			shunt_bench_add(point->name, run_point, point);
		}
}
