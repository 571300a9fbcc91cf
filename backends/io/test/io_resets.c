/* SPDX-License-Identifier: MIT */
/*
 * If this passes, a storm of connections that their peer uses and resets at random leaves nothing
 * behind: each is accepted once, each byte that comes back is the next one, each task ends, and no
 * descriptor or buffer is lost, as /proc/self/fd and AddressSanitizer see it.
 *
 * The peer is a thread beside the scheduler. It opens, sends, receives, half-closes, closes and
 * resets. Half of the server's tasks read with deadlines; one connection in eight is closed by
 * another task in the middle. SHUNT_STORM_CONNECTIONS says how many are open at a time,
 * SHUNT_TORTURE_MS how long it lasts, SHUNT_TORTURE_SPEC on which composition alone.
 */
#include "core/embed.h"
#include "core/io.h"
#include "core/param.h"
#include "core/rng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define BUFFER      512
#define PENDING     256 /* connections that the server may not have accepted yet */
#define LOOK_NS     20000000
#define PATIENCE_NS INT64_C(60000000000)

static const char *const specs[] = {
	"ucontext:wait=epoll,io=epoll",
	"ucontext:workers=2,policy=steal,wait=epoll,io=epoll",
	"ucontext:wait=uring,io=uring",
	"ucontext:workers=2,policy=steal,wait=uring,io=uring",
	"threads",
};
#define SPECS (sizeof(specs) / sizeof(*specs))

static struct {
	unsigned connections;
	int64_t storm_ns;
	uint64_t seed;
	struct sockaddr_in address;
	/* [storm:counts] */
	_Atomic uint64_t opened, accepted, ended, buffers, wrong, echoed, resets;
	_Atomic bool over;
} storm;

/* ---- the peer -------------------------------------------------------------------------------- */

struct slot {
	int fd; /* -1: closed */
	uint8_t sent, received;
};

static void open_slot(struct slot *slot)
{
	struct timespec pause = {.tv_nsec = 100000};

	while (storm.opened - storm.accepted > PENDING)
		nanosleep(&pause, NULL);
	*slot = (struct slot){.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
	if (slot->fd >= 0 &&
		!connect(slot->fd, (struct sockaddr *)&storm.address, sizeof(storm.address))) {
		storm.opened++;
		return;
	}
	storm.wrong++;
	if (slot->fd >= 0)
		close(slot->fd);
	slot->fd = -1;
}

static void close_slot(struct slot *slot, bool reset)
{
	const struct linger at_once = {.l_onoff = 1};

	if (reset)
		setsockopt(slot->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
	storm.resets += reset;
	close(slot->fd);
	slot->fd = -1;
}

static void send_some(struct slot *slot, size_t bytes)
{
	uint8_t text[BUFFER];

	for (size_t i = 0; i < bytes; i++)
		text[i] = (uint8_t)(slot->sent + i);
	ssize_t n = send(slot->fd, text, bytes, MSG_DONTWAIT | MSG_NOSIGNAL);

	if (n > 0)
		slot->sent = (uint8_t)(slot->sent + n);
}

static void receive_some(struct slot *slot)
{
	uint8_t text[BUFFER];
	ssize_t n = recv(slot->fd, text, sizeof(text), MSG_DONTWAIT);

	for (ssize_t i = 0; i < n; i++)
		storm.wrong += text[i] != slot->received++;
	storm.echoed += n > 0 ? (uint64_t)n : 0;
	if (n == 0 || (n < 0 && errno != EAGAIN))
		close_slot(slot, false); /* the server was first */
}

static void act(struct slot *slot, struct shunt_rng *rng)
{
	switch (shunt_rng_below(rng, 16)) {
	case 0:
		close_slot(slot, false);
		break;
	case 1:
		shutdown(slot->fd, SHUT_WR);
		break;
	case 2:
	case 3:
		close_slot(slot, true);
		break;
	case 4: /* with what the server has not read, or is about to send */
		send_some(slot, 1 + shunt_rng_below(rng, BUFFER));
		close_slot(slot, true);
		break;
	default:
		send_some(slot, 1 + shunt_rng_below(rng, BUFFER));
		receive_some(slot);
	}
}

static void *peer(void *arg)
{
	struct slot *slot = calloc(storm.connections, sizeof(*slot));
	struct shunt_rng rng;
	int64_t until = shunt_now_ns() + storm.storm_ns, patience = until + PATIENCE_NS;

	shunt_rng_init(&rng, storm.seed);
	for (unsigned i = 0; slot && i < storm.connections; i++)
		open_slot(&slot[i]);
	/* On a slow machine until at least something has come back. */
	while (slot && (shunt_now_ns() < until || (!storm.echoed && shunt_now_ns() < patience))) {
		struct slot *one = &slot[shunt_rng_below(&rng, storm.connections)];

		if (one->fd < 0)
			open_slot(one);
		else
			act(one, &rng);
	}
	for (unsigned i = 0; slot && i < storm.connections; i++)
		if (slot[i].fd >= 0)
			close_slot(&slot[i], i % 2);
	free(slot);
	storm.over = true;
	return arg;
}

/* ---- the server ------------------------------------------------------------------------------ */

static struct shunt_wait_group tasks;

struct connection {
	struct shunt_fd fd;
	uint64_t seed;
};

/* Until the peer, or another task, ends it. */
static void echo(struct shunt_fd fd, struct shunt_rng *rng, char *buffer)
{
	bool timed = shunt_rng_below(rng, 2);
	int64_t n;

	do {
		int64_t deadline = timed ? shunt_now_ns() + (int64_t)shunt_rng_below(rng, 2000000)
					 : SHUNT_FOREVER;

		n = shunt_io_recv_until(fd, buffer, BUFFER, 0, deadline);
		for (int64_t done = 0, sent; done < n; done += sent) {
			sent = shunt_io_send(fd, buffer + done, (size_t)(n - done), 0);
			if (sent <= 0)
				return;
		}
	} while (n > 0 || n == -ETIMEDOUT);
}

static void *serve(void *arg)
{
	struct connection *self = arg;
	char *buffer = malloc(BUFFER);
	struct shunt_rng rng;

	storm.buffers++;
	shunt_rng_init(&rng, self->seed);
	echo(self->fd, &rng, buffer);
	int rc = shunt_io_close(self->fd);

	storm.wrong += rc != 0 && rc != -EBADF;
	free(buffer);
	free(self);
	storm.buffers--;
	storm.ended++;
	shunt_wait_group_done(&tasks);
	return NULL;
}

static void *close_in_the_middle(void *arg)
{
	struct connection *self = arg;

	shunt_sleep_for((int64_t)(self->seed % 1000000));
	int rc = shunt_io_close(self->fd);

	storm.wrong += rc != 0 && rc != -EBADF;
	free(self);
	shunt_wait_group_done(&tasks);
	return NULL;
}

static void start(shunt_task_fn *fn, struct shunt_fd fd, uint64_t seed)
{
	struct connection *connection = malloc(sizeof(*connection));

	*connection = (struct connection){fd, seed};
	shunt_wait_group_add(&tasks, 1);
	if (shunt_spawn(NULL, fn, connection, NULL)) {
		storm.wrong++;
		free(connection);
		shunt_wait_group_done(&tasks);
	}
}

/* Accepts until the peer is over and no connection is left. */
static void *accept_all(void *arg)
{
	struct shunt_fd listener, fd;
	struct shunt_rng rng;
	int rc = shunt_io_adopt(*(int *)arg, &listener);

	shunt_rng_init(&rng, ~storm.seed);
	while (!rc || rc == -ETIMEDOUT) {
		bool last = storm.over;

		rc = shunt_io_accept_until(listener, &fd, shunt_now_ns() + (last ? 0 : LOOK_NS));
		if (last && rc)
			break;
		if (rc)
			continue;
		storm.accepted++;
		start(serve, fd, shunt_rng_next(&rng));
		if (shunt_rng_below(&rng, 8) == 0)
			start(close_in_the_middle, fd, shunt_rng_next(&rng));
	}
	storm.wrong += rc != -ETIMEDOUT;
	shunt_wait_group_wait(&tasks);
	storm.wrong += shunt_io_close(listener) != 0;
	return NULL;
}

/* ---- the test -------------------------------------------------------------------------------- */

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

static int listen_somewhere(void)
{
	socklen_t bytes = sizeof(storm.address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	storm.address = (struct sockaddr_in){.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	assert_int_equal(bind(fd, (struct sockaddr *)&storm.address, bytes), 0);
	assert_int_equal(listen(fd, 2 * PENDING), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&storm.address, &bytes), 0);
	return fd;
}

static void storm_on(const char *spec)
{
	unsigned before = descriptors();
	struct shunt_error err = {""};
	struct shunt_sched *sched;
	pthread_t thread;

	if (shunt_open(&sched, spec, NULL, &err)) {
		print_message("this machine has no %s: %s\n", spec, err.text);
		return;
	}
	storm.opened = storm.accepted = storm.ended = storm.buffers = storm.wrong = 0;
	storm.echoed = storm.resets = 0;
	storm.over = false;
	memset(&tasks, 0, sizeof(tasks));
	unsigned opened = descriptors();
	int listener = listen_somewhere();
	assert_int_equal(pthread_create(&thread, NULL, peer, NULL), 0);
	if (shunt_run(sched, accept_all, &listener, NULL, &err))
		fail_msg("%s: %s", spec, err.text);
	pthread_join(thread, NULL);
	assert_int_equal(descriptors(), opened); /* its tasks have left none to close() */
	shunt_close(sched);
	print_message("%s: %llu connections, %llu resets, %llu bytes echoed\n", spec,
		(unsigned long long)storm.opened, (unsigned long long)storm.resets,
		(unsigned long long)storm.echoed);
	assert_int_equal(storm.accepted, storm.opened);
	assert_int_equal(storm.ended, storm.opened);
	assert_int_equal(storm.buffers, 0);
	assert_int_equal(storm.wrong, 0);
	assert_true(storm.resets > 0);
	assert_true(storm.echoed > 0);
	assert_int_equal(descriptors(), before);
}

/* Both ends of each connection are this process's. */
static void check_limit(void)
{
	struct rlimit limit;
	rlim_t need = 2 * (rlim_t)storm.connections + 100;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	limit.rlim_cur = limit.rlim_max;
	if (!setrlimit(RLIMIT_NOFILE, &limit) && need <= limit.rlim_cur)
		return;
	print_message("%u connections need %llu descriptors, and this process may open %llu: "
		      "ulimit -Hn %llu\n",
		storm.connections, (unsigned long long)need, (unsigned long long)limit.rlim_cur,
		(unsigned long long)need);
	exit(77);
}

static uint64_t setting(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);

	return text ? strtoull(text, NULL, 0) : otherwise;
}

static void nothing_is_lost(void **state)
{
	const char *only = getenv("SHUNT_TORTURE_SPEC");
	size_t count = only ? 1 : SPECS;

	(void)state;
	storm.connections = (unsigned)setting("SHUNT_STORM_CONNECTIONS", 100);
	storm.storm_ns = (int64_t)setting("SHUNT_TORTURE_MS", 2000) * 1000000 / (int64_t)count;
	storm.seed = setting("SHUNT_SEED", (uint64_t)shunt_now_ns());
	print_message("SHUNT_SEED=%llu repeats it\n", (unsigned long long)storm.seed);
	check_limit();
	for (size_t i = 0; i < count; i++)
		storm_on(only ? only : specs[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(nothing_is_lost)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
