/* SPDX-License-Identifier: MIT */
/*
 * Condition variable. The waiter joins the list before it gives up the mutex, so no signal between
 * the two is lost; it takes the mutex again like anybody else, in turn.
 */
#include "core/sync/waiters.h"

/* Gives up the mutex and waits. -EPERM: the caller does not own it. */
static int wait_for_signal(struct shunt_condition *condition, struct shunt_mutex *mutex,
	struct shunt_ctx *ctx, int64_t deadline_ns)
{
	if (!shunt_mutex_is_own(mutex, ctx))
		return -EPERM;
	shunt_spin_lock(&condition->waiters.lock, ctx->many);
	shunt_waiters_join(&condition->waiters, ctx, SHUNT_WAIT_CONDITION);
	shunt_spin_unlock(&condition->waiters.lock, ctx->many);
	shunt_mutex_unlock(mutex);
	return shunt_waiters_block_until(&condition->waiters, ctx, &condition->waiters.lock,
		deadline_ns);
}

int shunt_condition_wait_until(struct shunt_condition *condition, struct shunt_mutex *mutex,
	int64_t deadline_ns)
{
	int rc = wait_for_signal(condition, mutex, shunt_sync_ctx(__func__), deadline_ns);
	if (rc != -EPERM)
		shunt_mutex_lock(mutex);
	return rc;
}

/* The second of the two waits, for the mutex; how the first one ended is kept in wait_value. */
static int lock_again(struct shunt_ctx *ctx, struct shunt_mutex *mutex, int rc)
{
	ctx->current->wait_value = (void *)(intptr_t)rc;
	shunt_poll_begin(ctx->current, mutex);
	int locked = shunt_poll_result(ctx->current, shunt_mutex_lock_until(mutex, SHUNT_FOREVER));
	return locked == SHUNT_STEP_WAIT ? locked : rc;
}

int shunt_condition_wait_poll(struct shunt_condition *condition, struct shunt_mutex *mutex,
	int64_t deadline_ns)
{
	struct shunt_ctx *ctx = shunt_poll_ctx(__func__);
	struct shunt_task *self = ctx->current;
	if (shunt_poll_is_over(self, mutex))
		return shunt_poll_result(self, (int)(intptr_t)self->wait_value);
	if (shunt_poll_returns(self, condition, __func__))
		return lock_again(ctx, mutex,
			shunt_waiters_polled(&condition->waiters, ctx, &condition->waiters.lock));
	int rc = wait_for_signal(condition, mutex, ctx, deadline_ns);
	if (rc == SHUNT_STEP_WAIT || rc == -EPERM)
		return shunt_poll_result(self, rc);
	return lock_again(ctx, mutex, rc);
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
