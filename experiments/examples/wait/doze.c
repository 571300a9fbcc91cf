/* SPDX-License-Identifier: MIT */
/*
 * doze: an idle worker sleeps for 50 us at a time and looks between two sleeps.
 *
 * A wake costs its maker one store and no system call. What that costs the sleeper is up to a whole
 * nap of lateness, and a wake-up of the kernel's every 50 us.
 */
#include "core/engine/slots.h"
#include "core/plugin.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#define NAP_NS 50000

struct doze {
	_Atomic int notified;    /* any thread; taken by commit() */
	_Atomic uint64_t sleeps; /* written by the worker alone */
};

static int64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static int doze_start(void *wait, unsigned worker_index, void *arg, void **slot,
	struct shunt_error *err)
{
	struct doze *doze = calloc(1, sizeof(*doze));

	(void)wait, (void)worker_index, (void)arg;
	if (!doze)
		return shunt_fail(err, -ENOMEM, "out of memory");
	*slot = doze;
	return 0;
}

static int doze_commit(void *slot, int64_t deadline_ns)
{
	struct doze *doze = slot;

	while (!atomic_exchange(&doze->notified, 0)) {
		int64_t left_ns = deadline_ns == SHUNT_NEVER ? NAP_NS : deadline_ns - now_ns();
		struct timespec nap = {0, left_ns < NAP_NS ? left_ns : NAP_NS};

		if (left_ns <= 0)
			break;
		nanosleep(&nap, NULL);
		atomic_fetch_add(&doze->sleeps, 1);
	}
	return 0;
}

static void doze_wake(void *target, void *from)
{
	struct doze *doze = target;

	(void)from;
	atomic_store(&doze->notified, 1);
}

static uint64_t doze_syscalls(const void *slot)
{
	const struct doze *doze = slot;

	return atomic_load(&doze->sleeps);
}

const struct shunt_wait shunt_wait_doze = {
	.name = "doze",
	.summary = "sleeps for 50 us at a time; no system call to wake it",
	.start = doze_start,
	.stop = free,
	.commit = doze_commit,
	.wake = doze_wake,
	.syscalls = doze_syscalls,
};

SHUNT_PLUGIN(doze, SHUNT_PLUGIN_HAS(wait, doze));
