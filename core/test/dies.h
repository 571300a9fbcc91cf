/* SPDX-License-Identifier: MIT */
/* A test's code that should end the process, in a process of its own; and what it says before. */
#ifndef SHUNT_CORE_TEST_DIES_H
#define SHUNT_CORE_TEST_DIES_H

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/* Fails unless fn(arg) aborts and says both texts on standard error. */
static inline void dies_saying(void (*fn)(const void *arg), const void *arg, const char *one,
	const char *other)
{
	char text[4096];
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
		fn(arg);
		_exit(0);
	}
	close(ends[1]);
	size_t used = 0;
	ssize_t got;
	while (used + 1 < sizeof(text) &&
		(got = read(ends[0], text + used, sizeof(text) - used - 1)) > 0)
		used += (size_t)got;
	text[used] = '\0';
	close(ends[0]);
	assert_int_equal(waitpid(child, &status, 0), child);
	if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGABRT)
		fail_msg("'%s' is not noticed: status %#x, said '%s'", one, (unsigned)status, text);
	if (!strstr(text, one) || !strstr(text, other))
		fail_msg("neither '%s' nor '%s' may be missing in '%s'", one, other, text);
}

#endif
