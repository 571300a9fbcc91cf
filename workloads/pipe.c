/* SPDX-License-Identifier: MIT */
/*
 * pipe: tasks in a ring pass one token through the kernel.
 *
 * As `ring`, but what carries the token is a pipe, or a pair of sockets, between each two tasks: a
 * hop is a write, a read, and the wake of a task by an event. One task at a time has something to
 * do, so the series `hop`, the time of a lap divided by its hops, is the latency of such a wake.
 * The difference to `ring` is what the way through the kernel costs.
 */
#include "core/io.h"
#include "workloads/crowd.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

enum over { OVER_PIPE, OVER_SOCKET };
static const char *const over_names[] = {"pipe", "socket", NULL};

struct pipe_ring;

struct member {
	struct pipe_ring *ring;
	uint64_t index, rounds;
	struct shunt_fd in, out;
	uint64_t passed, wrong;
	int rc;
};

struct pipe_ring {
	uint64_t task_count, hops;
	enum over over;
	struct member *member;
	struct crowd crowd;
	struct shunt_series *hop;
};

/* Until the whole token has come, or a negative errno; -EPIPE: the one before has left. */
static int receive(struct shunt_fd fd, uint64_t *token)
{
	for (size_t done = 0; done < sizeof(*token);) {
		int64_t n = shunt_io_read(fd, (char *)token + done, sizeof(*token) - done,
			SHUNT_IO_CURRENT);

		if (n <= 0)
			return n ? (int)n : -EPIPE;
		done += (size_t)n;
	}
	return 0;
}

/* A token is never cut: it is shorter than what any pipe takes at once. */
static int pass(struct shunt_fd fd, uint64_t token)
{
	int64_t n = shunt_io_write(fd, &token, sizeof(token), SHUNT_IO_CURRENT);

	return n < 0 ? (int)n : 0;
}

static int run_rounds(struct member *self)
{
	struct pipe_ring *ring = self->ring;
	int64_t since_ns = 0;

	for (uint64_t round = 0; round < self->rounds; round++) {
		uint64_t token;
		int rc = receive(self->in, &token);

		if (rc)
			return rc;
		if (self->index == 0) {
			int64_t now_ns = shunt_now_ns();

			if (round)
				shunt_series_record(ring->hop,
					(now_ns - since_ns) / (int64_t)ring->task_count);
			since_ns = now_ns;
		}
		self->wrong += token != round * ring->task_count + self->index;
		self->passed++;
		rc = token + 1 < ring->hops ? pass(self->out, token + 1) : 0;
		if (rc)
			return rc;
	}
	return 0;
}

/* The next one finds that the ring has ended, if it waits for more. */
static void leave(const struct member *self)
{
	shunt_io_close(self->out);
	shunt_io_close(self->in);
}

static void *member_run(void *arg)
{
	struct member *self = arg;

	self->rc = run_rounds(self);
	leave(self);
	return NULL;
}

/* ---- one iteration --------------------------------------------------------------------------- */

static int open_one(enum over over, struct shunt_fd *in, struct shunt_fd *out)
{
	int number[2];

	if (over == OVER_PIPE ? pipe2(number, O_CLOEXEC)
			      : socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, number))
		return -errno;
	int rc = shunt_io_adopt(number[0], in);

	if (rc) {
		close(number[0]);
		close(number[1]);
		return rc;
	}
	rc = shunt_io_adopt(number[1], out);
	if (rc) {
		shunt_io_close(*in);
		close(number[1]);
	}
	return rc;
}

/* Opens the way into each member, from the one before. */
static int open_all(struct shunt_run *run, struct pipe_ring *ring)
{
	for (uint64_t i = 0; i < ring->task_count; i++) {
		struct member *before = &ring->member[(i ? i : ring->task_count) - 1];
		int rc = open_one(ring->over, &ring->member[i].in, &before->out);

		if (!rc)
			continue;
		shunt_run_explain(run, "%s %llu of %llu could not be opened: %s",
			over_names[ring->over], (unsigned long long)i + 1,
			(unsigned long long)ring->task_count, strerror(-rc));
		for (uint64_t k = 0; k < ring->task_count; k++) {
			shunt_io_close(ring->member[k].in);
			shunt_io_close(ring->member[k].out);
		}
		return rc;
	}
	return 0;
}

static int pipe_body(struct shunt_run *run)
{
	struct pipe_ring *ring = shunt_run_state(run);

	for (uint64_t i = 0; i < ring->task_count; i++)
		ring->member[i] = (struct member){.ring = ring,
			.index = i,
			.rounds = crowd_share(ring->hops, ring->task_count, i)};
	int rc = open_all(run, ring);

	if (rc)
		return rc;
	shunt_measure_begin(run);
	/* Before they run: the last of them writes there too. */
	int started = pass(ring->member[ring->task_count - 1].out, 0);
	rc = crowd_start(run, &ring->crowd, ring->task_count, member_run, ring->member,
		sizeof(*ring->member));
	for (uint64_t i = ring->crowd.started; i < ring->task_count; i++)
		leave(&ring->member[i]);
	int joined = crowd_join(&ring->crowd, NULL);

	shunt_measure_end(run);
	rc = rc ? rc : started;
	for (uint64_t i = 0; !rc && i < ring->task_count; i++)
		rc = ring->member[i].rc;
	return rc ? rc : joined;
}

static void pipe_verify(struct shunt_run *run)
{
	const struct pipe_ring *ring = shunt_run_state(run);
	uint64_t passed = 0, wrong = 0, calls = 0, growth;

	for (uint64_t i = 0; i < ring->task_count; i++) {
		passed += ring->member[i].passed;
		wrong += ring->member[i].wrong;
	}
	shunt_check_int(run, "hops", (int64_t)ring->hops, (int64_t)passed);
	shunt_check_int(run, "tokens_out_of_order", 0, (int64_t)wrong);
	shunt_operations(run, ring->hops);
	if (shunt_run_counter(run, "io_syscalls", &growth) == 0)
		calls += growth;
	if (shunt_run_counter(run, "wait_syscalls", &growth) == 0)
		calls += growth;
	shunt_metric(run, "syscalls_per_hop", (double)calls / (double)ring->hops, "1", "lower");
}

/* ---- set-up ---------------------------------------------------------------------------------- */

static void pipe_footprint(const struct shunt_run *run, struct shunt_footprint *footprint)
{
	uint64_t tasks = (uint64_t)shunt_run_int(run, "tasks");

	footprint->tasks = tasks + 1;
	footprint->bytes = tasks * sizeof(struct member);
	footprint->descriptors = 2 * tasks;
}

static int pipe_setup(struct shunt_run *run, struct shunt_error *err)
{
	struct pipe_ring *ring = calloc(1, sizeof(*ring));

	shunt_run_set_state(run, ring);
	if (!ring)
		return -ENOMEM;
	ring->task_count = (uint64_t)shunt_run_int(run, "tasks");
	ring->hops = (uint64_t)shunt_run_int(run, "hops");
	ring->over = (enum over)shunt_run_int(run, "over");
	ring->hop = shunt_series(run, "hop");
	ring->member = calloc(ring->task_count, sizeof(*ring->member));
	if (!ring->member || !ring->hop || crowd_init(&ring->crowd, ring->task_count))
		return shunt_fail(err, -ENOMEM, "no memory for %llu tasks",
			(unsigned long long)ring->task_count);
	return 0;
}

static void pipe_teardown(struct shunt_run *run)
{
	struct pipe_ring *ring = shunt_run_state(run);

	if (!ring)
		return;
	crowd_fini(&ring->crowd);
	free(ring->member);
	free(ring);
}

static const struct shunt_param pipe_params[] = {
	{"tasks", SHUNT_PARAM_COUNT, "2", 2, 100000, NULL,
		"tasks in the ring, each with a pipe to the next"},
	{"hops", SHUNT_PARAM_COUNT, "20k", 1, INT64_C(1) << 40, NULL, "hops of the token in total"},
	{"over", SHUNT_PARAM_CHOICE, "pipe", 0, 0, over_names,
		"what carries the token: pipes, or pairs of Unix stream sockets"},
	{.name = NULL},
};

const struct shunt_workload shunt_workload_pipe = {
	.name = "pipe",
	.summary = "tasks in a ring pass a token through pipes",
	.description = "A token goes round a ring of tasks, each of which waits for it in a read "
		       "and passes it on by a write. It measures the latency of a wake by input: "
		       "compare io=epoll, io=uring and threads, and with `ring`, whose token "
		       "stays in user space.",
	.operation = "one hop of the token",
	.cost_metric = "ns_per_hop",
	.needs = SHUNT_CAN_BLOCK | SHUNT_CAN_IO,
	.params = pipe_params,
	.small = "tasks=3 hops=50|tasks=2 hops=41 over=socket",
	.footprint = pipe_footprint,
	.setup = pipe_setup,
	.body = pipe_body,
	.verify = pipe_verify,
	.teardown = pipe_teardown,
};
