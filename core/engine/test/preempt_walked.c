/* SPDX-License-Identifier: MIT */
/* The program that preempt_walk.py looks at in a debugger: a task that a signal preempts, three
 * calls deep. Exit status 77: signals cannot preempt here, with the reason. */
#include "core/backend.h"

#include <errno.h>
#include <stdio.h>

#define PATIENCE_NS INT64_C(20000000000)

static int other_ran;
static volatile uint64_t sink;

static SHUNT_PREEMPTIBLE uint64_t computes(uint64_t x)
{
	for (int i = 0; i < 1000000; i++)
		x = x * 3 + 1;
	sink = x;
	return x;
}

static __attribute__((noinline)) uint64_t middle(uint64_t x)
{
	return computes(x) + 1;
}

static __attribute__((noinline)) uint64_t outer(uint64_t x)
{
	return middle(x) + 1;
}

static void *other(void *arg)
{
	/* Relaxed: only that it ran. */
	__atomic_store_n(&other_ran, 1, __ATOMIC_RELAXED);
	return arg;
}

static void *root(void *arg)
{
	int64_t until = shunt_now_ns() + PATIENCE_NS;
	uint64_t x = 1;
	if (shunt_spawn(NULL, other, NULL, NULL))
		return arg;
	/* Relaxed: only whether it ran. */
	while (!__atomic_load_n(&other_ran, __ATOMIC_RELAXED) && shunt_now_ns() < until)
		x = outer(x);
	return arg;
}

int main(void)
{
	struct shunt_error err = {""};
	struct shunt_sched *sched;
	int rc = shunt_open(&sched, "asm:preempt=signal,quantum=100us", NULL, &err);
	if (!rc) {
		rc = shunt_run(sched, root, NULL, NULL, &err);
		shunt_close(sched);
	}
	if (rc)
		printf("%s\n", err.text);
	if (rc == -ENOTSUP || rc == -ENOENT || rc == -ENOSYS)
		return 77;
	return rc || !__atomic_load_n(&other_ran, __ATOMIC_RELAXED); /* Relaxed: all have ended. */
}
