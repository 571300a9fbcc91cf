/* SPDX-License-Identifier: MIT */
/* The system calls of the operations: io_op.h. */
#include "core/io_op.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

/* Asked again, the kernel tells how an attempt ended. One that a signal interrupts goes on. */
static int64_t connect_once(struct shunt_io_op *op)
{
	int rc = connect(op->fd, op->buffer, (socklen_t)op->bytes) ? -errno : 0;

	if (rc == -EISCONN && op->again)
		return 0;
	op->again |= rc == -EINPROGRESS || rc == -EALREADY || rc == -EINTR;
	return rc == -EALREADY ? -EINPROGRESS : rc;
}

static ssize_t transfer(const struct shunt_io_op *op)
{
	bool current = op->offset < 0;

	switch (op->code) {
	case SHUNT_IO_READ:
		return current ? read(op->fd, op->buffer, op->bytes)
			       : pread(op->fd, op->buffer, op->bytes, op->offset);
	case SHUNT_IO_WRITE:
		return current ? write(op->fd, op->buffer, op->bytes)
			       : pwrite(op->fd, op->buffer, op->bytes, op->offset);
	case SHUNT_IO_READV:
		return current ? readv(op->fd, op->buffer, (int)op->bytes)
			       : preadv(op->fd, op->buffer, (int)op->bytes, op->offset);
	case SHUNT_IO_WRITEV:
		return current ? writev(op->fd, op->buffer, (int)op->bytes)
			       : pwritev(op->fd, op->buffer, (int)op->bytes, op->offset);
	case SHUNT_IO_RECV:
		return recv(op->fd, op->buffer, op->bytes, op->flags);
	case SHUNT_IO_SEND:
		return send(op->fd, op->buffer, op->bytes, op->flags);
	case SHUNT_IO_ACCEPT:
		return accept4(op->fd, NULL, NULL, op->flags);
	case SHUNT_IO_OPEN:
		return open(op->buffer, op->flags, (mode_t)op->mode);
	default:
		return fsync(op->fd);
	}
}

int64_t shunt_io_call(struct shunt_io_op *op)
{
	if (op->code == SHUNT_IO_CONNECT)
		return connect_once(op);
	ssize_t rc = transfer(op);

	return rc < 0 ? -errno : rc;
}
