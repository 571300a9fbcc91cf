/* SPDX-License-Identifier: MIT */
/*
 * echo: a task for each connection sends back what it receives.
 *
 * The smallest service there is: what is left of a request is its input and output, the wake of
 * its task, and the switch. The client is a kernel thread beside the scheduler (echo_client.h), on
 * a CPU of its own where there is one: it takes no part in what is measured, and the floors have
 * the same. Closed loop: a request on each connection at a time. With `rate`, an open loop:
 * requests are sent when a table from the seed says (arrivals.h), and `response` counts from the
 * intended time.
 *
 * CPU is that of the process less the client's own. What the kernel does for the receiver of a
 * packet it does, on the loopback, in the sender's time: a part of either side is the other's.
 *
 * System calls are those of the whole iteration: a connection's opening and closing is among them.
 */
#include "core/io.h"
#include "core/measure/clock.h"
#include "core/measure/hist.h"
#include "workloads/crowd.h"
#include "workloads/echo_client.h"

#include <fcntl.h>
#include <unistd.h>

#define LOOK_NS    100000000 /* the client may have failed */
#define LAG_PART   0.1       /* of the response's p99 */
#define LEAST_ROOM 4096

enum over { OVER_TCP, OVER_UNIX };
static const char *const over_names[] = {"tcp", "unix", NULL};
static const char *const process_names[] = {"poisson", "constant", NULL};

struct connection {
	struct echo *echo;
	struct shunt_fd fd;
	char *buffer;
	uint64_t bytes;
	int64_t end; /* what its last call said: 0 when the client has closed */
};

struct echo {
	struct shunt_run *run;
	struct echo_client client;
	struct shunt_arrivals table;
	struct connection *connection;
	char *buffers;
	size_t room;
	struct crowd crowd;
	struct shunt_series *response, *lag;
	struct shunt_handle root;
	int go[2]; /* a pipe: measured time has begun */
	int state; /* [echo:state] of the client */
	uint64_t cpu_ns;
	int sockets[2]; /* open before and after */
};

enum { OPENING, READY, DONE };

/* ---- the server ------------------------------------------------------------------------------ */

static int64_t send_all(struct shunt_fd fd, const char *data, int64_t bytes)
{
	for (int64_t done = 0, n; done < bytes; done += n) {
		n = shunt_io_send(fd, data + done, (size_t)(bytes - done), 0);
		if (n < 0)
			return n;
	}
	return bytes;
}

static void *serve(void *arg)
{
	struct connection *self = arg;
	int64_t n;

	while ((n = shunt_io_recv(self->fd, self->buffer, self->echo->room, 0)) > 0 &&
		(n = send_all(self->fd, self->buffer, n)) > 0)
		self->bytes += (uint64_t)n;
	self->end = n;
	shunt_io_close(self->fd);
	return NULL;
}

static int client_state(const struct echo *echo)
{
	/* Acquire pairs with advance [echo:state]. */
	return __atomic_load_n(&echo->state, __ATOMIC_ACQUIRE);
}

/* Accepts the next connection; -EPIPE: there will be none. */
static int accept_next(struct echo *echo, struct shunt_fd listener, struct shunt_fd *fd)
{
	int rc;

	do
		rc = shunt_io_accept_until(listener, fd, shunt_now_ns() + LOOK_NS);
	while (rc == -ETIMEDOUT && client_state(echo) == OPENING);
	return rc == -ETIMEDOUT ? -EPIPE : rc;
}

static int start_connection(struct echo *echo, struct shunt_fd listener)
{
	uint64_t i = echo->crowd.started;
	struct connection *connection = &echo->connection[i];
	int rc = accept_next(echo, listener, &connection->fd);

	if (rc == -EPIPE)
		return rc;
	if (rc) {
		shunt_run_explain(echo->run, "connection %llu of %u could not be accepted: %s",
			(unsigned long long)i + 1, echo->client.connections, strerror(-rc));
		return rc;
	}
	echo_no_delay(shunt_io_number(connection->fd));
	rc = shunt_spawn(&echo->crowd.handle[i], serve, connection, NULL);
	if (rc) {
		shunt_io_close(connection->fd);
		return crowd_refused(echo->run, i, echo->client.connections, rc);
	}
	echo->crowd.started++;
	return 0;
}

/* ---- the client ------------------------------------------------------------------------------ */

static void advance(struct echo *echo, int state)
{
	struct shunt_handle root = echo->root;

	/* Release pairs with client_state [echo:state]. */
	__atomic_store_n(&echo->state, state, __ATOMIC_RELEASE);
	shunt_wake(root);
}

static void await_client(const struct echo *echo, int state)
{
	while (client_state(echo) < state)
		shunt_park();
}

static void client_is_ready(struct echo_client *client)
{
	struct echo *echo = client->arg;
	char c;

	advance(echo, READY);
	while (read(echo->go[0], &c, 1) < 0 && errno == EINTR)
		;
}

static void client_runs(struct shunt_run *run, void *arg)
{
	struct echo *echo = arg;

	(void)run;
	echo_client_run(&echo->client);
	advance(echo, DONE);
	echo_client_close(&echo->client);
}

/* ---- one iteration --------------------------------------------------------------------------- */

/* Sees to it that the client gets on, or fails. */
static void let_go(const struct echo *echo)
{
	while (write(echo->go[1], "", 1) < 0 && errno == EINTR)
		;
}

static void measure(struct echo *echo)
{
	await_client(echo, READY);
	shunt_measure_begin(echo->run);
	uint64_t cpu_ns = shunt_clock_cpu_ns();

	let_go(echo);
	await_client(echo, DONE);
	echo->cpu_ns = shunt_clock_cpu_ns() - cpu_ns;
	shunt_measure_end(echo->run);
}

static int serve_all(struct echo *echo, struct shunt_fd listener)
{
	int rc = 0;

	for (echo->crowd.started = 0; !rc && echo->crowd.started < echo->client.connections;)
		rc = start_connection(echo, listener);
	shunt_io_close(listener);
	if (!rc)
		measure(echo);
	else
		let_go(echo);
	shunt_outside_join(echo->run);
	int joined = crowd_join(&echo->crowd, NULL);

	if (echo->client.error[0] && (!rc || rc == -EPIPE)) {
		shunt_run_explain(echo->run, "the client: %s", echo->client.error);
		return -EIO;
	}
	return rc ? rc : joined;
}

static int open_listener(struct echo *echo, struct shunt_fd *listener)
{
	int number = echo_client_listen(&echo->client);
	int rc = number < 0 ? number : shunt_io_adopt(number, listener);

	if (rc && number >= 0)
		close(number);
	if (rc)
		shunt_run_explain(echo->run, "no listening socket on the loopback: %s",
			strerror(-rc));
	return rc;
}

static void record(const struct echo *echo);

static int echo_body(struct shunt_run *run)
{
	struct echo *echo = shunt_run_state(run);
	struct shunt_fd listener;

	echo->state = OPENING;
	echo->root = shunt_self();
	for (unsigned i = 0; i < echo->client.connections; i++)
		echo->connection[i] =
			(struct connection){.echo = echo, .buffer = echo->buffers + i * echo->room};
	echo->sockets[0] = echo_sockets();
	int rc = open_listener(echo, &listener);

	if (rc)
		return rc;
	rc = shunt_outside_start(run, client_runs, echo);
	if (rc) {
		shunt_io_close(listener);
		shunt_run_explain(run, "the client could not be started: %s", strerror(-rc));
		return rc;
	}
	rc = serve_all(echo, listener);
	echo->sockets[1] = echo_sockets();
	if (!rc)
		record(echo);
	return rc;
}

/* ---- results --------------------------------------------------------------------------------- */

static void tell_p99(const struct echo *echo, const char *name, const int64_t *value)
{
	struct shunt_hist hist;

	if (shunt_hist_init(&hist))
		return;
	for (uint64_t i = 0; i < echo->client.requests; i++)
		shunt_hist_record(&hist, value[i]);
	if (shunt_hist_quantile_known(&hist, 990000))
		shunt_metric(echo->run, name, (double)shunt_hist_quantile(&hist, 990000), "ns",
			"lower");
	shunt_hist_fini(&hist);
}

static void record(const struct echo *echo)
{
	const struct echo_client *client = &echo->client;

	for (uint64_t i = 0; i < client->requests; i++)
		shunt_series_record(echo->response, client->response[i]);
	for (uint64_t i = 0; client->arrival && i < client->requests; i++)
		shunt_series_record(echo->lag, client->lag[i]);
	tell_p99(echo, "response_p99_ns", client->response);
	if (client->arrival)
		tell_p99(echo, "lag_p99_ns", client->lag);
}

static void tell_calls(struct shunt_run *run, double requests)
{
	static const char *const names[] = {"io_syscalls", "wait_syscalls"};
	uint64_t sum = 0, growth;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (shunt_run_counter(run, names[i], &growth) == 0)
			sum += growth;
	shunt_metric(run, "syscalls_per_request", (double)sum / requests, "1", "lower");
}

static void echo_verify(struct shunt_run *run)
{
	const struct echo *echo = shunt_run_state(run);
	const struct echo_client *client = &echo->client;
	double requests = (double)client->requests;
	uint64_t served = 0, broken = 0;

	for (unsigned i = 0; i < client->connections; i++) {
		served += echo->connection[i].bytes;
		broken += echo->connection[i].end != 0;
	}
	shunt_check_int(run, "replies", (int64_t)client->requests, (int64_t)client->replies);
	shunt_check_int(run, "wrong_bytes", 0, (int64_t)client->wrong_bytes);
	shunt_check_int(run, "bytes_received", (int64_t)client->sent_bytes,
		(int64_t)client->received_bytes);
	shunt_check_int(run, "bytes_served", (int64_t)client->sent_bytes, (int64_t)served);
	shunt_check_int(run, "connections_broken", 0, (int64_t)broken);
	shunt_check_int(run, "sockets_left", 0, echo->sockets[1] - echo->sockets[0]);
	shunt_operations(run, client->requests);
	shunt_metric(run, "cpu_ns_per_request",
		((double)echo->cpu_ns - (double)client->cpu_ns) / requests, "ns", "lower");
	shunt_metric(run, "client_busy",
		(double)client->cpu_ns / (double)(client->end_ns - client->start_ns), "1", "none");
	tell_calls(run, requests);
}

static int echo_judge(const struct shunt_run *run, struct shunt_error *err)
{
	double lag = shunt_run_median(run, "lag_p99_ns");
	double response = shunt_run_median(run, "response_p99_ns");

	if (!(lag > LAG_PART * response)) /* not of a closed loop, which has none */
		return 0;
	return shunt_fail(err, -EINVAL,
		"the client lagged: its p99 is %.1f us, more than a tenth of the response's %.1f "
		"us. Its CPU is not free, or the rate is more than it can send",
		lag / 1000, response / 1000);
}

/* ---- set-up ---------------------------------------------------------------------------------- */

static int echo_resolve(struct shunt_run *run, struct shunt_error *err)
{
	long long requests = shunt_run_int(run, "requests");
	long long connections = shunt_run_int(run, "connections");

	if (requests < connections)
		return shunt_fail(err, -EINVAL,
			"requests=%lld over connections=%lld: each connection needs one at least",
			requests, connections);
	if (shunt_run_given(run, "process") && !shunt_run_int(run, "rate"))
		return shunt_fail(err, -EINVAL,
			"process belongs to an open loop: set the rate of its arrivals too");
	shunt_outside_wanted(run);
	return 0;
}

static size_t room_of(const struct shunt_run *run)
{
	size_t bytes = (size_t)shunt_run_int(run, "bytes");

	return bytes < LEAST_ROOM ? LEAST_ROOM : bytes + 1;
}

static void echo_footprint(const struct shunt_run *run, struct shunt_footprint *footprint)
{
	uint64_t connections = (uint64_t)shunt_run_int(run, "connections");

	footprint->tasks = connections + 1;
	footprint->descriptors =
		2 * connections + 4; /* both ends, the listener, a pipe, an epoll */
	footprint->bytes = connections * (room_of(run) + sizeof(struct connection)) +
			   (uint64_t)shunt_run_int(run, "requests") *
				   (2 * sizeof(int64_t) + sizeof(struct shunt_arrival));
}

static int make_table(const struct shunt_run *run, struct echo *echo, struct shunt_error *err)
{
	const struct shunt_arrival_plan plan = {
		.seed = shunt_run_seed(run),
		.count = (size_t)shunt_run_int(run, "requests"),
		.rate = (uint64_t)shunt_run_int(run, "rate"),
		.process = (enum shunt_arrival_process)shunt_run_int(run, "process"),
		.law = SHUNT_SERVICE_FIXED,
		.mean_ns = 1,
	};

	if (!plan.rate)
		return 0;
	int rc = shunt_arrivals_make(&echo->table, &plan);

	echo->client.arrival = echo->table.arrival;
	return rc == -ERANGE ? shunt_fail(err, -EINVAL,
				       "%zu requests at a rate of %llu a second would arrive for "
				       "more than 78 hours; ask for fewer, or a higher rate",
				       plan.count, (unsigned long long)plan.rate)
			     : rc;
}

static int echo_setup(struct shunt_run *run, struct shunt_error *err)
{
	struct echo *echo = calloc(1, sizeof(*echo));

	shunt_run_set_state(run, echo);
	if (!echo)
		return -ENOMEM;
	echo->run = run;
	echo->go[0] = echo->go[1] = -1;
	echo->room = room_of(run);
	echo->client = (struct echo_client){.local = shunt_run_int(run, "over") == OVER_UNIX,
		.connections = (unsigned)shunt_run_int(run, "connections"),
		.requests = (uint64_t)shunt_run_int(run, "requests"),
		.seed = shunt_run_seed(run),
		.bytes = (size_t)shunt_run_int(run, "bytes"),
		.ready = client_is_ready,
		.arg = echo};
	int rc = make_table(run, echo, err);

	if (rc)
		return rc;
	echo->connection = calloc(echo->client.connections, sizeof(*echo->connection));
	echo->buffers = malloc(echo->client.connections * echo->room);
	echo->response = shunt_series(run, "response");
	echo->lag = echo->client.arrival ? shunt_series(run, "lag") : NULL;
	if (!echo->connection || !echo->buffers || !echo->response ||
		(echo->client.arrival && !echo->lag) || echo_client_init(&echo->client) ||
		crowd_init(&echo->crowd, echo->client.connections))
		return shunt_fail(err, -ENOMEM, "no memory for %u connections",
			echo->client.connections);
	return pipe2(echo->go, O_CLOEXEC) ? -errno : 0;
}

static void echo_teardown(struct shunt_run *run)
{
	struct echo *echo = shunt_run_state(run);

	if (!echo)
		return;
	for (int i = 0; i < 2; i++)
		if (echo->go[i] >= 0)
			close(echo->go[i]);
	crowd_fini(&echo->crowd);
	echo_client_fini(&echo->client);
	shunt_arrivals_free(&echo->table);
	free(echo->connection);
	free(echo->buffers);
	free(echo);
}

static const struct shunt_param echo_params[] = {
	{"connections", SHUNT_PARAM_COUNT, "64", 1, 100000, NULL,
		"connections, each with a task that serves it"},
	{"requests", SHUNT_PARAM_COUNT, "50k", 1, 1000000000, NULL,
		"requests in total, the i-th over connection i modulo connections"},
	{"bytes", SHUNT_PARAM_COUNT, "64", 1, 1 << 20, NULL, "length of a request and its answer"},
	{"over", SHUNT_PARAM_CHOICE, "tcp", 0, 0, over_names,
		"TCP on the loopback, or Unix stream sockets"},
	{"rate", SHUNT_PARAM_COUNT, "0", 0, 1000000000, NULL,
		"an open loop: requests a second in total, sent whether or not answers come; 0: a "
		"closed loop, with a request on each connection at a time"},
	{"process", SHUNT_PARAM_CHOICE, "poisson", 0, 0, process_names,
		"of the open loop: arrivals independent of each other, or equally spaced"},
	{.name = NULL},
};

const struct shunt_workload shunt_workload_echo = {
	.name = "echo",
	.summary = "a task for each connection sends back what it receives",
	.description =
		"A client beside the scheduler sends requests over many connections and compares "
		"every byte of the answers; a task for each connection echoes. It measures what "
		"input and output cost a scheduler: compare io=epoll, io=uring and threads, in "
		"requests a second, CPU time and system calls a request, and response times. "
		"With a rate it is an open loop, and responses count from the intended time.",
	.operation = "one request",
	.cost_metric = "ns_per_request",
	.needs = SHUNT_CAN_BLOCK | SHUNT_TIMED | SHUNT_EXTERNAL_WAKE | SHUNT_CAN_IO,
	.params = echo_params,
	.small = "connections=3 requests=40|connections=2 requests=20 bytes=70000 over=unix"
		 "|connections=2 requests=30 rate=5000",
	.bench = "connections=1 requests=2000",
	.resolve = echo_resolve,
	.footprint = echo_footprint,
	.setup = echo_setup,
	.body = echo_body,
	.verify = echo_verify,
	.judge = echo_judge,
	.teardown = echo_teardown,
};
