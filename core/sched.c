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
#include "core/lock.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* Initial-exec: one load from the thread pointer; this is an executable, not a plug-in of one. */
static __thread struct shunt_ctx *current_ctx __attribute__((tls_model("initial-exec")));

/* noipa where there is one: inlined into a task's code, a compiler may keep the address of
 * current_ctx over a switch to another thread. */
#if defined(__clang__)
#define SHUNT_OPAQUE __attribute__((noinline, optnone))
#else
#define SHUNT_OPAQUE __attribute__((noipa))
#endif

/* A call that tasks make: never inlined into theirs either, which matters where whole programs are
 * optimised (-flto). */
#if defined(__clang__)
#define TASK_CALL __attribute__((noinline))
#else
#define TASK_CALL __attribute__((noipa))
#endif

SHUNT_OPAQUE struct shunt_ctx *shunt_ctx_get(void)
{
	return current_ctx;
}

struct shunt_ctx *shunt_ctx_set(struct shunt_ctx *ctx)
{
	struct shunt_ctx *previous = current_ctx;
	current_ctx = ctx;
	return previous;
}

_Noreturn void shunt_panic(const char *format, ...)
{
	va_list args;
	va_start(args, format);
	fputs("shunt: ", stderr);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
	va_end(args);
	abort();
}

static _Noreturn __attribute__((cold, noinline)) void outside_a_task(const char *call)
{
	shunt_panic("%s called outside a task: only tasks of a running scheduler may call it",
		call);
}

/* The context of a call that only tasks may make. */
#define TASK_CTX()                                                                                 \
	({                                                                                         \
		struct shunt_ctx *ctx_ = current_ctx;                                              \
		if (__builtin_expect(!ctx_, 0))                                                    \
			outside_a_task(__func__);                                                  \
		ctx_;                                                                              \
	})

static inline void count(uint64_t *counter)
{
	++*counter;
}

/* ---- giving way, time ----------------------------------------------------------------------- */

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

int64_t shunt_now_ns(void)
{
	struct timespec now;
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

/* ---- parking -------------------------------------------------------------------------------- */

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
	struct shunt_ctx *ctx = current_ctx;
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

/* ---- a task's life -------------------------------------------------------------------------- */

/* May a task be put where its attributes say? */
static int check_attr(const struct shunt_sched *sched, const struct shunt_attr *attr)
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
		int rc = check_attr(ctx->sched, attr);
		if (rc)
			return rc;
	}
	return ctx->hooks->spawn(ctx, handle, fn, arg, attr);
}

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

/* From *joiner to `next`; false: it was another value, which is now in *joiner. */
static inline bool joiner_cas(struct shunt_task *task, uintptr_t *joiner, uintptr_t next, bool many)
{
	if (many)
		/* Acquire-release pairs with itself [task:joiner]: the joiner sees the task's result, and
		 * the end sees where the joiner wants it and which wait it is to end. */
		return __atomic_compare_exchange_n(&task->joiner, joiner, next, false,
			__ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
	bool same = task->joiner == *joiner;
	*joiner = task->joiner;
	if (same)
		task->joiner = next;
	return same;
}

void shunt_task_init(struct shunt_task *task, shunt_task_fn *fn, void *arg,
	const struct shunt_attr *attr, bool detached, uint64_t id)
{
	/* Relaxed: nobody else knows the task yet. */
	uint64_t word = atomic_load_explicit(&task->word, memory_order_relaxed);
	task->fn = fn;
	task->arg = arg;
	task->value = (uintptr_t)task;
	task->saved_errno = 0;
	task->timer_ticket = 0;
	task->name = attr ? attr->name : NULL;
	task->id = id;
	joiner_set(task, (word & SHUNT_WORD_GENERATION) |
				 (detached ? SHUNT_JOINER_DETACHED : SHUNT_JOINER_NONE));
	shunt_word_store(task, (word & SHUNT_WORD_TICKET) | SHUNT_TASK_RUNNABLE);
}

/*
 * Who joins whom: a state machine in one word, task->joiner.
 *
 *   NONE -> the joiner -> DETACHED   the end hands over, or a joiner with a deadline takes it
 *   NONE -> ENDED -> DETACHED        of all who find it ended one takes it, and alone may release it
 *   NONE -> DETACHED                 nobody will join; the end releases it
 *   the joiner, TIMED -> NONE        it gave up
 *
 * A joiner without a deadline waits for nothing but the end: the end may write its result, release the
 * task and claim it. One with a deadline may stop waiting, and wait for something else, at any time.
 * Therefore the end claims it under join_lock, which it takes to withdraw: it finds either itself, or
 * that the task has ended, and then nobody holds on to its ticket any more. Only the lock's holder
 * changes the word while a TIMED joiner is there.
 *
 * NONE, ENDED and DETACHED carry the generation: a handle that has outlived its task meets another
 * value, whenever it looks.
 */

static inline bool joiner_is_task(uintptr_t joiner)
{
	return !(joiner & SHUNT_JOINER_KIND & ~SHUNT_JOINER_TIMED);
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
		/* Taken before the claim: a joiner that was claimed may release the task, and it may be
		 * another one by the time that we look again. One that was not (its deadline came first)
		 * waits for the lock to withdraw. */
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

void shunt_task_end(struct shunt_ctx *ctx, struct shunt_task *task)
{
	uint64_t word = shunt_word_load(task, ctx->many);
	uintptr_t generation = word & SHUNT_WORD_GENERATION, joiner;
	/* A plain store: of a running task others change nothing but its permit, which is of no use any
	 * more; their compare-and-swap comes before, or fails. */
	shunt_word_store(task, shunt_word_with_state(word, SHUNT_TASK_ENDED));
	do {
		joiner = joiner_load(task);
		if (joiner == (generation | SHUNT_JOINER_NONE) &&
			joiner_cas(task, &joiner, generation | SHUNT_JOINER_ENDED, ctx->many))
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

/* Takes a task that has ended: 1, the caller is to release it; or says why not. `joiner` is what was
 * found instead of NONE. */
static int joiner_take(struct shunt_handle handle, uintptr_t joiner, bool many)
{
	if (joiner == (handle.generation | SHUNT_JOINER_ENDED))
		return joiner_cas(handle.task, &joiner, handle.generation | SHUNT_JOINER_DETACHED,
			       many)
			       ? 1
			       : -ESRCH;
	uint64_t word = shunt_word_load(handle.task, many);
	return joiner_is_task(joiner) && (word & SHUNT_WORD_GENERATION) == handle.generation
		       ? -EBUSY
		       : -ESRCH;
}

/* Makes the caller the task's joiner. 0: it must block now. 1: the task had ended, and is taken. */
static inline int join_begin(struct shunt_ctx *ctx, struct shunt_handle handle, void **result,
	uintptr_t timed)
{
	struct shunt_task *self = ctx->current;
	uintptr_t joiner = joiner_load(handle.task);
	if (joiner == (handle.generation | SHUNT_JOINER_NONE)) {
		int claimed = 0;
		self->join_result = result;
		self->wait_ticket = shunt_task_prepare(self, ctx->many);
		if (joiner_cas(handle.task, &joiner, (uintptr_t)self | timed, ctx->many))
			return 0;
		/* Nobody was told the ticket. */
		shunt_task_unprepare(self, ctx->many, &claimed);
	}
	return joiner_take(handle, joiner, ctx->many);
}

TASK_CALL int shunt_join(struct shunt_handle handle, void **result)
{
	struct shunt_ctx *ctx = TASK_CTX();
	int rc = join_check(ctx, handle);
	if (rc)
		return rc;
	rc = join_begin(ctx, handle, result, 0);
	if (rc == 0) {
		count(&ctx->count.joins);
		ctx->current->wait_what = SHUNT_WAIT_JOIN;
		return ctx->hooks->block(ctx, SHUNT_FOREVER);
	}
	return rc < 0 ? rc : join_ended(ctx, handle.task, result);
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
	return waits ? 0 : joiner_take(handle, joiner, ctx->many);
}

TASK_CALL int shunt_join_until(struct shunt_handle handle, int64_t deadline_ns, void **result)
{
	struct shunt_ctx *ctx = TASK_CTX();
	int rc = join_check(ctx, handle);
	if (rc)
		return rc;
	struct shunt_task *self = ctx->current;
	rc = join_begin(ctx, handle, result, SHUNT_JOINER_TIMED);
	if (rc < 0)
		return rc;
	if (rc == 0) {
		count(&ctx->count.joins);
		self->wait_what = SHUNT_WAIT_JOIN;
		rc = ctx->hooks->block(ctx, deadline_ns);
		ctx = shunt_ctx_get();
		if (rc) {
			int found = join_withdraw(ctx, handle, self);
			if (found <= 0)
				return found ? found : rc;
		}
	}
	return join_ended(ctx, handle.task, result);
}

TASK_CALL int shunt_detach(struct shunt_handle handle)
{
	struct shunt_ctx *ctx = TASK_CTX();
	int rc = join_check(ctx, handle);
	if (rc && rc != -EDEADLK)
		return rc;
	uintptr_t joiner = handle.generation | SHUNT_JOINER_NONE;
	if (joiner_cas(handle.task, &joiner, handle.generation | SHUNT_JOINER_DETACHED, ctx->many))
		return 0;
	rc = joiner_take(handle, joiner, ctx->many);
	return rc == 1 ? join_ended(ctx, handle.task, NULL) : rc;
}

/* ---- where am I ----------------------------------------------------------------------------- */

TASK_CALL struct shunt_handle shunt_self(void)
{
	struct shunt_task *task = TASK_CTX()->current;
	return (struct shunt_handle){task, shunt_task_generation(task)};
}

uint64_t shunt_task_id(void)
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

bool shunt_in_task(void)
{
	return current_ctx != NULL;
}

/* ---- embedding ------------------------------------------------------------------------------ */

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
	/* Acquire pairs with the release below [sched:running]: the next run, on whatever thread, sees what
	 * the last one left. */
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
	int rc = sched->backend->spawn ? check_attr(sched, attr) : -ENOTSUP;
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
