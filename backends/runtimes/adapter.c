/* SPDX-License-Identifier: MIT */
/*
 * The task API on another runtime (adapter.h).
 *
 * The runtime switches tasks without telling anybody, so a task that goes on says that it is the
 * current one: after each call that may switch it looks up the thread's context and stores itself
 * and its errno there. That, the task word and a call by pointer are the adapter's cost.
 *
 * Each run has a thread of its own, and the caller waits for it: a runtime that takes a whole
 * thread, or keeps a pool for each, meets no other scheduler there.
 *
 * `spawned` and `ended` count tasks and holds. Who ends reads `spawned` after counting itself: when
 * both are equal, no task is left that could spawn, and the run is over.
 *
 * What it does not do: traces, sampled scheduling delays, deadlock reports, workers of a task's
 * choice, guards that name an overflown stack.
 */
#include "backends/runtimes/adapter.h"

#include "core/backend.h"
#include "core/descriptors.h"
#include "core/plugin.h"
#include "core/spec.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct adapted_task {
	struct shunt_task task;
	struct shunt_adapted adapted;
};

/* One a worker, which alone writes it. */
struct worker {
	_Alignas(64) struct shunt_ctx ctx;
	struct shunt_descriptors descriptors;
	uint64_t spawned, ended, waits, timers_armed, timers_fired;
};

struct shunt_adapter {
	struct shunt_sched sched;
	struct shunt_values values;
	void *state; /* the runtime's */
	struct worker *workers;
	struct shunt_adapted *root;
	struct shunt_error *err; /* of the run in progress */
	int outcome;             /* of the runtime's run */
	int failure;             /* of an earlier run */
	pthread_mutex_t lock;    /* guards `outside` */
	struct shunt_descriptors outside;
	_Atomic uint64_t outside_wakes;        /* [adapter:outside] */
	_Alignas(64) _Atomic uint64_t spawned; /* [adapter:spawned] */
	_Alignas(64) _Atomic uint64_t ended;   /* [adapter:ended] */
};

static struct shunt_adapter *adapter_of(const struct shunt_ctx *ctx)
{
	return (struct shunt_adapter *)ctx->sched;
}

static struct shunt_adapted *adapted_of(struct shunt_task *task)
{
	return &((struct adapted_task *)task)->adapted;
}

static struct shunt_task *task_of(struct shunt_adapted *adapted)
{
	return (struct shunt_task *)(void *)((char *)adapted -
					     offsetof(struct adapted_task, adapted));
}

/* A compiler may keep the address of errno over a call that comes back on another thread. */
static __attribute__((noinline)) int errno_get(void)
{
	__asm__ volatile("" ::: "memory");
	return errno;
}

static __attribute__((noinline)) void errno_set(int value)
{
	__asm__ volatile("" ::: "memory");
	errno = value;
}

/* `task` runs again, perhaps on another thread. */
static void go_on(struct shunt_task *task, int task_errno)
{
	shunt_ctx_get()->current = task;
	errno_set(task_errno);
}

/* ---- how many there are ---------------------------------------------------------------------- */

/* Counts a task or a hold in; returns how many were before it. */
static uint64_t count_in(struct shunt_adapter *adapter)
{
	/* Release pairs with the acquire in count_out [adapter:spawned]. */
	return atomic_fetch_add_explicit(&adapter->spawned, 1, memory_order_release);
}

static void count_out(struct shunt_adapter *adapter)
{
	/* Acquire-release pairs with itself [adapter:ended]: whoever counts last sees what the
	 * others counted in before they counted themselves out. */
	uint64_t ended = atomic_fetch_add_explicit(&adapter->ended, 1, memory_order_acq_rel) + 1;
	/* Acquire pairs with the release in count_in [adapter:spawned]. */
	if (ended == atomic_load_explicit(&adapter->spawned, memory_order_acquire))
		shunt_runtime.over(adapter->state);
}

/* ---- a task's life --------------------------------------------------------------------------- */

void *shunt_adapter_enter(struct shunt_adapter *adapter, unsigned worker_index)
{
	SHUNT_ASSERT(worker_index < adapter->sched.worker_count);
	return shunt_ctx_set(&adapter->workers[worker_index].ctx);
}

void shunt_adapter_leave(void *before)
{
	shunt_ctx_set(before);
}

void shunt_adapter_main(struct shunt_adapted *adapted)
{
	struct shunt_task *task = task_of(adapted);
	struct shunt_adapter *adapter = (struct shunt_adapter *)task->sched;
	go_on(task, 0);
	task->result = task->fn(task->arg);
	struct shunt_ctx *ctx = shunt_ctx_get();
	((struct worker *)ctx)->ended++;
	shunt_task_end(ctx, task);
	count_out(adapter);
}

/* Context: `set` is the caller's. */
static struct shunt_task *make_task(struct shunt_adapter *adapter, struct shunt_descriptors *set,
	shunt_task_fn *fn, void *arg, const struct shunt_attr *attr, bool detached)
{
	struct shunt_task *task = shunt_descriptor_take(set);
	if (task)
		shunt_task_init(task, fn, arg, attr, detached, 0, count_in(adapter));
	return task;
}

static int adapter_spawn(struct shunt_ctx *ctx, struct shunt_handle *handle, shunt_task_fn *fn,
	void *arg, const struct shunt_attr *attr)
{
	struct worker *worker = (struct worker *)ctx;
	struct shunt_adapter *adapter = adapter_of(ctx);
	struct shunt_task *self = ctx->current;
	int before_errno = errno_get();
	struct shunt_handle before = handle ? *handle : (struct shunt_handle){NULL, 0};
	struct shunt_task *task =
		make_task(adapter, &worker->descriptors, fn, arg, attr, handle == NULL);
	if (!task)
		return -ENOMEM;
	/* Before it can run: it may look for its own handle there. */
	if (handle)
		*handle = (struct shunt_handle){task, shunt_task_generation(task)};
	int rc = shunt_runtime.spawn(adapter->state, adapted_of(task));
	go_on(self, before_errno); /* a runtime may have run it at once */
	if (rc == 0) {
		worker->spawned++;
		return 0;
	}
	if (handle)
		*handle = before;
	shunt_descriptor_give(&worker->descriptors, task);
	count_out(adapter);
	return rc;
}

static int adapter_spawn_outside(struct shunt_sched *sched, struct shunt_handle *handle,
	shunt_task_fn *fn, void *arg, const struct shunt_attr *attr)
{
	struct shunt_adapter *adapter = (struct shunt_adapter *)sched;
	pthread_mutex_lock(&adapter->lock);
	struct shunt_task *task =
		make_task(adapter, &adapter->outside, fn, arg, attr, handle == NULL);
	pthread_mutex_unlock(&adapter->lock);
	if (!task)
		return -ENOMEM;
	struct shunt_handle made = {task, shunt_task_generation(task)};
	struct shunt_handle before = handle ? *handle : made;
	if (handle)
		*handle = made;
	int rc = shunt_runtime.spawn_outside(adapter->state, adapted_of(task));
	if (rc == 0)
		return 0;
	if (handle)
		*handle = before;
	pthread_mutex_lock(&adapter->lock);
	shunt_descriptor_give(&adapter->outside, task);
	pthread_mutex_unlock(&adapter->lock);
	count_out(adapter);
	return rc;
}

/* Into the set of whoever releases it, whichever set it came from: they share the memory. */
static void adapter_release(struct shunt_ctx *ctx, struct shunt_task *task)
{
	shunt_descriptor_give(&((struct worker *)ctx)->descriptors, task);
}

/* ---- giving way and waiting ------------------------------------------------------------------ */

static void adapter_yield(struct shunt_ctx *ctx)
{
	struct shunt_task *self = ctx->current;
	int before_errno = errno_get();
	ctx->count.yields++;
	shunt_runtime.yield(adapter_of(ctx)->state);
	go_on(self, before_errno);
}

bool shunt_adapter_commit(struct shunt_adapted *adapted)
{
	return shunt_task_commit(task_of(adapted));
}

bool shunt_adapter_expire(struct shunt_adapted *adapted)
{
	struct shunt_task *task = task_of(adapted);
	/* Nobody but the task begins its next wait, so this is the ticket of the wait that is over,
	 * if it has been claimed, or of the one that goes on. */
	uint64_t ticket = shunt_word_load(task, true) & SHUNT_WORD_TICKET;
	return shunt_task_claim(task, ticket, -ETIMEDOUT, true) == SHUNT_CLAIM_MINE;
}

/* The runtime has no timers: takes the wait back, as if the timer could not be armed. */
static int refuse_deadline(struct shunt_task *self)
{
	int value = 0;
	return shunt_task_unprepare(self, true, &value) ? -ENOMEM : value;
}

static int adapter_block(struct shunt_ctx *ctx, int64_t deadline_ns)
{
	struct worker *worker = (struct worker *)ctx;
	struct shunt_task *self = ctx->current;
	bool timed = deadline_ns != SHUNT_FOREVER;
	if (timed && !(ctx->sched->caps & SHUNT_TIMED))
		return refuse_deadline(self);
	int before_errno = errno_get();
	worker->waits++;
	worker->timers_armed += timed;
	shunt_runtime.wait(adapter_of(ctx)->state, adapted_of(self), deadline_ns);
	go_on(self, before_errno);
	if (!self->value)
		return 0;
	((struct worker *)shunt_ctx_get())->timers_fired++;
	return shunt_task_timeout(self);
}

static int adapter_park(struct shunt_ctx *ctx, int64_t deadline_ns)
{
	if (!shunt_task_prepare_park(ctx->current, true))
		return 0;
	return adapter_block(ctx, deadline_ns);
}

static void adapter_ready(struct shunt_ctx *ctx, struct shunt_task *task)
{
	(void)ctx;
	shunt_runtime.post(adapted_of(task));
}

static bool adapter_wake(struct shunt_sched *sched, struct shunt_handle handle)
{
	struct shunt_adapter *adapter = (struct shunt_adapter *)sched;
	enum shunt_claim claim = shunt_task_claim_park(handle.task, handle.generation, true);
	/* Relaxed: a statistic [adapter:outside]. */
	atomic_fetch_add_explicit(&adapter->outside_wakes, 1, memory_order_relaxed);
	if (claim == SHUNT_CLAIM_MINE)
		shunt_runtime.post(adapted_of(handle.task));
	return claim != SHUNT_CLAIM_STALE;
}

static void adapter_hold(struct shunt_sched *sched, int delta)
{
	struct shunt_adapter *adapter = (struct shunt_adapter *)sched;
	if (delta > 0)
		count_in(adapter);
	else
		count_out(adapter);
}

static const struct shunt_hooks adapter_hooks = {
	.spawn = adapter_spawn,
	.yield = adapter_yield,
	.park = adapter_park,
	.block = adapter_block,
	.ready = adapter_ready,
	.release = adapter_release,
};

/* ---- a run ----------------------------------------------------------------------------------- */

static void *run_main(void *arg)
{
	struct shunt_adapter *adapter = arg;
	adapter->outcome = shunt_runtime.run(adapter->state, adapter->root, adapter->err);
	return NULL;
}

static int adapter_run(struct shunt_sched *sched, shunt_task_fn *fn, void *arg, void **result,
	struct shunt_error *err)
{
	struct shunt_adapter *adapter = (struct shunt_adapter *)sched;
	struct shunt_root root = {fn, arg, NULL};
	pthread_t thread;
	if (adapter->failure)
		return shunt_fail(err, -EBUSY, "an earlier run of this scheduler failed");
	/* Relaxed: the run's thread is created after it. */
	atomic_store_explicit(&adapter->spawned, 0, memory_order_relaxed);
	atomic_store_explicit(&adapter->ended, 0, memory_order_relaxed);
	adapter->err = err;
	struct shunt_task *task = make_task(adapter, &adapter->workers[0].descriptors,
		shunt_root_main, &root, &shunt_root_attr, true);
	if (!task)
		return shunt_fail(err, -ENOMEM, "out of memory for the root task");
	adapter->root = adapted_of(task);
	int rc = -pthread_create(&thread, NULL, run_main, adapter);
	if (rc)
		return shunt_fail(err, rc, "the kernel refused a thread for the run: %s",
			strerror(-rc));
	pthread_join(thread, NULL);
	adapter->failure = adapter->outcome;
	if (!adapter->outcome && result)
		*result = root.result;
	return adapter->outcome;
}

/* ---- the backend ----------------------------------------------------------------------------- */

static void adapter_close(struct shunt_sched *sched)
{
	struct shunt_adapter *adapter = (struct shunt_adapter *)sched;
	if (adapter->state)
		shunt_runtime.close(adapter->state);
	for (unsigned i = 0; adapter->workers && i < sched->worker_count; i++)
		shunt_descriptors_fini(&adapter->workers[i].descriptors);
	shunt_descriptors_fini(&adapter->outside);
	shunt_values_fini(&adapter->values);
	pthread_mutex_destroy(&adapter->lock);
	free(adapter->workers);
	free(adapter);
}

static int make_workers(struct shunt_adapter *adapter, struct shunt_error *err)
{
	unsigned count = adapter->sched.worker_count;
	adapter->workers = aligned_alloc(64, count * sizeof(struct worker));
	if (!adapter->workers)
		return shunt_fail(err, -ENOMEM, "out of memory for %u workers", count);
	memset(adapter->workers, 0, count * sizeof(struct worker));
	for (unsigned i = 0; i < count; i++) {
		adapter->workers[i].ctx = (struct shunt_ctx){.hooks = &adapter_hooks,
			.sched = &adapter->sched,
			.many = true,
			.index = i};
		shunt_descriptors_init(&adapter->workers[i].descriptors, &adapter->sched,
			sizeof(struct adapted_task));
	}
	return 0;
}

static int adapter_open(struct shunt_sched **sched, const struct shunt_backend *backend,
	const struct shunt_config *config, struct shunt_error *err)
{
	if (config->trace || config->sched_delay)
		return shunt_fail(err, -ENOTSUP,
			"backend '%s' keeps neither traces nor scheduling delays, because another "
			"runtime schedules its tasks",
			backend->name);
	struct shunt_adapter *adapter = aligned_alloc(64, sizeof(*adapter));
	if (!adapter)
		return shunt_fail(err, -ENOMEM, "out of memory for the scheduler");
	memset(adapter, 0, sizeof(*adapter));
	adapter->sched = (struct shunt_sched){.backend = backend,
		.worker_count = 1,
		.many = true,
		.caps = shunt_runtime.caps};
	pthread_mutex_init(&adapter->lock, NULL);
	shunt_descriptors_init(&adapter->outside, &adapter->sched, sizeof(struct adapted_task));
	int rc = shunt_config_values(&adapter->values, shunt_runtime.params, config, err);
	if (!rc)
		rc = shunt_runtime.open(&adapter->state, adapter, &adapter->values,
			&adapter->sched.worker_count, &adapter->sched.caps, err);
	if (!rc)
		rc = make_workers(adapter, err);
	if (rc) {
		adapter_close(&adapter->sched);
		return rc;
	}
	*sched = &adapter->sched;
	return 0;
}

static void adapter_counters(const struct shunt_sched *sched, shunt_counter_fn *counter, void *sink)
{
	const struct shunt_adapter *adapter = (const struct shunt_adapter *)sched;
	struct worker sum = {.spawned = 0};
	/* Relaxed: read after the run [adapter:outside]. */
	uint64_t outside = atomic_load_explicit(&adapter->outside_wakes, memory_order_relaxed);
	for (unsigned i = 0; i < sched->worker_count; i++) {
		const struct worker *worker = &adapter->workers[i];
		char name[32];
#define ADD(field) sum.field += worker->field
		ADD(spawned), ADD(ended), ADD(waits), ADD(timers_armed), ADD(timers_fired);
		ADD(ctx.count.yields), ADD(ctx.count.wakes), ADD(ctx.count.wakes_stale);
		ADD(ctx.count.permits), ADD(ctx.count.parks), ADD(ctx.count.sleeps);
		ADD(ctx.count.blocks), ADD(ctx.count.joins), ADD(ctx.count.transfers_plain);
#undef ADD
		snprintf(name, sizeof(name), "worker%u.ended", i);
		if (sched->worker_count > 1)
			counter(sink, name, worker->ended);
	}
	counter(sink, "spawns", sum.spawned);
	counter(sink, "ended", sum.ended);
	counter(sink, "runtime_tasks", shunt_runtime.created(adapter->state));
	counter(sink, "blocked", sum.waits);
	counter(sink, "yields", sum.ctx.count.yields);
	counter(sink, "wakes", sum.ctx.count.wakes + outside);
	counter(sink, "wakes_stale", sum.ctx.count.wakes_stale);
	counter(sink, "permits", sum.ctx.count.permits);
	counter(sink, "parks", sum.ctx.count.parks);
	counter(sink, "sleeps", sum.ctx.count.sleeps);
	counter(sink, "sync_waits", sum.ctx.count.blocks);
	counter(sink, "joins_waited", sum.ctx.count.joins);
	counter(sink, "transfers_plain", sum.ctx.count.transfers_plain);
	counter(sink, "timers_armed", sum.timers_armed);
	counter(sink, "timers_fired", sum.timers_fired);
}

static void adapter_composition(const struct shunt_sched *sched,
	void (*setting)(void *sink, const char *key, const char *value), void *sink)
{
	const struct shunt_adapter *adapter = (const struct shunt_adapter *)sched;
	const struct shunt_param *params = shunt_runtime.params;
	for (size_t i = 0; params[i].name; i++) {
		char text[64];
		setting(sink, params[i].name,
			shunt_value_format(&params[i], &adapter->values.value[i], text,
				sizeof(text)));
	}
	setting(sink, "runtime", shunt_runtime.version());
}

static double adapter_native(struct shunt_sched *sched, const char *primitive, uint64_t operations,
	uint64_t *made)
{
	return shunt_runtime.native(((struct shunt_adapter *)sched)->state, primitive, operations,
		made);
}

/* Filled in when the plug-in is loaded, before anybody asks for it. */
static struct shunt_backend shunt_backend_adapted = {
	.open = adapter_open,
	.run = adapter_run,
	.close = adapter_close,
	.wake = adapter_wake,
	.spawn = adapter_spawn_outside,
	.hold = adapter_hold,
	.counters = adapter_counters,
	.composition = adapter_composition,
};

static __attribute__((constructor)) void fill_in(void)
{
	shunt_backend_adapted.name = shunt_runtime.name;
	shunt_backend_adapted.summary = shunt_runtime.summary;
	shunt_backend_adapted.params = shunt_runtime.params;
	if (!shunt_runtime.spawn_outside)
		shunt_backend_adapted.spawn = NULL;
	if (shunt_runtime.native)
		shunt_backend_adapted.native = adapter_native;
}

/* SHUNT_RUNTIME comes from CMake, as its own name. */
#define PLUGIN(name) SHUNT_PLUGIN(name, SHUNT_PLUGIN_HAS(backend, adapted))
PLUGIN(SHUNT_RUNTIME);
