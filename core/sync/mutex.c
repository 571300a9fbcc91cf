/* SPDX-License-Identifier: MIT */
/*
 * Mutex with hand-over: unlock makes the first waiter the owner, so no waiter starves and none has
 * to try again. The price, a switch per contended hand-over, is what the workload `lock` measures.
 */
#include "core/sync/waiters.h"

/* Makes the task the owner; NULL: nobody. */
static inline void give_to(struct shunt_mutex *mutex, struct shunt_task *task)
{
	mutex->owner = (struct shunt_handle){task, task ? shunt_task_generation(task) : 0};
}

/* 0: owned now. 1: joined the waiters, must block. -EDEADLK: owned already. */
static inline int own_or_join(struct shunt_mutex *mutex, struct shunt_ctx *ctx)
{
	int rc = 0;
	shunt_spin_lock(&mutex->waiters.lock, ctx->many);
	if (!mutex->owner.task) {
		give_to(mutex, ctx->current);
	} else if (shunt_mutex_is_own(mutex, ctx)) {
		rc = -EDEADLK;
	} else {
		shunt_waiters_join(&mutex->waiters, ctx, SHUNT_WAIT_MUTEX);
		rc = 1;
	}
	shunt_spin_unlock(&mutex->waiters.lock, ctx->many);
	return rc;
}

int shunt_mutex_lock(struct shunt_mutex *mutex)
{
	struct shunt_ctx *ctx = shunt_sync_ctx(__func__);
	int rc = own_or_join(mutex, ctx);
	return rc <= 0 ? rc : ctx->hooks->block(ctx, SHUNT_FOREVER);
}

int shunt_mutex_lock_until(struct shunt_mutex *mutex, int64_t deadline_ns)
{
	struct shunt_ctx *ctx = shunt_sync_ctx(__func__);
	int rc = own_or_join(mutex, ctx);
	return rc <= 0 ? rc
		       : shunt_waiters_block_until(&mutex->waiters, ctx, &mutex->waiters.lock,
				 deadline_ns);
}

int shunt_mutex_lock_poll(struct shunt_mutex *mutex, int64_t deadline_ns)
{
	struct shunt_ctx *ctx = shunt_poll_ctx(__func__);
	if (shunt_poll_returns(ctx->current, mutex, __func__))
		return shunt_waiters_polled(&mutex->waiters, ctx, &mutex->waiters.lock);
	return shunt_poll_result(ctx->current, shunt_mutex_lock_until(mutex, deadline_ns));
}

bool shunt_mutex_try_lock(struct shunt_mutex *mutex)
{
	struct shunt_ctx *ctx = shunt_sync_ctx(__func__);
	shunt_spin_lock(&mutex->waiters.lock, ctx->many);
	bool taken = !mutex->owner.task;
	if (taken)
		give_to(mutex, ctx->current);
	shunt_spin_unlock(&mutex->waiters.lock, ctx->many);
	return taken;
}

int shunt_mutex_unlock(struct shunt_mutex *mutex)
{
	struct shunt_ctx *ctx = shunt_sync_ctx(__func__);
	struct shunt_granted granted = {NULL, NULL};
	int rc = -EPERM;
	shunt_spin_lock(&mutex->waiters.lock, ctx->many);
	if (shunt_mutex_is_own(mutex, ctx)) {
		granted = shunt_waiters_claim(&mutex->waiters, ctx->many, false, NULL, 0);
		give_to(mutex, granted.task);
		rc = 0;
	}
	shunt_spin_unlock(&mutex->waiters.lock, ctx->many);
	shunt_grant(ctx, granted);
	return rc;
}
