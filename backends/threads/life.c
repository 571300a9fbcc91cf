/* SPDX-License-Identifier: MIT */
/* A task's thread: admitted, created, run, counted out. */
#include "backends/threads/threads.h"

#include <sys/prctl.h>

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
	ADD(futex_calls), ADD(io_operations), ADD(io_calls);
#undef ADD
}

/* The thread's last act; it may not touch the scheduler afterwards. */
static void thread_ends(struct threads *threads, const struct thread *thread)
{
	pthread_mutex_lock(&threads->lock);
	add_counts(threads, thread);
	threads->task_count--;
	if (!threads->failure)
		shunt_threads_count_out(threads, true);
	if (threads->task_count == 0)
		pthread_cond_broadcast(&threads->changed);
	pthread_mutex_unlock(&threads->lock);
}

static void *thread_main(void *arg)
{
	struct thread_task *self = arg;
	struct shunt_task *task = &self->task;
	struct threads *threads = (struct threads *)task->sched;
	/* The threads of many tasks share an index, where an index is needed to spread
	 * something. */
	struct thread thread = {
		.ctx = {.hooks = &shunt_threads_hooks,
			.current = task,
			.sched = &threads->sched,
			.many = true,
			.index = self->worker
					 ? self->worker - 1
					 : (unsigned)(task->id % threads->sched.worker_count)}};
	if (threads->slack_ns)
		prctl(PR_SET_TIMERSLACK, (unsigned long)threads->slack_ns, 0, 0, 0);
	shunt_ctx_set(&thread.ctx);
	shunt_threads_watch(threads, self, &thread);
	shunt_threads_sample_delay(threads, self);
	if (setjmp(thread.out) == 0) {
		task->result = task->fn(task->arg);
		shunt_fatal_unwatch(&self->fatal, true); /* the end may make it another task's */
		thread.count.ended++;
		shunt_task_end(&thread.ctx, task);
	} else {
		shunt_fatal_unwatch(&self->fatal, true);
	}
	shunt_ctx_set(NULL);
	thread_ends(threads, &thread);
	return NULL;
}

/* Takes a descriptor for a task and counts it. Context: takes the lock. */
static int admit(struct threads *threads, bool root, struct shunt_task **task, uint64_t *id)
{
	pthread_mutex_lock(&threads->lock);
	int rc = threads->failure ? -ECANCELED : 0;
	if (!rc) {
		*task = shunt_descriptor_take(&threads->descriptors);
		rc = *task ? 0 : -ENOMEM;
	}
	if (!rc && !shunt_threads_give_signal_stack(threads, shunt_thread_task_of(*task))) {
		shunt_descriptor_give(&threads->descriptors, *task);
		rc = -ENOMEM;
	}
	if (!rc) {
		*id = root ? 0 : threads->next_id++;
		threads->task_count++;
		shunt_threads_count_in(threads);
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
	shunt_threads_count_out(threads, true);
	pthread_mutex_unlock(&threads->lock);
}

int shunt_threads_set_attributes(const struct threads *threads, pthread_attr_t *attr)
{
	pthread_attr_setdetachstate(attr, PTHREAD_CREATE_DETACHED);
	return pthread_attr_setstacksize(attr,
		(size_t)shunt_value_int(&threads->values, "stack.size"));
}

/* The CPU that stands for a worker: the n-th of the set. */
static int cpu_of(const struct threads *threads, unsigned worker_index)
{
	int cpu = -1;
	do
		cpu = shunt_cpus_next(&threads->cpus, cpu);
	while (worker_index--);
	return cpu;
}

/* A thread of its own for `task`, bound to a CPU if it was put on one, and else to those of the
 * scheduler: a thread inherits them from its creator, which may be bound to others. 0, or a
 * positive errno. */
static int create_thread(struct threads *threads, struct shunt_task *task,
	enum shunt_threads_from from)
{
	pthread_t thread;
	pthread_attr_t bound;
	struct shunt_cpus cpus;
	unsigned worker = shunt_thread_task_of(task)->worker;
	if (!worker && (from != SHUNT_THREADS_OUTSIDE || !(threads->sched.caps & SHUNT_PINS)))
		return pthread_create(&thread, &threads->attr, thread_main, task);
	if (shunt_cpus_copy(&cpus, &threads->cpus))
		return ENOMEM;
	if (worker)
		shunt_cpus_keep_only(&cpus, cpu_of(threads, worker - 1));
	pthread_attr_init(&bound);
	int rc = shunt_threads_set_attributes(threads, &bound);
	if (!rc)
		rc = pthread_attr_setaffinity_np(&bound, cpus.bytes, cpus.set);
	if (!rc)
		rc = pthread_create(&thread, &bound, thread_main, task);
	shunt_cpus_free(&cpus);
	pthread_attr_destroy(&bound);
	return rc;
}

int shunt_threads_start(struct threads *threads, struct shunt_handle *handle, shunt_task_fn *fn,
	void *arg, const struct shunt_attr *attr, enum shunt_threads_from from, bool sample)
{
	struct shunt_task *task;
	uint64_t id;
	int rc = admit(threads, from == SHUNT_THREADS_ROOT, &task, &id);
	if (rc)
		return rc;
	shunt_task_init(task, fn, arg, attr, handle == NULL, 0, id);
	/* Relaxed: the new thread is created after this, and nobody else knows the task. */
	atomic_store_explicit(&shunt_thread_task_of(task)->posted, 0, memory_order_relaxed);
	shunt_thread_task_of(task)->ready_ns = sample ? shunt_now_ns() : 0;
	shunt_thread_task_of(task)->worker = attr ? attr->worker : 0;
	/* Before the thread is, which may look for its own handle there; put back on a failure. */
	struct shunt_handle before = {NULL, 0};
	if (handle) {
		before = *handle;
		*handle = (struct shunt_handle){task, shunt_task_generation(task)};
	}
	rc = create_thread(threads, task, from);
	if (!rc)
		return 0;
	if (handle)
		*handle = before;
	expel(threads, task);
	return -rc;
}

static void threads_yield(struct shunt_ctx *ctx)
{
	ctx->count.yields++;
	sched_yield();
}

static void threads_release(struct shunt_ctx *ctx, struct shunt_task *task)
{
	struct threads *threads = shunt_threads_of(ctx);
	pthread_mutex_lock(&threads->lock);
	shunt_descriptor_give(&threads->descriptors, task);
	pthread_mutex_unlock(&threads->lock);
}

static int threads_spawn(struct shunt_ctx *ctx, struct shunt_handle *handle, shunt_task_fn *fn,
	void *arg, const struct shunt_attr *attr)
{
	struct threads *threads = shunt_threads_of(ctx);
	struct thread *thread = shunt_thread_of(ctx);
	bool sample = threads->delay && thread->count.sampled++ % threads->delay_every == 0;
	int rc = shunt_threads_start(threads, handle, fn, arg, attr, SHUNT_THREADS_TASK, sample);
	thread->count.spawned += rc == 0;
	return rc;
}

const struct shunt_hooks shunt_threads_hooks = {
	.spawn = threads_spawn,
	.yield = threads_yield,
	.park = shunt_threads_park,
	.block = shunt_threads_block,
	.ready = shunt_threads_ready,
	.release = threads_release,
};
