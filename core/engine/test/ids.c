/* SPDX-License-Identifier: MIT */
/* A task's number is unique within its run, the root's is 0, and so in the next run too. */
#include "core/backend.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>

#define BREEDERS 8
#define CHILDREN 700 /* of each: more than a worker's batch of ids, together */
#define MOST     20000

static int seen[MOST]; /* words: riscv64 has no exchange of bytes */
static int twice, beyond;

static void *tell(void *arg)
{
	uint64_t id = shunt_task_id();
	if (id >= MOST)
		__atomic_store_n(&beyond, 1, __ATOMIC_SEQ_CST);
	else if (__atomic_exchange_n(&seen[id], 1, __ATOMIC_SEQ_CST))
		__atomic_store_n(&twice, 1, __ATOMIC_SEQ_CST);
	return arg;
}

static void *breed(void *arg)
{
	for (int i = 0; i < *(int *)arg; i++) {
		struct shunt_handle child;
		assert_int_equal(shunt_spawn(&child, tell, NULL, NULL), 0);
		assert_int_equal(shunt_join(child, NULL), 0);
	}
	return tell(arg);
}

static void *root(void *arg)
{
	struct shunt_handle breeder[BREEDERS];
	assert_int_equal(shunt_task_id(), 0);
	tell(arg);
	for (int i = 0; i < BREEDERS; i++)
		assert_int_equal(shunt_spawn(&breeder[i], breed, arg, NULL), 0);
	for (int i = 0; i < BREEDERS; i++)
		assert_int_equal(shunt_join(breeder[i], NULL), 0);
	return arg;
}

static void runs_of(const char *spec, int children)
{
	struct shunt_sched *sched;
	struct shunt_error err = {""};
	if (shunt_open(&sched, spec, NULL, &err))
		fail_msg("%s: %s", spec, err.text);
	for (int run = 0; run < 4; run++) {
		memset(seen, 0, sizeof(seen));
		twice = beyond = 0;
		/* One that is there before the root is. */
		if (sched->backend->spawn)
			assert_int_equal(shunt_spawn_external(sched, NULL, tell, NULL, NULL), 0);
		if (shunt_run(sched, root, &children, NULL, &err))
			fail_msg("%s: %s", spec, err.text);
		if (twice || beyond)
			fail_msg("%s, run %d: a number was given %s", spec, run + 1,
				twice ? "twice" : "out of order");
	}
	shunt_close(sched);
}

static void with_one_worker(void **state)
{
	(void)state;
	runs_of("null", CHILDREN);
	runs_of("ucontext", CHILDREN);
}

static void with_two_workers(void **state)
{
	(void)state;
	runs_of("ucontext:workers=2,policy=fifo", CHILDREN);
}

static void with_threads(void **state)
{
	(void)state;
	runs_of("threads", 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(with_one_worker),
		cmocka_unit_test(with_two_workers),
		cmocka_unit_test(with_threads),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
