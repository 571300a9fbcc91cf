/* SPDX-License-Identifier: MIT */
/*
 * Counting semaphore. A post with a waiter hands the unit over: the count stays zero, and nobody
 * can overtake the waiter.
 */
#include "core/sync/waiters.h"

void shunt_semaphore_init(struct shunt_semaphore *semaphore, int64_t count)
{
	*semaphore = (struct shunt_semaphore){.count = count};
}

/* True: a unit was taken. False: the caller has joined the waiters and must block. */
static inline bool take_or_join(struct shunt_semaphore *semaphore, struct shunt_ctx *ctx)
{
	shunt_spin_lock(&semaphore->waiters.lock, ctx->many);
	bool taken = semaphore->count > 0;
	if (taken)
		semaphore->count--;
	else
		shunt_waiters_join(&semaphore->waiters, ctx, SHUNT_WAIT_SEMAPHORE);
	shunt_spin_unlock(&semaphore->waiters.lock, ctx->many);
	return taken;
}

int shunt_semaphore_wait(struct shunt_semaphore *semaphore)
{
	struct shunt_ctx *ctx = shunt_sync_ctx(__func__);
	return take_or_join(semaphore, ctx) ? 0 : ctx->hooks->block(ctx, SHUNT_FOREVER);
}

static inline int wait_until(struct shunt_semaphore *semaphore, struct shunt_ctx *ctx,
	int64_t deadline_ns)
{
	if (take_or_join(semaphore, ctx))
		return 0;
	return shunt_waiters_block_until(&semaphore->waiters, ctx, &semaphore->waiters.lock,
		deadline_ns);
}

int shunt_semaphore_wait_until(struct shunt_semaphore *semaphore, int64_t deadline_ns)
{
	return wait_until(semaphore, shunt_sync_ctx(__func__), deadline_ns);
}

int shunt_semaphore_wait_poll(struct shunt_semaphore *semaphore, int64_t deadline_ns)
{
	struct shunt_ctx *ctx = shunt_poll_ctx(__func__);
	if (shunt_poll_returns(ctx->current, semaphore, __func__))
		return shunt_waiters_polled(&semaphore->waiters, ctx, &semaphore->waiters.lock);
	return shunt_poll_result(ctx->current, wait_until(semaphore, ctx, deadline_ns));
}

bool shunt_semaphore_try_wait(struct shunt_semaphore *semaphore)
{
	struct shunt_ctx *ctx = shunt_sync_ctx(__func__);
	shunt_spin_lock(&semaphore->waiters.lock, ctx->many);
	bool taken = semaphore->count > 0;
	if (taken)
		semaphore->count--;
	shunt_spin_unlock(&semaphore->waiters.lock, ctx->many);
	return taken;
}

void shunt_semaphore_post(struct shunt_semaphore *semaphore)
{
	struct shunt_ctx *ctx = shunt_sync_ctx(__func__);
	shunt_spin_lock(&semaphore->waiters.lock, ctx->many);
	struct shunt_granted granted =
		shunt_waiters_claim(&semaphore->waiters, ctx->many, false, NULL, 0);
	if (!granted.task)
		semaphore->count++;
	shunt_spin_unlock(&semaphore->waiters.lock, ctx->many);
	shunt_grant(ctx, granted);
}
