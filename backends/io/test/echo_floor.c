/* SPDX-License-Identifier: MIT */
/*
 * The floors of the workload `echo`: what its requests cost without tasks, with the same client.
 *
 *   shunt-echo-floor epoll|ring|threads CONNECTIONS REQUESTS BYTES tcp|unix RATE SEED
 *   shunt-echo-floor exec CONNECTIONS … SEED COMMAND …
 *
 *   epoll    one loop on a level-triggered epoll: a recv for each event, and a send
 *   ring     one loop on an io_uring: a recv, a send, again; all that became ready goes together
 *   threads  a thread for each connection, in blocking calls
 *   exec     any other server, which finds a listening socket as descriptor 3, echoes on each
 *            connection, and ends when it is killed
 *
 * The client, with RATE not 0 an open loop, has the last CPU for itself, as beside a scheduler.
 * Prints wall and CPU ns of the server, CPU ns of the client, system calls of the server (-1: not
 * known), replies, wrong bytes, bytes sent and received; then each response time. Exit status 77:
 * this way is not to be had here.
 */
#include "core/measure/clock.h"
#include "workloads/echo_client.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <unistd.h>
#ifdef SHUNT_HAVE_LIBURING
#include <liburing.h>
#endif

#define ROOM      4096
#define BATCH     256
#define ABSENT    77
#define SERVER_FD 3

static struct {
	int listener;
	unsigned connections;
	size_t room;
	_Atomic uint64_t calls; /* [floor:calls] */
	struct echo_client client;
	clockid_t cpu; /* of the server's process */
	uint64_t cpu_before_ns;
} floor_run;

static void die(const char *what)
{
	fprintf(stderr, "shunt-echo-floor: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void *allocate(size_t count, size_t bytes)
{
	void *memory = calloc(count, bytes);

	if (!memory)
		die("out of memory");
	return memory;
}

static void send_all(int fd, const char *data, ssize_t bytes, uint64_t *calls)
{
	for (ssize_t done = 0, n; done < bytes; done += n) {
		++*calls;
		n = send(fd, data + done, (size_t)(bytes - done), MSG_NOSIGNAL);
		if (n < 0)
			die("send");
	}
}

static int accept_next(uint64_t *calls)
{
	int fd = accept4(floor_run.listener, NULL, NULL, SOCK_CLOEXEC);

	++*calls;
	if (fd < 0)
		die("accept");
	echo_no_delay(fd);
	return fd;
}

/* Relaxed: a sum, read when all have ended [floor:calls]. */
static void add_calls(uint64_t calls)
{
	atomic_fetch_add_explicit(&floor_run.calls, calls, memory_order_relaxed);
}

/* ---- epoll ----------------------------------------------------------------------------------- */

static void epoll_add(int epoll, int fd, uint64_t *calls)
{
	struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};

	++*calls;
	if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event))
		die("epoll_ctl");
}

static void *serve_epoll(void *arg)
{
	struct epoll_event event[BATCH];
	char *buffer = allocate(1, floor_run.room);
	unsigned left = floor_run.connections;
	uint64_t calls = 0;
	int epoll = epoll_create1(EPOLL_CLOEXEC);

	(void)arg;
	epoll_add(epoll, floor_run.listener, &calls);
	while (left > 0) {
		int count = epoll_wait(epoll, event, BATCH, -1);

		calls++;
		for (int i = 0; i < count; i++) {
			int fd = event[i].data.fd;

			if (fd == floor_run.listener) {
				epoll_add(epoll, accept_next(&calls), &calls);
				continue;
			}
			ssize_t n = recv(fd, buffer, floor_run.room, 0);

			calls++;
			if (n > 0) {
				send_all(fd, buffer, n, &calls);
			} else {
				close(fd);
				left--;
			}
		}
	}
	close(epoll);
	free(buffer);
	add_calls(calls);
	return NULL;
}

/* ---- threads --------------------------------------------------------------------------------- */

static void *serve_one(void *arg)
{
	int fd = (int)(intptr_t)arg;
	char *buffer = allocate(1, floor_run.room);
	uint64_t calls = 1; /* the last recv */
	ssize_t n;

	for (; (n = recv(fd, buffer, floor_run.room, 0)) > 0; calls++)
		send_all(fd, buffer, n, &calls);
	close(fd);
	free(buffer);
	add_calls(calls);
	return NULL;
}

static void *serve_threads(void *arg)
{
	pthread_t *thread = allocate(floor_run.connections, sizeof(*thread));
	uint64_t calls = 0;

	(void)arg;
	for (unsigned i = 0; i < floor_run.connections; i++) {
		int fd = accept_next(&calls);

		errno = pthread_create(&thread[i], NULL, serve_one, (void *)(intptr_t)fd);
		if (errno)
			die("pthread_create");
	}
	for (unsigned i = 0; i < floor_run.connections; i++)
		pthread_join(thread[i], NULL);
	free(thread);
	add_calls(calls);
	return NULL;
}

/* ---- a ring ---------------------------------------------------------------------------------- */

#ifdef SHUNT_HAVE_LIBURING
struct peer {
	int fd;
	bool sends;
	int from, bytes; /* of the buffer, still to be sent */
	char *buffer;
};

static struct io_uring_sqe *next_sqe(struct io_uring *ring, uint64_t *calls)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(ring);

	while (!sqe) {
		++*calls;
		io_uring_submit(ring);
		sqe = io_uring_get_sqe(ring);
	}
	return sqe;
}

static void ring_recv(struct io_uring *ring, struct peer *peer, uint64_t *calls)
{
	struct io_uring_sqe *sqe = next_sqe(ring, calls);

	peer->sends = false;
	io_uring_prep_recv(sqe, peer->fd, peer->buffer, floor_run.room, 0);
	io_uring_sqe_set_data(sqe, peer);
}

static void ring_send(struct io_uring *ring, struct peer *peer, uint64_t *calls)
{
	struct io_uring_sqe *sqe = next_sqe(ring, calls);

	peer->sends = true;
	io_uring_prep_send(sqe, peer->fd, peer->buffer + peer->from, (size_t)peer->bytes,
		MSG_NOSIGNAL);
	io_uring_sqe_set_data(sqe, peer);
}

static void ring_accept(struct io_uring *ring, uint64_t *calls)
{
	struct io_uring_sqe *sqe = next_sqe(ring, calls);

	io_uring_prep_accept(sqe, floor_run.listener, NULL, NULL, SOCK_CLOEXEC);
	io_uring_sqe_set_data(sqe, NULL);
}

/* False: the connection has ended. */
static bool ring_result(struct io_uring *ring, struct peer *peer, int result, uint64_t *calls)
{
	if (result <= 0 && !peer->sends) {
		close(peer->fd);
		return false;
	}
	if (result < 0) {
		errno = -result;
		die("send");
	}
	if (peer->sends) {
		peer->from += result;
		peer->bytes -= result;
	} else {
		peer->from = 0;
		peer->bytes = result;
	}
	if (peer->bytes > 0)
		ring_send(ring, peer, calls);
	else
		ring_recv(ring, peer, calls);
	return true;
}

static bool ring_open(struct io_uring *ring)
{
	struct io_uring_params params = {.flags = IORING_SETUP_SINGLE_ISSUER |
						  IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_CQSIZE,
		.cq_entries = 4096};

	if (io_uring_queue_init_params(1024, ring, &params) == 0)
		return true;
	params = (struct io_uring_params){.flags = IORING_SETUP_CQSIZE, .cq_entries = 4096};
	return io_uring_queue_init_params(1024, ring, &params) == 0;
}

static void *serve_ring(void *arg)
{
	struct peer *peer = allocate(floor_run.connections, sizeof(*peer));
	char *buffers = allocate(floor_run.connections, floor_run.room);
	unsigned left = floor_run.connections, opened = 0, head;
	struct io_uring_cqe *cqe;
	struct io_uring ring;
	uint64_t calls = 0;

	(void)arg;
	if (!ring_open(&ring))
		exit(ABSENT);
	ring_accept(&ring, &calls);
	while (left > 0) {
		unsigned taken = 0;

		calls++;
		io_uring_submit_and_wait(&ring, 1);
		io_uring_for_each_cqe(&ring, head, cqe)
		{
			taken++;
			if (cqe->user_data) {
				left -= !ring_result(&ring, io_uring_cqe_get_data(cqe), cqe->res,
					&calls);
				continue;
			}
			if (cqe->res < 0) {
				errno = -cqe->res;
				die("accept");
			}
			echo_no_delay(cqe->res);
			peer[opened] = (struct peer){.fd = cqe->res,
				.buffer = buffers + opened * floor_run.room};
			ring_recv(&ring, &peer[opened], &calls);
			if (++opened < floor_run.connections)
				ring_accept(&ring, &calls);
		}
		io_uring_cq_advance(&ring, taken);
	}
	io_uring_queue_exit(&ring);
	free(buffers);
	free(peer);
	add_calls(calls);
	return NULL;
}
#else
static void *serve_ring(void *arg)
{
	(void)arg;
	fprintf(stderr, "shunt-echo-floor: built without liburing\n");
	exit(ABSENT);
}
#endif

/* ---- any other server ------------------------------------------------------------------------ */

static pid_t start_command(char **command)
{
	pid_t pid = fork();

	if (pid < 0)
		die("fork");
	if (pid > 0)
		return pid;
	if (floor_run.listener == SERVER_FD ? fcntl(SERVER_FD, F_SETFD, 0)
					    : dup2(floor_run.listener, SERVER_FD) < 0)
		die("dup2");
	execvp(command[0], command);
	die(command[0]);
	return 0;
}

/* ---- a run ----------------------------------------------------------------------------------- */

static uint64_t server_cpu_ns(void)
{
	struct timespec used;

	clock_gettime(floor_run.cpu, &used);
	return (uint64_t)used.tv_sec * 1000000000 + (uint64_t)used.tv_nsec;
}

static void note_start(struct echo_client *client)
{
	(void)client;
	floor_run.cpu_before_ns = server_cpu_ns();
}

/* The last CPU for the client, the others for the server; with one, they share it. */
static void bind_to(bool client)
{
	cpu_set_t allowed, mine;
	int last = CPU_SETSIZE - 1;

	if (sched_getaffinity(0, sizeof(allowed), &allowed) || CPU_COUNT(&allowed) < 2)
		return;
	while (!CPU_ISSET(last, &allowed))
		last--;
	CPU_ZERO(&mine);
	CPU_SET(last, &mine);
	if (!client) {
		mine = allowed;
		CPU_CLR(last, &mine);
	}
	sched_setaffinity(0, sizeof(mine), &mine);
}

static int report(uint64_t cpu_ns, bool counted)
{
	const struct echo_client *client = &floor_run.client;
	/* Relaxed: the servers have been joined [floor:calls]. */
	int64_t calls =
		counted ? (int64_t)atomic_load_explicit(&floor_run.calls, memory_order_relaxed)
			: -1;

	if (client->error[0]) {
		fprintf(stderr, "shunt-echo-floor: %s\n", client->error);
		return 1;
	}
	printf("%" PRId64 " %" PRIu64 " %" PRIu64 " %" PRId64 " %" PRIu64 " %" PRIu64 " %" PRIu64
	       " %" PRIu64 "\n",
		client->end_ns - client->start_ns, cpu_ns, client->cpu_ns, calls, client->replies,
		client->wrong_bytes, client->sent_bytes, client->received_bytes);
	for (uint64_t i = 0; i < client->requests; i++)
		printf("%" PRId64 "\n", client->response[i]);
	return 0;
}

static void make_client(char **word, struct shunt_arrivals *table)
{
	struct echo_client *client = &floor_run.client;
	uint64_t rate = strtoull(word[4], NULL, 10);

	*client = (struct echo_client){.connections = (unsigned)strtoul(word[0], NULL, 10),
		.requests = strtoull(word[1], NULL, 10),
		.bytes = strtoull(word[2], NULL, 10),
		.local = !strcmp(word[3], "unix"),
		.seed = strtoull(word[5], NULL, 10),
		.ready = note_start};
	const struct shunt_arrival_plan plan = {.seed = client->seed,
		.count = client->requests,
		.rate = rate,
		.mean_ns = 1};

	if (!client->connections || client->requests < client->connections || !client->bytes)
		die("connections, requests and bytes are numbers above 0");
	errno = rate ? -shunt_arrivals_make(table, &plan) : 0;
	client->arrival = table->arrival;
	if (errno || echo_client_init(client))
		die("out of memory");
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void *(*serve)(void *arg);
	} ways[] = {{"epoll", serve_epoll}, {"ring", serve_ring}, {"threads", serve_threads},
		{"exec", NULL}};
	struct shunt_arrivals table = {0};
	size_t way = 0;
	pthread_t server;
	pid_t pid = 0;

	while (way < 4 && (argc < 8 || strcmp(argv[1], ways[way].name) != 0))
		way++;
	if (way == 4 || (!ways[way].serve && argc < 9)) {
		fprintf(stderr, "use: shunt-echo-floor epoll|ring|threads|exec CONNECTIONS "
				"REQUESTS BYTES tcp|unix RATE SEED [COMMAND …]\n");
		return 2;
	}
	make_client(argv + 2, &table);
	floor_run.connections = floor_run.client.connections;
	floor_run.room = floor_run.client.bytes < ROOM ? ROOM : floor_run.client.bytes + 1;
	floor_run.listener = echo_client_listen(&floor_run.client);
	if (floor_run.listener < 0) {
		errno = -floor_run.listener;
		die("no listening socket on the loopback");
	}
	cpu_set_t before;

	sched_getaffinity(0, sizeof(before), &before);
	bind_to(false);
	floor_run.cpu = CLOCK_PROCESS_CPUTIME_ID;
	if (!ways[way].serve) {
		pid = start_command(argv + 8);
		if (clock_getcpuclockid(pid, &floor_run.cpu))
			die("clock_getcpuclockid");
	} else if (pthread_create(&server, NULL, ways[way].serve, NULL)) {
		die("pthread_create");
	}
	sched_setaffinity(0, sizeof(before), &before);
	bind_to(true);
	echo_client_run(&floor_run.client);
	uint64_t cpu_ns = server_cpu_ns() - floor_run.cpu_before_ns;

	if (pid)
		kill(pid, SIGKILL);
	else
		cpu_ns -= floor_run.client.cpu_ns;
	if (floor_run.client.error[0])
		return report(0, false); /* the server may never end */
	echo_client_close(&floor_run.client);
	if (pid)
		waitpid(pid, NULL, 0);
	else
		pthread_join(server, NULL);
	return report(cpu_ns, !pid);
}
