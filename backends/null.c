/* SPDX-License-Identifier: MIT */
/*
 * null: runs every task to its end inside its spawn. No stacks, no queue, no switch.
 *
 * It is what the harness, the task API and a workload cost without any scheduling, and the template
 * for a new complete backend: each hook says whether it is required, what core has done before the
 * call and what it expects after it. Copy this file, and read core/backend.h and core/task.h.
 *
 * What it cannot do: let a task wait. So it runs workloads that only spawn and join (a task has
 * always ended when it is joined) or yield (nobody else is ready); where a task would have to wait,
 * the run ends with an error that names it. Spawns within spawns use up the caller's own stack, and
 * are refused with -EAGAIN before that, if it is a thread's, is full.
 */
#include "core/backend.h"
#include "core/descriptors.h"
#include "core/spec.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

/* What a task is guaranteed to have left of a thread's stack when it starts. */
#define STACK_RESERVE (128 * 1024)

/* The backend's scheduler begins with core's part of it. */
struct null_sched {
	struct shunt_sched sched;
	struct shunt_ctx ctx; /* of the one thread that runs tasks */
	struct shunt_descriptors descriptors;
	struct shunt_error *err; /* of the run in progress */
	jmp_buf out;             /* where a task that would have to wait leaves the run */
	uintptr_t stack_floor;
	uint64_t next_id, spawns, live;
	int failure;
};

static struct null_sched *null_of(struct shunt_ctx *ctx)
{
	return (struct null_sched *)ctx->sched;
}

/* ---- hooks: called in a task, on the thread that runs it ------------------------------------- */

/*
 * Required. Takes a descriptor whose word is FREE, lets core fill it (that makes it RUNNABLE), puts
 * the handle where the caller wants it, and sees to it that fn(arg) is run: at once here, queued in
 * any real scheduler. A task without a handle is detached. When fn has returned, the result goes
 * into the task and shunt_task_end is called, as the last thing that touches the task.
 */
static int null_spawn(struct shunt_ctx *ctx, struct shunt_handle *handle, shunt_task_fn *fn,
	void *arg, const struct shunt_attr *attr)
{
	struct null_sched *null = null_of(ctx);
	if ((uintptr_t)__builtin_frame_address(0) < null->stack_floor)
		return -EAGAIN;
	struct shunt_task *task = shunt_descriptor_take(&null->descriptors);
	if (!task)
		return -ENOMEM;
	shunt_task_init(task, fn, arg, attr, handle == NULL, 0, null->next_id++);
	if (handle)
		*handle = (struct shunt_handle){task, shunt_task_generation(task)};
	null->spawns++;
	null->live++;

	struct shunt_task *parent = ctx->current;
	int parent_errno = errno; /* every task has its own, 0 at first */
	ctx->current = task;
	errno = 0;
	task->result = fn(arg);
	errno = parent_errno;
	ctx->current = parent;
	null->live--;
	shunt_task_end(ctx, task);
	return 0;
}

/* Required. Lets others run: there are none but those that wait for this one to return. */
static void null_yield(struct shunt_ctx *ctx)
{
	ctx->count.yields++;
}

static void visit_stuck(void *arg, struct shunt_task *task)
{
	shunt_stuck_add(arg, task);
}

/* Leaves the run from inside a task; the tasks around it are given up with it. */
static _Noreturn void leave(struct null_sched *null, int64_t deadline_ns)
{
	if (deadline_ns == SHUNT_FOREVER) {
		struct shunt_stuck stuck = {.used = 0};
		shunt_descriptors_each(&null->descriptors, visit_stuck, &stuck);
		null->failure = shunt_stuck_fail(&stuck, null->live, null->err);
	} else {
		const struct shunt_task *task = null->ctx.current;
		null->failure = shunt_fail(null->err, -ENOTSUP,
			"task %llu%s%s would wait for a deadline, but backend '%s' runs each task "
			"to completion",
			(unsigned long long)task->id, task->name ? " " : "",
			task->name ? task->name : "", null->sched.backend->name);
	}
	longjmp(null->out, 1);
}

/*
 * Required if CAN_BLOCK or TIMED. A park in full: shunt_task_prepare_park takes the permit (false)
 * or makes the word PARKED, or PARKING where `many`; then the task is put aside until somebody
 * claims it, and what the claimer left in task->value is returned.
 */
static int null_park(struct shunt_ctx *ctx, int64_t deadline_ns)
{
	if (shunt_task_prepare_park(ctx->current, ctx->many))
		leave(null_of(ctx), deadline_ns);
	return 0;
}

/* Required likewise. The same for a wait that core has prepared: the word is BLOCKED (BLOCKING). */
static int null_block(struct shunt_ctx *ctx, int64_t deadline_ns)
{
	leave(null_of(ctx), deadline_ns);
}

/* Required. The task's handles become stale, its descriptor may be used again. */
static void null_release(struct shunt_ctx *ctx, struct shunt_task *task)
{
	shunt_descriptor_give(&null_of(ctx)->descriptors, task);
}

static const struct shunt_hooks null_hooks = {
	.spawn = null_spawn,
	.yield = null_yield,
	.park = null_park,
	.block = null_block,
	/* ready: required if CAN_BLOCK; here no task is ever put aside, so none is made ready.
	 * transfer: optional, core then wakes and parks. checkpoint: optional, then never. */
	.release = null_release,
};

/* ---- the backend: called from outside tasks -------------------------------------------------- */

static const struct shunt_param null_params[] = {
	{.name = NULL},
};

static int null_open(struct shunt_sched **sched, const struct shunt_backend *backend,
	const struct shunt_config *config, struct shunt_error *err)
{
	struct shunt_values values;
	int rc = shunt_config_values(&values, null_params, config, err);
	if (rc)
		return rc;
	shunt_values_fini(&values);
	if (config->trace)
		return shunt_fail(err, -ENOTSUP,
			"backend '%s' does not switch tasks, so it has no trace", backend->name);
	struct null_sched *null = calloc(1, sizeof(*null));
	if (!null)
		return shunt_fail(err, -ENOMEM, "out of memory for the scheduler");
	/* What it can do: the same order of events every time, and telling when a task would wait
	 * for ever. `many` false: core may use plain loads and stores on task words. */
	null->sched = (struct shunt_sched){.backend = backend,
		.worker_count = 1,
		.caps = SHUNT_DETERMINISTIC | SHUNT_DEADLOCK | SHUNT_PINS};
	null->ctx = (struct shunt_ctx){.hooks = &null_hooks, .sched = &null->sched};
	shunt_descriptors_init(&null->descriptors, &null->sched, sizeof(struct shunt_task));
	*sched = &null->sched;
	return 0;
}

/* The lowest address that a spawn may start from on this thread's stack, of a small one half of
 * what is left; 0, in a task of another scheduler that has a stack of its own, whose guard is then
 * the end. */
static uintptr_t stack_floor(void)
{
	pthread_attr_t attr;
	void *low = NULL;
	size_t bytes = 0;
	if (pthread_getattr_np(pthread_self(), &attr))
		return 0;
	pthread_attr_getstack(&attr, &low, &bytes);
	pthread_attr_destroy(&attr);
	size_t left = (uintptr_t)__builtin_frame_address(0) - (uintptr_t)low;
	if (left > bytes)
		return 0;
	return (uintptr_t)low + (left / 2 < STACK_RESERVE ? left / 2 : STACK_RESERVE);
}

/*
 * Required. Makes the calling thread's context this scheduler's, so that the task API finds it, and
 * restores the previous one: schedulers may be nested. Returns when all tasks have ended.
 */
static int null_run(struct shunt_sched *sched, shunt_task_fn *fn, void *arg, void **result,
	struct shunt_error *err)
{
	struct null_sched *null = (struct null_sched *)sched;
	struct shunt_root root = {fn, arg, NULL};
	if (null->failure)
		return shunt_fail(err, -EBUSY, "an earlier run of this scheduler failed");
	null->err = err;
	null->next_id = 0;
	null->ctx.current = NULL;
	null->stack_floor = stack_floor();
	int outer_errno = errno;
	struct shunt_ctx *volatile outer = shunt_ctx_set(&null->ctx);
	volatile int rc = 0;
	if (setjmp(null->out) == 0)
		rc = null_spawn(&null->ctx, NULL, shunt_root_main, &root, &shunt_root_attr);
	else
		rc = null->failure;
	if (rc && !null->failure)
		shunt_fail(err, rc, "the root task could not be spawned: %s", strerror(-rc));
	shunt_ctx_set(outer);
	errno = outer_errno;
	if (!rc && result)
		*result = root.result;
	return rc;
}

static void null_close(struct shunt_sched *sched)
{
	struct null_sched *null = (struct null_sched *)sched;
	shunt_descriptors_fini(&null->descriptors);
	free(null);
}

/* Required. Counters only ever grow, from open to close. */
static void null_counters(const struct shunt_sched *sched, shunt_counter_fn *counter, void *sink)
{
	const struct null_sched *null = (const struct null_sched *)sched;
	counter(sink, "switches", 0);
	counter(sink, "spawns", null->spawns);
	counter(sink, "yields", null->ctx.count.yields);
	counter(sink, "wakes", null->ctx.count.wakes);
	counter(sink, "wakes_stale", null->ctx.count.wakes_stale);
}

/* Required. Every setting that distinguishes this scheduler from another of the backend's: none. */
static void null_composition(const struct shunt_sched *sched,
	void (*setting)(void *sink, const char *key, const char *value), void *sink)
{
	(void)sched;
	(void)setting;
	(void)sink;
}

const struct shunt_backend shunt_backend_null = {
	.name = "null",
	.summary = "runs tasks to completion: the cost of the harness; tasks cannot wait",
	.params = null_params,
	/* probe: optional; it runs everywhere. wake, spawn, hold: required if EXTERNAL_WAKE.
	 * facts, task_limit: optional; there is nothing to tell. */
	.open = null_open,
	.run = null_run,
	.close = null_close,
	.counters = null_counters,
	.composition = null_composition,
};
