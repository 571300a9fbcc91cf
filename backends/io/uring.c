/* SPDX-License-Identifier: MIT */
/*
 * uring: the operation goes into the ring of the worker that runs the task, and its result comes
 * from there.
 *
 * Nothing is tried first, and no call is made for it: what the tasks of a turn ask for goes to the
 * kernel together, with the call that the worker makes to sleep, or at its next look while it is
 * busy. An operation stays with its ring, whatever worker the task goes on with.
 */
#include "core/engine/slots.h"
#include "core/io_op.h"

static int64_t uring_begin(struct shunt_io_at *at, struct shunt_io_op *op)
{
	int rc = at->wait->submit(at->slot, op, at->data);

	return rc ? rc : SHUNT_IO_WAITS;
}

const struct shunt_io shunt_io_uring = {
	.name = "uring",
	.summary = "each operation goes into the worker's io_uring, together with others",
	.submits = true,
	.begin = uring_begin,
};
