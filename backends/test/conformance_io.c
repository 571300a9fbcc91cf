/* SPDX-License-Identifier: MIT */
/* Clauses about input and output: each call, and every byte. */
#include "backends/test/conformance_io.h"

#include <limits.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <sys/un.h>

/* ---- transfers ------------------------------------------------------------------------------- */

static void *a_read_waits_for_a_write(void *arg)
{
	struct pair pair;
	struct shunt_handle task;
	EXPECT_INT(0, open_pipe(&pair));
	struct reader reader = {.fd = pair.end[0], .deadline_ns = SHUNT_FOREVER};
	EXPECT_INT(0, shunt_spawn(&task, read_one, &reader, NULL));
	await_reader(pair.end[0]);
	EXPECT_INT(1, write_char(pair.end[1], 'x'));
	EXPECT_INT(0, shunt_join(task, NULL));
	EXPECT_INT(1, reader.result);
	EXPECT_INT('x', reader.c);
	EXPECT_INT(0, close_both(&pair));
	return arg;
}

#define STREAM_BYTES 300000

struct stream {
	struct shunt_fd from, to;
	int64_t bytes;
	bool wrong;
};

static char stream_byte(int64_t at)
{
	return (char)(at * 31 + at / 251);
}

/* More than any pipe holds: the writer has to wait, and writes are short. */
static void *write_stream(void *arg)
{
	struct stream *stream = arg;
	char buffer[4096];
	while (stream->bytes < STREAM_BYTES) {
		int64_t n = STREAM_BYTES - stream->bytes;
		n = n < (int64_t)sizeof(buffer) ? n : (int64_t)sizeof(buffer);
		for (int64_t i = 0; i < n; i++)
			buffer[i] = stream_byte(stream->bytes + i);
		int64_t done = shunt_io_write(stream->to, buffer, (size_t)n, SHUNT_IO_CURRENT);
		if (done <= 0)
			break;
		stream->bytes += done;
	}
	return arg;
}

static void *read_stream(void *arg)
{
	struct stream *stream = arg;
	char buffer[3000];
	int64_t n;
	while ((n = shunt_io_read(stream->from, buffer, sizeof(buffer), SHUNT_IO_CURRENT)) > 0) {
		for (int64_t i = 0; i < n; i++)
			stream->wrong |= buffer[i] != stream_byte(stream->bytes + i);
		stream->bytes += n;
	}
	stream->wrong |= n != 0;
	return arg;
}

static void *every_byte_arrives(void *arg)
{
	int (*const open_pair[])(struct pair *) = {open_pipe, open_sockets};
	for (unsigned i = 0; i < 2; i++) {
		struct pair pair;
		struct shunt_handle writes, reads;
		EXPECT_INT(0, open_pair[i](&pair));
		struct stream out = {.to = pair.end[1]}, in = {.from = pair.end[0]};
		EXPECT_INT(0, shunt_spawn(&reads, read_stream, &in, NULL));
		EXPECT_INT(0, shunt_spawn(&writes, write_stream, &out, NULL));
		EXPECT_INT(0, shunt_join(writes, NULL));
		EXPECT_INT(STREAM_BYTES, out.bytes);
		EXPECT_INT(0, shunt_io_close(pair.end[1]));
		EXPECT_INT(0, shunt_join(reads, NULL));
		EXPECT(!in.wrong);
		EXPECT_INT(STREAM_BYTES, in.bytes);
		EXPECT_INT(0, shunt_io_close(pair.end[0]));
	}
	return arg;
}

static void *sockets_send_and_receive(void *arg)
{
	struct pair pair;
	char text[8] = "";
	EXPECT_INT(0, open_sockets(&pair));
	EXPECT_INT(5, shunt_io_send(pair.end[0], "hello", 5, 0));
	EXPECT_INT(2, shunt_io_recv(pair.end[1], text, 2, MSG_PEEK));
	EXPECT_INT(5, shunt_io_recv(pair.end[1], text, sizeof(text), 0));
	EXPECT(!memcmp(text, "hello", 5));
	EXPECT_INT(0, shunt_io_close(pair.end[1]));
	EXPECT_INT(-EPIPE, shunt_io_send(pair.end[0], "x", 1, 0));
	EXPECT_INT(-EPIPE, write_char(pair.end[0], 'x'));
	EXPECT_INT(0, shunt_io_close(pair.end[0]));
	return arg;
}

/* What is written from parts is read into others, cut where those end; also where it has to
 * wait. */
static void *parts_are_one_stream(void *arg)
{
	char head[2] = "ab", tail[3] = "cde", first[4] = "", last[4] = "";
	struct iovec out[2] = {{head, 2}, {tail, 3}}, in[2] = {{first, 1}, {last, 4}};
	char path[] = "/tmp/shunt-io-XXXXXX";
	struct shunt_fd file;
	struct pair pair;
	EXPECT_INT(0, open_sockets(&pair));
	EXPECT_INT(-ETIMEDOUT,
		shunt_io_readv_until(pair.end[0], in, 2, SHUNT_IO_CURRENT, shunt_now_ns() + MS));
	EXPECT_INT(5, shunt_io_writev(pair.end[1], out, 2, SHUNT_IO_CURRENT));
	EXPECT_INT(5, shunt_io_readv(pair.end[0], in, 2, SHUNT_IO_CURRENT));
	EXPECT(first[0] == 'a' && !memcmp(last, "bcde", 4));
	EXPECT_INT(-EINVAL, shunt_io_readv(pair.end[0], in, UINT_MAX, SHUNT_IO_CURRENT));
	EXPECT_INT(0, close_both(&pair));
	close(mkstemp(path));
	EXPECT_INT(0, shunt_io_open(path, O_RDWR, 0, &file));
	unlink(path);
	EXPECT_INT(5, shunt_io_writev(file, out, 2, 3));
	EXPECT_INT(4, shunt_io_readv(file, in, 2, 4));
	EXPECT(first[0] == 'b' && !memcmp(last, "cdee", 4));
	EXPECT_INT(0, shunt_io_close(file));
	return arg;
}

/* ---- the end, and what comes between --------------------------------------------------------- */

/* A reader that waits, so that its descriptor is known to whatever tells of events; then it reads
 * on. What it gets in all is in `text`; the last result, in `result`. */
struct follower {
	struct shunt_fd fd;
	char text[16];
	size_t bytes;
	int64_t result;
};

static void *read_to_the_end(void *arg)
{
	struct follower *self = arg;
	while ((self->result = shunt_io_recv(self->fd, self->text + self->bytes,
			sizeof(self->text) - self->bytes, 0)) > 0)
		/* Relaxed: the root looks on. */
		__atomic_add_fetch(&self->bytes, (size_t)self->result, __ATOMIC_RELAXED);
	return arg;
}

static void *an_end_that_came_with_the_data_is_seen(void *arg)
{
	struct pair pair;
	struct shunt_handle task;
	EXPECT_INT(0, open_sockets(&pair));
	struct follower follower = {.fd = pair.end[0]};
	EXPECT_INT(0, shunt_spawn(&task, read_to_the_end, &follower, NULL));
	give_way();
	EXPECT_INT(2, shunt_io_send(pair.end[1], "ab", 2, 0));
	EXPECT_INT(0, shunt_io_close(pair.end[1]));
	EXPECT_INT(0, shunt_join(task, NULL));
	EXPECT_INT(0, follower.result);
	EXPECT_INT(2, follower.bytes);
	EXPECT_INT(0, shunt_io_close(pair.end[0]));
	return arg;
}

/* Of TCP on the loopback, connected. */
static int open_tcp(struct pair *pair)
{
	struct sockaddr_in loopback = {.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t bytes = sizeof(loopback);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), number[2] = {-1, -1};
	if (bind(listener, (struct sockaddr *)&loopback, bytes) || listen(listener, 1) ||
		getsockname(listener, (struct sockaddr *)&loopback, &bytes))
		return -errno;
	number[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (connect(number[0], (struct sockaddr *)&loopback, bytes))
		return -errno;
	number[1] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	close(listener);
	return adopt_both(number, pair);
}

/* A read stops before urgent data, and what is behind it is still there. */
static void *urgent_data_hides_nothing(void *arg)
{
	struct pair pair;
	struct shunt_handle task;
	EXPECT_INT(0, open_tcp(&pair));
	struct follower follower = {.fd = pair.end[0]};
	EXPECT_INT(0, shunt_spawn(&task, read_to_the_end, &follower, NULL));
	give_way();
	int number = shunt_io_number(pair.end[1]);
	EXPECT_INT(1, send(number, "a", 1, 0));
	EXPECT_INT(1, send(number, "!", 1, MSG_OOB));
	EXPECT_INT(1, send(number, "b", 1, 0));
	for (int64_t until = shunt_now_ns() + 10000 * MS;
		__atomic_load_n(&follower.bytes, __ATOMIC_RELAXED) < 2; give_way())
		EXPECT(shunt_now_ns() < until); /* though nothing more comes */
	EXPECT_INT(0, shunt_io_close(pair.end[1]));
	EXPECT_INT(0, shunt_join(task, NULL));
	EXPECT_INT('b', follower.text[1]);
	EXPECT_INT(0, shunt_io_close(pair.end[0]));
	return arg;
}

/* What comes between two reads is kept for the second one, which need not try. */
static void *what_comes_between_reads_is_read(void *arg)
{
	struct pair pair;
	struct reader reader = {.deadline_ns = SHUNT_FOREVER};
	struct shunt_handle task;
	char text[8];
	EXPECT_INT(0, open_sockets(&pair));
	reader.fd = pair.end[0];
	EXPECT_INT(0, shunt_spawn(&task, read_one, &reader, NULL));
	await_reader(pair.end[0]);
	EXPECT_INT(2, shunt_io_send(pair.end[1], "ab", 2, 0));
	EXPECT_INT(0, shunt_join(task, NULL));
	for (int i = 0; i < 4; i++) {
		EXPECT_INT(1, shunt_io_recv(pair.end[0], text, sizeof(text), 0));
		EXPECT_INT('b' + i, text[0]);
		if (i == 1)
			EXPECT_INT(-ETIMEDOUT, shunt_io_recv_until(pair.end[0], text, sizeof(text),
						       0, shunt_now_ns() + 1));
		EXPECT_INT(1, write_char(pair.end[1], (char)('c' + i)));
		shunt_sleep_for(MS); /* the event is taken while nobody waits for it */
	}
	EXPECT_INT(1, shunt_io_recv(pair.end[0], text, sizeof(text), MSG_PEEK));
	EXPECT_INT(1, shunt_io_recv(pair.end[0], text, sizeof(text), 0));
	EXPECT_INT(0, close_both(&pair));
	return arg;
}

/* ---- connections ----------------------------------------------------------------------------- */

static struct sockaddr_un address;

/* An abstract address of this process and number. */
static int listen_at(struct shunt_fd *listener)
{
	static int next;
	int number = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	address = (struct sockaddr_un){.sun_family = AF_UNIX};
	snprintf(address.sun_path + 1, sizeof(address.sun_path) - 1, "shunt-%d-%d", (int)getpid(),
		next++);
	if (bind(number, (struct sockaddr *)&address, sizeof(address)) || listen(number, 8))
		return -errno;
	return shunt_io_adopt(number, listener);
}

static int connect_to(struct shunt_fd *fd)
{
	int rc = shunt_io_adopt(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), fd);
	return rc ? rc : shunt_io_connect(*fd, (const struct sockaddr *)&address, sizeof(address));
}

struct acceptor {
	struct shunt_fd listener, accepted;
	int result;
};

static void *accept_one(void *arg)
{
	struct acceptor *acceptor = arg;
	while ((acceptor->result = shunt_io_accept(acceptor->listener, &acceptor->accepted)) ==
		-EBUSY)
		give_way();
	return arg;
}

static void *a_connection_is_accepted(void *arg)
{
	struct acceptor acceptor;
	struct shunt_handle task;
	struct shunt_fd client;
	char c = 0;
	EXPECT_INT(0, listen_at(&acceptor.listener));
	EXPECT_INT(0, shunt_spawn(&task, accept_one, &acceptor, NULL));
	give_way();
	EXPECT_INT(0, connect_to(&client));
	EXPECT_INT(0, shunt_join(task, NULL));
	EXPECT_INT(0, acceptor.result);
	EXPECT_INT(1, write_char(client, 'c'));
	EXPECT_INT(1, read_char(acceptor.accepted, &c));
	EXPECT_INT('c', c);
	EXPECT_INT(0, shunt_io_close(client));
	EXPECT_INT(0, read_char(acceptor.accepted, &c));
	EXPECT_INT(0, shunt_io_close(acceptor.accepted));
	EXPECT_INT(0, shunt_io_close(acceptor.listener));
	EXPECT_INT(-ECONNREFUSED, connect_to(&client));
	EXPECT_INT(0, shunt_io_close(client));
	return arg;
}

static void *close_ends_an_accept(void *arg)
{
	struct acceptor acceptor;
	struct shunt_handle task;
	EXPECT_INT(0, listen_at(&acceptor.listener));
	EXPECT_INT(0, shunt_spawn(&task, accept_one, &acceptor, NULL));
	await_reader(acceptor.listener);
	EXPECT_INT(0, shunt_io_close(acceptor.listener));
	EXPECT_INT(0, shunt_join(task, NULL));
	EXPECT_INT(-ECANCELED, acceptor.result);
	return arg;
}

const struct clause conformance_io[] = {
	CLAUSE("a read waits for a write", IO, a_read_waits_for_a_write),
	CLAUSE("every byte arrives, in order, once", IO, every_byte_arrives),
	CLAUSE("sockets send and receive, and a closed one is no signal", IO,
		sockets_send_and_receive),
	CLAUSE("an end that came with the data is seen", IO,
		an_end_that_came_with_the_data_is_seen),
	CLAUSE("urgent data hides nothing", IO, urgent_data_hides_nothing),
	CLAUSE("what comes between reads is read", IO, what_comes_between_reads_is_read),
	CLAUSE("parts are read and written as one", IO, parts_are_one_stream),
	CLAUSE("a connection is accepted", IO, a_connection_is_accepted),
	CLAUSE("close ends an accept", IO, close_ends_an_accept),
	{.name = NULL},
};
