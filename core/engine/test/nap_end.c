/* SPDX-License-Identifier: MIT */
/*
 * A run ends when its last task does, though a worker naps: it does not wait for the end of the
 * nap.
 *
 * Worker 1 is made to nap for a minute and the root ends meanwhile; then the same where the root
 * waits for ever, which is a deadlock and is reported as soon.
 */
#include "core/engine/test/engine_torture.h"
#include "core/engine/worker.h"

#include <sched.h>

#define NAP_NS   INT64_C(60000000000)
#define LIMIT_NS (NAP_NS / 2)

static struct shunt_engine *engine;

/* The root: until worker 1 is on its way to sleep, and some time longer; or at once. */
static void await_nap(bool sure)
{
	int64_t begin = shunt_now_ns();
	struct timespec pause = {.tv_nsec = 20000000};
	/* Relaxed: a look from outside [worker:idle]. */
	while (sure && !atomic_load_explicit(&engine->workers[1]->idle, memory_order_relaxed) &&
		shunt_now_ns() - begin < NAP_NS / 20)
		sched_yield();
	if (sure)
		nanosleep(&pause, NULL);
}

static void *ends(void *arg)
{
	await_nap(arg != NULL);
	return NULL;
}

static void *waits(void *arg)
{
	await_nap(arg != NULL);
	shunt_park();
	return NULL;
}

static void run_beside_a_nap(const char *spec, shunt_task_fn *root, void *sure, int expected)
{
	struct shunt_sched *sched;
	struct shunt_error err = {""};
	if (shunt_open(&sched, spec, NULL, &err))
		fail_msg("%s: %s", spec, err.text);
	engine = shunt_engine_of(sched);
	engine->workers[1]->backoff.nap_ns = NAP_NS;
	engine->workers[1]->backoff.nap_due = true;
	int64_t begin = shunt_now_ns();
	assert_int_equal(shunt_run(sched, root, sure, NULL, &err), expected);
	assert_true(shunt_now_ns() - begin < LIMIT_NS);
	shunt_close(sched);
}

static void every_way(shunt_task_fn *root, int expected)
{
	static const char *const specs[] = {"ucontext:workers=2,policy=steal",
		"ucontext:workers=3,policy=steal,wait=epoll",
		"ucontext:workers=2,policy=steal,fence=full"};
	for (size_t i = 0; i < sizeof(specs) / sizeof(specs[0]); i++) {
		run_beside_a_nap(specs[i], root, (void *)1, expected);
		run_beside_a_nap(specs[i], root, NULL, expected); /* both at about the same time */
	}
}

static void the_end_of_a_run_ends_a_nap(void **state)
{
	(void)state;
	every_way(ends, 0);
}

static void a_deadlock_is_told_beside_a_nap(void **state)
{
	(void)state;
	every_way(waits, -EDEADLK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_end_of_a_run_ends_a_nap),
		cmocka_unit_test(a_deadlock_is_told_beside_a_nap),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
