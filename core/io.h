/* SPDX-License-Identifier: MIT */
/*
 * Input and output for tasks: calls that wait without holding up the worker's other tasks.
 *
 * Part of the task API, on backends with SHUNT_CAN_IO; on others every call returns -ENOTSUP. On
 * those with SHUNT_CAN_FILES alone shunt_io_adopt and shunt_io_open do so, for what is not a
 * regular file, a folder or a block device. How a call waits is the composition's choice (the slot
 * `io`); what it does is the same everywhere.
 *
 * A descriptor is named by a struct shunt_fd: one that was closed stays invalid, though the kernel
 * uses its number again. shunt owns what it was given by shunt_io_adopt, and closes with the
 * scheduler what was left open. One task at a time may read (or readv, recv, accept) and one may
 * write (or writev, send, connect, fsync); another gets -EBUSY.
 *
 * All return a negative errno on failure: -EBADF: closed, or never open; -EBUSY, see above;
 * -ETIMEDOUT: the deadline came first, and nothing was done: what was done by then is returned,
 * however late; -ECANCELED: another task closed the descriptor; and those of the system call but
 * EINTR, and EAGAIN but for connect. A buffer is the kernel's until the call returns. Short reads
 * and writes happen. No call raises SIGPIPE. Descriptors that a peer sends over a Unix socket are
 * not received, and a read that stops at one may wait for the next message.
 *
 * Context of all: task with a stack; may switch.
 */
#ifndef SHUNT_CORE_IO_H
#define SHUNT_CORE_IO_H

#include "core/sched.h"

#ifdef __cplusplus
extern "C" {
#endif

struct iovec;
struct sockaddr;

struct shunt_fd {
	uint32_t index, generation; /* private; zero is never valid */
};

/* An offset: the file's own position; the only one for what has none, as pipes and sockets. */
#define SHUNT_IO_CURRENT INT64_C(-1)

/* Takes over an open descriptor, which nobody else may use or close from now on; sets or clears
 * O_NONBLOCK as the composition needs it. 0, -EBADF, -ENOMEM, -ENOTSUP. Does not switch. */
int shunt_io_adopt(int number, struct shunt_fd *fd);

/* The kernel's number, for calls such as getsockname; -EBADF. Does not switch. */
int shunt_io_number(struct shunt_fd fd);

/* Reads up to `bytes`; 0: the end. offset: where in the file, or SHUNT_IO_CURRENT. */
int64_t shunt_io_read_until(struct shunt_fd fd, void *buffer, size_t bytes, int64_t offset,
	int64_t deadline_ns);
int64_t shunt_io_write_until(struct shunt_fd fd, const void *buffer, size_t bytes, int64_t offset,
	int64_t deadline_ns);

/* The same from and to `count` parts in turn, at most IOV_MAX; the array too is the kernel's until
 * the call returns. -EINVAL: more parts. */
int64_t shunt_io_readv_until(struct shunt_fd fd, const struct iovec *parts, unsigned count,
	int64_t offset, int64_t deadline_ns);
int64_t shunt_io_writev_until(struct shunt_fd fd, const struct iovec *parts, unsigned count,
	int64_t offset, int64_t deadline_ns);

/* flags: MSG_PEEK and the like. */
int64_t shunt_io_recv_until(struct shunt_fd fd, void *buffer, size_t bytes, int flags,
	int64_t deadline_ns);
int64_t shunt_io_send_until(struct shunt_fd fd, const void *buffer, size_t bytes, int flags,
	int64_t deadline_ns);

/* *accepted is set on success alone. */
int shunt_io_accept_until(struct shunt_fd listener, struct shunt_fd *accepted, int64_t deadline_ns);

/* After -ETIMEDOUT the attempt may go on: close the socket. -EAGAIN: the queue of a Unix listener
 * is full, which nothing tells the end of. */
int shunt_io_connect_until(struct shunt_fd fd, const struct sockaddr *address, size_t bytes,
	int64_t deadline_ns);

/* As open(2), with O_CLOEXEC. Under an io that watches descriptors it holds up the worker for as
 * long as the file system takes, and so do reads, writes and fsync of regular files. */
int shunt_io_open_until(const char *path, int flags, unsigned mode, struct shunt_fd *fd,
	int64_t deadline_ns);
int shunt_io_fsync_until(struct shunt_fd fd, int64_t deadline_ns);

/*
 * Ends the operations in progress with -ECANCELED, waits until they have returned, and closes. No
 * form with a deadline: it waits only for what it has ended itself, and to give up would leave
 * buffers with the kernel. 0, -EBADF, or what close(2) returns: the descriptor is closed all the
 * same.
 */
int shunt_io_close(struct shunt_fd fd);

static inline int64_t shunt_io_read(struct shunt_fd fd, void *buffer, size_t bytes, int64_t offset)
{
	return shunt_io_read_until(fd, buffer, bytes, offset, SHUNT_FOREVER);
}

static inline int64_t shunt_io_write(struct shunt_fd fd, const void *buffer, size_t bytes,
	int64_t offset)
{
	return shunt_io_write_until(fd, buffer, bytes, offset, SHUNT_FOREVER);
}

static inline int64_t shunt_io_readv(struct shunt_fd fd, const struct iovec *parts, unsigned count,
	int64_t offset)
{
	return shunt_io_readv_until(fd, parts, count, offset, SHUNT_FOREVER);
}

static inline int64_t shunt_io_writev(struct shunt_fd fd, const struct iovec *parts, unsigned count,
	int64_t offset)
{
	return shunt_io_writev_until(fd, parts, count, offset, SHUNT_FOREVER);
}

static inline int64_t shunt_io_recv(struct shunt_fd fd, void *buffer, size_t bytes, int flags)
{
	return shunt_io_recv_until(fd, buffer, bytes, flags, SHUNT_FOREVER);
}

static inline int64_t shunt_io_send(struct shunt_fd fd, const void *buffer, size_t bytes, int flags)
{
	return shunt_io_send_until(fd, buffer, bytes, flags, SHUNT_FOREVER);
}

static inline int shunt_io_accept(struct shunt_fd listener, struct shunt_fd *accepted)
{
	return shunt_io_accept_until(listener, accepted, SHUNT_FOREVER);
}

static inline int shunt_io_connect(struct shunt_fd fd, const struct sockaddr *address, size_t bytes)
{
	return shunt_io_connect_until(fd, address, bytes, SHUNT_FOREVER);
}

static inline int shunt_io_open(const char *path, int flags, unsigned mode, struct shunt_fd *fd)
{
	return shunt_io_open_until(path, flags, mode, fd, SHUNT_FOREVER);
}

static inline int shunt_io_fsync(struct shunt_fd fd)
{
	return shunt_io_fsync_until(fd, SHUNT_FOREVER);
}

#ifdef __cplusplus
}
#endif

#endif
