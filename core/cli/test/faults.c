/* SPDX-License-Identifier: MIT */
/*
 * Workloads that go wrong, each in its own way, for the tests of the command line.
 *
 * The test program is `shunt` itself, linked with this list in the place of the real one (ld
 * --wrap).
 */
#include "core/measure/clock.h"
#include "core/measure/environment.h"
#include "core/registry.h"
#include "core/sched.h"
#include "core/workload.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stddef.h>
#include <stdlib.h>

static void needs_little(const struct shunt_run *run, struct shunt_footprint *footprint)
{
	(void)run;
	footprint->tasks = 3;
}

static void needs_everything(const struct shunt_run *run, struct shunt_footprint *footprint)
{
	(void)run;
	footprint->tasks = 3;
	footprint->bytes = UINT64_C(1) << 60;
}

static void right(struct shunt_run *run)
{
	shunt_operations(run, 1);
	shunt_check_true(run, "done", true);
}

static void off_by_one(struct shunt_run *run)
{
	shunt_operations(run, 1);
	shunt_check_int(run, "sum", 4950, 4951);
}

static int nothing(struct shunt_run *run)
{
	(void)run;
	return 0;
}

/* Two tasks, each holding what the other wants. */
static struct shunt_mutex fork_one, fork_two;

static void *take_both(void *arg)
{
	struct shunt_mutex *first = arg, *second = arg == &fork_one ? &fork_two : &fork_one;

	shunt_mutex_lock(first);
	shunt_yield();
	shunt_mutex_lock(second);
	return NULL;
}

static int dine(struct shunt_run *run)
{
	static const struct shunt_attr names[2] = {{.name = "philosopher"}, {.name = "stranger"}};
	struct shunt_handle task[2];

	(void)run;
	shunt_spawn(&task[0], take_both, &fork_one, &names[0]);
	shunt_spawn(&task[1], take_both, &fork_two, &names[1]);
	shunt_join(task[0], NULL);
	return shunt_join(task[1], NULL);
}

static int __attribute__((noinline)) deeper(volatile int *depth)
{
	volatile char room[512];

	room[0] = (char)++*depth;
	/* The addition keeps it from becoming a loop. */
	return *depth < 100000000 ? deeper(depth) + room[0] : 0;
}

static void *dig(void *arg)
{
	volatile int depth = 0;

	(void)arg;
	deeper(&depth);
	return NULL;
}

static int excavate(struct shunt_run *run)
{
	static const struct shunt_attr name = {.name = "digger"};
	struct shunt_handle task;

	(void)run;
	shunt_spawn(&task, dig, NULL, &name);
	return shunt_join(task, NULL);
}

static void *quit(void *arg)
{
	(void)arg;
	pthread_exit(NULL);
}

static int lose_a_thread(struct shunt_run *run)
{
	static const struct shunt_attr name = {.name = "quitter"};
	struct shunt_handle task;

	(void)run;
	shunt_spawn(&task, quit, NULL, &name);
	return shunt_join(task, NULL);
}

static int compute_for_ever(struct shunt_run *run)
{
	if (shunt_run_int(run, "warm") && shunt_run_warming_up(run))
		return 0;
	shunt_narrate(run, "stuck");
	for (;;)
		__asm__ volatile("");
	return 0;
}

static int lose_the_ball(struct shunt_run *run)
{
	shunt_run_explain(run, "the ball is under the sofa");
	return -EIO;
}

static int misuse(struct shunt_run *run)
{
	(void)run;
	/* Not a parameter of this workload: a programming error, which panics. */
	return (int)shunt_run_int(run, "colour");
}

/* Longer each time: what it reads outlives a run. */
static int remember(struct shunt_run *run)
{
	static int64_t before_ns;

	(void)run;
	shunt_work_ns(before_ns += 1000);
	return 0;
}

static int fall(struct shunt_run *run)
{
	volatile int *volatile nowhere = (volatile int *)64;

	(void)run;
	return *nowhere;
}

static const struct shunt_param none[] = {{.name = NULL}};
static const struct shunt_param stuck_params[] = {
	{.name = "warm",
		.type = SHUNT_PARAM_COUNT,
		.fallback = "0",
		.max = 1,
		.help = "1: only measured iterations are stuck"},
	{.name = NULL},
};

#define FAULT(NAME, PARAMS, NEEDS, FOOTPRINT, BODY, VERIFY)                                        \
	{                                                                                          \
		.name = NAME, .summary = "a fault", .description = "For tests.",                   \
		.operation = "one fault", .cost_metric = "ns_per_fault", .needs = (NEEDS),         \
		.params = (PARAMS), .footprint = (FOOTPRINT), .body = (BODY), .verify = (VERIFY)   \
	}

static const struct shunt_workload
	good = FAULT("good", none, 0, needs_little, nothing, right),
	wrong = FAULT("wrong", none, 0, needs_little, nothing, off_by_one),
	deadlock = FAULT("deadlock", none, SHUNT_CAN_BLOCK, needs_little, dine, right),
	overflow = FAULT("overflow", none, SHUNT_CAN_BLOCK, needs_little, excavate, right),
	quitting = FAULT("quitting", none, SHUNT_CAN_BLOCK, needs_little, lose_a_thread, right),
	stuck = FAULT("stuck", stuck_params, 0, needs_little, compute_for_ever, right),
	misused = FAULT("misused", none, 0, needs_little, misuse, right),
	moody = FAULT("moody", none, 0, needs_little, remember, right),
	fallen = FAULT("fallen", none, 0, needs_little, fall, right),
	lost = FAULT("lost", none, 0, needs_little, lose_the_ball, right),
	huge = FAULT("huge", none, 0, needs_everything, nothing, right);

/* A clock whose calibration went wrong, where SHUNT_CLOCK_WRONG is set. */
void __real_shunt_clock_init_since(struct shunt_clock *clock, bool counter,
	struct shunt_clock_point first, uint64_t span_ns);
void __wrap_shunt_clock_init_since(struct shunt_clock *clock, bool counter,
	struct shunt_clock_point first, uint64_t span_ns);

void __wrap_shunt_clock_init_since(struct shunt_clock *clock, bool counter,
	struct shunt_clock_point first, uint64_t span_ns)
{
	__real_shunt_clock_init_since(clock, counter, first, span_ns);
	if (getenv("SHUNT_CLOCK_WRONG"))
		clock->scale = clock->scale / 100 * 193;
}

/* A machine that does not tell what it is, where SHUNT_GATHER_STUCK is set. */
void __real_shunt_env_gather(struct shunt_env *env, const char *root);
void __wrap_shunt_env_gather(struct shunt_env *env, const char *root);

void __wrap_shunt_env_gather(struct shunt_env *env, const char *root)
{
	while (getenv("SHUNT_GATHER_STUCK"))
		sched_yield();
	__real_shunt_env_gather(env, root);
}

/* Work takes half as long again as asked for, where SHUNT_WORK_SLOW is set. */
void __real_shunt_work_ns(int64_t duration_ns);
void __wrap_shunt_work_ns(int64_t duration_ns);

void __wrap_shunt_work_ns(int64_t duration_ns)
{
	__real_shunt_work_ns(
		getenv("SHUNT_WORK_SLOW") ? duration_ns + duration_ns / 2 : duration_ns);
}

extern const struct shunt_workload shunt_workload_openloop, shunt_race; /* race.c */
extern struct shunt_plugin __wrap_shunt_registry_workloads[];
struct shunt_plugin __wrap_shunt_registry_workloads[] = {
	{"good", &good, NULL, NULL, NULL},
	{"wrong", &wrong, NULL, NULL, NULL},
	{"deadlock", &deadlock, NULL, NULL, NULL},
	{"overflow", &overflow, NULL, NULL, NULL},
	{"quitting", &quitting, NULL, NULL, NULL},
	{"stuck", &stuck, NULL, NULL, NULL},
	{"misused", &misused, NULL, NULL, NULL},
	{"moody", &moody, NULL, NULL, NULL},
	{"fallen", &fallen, NULL, NULL, NULL},
	{"lost", &lost, NULL, NULL, NULL},
	{"huge", &huge, NULL, NULL, NULL},
	{"race", &shunt_race, NULL, NULL, NULL},
	{"openloop", &shunt_workload_openloop, NULL, NULL, NULL},
	{"absent", NULL, "not built: libabsent not found (Debian package libabsent-dev)", NULL,
		NULL},
	{NULL, NULL, NULL, NULL, NULL},
};
