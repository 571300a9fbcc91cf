/* SPDX-License-Identifier: MIT */
/* If this passes, what a step must not do ends the process with a message that names the task
 * and why. */
#include "core/engine/test/engine_torture.h"

#include "core/step.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

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

/* What it says before it ends the process that it was made in. */
static int ask(const struct misuse *misuse, char *text, size_t bytes)
{
	int ends[2], status;
	assert_int_equal(pipe(ends), 0);
	fflush(NULL);
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		struct rlimit none = {0, 0};
		setrlimit(RLIMIT_CORE, &none);
		signal(SIGABRT, SIG_DFL);
		dup2(ends[1], STDERR_FILENO);
		torture_run(misuse->spec, 1, start, (void *)(uintptr_t)misuse);
		_exit(0);
	}
	close(ends[1]);
	size_t used = 0;
	ssize_t got;
	while (used + 1 < bytes && (got = read(ends[0], text + used, bytes - used - 1)) > 0)
		used += (size_t)got;
	text[used] = '\0';
	close(ends[0]);
	assert_int_equal(waitpid(child, &status, 0), child);
	return status;
}

static void each_misuse_is_named(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(misuses) / sizeof(misuses[0]); i++) {
		char text[4096];
		int status = ask(&misuses[i], text, sizeof(text));
		if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGABRT)
			fail_msg("'%s' is not noticed: status %#x, said '%s'", misuses[i].told,
				(unsigned)status, text);
		if (!strstr(text, misuses[i].told) || !strstr(text, "step task 'clumsy' (number 2"))
			fail_msg("'%s' is not what it said: '%s'", misuses[i].told, text);
	}
}

static void *polls(void *arg)
{
	shunt_sleep_poll(0);
	return arg;
}

static void a_poll_is_for_steps(void **state)
{
	(void)state;
	int status;
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		struct rlimit none = {0, 0};
		setrlimit(RLIMIT_CORE, &none);
		signal(SIGABRT, SIG_DFL);
		torture_run("asm", 1, polls, NULL);
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_misuse_is_named),
		cmocka_unit_test(a_poll_is_for_steps),
	};
	return cmocka_run_group_tests_name("step_misuse", tests, NULL, NULL);
}
