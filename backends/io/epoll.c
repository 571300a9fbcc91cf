/* SPDX-License-Identifier: MIT */
/*
 * epoll: the system call first, without blocking; only if it would block does the task wait for its
 * descriptor, which the wait slot watches.
 *
 * A descriptor is watched when a task first has to wait for it, once and for all, edge-triggered:
 * one that is always ready, and a regular file, costs nothing but its operations. The file system's
 * own waits (a disk's) hold up the worker.
 */
#include "core/engine/slots.h"
#include "core/io_op.h"

#include <errno.h>

static int64_t epoll_begin(struct shunt_io_at *at, struct shunt_io_op *op)
{
	int64_t result;

	do {
		at->syscalls++;
		result = shunt_io_call(op);
	} while (result == -EINTR);
	/* A Unix listener whose queue is full: no event tells that it has room again. */
	bool waits = result == -EINPROGRESS || (result == -EAGAIN && op->code != SHUNT_IO_CONNECT);

	return waits ? SHUNT_IO_WAITS : result;
}

const struct shunt_io shunt_io_epoll = {
	.name = "epoll",
	.summary = "tries first; what would block waits for epoll and is tried again",
	.watches = true,
	.begin = epoll_begin,
};
