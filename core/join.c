/* SPDX-License-Identifier: MIT */
/*
 * A task's beginning and its end, and who joins whom: a state machine in one word, task->joiner.
 *
 *   NONE -> the joiner -> DETACHED   the end hands over, or a joiner with a deadline takes it
 *   NONE -> ENDED -> DETACHED        of all who find it ended one takes it, and it releases it
 *   NONE -> DETACHED                 nobody will join; the end releases it
 *   the joiner, TIMED -> NONE        it gave up
 *
 * A joiner without a deadline waits for the end alone: the end may write the result, release the
 * task and claim the joiner. A joiner with a deadline may stop waiting at any time, and wait for
 * something else. Therefore the end claims it under join_lock, which the joiner takes to withdraw:
 * it finds itself in the word, or finds that the task has ended, and then nobody holds its ticket
 * any more. Only the lock's holder changes the word while a TIMED joiner is there.
 *
 * NONE, ENDED and DETACHED carry the generation: a handle that has outlived its task meets another
 * value, whenever it looks.
 *
 * Whose word it is. Nearly every task begins, ends and is joined on one worker, and a
 * compare-and-swap for the end and one for the join would be a third of its life. So NONE and ENDED
 * also name the worker that spawned the task, the *host*: it changes such a word with plain loads
 * and stores, between own_begin and own_end. Any other worker must be its guest first
 * (engine/guest.c), and then uses the compare-and-swap; so does the host for as long as it has
 * guests. That is a lock which is biased (Kawachiya, Koseki, Onodera: Lock Reservation, OOPSLA
 * 2002), one for all words of a host:
 *   1. The host writes `inside` and then reads `guests`, in program order. A guest counts itself,
 *      has a fence put into the host (barrier.h), and then waits until `inside` is 0.
 *   2. If the host's read came before that fence, so did its write of `inside`: the guest waits
 *      until the host has finished, and sees the outcome. If the read came after, the host sees the
 *      guest and does not begin.
 *   3. A host that reads 0 again (acquire) sees what its guests did before they left (release).
 *   4. So no plain change races with a compare-and-swap. The compare-and-swap finds that a word
 *      names another host, or none: host and generation are part of what it compares.
 * A word that names no host (one worker, threads, fence=full, tasks from outside, a joiner that
 * gave up) is changed by compare-and-swap alone; with one worker and mt=0 without.
 */
#include "core/backend.h"
#include "core/call.h"
#include "core/lock.h"
#include "core/poll.h"

/* ---- the word -------------------------------------------------------------------------------- */

static uintptr_t joiner_load(const struct shunt_task *task)
{
	/* Acquire pairs with the release of whoever changed it [task:joiner]. */
	return __atomic_load_n(&task->joiner, __ATOMIC_ACQUIRE);
}

static void joiner_set(struct shunt_task *task, uintptr_t joiner)
{
	/* Release pairs with the acquire in joiner_load [task:joiner]. */
	__atomic_store_n(&task->joiner, joiner, __ATOMIC_RELEASE);
}

/* Is it NONE, ENDED or DETACHED of that generation, whoever the host? A task's address has no such
 * kind. */
static inline bool joiner_is(uintptr_t joiner, uintptr_t what)
{
	return (joiner & ~SHUNT_JOINER_HOST) == what;
}

/* ENDED from NONE. */
static inline uintptr_t joiner_ended(uintptr_t none)
{
	return none - SHUNT_JOINER_NONE + SHUNT_JOINER_ENDED;
}

static inline bool joiner_is_task(uintptr_t joiner)
{
	return !(joiner & SHUNT_JOINER_KIND & ~SHUNT_JOINER_TIMED);
}

static inline void own_end(struct shunt_ctx *ctx)
{
	/* Release pairs with the acquire of a guest that waits [host:inside]. */
	__atomic_store_n(&ctx->inside, 0, __ATOMIC_RELEASE);
}

/* May the caller change this word, which is no task's address, with plain loads and stores? Then
 * until own_end, which must be soon. */
static inline bool own_begin(struct shunt_ctx *ctx, uintptr_t joiner)
{
	uintptr_t host = joiner & SHUNT_JOINER_HOST;
	if (!host || host != ctx->host)
		return false;
	/* Relaxed: a guest that comes has it published by its fence [host:inside]. */
	__atomic_store_n(&ctx->inside, 1, __ATOMIC_RELAXED);
	/* Of the compiler alone it forbids that guests is read before; pairs with the fence in
	 * shunt_guest_visit. */
	atomic_signal_fence(memory_order_seq_cst);
	/* Acquire pairs with the release of guests that leave [host:guests]. */
	if (__builtin_expect(!__atomic_load_n(&ctx->guests, __ATOMIC_ACQUIRE), 1))
		return true;
	own_end(ctx);
	return false;
}

/* From `joiner`, which is no task's address and was just loaded, to `next`, if that takes no
 * compare-and-swap. False: it does, or it was another value. */
static inline bool joiner_own(struct shunt_ctx *ctx, struct shunt_task *task, uintptr_t joiner,
	uintptr_t next)
{
	if (!ctx->many) {
		joiner_set(task, next);
		return true;
	}
	if (!own_begin(ctx, joiner))
		return false;
	/* Relaxed: ordered by own_begin. */
	bool same = __atomic_load_n(&task->joiner, __ATOMIC_RELAXED) == joiner;
	if (same)
		joiner_set(task, next);
	own_end(ctx);
	return same;
}

/* From *joiner, which is no task's address, to `next`; false: it was another value, which is now in
 * *joiner. Many workers only. */
static bool joiner_cas(struct shunt_ctx *ctx, struct shunt_task *task, uintptr_t *joiner,
	uintptr_t next)
{
	if (joiner_own(ctx, task, *joiner, next))
		return true;
	uintptr_t host = *joiner & SHUNT_JOINER_HOST;
	if (host && host != ctx->host)
		ctx->hooks->visit(ctx, (unsigned)(host / SHUNT_JOINER_HOST_ONE) - 1);
	/* Acquire-release pairs with itself [task:joiner]: the joiner sees the task's result, and
	 * the end sees where the joiner wants it and which wait it is to end. */
	return __atomic_compare_exchange_n(&task->joiner, joiner, next, false, __ATOMIC_ACQ_REL,
		__ATOMIC_ACQUIRE);
}

/* ---- beginning and end ----------------------------------------------------------------------- */

void shunt_task_init(struct shunt_task *task, shunt_task_fn *fn, void *arg,
	const struct shunt_attr *attr, bool detached, uintptr_t host, uint64_t id)
{
	/* Relaxed: nobody else knows the task yet. */
	uint64_t word = atomic_load_explicit(&task->word, memory_order_relaxed);
	task->fn = fn;
	task->arg = arg;
	task->value = (uintptr_t)task;
	task->saved_errno = 0;
	task->timed = false;
	task->name = attr ? attr->name : NULL;
	task->id = id;
	joiner_set(task, (word & SHUNT_WORD_GENERATION) |
				 (detached ? SHUNT_JOINER_DETACHED : host | SHUNT_JOINER_NONE));
	shunt_word_store(task, (word & SHUNT_WORD_TICKET) | SHUNT_TASK_RUNNABLE);
}

/* The end of a task with a joiner that may give up. False: it has; look again. */
static __attribute__((noinline)) bool end_timed(struct shunt_ctx *ctx, struct shunt_task *task,
	uintptr_t generation)
{
	shunt_spin_lock(&task->join_lock, ctx->many);
	uintptr_t joiner = joiner_load(task);
	bool waits = joiner_is_task(joiner) && joiner & SHUNT_JOINER_TIMED;
	struct shunt_task *waiter = (struct shunt_task *)(joiner & ~SHUNT_JOINER_TIMED);
	enum shunt_claim claim = SHUNT_CLAIM_STALE;
	if (waits) {
		/* Taken before the claim: a joiner that was claimed may release the task, and it
		 * may be another one by the time that we look again. One that was not (its deadline
		 * came first) waits for the lock to withdraw. */
		joiner_set(task, generation | SHUNT_JOINER_DETACHED);
		claim = shunt_task_claim(waiter, waiter->wait_ticket, 0, ctx->many);
		if (claim == SHUNT_CLAIM_STALE)
			joiner_set(task, generation | SHUNT_JOINER_ENDED);
	}
	shunt_spin_unlock(&task->join_lock, ctx->many);
	if (claim == SHUNT_CLAIM_MINE)
		ctx->hooks->ready(ctx, waiter);
	return waits;
}

/* The end of a task that has a joiner, or whose word takes more than a store. */
static __attribute__((noinline)) void end_met(struct shunt_ctx *ctx, struct shunt_task *task,
	uintptr_t generation)
{
	uintptr_t joiner;
	do {
		joiner = joiner_load(task);
		if (joiner_is(joiner, generation | SHUNT_JOINER_NONE) &&
			joiner_cas(ctx, task, &joiner, joiner_ended(joiner)))
			return;
		if (joiner == (generation | SHUNT_JOINER_DETACHED)) {
			ctx->hooks->release(ctx, task);
			return;
		}
		if (joiner & SHUNT_JOINER_TIMED && end_timed(ctx, task, generation))
			return;
	} while (joiner & SHUNT_JOINER_KIND);
	/* Nothing but this end can end the joiner's wait: hand over and let it return at once. */
	struct shunt_task *waiter = (struct shunt_task *)joiner;
	if (waiter->join_result)
		*waiter->join_result = task->result;
	joiner_set(task, generation | SHUNT_JOINER_DETACHED);
	enum shunt_claim claim = shunt_task_claim(waiter, waiter->wait_ticket, 0, ctx->many);
	ctx->hooks->release(ctx, task);
	if (claim == SHUNT_CLAIM_MINE)
		ctx->hooks->ready(ctx, waiter);
}

void shunt_task_end(struct shunt_ctx *ctx, struct shunt_task *task)
{
	uint64_t word = shunt_word_load(task, ctx->many);
	uintptr_t generation = word & SHUNT_WORD_GENERATION, joiner = joiner_load(task);
	/* A plain store: of a running task others change nothing but its permit, which is of no use
	 * any more; their compare-and-swap comes before, or fails. */
	shunt_word_store(task, shunt_word_with_state(word, SHUNT_TASK_ENDED));
	if (!joiner_is(joiner, generation | SHUNT_JOINER_NONE) ||
		!joiner_own(ctx, task, joiner, joiner_ended(joiner)))
		end_met(ctx, task, generation);
}

/* ---- joining --------------------------------------------------------------------------------- */

/* The result of a task that has ended; releases it. */
static int join_ended(struct shunt_ctx *ctx, struct shunt_task *task, void **result)
{
	if (result)
		*result = task->result;
	ctx->hooks->release(ctx, task);
	return 0;
}

static int join_check(struct shunt_ctx *ctx, struct shunt_handle handle)
{
	if (!handle.task)
		return -ESRCH;
	if (handle.task->sched != ctx->sched)
		return -EXDEV;
	bool self = handle.task == ctx->current &&
		    shunt_task_generation(handle.task) == handle.generation;
	return self ? -EDEADLK : 0;
}

/* Takes a task that has ended: 1, the caller is to release it; or says why not. `joiner` is what
 * was found instead of NONE. */
static int joiner_take(struct shunt_ctx *ctx, struct shunt_handle handle, uintptr_t joiner)
{
	if (joiner_is(joiner, handle.generation | SHUNT_JOINER_ENDED))
		return joiner_cas(ctx, handle.task, &joiner,
			       handle.generation | SHUNT_JOINER_DETACHED)
			       ? 1
			       : -ESRCH;
	uint64_t word = shunt_word_load(handle.task, ctx->many);
	return joiner_is_task(joiner) && (word & SHUNT_WORD_GENERATION) == handle.generation
		       ? -EBUSY
		       : -ESRCH;
}

/* Makes the caller the task's joiner. 0: it must block now. 1: the task had ended, and is taken. */
static __attribute__((noinline)) int join_begin(struct shunt_ctx *ctx, struct shunt_handle handle,
	void **result, uintptr_t timed)
{
	struct shunt_task *self = ctx->current;
	uintptr_t joiner = joiner_load(handle.task);
	/* More than once if somebody joined and gave up meanwhile. */
	while (joiner_is(joiner, handle.generation | SHUNT_JOINER_NONE)) {
		int claimed = 0;
		self->join_result = result;
		self->wait_ticket = shunt_task_prepare(self, ctx->many);
		if (joiner_cas(ctx, handle.task, &joiner, (uintptr_t)self | timed))
			return 0;
		/* Nobody was told the ticket. */
		shunt_task_unprepare(self, ctx->many, &claimed);
	}
	return joiner_take(ctx, handle, joiner);
}

/* Will joiner_own most likely do? */
static inline bool own_likely(const struct shunt_ctx *ctx, uintptr_t joiner)
{
	/* Relaxed: a guess [host:guests]. */
	return !ctx->many || (ctx->host && (joiner & SHUNT_JOINER_HOST) == ctx->host &&
				     !__atomic_load_n(&ctx->guests, __ATOMIC_RELAXED));
}

/* join_begin where no compare-and-swap is needed. -EAGAIN: it is. */
static inline int join_begin_own(struct shunt_ctx *ctx, struct shunt_handle handle, void **result)
{
	struct shunt_task *self = ctx->current;
	uintptr_t joiner = joiner_load(handle.task);
	int claimed = 0;
	if (joiner_is(joiner, handle.generation | SHUNT_JOINER_ENDED))
		return joiner_own(ctx, handle.task, joiner,
			       handle.generation | SHUNT_JOINER_DETACHED)
			       ? 1
			       : -EAGAIN;
	if (!joiner_is(joiner, handle.generation | SHUNT_JOINER_NONE) || !own_likely(ctx, joiner))
		return -EAGAIN;
	self->join_result = result;
	self->wait_ticket = shunt_task_prepare(self, ctx->many);
	if (joiner_own(ctx, handle.task, joiner, (uintptr_t)self))
		return 0;
	shunt_task_unprepare(self, ctx->many, &claimed);
	return -EAGAIN;
}

static int join_block(struct shunt_ctx *ctx)
{
	count(&ctx->count.joins);
	ctx->current->wait_what = SHUNT_WAIT_JOIN;
	return ctx->hooks->block(ctx, SHUNT_FOREVER);
}

static __attribute__((noinline)) int join_slow(struct shunt_ctx *ctx, struct shunt_handle handle,
	void **result)
{
	int rc = join_begin(ctx, handle, result, 0);
	if (rc == 0)
		return join_block(ctx);
	return rc < 0 ? rc : join_ended(ctx, handle.task, result);
}

TASK_CALL int shunt_join(struct shunt_handle handle, void **result)
{
	struct shunt_ctx *ctx = TASK_CTX();
	int rc = join_check(ctx, handle);
	if (rc)
		return rc;
	rc = join_begin_own(ctx, handle, result);
	if (rc == 0)
		return join_block(ctx);
	return rc < 0 ? join_slow(ctx, handle, result) : join_ended(ctx, handle.task, result);
}

/* The deadline has passed. 0: withdrawn, the task is joinable again; else as joiner_take. */
static int join_withdraw(struct shunt_ctx *ctx, struct shunt_handle handle, struct shunt_task *self)
{
	shunt_spin_lock(&handle.task->join_lock, ctx->many);
	uintptr_t joiner = joiner_load(handle.task);
	bool waits = joiner == ((uintptr_t)self | SHUNT_JOINER_TIMED);
	if (waits)
		joiner_set(handle.task, handle.generation | SHUNT_JOINER_NONE);
	shunt_spin_unlock(&handle.task->join_lock, ctx->many);
	return waits ? 0 : joiner_take(ctx, handle, joiner);
}

/* A join that may give up is over: the task has ended (rc is 0), or the deadline has come. */
static int join_over(struct shunt_ctx *ctx, struct shunt_handle handle, int rc, void **result)
{
	if (rc) {
		int found = join_withdraw(ctx, handle, ctx->current);
		if (found <= 0)
			return found ? found : rc;
	}
	return join_ended(ctx, handle.task, result);
}

TASK_CALL int shunt_join_until(struct shunt_handle handle, int64_t deadline_ns, void **result)
{
	struct shunt_ctx *ctx = TASK_CTX();
	int rc = join_check(ctx, handle);
	if (rc)
		return rc;
	rc = join_begin(ctx, handle, result, SHUNT_JOINER_TIMED);
	if (rc)
		return rc < 0 ? rc : join_ended(ctx, handle.task, result);
	count(&ctx->count.joins);
	ctx->current->wait_what = SHUNT_WAIT_JOIN;
	rc = ctx->hooks->block(ctx, deadline_ns);
	/* In a step nothing is over yet. */
	return rc > 0 ? rc : join_over(shunt_ctx_get(), handle, rc, result);
}

/* Always as one that may give up: the end then leaves the result for the joiner to fetch, which may
 * want it in a local variable of its second step. */
TASK_CALL int shunt_join_poll(struct shunt_handle handle, int64_t deadline_ns, void **result)
{
	struct shunt_ctx *ctx = shunt_poll_ctx(__func__);
	struct shunt_task *self = ctx->current;
	if (shunt_poll_returns(self, handle.task, __func__))
		return join_over(ctx, handle, shunt_poll_value(self), result);
	return shunt_poll_result(self, shunt_join_until(handle, deadline_ns, result));
}

TASK_CALL int shunt_detach(struct shunt_handle handle)
{
	struct shunt_ctx *ctx = TASK_CTX();
	int rc = join_check(ctx, handle);
	if (rc && rc != -EDEADLK)
		return rc;
	uintptr_t joiner = joiner_load(handle.task);
	while (joiner_is(joiner, handle.generation | SHUNT_JOINER_NONE))
		if (joiner_cas(ctx, handle.task, &joiner,
			    handle.generation | SHUNT_JOINER_DETACHED))
			return 0;
	rc = joiner_take(ctx, handle, joiner);
	return rc == 1 ? join_ended(ctx, handle.task, NULL) : rc;
}
