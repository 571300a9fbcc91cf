/* SPDX-License-Identifier: MIT */
/*
 * Descriptors and promises of stacks are used again wherever tasks end: spawned on one worker and
 * ended on another, or spawned from outside, a hundred times as many tasks take no more of either.
 * One whose generations are used up is not used again. Many are apart from each other, and unmapped
 * when the scheduler is closed.
 */
#include "core/descriptors.h"
#include "core/engine/worker.h"
#include "core/step.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mman.h>

#define WAVE  300
#define WAVES 100
/* Alive, and what each worker may keep: two lists of a slab, a slab begun. */
#define DESCRIPTORS_MOST 3000
#define CREDITS_MOST     4000

static int ended; /* [descriptors:ended] */

static void *child(void *arg)
{
	/* Relaxed: a count. */
	__atomic_fetch_add(&ended, 1, __ATOMIC_RELAXED);
	return arg;
}

static int ended_now(void)
{
	/* Relaxed: a count. */
	return __atomic_load_n(&ended, __ATOMIC_RELAXED);
}

/* Nobody joins them, so their worker releases them. */
static void *spawns_there(void *arg)
{
	struct shunt_attr attr = {.worker = *(unsigned *)arg};
	for (int wave = 1; wave <= WAVES; wave++) {
		for (int i = 0; i < WAVE; i++)
			assert_int_equal(shunt_spawn(NULL, child, NULL, &attr), 0);
		while (ended_now() < wave * WAVE)
			shunt_yield();
	}
	return arg;
}

static void *spawns_outside(void *arg)
{
	struct shunt_sched *sched = arg;
	for (int wave = 1; wave <= WAVES; wave++) {
		for (int i = 0; i < WAVE; i++)
			assert_int_equal(shunt_spawn_external(sched, NULL, child, NULL, NULL), 0);
		while (ended_now() < wave * WAVE)
			sched_yield();
	}
	shunt_release(sched);
	return arg;
}

static void *nothing(void *arg)
{
	return arg;
}

static struct shunt_sched *open_spec(const char *spec)
{
	struct shunt_sched *sched;
	struct shunt_error err = {""};
	if (shunt_open(&sched, spec, NULL, &err))
		fail_msg("%s: %s", spec, err.text);
	ended = 0;
	return sched;
}

static void check(const char *spec, struct shunt_sched *sched)
{
	struct shunt_engine *engine = shunt_engine_of(sched);
	print_message("%s: %llu descriptors, %llu stacks reserved\n", spec,
		(unsigned long long)engine->descriptors,
		(unsigned long long)engine->stacks.reserved);
	assert_int_equal(ended, WAVE * WAVES);
	assert_true(engine->descriptors <= DESCRIPTORS_MOST);
	assert_true(engine->stacks.reserved <= CREDITS_MOST);
	shunt_close(sched);
}

static void from_worker_to_worker(void **state)
{
	static const char *const specs[] = {"ucontext:workers=2,policy=fifo",
		"ucontext:workers=3,policy=lifo"};
	unsigned worker = 2;
	(void)state;
	for (size_t i = 0; i < sizeof(specs) / sizeof(specs[0]); i++) {
		struct shunt_sched *sched = open_spec(specs[i]);
		struct shunt_error err = {""};
		if (shunt_run(sched, spawns_there, &worker, NULL, &err))
			fail_msg("%s: %s", specs[i], err.text);
		check(specs[i], sched);
	}
}

static void from_outside(void **state)
{
	static const char *const specs[] = {"ucontext", "ucontext:mt=1",
		"ucontext:workers=2,policy=steal"};
	(void)state;
	for (size_t i = 0; i < sizeof(specs) / sizeof(specs[0]); i++) {
		struct shunt_sched *sched = open_spec(specs[i]);
		struct shunt_error err = {""};
		pthread_t thread;
		shunt_hold(sched);
		assert_int_equal(pthread_create(&thread, NULL, spawns_outside, sched), 0);
		if (shunt_run(sched, nothing, NULL, NULL, &err))
			fail_msg("%s: %s", specs[i], err.text);
		assert_int_equal(pthread_join(thread, NULL), 0);
		check(specs[i], sched);
	}
}

/* ---- many ------------------------------------------------------------------------------------ */

#define MANY 40000 /* more than the first mapping of many slabs holds */

static struct shunt_step frames[MANY];
static struct shunt_handle handles[MANY];

static int one_step(struct shunt_step *step)
{
	step->line++;
	return SHUNT_STEP_DONE;
}

static int by_address(const void *a, const void *b)
{
	const struct shunt_task *x = ((const struct shunt_handle *)a)->task;
	const struct shunt_task *y = ((const struct shunt_handle *)b)->task;
	return (x > y) - (x < y);
}

static void *spawns_many(void *arg)
{
	for (int i = 0; i < MANY; i++)
		assert_int_equal(shunt_spawn_step(&handles[i], one_step, &frames[i], NULL), 0);
	for (int i = 0; i < MANY; i++)
		assert_int_equal(shunt_join(handles[i], NULL), 0);
	return arg;
}

static void many_are_apart_and_unmapped_at_the_end(void **state)
{
	struct shunt_sched *sched = open_spec("ucontext");
	struct shunt_error err = {""};
	unsigned char resident;
	int mapped = 0;
	(void)state;
	if (shunt_run(sched, spawns_many, NULL, NULL, &err))
		fail_msg("%s", err.text);
	shunt_close(sched);
	for (int i = 0; i < MANY; i += 16) { /* before anything else is mapped there */
		void *page = (void *)((uintptr_t)handles[i].task & -(uintptr_t)4096);
		mapped += mincore(page, 1, &resident) == 0;
	}
	assert_int_equal(mapped, 0);
	qsort(handles, MANY, sizeof(handles[0]), by_address);
	for (int i = 0; i < MANY; i++) {
		assert_int_equal(frames[i].line, 1);
		if (i)
			assert_true(handles[i].task - handles[i - 1].task >= 1);
	}
}

/* Of complete backends: the next generation would be none's. */
static void one_that_is_used_up_is_not_used_again(void **state)
{
	struct shunt_descriptors set;
	struct shunt_sched sched = {.backend = NULL};
	(void)state;
	shunt_descriptors_init(&set, &sched, sizeof(struct shunt_task));
	struct shunt_task *last = shunt_descriptor_take(&set);
	assert_non_null(last);
	shunt_word_store(last, SHUNT_WORD_GENERATION | SHUNT_TASK_ENDED);
	shunt_descriptor_give(&set, last);
	for (int i = 0; i < 200; i++) {
		struct shunt_task *task = shunt_descriptor_take(&set);
		assert_non_null(task);
		assert_ptr_not_equal(task, last);
		assert_int_not_equal(shunt_task_generation(task), 0);
	}
	shunt_descriptors_fini(&set);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(from_worker_to_worker),
		cmocka_unit_test(from_outside),
		cmocka_unit_test(many_are_apart_and_unmapped_at_the_end),
		cmocka_unit_test(one_that_is_used_up_is_not_used_again),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
