/* SPDX-License-Identifier: MIT */
/*
 * The task API on the hooks of whichever backend runs the caller.
 *
 * Each call finds its context, checks that there is one, does what is common to all backends (the
 * rules about permits, joins and handles, on the task word) and ends in a tail call to a hook, so
 * that no frame of ours is left above the switch.
 */
#include "core/sched.h"

#include "core/backend.h"
#include "core/call.h"
#include "core/io_op.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

__thread struct shunt_ctx *shunt_current_ctx;

/* noipa where there is one: inlined into a task's code, a compiler may keep the address of
 * shunt_current_ctx over a switch to another thread. */
#if defined(__clang__)
#define SHUNT_OPAQUE __attribute__((noinline, optnone))
#else
#define SHUNT_OPAQUE __attribute__((noipa))
#endif

SHUNT_OPAQUE struct shunt_ctx *shunt_ctx_get(void)
{
	return shunt_current_ctx;
}

struct shunt_ctx *shunt_ctx_set(struct shunt_ctx *ctx)
{
	struct shunt_ctx *previous = shunt_current_ctx;
	shunt_current_ctx = ctx;
	return previous;
}

__attribute__((cold, noinline)) void shunt_outside_a_task(const char *call)
{
	shunt_panic("%s called outside a task: only tasks of a running scheduler may call it",
		call);
}

/* ---- giving way, time ------------------------------------------------------------------------ */

TASK_CALL void shunt_yield(void)
{
	struct shunt_ctx *ctx = TASK_CTX();
	ctx->hooks->yield(ctx);
}

TASK_CALL bool shunt_checkpoint(void)
{
	struct shunt_ctx *ctx = TASK_CTX();
	return ctx->hooks->checkpoint && ctx->hooks->checkpoint(ctx);
}

TASK_CALL void shunt_preempt_off(void)
{
	struct shunt_ctx *ctx = shunt_current_ctx;
	if (ctx)
		/* Relaxed: between this thread and a handler on it [preempt:word]. */
		__atomic_fetch_add(&ctx->preempt, 1, __ATOMIC_RELAXED);
}

/* One instruction both leaves the section and notices a mark: in two, a mark that the handler makes
 * between them would be lost. */
TASK_CALL void shunt_preempt_on(void)
{
	struct shunt_ctx *ctx = shunt_current_ctx;
	/* Relaxed: as above. */
	if (ctx && __atomic_fetch_sub(&ctx->preempt, 1, __ATOMIC_RELAXED) == 1 && ctx->current &&
		!ctx->current->step && shunt_checkpoint())
		shunt_yield();
}

TASK_CALL int64_t shunt_now_ns(void)
{
	struct shunt_ctx *ctx = shunt_current_ctx;
	struct timespec now;
	if (ctx && ctx->time) {
		if (++ctx->time->looks >= SHUNT_TIME_LOOKS)
			ctx->time->looked(ctx);
		return ctx->time->now_ns;
	}
	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

const char *shunt_wait_name(enum shunt_wait_what what)
{
	static const char *const names[] = {
		[SHUNT_WAIT_SOMETHING] = "a wait",
		[SHUNT_WAIT_SLEEP] = "sleep",
		[SHUNT_WAIT_JOIN] = "join",
		[SHUNT_WAIT_MUTEX] = "mutex",
		[SHUNT_WAIT_SEMAPHORE] = "semaphore",
		[SHUNT_WAIT_CONDITION] = "condition",
		[SHUNT_WAIT_SEND] = "channel send",
		[SHUNT_WAIT_RECEIVE] = "channel receive",
		[SHUNT_WAIT_GROUP] = "wait group",
		[SHUNT_WAIT_CLOSE] = "close",
		[SHUNT_WAIT_IO + SHUNT_IO_READ] = "read",
		[SHUNT_WAIT_IO + SHUNT_IO_WRITE] = "write",
		[SHUNT_WAIT_IO + SHUNT_IO_RECV] = "recv",
		[SHUNT_WAIT_IO + SHUNT_IO_SEND] = "send",
		[SHUNT_WAIT_IO + SHUNT_IO_ACCEPT] = "accept",
		[SHUNT_WAIT_IO + SHUNT_IO_CONNECT] = "connect",
		[SHUNT_WAIT_IO + SHUNT_IO_OPEN] = "open",
		[SHUNT_WAIT_IO + SHUNT_IO_FSYNC] = "fsync",
		[SHUNT_WAIT_IO + SHUNT_IO_READV] = "readv",
		[SHUNT_WAIT_IO + SHUNT_IO_WRITEV] = "writev",
	};
	return names[what];
}

TASK_CALL int shunt_sleep_until(int64_t deadline_ns)
{
	struct shunt_ctx *ctx = TASK_CTX();
	count(&ctx->count.sleeps);
	ctx->current->wait_what = SHUNT_WAIT_SLEEP;
	shunt_task_prepare(ctx->current, ctx->many);
	return ctx->hooks->block(ctx, deadline_ns);
}

int shunt_sleep_for(int64_t duration_ns)
{
	int64_t now = shunt_now_ns();
	return shunt_sleep_until(duration_ns > INT64_MAX - now ? SHUNT_FOREVER : now + duration_ns);
}

/* ---- parking --------------------------------------------------------------------------------- */

TASK_CALL int shunt_park(void)
{
	struct shunt_ctx *ctx = TASK_CTX();
	count(&ctx->count.parks);
	return ctx->hooks->park(ctx, SHUNT_FOREVER);
}

TASK_CALL int shunt_park_until(int64_t deadline_ns)
{
	struct shunt_ctx *ctx = TASK_CTX();
	count(&ctx->count.parks);
	ctx->current->wait_what = SHUNT_WAIT_SOMETHING; /* no sleep, whose end is no timeout */
	return ctx->hooks->park(ctx, deadline_ns);
}

static bool wake_inside(struct shunt_ctx *ctx, struct shunt_handle handle)
{
	enum shunt_claim claim = shunt_task_claim_park(handle.task, handle.generation, ctx->many);
	count(&ctx->count.wakes);
	if (claim == SHUNT_CLAIM_MINE)
		ctx->hooks->ready(ctx, handle.task);
	else if (claim == SHUNT_CLAIM_STALE)
		count(&ctx->count.wakes_stale);
	else if (claim == SHUNT_CLAIM_PERMIT)
		count(&ctx->count.permits);
	return claim != SHUNT_CLAIM_STALE;
}

TASK_CALL bool shunt_wake(struct shunt_handle handle)
{
	struct shunt_ctx *ctx = shunt_current_ctx;
	if (!handle.task)
		return false;
	if (ctx && ctx->sched == handle.task->sched)
		return wake_inside(ctx, handle);
	struct shunt_sched *sched = handle.task->sched;
	return sched->backend->wake && sched->backend->wake(sched, handle);
}

TASK_CALL int shunt_transfer(struct shunt_handle handle)
{
	struct shunt_ctx *ctx = TASK_CTX();
	count(&ctx->count.parks);
	if (handle.task && handle.task->sched == ctx->sched && ctx->hooks->transfer)
		return ctx->hooks->transfer(ctx, handle.task, handle.generation);
	shunt_wake(handle);
	count(&ctx->count.transfers_plain);
	return ctx->hooks->park(ctx, SHUNT_FOREVER);
}

/* ---- a task's life --------------------------------------------------------------------------- */

int shunt_check_attr(const struct shunt_sched *sched, const struct shunt_attr *attr)
{
	if (!attr || !attr->worker)
		return 0;
	if (attr->worker > sched->worker_count)
		return -EINVAL;
	return sched->caps & SHUNT_PINS ? 0 : -ENOTSUP;
}

TASK_CALL int shunt_spawn(struct shunt_handle *handle, shunt_task_fn *fn, void *arg,
	const struct shunt_attr *attr)
{
	struct shunt_ctx *ctx = TASK_CTX();
	if (__builtin_expect(attr != NULL, 0)) {
		int rc = shunt_check_attr(ctx->sched, attr);
		if (rc)
			return rc;
	}
	return ctx->hooks->spawn(ctx, handle, fn, arg, attr);
}

/* ---- where am I ------------------------------------------------------------------------------ */

TASK_CALL struct shunt_handle shunt_self(void)
{
	struct shunt_task *task = TASK_CTX()->current;
	return (struct shunt_handle){task, shunt_task_generation(task)};
}

TASK_CALL uint64_t shunt_task_id(void)
{
	return TASK_CTX()->current->id;
}

TASK_CALL unsigned shunt_worker_index(void)
{
	return TASK_CTX()->index;
}

TASK_CALL unsigned shunt_worker_count(void)
{
	return TASK_CTX()->sched->worker_count;
}

TASK_CALL bool shunt_in_task(void)
{
	return shunt_current_ctx != NULL;
}

/* ---- embedding ------------------------------------------------------------------------------- */

const struct shunt_attr shunt_root_attr = {.name = "root"};

void *shunt_root_main(void *arg)
{
	struct shunt_root *root = arg;
	root->result = root->fn(root->arg);
	return NULL;
}

int shunt_run(struct shunt_sched *sched, shunt_task_fn *root, void *arg, void **result,
	struct shunt_error *err)
{
	/* Acquire pairs with the release below [sched:running]: the next run, on whatever thread,
	 * sees what the last one left. */
	if (__atomic_exchange_n(&sched->running, 1, __ATOMIC_ACQUIRE))
		return shunt_fail(err, -EBUSY,
			"this scheduler is running already: one run at a time, or open another "
			"scheduler");
	int rc = sched->backend->run(sched, root, arg, result, err);
	/* Release pairs with the acquire above [sched:running]. */
	__atomic_store_n(&sched->running, 0, __ATOMIC_RELEASE);
	return rc;
}

void shunt_close(struct shunt_sched *sched)
{
	if (sched)
		sched->backend->close(sched);
}

int shunt_spawn_external(struct shunt_sched *sched, struct shunt_handle *handle, shunt_task_fn *fn,
	void *arg, const struct shunt_attr *attr)
{
	int rc = sched->backend->spawn ? shunt_check_attr(sched, attr) : -ENOTSUP;
	return rc ? rc : sched->backend->spawn(sched, handle, fn, arg, attr);
}

void shunt_hold(struct shunt_sched *sched)
{
	if (sched->backend->hold)
		sched->backend->hold(sched, 1);
}

void shunt_release(struct shunt_sched *sched)
{
	if (sched->backend->hold)
		sched->backend->hold(sched, -1);
}
