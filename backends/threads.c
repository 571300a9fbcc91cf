/* SPDX-License-Identifier: MIT */
/*
 * threads: every task is a kernel thread; the kernel is the scheduler.
 *
 * What one would write without a user-level scheduler, under the same task API: the other end of
 * every comparison. A task that waits sleeps on its own futex word, with an absolute deadline on
 * CLOCK_MONOTONIC; whoever claims it (core/task.h) posts that word. Tasks run truly in parallel,
 * on any CPU, and there is no order among them but what they agree on.
 *
 *   block:  commit the wait -- claimed meanwhile: go on
 *           sleep until posted -- deadline: claim oneself; lost to a waker: sleep until its post
 *
 * One claim of a blocked task means exactly one post, so the word is 0 again after every wait.
 *
 * Deadlock: `active` counts tasks that run or will run by themselves (a deadline), and holds. A task
 * that blocks for ever leaves it, and its claimer, itself active, counts it in again before the
 * post; so it comes to zero only when nobody is left who could post. Then every thread is called
 * back to its first frame (longjmp) and ends, and the run reports who waited for what.
 *
 * "Worker n" is the n-th CPU that this process may use: a task put on it is a thread bound to it.
 *
 * What it does not do: traces (the kernel has better ones: perf sched), direct transfer.
 */
#include "backends/threads_limit.h"

#include "core/backend.h"
#include "core/descriptors.h"
#include "core/measure/hist.h"
#include "core/spec.h"

#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* A task and the word that its thread sleeps on. */
struct thread_task {
	struct shunt_task task;
	_Atomic uint32_t posted; /* [thread:posted] 1: claimed, go on */
	bool for_ever; /* its wait has no deadline; written before the commit, read after a claim */
	int64_t ready_ns; /* for sched_delay; 0: not sampled */
	unsigned worker;  /* as in its attributes */
};

struct thread_counts {
	uint64_t spawned, ended, blocked, timers_armed, timers_fired, futex_calls, sampled;
};

/* A thread, on its own stack. */
struct thread {
	struct shunt_ctx ctx;
	struct thread_counts count;
	jmp_buf out; /* first frame: for those that a deadlock ends */
};

struct threads {
	struct shunt_sched sched;
	struct shunt_values values;
	pthread_attr_t attr;
	cpu_set_t cpus; /* that this process may use */
	int64_t slack_ns;
	unsigned delay_every;
	struct shunt_hist *delay;       /* NULL: off */
	_Atomic int64_t active;         /* [threads:active] see the head comment */
	_Atomic uint32_t failed;        /* [threads:failed] a deadlock ends all threads */
	_Atomic uint64_t outside_wakes; /* [threads:outside] */

	pthread_mutex_t lock;   /* guards what follows */
	pthread_cond_t changed; /* task_count or holds fell to 0 */
	struct shunt_descriptors descriptors;
	struct shunt_ctx total; /* counts of threads that have ended */
	struct thread_counts total_count;
	uint64_t task_count, next_id;
	int64_t holds;
	struct shunt_error *err; /* of the run in progress */
	bool running;
	int failure;
};

static struct threads *threads_of(const struct shunt_ctx *ctx)
{
	return (struct threads *)ctx->sched;
}

static struct thread *thread_of(struct shunt_ctx *ctx)
{
	return (struct thread *)ctx;
}

static struct thread_task *of_task(struct shunt_task *task)
{
	return (struct thread_task *)task;
}

/* ---- sleeping and posting --------------------------------------------------------------------- */

static void post(struct thread_task *self)
{
	/* Release pairs with the acquire in is_posted [thread:posted]. */
	atomic_store_explicit(&self->posted, 1, memory_order_release);
	syscall(SYS_futex, &self->posted, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static bool is_posted(struct thread_task *self)
{
	/* Acquire pairs with the release in post [thread:posted]. */
	return atomic_load_explicit(&self->posted, memory_order_acquire);
}

/* Sleeps until posted or the deadline; may return early. True: the deadline has passed. */
static bool futex_sleep(struct thread_task *self, int64_t deadline_ns)
{
	struct timespec at = {.tv_sec = deadline_ns / 1000000000,
		.tv_nsec = deadline_ns % 1000000000};
	if (deadline_ns < 0)
		at = (struct timespec){0, 0};
	int before = errno; /* the task's own: a wait must not change it */
	long rc = syscall(SYS_futex, &self->posted, FUTEX_WAIT_BITSET_PRIVATE, 0,
		deadline_ns == SHUNT_FOREVER ? NULL : &at, NULL, FUTEX_BITSET_MATCH_ANY);
	bool late = rc < 0 && errno == ETIMEDOUT;
	errno = before;
	return late;
}

/* Ends this thread's task from inside a wait. */
static void leave_if_failed(struct shunt_ctx *ctx)
{
	/* Acquire pairs with the release in fail_run [threads:failed]. */
	if (atomic_load_explicit(&threads_of(ctx)->failed, memory_order_acquire))
		longjmp(thread_of(ctx)->out, 1);
}

static void sample_delay(struct threads *threads, struct thread_task *self)
{
	if (!self->ready_ns)
		return;
	int64_t delay = shunt_now_ns() - self->ready_ns;
	self->ready_ns = 0;
	pthread_mutex_lock(&threads->lock);
	shunt_hist_record(threads->delay, delay);
	pthread_mutex_unlock(&threads->lock);
}

/* ---- deadlock --------------------------------------------------------------------------------- */

static void visit_stuck(void *arg, struct shunt_task *task)
{
	shunt_stuck_add(arg, task);
}

static void visit_post(void *arg, struct shunt_task *task)
{
	(void)arg;
	post(of_task(task));
}

/* Context: lock held, active is 0. */
static void fail_run(struct threads *threads)
{
	struct shunt_stuck stuck = {.used = 0};
	shunt_descriptors_each(&threads->descriptors, visit_stuck, &stuck);
	threads->failure = shunt_stuck_fail(&stuck, threads->task_count, threads->err);
	/* Release pairs with the acquire in leave_if_failed [threads:failed]. */
	atomic_store_explicit(&threads->failed, 1, memory_order_release);
	shunt_descriptors_each(&threads->descriptors, visit_post, NULL);
}

static void count_in(struct threads *threads)
{
	/* Acquire-release pairs with itself [threads:active]: who brings it to zero sees all that the
	 * others did while they were counted. */
	atomic_fetch_add_explicit(&threads->active, 1, memory_order_acq_rel);
}

/* Context: lock held if `locked`. */
static void count_out(struct threads *threads, bool locked)
{
	/* Acquire-release: see count_in [threads:active]. */
	if (atomic_fetch_sub_explicit(&threads->active, 1, memory_order_acq_rel) != 1)
		return;
	if (!locked)
		pthread_mutex_lock(&threads->lock);
	/* Acquire: see count_in [threads:active]. A wake from outside may have come in between. */
	if (atomic_load_explicit(&threads->active, memory_order_acquire) == 0 &&
		threads->task_count && !threads->failure)
		fail_run(threads);
	if (!locked)
		pthread_mutex_unlock(&threads->lock);
}

/* ---- hooks ------------------------------------------------------------------------------------ */

static int threads_block(struct shunt_ctx *ctx, int64_t deadline_ns)
{
	struct threads *threads = threads_of(ctx);
	struct thread *thread = thread_of(ctx);
	struct thread_task *self = of_task(ctx->current);
	uint64_t ticket = shunt_word_load(&self->task, true) & SHUNT_WORD_TICKET;
	bool timed = deadline_ns != SHUNT_FOREVER;
	self->for_ever = !timed;
	thread->count.timers_armed += timed;
	if (shunt_task_commit(&self->task))
		return (int)(intptr_t)self->task.value;
	thread->count.blocked++;
	if (!timed)
		count_out(threads, false);
	while (!is_posted(self)) {
		leave_if_failed(ctx);
		thread->count.futex_calls++;
		if (!futex_sleep(self, deadline_ns))
			continue;
		if (shunt_task_claim(&self->task, ticket, -ETIMEDOUT, true) == SHUNT_CLAIM_MINE) {
			thread->count.timers_fired++;
			return -ETIMEDOUT;
		}
		deadline_ns = SHUNT_FOREVER; /* a waker has claimed it and will post */
	}
	leave_if_failed(ctx);
	/* Relaxed: one post a claim, and the next claim comes after the next commit. */
	atomic_store_explicit(&self->posted, 0, memory_order_relaxed);
	sample_delay(threads, self);
	return (int)(intptr_t)self->task.value;
}

static int threads_park(struct shunt_ctx *ctx, int64_t deadline_ns)
{
	if (!shunt_task_prepare_park(ctx->current, true))
		return 0;
	return threads_block(ctx, deadline_ns);
}

/* Context: any thread, also one without a context (then `thread` is NULL). */
static void make_ready(struct threads *threads, struct thread *thread, struct shunt_task *task)
{
	struct thread_task *target = of_task(task);
	if (target->for_ever)
		count_in(threads);
	if (threads->delay && thread && thread->count.sampled++ % threads->delay_every == 0)
		target->ready_ns = shunt_now_ns();
	if (thread)
		thread->count.futex_calls++;
	post(target);
}

static void threads_ready(struct shunt_ctx *ctx, struct shunt_task *task)
{
	make_ready(threads_of(ctx), thread_of(ctx), task);
}

static void threads_yield(struct shunt_ctx *ctx)
{
	ctx->count.yields++;
	sched_yield();
}

static void threads_release(struct shunt_ctx *ctx, struct shunt_task *task)
{
	struct threads *threads = threads_of(ctx);
	pthread_mutex_lock(&threads->lock);
	shunt_descriptor_give(&threads->descriptors, task);
	pthread_mutex_unlock(&threads->lock);
}

static int threads_spawn(struct shunt_ctx *ctx, struct shunt_handle *handle, shunt_task_fn *fn,
	void *arg, const struct shunt_attr *attr);

static const struct shunt_hooks threads_hooks = {
	.spawn = threads_spawn,
	.yield = threads_yield,
	.park = threads_park,
	.block = threads_block,
	.ready = threads_ready,
	.release = threads_release,
};

/* ---- a thread's life --------------------------------------------------------------------------- */

static void add_counts(struct threads *threads, const struct thread *thread)
{
	struct shunt_ctx *total = &threads->total;
	struct thread_counts *sum = &threads->total_count;
#define ADD(field) total->count.field += thread->ctx.count.field
	ADD(wakes), ADD(wakes_stale), ADD(permits), ADD(parks), ADD(sleeps), ADD(blocks);
	ADD(joins), ADD(yields), ADD(transfers_plain);
#undef ADD
#define ADD(field) sum->field += thread->count.field
	ADD(spawned), ADD(ended), ADD(blocked), ADD(timers_armed), ADD(timers_fired);
	ADD(futex_calls);
#undef ADD
}

/* The thread's last act; it may not touch the scheduler afterwards. */
static void thread_ends(struct threads *threads, const struct thread *thread)
{
	pthread_mutex_lock(&threads->lock);
	add_counts(threads, thread);
	threads->task_count--;
	if (!threads->failure)
		count_out(threads, true);
	if (threads->task_count == 0)
		pthread_cond_broadcast(&threads->changed);
	pthread_mutex_unlock(&threads->lock);
}

static void *thread_main(void *arg)
{
	struct thread_task *self = arg;
	struct shunt_task *task = &self->task;
	struct threads *threads = (struct threads *)task->sched;
	/* The threads of many tasks share an index, where an index is needed to spread something. */
	struct thread thread = {
		.ctx = {.hooks = &threads_hooks,
			.current = task,
			.sched = &threads->sched,
			.many = true,
			.index = self->worker
					 ? self->worker - 1
					 : (unsigned)(task->id % threads->sched.worker_count)}};
	if (threads->slack_ns)
		prctl(PR_SET_TIMERSLACK, (unsigned long)threads->slack_ns, 0, 0, 0);
	shunt_ctx_set(&thread.ctx);
	sample_delay(threads, self);
	if (setjmp(thread.out) == 0) {
		task->result = task->fn(task->arg);
		thread.count.ended++;
		shunt_task_end(&thread.ctx, task);
	}
	shunt_ctx_set(NULL);
	thread_ends(threads, &thread);
	return NULL;
}

struct root {
	shunt_task_fn *fn;
	void *arg, *result;
};

static void *root_main(void *arg)
{
	struct root *root = arg;
	root->result = root->fn(root->arg);
	return NULL;
}

/* Takes a descriptor for a task and counts it. The root is number 0 of every run, also when others
 * were there before it. Context: takes the lock. */
static int admit(struct threads *threads, bool root, struct shunt_task **task, uint64_t *id)
{
	pthread_mutex_lock(&threads->lock);
	int rc = threads->failure ? -ECANCELED : 0;
	if (!rc) {
		*task = shunt_descriptor_take(&threads->descriptors);
		rc = *task ? 0 : -ENOMEM;
	}
	if (!rc) {
		*id = root ? 0 : threads->next_id++;
		threads->task_count++;
		count_in(threads);
	}
	pthread_mutex_unlock(&threads->lock);
	return rc;
}

/* Undoes admit. */
static void expel(struct threads *threads, struct shunt_task *task)
{
	pthread_mutex_lock(&threads->lock);
	shunt_descriptor_give(&threads->descriptors, task);
	threads->task_count--;
	count_out(threads, true);
	pthread_mutex_unlock(&threads->lock);
}

/* 0, or a positive errno: the C library refuses stack.size. */
static int set_attributes(const struct threads *threads, pthread_attr_t *attr)
{
	pthread_attr_setdetachstate(attr, PTHREAD_CREATE_DETACHED);
	return pthread_attr_setstacksize(attr,
		(size_t)shunt_value_int(&threads->values, "stack.size"));
}

/* The CPU that stands for a worker: the n-th of the set. */
static int cpu_of(const struct threads *threads, unsigned worker_index)
{
	int cpu = -1;
	for (unsigned left = worker_index + 1; left; left -= CPU_ISSET(cpu, &threads->cpus) != 0)
		cpu++;
	return cpu;
}

/* A thread of its own for `task`, bound to a CPU if it was put on one. 0, or a positive errno. */
static int create_thread(struct threads *threads, struct shunt_task *task)
{
	pthread_t thread;
	pthread_attr_t bound;
	cpu_set_t one;
	unsigned worker = of_task(task)->worker;
	if (!worker)
		return pthread_create(&thread, &threads->attr, thread_main, task);
	CPU_ZERO(&one);
	CPU_SET(cpu_of(threads, worker - 1), &one);
	pthread_attr_init(&bound);
	int rc = set_attributes(threads, &bound);
	if (!rc)
		rc = pthread_attr_setaffinity_np(&bound, sizeof(one), &one);
	if (!rc)
		rc = pthread_create(&thread, &bound, thread_main, task);
	pthread_attr_destroy(&bound);
	return rc;
}

static int start(struct threads *threads, struct shunt_handle *handle, shunt_task_fn *fn, void *arg,
	const struct shunt_attr *attr, bool sample)
{
	struct shunt_task *task;
	uint64_t id;
	int rc = admit(threads, fn == root_main, &task, &id);
	if (rc)
		return rc;
	shunt_task_init(task, fn, arg, attr, handle == NULL, id);
	/* Relaxed: the new thread is created after this, and nobody else knows the task. */
	atomic_store_explicit(&of_task(task)->posted, 0, memory_order_relaxed);
	of_task(task)->ready_ns = sample ? shunt_now_ns() : 0;
	of_task(task)->worker = attr ? attr->worker : 0;
	/* Before the thread is, which may look for its own handle there; put back on a failure. */
	struct shunt_handle before = {NULL, 0};
	if (handle) {
		before = *handle;
		*handle = (struct shunt_handle){task, shunt_task_generation(task)};
	}
	rc = create_thread(threads, task);
	if (!rc)
		return 0;
	if (handle)
		*handle = before;
	expel(threads, task);
	return -rc;
}

static int threads_spawn(struct shunt_ctx *ctx, struct shunt_handle *handle, shunt_task_fn *fn,
	void *arg, const struct shunt_attr *attr)
{
	struct threads *threads = threads_of(ctx);
	struct thread *thread = thread_of(ctx);
	bool sample = threads->delay && thread->count.sampled++ % threads->delay_every == 0;
	int rc = start(threads, handle, fn, arg, attr, sample);
	thread->count.spawned += rc == 0;
	return rc;
}

/* ---- from outside ------------------------------------------------------------------------------ */

static bool threads_wake(struct shunt_sched *sched, struct shunt_handle handle)
{
	struct threads *threads = (struct threads *)sched;
	enum shunt_claim claim = shunt_task_claim_park(handle.task, handle.generation, true);
	/* Relaxed: a statistic [threads:outside]. */
	atomic_fetch_add_explicit(&threads->outside_wakes, 1, memory_order_relaxed);
	if (claim == SHUNT_CLAIM_MINE)
		make_ready(threads, NULL, handle.task);
	return claim != SHUNT_CLAIM_STALE;
}

static int threads_spawn_outside(struct shunt_sched *sched, struct shunt_handle *handle,
	shunt_task_fn *fn, void *arg, const struct shunt_attr *attr)
{
	return start((struct threads *)sched, handle, fn, arg, attr, false);
}

static void threads_hold(struct shunt_sched *sched, int delta)
{
	struct threads *threads = (struct threads *)sched;
	pthread_mutex_lock(&threads->lock);
	threads->holds += delta;
	if (delta > 0)
		count_in(threads);
	else
		count_out(threads, true);
	if (threads->holds == 0)
		pthread_cond_broadcast(&threads->changed);
	pthread_mutex_unlock(&threads->lock);
}

static int threads_run(struct shunt_sched *sched, shunt_task_fn *fn, void *arg, void **result,
	struct shunt_error *err)
{
	static const struct shunt_attr attr = {.name = "root"};
	struct threads *threads = (struct threads *)sched;
	struct root root = {fn, arg, NULL};
	pthread_mutex_lock(&threads->lock);
	bool busy = threads->running || threads->failure;
	if (!busy) {
		threads->running = true;
		threads->err = err;
	}
	pthread_mutex_unlock(&threads->lock);
	if (busy)
		return shunt_fail(err, -EBUSY,
			threads->failure ? "an earlier run of this scheduler failed"
					 : "this scheduler is running already");
	int rc = start(threads, NULL, root_main, &root, &attr, false);
	if (rc)
		shunt_fail(err, rc, "the kernel refused a thread for the root task: %s",
			strerror(-rc));
	pthread_mutex_lock(&threads->lock);
	while (threads->task_count || (threads->holds && !threads->failure))
		pthread_cond_wait(&threads->changed, &threads->lock);
	threads->running = false;
	threads->next_id = 1;
	rc = rc ? rc : threads->failure;
	pthread_mutex_unlock(&threads->lock);
	if (!rc && result)
		*result = root.result;
	return rc;
}

/* ---- the backend ------------------------------------------------------------------------------- */

static const struct shunt_param threads_params[] = {
	{.name = "stack.size",
		.type = SHUNT_PARAM_SIZE,
		.fallback = "64k",
		.min = 16384,
		.max = INT64_C(1) << 30,
		.help = "bytes of a thread's stack, its thread-local data included (the kernel's "
			"usual default is 8M)"},
	{.name = "wait.slack",
		.type = SHUNT_PARAM_DURATION,
		.fallback = "1ns",
		.max = 1000000000,
		.help = "timer slack of every thread (the kernel's default is 50us); 0: leave "
			"alone"},
	{.name = NULL},
};

/* How many CPUs there are for tasks; where the set of them can be read, tasks can be put on one. */
static void count_cpus(struct threads *threads)
{
	long online = sysconf(_SC_NPROCESSORS_ONLN);
	threads->sched.worker_count = online > 0 ? (unsigned)online : 1;
	if (sched_getaffinity(0, sizeof(threads->cpus), &threads->cpus) == 0) {
		threads->sched.worker_count = (unsigned)CPU_COUNT(&threads->cpus);
		threads->sched.caps |= SHUNT_PINS;
	}
}

static void threads_close(struct shunt_sched *sched)
{
	struct threads *threads = (struct threads *)sched;
	shunt_values_fini(&threads->values);
	shunt_descriptors_fini(&threads->descriptors);
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
			SHUNT_DEADLOCK};
	count_cpus(threads);
	pthread_mutex_init(&threads->lock, NULL);
	pthread_cond_init(&threads->changed, NULL);
	pthread_attr_init(&threads->attr);
	shunt_descriptors_init(&threads->descriptors, &threads->sched, sizeof(struct thread_task));
	threads->delay = config->sched_delay;
	threads->delay_every = config->sched_delay_every ? config->sched_delay_every : 1;
	int rc = shunt_config_values(&threads->values, threads_params, config, err);
	if (!rc && (rc = -set_attributes(threads, &threads->attr)))
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
	.summary = "each task a kernel thread: what one writes without a user-level scheduler",
	.params = threads_params,
	.open = threads_open,
	.run = threads_run,
	.close = threads_close,
	.wake = threads_wake,
	.spawn = threads_spawn_outside,
	.hold = threads_hold,
	.counters = threads_counters,
	.composition = threads_composition,
	.task_limit = shunt_threads_task_limit,
};
