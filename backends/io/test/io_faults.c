/* SPDX-License-Identifier: MIT */
/*
 * If this passes, an operation survives a storm of EINTR, ends with whatever else its system call
 * or its ring says, and leaves the descriptor usable; one that cannot be watched is an error and
 * not a hang; and without a free descriptor number nothing is lost.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "backends/wait/ring.h"
#include "core/embed.h"
#include "core/io.h"
#include "core/io_op.h"
#include "core/param.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

static struct {
	int code;       /* what the calls say */
	unsigned times; /* how many of them still do */
	unsigned hits;
} fault;

static bool strikes(void)
{
	if (fault.times == 0)
		return false;
	fault.times--;
	fault.hits++;
	errno = fault.code;
	return true;
}

static void arm(int code, unsigned times)
{
	fault.code = code;
	fault.times = times;
	fault.hits = 0;
}

ssize_t __real_recv(int fd, void *buffer, size_t bytes, int flags);
ssize_t __wrap_recv(int fd, void *buffer, size_t bytes, int flags);
ssize_t __real_send(int fd, const void *buffer, size_t bytes, int flags);
ssize_t __wrap_send(int fd, const void *buffer, size_t bytes, int flags);
int __real_accept4(int fd, struct sockaddr *address, socklen_t *bytes, int flags);
int __wrap_accept4(int fd, struct sockaddr *address, socklen_t *bytes, int flags);
int __real_fsync(int fd);
int __wrap_fsync(int fd);
int __real_epoll_ctl(int epoll, int what, int fd, struct epoll_event *event);
int __wrap_epoll_ctl(int epoll, int what, int fd, struct epoll_event *event);

ssize_t __wrap_recv(int fd, void *buffer, size_t bytes, int flags)
{
	return strikes() ? -1 : __real_recv(fd, buffer, bytes > 3 ? 3 : bytes, flags);
}

ssize_t __wrap_send(int fd, const void *buffer, size_t bytes, int flags)
{
	return strikes() ? -1 : __real_send(fd, buffer, bytes > 2 ? 2 : bytes, flags);
}

int __wrap_accept4(int fd, struct sockaddr *address, socklen_t *bytes, int flags)
{
	return strikes() ? -1 : __real_accept4(fd, address, bytes, flags);
}

int __wrap_fsync(int fd)
{
	return strikes() ? -1 : __real_fsync(fd);
}

static int refuse_watch;

int __wrap_epoll_ctl(int epoll, int what, int fd, struct epoll_event *event)
{
	if (refuse_watch && what == EPOLL_CTL_ADD) {
		errno = refuse_watch;
		return -1;
	}
	return __real_epoll_ctl(epoll, what, fd, event);
}

#ifdef SHUNT_HAVE_LIBURING
static uint64_t struck; /* the submission that is to fail */

void __real_shunt_ring_add_operation(struct shunt_ring *ring, const struct shunt_io_op *op,
	uint64_t user_data);
void __wrap_shunt_ring_add_operation(struct shunt_ring *ring, const struct shunt_io_op *op,
	uint64_t user_data);
unsigned __real_shunt_ring_take(struct shunt_ring *ring, struct shunt_ring_result *result,
	unsigned room);
unsigned __wrap_shunt_ring_take(struct shunt_ring *ring, struct shunt_ring_result *result,
	unsigned room);

/* One that is to fail has no descriptor, so that it does nothing; its result is exchanged. */
void __wrap_shunt_ring_add_operation(struct shunt_ring *ring, const struct shunt_io_op *op,
	uint64_t user_data)
{
	struct shunt_io_op changed = *op;
	size_t most = op->code == SHUNT_IO_RECV ? 3 : op->code == SHUNT_IO_SEND ? 2 : op->bytes;

	changed.bytes = op->bytes < most ? op->bytes : most;
	if (strikes()) {
		changed.fd = -1;
		struck = user_data;
	}
	__real_shunt_ring_add_operation(ring, &changed, user_data);
}

unsigned __wrap_shunt_ring_take(struct shunt_ring *ring, struct shunt_ring_result *result,
	unsigned room)
{
	unsigned count = __real_shunt_ring_take(ring, result, room);

	for (unsigned i = 0; i < count; i++)
		if (struck && result[i].user_data == struck) {
			result[i].code = -fault.code;
			struck = 0;
		}
	return count;
}
#endif

/* ---- in a task ------------------------------------------------------------------------------- */

static int open_sockets(struct shunt_fd *end)
{
	int number[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, number))
		return -errno;
	int rc = shunt_io_adopt(number[0], &end[0]);
	return rc ? rc : shunt_io_adopt(number[1], &end[1]);
}

static void *each_errno(void *arg)
{
	static const int codes[] = {ECONNRESET, ENOBUFS, ENOMEM, EPIPE, ENOTCONN, EIO};
	struct shunt_fd end[2];
	char c = 0;

	assert_int_equal(0, open_sockets(end));
	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
		arm(codes[i], 1);
		assert_int_equal(-codes[i], shunt_io_send(end[0], "x", 1, 0));
		arm(codes[i], 1);
		assert_int_equal(-codes[i], shunt_io_recv(end[1], &c, 1, 0));
		arm(codes[i], 1);
		assert_int_equal(-codes[i], shunt_io_fsync(end[1]));
	}
	assert_int_equal(1, shunt_io_send(end[0], "y", 1, 0));
	assert_int_equal(1, shunt_io_recv(end[1], &c, 1, 0));
	assert_int_equal('y', c);
	assert_int_equal(0, shunt_io_close(end[0]));
	assert_int_equal(0, shunt_io_close(end[1]));
	return arg;
}

static void *a_storm_and_short_transfers(void *arg)
{
	struct shunt_fd end[2];
	char text[8] = "";

	assert_int_equal(0, open_sockets(end));
	arm(EINTR, 1000);
	assert_int_equal(2, shunt_io_send(end[0], "abcde", 5, 0));
	assert_int_equal(1000, fault.hits);
	assert_int_equal(2, shunt_io_send(end[0], "cde", 3, 0));
	arm(EINTR, 1000);
	assert_int_equal(3, shunt_io_recv(end[1], text, 8, 0));
	assert_int_equal(1000, fault.hits);
	assert_int_equal(1, shunt_io_recv(end[1], text + 3, 5, 0));
	assert_string_equal("abcd", text);
	assert_int_equal(0, shunt_io_close(end[0]));
	assert_int_equal(0, shunt_io_close(end[1]));
	return arg;
}

static void *what_cannot_be_watched(void *arg)
{
	struct shunt_fd end[2];
	char c;

	assert_int_equal(0, open_sockets(end));
	refuse_watch = ENOSPC;
	assert_int_equal(-ENOSPC, shunt_io_recv(end[0], &c, 1, 0));
	refuse_watch = 0;
	assert_int_equal(-ETIMEDOUT,
		shunt_io_recv_until(end[0], &c, 1, 0, shunt_now_ns() + 1000000));
	assert_int_equal(0, shunt_io_close(end[0]));
	assert_int_equal(0, shunt_io_close(end[1]));
	return arg;
}

static void *no_descriptor_left(void *arg)
{
	struct shunt_fd listener, accepted = {7, 7};

	assert_int_equal(0, shunt_io_adopt(socket(AF_UNIX, SOCK_STREAM, 0), &listener));
	arm(EMFILE, 1);
	assert_int_equal(-EMFILE, shunt_io_accept(listener, &accepted));
	assert_int_equal(7, accepted.index); /* as it was */
	assert_int_equal(0, shunt_io_close(listener));
	assert_int_equal(-EBADF, shunt_io_adopt(-1, &listener));
	return arg;
}

/* ---- the tests ------------------------------------------------------------------------------- */

static void run(const char *spec, shunt_task_fn *root)
{
	struct shunt_sched *sched;
	struct shunt_error err = {""};

	assert_int_equal(0, shunt_open(&sched, spec, NULL, &err));
	assert_int_equal(0, shunt_run(sched, root, NULL, NULL, &err));
	shunt_close(sched);
}

static int first_free(void)
{
	int fd = dup(0);

	close(fd);
	return fd;
}

static void survives_faults(const char *spec)
{
	int before = first_free();

	run(spec, each_errno);
	run(spec, a_storm_and_short_transfers);
	run(spec, no_descriptor_left);
	assert_int_equal(before, first_free());
}

static void test_epoll(void **state)
{
	(void)state;
	survives_faults("ucontext:wait=epoll,io=epoll");
	run("ucontext:wait=epoll,io=epoll", what_cannot_be_watched);
}

static void test_threads(void **state)
{
	(void)state;
	survives_faults("threads");
}

/* A kernel may refuse the ring: ring_refusal has what is said then. */
static void test_uring(void **state)
{
	static const char spec[] = "ucontext:wait=uring,io=uring";
	struct shunt_sched *sched;

	(void)state;
	if (shunt_open(&sched, spec, NULL, NULL))
		skip();
	shunt_close(sched);
	survives_faults(spec);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_epoll),
		cmocka_unit_test(test_threads),
		cmocka_unit_test(test_uring),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
