/* SPDX-License-Identifier: MIT */
/* Wait group: counts work in progress; those who wait go on when the count comes to zero. */
#include "core/sync/waiters.h"

void shunt_wait_group_add(struct shunt_wait_group *group, int64_t delta)
{
	struct shunt_ctx *ctx = shunt_sync_ctx(__func__);
	struct shunt_task *ready = NULL;
	shunt_spin_lock(&group->waiters.lock, ctx->many);
	group->count += delta;
	if (group->count < 0)
		shunt_panic("shunt_wait_group_add: the count fell to %lld",
			(long long)group->count);
	if (group->count == 0)
		ready = shunt_waiters_claim_all(&group->waiters, ctx->many, false, 0);
	shunt_spin_unlock(&group->waiters.lock, ctx->many);
	shunt_grant_all(ctx, ready);
}

void shunt_wait_group_done(struct shunt_wait_group *group)
{
	shunt_wait_group_add(group, -1);
}

/* True: nothing in progress. False: the caller has joined the waiters and must block. */
static inline bool zero_or_join(struct shunt_wait_group *group, struct shunt_ctx *ctx)
{
	shunt_spin_lock(&group->waiters.lock, ctx->many);
	bool zero = group->count == 0;
	if (!zero)
		shunt_waiters_join(&group->waiters, ctx, SHUNT_WAIT_GROUP);
	shunt_spin_unlock(&group->waiters.lock, ctx->many);
	return zero;
}

int shunt_wait_group_wait(struct shunt_wait_group *group)
{
	struct shunt_ctx *ctx = shunt_sync_ctx(__func__);
	return zero_or_join(group, ctx) ? 0 : ctx->hooks->block(ctx, SHUNT_FOREVER);
}

int shunt_wait_group_wait_until(struct shunt_wait_group *group, int64_t deadline_ns)
{
	struct shunt_ctx *ctx = shunt_sync_ctx(__func__);
	if (zero_or_join(group, ctx))
		return 0;
	return shunt_waiters_block_until(&group->waiters, ctx, &group->waiters.lock, deadline_ns);
}

int shunt_wait_group_wait_poll(struct shunt_wait_group *group, int64_t deadline_ns)
{
	struct shunt_ctx *ctx = shunt_poll_ctx(__func__);
	if (shunt_poll_returns(ctx->current, group, __func__))
		return shunt_waiters_polled(&group->waiters, ctx, &group->waiters.lock);
	return shunt_poll_result(ctx->current, shunt_wait_group_wait_until(group, deadline_ns));
}
