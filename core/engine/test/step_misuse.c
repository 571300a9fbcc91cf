/* SPDX-License-Identifier: MIT */
/* If this passes, what a step must not do ends the process with a message that names the task
 * and why. */
#include "core/engine/test/engine_torture.h"

#include "core/step.h"
#include "core/test/dies.h"

static struct shunt_semaphore semaphore, another;
static struct shunt_mutex mutex;
static struct shunt_handle somebody;

static int returns_nonsense(struct shunt_step *step)
{
	step->line = 4711;
	return 42;
}

static int forgets_to_return(struct shunt_step *step)
{
	SHUNT_STEP_BEGIN(step);
	step->line = 4711;
	return SHUNT_STEP_YIELD;
	SHUNT_STEP_END(step);
}

static int waits_for_nothing(struct shunt_step *step)
{
	(void)step;
	return SHUNT_STEP_WAIT;
}

static int ends_while_it_waits(struct shunt_step *step)
{
	(void)step;
	shunt_sleep_poll(SHUNT_FOREVER);
	return SHUNT_STEP_DONE;
}

static int yields_while_it_waits(struct shunt_step *step)
{
	(void)step;
	shunt_semaphore_wait_poll(&semaphore, SHUNT_FOREVER);
	return SHUNT_STEP_YIELD;
}

static int waits_twice(struct shunt_step *step)
{
	(void)step;
	shunt_semaphore_wait_poll(&semaphore, SHUNT_FOREVER);
	return shunt_semaphore_wait_poll(&another, SHUNT_FOREVER);
}

static int forgets_its_wait(struct shunt_step *step)
{
	if (step->line++ == 0)
		return shunt_sleep_poll(0);
	return SHUNT_STEP_DONE;
}

static int ends_another_wait(struct shunt_step *step)
{
	if (step->line++ == 0)
		return shunt_sleep_poll(0);
	return shunt_park_poll(SHUNT_FOREVER);
}

static int ends_its_own_wait(struct shunt_step *step)
{
	(void)step;
	int rc = shunt_semaphore_wait_poll(&semaphore, SHUNT_FOREVER);
	shunt_semaphore_post(&semaphore);
	return rc;
}

#define STEP_THAT(name, call)                                                                      \
	static int name(struct shunt_step *step)                                                   \
	{                                                                                          \
		(void)step;                                                                        \
		call;                                                                              \
		return SHUNT_STEP_DONE;                                                            \
	}
STEP_THAT(yields, shunt_yield())
STEP_THAT(transfers, shunt_transfer(shunt_self()))
STEP_THAT(sleeps, shunt_sleep_for(1000))
STEP_THAT(parks, shunt_park())
STEP_THAT(blocks, shunt_semaphore_wait(&semaphore))
STEP_THAT(joins, shunt_join(somebody, NULL))
STEP_THAT(locks, shunt_mutex_lock(&mutex))

static const struct misuse {
	shunt_step_fn *fn;
	const char *told;
	const char *spec;
} misuses[] = {
	{returns_nonsense, "at line 4711) returned 42", "asm"},
	{forgets_to_return, "returned 0", "asm"},
	{waits_for_nothing, "without having registered a wait", "asm"},
	{ends_while_it_waits, "returned SHUNT_STEP_DONE in the middle of a wait (sleep)", "asm"},
	{yields_while_it_waits, "returned SHUNT_STEP_YIELD in the middle of a wait (semaphore)",
		"asm"},
	{waits_twice, "has begun another wait (semaphore): return SHUNT_STEP_WAIT", "asm"},
	{forgets_its_wait, "make the same _poll call again", "asm"},
	{ends_another_wait, "called shunt_park_poll, but has begun another wait (sleep)", "asm"},
	{ends_its_own_wait, "ends its own wait", "asm:mt=1"},
	{yields, "return SHUNT_STEP_YIELD", "asm"},
	{transfers, "calls shunt_transfer", "asm"},
	{sleeps, "would block (sleep)", "asm:workers=2,policy=steal"},
	{parks, "use shunt_park_poll", "asm"},
	{blocks, "would block (semaphore)", "asm:mt=1"},
	{joins, "would block (join)", "asm"},
	{locks, "would block (mutex)", "asm"},
};

static void *ends_after_the_others(void *arg)
{
	shunt_sleep_for(200000000);
	return arg;
}

static void *start(void *arg)
{
	const struct misuse *misuse = arg;
	static struct shunt_step frame;
	const struct shunt_attr attr = {.name = "clumsy"};
	shunt_spawn(&somebody, ends_after_the_others, NULL, NULL);
	shunt_semaphore_init(&semaphore, 0);
	shunt_semaphore_init(&another, 0);
	shunt_mutex_lock(&mutex);
	shunt_spawn_step(NULL, misuse->fn, &frame, &attr);
	return ends_after_the_others(arg);
}

static void call(const void *misuse)
{
	torture_run(((const struct misuse *)misuse)->spec, 1, start, (void *)(uintptr_t)misuse);
}

static void each_misuse_is_named(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(misuses) / sizeof(misuses[0]); i++)
		dies_saying(call, &misuses[i], misuses[i].told, "step task 'clumsy' (number 2");
}

static void *polls(void *arg)
{
	shunt_sleep_poll(0);
	return arg;
}

static void call_with_a_stack(const void *arg)
{
	(void)arg;
	torture_run("asm", 1, polls, NULL);
}

static void a_poll_is_for_steps(void **state)
{
	(void)state;
	dies_saying(call_with_a_stack, NULL, "shunt_sleep_poll called by a task with a stack",
		"only step tasks may call it");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_misuse_is_named),
		cmocka_unit_test(a_poll_is_for_steps),
	};
	return cmocka_run_group_tests_name("step_misuse", tests, NULL, NULL);
}
