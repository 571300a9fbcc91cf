/* SPDX-License-Identifier: MIT */
/*
 * Input and output: an operation is begun by the io slot's plug-in, and its task waits, if it must,
 * for an event that the wait slot collects: as it sleeps, and every few switches while it is busy.
 *
 * Where the plug-in watches, an event says that it is worth trying again, and a task that gives up
 * just withdraws. Where it submits, the event is the result: a task that gives up has the operation
 * cancelled, and waits on without a deadline, since its buffer is the kernel's until then. Either
 * way a result beats the deadline.
 *
 * An event that comes while nobody waits for it is kept in the side (`came`) until its operation
 * looks: it may come between a try that would block and the wait. One for a descriptor that was
 * closed finds another generation in the entry, and is dropped.
 *
 * A stream socket that gave less than it was asked for has no more: the next read waits without a
 * try (`drained`). Where requests are small that spares a system call in three, and 30 % of CPU
 * time (echo, 64 connections). Whatever arrives after such a read makes an event. What ended the
 * stream may have come before it, in an event that was taken then: from an end on, every read is
 * tried (epoll(7), on short reads).
 *
 * Events of a descriptor come to the worker that first had to wait for it: while that one computes,
 * they wait for its next look at the slow path, a few ms at most (ticker.c), or a checkpoint.
 */
#include "core/engine/io.h"

#include "core/engine/io_event.h"
#include "core/engine/probe.h"
#include "core/registry.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* ---- waiting --------------------------------------------------------------------------------- */

static void count_wait(const struct shunt_engine *engine, unsigned worker, int64_t delta)
{
	/* Relaxed: read by that worker as a hint, and by a verdict, which the idle lock orders
	 * after this [worker:io-waits]. */
	atomic_fetch_add_explicit(&engine->workers[worker]->io_waits, delta, memory_order_relaxed);
}

/* Is the wait over before it begins? Then says how. Context: the lock is held. */
static bool is_over(const struct shunt_engine *engine, struct shunt_io_entry *entry,
	enum shunt_io_side side, int *rc)
{
	*rc = engine->io_slot->watches && entry->closing ? -ECANCELED : 0;
	return *rc || entry->side[side].came;
}

/* Waits for an event of the side, which `worker` will collect. 0; -ECANCELED: the descriptor is
 * being closed; -ETIMEDOUT; -ENOMEM: no memory for the timer. */
static int await_event(struct shunt_ctx *ctx, struct shunt_io_entry *entry, enum shunt_io_side side,
	unsigned worker, int64_t deadline_ns)
{
	const struct shunt_engine *engine = shunt_engine_of(ctx->sched);
	struct shunt_io_waiter *waiter = &entry->side[side].waiter;
	int rc, value = 0;
	shunt_spin_lock(&entry->lock, ctx->many);
	bool waits = !is_over(engine, entry, side, &rc);
	if (waits)
		shunt_io_waiter_join(waiter, ctx, SHUNT_WAIT_IO + entry->side[side].code,
			entry->fd);
	else
		entry->side[side].came = false;
	shunt_spin_unlock(&entry->lock, ctx->many);
	if (!waits)
		return rc;
	shunt_worker_of(ctx)->io.waits++;
	count_wait(engine, worker, 1);
	rc = ctx->hooks->block(ctx, deadline_ns);
	ctx = shunt_ctx_get();
	count_wait(engine, worker, -1);
	shunt_spin_lock(&entry->lock, ctx->many);
	value = (int)waiter->result;
	waiter->task = NULL;
	if (entry->side[side].came)
		rc = 0;
	entry->side[side].came = false;
	shunt_spin_unlock(&entry->lock, ctx->many);
	return rc ? rc : value;
}

/* ---- operations ------------------------------------------------------------------------------ */

static int64_t begin(struct shunt_worker *worker, struct shunt_io_op *op, uint64_t data)
{
	const struct shunt_engine *engine = worker->engine;
	struct shunt_io_at at = {.wait = engine->wait_slot,
		.slot = worker->wait,
		.data = data,
		.io = engine->io_state};
	int before = *worker->errno_at; /* the task's own */
	int64_t result = engine->io_slot->begin(&at, op);
	*worker->errno_at = before;
	worker->io.calls += at.syscalls;
	return result;
}

static bool is_stream(int fd)
{
	int type;
	socklen_t bytes = sizeof(type);
	return !getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &bytes) && type == SOCK_STREAM;
}

/* Has this worker watch the descriptor, if none does. */
static int watch(struct shunt_worker *worker, struct shunt_io_entry *entry)
{
	int rc = 0, before = *worker->errno_at;
	/* The lock is held over the call: the other side may rely on it as soon as it is said. */
	shunt_spin_lock(&entry->lock, worker->ctx.many);
	if (!entry->watched) {
		rc = worker->engine->wait_slot->watch(worker->wait, entry->fd,
			shunt_io_data(entry, SHUNT_IO_IN));
		entry->watched = !rc;
		entry->stream = !rc && is_stream(entry->fd);
		entry->worker = worker->ctx.index;
	}
	shunt_spin_unlock(&entry->lock, worker->ctx.many);
	*worker->errno_at = before;
	return rc;
}

/* Did the operation take all that the descriptor had? */
static bool drains(const struct shunt_io_entry *entry, const struct shunt_io_op *op, int64_t result)
{
	bool reads = op->code == SHUNT_IO_READ || (op->code == SHUNT_IO_RECV && !op->flags);
	return reads && entry->side[SHUNT_IO_IN].told && result > 0 && (uint64_t)result < op->bytes;
}

static int64_t perform_watched(struct shunt_ctx *ctx, struct shunt_io_entry *entry,
	struct shunt_io_op *op, int64_t deadline_ns)
{
	enum shunt_io_side side = shunt_io_side_of(op);
	bool tries = !entry->side[side].drained;
	int64_t result;
	int rc = 0;
	entry->side[side].drained = false;
	for (bool first = true;; first = false, tries = true) {
		struct shunt_worker *worker = shunt_worker_of(ctx);
		result = tries ? begin(worker, op, 0) : SHUNT_IO_WAITS;
		worker->io.at_once += first && result != SHUNT_IO_WAITS;
		if (result != SHUNT_IO_WAITS) {
			entry->side[side].drained = drains(entry, op, result);
			return result;
		}
		if (rc == -ETIMEDOUT) /* that was the last try */
			return rc;
		rc = watch(worker, entry);
		entry->side[side].told = !rc && entry->stream;
		if (!rc)
			rc = await_event(ctx, entry, side, entry->worker, deadline_ns);
		if (rc && rc != -ETIMEDOUT)
			return rc;
		ctx = shunt_ctx_get();
	}
}

/* ---- submitted operations -------------------------------------------------------------------- */

/* Says that the side's operation is with the worker, or with none (-1). False: the descriptor is
 * being closed. */
static bool set_submitted(struct shunt_ctx *ctx, struct shunt_io_entry *entry,
	enum shunt_io_side side, int worker)
{
	shunt_spin_lock(&entry->lock, ctx->many);
	bool open = !entry->closing;
	entry->side[side].submitted = open && worker >= 0;
	entry->side[side].cancel = false;
	if (worker >= 0)
		entry->side[side].worker = (unsigned)worker;
	shunt_spin_unlock(&entry->lock, ctx->many);
	return open;
}

/* Hands the operation to the wait slot; *worker is whose. 0, -ECANCELED, or what begin() says. */
static int submit(struct shunt_ctx *ctx, struct shunt_io_entry *entry, struct shunt_io_op *op,
	unsigned *worker)
{
	enum shunt_io_side side = shunt_io_side_of(op);
	for (;;) {
		*worker = ctx->index;
		if (!set_submitted(ctx, entry, side, (int)ctx->index))
			return -ECANCELED;
		int64_t result = begin(shunt_worker_of(ctx), op, shunt_io_data(entry, side));
		if (result == SHUNT_IO_WAITS)
			return 0;
		set_submitted(ctx, entry, side, -1);
		if (result != -EAGAIN && result != -EBUSY)
			return (int)result;
		ctx->hooks->yield(ctx); /* no room for the moment */
		ctx = shunt_ctx_get();
	}
}

/* Once: what the kernel interrupted for reasons of its own is for the caller to begin again. */
static int64_t submit_and_wait(struct shunt_ctx *ctx, struct shunt_io_entry *entry,
	struct shunt_io_op *op, int64_t deadline_ns, int *why)
{
	enum shunt_io_side side = shunt_io_side_of(op);
	unsigned worker;
	int rc = submit(ctx, entry, op, &worker);
	if (rc)
		return *why = rc;
	ctx = shunt_ctx_get();
	*why = await_event(ctx, entry, side, worker, deadline_ns);
	if (*why) {
		shunt_engine_io_cancel(shunt_worker_of(shunt_ctx_get()), entry, 1U << side);
		await_event(shunt_ctx_get(), entry, side, worker, SHUNT_FOREVER);
	}
	ctx = shunt_ctx_get();
	if (!set_submitted(ctx, entry, side, -1) && !*why)
		*why = -ECANCELED;
	return entry->side[side].result;
}

static int64_t perform_submitted(struct shunt_ctx *ctx, struct shunt_io_entry *entry,
	struct shunt_io_op *op, int64_t deadline_ns)
{
	for (;;) {
		int why = 0;
		int64_t result = submit_and_wait(ctx, entry, op, deadline_ns, &why);
		if (result != -ECANCELED && result != -EINTR)
			return result;
		if (why)
			return why;
		ctx = shunt_ctx_get();
	}
}

static int64_t engine_perform(struct shunt_ctx *ctx, struct shunt_io_entry *entry,
	struct shunt_io_op *op, int64_t deadline_ns)
{
	const struct shunt_engine *engine = shunt_engine_of(ctx->sched);
	shunt_worker_of(ctx)->io.operations++;
	if (SHUNT_UNLIKELY(engine->probing))
		shunt_probe_io_begin(shunt_worker_of(ctx), op);
	int64_t result = engine->io_slot->submits ? perform_submitted(ctx, entry, op, deadline_ns)
						  : perform_watched(ctx, entry, op, deadline_ns);
	if (SHUNT_UNLIKELY(engine->probing))
		shunt_probe_io_end(shunt_worker_of(shunt_ctx_get()), op, result);
	return result;
}

static void engine_interrupt(struct shunt_ctx *ctx, struct shunt_io_entry *entry)
{
	struct shunt_task *task[SHUNT_IO_SIDES];
	if (shunt_engine_of(ctx->sched)->io_slot->submits) {
		shunt_engine_io_cancel(shunt_worker_of(ctx), entry,
			1U << SHUNT_IO_IN | 1U << SHUNT_IO_OUT);
		return;
	}
	shunt_spin_lock(&entry->lock, ctx->many);
	for (unsigned side = 0; side < SHUNT_IO_SIDES; side++)
		task[side] = shunt_io_waiter_end(&entry->side[side].waiter, -ECANCELED, ctx->many);
	shunt_spin_unlock(&entry->lock, ctx->many);
	for (unsigned side = 0; side < SHUNT_IO_SIDES; side++)
		if (task[side]) {
			shunt_worker_of(ctx)->io.cancels++;
			ctx->hooks->ready(ctx, task[side]);
		}
}

static void engine_forget(struct shunt_ctx *ctx, struct shunt_io_entry *entry)
{
	struct shunt_engine *engine = shunt_engine_of(ctx->sched);
	struct shunt_worker *worker = shunt_worker_of(ctx);
	int before = *worker->errno_at;
	if (entry->watched)
		engine->wait_slot->unwatch(engine->workers[entry->worker]->wait, entry->fd);
	*worker->errno_at = before;
}

static const struct shunt_io_ops engine_ops = {
	.perform = engine_perform,
	.interrupt = engine_interrupt,
	.forget = engine_forget,
};

/* ---- the engine's life ----------------------------------------------------------------------- */

static bool goes_with(const struct shunt_io *io, const struct shunt_wait *wait)
{
	return (!io->watches || (wait->watch && wait->unwatch && wait->collect)) &&
	       (!io->submits || (io->open ? !wait->virtual_time
					  : wait->submit && wait->cancel && wait->collect));
}

int shunt_engine_io_check(const struct shunt_engine *engine, struct shunt_error *err)
{
	char able[128] = "none of this build's";
	size_t used = 0;
	if (!engine->io_slot || goes_with(engine->io_slot, engine->wait_slot))
		return 0;
	for (const struct shunt_plugin *p = shunt_registry_waits; p->name; p++)
		if (p->object && goes_with(engine->io_slot, p->object) && used < sizeof(able))
			used += (size_t)snprintf(able + used, sizeof(able) - used, "%swait=%s",
				used ? " or " : "", p->name);
	return shunt_fail(err, -EINVAL,
		"io=%s needs a wait slot that %s, which wait=%s does not: use %s",
		engine->io_slot->name,
		engine->io_slot->open      ? "sleeps in real time"
		: engine->io_slot->submits ? "makes operations"
					   : "watches descriptors",
		engine->wait_slot->name, able);
}

int shunt_engine_io_open(struct shunt_engine *engine)
{
	if (!engine->io_slot)
		return 0;
	engine->io = (struct shunt_io_sched){.ops = &engine_ops,
		.table = shunt_io_table_new(),
		.nonblocking = engine->io_slot->watches,
		.files_only = engine->io_slot->files_only};
	engine->sched.io = &engine->io;
	if (!engine->io.table)
		return -ENOMEM;
	const struct shunt_io_config config = {.done = shunt_engine_io_done, .arg = engine};
	return engine->io_slot->open ? engine->io_slot->open(&engine->io_state, &config) : 0;
}

void shunt_engine_io_settle(struct shunt_worker *worker)
{
	const struct shunt_engine *engine = worker->engine;
	if (!engine->io_state)
		return;
	engine->io_slot->settle(engine->io_state);
	shunt_engine_io_answer(worker);
}

/* What was made for a task that the end of a failed run left before it could take it. */
static void close_untaken(void *arg, struct shunt_io_entry *entry)
{
	uint8_t code = entry->side[SHUNT_IO_IN].code;
	(void)arg;
	if (entry->side[SHUNT_IO_IN].submitted && entry->side[SHUNT_IO_IN].came &&
		entry->side[SHUNT_IO_IN].result >= 0 &&
		(code == SHUNT_IO_ACCEPT || code == SHUNT_IO_OPEN))
		close((int)entry->side[SHUNT_IO_IN].result);
}

void shunt_engine_io_close(struct shunt_engine *engine)
{
	if (engine->io_state)
		engine->io_slot->close(engine->io_state);
	if (engine->io.table)
		shunt_io_table_each(engine->io.table, close_untaken, NULL);
	shunt_io_table_free(engine->io.table);
}

static void forget_watch(void *arg, struct shunt_io_entry *entry)
{
	(void)arg;
	entry->watched = false;
	for (unsigned side = 0; side < SHUNT_IO_SIDES; side++)
		shunt_io_side_reset(entry, side);
}

void shunt_engine_io_reset(struct shunt_engine *engine)
{
	if (engine->io_slot)
		shunt_io_table_each(engine->io.table, forget_watch, NULL);
}

/* ---- SIGPIPE --------------------------------------------------------------------------------- */

static sigset_t only_sigpipe(void)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGPIPE);
	return set;
}

bool shunt_engine_io_guard(const struct shunt_engine *engine)
{
	sigset_t set = only_sigpipe(), before;
	return engine->io_slot && !pthread_sigmask(SIG_BLOCK, &set, &before) &&
	       !sigismember(&before, SIGPIPE);
}

void shunt_engine_io_unguard(void)
{
	static const struct timespec at_once = {0, 0};
	sigset_t set = only_sigpipe();
	int before = errno;
	sigtimedwait(&set, NULL, &at_once); /* a write to a closed pipe has left one */
	errno = before;
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}
