/* SPDX-License-Identifier: MIT */
/*
 * Of a worker that spawned a task and one that is its guest, exactly one joins the task, however
 * close.
 *
 * Worker 0 spawns a batch; a rival on worker 1 goes for the same handles at the same time, in the
 * same order. The tasks have ended on worker 0 by then, so that both race for ENDED, or they run on
 * worker 1, so that their ends race with the joins. Between two batches worker 1 switches so often
 * that it is no guest any more: each batch begins with a visit.
 */
#include "core/engine/test/engine_torture.h"

#include "core/lock.h"

#include <sched.h>

#define BATCH  64
#define LEAVES 40 /* visits of the slow path after which nobody is a guest, and some */

static struct shunt_handle task[BATCH];
static _Atomic unsigned taken[BATCH];
static _Atomic unsigned batch_of_rival, batch_of_host; /* that they are ready for */
static _Atomic int stop;

static void *number(void *arg)
{
	return arg;
}

static void fetch_all(void)
{
	for (uintptr_t i = 0; i < BATCH; i++) {
		void *result = NULL;
		int rc = shunt_join(task[i], &result);
		if (rc == 0)
			assert_int_equal((uintptr_t)result, i);
		else
			assert_true(rc == -ESRCH || rc == -EBUSY);
		atomic_fetch_add(&taken[i], rc == 0);
	}
}

/* Says that the caller is ready for that batch, and waits until the other is. */
static bool meet(_Atomic unsigned *mine, _Atomic unsigned *other, unsigned batch)
{
	atomic_store(mine, batch);
	for (unsigned spins = 1; atomic_load(other) < batch && !atomic_load(&stop); spins++) {
		shunt_cpu_relax();
		if (spins % 256 == 0)
			sched_yield();
	}
	return !atomic_load(&stop);
}

static void *rival(void *arg)
{
	(void)arg;
	for (unsigned batch = 1; meet(&batch_of_rival, &batch_of_host, batch); batch++) {
		fetch_all();
		for (int i = 0; i < LEAVES; i++)
			shunt_yield();
	}
	return NULL;
}

/* True: all of them were spawned. */
static void spawn_batch(unsigned worker)
{
	struct shunt_attr attr = {.worker = worker};
	for (uintptr_t i = 0; i < BATCH; i++) {
		atomic_store(&taken[i], 0);
		assert_int_equal(shunt_spawn(&task[i], number, (void *)i, &attr), 0);
	}
	if (worker == 1)
		shunt_yield(); /* they end */
}

static void *root(void *arg)
{
	struct shunt_rng rng;
	struct shunt_handle other;
	struct shunt_attr there = {.worker = 2};
	int64_t until = shunt_now_ns() + torture_slice_ns();
	shunt_rng_init(&rng, *(uint64_t *)arg);
	batch_of_rival = batch_of_host = 0;
	stop = 0;
	assert_int_equal(shunt_spawn(&other, rival, NULL, &there), 0);
	for (unsigned batch = 1; shunt_now_ns() < until; batch++) {
		spawn_batch(shunt_rng_below(&rng, 4) == 0 ? 2 : 1);
		meet(&batch_of_host, &batch_of_rival, batch);
		fetch_all();
		/* The rival has left this batch when it says that it is ready for the next. */
		while (atomic_load(&batch_of_rival) <= batch)
			shunt_yield();
		for (int i = 0; i < BATCH; i++)
			assert_int_equal(atomic_load(&taken[i]), 1);
	}
	atomic_store(&stop, 1);
	assert_int_equal(shunt_join(other, NULL), 0);
	return NULL;
}

static void exactly_one_joins(void **state)
{
	static const char *const specs[] = {"asm:workers=2,policy=fifo,interval=1",
		"asm:workers=2,policy=lifo,interval=1",
		"asm:workers=2,policy=fifo,interval=1,fence=full"};
	(void)state;
	torture_all(specs, sizeof(specs) / sizeof(specs[0]), torture_seed(), root);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(exactly_one_joins)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
