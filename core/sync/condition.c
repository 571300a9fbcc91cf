/* SPDX-License-Identifier: MIT */
/*
 * Condition variable. The waiter joins the list before it gives up the mutex, so no signal between
 * the two is lost; it takes the mutex again like anybody else, in turn.
 */
#include "core/sync/waiters.h"

int shunt_condition_wait_until(struct shunt_condition *condition, struct shunt_mutex *mutex,
	int64_t deadline_ns)
{
	struct shunt_ctx *ctx = shunt_sync_ctx(__func__);
	if (!shunt_mutex_is_own(mutex, ctx))
		return -EPERM;
	shunt_spin_lock(&condition->waiters.lock, ctx->many);
	shunt_waiters_join(&condition->waiters, ctx, SHUNT_WAIT_CONDITION);
	shunt_spin_unlock(&condition->waiters.lock, ctx->many);
	shunt_mutex_unlock(mutex);
	int rc = shunt_waiters_block_until(&condition->waiters, ctx, &condition->waiters.lock,
		deadline_ns);
	shunt_mutex_lock(mutex);
	return rc;
}

int shunt_condition_wait(struct shunt_condition *condition, struct shunt_mutex *mutex)
{
	return shunt_condition_wait_until(condition, mutex, SHUNT_FOREVER);
}

void shunt_condition_signal(struct shunt_condition *condition)
{
	struct shunt_ctx *ctx = shunt_sync_ctx(__func__);
	shunt_spin_lock(&condition->waiters.lock, ctx->many);
	struct shunt_granted granted =
		shunt_waiters_claim(&condition->waiters, ctx->many, false, NULL, 0);
	shunt_spin_unlock(&condition->waiters.lock, ctx->many);
	shunt_grant(ctx, granted);
}

void shunt_condition_broadcast(struct shunt_condition *condition)
{
	struct shunt_ctx *ctx = shunt_sync_ctx(__func__);
	shunt_spin_lock(&condition->waiters.lock, ctx->many);
	struct shunt_task *ready =
		shunt_waiters_claim_all(&condition->waiters, ctx->many, false, 0);
	shunt_spin_unlock(&condition->waiters.lock, ctx->many);
	shunt_grant_all(ctx, ready);
}
