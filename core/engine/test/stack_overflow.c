/* SPDX-License-Identifier: MIT */
/* A task that overflows its stack, or ends its thread, ends the process, which names the task. */
#include "core/backend.h"
#include "core/engine/sanitize.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#ifdef SHUNT_SANITIZED
int main(void)
{
	return 77; /* sanitizers have guards, and frames, of their own */
}
#else
#include "core/engine/test/run_on.h"

static int descend(int depth)
{
	volatile char frame[512];
	memset((char *)frame, depth, sizeof(frame));
	return depth ? descend(depth - 1) + frame[7] : frame[3];
}

static void *overflow(void *arg)
{
	(void)arg;
	return (void *)(intptr_t)descend(1000000);
}

static void *quit(void *arg)
{
	shunt_yield();
	pthread_exit(arg);
}

static void *spawn_a_quitter(void *arg)
{
	const struct shunt_attr attr = {.name = "quitter"};
	struct shunt_handle task;
	shunt_spawn(&task, quit, NULL, &attr);
	shunt_join(task, NULL);
	return arg;
}

/* One frame larger than the stack and its guard together, of which only the far end is touched.
 * Which end that is the compiler must not know, or it keeps nothing else. */
static void *overflow_by_one_frame(void *arg)
{
	static volatile size_t far_end;
	volatile char frame[140 * 1024];
	frame[far_end] = 1;
	return frame[far_end] ? arg : NULL;
}

/* Small frames, and a yield in each: what first reaches the guard is the switch, not the task. */
static int dig(int depth)
{
	volatile int here = depth;
	shunt_yield();
	return here ? dig(depth - 1) + here : 0;
}

static void *overflow_in_a_switch(void *arg)
{
	(void)arg;
	return (void *)(intptr_t)dig(1000000);
}

static void *yield_for_ever(void *arg)
{
	for (;;)
		shunt_yield();
	return arg;
}

static void *overflow_beside_others(void *arg)
{
	const struct shunt_attr digs = {.name = "digs"}, idles = {.name = "idles"};
	shunt_spawn(NULL, overflow_in_a_switch, NULL, &digs);
	return shunt_spawn(NULL, yield_for_ever, NULL, &idles) ? NULL : yield_for_ever(arg);
}

static void *overflow_under_a_long_name(void *arg)
{
	char name[2000];
	struct shunt_attr attr = {.name = name};
	struct shunt_handle task;
	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	shunt_spawn(&task, overflow, NULL, &attr);
	shunt_join(task, NULL);
	return arg;
}

/* Runs `root` in a process of its own, which must end with status 3; what it said, in text. */
static size_t last_words_of(const char *spec, shunt_task_fn *root, char *text, size_t room)
{
	int pipe_fd[2], status;
	assert_int_equal(pipe(pipe_fd), 0);
	pid_t child = fork();
	if (child == 0) {
		dup2(pipe_fd[1], STDERR_FILENO);
		run_on(spec, root, NULL);
		_exit(0);
	}
	close(pipe_fd[1]);
	/* The message comes in more than one write. */
	size_t have = 0;
	for (ssize_t n; (n = read(pipe_fd[0], text + have, room - 1 - have)) > 0;)
		have += (size_t)n;
	text[have] = '\0';
	close(pipe_fd[0]);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 3);
	return have;
}

static void an_overflow_names_the_task(void **state)
{
	(void)state;
	char text[4096];
	last_words_of("ucontext:stack.size=32k", overflow, text, sizeof(text));
	assert_non_null(strstr(text, "stack overflow in task 0 ('root')"));
	assert_non_null(strstr(text, "32768 bytes"));
	assert_non_null(strstr(text, "stack.size=128k"));
	/* A name that does not fit is cut short, and nothing beyond it is printed. */
	size_t have = last_words_of("ucontext:stack.size=32k", overflow_under_a_long_name, text,
		sizeof(text));
	assert_non_null(strstr(text, "stack overflow in task 1 ('nnn"));
	assert_int_equal(strlen(text), have);
	assert_true(have < 512);
	last_words_of("threads:stack.size=256k", overflow, text, sizeof(text));
	assert_non_null(strstr(text, "stack overflow in task 0 ('root')"));
	assert_non_null(strstr(text, "threads:stack.size=1024k"));
	/* Also where the next task is the running one already. */
	static const char *const specs[] = {"asm:stack.size=32k", "asm:stack.size=32k,mt=1",
		"asm:stack.size=32k,policy=steal,workers=2", "ucontext:stack.size=32k"};
	for (size_t i = 0; i < sizeof(specs) / sizeof(specs[0]); i++) {
		last_words_of(specs[i], overflow_beside_others, text, sizeof(text));
		assert_non_null(strstr(text, "('digs')"));
	}
}

static void a_frame_larger_than_the_guard_meets_it(void **state)
{
	(void)state;
	char text[4096];
#ifdef __riscv /* no workload has such a frame there: hardened.py */
	skip();
#endif
	static const char *const specs[] = {"ucontext:stack.size=64k", "asm:stack.size=64k",
		"threads:stack.size=128k"};
	for (size_t i = 0; i < sizeof(specs) / sizeof(specs[0]); i++) {
		last_words_of(specs[i], overflow_by_one_frame, text, sizeof(text));
		assert_non_null(strstr(text, "stack overflow in task 0 ('root')"));
	}
}

static void the_end_of_a_thread_names_the_task(void **state)
{
	(void)state;
	char text[4096];
	static const char *const specs[] = {"ucontext", "asm", "asm:workers=2,policy=steal",
		"threads"};
	for (size_t i = 0; i < sizeof(specs) / sizeof(specs[0]); i++) {
		last_words_of(specs[i], spawn_a_quitter, text, sizeof(text));
		assert_non_null(strstr(text, "task 1 ('quitter') has ended the thread"));
		assert_non_null(strstr(text, "pthread_exit"));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_overflow_names_the_task),
		cmocka_unit_test(a_frame_larger_than_the_guard_meets_it),
		cmocka_unit_test(the_end_of_a_thread_names_the_task),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
#endif
