/* SPDX-License-Identifier: MIT */
/*
 * threads: every task is a kernel thread; the kernel is the scheduler.
 *
 * What one would write without a user-level scheduler, under the same task API: the other end of
 * every comparison. A task that waits sleeps on its own futex word, with an absolute deadline on
 * CLOCK_MONOTONIC; whoever claims it (core/task.h) posts that word. Tasks run truly in parallel,
 * on any CPU, and there is no order among them but what they agree on.
 *
 * threads/wait.c is how a task waits, threads/life.c how its thread begins and ends,
 * threads/active.c how a deadlock is noticed, threads/overflow.c how a stack that is too small is,
 * threads/io.c how it reads and writes, threads/limit.c how many threads the machine gives.
 *
 * What it does not do: traces (the kernel has better ones: perf sched), direct transfer.
 */
#include "backends/threads/threads.h"

#include "core/spec.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- a run ----------------------------------------------------------------------------------- */

static int threads_run(struct shunt_sched *sched, shunt_task_fn *fn, void *arg, void **result,
	struct shunt_error *err)
{
	struct threads *threads = (struct threads *)sched;
	struct shunt_root root = {fn, arg, NULL};
	if (threads->failure)
		return shunt_fail(err, -EBUSY, "an earlier run of this scheduler failed");
	threads->err = err;
	shunt_fatal_handle(true);
	shunt_threads_io_handle(true);
	int rc = shunt_threads_start(threads, NULL, shunt_root_main, &root, &shunt_root_attr,
		SHUNT_THREADS_ROOT, false);
	if (rc)
		shunt_fail(err, rc, "the kernel refused a thread for the root task: %s",
			strerror(-rc));
	pthread_mutex_lock(&threads->lock);
	while (threads->task_count || (threads->holds && !threads->failure))
		pthread_cond_wait(&threads->changed, &threads->lock);
	threads->next_id = 1;
	rc = rc ? rc : threads->failure;
	pthread_mutex_unlock(&threads->lock);
	shunt_threads_io_handle(false);
	shunt_fatal_handle(false);
	if (!rc && result)
		*result = root.result;
	return rc;
}

/* ---- from outside ---------------------------------------------------------------------------- */

static int threads_spawn_outside(struct shunt_sched *sched, struct shunt_handle *handle,
	shunt_task_fn *fn, void *arg, const struct shunt_attr *attr)
{
	return shunt_threads_start((struct threads *)sched, handle, fn, arg, attr,
		SHUNT_THREADS_OUTSIDE, false);
}

static void threads_hold(struct shunt_sched *sched, int delta)
{
	struct threads *threads = (struct threads *)sched;
	pthread_mutex_lock(&threads->lock);
	threads->holds += delta;
	if (delta > 0)
		shunt_threads_count_in(threads);
	else
		shunt_threads_count_out(threads, true);
	if (threads->holds == 0)
		pthread_cond_broadcast(&threads->changed);
	pthread_mutex_unlock(&threads->lock);
}

/* ---- the backend ----------------------------------------------------------------------------- */

/* The engine's default, where the C library takes it. */
#ifdef __aarch64__
#define STACK_SIZE "128k"
#else
#define STACK_SIZE "64k"
#endif

static const struct shunt_param threads_params[] = {
	{.name = "stack.size",
		.type = SHUNT_PARAM_SIZE,
		.fallback = STACK_SIZE,
		.min = 16384,
		.max = INT64_C(1) << 30,
		.help = "bytes of a thread's stack, its thread-local data included (the kernel's "
			"usual default is 8M)"},
	{.name = "wait.slack",
		.type = SHUNT_PARAM_DURATION,
		.fallback = "1ns",
		.max = 1000000000,
		.help = "timer slack of every thread: how much later than asked the kernel may end "
			"a sleep, 50us unless set; the same as that of the workers it is compared "
			"with; 0: leave alone"},
	{.name = NULL},
};

/* How many CPUs there are for tasks; where the set of them can be read, tasks can be put on one. */
static void count_cpus(struct threads *threads)
{
	long online = sysconf(_SC_NPROCESSORS_ONLN);
	threads->sched.worker_count = online > 0 ? (unsigned)online : 1;
	if (shunt_cpus_allowed(&threads->cpus) == 0) {
		threads->sched.worker_count = shunt_cpus_count(&threads->cpus);
		threads->sched.caps |= SHUNT_PINS;
	}
}

static void threads_close(struct shunt_sched *sched)
{
	struct threads *threads = (struct threads *)sched;
	shunt_values_fini(&threads->values);
	shunt_descriptors_fini(&threads->descriptors);
	shunt_io_table_free(threads->io.table);
	shunt_threads_free_signal_stacks(threads);
	shunt_cpus_free(&threads->cpus);
	pthread_attr_destroy(&threads->attr);
	pthread_cond_destroy(&threads->changed);
	pthread_mutex_destroy(&threads->lock);
	free(threads);
}

static int threads_open(struct shunt_sched **sched, const struct shunt_backend *backend,
	const struct shunt_config *config, struct shunt_error *err)
{
	if (config->trace)
		return shunt_fail(err, -ENOTSUP,
			"backend '%s' keeps no trace, because the kernel "
			"schedules its tasks: use perf sched",
			backend->name);
	struct threads *threads = calloc(1, sizeof(*threads));
	if (!threads)
		return shunt_fail(err, -ENOMEM, "out of memory for the scheduler");
	threads->sched = (struct shunt_sched){.backend = backend,
		.many = true,
		.caps = SHUNT_CAN_BLOCK | SHUNT_TIMED | SHUNT_EXTERNAL_WAKE | SHUNT_PARALLEL |
			SHUNT_DEADLOCK | SHUNT_KERNEL_TASKS | SHUNT_CAN_IO | SHUNT_CAN_FILES};
	threads->io =
		(struct shunt_io_sched){.ops = &shunt_threads_io, .table = shunt_io_table_new()};
	threads->sched.io = &threads->io;
	count_cpus(threads);
	pthread_mutex_init(&threads->lock, NULL);
	pthread_cond_init(&threads->changed, NULL);
	pthread_attr_init(&threads->attr);
	shunt_descriptors_init(&threads->descriptors, &threads->sched, sizeof(struct thread_task));
	threads->delay = config->sched_delay;
	threads->delay_every = config->sched_delay_every ? config->sched_delay_every : 1;
	int rc = threads->io.table ? 0
				   : shunt_fail(err, -ENOMEM, "out of memory for the scheduler");
	if (!rc)
		rc = shunt_config_values(&threads->values, threads_params, config, err);
	if (!rc && (rc = -shunt_threads_set_attributes(threads, &threads->attr)))
		shunt_fail(err, rc, "stack.size=%lld: the C library refuses it: %s",
			(long long)shunt_value_int(&threads->values, "stack.size"), strerror(-rc));
	if (rc) {
		threads_close(&threads->sched);
		return rc;
	}
	threads->next_id = 1;
	threads->slack_ns = shunt_value_int(&threads->values, "wait.slack");
	*sched = &threads->sched;
	return 0;
}

static void threads_counters(const struct shunt_sched *sched, shunt_counter_fn *counter, void *sink)
{
	const struct threads *threads = (const struct threads *)sched;
	const struct shunt_ctx *total = &threads->total;
	const struct thread_counts *sum = &threads->total_count;
	/* Relaxed: read after the run [threads:outside]. */
	uint64_t outside = atomic_load_explicit(&threads->outside_wakes, memory_order_relaxed);
	counter(sink, "spawns", sum->spawned);
	counter(sink, "ended", sum->ended);
	counter(sink, "blocked", sum->blocked);
	counter(sink, "yields", total->count.yields);
	counter(sink, "wakes", total->count.wakes + outside);
	counter(sink, "wakes_stale", total->count.wakes_stale);
	counter(sink, "permits", total->count.permits);
	counter(sink, "parks", total->count.parks);
	counter(sink, "sleeps", total->count.sleeps);
	counter(sink, "sync_waits", total->count.blocks);
	counter(sink, "joins_waited", total->count.joins);
	counter(sink, "transfers_plain", total->count.transfers_plain);
	counter(sink, "timers_armed", sum->timers_armed);
	counter(sink, "timers_fired", sum->timers_fired);
	counter(sink, "wait_syscalls", sum->futex_calls);
	if (sum->io_operations) {
		counter(sink, "io_operations", sum->io_operations);
		counter(sink, "io_syscalls", sum->io_calls);
	}
}

static void threads_composition(const struct shunt_sched *sched,
	void (*setting)(void *sink, const char *key, const char *value), void *sink)
{
	const struct threads *threads = (const struct threads *)sched;
	for (size_t i = 0; threads_params[i].name; i++) {
		char text[64];
		setting(sink, threads_params[i].name,
			shunt_value_format(&threads_params[i], &threads->values.value[i], text,
				sizeof(text)));
	}
}

const struct shunt_backend shunt_backend_threads = {
	.name = "threads",
	.summary = "one kernel thread per task: what programs use without a user-level scheduler",
	.params = threads_params,
	.open = threads_open,
	.run = threads_run,
	.close = threads_close,
	.wake = shunt_threads_wake,
	.spawn = threads_spawn_outside,
	.hold = threads_hold,
	.counters = threads_counters,
	.composition = threads_composition,
	.task_limit = shunt_threads_task_limit,
};
