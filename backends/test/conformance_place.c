/* SPDX-License-Identifier: MIT */
/* Clauses about tasks that are put on a worker by their attributes. */
#include "backends/test/conformance.h"

#include <errno.h>
#include <limits.h>
#include <sched.h>

static void *echo(void *arg)
{
	return arg;
}

struct put {
	unsigned worker;
	int cpu;
};

/* Waits in every way that there is, and is where it was put after each. */
static void *stay(void *arg)
{
	struct put *put = arg;
	for (int round = 0; round < 10; round++) {
		EXPECT_INT(put->worker, shunt_worker_index());
		shunt_yield();
		EXPECT_INT(put->worker, shunt_worker_index());
		if (under_test.caps & SHUNT_TIMED)
			give_way();
		EXPECT_INT(put->worker, shunt_worker_index());
		if (under_test.caps & SHUNT_TIMED)
			shunt_park_until(shunt_now_ns() + 20000);
	}
	EXPECT_INT(put->worker, shunt_worker_index());
	put->cpu = sched_getcpu();
	return arg;
}

static void *put_tasks_stay(void *arg)
{
	enum { EACH = 3, WORKERS_MOST = 8 };
	unsigned workers = shunt_worker_count() < WORKERS_MOST ? shunt_worker_count()
							       : WORKERS_MOST;
	struct shunt_handle handle[EACH * WORKERS_MOST];
	struct put put[EACH * WORKERS_MOST];
	for (unsigned i = 0; i < EACH * workers; i++) {
		struct shunt_attr attr = {.worker = i / EACH + 1};
		put[i].worker = i / EACH;
		EXPECT_INT(0, shunt_spawn(&handle[i], stay, &put[i], &attr));
	}
	for (unsigned i = 0; i < EACH * workers; i++) {
		void *result = NULL;
		EXPECT_INT(0, shunt_join(handle[i], &result));
		EXPECT(result == &put[i]);
	}
	/* A complete backend with many workers has a CPU for each. */
	if (!under_test.sched->backend->preset)
		for (unsigned i = 0; i < EACH * workers; i++)
			EXPECT_INT(put[i / EACH * EACH].cpu, put[i].cpu);
	return arg;
}

static void *a_worker_that_is_not_there(void *arg)
{
	struct shunt_handle handle = {NULL, 7};
	struct shunt_attr attr = {.worker = shunt_worker_count() + 1};
	EXPECT_INT(-EINVAL, shunt_spawn(&handle, echo, NULL, &attr));
	EXPECT(handle.task == NULL && handle.generation == 7);
	attr.worker = UINT_MAX;
	EXPECT_INT(-EINVAL, shunt_spawn(NULL, echo, NULL, &attr));
	EXPECT(shunt_spawn_external(under_test.sched, NULL, echo, NULL, &attr) < 0);
	return arg;
}

static void *tasks_that_move_are_not_put(void *arg)
{
	struct shunt_attr attr = {.worker = 1};
	EXPECT(!(under_test.caps & SHUNT_PINS));
	EXPECT_INT(-ENOTSUP, shunt_spawn(NULL, echo, NULL, &attr));
	EXPECT_INT(-ENOTSUP, shunt_spawn_external(under_test.sched, NULL, echo, NULL, &attr));
	return arg;
}

const struct clause conformance_place[] = {
	CLAUSE("a task put on a worker stays there", SHUNT_PINS, put_tasks_stay),
	CLAUSE("a worker that is not there is refused", 0, a_worker_that_is_not_there),
	CLAUSE("where tasks move none is put anywhere", SHUNT_MIGRATES,
		tasks_that_move_are_not_put),
	{.name = NULL},
};
