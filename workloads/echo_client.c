/* SPDX-License-Identifier: MIT */
/*
 * See echo_client.h. Plain system calls on one level-triggered epoll: no task, no scheduler.
 *
 * A connection's stream is its messages, one after the other, so that two counts of bytes say all
 * there is to know of it: which request is being sent, and which one the next byte answers. A
 * message is a piece of one random text; where it begins depends on the request.
 */
#include "workloads/echo_client.h"

#include "core/measure/clock.h"
#include "core/rng.h"

#include <dirent.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/un.h>
#include <unistd.h>

#define GIVE_UP_S   10    /* without any progress */
#define TOGETHER    128   /* connections opened before the server must have answered */
#define STARTS      65536 /* where messages may begin in the text */
#define BATCH       128
#define LEAD_NS     200000 /* between the start and time 0 of the table */
#define AWAKE_NS    200000 /* the last part of a wait for an arrival, computed through */
#define CHUNK_BYTES 65536

struct echo_connection {
	int fd;
	bool blocked; /* epoll tells when there is room again */
	unsigned index;
	uint64_t share, allowed; /* requests in all, and that may be sent by now */
	uint64_t sent, received; /* bytes */
	int64_t since_ns;        /* of a closed loop: when the current one was sent */
};

__attribute__((format(printf, 2, 3))) static bool fail(struct echo_client *client,
	const char *format, ...)
{
	va_list args;

	va_start(args, format);
	if (!client->error[0])
		vsnprintf(client->error, sizeof(client->error), format, args);
	va_end(args);
	return false;
}

/* ---- the text -------------------------------------------------------------------------------- */

static int make_text(struct echo_client *client)
{
	size_t bytes = STARTS + client->bytes;
	struct shunt_rng rng;

	client->data = malloc(CHUNK_BYTES);
	client->text = malloc(bytes);
	if (!client->text || !client->data)
		return -ENOMEM;
	shunt_rng_init(&rng, client->seed);
	for (size_t i = 0; i < bytes; i++)
		client->text[i] = (char)(shunt_rng_next(&rng) >> 56);
	return 0;
}

/* The k-th message of a connection. */
static const char *message(const struct echo_client *client, unsigned connection, uint64_t k)
{
	uint64_t state = client->seed ^ (k * client->connections + connection);

	return client->text + shunt_splitmix64(&state) % STARTS;
}

/* ---- life ------------------------------------------------------------------------------------ */

int echo_client_init(struct echo_client *client)
{
	client->connection = calloc(client->connections, sizeof(*client->connection));
	client->response = malloc(client->requests * sizeof(*client->response));
	client->lag = client->arrival ? malloc(client->requests * sizeof(*client->lag)) : NULL;
	if (!client->connection || !client->response || (client->arrival && !client->lag))
		return -ENOMEM;
	/* With one CPU, the server needs it. */
	client->awake_ns = sysconf(_SC_NPROCESSORS_ONLN) > 1 ? AWAKE_NS : 0;
	return make_text(client);
}

void echo_client_fini(struct echo_client *client)
{
	free(client->connection);
	free(client->response);
	free(client->lag);
	free(client->text);
	free(client->data);
}

static void start_afresh(struct echo_client *client)
{
	uint64_t each = client->requests / client->connections;
	uint64_t more = client->requests % client->connections;

	for (unsigned i = 0; i < client->connections; i++)
		client->connection[i] =
			(struct echo_connection){.fd = -1, .index = i, .share = each + (i < more)};
	for (uint64_t i = 0; i < client->requests; i++)
		client->response[i] = -1;
	client->replies = client->wrong_bytes = client->released = 0;
	client->sent_bytes = client->received_bytes = 0;
	client->start_ns = client->end_ns = 0;
	client->error[0] = '\0';
}

int echo_client_listen(struct echo_client *client)
{
	struct sockaddr_in loopback = {.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct sockaddr_un unnamed = {.sun_family = AF_UNIX}; /* the kernel finds it a name */
	bool local = client->local;
	int fd = socket(local ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	start_afresh(client);
	client->address_bytes = sizeof(client->address);
	if (fd >= 0 &&
		!bind(fd, local ? (struct sockaddr *)&unnamed : (struct sockaddr *)&loopback,
			local ? (socklen_t)sizeof(sa_family_t) : (socklen_t)sizeof(loopback)) &&
		!listen(fd, SOMAXCONN) &&
		!getsockname(fd, (struct sockaddr *)&client->address, &client->address_bytes))
		return fd;
	int rc = -errno;

	if (fd >= 0)
		close(fd);
	return rc;
}

void echo_no_delay(int fd)
{
	int one = 1;

	/* A Unix socket has no such option, and no such delay. */
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
}

int echo_sockets(void)
{
	DIR *dir = opendir("/proc/self/fd");
	const struct dirent *entry;
	int count = 0;

	if (!dir)
		return -errno;
	while ((entry = readdir(dir))) {
		char kind[8];
		ssize_t n = readlinkat(dirfd(dir), entry->d_name, kind, sizeof(kind));

		count += n > 6 && !memcmp(kind, "socket:", 7);
	}
	closedir(dir);
	return count;
}

/* ---- opening --------------------------------------------------------------------------------- */

static bool open_one(struct echo_client *client, struct echo_connection *connection)
{
	const struct timeval give_up = {.tv_sec = GIVE_UP_S};

	connection->fd = socket(client->address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (connection->fd < 0 ||
		connect(connection->fd, (struct sockaddr *)&client->address, client->address_bytes))
		return fail(client, "connection %u of %u could not be opened: %s",
			connection->index + 1, client->connections, strerror(errno));
	echo_no_delay(connection->fd);
	setsockopt(connection->fd, SOL_SOCKET, SO_RCVTIMEO, &give_up, sizeof(give_up));
	return true;
}

/* Message 0 of a connection, once: the server has accepted it, and both sides are warm. */
static bool greet(struct echo_client *client, struct echo_connection *connection)
{
	const char *text = message(client, connection->index, 0);
	ssize_t sent =
		send(connection->fd, text, client->bytes < 64 ? client->bytes : 64, MSG_NOSIGNAL);

	if (sent < 0)
		return fail(client, "connection %u of %u: %s", connection->index + 1,
			client->connections, strerror(errno));
	client->sent_bytes += (uint64_t)sent;
	return true;
}

static bool await_greeting(struct echo_client *client, struct echo_connection *connection)
{
	const char *text = message(client, connection->index, 0);
	size_t bytes = client->bytes < 64 ? client->bytes : 64;
	char back[64];
	ssize_t got = recv(connection->fd, back, bytes, MSG_WAITALL);

	if (got != (ssize_t)bytes)
		return fail(client, "connection %u of %u: no echo: %s", connection->index + 1,
			client->connections, got < 0 ? strerror(errno) : "it was closed");
	client->wrong_bytes += memcmp(back, text, bytes) != 0;
	client->received_bytes += bytes;
	return true;
}

static bool watch(struct echo_client *client, struct echo_connection *connection, int what)
{
	struct epoll_event event = {.events = EPOLLIN | (connection->blocked ? EPOLLOUT : 0U),
		.data.ptr = connection};

	if (epoll_ctl(client->epoll, what, connection->fd, &event))
		return fail(client, "epoll_ctl: %s", strerror(errno));
	return true;
}

/* Some at a time: more than a listener's queue holds would wait a second for the next attempt. */
static bool open_all(struct echo_client *client)
{
	struct echo_connection *connection = client->connection;
	unsigned count = client->connections;

	for (unsigned from = 0; from < count; from += TOGETHER) {
		unsigned to = count - from < TOGETHER ? count : from + TOGETHER;

		for (unsigned i = from; i < to; i++)
			if (!open_one(client, &connection[i]) || !greet(client, &connection[i]))
				return false;
		for (unsigned i = from; i < to; i++)
			if (!await_greeting(client, &connection[i]) ||
				!watch(client, &connection[i], EPOLL_CTL_ADD))
				return false;
	}
	return true;
}

/* ---- requests -------------------------------------------------------------------------------- */

static int64_t intended(const struct echo_client *client, uint64_t request)
{
	return client->start_ns + LEAD_NS + (int64_t)client->arrival[request].at_ns;
}

/* Sends what may be sent. */
static bool push(struct echo_client *client, struct echo_connection *connection)
{
	while (connection->sent < connection->allowed * client->bytes) {
		uint64_t k = connection->sent / client->bytes;
		size_t done = (size_t)(connection->sent % client->bytes);
		ssize_t n = send(connection->fd, message(client, connection->index, k) + done,
			client->bytes - done, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EAGAIN) {
			connection->blocked = true;
			return watch(client, connection, EPOLL_CTL_MOD);
		}
		if (n < 0)
			return fail(client, "send: %s", strerror(errno));
		connection->sent += (uint64_t)n;
		client->sent_bytes += (uint64_t)n;
	}
	return true;
}

/* The k-th message of the connection is back. */
static void note_reply(struct echo_client *client, struct echo_connection *connection, uint64_t k,
	int64_t now_ns)
{
	uint64_t request = k * client->connections + connection->index;
	bool closed = !client->arrival;

	client->response[request] =
		now_ns - (closed ? connection->since_ns : intended(client, request));
	client->replies++;
	if (closed && connection->allowed < connection->share) {
		connection->allowed++;
		connection->since_ns = now_ns;
	}
}

static void compare(struct echo_client *client, struct echo_connection *connection,
	const char *data, size_t left, int64_t now_ns)
{
	client->received_bytes += left;
	while (left > 0) {
		uint64_t k = connection->received / client->bytes;
		size_t done = (size_t)(connection->received % client->bytes);
		size_t n = client->bytes - done < left ? client->bytes - done : left;

		if (connection->received + n > connection->sent ||
			memcmp(data, message(client, connection->index, k) + done, n) != 0)
			client->wrong_bytes++;
		connection->received += n;
		data += n;
		left -= n;
		if (done + n == client->bytes && k < connection->share)
			note_reply(client, connection, k, now_ns);
	}
}

static bool pull(struct echo_client *client, struct echo_connection *connection)
{
	ssize_t n = recv(connection->fd, client->data, CHUNK_BYTES, MSG_DONTWAIT);

	if (n < 0 && errno == EAGAIN)
		return true;
	if (n <= 0)
		return fail(client, "connection %u of %u ended: %s", connection->index + 1,
			client->connections, n < 0 ? strerror(errno) : "the server closed it");
	compare(client, connection, client->data, (size_t)n, (int64_t)shunt_clock_monotonic_ns());
	return push(client, connection);
}

/* Sends what is due by now. */
static bool release_due(struct echo_client *client)
{
	while (client->released < client->requests) {
		uint64_t request = client->released;
		struct echo_connection *connection =
			&client->connection[request % client->connections];
		int64_t late_ns = (int64_t)shunt_clock_monotonic_ns() - intended(client, request);

		if (late_ns < 0)
			break;
		client->lag[request] = late_ns;
		client->released++;
		connection->allowed++;
		if (!connection->blocked && !push(client, connection))
			return false;
	}
	return true;
}

static bool release_first(struct echo_client *client)
{
	for (unsigned i = 0; i < client->connections; i++) {
		struct echo_connection *connection = &client->connection[i];

		connection->allowed = connection->share > 0;
		connection->since_ns = (int64_t)shunt_clock_monotonic_ns();
		if (!push(client, connection))
			return false;
	}
	return true;
}

/* ---- waiting --------------------------------------------------------------------------------- */

/* Waits for the next arrival without the lateness of a sleep. */
static int await_arrival(const struct echo_client *client, struct epoll_event *event)
{
	int64_t left_ns = intended(client, client->released) - (int64_t)shunt_clock_monotonic_ns() -
			  client->awake_ns;
	struct timespec most = {left_ns / 1000000000, left_ns % 1000000000};
	struct pollfd ready = {.fd = client->epoll, .events = POLLIN};

	if (left_ns > 0)
		ppoll(&ready, 1, &most, NULL);
	return epoll_wait(client->epoll, event, BATCH, 0);
}

/* True: go on. */
static bool serve_events(struct echo_client *client)
{
	struct epoll_event event[BATCH];
	bool arrives = client->arrival && client->released < client->requests;
	int count = arrives ? await_arrival(client, event)
			    : epoll_wait(client->epoll, event, BATCH, GIVE_UP_S * 1000);

	if (count < 0 && errno != EINTR)
		return fail(client, "epoll_wait: %s", strerror(errno));
	if (count == 0 && !arrives)
		return fail(client, "%llu of %llu requests had no answer for %d s",
			(unsigned long long)(client->requests - client->replies),
			(unsigned long long)client->requests, GIVE_UP_S);
	for (int i = 0; i < count; i++) {
		struct echo_connection *connection = event[i].data.ptr;

		if (connection->blocked && event[i].events & EPOLLOUT) {
			connection->blocked = false;
			if (!watch(client, connection, EPOLL_CTL_MOD) || !push(client, connection))
				return false;
		}
		if (event[i].events & ~(uint32_t)EPOLLOUT && !pull(client, connection))
			return false;
	}
	return !client->arrival || release_due(client);
}

static void measure(struct echo_client *client)
{
	uint64_t before_ns = shunt_clock_thread_cpu_ns();

	client->start_ns = (int64_t)shunt_clock_monotonic_ns();
	bool good = client->arrival || release_first(client);

	while (good && client->replies < client->requests)
		good = serve_events(client);
	client->end_ns = (int64_t)shunt_clock_monotonic_ns();
	client->cpu_ns = shunt_clock_thread_cpu_ns() - before_ns;
}

void echo_client_run(struct echo_client *client)
{
	client->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (client->epoll < 0)
		fail(client, "epoll_create1: %s", strerror(errno));
	else if (open_all(client)) {
		client->ready(client);
		measure(client);
	}
}

void echo_client_close(struct echo_client *client)
{
	for (unsigned i = 0; i < client->connections; i++)
		if (client->connection[i].fd >= 0)
			close(client->connection[i].fd);
	if (client->epoll >= 0)
		close(client->epoll);
}
