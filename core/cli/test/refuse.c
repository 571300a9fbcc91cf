/* SPDX-License-Identifier: MIT */
/*
 * refuse CALL ERROR PROGRAM [ARGUMENT ...]: runs the program with one system call refused, as a
 * container's seccomp filter does. `refuse --list` prints the calls, one a line.
 *
 * Not refused are the calls without which no program starts or ends (execve, mmap, exit_group). The
 * filter is in place before the program starts, so the loader and the C library meet it too.
 */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

struct named {
	const char *name;
	unsigned number;
};

#define CALL(NAME)                                                                                 \
	{                                                                                          \
#NAME, SYS_##NAME                                                                  \
	}
static const struct named calls[] = {
	/* time */
	CALL(clock_gettime),
	CALL(clock_nanosleep),
	CALL(nanosleep),
	CALL(timer_create),
	CALL(timer_settime),
	CALL(timer_delete),
	CALL(timerfd_create),
	CALL(timerfd_settime),
	/* waiting */
	CALL(futex),
	CALL(ppoll),
	CALL(epoll_create1),
	CALL(epoll_ctl),
	CALL(epoll_pwait),
	CALL(epoll_pwait2),
	CALL(eventfd2),
	CALL(pipe2),
	CALL(signalfd4),
	CALL(io_uring_setup),
	CALL(io_uring_enter),
	CALL(io_uring_register),
#ifdef SYS_poll
	CALL(poll),
	CALL(epoll_wait),
#endif
	/* CPUs and threads */
	CALL(sched_getaffinity),
	CALL(sched_setaffinity),
	CALL(sched_yield),
	CALL(membarrier),
	CALL(clone3),
	CALL(clone),
	CALL(getcpu),
	CALL(sched_getscheduler),
	CALL(prctl),
	/* signals */
	CALL(rt_sigprocmask),
	CALL(rt_sigaction),
	CALL(sigaltstack),
	CALL(tgkill),
	/* memory */
	CALL(madvise),
	CALL(mprotect),
	CALL(munmap),
	CALL(mremap),
	CALL(brk),
	/* files and the machine */
	CALL(openat),
	CALL(read),
	CALL(write),
	CALL(close),
	CALL(getdents64),
	CALL(readlinkat),
	CALL(fsync),
	CALL(fallocate),
	CALL(renameat2),
	CALL(getrandom),
	CALL(getrusage),
	CALL(prlimit64),
	CALL(sysinfo),
	CALL(uname),
	CALL(getpid),
	CALL(gettid),
	CALL(ioctl),
	CALL(fcntl),
	CALL(dup),
};
static const struct named errors[] = {{"EPERM", EPERM}, {"ENOSYS", ENOSYS}, {"EINVAL", EINVAL}};
#define COUNT(LIST) (sizeof(LIST) / sizeof((LIST)[0]))

static const struct named *find(const struct named *list, size_t count, const char *name)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(list[i].name, name) == 0)
			return &list[i];
	fprintf(stderr, "refuse: '%s' is not in the list\n", name);
	return NULL;
}

static int forbid(unsigned call, unsigned error)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {.len = COUNT(code), .filter = code};

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return -1;
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

int main(int argc, char **argv)
{
	if (argc == 2 && strcmp(argv[1], "--list") == 0) {
		for (size_t i = 0; i < COUNT(calls); i++)
			puts(calls[i].name);
		return 0;
	}
	if (argc < 4) {
		fputs("refuse CALL ERROR PROGRAM [ARGUMENT ...]\n", stderr);
		return 125;
	}
	const struct named *call = find(calls, COUNT(calls), argv[1]);
	const struct named *error = find(errors, COUNT(errors), argv[2]);

	if (!call || !error)
		return 125;
	if (forbid(call->number, error->number)) {
		perror("refuse: seccomp");
		return 77;
	}
	execv(argv[3], argv + 3);
	perror(argv[3]);
	return 126;
}
