/* SPDX-License-Identifier: MIT */
/*
 * A run that has failed ends, though its tasks would go on for ever: they yield, wake each other,
 * hand over, spawn and join, or end with another in their place, and what would have ended that
 * does not come any more.
 */
#include "core/engine/test/engine_torture.h"
#include "core/engine/halt.h"
#include "core/engine/worker.h"
#include "core/step.h"

#include <errno.h>

static _Atomic long done;

static void *yields(void *arg)
{
	for (;; done++)
		shunt_yield();
	return arg;
}

static void *sleeps(void *arg)
{
	for (;; done++)
		shunt_sleep_for(1000);
	return arg;
}

struct pair {
	struct shunt_handle task[2];
	bool direct;
	_Atomic bool complete;
};

static void *wakes_the_other(void *arg)
{
	struct pair *pair = arg;
	while (!pair->complete)
		shunt_yield();
	bool second = shunt_self().task == pair->task[1].task;
	for (;; done++) {
		if (pair->direct) {
			shunt_transfer(pair->task[!second]);
			continue;
		}
		shunt_wake(pair->task[!second]);
		shunt_park();
	}
	return NULL;
}

static void *nothing(void *arg)
{
	return arg;
}

static void *spawns(void *arg)
{
	for (;; done++) {
		struct shunt_handle task;
		if (!shunt_spawn(&task, nothing, NULL, NULL))
			shunt_join(task, NULL);
	}
	return arg;
}

static void *is_followed(void *arg)
{
	done++;
	shunt_spawn(NULL, is_followed, NULL, NULL);
	return arg;
}

static int steps_on(struct shunt_step *step)
{
	(void)step;
	done++;
	return SHUNT_STEP_YIELD;
}

static int steps_and_sleeps(struct shunt_step *step)
{
	done++;
	return shunt_sleep_poll(shunt_now_ns() + 1000) == SHUNT_STEP_WAIT ? SHUNT_STEP_WAIT
									  : steps_on(step);
}

/* A step task that yields, and one that sleeps. */
static void *starts_steps(void *arg)
{
	static struct shunt_step frame[2];
	assert_int_equal(shunt_spawn_step(NULL, steps_on, &frame[0], NULL), 0);
	assert_int_equal(shunt_spawn_step(NULL, steps_and_sleeps, &frame[1], NULL), 0);
	return arg;
}

enum what { YIELDS, SLEEPS, WAKES, TRANSFERS, SPAWNS, FOLLOWED, STEPS, KINDS };

static void go_on(enum what what)
{
	static shunt_task_fn *const fn[] = {yields, sleeps, NULL, NULL, spawns, is_followed,
		starts_steps};
	static struct pair pair;
	if (fn[what]) {
		assert_int_equal(shunt_spawn(NULL, fn[what], NULL, NULL), 0);
		return;
	}
	pair.direct = what == TRANSFERS;
	pair.complete = false;
	for (int i = 0; i < 2; i++)
		assert_int_equal(shunt_spawn(&pair.task[i], wakes_the_other, &pair, NULL), 0);
	pair.complete = true;
}

static void *fail_the_run(void *arg)
{
	go_on(*(enum what *)arg);
	while (done < 100)
		shunt_yield();
	shunt_halt_fail(shunt_engine_of(shunt_self().task->sched), -EIO, "the test says so");
	return NULL;
}

static void a_run_that_failed_ends(void **state)
{
	static const char *const specs[] = {"asm", "asm:mt=1", "asm:quantum=1ms", "asm:policy=edf",
		"asm:workers=2,policy=fifo", "asm:workers=2,policy=steal",
		"ucontext:workers=2,policy=shared"};
	(void)state;
	for (size_t i = 0; i < sizeof(specs) / sizeof(specs[0]); i++)
		for (enum what what = 0; what < KINDS; what++) {
			struct shunt_error err = {""};
			struct shunt_sched *sched;
			done = 0;
			if (shunt_open(&sched, specs[i], NULL, &err))
				fail_msg("%s: %s", specs[i], err.text);
			assert_int_equal(shunt_run(sched, fail_the_run, &what, NULL, &err), -EIO);
			assert_string_equal(err.text, "the test says so");
			shunt_close(sched);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(a_run_that_failed_ends)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
