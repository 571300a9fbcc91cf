/* SPDX-License-Identifier: MIT */
/*
 * Bounded channel of pointers, for any number of senders and receivers; capacity 0 is a rendezvous.
 *
 * One lock, senders.lock, guards the ring and both lists. Invariants under it: receivers wait only
 * while the ring is empty and no sender waits; senders wait only while the ring is full. So a value
 * goes straight from a sender to a waiting receiver, and order is first in, first out.
 */
#include "core/sync/waiters.h"

#include <stdlib.h>

int shunt_channel_init(struct shunt_channel *channel, size_t capacity)
{
	*channel = (struct shunt_channel){.capacity = capacity};
	if (capacity) {
		channel->ring = calloc(capacity, sizeof(*channel->ring));
		if (!channel->ring)
			return -ENOMEM;
	}
	return 0;
}

void shunt_channel_fini(struct shunt_channel *channel)
{
	free(channel->ring);
	channel->ring = NULL;
}

static void ring_put(struct shunt_channel *channel, void *value)
{
	size_t at = channel->head + channel->count++;
	channel->ring[at >= channel->capacity ? at - channel->capacity : at] = value;
}

static void *ring_take(struct shunt_channel *channel)
{
	void *value = channel->ring[channel->head];
	channel->head = channel->head + 1 == channel->capacity ? 0 : channel->head + 1;
	channel->count--;
	return value;
}

/* What an attempt under the lock came to. */
enum { DONE = 0, MUST_BLOCK = 1 };

/* Sends if that is possible now; else joins the senders. */
static int send_or_join(struct shunt_channel *channel, struct shunt_ctx *ctx, void *value,
	struct shunt_granted *granted)
{
	if (channel->closed)
		return -EPIPE;
	*granted = shunt_waiters_claim(&channel->receivers, ctx->many, true, value, 0);
	if (granted->task)
		return DONE;
	if (channel->count < channel->capacity) {
		ring_put(channel, value);
		return DONE;
	}
	ctx->current->wait_value = value;
	shunt_waiters_join(&channel->senders, ctx, SHUNT_WAIT_SEND);
	return MUST_BLOCK;
}

int shunt_channel_send_until(struct shunt_channel *channel, void *value, int64_t deadline_ns)
{
	struct shunt_ctx *ctx = shunt_sync_ctx(__func__);
	struct shunt_task *self = ctx->current;
	struct shunt_granted granted = {.task = NULL};
	shunt_spin_lock(&channel->senders.lock, ctx->many);
	int rc = send_or_join(channel, ctx, value, &granted);
	shunt_spin_unlock(&channel->senders.lock, ctx->many);
	shunt_grant(ctx, granted);
	if (rc != MUST_BLOCK)
		return rc;
	rc = shunt_waiters_block_until(&channel->senders, ctx, &channel->senders.lock, deadline_ns);
	return rc ? rc : self->wait_result;
}

int shunt_channel_send_poll(struct shunt_channel *channel, void *value, int64_t deadline_ns)
{
	struct shunt_ctx *ctx = shunt_poll_ctx(__func__);
	struct shunt_task *self = ctx->current;
	if (!shunt_poll_returns(self, &channel->senders, __func__))
		return shunt_poll_result(self,
			shunt_channel_send_until(channel, value, deadline_ns));
	int rc = shunt_waiters_polled(&channel->senders, ctx, &channel->senders.lock);
	return rc ? rc : self->wait_result;
}

int shunt_channel_send(struct shunt_channel *channel, void *value)
{
	return shunt_channel_send_until(channel, value, SHUNT_FOREVER);
}

/* Receives if that is possible now; else joins the receivers. */
static int receive_or_join(struct shunt_channel *channel, struct shunt_ctx *ctx, void **value,
	struct shunt_granted *granted)
{
	if (channel->count) {
		*value = ring_take(channel);
		*granted = shunt_waiters_claim(&channel->senders, ctx->many, false, NULL, 0);
		if (granted->task)
			ring_put(channel, granted->value);
		return DONE;
	}
	*granted = shunt_waiters_claim(&channel->senders, ctx->many, false, NULL, 0);
	if (granted->task) {
		*value = granted->value;
		return DONE;
	}
	if (channel->closed)
		return -EPIPE;
	shunt_waiters_join(&channel->receivers, ctx, SHUNT_WAIT_RECEIVE);
	return MUST_BLOCK;
}

int shunt_channel_receive_until(struct shunt_channel *channel, void **value, int64_t deadline_ns)
{
	struct shunt_ctx *ctx = shunt_sync_ctx(__func__);
	struct shunt_task *self = ctx->current;
	struct shunt_granted granted = {.task = NULL};
	void *received = NULL;
	shunt_spin_lock(&channel->senders.lock, ctx->many);
	int rc = receive_or_join(channel, ctx, &received, &granted);
	shunt_spin_unlock(&channel->senders.lock, ctx->many);
	shunt_grant(ctx, granted);
	if (rc == MUST_BLOCK) {
		rc = shunt_waiters_block_until(&channel->receivers, ctx, &channel->senders.lock,
			deadline_ns);
		if (!rc) {
			rc = self->wait_result;
			received = self->wait_value;
		}
	}
	if (!rc && value)
		*value = received;
	return rc;
}

int shunt_channel_receive_poll(struct shunt_channel *channel, void **value, int64_t deadline_ns)
{
	struct shunt_ctx *ctx = shunt_poll_ctx(__func__);
	struct shunt_task *self = ctx->current;
	if (!shunt_poll_returns(self, &channel->receivers, __func__))
		return shunt_poll_result(self,
			shunt_channel_receive_until(channel, value, deadline_ns));
	int rc = shunt_waiters_polled(&channel->receivers, ctx, &channel->senders.lock);
	if (!rc)
		rc = self->wait_result;
	if (!rc && value)
		*value = self->wait_value;
	return rc;
}

int shunt_channel_receive(struct shunt_channel *channel, void **value)
{
	return shunt_channel_receive_until(channel, value, SHUNT_FOREVER);
}

void shunt_channel_close(struct shunt_channel *channel)
{
	struct shunt_ctx *ctx = shunt_sync_ctx(__func__);
	shunt_spin_lock(&channel->senders.lock, ctx->many);
	channel->closed = true;
	struct shunt_task *receivers =
		shunt_waiters_claim_all(&channel->receivers, ctx->many, true, -EPIPE);
	struct shunt_task *senders =
		shunt_waiters_claim_all(&channel->senders, ctx->many, false, -EPIPE);
	shunt_spin_unlock(&channel->senders.lock, ctx->many);
	shunt_grant_all(ctx, receivers);
	shunt_grant_all(ctx, senders);
}
