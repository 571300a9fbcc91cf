/* SPDX-License-Identifier: MIT */
/*
 * The task calls of io.h: a handle into its entry, the side that the operation takes, and the
 * scheduler's way to perform it.
 */
#include "core/io.h"

#include "core/call.h"
#include "core/io_table.h"
#include "core/lock.h"
#include "core/poll.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* The context of a call; NULL: this scheduler has no I/O. */
static struct shunt_ctx *io_ctx(const char *call)
{
	struct shunt_ctx *ctx = shunt_ctx_get();

	if (__builtin_expect(!ctx, 0))
		shunt_outside_a_task(call);
	if (__builtin_expect(ctx->current->step != 0, 0))
		shunt_poll_panic(ctx->current,
			"calls %s, and has no stack for that: do it in a task with a stack", call);
	return ctx->sched->io ? ctx : NULL;
}

static struct shunt_fd handle_of(const struct shunt_io_entry *entry)
{
	return (struct shunt_fd){entry->index, entry->generation};
}

/* The entry of an open descriptor, locked; NULL: it is closed. */
static struct shunt_io_entry *lock_entry(struct shunt_ctx *ctx, struct shunt_fd fd)
{
	struct shunt_io_entry *entry = shunt_io_entry_at(ctx->sched->io->table, fd.index);

	if (!entry)
		return NULL;
	shunt_spin_lock(&entry->lock, ctx->many);
	if (shunt_io_entry_is(entry, fd.generation))
		return entry;
	shunt_spin_unlock(&entry->lock, ctx->many);
	return NULL;
}

static void unlock(struct shunt_ctx *ctx, struct shunt_io_entry *entry)
{
	shunt_spin_unlock(&entry->lock, ctx->many);
}

/* ---- operations ------------------------------------------------------------------------------ */

/* The side is left: whoever closes may wait for that. */
static void leave(struct shunt_io_entry *entry, enum shunt_io_side side)
{
	struct shunt_ctx *ctx = shunt_ctx_get(); /* another worker's, perhaps */
	struct shunt_task *closer = NULL;

	shunt_spin_lock(&entry->lock, ctx->many);
	entry->side[side].busy = false;
	if (entry->closing && !entry->side[!side].busy)
		closer = shunt_io_waiter_end(&entry->closer, 0, ctx->many);
	unlock(ctx, entry);
	if (closer)
		ctx->hooks->ready(ctx, closer);
}

static int64_t perform(const char *call, struct shunt_fd fd, struct shunt_io_op *op,
	int64_t deadline_ns)
{
	struct shunt_ctx *ctx = io_ctx(call);

	if (!ctx)
		return -ENOTSUP;
	enum shunt_io_side side = shunt_io_side_of(op);
	struct shunt_io_entry *entry = lock_entry(ctx, fd);

	if (!entry)
		return -EBADF;
	bool busy = entry->side[side].busy;
	if (!busy) {
		entry->side[side].busy = true;
		entry->side[side].drained &= !entry->ended;
		entry->side[side].came &= entry->side[side].drained;
		entry->side[side].code = op->code;
		op->fd = entry->fd;
	}
	unlock(ctx, entry);
	if (busy)
		return -EBUSY;
	int64_t result = ctx->sched->io->ops->perform(ctx, entry, op, deadline_ns);

	leave(entry, side);
	return result;
}

int64_t shunt_io_read_until(struct shunt_fd fd, void *buffer, size_t bytes, int64_t offset,
	int64_t deadline_ns)
{
	struct shunt_io_op op = {.code = SHUNT_IO_READ,
		.buffer = buffer,
		.bytes = bytes,
		.offset = offset};

	return perform(__func__, fd, &op, deadline_ns);
}

int64_t shunt_io_write_until(struct shunt_fd fd, const void *buffer, size_t bytes, int64_t offset,
	int64_t deadline_ns)
{
	struct shunt_io_op op = {.code = SHUNT_IO_WRITE,
		.buffer = (void *)(uintptr_t)buffer,
		.bytes = bytes,
		.offset = offset};

	return perform(__func__, fd, &op, deadline_ns);
}

static int64_t perform_parts(const char *call, enum shunt_io_code code, struct shunt_fd fd,
	const struct iovec *parts, unsigned count, int64_t offset, int64_t deadline_ns)
{
	struct shunt_io_op op = {.code = (uint8_t)code,
		.buffer = (void *)(uintptr_t)parts,
		.bytes = count,
		.offset = offset};

	return count > IOV_MAX ? -EINVAL : perform(call, fd, &op, deadline_ns);
}

int64_t shunt_io_readv_until(struct shunt_fd fd, const struct iovec *parts, unsigned count,
	int64_t offset, int64_t deadline_ns)
{
	return perform_parts(__func__, SHUNT_IO_READV, fd, parts, count, offset, deadline_ns);
}

int64_t shunt_io_writev_until(struct shunt_fd fd, const struct iovec *parts, unsigned count,
	int64_t offset, int64_t deadline_ns)
{
	return perform_parts(__func__, SHUNT_IO_WRITEV, fd, parts, count, offset, deadline_ns);
}

int64_t shunt_io_recv_until(struct shunt_fd fd, void *buffer, size_t bytes, int flags,
	int64_t deadline_ns)
{
	struct shunt_io_op op = {.code = SHUNT_IO_RECV,
		.buffer = buffer,
		.bytes = bytes,
		.flags = flags};

	return perform(__func__, fd, &op, deadline_ns);
}

int64_t shunt_io_send_until(struct shunt_fd fd, const void *buffer, size_t bytes, int flags,
	int64_t deadline_ns)
{
	struct shunt_io_op op = {.code = SHUNT_IO_SEND,
		.buffer = (void *)(uintptr_t)buffer,
		.bytes = bytes,
		.flags = flags | MSG_NOSIGNAL};

	return perform(__func__, fd, &op, deadline_ns);
}

int shunt_io_connect_until(struct shunt_fd fd, const struct sockaddr *address, size_t bytes,
	int64_t deadline_ns)
{
	struct shunt_io_op op = {.code = SHUNT_IO_CONNECT,
		.buffer = (void *)(uintptr_t)address,
		.bytes = bytes};

	return (int)perform(__func__, fd, &op, deadline_ns);
}

int shunt_io_fsync_until(struct shunt_fd fd, int64_t deadline_ns)
{
	struct shunt_io_op op = {.code = SHUNT_IO_FSYNC};

	return (int)perform(__func__, fd, &op, deadline_ns);
}

/* ---- new descriptors ------------------------------------------------------------------------- */

/* An entry for a descriptor that is this process's own. */
static int enter_new(struct shunt_io_table *table, int number, struct shunt_fd *fd)
{
	struct shunt_io_entry *entry = shunt_io_entry_new(table, number);

	if (!entry)
		return -ENOMEM;
	*fd = handle_of(entry);
	return 0;
}

/* 0; -ENOTSUP: the scheduler's tasks have files alone, and this is none. */
static int fits(const struct shunt_io_sched *io, int number)
{
	struct stat st;

	if (!io->files_only)
		return 0;
	if (fstat(number, &st))
		return -errno;
	return S_ISREG(st.st_mode) || S_ISDIR(st.st_mode) || S_ISBLK(st.st_mode) ? 0 : -ENOTSUP;
}

int shunt_io_adopt(int number, struct shunt_fd *fd)
{
	struct shunt_ctx *ctx = io_ctx(__func__);

	if (!ctx)
		return -ENOTSUP;
	int before = errno, flags = fcntl(number, F_GETFL);
	int rc = flags < 0 ? -errno : fits(ctx->sched->io, number);

	bool change = !(flags & O_NONBLOCK) == ctx->sched->io->nonblocking;

	if (!rc && change && fcntl(number, F_SETFL, flags ^ O_NONBLOCK))
		rc = -errno;
	errno = before;
	return rc ? rc : enter_new(ctx->sched->io->table, number, fd);
}

int shunt_io_number(struct shunt_fd fd)
{
	struct shunt_ctx *ctx = io_ctx(__func__);

	if (!ctx)
		return -ENOTSUP;
	struct shunt_io_entry *entry = lock_entry(ctx, fd);

	if (!entry)
		return -EBADF;
	int number = entry->fd;
	unlock(ctx, entry);
	return number < 0 ? -EBADF : number;
}

/* Out of line: the task may be on another thread than before, with another errno. */
static __attribute__((noinline)) int close_number(int number)
{
	int before = errno, rc = close(number) ? -errno : 0;

	errno = before;
	return rc == -EINTR ? 0 : rc; /* Linux has closed it */
}

int shunt_io_accept_until(struct shunt_fd listener, struct shunt_fd *accepted, int64_t deadline_ns)
{
	struct shunt_ctx *ctx = io_ctx(__func__);

	if (!ctx)
		return -ENOTSUP;
	struct shunt_io_sched *io = ctx->sched->io;
	struct shunt_io_op op = {.code = SHUNT_IO_ACCEPT,
		.flags = SOCK_CLOEXEC | (io->nonblocking ? SOCK_NONBLOCK : 0)};
	int number = (int)perform(__func__, listener, &op, deadline_ns);

	if (number < 0)
		return number;
	int rc = enter_new(io->table, number, accepted);
	if (rc)
		close_number(number);
	return rc;
}

/* Closes what does not fit. Out of line, as close_number. */
static __attribute__((noinline)) int opened_fits(const struct shunt_io_sched *io, int number)
{
	int before = errno, rc = fits(io, number);

	errno = before;
	if (rc)
		close_number(number);
	return rc;
}

int shunt_io_open_until(const char *path, int flags, unsigned mode, struct shunt_fd *fd,
	int64_t deadline_ns)
{
	struct shunt_ctx *ctx = io_ctx(__func__);

	if (!ctx)
		return -ENOTSUP;
	struct shunt_io_sched *io = ctx->sched->io;
	struct shunt_io_op op = {.code = SHUNT_IO_OPEN,
		.buffer = (void *)(uintptr_t)path,
		/* A fifo is to be refused, not waited for. */
		.flags = flags | O_CLOEXEC | (io->nonblocking || io->files_only ? O_NONBLOCK : 0),
		.mode = mode};
	struct shunt_fd opened;
	int rc = enter_new(io->table, -1, &opened);

	if (rc)
		return rc;
	struct shunt_io_entry *entry = shunt_io_entry_at(io->table, opened.index);
	int number = (int)perform(__func__, opened, &op, deadline_ns);

	rc = number < 0 ? number : opened_fits(io, number);
	if (rc) {
		shunt_io_entry_free(io->table, entry);
		return rc;
	}
	entry->fd = number; /* nobody else knows the handle */
	*fd = opened;
	return 0;
}

/* ---- close ----------------------------------------------------------------------------------- */

/* Waits until both sides are left. */
static void await_sides(struct shunt_io_entry *entry)
{
	struct shunt_ctx *ctx = shunt_ctx_get();

	shunt_spin_lock(&entry->lock, ctx->many);
	bool busy = entry->side[SHUNT_IO_IN].busy || entry->side[SHUNT_IO_OUT].busy;
	if (busy)
		shunt_io_waiter_join(&entry->closer, ctx, SHUNT_WAIT_CLOSE, entry->fd);
	unlock(ctx, entry);
	if (busy)
		ctx->hooks->block(ctx, SHUNT_FOREVER);
}

int shunt_io_close(struct shunt_fd fd)
{
	struct shunt_ctx *ctx = io_ctx(__func__);

	if (!ctx)
		return -ENOTSUP;
	struct shunt_io_sched *io = ctx->sched->io;
	struct shunt_io_entry *entry = lock_entry(ctx, fd);

	if (!entry)
		return -EBADF;
	entry->closing = true;
	unlock(ctx, entry);
	io->ops->interrupt(ctx, entry);
	await_sides(entry);
	ctx = shunt_ctx_get();
	if (io->ops->forget)
		io->ops->forget(ctx, entry);
	int number = entry->fd;
	shunt_io_entry_free(io->table, entry);
	return close_number(number);
}
