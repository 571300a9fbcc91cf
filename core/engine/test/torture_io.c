/* SPDX-License-Identifier: MIT */
/*
 * Deadlines, completions, cancels and closes meet at random, and nothing is lost: each byte is read
 * once and in order, each connection is accepted once, each operation ends, and at the end there
 * are as many descriptors as before.
 *
 * Readers give up at deadlines that fall among the writes, and are closed by another task in the
 * middle of a read; acceptors give up among the connections. What is lost ends in a wrong count or
 * in the test's time limit.
 */
#include "core/engine/test/engine_torture.h"
#include "core/io.h"

#include <dirent.h>
#include <errno.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define PAIRS 6
#define BYTES TORTURE_SCALE(100)
#define CALLS TORTURE_SCALE(50)

static const char *const specs[] = {
	"asm:wait=epoll,io=epoll",
	"asm:workers=2,policy=steal,wait=epoll,io=epoll",
	"asm:workers=3,policy=fifo,interval=1,wait=epoll,io=epoll",
	"asm:wait=uring,io=uring",
	"asm:workers=2,policy=steal,wait=uring,io=uring",
	"asm:workers=3,policy=fifo,interval=1,wait=uring,io=uring",
	"asm:workers=2,policy=shared,wait=uring-each,timers=own,io=uring",
};

static void pause_at_random(struct shunt_rng *rng)
{
	if (shunt_rng_below(rng, 3) == 0)
		shunt_yield();
	else if (shunt_rng_below(rng, 3) == 0)
		shunt_sleep_for((int64_t)shunt_rng_below(rng, 40000));
}

static int64_t deadline_at_random(struct shunt_rng *rng)
{
	uint64_t which = shunt_rng_below(rng, 8);
	return which == 0   ? 1
	       : which == 1 ? SHUNT_FOREVER
			    : shunt_now_ns() + (int64_t)shunt_rng_below(rng, 40000);
}

/* ---- bytes ----------------------------------------------------------------------------------- */

struct stream {
	struct shunt_fd from, to;
	uint64_t seed[3];
	_Atomic int got;
	_Atomic bool over;
};

static void *reads(void *arg)
{
	struct stream *stream = arg;
	struct shunt_rng rng;
	int64_t result;
	shunt_rng_init(&rng, stream->seed[0]);
	do {
		char c = 0;
		result = shunt_io_recv_until(stream->from, &c, 1, 0, deadline_at_random(&rng));
		if (result == 1)
			assert_int_equal(c, (char)stream->got++);
		else if (result == -ETIMEDOUT)
			shunt_yield();
	} while (result == 1 || result == -ETIMEDOUT);
	assert_true(result == -ECANCELED || result == -EBADF);
	stream->over = true;
	return arg;
}

static void *writes(void *arg)
{
	struct stream *stream = arg;
	struct shunt_rng rng;
	shunt_rng_init(&rng, stream->seed[1]);
	for (int i = 0; i < BYTES; i++) {
		char c = (char)i;
		int64_t rc = shunt_io_send(stream->to, &c, 1, 0);
		assert_true(rc == 1);
		pause_at_random(&rng);
	}
	return arg;
}

/* All bytes are read; then the reader waits for more, gives up, or is about to. */
static void *closes(void *arg)
{
	struct stream *stream = arg;
	struct shunt_rng rng;
	shunt_rng_init(&rng, stream->seed[2]);
	while (stream->got < BYTES)
		shunt_sleep_for(20000);
	pause_at_random(&rng);
	assert_int_equal(shunt_io_close(stream->from), 0);
	return arg;
}

static void streams(struct shunt_rng *rng)
{
	static shunt_task_fn *const fn[] = {reads, writes, closes};
	struct stream stream[PAIRS];
	struct shunt_handle task[PAIRS][3];
	for (int i = 0; i < PAIRS; i++) {
		int number[2];
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, number), 0);
		stream[i] = (struct stream){
			.seed = {shunt_rng_next(rng), shunt_rng_next(rng), shunt_rng_next(rng)}};
		assert_int_equal(shunt_io_adopt(number[0], &stream[i].from), 0);
		assert_int_equal(shunt_io_adopt(number[1], &stream[i].to), 0);
		for (int k = 0; k < 3; k++)
			assert_int_equal(shunt_spawn(&task[i][k], fn[k], &stream[i], NULL), 0);
	}
	for (int i = 0; i < PAIRS; i++) {
		for (int k = 0; k < 3; k++)
			assert_int_equal(shunt_join(task[i][k], NULL), 0);
		assert_int_equal(shunt_io_close(stream[i].to), 0);
		assert_int_equal(stream[i].got, BYTES);
		assert_true(stream[i].over);
	}
}

/* ---- connections ----------------------------------------------------------------------------- */

struct server {
	struct sockaddr_un address;
	struct shunt_fd listener;
	uint64_t seed;
	int accepted;
};

static void *accepts(void *arg)
{
	struct server *server = arg;
	struct shunt_rng rng;
	shunt_rng_init(&rng, server->seed);
	while (server->accepted < CALLS) {
		struct shunt_fd fd;
		int rc = shunt_io_accept_until(server->listener, &fd, deadline_at_random(&rng));
		if (rc == -ETIMEDOUT) {
			shunt_yield();
			continue;
		}
		assert_int_equal(rc, 0);
		server->accepted++;
		assert_int_equal(shunt_io_close(fd), 0);
	}
	return arg;
}

static void connections(struct shunt_rng *rng)
{
	struct server server = {.address.sun_family = AF_UNIX, .seed = shunt_rng_next(rng)};
	struct shunt_handle task;
	int number = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	snprintf(server.address.sun_path + 1, sizeof(server.address.sun_path) - 1,
		"shunt-torture-%d", (int)getpid());
	const struct sockaddr *address = (const struct sockaddr *)&server.address;
	assert_int_equal(bind(number, address, sizeof(server.address)), 0);
	assert_int_equal(listen(number, CALLS), 0);
	assert_int_equal(shunt_io_adopt(number, &server.listener), 0);
	assert_int_equal(shunt_spawn(&task, accepts, &server, NULL), 0);
	for (int i = 0; i < CALLS; i++) {
		struct shunt_fd fd;
		assert_int_equal(shunt_io_adopt(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0),
					 &fd),
			0);
		assert_int_equal(shunt_io_connect(fd, address, sizeof(server.address)), 0);
		pause_at_random(rng);
		assert_int_equal(shunt_io_close(fd), 0);
	}
	assert_int_equal(shunt_join(task, NULL), 0);
	assert_int_equal(shunt_io_close(server.listener), 0);
}

/* ---- the test -------------------------------------------------------------------------------- */

static void *root(void *arg)
{
	struct shunt_rng rng;
	shunt_rng_init(&rng, *(uint64_t *)arg);
	int64_t until = shunt_now_ns() + torture_slice_ns();
	do {
		streams(&rng);
		connections(&rng);
	} while (shunt_now_ns() < until);
	return NULL;
}

static unsigned descriptors(void)
{
	DIR *folder = opendir("/proc/self/fd");
	unsigned count = 0;
	assert_non_null(folder);
	while (readdir(folder))
		count++;
	closedir(folder);
	return count;
}

static void nothing_is_lost(void **state)
{
	uint64_t seed = torture_seed();
	const char *only = getenv("SHUNT_TORTURE_SPEC");
	(void)state;
	for (size_t i = 0; i < (only ? 1 : sizeof(specs) / sizeof(specs[0])); i++) {
		const char *spec = only ? only : specs[i];
		unsigned before = descriptors();
		struct shunt_sched *sched;
		if (shunt_open(&sched, spec, NULL, NULL)) {
			print_message("this machine has no %s\n", spec);
			continue;
		}
		shunt_close(sched);
		torture_run(spec, seed, root, &seed);
		assert_int_equal(descriptors(), before);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(nothing_is_lost)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
