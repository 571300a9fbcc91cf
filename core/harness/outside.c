/* SPDX-License-Identifier: MIT */
/*
 * One kernel thread beside the scheduler, for workloads whose work comes from outside.
 *
 * It stands for the clients of a service: it is no worker, reaches the scheduler by the external
 * path alone, and holds it (backend.h) so that idle workers wait for it instead of reporting a
 * deadlock. It is bound to the last CPU that the process may use, and waits by reading the clock,
 * because a sleep that ends some tens of microseconds late would be measured as latency. With one
 * CPU it sleeps, with the least slack that the kernel grants, and leaves the CPU to the workers.
 */
#include "core/harness/run.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>

/* The last part of a wait, which is computed through: more than a sleep's usual lateness. */
#define AWAKE_NS 200000

struct shunt_outside {
	struct shunt_run *run;
	void (*fn)(struct shunt_run *run, void *arg);
	void *arg;
	pthread_t thread;
	uint64_t cpu_ns; /* written by the thread, read after its end */
};

/* Set in that thread: the process may use other CPUs besides. */
static __thread bool may_spin;

/* Binds the calling thread to the last CPU of its set; returns it, -1 if it cannot be. */
static int bind_last(void)
{
	cpu_set_t set, last;
	int cpu = CPU_SETSIZE - 1;

	if (sched_getaffinity(0, sizeof(set), &set))
		return -1;
	may_spin = CPU_COUNT(&set) > 1;
	while (cpu >= 0 && !CPU_ISSET(cpu, &set))
		cpu--;
	if (cpu < 0)
		return -1;
	CPU_ZERO(&last);
	CPU_SET(cpu, &last);
	return sched_setaffinity(0, sizeof(last), &last) ? -1 : cpu;
}

static uint64_t thread_cpu_ns(void)
{
	struct timespec used;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
	return (uint64_t)used.tv_sec * 1000000000u + (uint64_t)used.tv_nsec;
}

static void *outside_main(void *arg)
{
	struct shunt_outside *outside = arg;
	char text[16] = "none";
	int cpu = bind_last();

	prctl(PR_SET_TIMERSLACK, 1UL, 0, 0, 0);
	if (cpu >= 0)
		snprintf(text, sizeof(text), "%d", cpu);
	shunt_run_fact(outside->run, "outside.cpu", text);
	outside->fn(outside->run, outside->arg);
	outside->cpu_ns = thread_cpu_ns();
	return NULL;
}

void shunt_outside_wait_until(int64_t deadline_ns)
{
	int64_t early = may_spin ? AWAKE_NS : 0;
	int64_t sleep_until = deadline_ns - early;
	const struct timespec at = {.tv_sec = sleep_until / 1000000000,
		.tv_nsec = sleep_until % 1000000000};

	if (sleep_until > (int64_t)shunt_clock_monotonic_ns())
		while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) == EINTR)
			;
	while ((int64_t)shunt_clock_monotonic_ns() < deadline_ns)
		;
}

int shunt_outside_spawn(struct shunt_run *run, struct shunt_handle *handle, shunt_task_fn *fn,
	void *arg, const struct shunt_attr *attr)
{
	return shunt_spawn_external(run->sched, handle, fn, arg, attr);
}

int shunt_outside_start(struct shunt_run *run, void (*fn)(struct shunt_run *run, void *arg),
	void *arg)
{
	struct shunt_outside *outside;

	if (!(run->sched->caps & SHUNT_EXTERNAL_WAKE))
		return -ENOTSUP;
	if (run->outside)
		return -EBUSY;
	outside = calloc(1, sizeof(*outside));
	if (!outside)
		return -ENOMEM;
	*outside = (struct shunt_outside){.run = run, .fn = fn, .arg = arg};
	shunt_hold(run->sched);
	int rc = -pthread_create(&outside->thread, NULL, outside_main, outside);

	if (rc) {
		shunt_release(run->sched);
		free(outside);
		return rc;
	}
	run->outside = outside;
	return 0;
}

uint64_t shunt_outside_join(struct shunt_run *run)
{
	struct shunt_outside *outside = run->outside;
	uint64_t cpu_ns;

	if (!outside)
		return 0;
	pthread_join(outside->thread, NULL);
	cpu_ns = outside->cpu_ns;
	shunt_release(run->sched);
	run->outside = NULL;
	free(outside);
	return cpu_ns;
}
