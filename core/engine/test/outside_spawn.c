/* SPDX-License-Identifier: MIT */
/*
 * What a thread beside the scheduler spawns runs once, whatever the workers do meanwhile.
 *
 * The thread has the policy make room for more tasks, while the only worker picks and enqueues and takes
 * no lock for it.
 */
#include "core/engine/test/engine_torture.h"

#include <pthread.h>

#define TASKS TORTURE_SCALE(20000)

/* ---- room ------------------------------------------------------------------------------------ */

static _Atomic long begun, ended;
static _Atomic bool all_spawned;

/* Is in the queue until all are there. */
static void *stay(void *arg)
{
	begun++;
	while (!all_spawned)
		shunt_yield();
	ended++;
	return arg;
}

static void *spawn_many(void *arg)
{
	struct shunt_sched *sched = arg;
	const struct shunt_attr attr = {.deadline_ns = 1, .service_ns = 1000000000};
	long spawned = 0;
	while (spawned < TASKS && !shunt_spawn_external(sched, NULL, stay, NULL, &attr))
		spawned++;
	all_spawned = true;
	shunt_release(sched);
	return (void *)spawned;
}

static void *make_room(void *arg)
{
	struct shunt_sched *sched = shunt_self().task->sched;
	pthread_t thread;
	void *spawned;
	begun = ended = 0;
	all_spawned = false;
	shunt_hold(sched);
	assert_int_equal(pthread_create(&thread, NULL, spawn_many, sched), 0);
	while (!all_spawned)
		shunt_yield();
	assert_int_equal(pthread_join(thread, &spawned), 0);
	assert_int_equal((long)spawned, TASKS);
	return arg;
}

static void room_is_made_beside_a_worker(void **state)
{
	static const char *const specs[] = {"asm:policy=edf", "asm:policy=srpt",
		"asm:policy=edf,mt=1", "asm:policy=edf,workers=2", "asm:policy=prio"};
	(void)state;
	for (size_t i = 0; i < sizeof(specs) / sizeof(specs[0]); i++) {
		torture_run(specs[i], 1, make_room, NULL);
		assert_int_equal(begun, TASKS);
		assert_int_equal(ended, TASKS);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(room_is_made_beside_a_worker)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
