/* SPDX-License-Identifier: MIT */
/*
 * The list of tasks that wait on a sync object, first in, first out.
 *
 * A task waits in three steps: under the object's lock it prepares its wait and appends itself
 * (shunt_waiters_join), unlocks, and blocks by a tail call to the backend's hook. Whoever grants it
 * something writes that under the same lock, then claims it; a task whose deadline came first
 * cannot be claimed and is passed over. After a deadline the task takes itself off the list if
 * nobody has.
 *
 * Lifetime. A task that goes on may take the object with it, on its own stack or the heap. So it
 * must not go on before its claimer has unlocked: it is claimed only once its registers are saved,
 * and made ready (shunt_grant) after the unlock. The claimer waits for the save, some dozen
 * instructions of a task that holds no lock of this object any more; it may only need that of the
 * mutex it gives up (condition.c), whose holder waits for a task that needs none.
 */
#ifndef SHUNT_CORE_SYNC_WAITERS_H
#define SHUNT_CORE_SYNC_WAITERS_H

#include "core/backend.h"
#include "core/lock.h"
#include "core/poll.h"

/* The context of a call that only tasks may make. */
static inline struct shunt_ctx *shunt_sync_ctx(const char *call)
{
	struct shunt_ctx *ctx = shunt_ctx_get();
	if (__builtin_expect(!ctx, 0))
		shunt_panic("%s called outside a task: only tasks of a running scheduler may call "
			    "it",
			call);
	return ctx;
}

/* Appends the running task, its wait prepared. Context: task; the lock is held. */
static inline void shunt_waiters_join(struct shunt_waiters *waiters, struct shunt_ctx *ctx,
	enum shunt_wait_what what)
{
	struct shunt_task *self = ctx->current;
	self->wait_what = (uint8_t)what;
	self->wait_result = 0;
	self->wait_ticket = shunt_task_prepare(self, ctx->many);
	self->listed = true;
	self->wait_next = NULL;
	self->wait_prev = waiters->tail;
	if (waiters->tail)
		waiters->tail->wait_next = self;
	else
		waiters->head = self;
	waiters->tail = self;
	ctx->count.blocks++;
}

static inline void shunt_waiters_unlink(struct shunt_waiters *waiters, struct shunt_task *task)
{
	if (task->wait_prev)
		task->wait_prev->wait_next = task->wait_next;
	else
		waiters->head = task->wait_next;
	if (task->wait_next)
		task->wait_next->wait_prev = task->wait_prev;
	else
		waiters->tail = task->wait_prev;
	task->listed = false;
}

/* Claims a waiter once its registers are saved: it goes on only by shunt_grant, never by itself.
 * Context: the lock is held. */
static inline bool shunt_waiter_claim(struct shunt_task *task, bool many)
{
	unsigned spins = 0;
	for (uint64_t word; many; shunt_cpu_relax()) {
		word = shunt_word_load(task, true);
		if (shunt_word_state(word) != SHUNT_TASK_BLOCKING ||
			(word & SHUNT_WORD_TICKET) != task->wait_ticket)
			break;
		if (++spins % 128 == 0)
			shunt_poll_await(task);
	}
	return shunt_task_claim(task, task->wait_ticket, 0, many) == SHUNT_CLAIM_MINE;
}

/* Does the running task own it? A descriptor alone may be the next task's by now. Context: task;
 * its own answer cannot change under it, so no lock is needed. */
static inline bool shunt_mutex_is_own(const struct shunt_mutex *mutex, const struct shunt_ctx *ctx)
{
	return mutex->owner.task == ctx->current &&
	       mutex->owner.generation == shunt_task_generation(ctx->current);
}

/* One waiter that was claimed, for shunt_grant once the caller has unlocked. */
struct shunt_granted {
	struct shunt_task *task; /* NULL: nobody waits */
	void *value;             /* its wait_value before the claim */
};

/* Claims the first waiter that can be claimed, after handing it `value` and `result` if `hand`.
 * Context: the lock is held. */
static inline struct shunt_granted shunt_waiters_claim(struct shunt_waiters *waiters, bool many,
	bool hand, void *value, int result)
{
	struct shunt_task *task;
	while ((task = waiters->head)) {
		void *offered = task->wait_value;
		shunt_waiters_unlink(waiters, task);
		if (hand)
			task->wait_value = value;
		task->wait_result = result;
		if (shunt_waiter_claim(task, many))
			return (struct shunt_granted){task, offered};
	}
	return (struct shunt_granted){NULL, NULL};
}

static inline void shunt_grant(struct shunt_ctx *ctx, struct shunt_granted granted)
{
	if (granted.task)
		ctx->hooks->ready(ctx, granted.task);
}

/* Claims every waiter; returns those to make ready as a chain through wait_next, for
 * shunt_grant_all. Context: the lock is held. */
static inline struct shunt_task *shunt_waiters_claim_all(struct shunt_waiters *waiters, bool many,
	bool hand, int result)
{
	struct shunt_task *ready = NULL, **tail = &ready;
	struct shunt_granted granted;
	while ((granted = shunt_waiters_claim(waiters, many, hand, NULL, result)).task) {
		granted.task->wait_next = NULL;
		*tail = granted.task;
		tail = &granted.task->wait_next;
	}
	return ready;
}

static inline void shunt_grant_all(struct shunt_ctx *ctx, struct shunt_task *ready)
{
	while (ready) {
		struct shunt_task *task = ready;
		ready = task->wait_next;
		ctx->hooks->ready(ctx, task);
	}
}

/* The wait of `self` on a list ended with rc, or (in a step) has only been registered. Takes it off
 * the list if the deadline, or a refusal of the timer, ended it. Returns rc. */
static inline int shunt_waiters_over(struct shunt_waiters *waiters, struct shunt_task *self,
	bool many, int *lock, int rc)
{
	if (rc < 0) {
		shunt_spin_lock(lock, many);
		if (self->listed)
			shunt_waiters_unlink(waiters, self);
		shunt_spin_unlock(lock, many);
	}
	return rc;
}

/* Blocks the running task, which has joined `waiters` and unlocked, until the deadline. */
static inline int shunt_waiters_block_until(struct shunt_waiters *waiters, struct shunt_ctx *ctx,
	int *lock, int64_t deadline_ns)
{
	struct shunt_task *self = ctx->current;
	bool many = ctx->many;
	int rc = ctx->hooks->block(ctx, deadline_ns);
	return shunt_waiters_over(waiters, self, many, lock, rc);
}

/* The same for the second call of a poll. */
static inline int shunt_waiters_polled(struct shunt_waiters *waiters, const struct shunt_ctx *ctx,
	int *lock)
{
	return shunt_waiters_over(waiters, ctx->current, ctx->many, lock,
		shunt_poll_value(ctx->current));
}

#endif
