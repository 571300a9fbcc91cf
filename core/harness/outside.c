/* SPDX-License-Identifier: MIT */
/*
 * One kernel thread beside the scheduler, for workloads whose work comes from outside.
 *
 * It stands for the clients of a service: it is no worker, reaches the scheduler by the external
 * path alone, and holds it (backend.h) so that idle workers wait for it instead of reporting a
 * deadlock. It is bound to the last CPU that the process may use, and waits by reading the clock,
 * because a sleep that ends some tens of microseconds late would be measured as latency. With one
 * CPU it sleeps, with the least slack that the kernel grants, and leaves the CPU to the workers.
 *
 * A thread that computes while it waits and workers on one CPU would measure the kernel's
 * scheduler. So, where the workers are fewer than the CPUs, the process gives up that CPU for the
 * run before the scheduler is opened, and the thread takes it. Where they are not, the two share
 * it.
 */
#include "core/harness/run.h"

#include <pthread.h>
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

/* Binds the calling thread to the CPU set apart, or to the last of the process; returns it, -1 if
 * it cannot be. The worker that started the thread may be bound itself, and has left it its own
 * CPU. */
static int bind(const struct shunt_run *run)
{
	const struct shunt_cpus *cpus = &run->cpus_before;
	int cpu = run->outside_cpu >= 0 ? run->outside_cpu : shunt_cpus_last(cpus);
	struct shunt_cpus one;

	may_spin = shunt_cpus_count(cpus) > 1;
	if (cpu < 0 || shunt_cpus_copy(&one, cpus))
		return -1;
	shunt_cpus_keep_only(&one, cpu);
	int rc = shunt_cpus_bind(&one);

	shunt_cpus_free(&one);
	return rc ? -1 : cpu;
}

/* ---- a CPU of its own ------------------------------------------------------------------------ */

void shunt_outside_wanted(struct shunt_run *run)
{
	run->outside_wanted = true;
}

/* Does the scheduler open with as few workers as the calling thread has CPUs? */
static bool scheduler_fits(const struct shunt_run *run, unsigned cpus)
{
	const struct shunt_config config = {.seed = run->request->seed};
	struct shunt_sched *sched;
	struct shunt_error err;

	if (shunt_spec_open(&sched, &run->spec, &config, &err))
		return false;
	bool fits = sched->worker_count <= cpus;

	shunt_close(sched);
	return fits;
}

bool shunt_outside_set_apart(struct shunt_run *run)
{
	struct shunt_cpus rest;
	int cpu = shunt_cpus_last(&run->cpus_before);

	if (shunt_cpus_count(&run->cpus_before) < 2 || shunt_cpus_copy(&rest, &run->cpus_before))
		return false;
	CPU_CLR_S(cpu, rest.bytes, rest.set);
	if (shunt_cpus_bind(&rest) == 0)
		run->outside_cpu = cpu;
	shunt_cpus_free(&rest);
	if (run->outside_cpu < 0)
		return false;
	if (scheduler_fits(run, shunt_cpus_count(&run->cpus_before) - 1))
		return true;
	shunt_outside_give_back(run);
	return false;
}

void shunt_outside_give_back(struct shunt_run *run)
{
	if (run->outside_cpu >= 0)
		shunt_cpus_bind(&run->cpus_before);
	run->outside_cpu = -1;
}

/* ---- the thread ------------------------------------------------------------------------------ */

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
	int cpu = bind(outside->run);

	prctl(PR_SET_TIMERSLACK, 1UL, 0, 0, 0);
	if (cpu >= 0)
		snprintf(text, sizeof(text), "%d", cpu);
	shunt_run_fact(outside->run, "outside.cpu", text);
	shunt_run_fact(outside->run, "outside.apart", outside->run->outside_cpu < 0 ? "no" : "yes");
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

/* Above the workers, if they run by real-time priority. */
static int outrank(pthread_attr_t *attr, bool apart)
{
	struct sched_param priority;
	/* Of the kernel: the C library may remember what was before it was changed from outside. */
	int policy = sched_getscheduler(0) & ~SCHED_RESET_ON_FORK;

	if ((policy != SCHED_FIFO && policy != SCHED_RR) || sched_getparam(0, &priority))
		return 0;
	if (priority.sched_priority < sched_get_priority_max(policy))
		priority.sched_priority++;
	else if (!apart)
		return -EDEADLK;
	int rc = pthread_attr_setinheritsched(attr, PTHREAD_EXPLICIT_SCHED);

	rc = rc ? rc : pthread_attr_setschedpolicy(attr, policy);
	return rc ? -rc : -pthread_attr_setschedparam(attr, &priority);
}

static int create(struct shunt_outside *outside)
{
	pthread_attr_t attr;
	int rc = -pthread_attr_init(&attr);

	if (rc)
		return rc;
	rc = outrank(&attr, outside->run->outside_cpu >= 0);
	if (!rc)
		rc = -pthread_create(&outside->thread, &attr, outside_main, outside);
	pthread_attr_destroy(&attr);
	return rc;
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
	int rc = create(outside);

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
