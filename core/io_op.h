/* SPDX-License-Identifier: MIT */
/* One operation of input or output, as plug-ins of the slot `io` see it, and its system call. */
#ifndef SHUNT_CORE_IO_OP_H
#define SHUNT_CORE_IO_OP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum shunt_io_code {
	SHUNT_IO_READ,
	SHUNT_IO_WRITE,
	SHUNT_IO_RECV,
	SHUNT_IO_SEND,
	SHUNT_IO_ACCEPT,
	SHUNT_IO_CONNECT,
	SHUNT_IO_OPEN,
	SHUNT_IO_FSYNC,
	SHUNT_IO_READV,
	SHUNT_IO_WRITEV,
};

/* A descriptor has one operation of each side at a time. */
enum shunt_io_side { SHUNT_IO_IN, SHUNT_IO_OUT, SHUNT_IO_SIDES };

/* Lives on the stack of its task until the task goes on, which is never before the kernel has done
 * with it. */
struct shunt_io_op {
	uint8_t code; /* a SHUNT_IO_ of the first enum */
	bool again;   /* its system call was made before, and has to be completed */
	int fd;       /* -1 for open */
	int flags;    /* of recv, send, accept and open */
	unsigned mode;
	void *buffer;             /* or the path, the address, or the parts: struct iovec */
	size_t bytes;             /* of readv and writev: how many parts */
	int64_t offset;           /* -1: the file's position */
	struct shunt_io_op *next; /* these two are the io slot's */
	uint64_t data;
};

static inline enum shunt_io_side shunt_io_side_of(const struct shunt_io_op *op)
{
	return op->code == SHUNT_IO_READ || op->code == SHUNT_IO_RECV ||
			       op->code == SHUNT_IO_ACCEPT || op->code == SHUNT_IO_OPEN ||
			       op->code == SHUNT_IO_READV
		       ? SHUNT_IO_IN
		       : SHUNT_IO_OUT;
}

/*
 * Makes the system call of an operation once. Its result, or a negative errno: -EINTR: nothing was
 * done, call again; -EAGAIN: it would block; -EINPROGRESS: a connection is being made, call again
 * when the socket is writable. Blocks if the descriptor does. Any thread.
 */
int64_t shunt_io_call(struct shunt_io_op *op);

#endif
