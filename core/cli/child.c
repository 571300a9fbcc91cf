/* SPDX-License-Identifier: MIT */
/*
 * The child process and its pipe.
 *
 * It leads a process group of its own, so that it can be ended with all it started; should shunt be
 * killed, the kernel kills it too. Its standard output is a pipe, its standard error ours. The end
 * of the process counts as the end of the pipe, which a grandchild may hold open.
 */
#include "core/cli/child.h"

#include "core/cli/cli.h"
#include "core/measure/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* From the end of its output to its own end. */
#define PATIENCE_NS UINT64_C(5000000000)

void cli_child_init(struct cli_child *child)
{
	*child = (struct cli_child){.ended = -1, .out = -1};
}

/* ---- its beginning --------------------------------------------------------------------------- */

/* In the child. Tells `failed` the errno of an exec that did not happen. */
_Noreturn static void become(const char *const *command, pid_t parent, int in, int out, int failed)
{
	sigset_t none;

	sigemptyset(&none);
	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	signal(SIGPIPE, SIG_DFL);
	signal(SIGXFSZ, SIG_DFL);
	pthread_sigmask(SIG_SETMASK, &none, NULL);
	if (getppid() == parent && dup2(in, 0) == 0 && dup2(out, 1) == 1)
		execvp(command[0], (char *const *)(uintptr_t)command);
	int why = errno;

	(void)!write(failed, &why, sizeof(why));
	_exit(127);
}

static int spawn(struct cli_child *child, const char *const *command, int in, int out,
	struct shunt_error *err)
{
	pid_t parent = getpid();
	int failed[2], why = 0;

	if (pipe2(failed, O_CLOEXEC))
		return shunt_fail(err, -errno, "pipe2: %s", strerror(errno));
	cli_export_self(true);
	pid_t pid = fork();

	if (pid == 0)
		become(command, parent, in, out, failed[1]);
	if (pid < 0)
		why = errno;
	close(failed[1]);
	if (pid > 0) {
		setpgid(pid, pid); /* whichever of the two is first */
		/* Release pairs with the acquire in cli_child_kill [child:pid]. */
		atomic_store_explicit(&child->pid, pid, memory_order_release);
		child->ended = (int)syscall(SYS_pidfd_open, pid, 0);
		while (read(failed[0], &why, sizeof(why)) < 0 && errno == EINTR)
			;
	}
	close(failed[0]);
	return why ? shunt_fail(err, -ECHILD, "%s cannot be started: %s", command[0], strerror(why))
		   : 0;
}

int cli_child_start(struct cli_child *child, const char *const *command, const char *question,
	struct shunt_error *err)
{
	int to[2], from[2];

	child->buffer = malloc(CLI_LINE_MOST);
	if (!child->buffer)
		return shunt_fail(err, -ENOMEM, "no memory for the program's lines");
	if (pipe2(to, O_CLOEXEC))
		return shunt_fail(err, -errno, "pipe2: %s", strerror(errno));
	if (pipe2(from, O_CLOEXEC)) {
		close(to[0]), close(to[1]);
		return shunt_fail(err, -errno, "pipe2: %s", strerror(errno));
	}
	int rc = spawn(child, command, to[0], from[1], err);

	close(to[0]), close(from[1]);
	child->out = from[0];
	/* A program that does not read it is judged by what it says. */
	if (rc == 0)
		dprintf(to[1], "%s\n", question);
	close(to[1]);
	return rc;
}

/* ---- its end --------------------------------------------------------------------------------- */

void cli_child_kill(struct cli_child *child)
{
	/* Acquire pairs with the release in spawn [child:pid]. */
	pid_t pid = atomic_load_explicit(&child->pid, memory_order_acquire);

	if (pid)
		kill(-pid, SIGKILL);
}

/* How it ended, in words: 0, or a negative errno with err. */
static int judge_end(int status, bool impatient, struct shunt_error *err)
{
	if (impatient)
		return shunt_fail(err, -EIO, "closed its output and was still there %d s later",
			(int)(PATIENCE_NS / 1000000000));
	if (WIFSIGNALED(status))
		return shunt_fail(err, -EIO, "was killed by SIG%s", sigabbrev_np(WTERMSIG(status)));
	return WEXITSTATUS(status)
		       ? shunt_fail(err, -EIO, "ended with status %d", WEXITSTATUS(status))
		       : 0;
}

/* Has it ended? It stays a zombie, so that its number is not given to another. */
static bool has_ended(pid_t pid)
{
	siginfo_t info = {.si_pid = 0};

	return waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) || info.si_pid == pid;
}

int cli_child_reap(struct cli_child *child, struct shunt_error *err)
{
	/* Relaxed: this thread wrote it. */
	pid_t pid = atomic_load_explicit(&child->pid, memory_order_relaxed);
	uint64_t until_ns = shunt_clock_monotonic_ns() + PATIENCE_NS;
	bool ended;
	int status = 0;

	while (!(ended = has_ended(pid)) && shunt_clock_monotonic_ns() < until_ns)
		usleep(1000);
	cli_child_kill(child);
	/* Release as in spawn [child:pid]: the number is free from here on. */
	atomic_store_explicit(&child->pid, 0, memory_order_release);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return judge_end(status, !ended, err);
}

void cli_child_fini(struct cli_child *child)
{
	cli_child_kill(child);
	if (atomic_load_explicit(&child->pid, memory_order_relaxed)) /* relaxed: as in reap */
		cli_child_reap(child, NULL);
	if (child->out >= 0)
		close(child->out);
	if (child->ended >= 0)
		close(child->ended);
	free(child->buffer);
}

/* ---- its lines ------------------------------------------------------------------------------- */

/* More bytes; 0: there will be none. */
static ssize_t fill(struct cli_child *child)
{
	struct pollfd fds[2] = {{.fd = child->out, .events = POLLIN},
		{.fd = child->ended, .events = POLLIN}};
	ssize_t got;

	memmove(child->buffer, child->buffer + child->taken, child->have - child->taken);
	child->have -= child->taken;
	child->taken = 0;
	if (child->have == CLI_LINE_MOST)
		return -EMSGSIZE;
	do {
		while (poll(fds, 2, -1) < 0 && errno == EINTR)
			;
		if (!fds[0].revents)
			return 0;
		got = read(child->out, child->buffer + child->have, CLI_LINE_MOST - child->have);
	} while (got < 0 && errno == EINTR);
	if (got > 0)
		child->have += (size_t)got;
	return got < 0 ? -errno : got;
}

const char *cli_child_line(struct cli_child *child, size_t *length, int *rc)
{
	for (;;) {
		char *line = child->buffer + child->taken;
		char *end = memchr(line, '\n', child->have - child->taken);

		if (end) {
			*length = (size_t)(end - line);
			child->taken += *length + 1;
			child->line++;
			return line;
		}
		ssize_t got = fill(child);

		if (got > 0)
			continue;
		*rc = (int)got;
		return NULL;
	}
}

bool cli_child_has_rest(const struct cli_child *child)
{
	return child->have > child->taken;
}
