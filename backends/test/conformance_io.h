/* SPDX-License-Identifier: MIT */
/* What the clauses about input and output share. */
#ifndef SHUNT_BACKENDS_TEST_CONFORMANCE_IO_H
#define SHUNT_BACKENDS_TEST_CONFORMANCE_IO_H

#include "backends/test/conformance.h"

#include "core/io.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#define IO (SHUNT_CAN_BLOCK | SHUNT_TIMED | SHUNT_CAN_IO)

#define FILES (SHUNT_CAN_BLOCK | SHUNT_TIMED | SHUNT_CAN_FILES)

#define SOON (shunt_now_ns() + 3 * MS)

struct pair {
	struct shunt_fd end[2]; /* of a pipe: 0 reads, 1 writes */
};

static inline int adopt_both(const int *number, struct pair *pair)
{
	int rc = shunt_io_adopt(number[0], &pair->end[0]);
	return rc ? rc : shunt_io_adopt(number[1], &pair->end[1]);
}

static inline int open_pipe(struct pair *pair)
{
	int number[2];
	return pipe2(number, O_CLOEXEC) ? -errno : adopt_both(number, pair);
}

static inline int open_sockets(struct pair *pair)
{
	int number[2];
	return socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, number)
		       ? -errno
		       : adopt_both(number, pair);
}

static inline int close_both(struct pair *pair)
{
	int rc = shunt_io_close(pair->end[0]), other = shunt_io_close(pair->end[1]);
	return rc ? rc : other;
}

static inline int64_t read_char(struct shunt_fd fd, char *c)
{
	return shunt_io_read(fd, c, 1, SHUNT_IO_CURRENT);
}

static inline int64_t write_char(struct shunt_fd fd, char c)
{
	return shunt_io_write(fd, &c, 1, SHUNT_IO_CURRENT);
}

/* Waits until a task is in an operation of that descriptor: another one is then refused. */
static inline void await_reader(struct shunt_fd fd)
{
	char c;
	while (shunt_io_read_until(fd, &c, 0, SHUNT_IO_CURRENT, 1) != -EBUSY)
		give_way();
	give_way();
}

struct reader {
	struct shunt_fd fd;
	int64_t deadline_ns, result;
	char c;
	int done; /* by count_up */
};

static inline void *read_one(void *arg)
{
	struct reader *reader = arg;
	/* await_reader may be looking. */
	while ((reader->result = shunt_io_read_until(reader->fd, &reader->c, 1, SHUNT_IO_CURRENT,
			reader->deadline_ns)) == -EBUSY)
		give_way();
	count_up(&reader->done);
	return arg;
}

#endif
