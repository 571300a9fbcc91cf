/* SPDX-License-Identifier: MIT */
/*
 * openloop: requests arrive when they are meant to, whether or not the system keeps up.
 *
 * A closed loop waits for an answer before it asks again, and so never asks while the system is
 * stuck: the worst latencies are left out (coordinated omission). Here the arrivals are a table,
 * made in set-up from the seed alone (arrivals.h), and every latency counts from the intended
 * arrival in that table. A request is a task; its service is calibrated work, in one piece or in
 * slices between which a quantum may end, with a sleep in the middle if asked for.
 *
 * injection=timer: a generator task sleeps until the next arrival and spawns all that are due. So
 * that a busy worker, whose policy may let the generator wait, does not hide arrivals from that
 * policy, the end of each request, its sleep and the end of each of its slices spawn what is due,
 * too: a chance for the injector. An arrival during a request's service is thus seen at the first
 * decision after it. Where requests are put on workers, each worker has a generator for its own.
 * injection=outside: a kernel thread of its own, beside the scheduler, spawns by the external path;
 * its processor time is not the scheduler's.
 *
 * Series, in ns (slowdown in thousandths): `injection` spawn minus intended arrival; `lag` the part
 * of it that is the generator's fault, that is from the intended arrival, or while requests held
 * all workers from the last chance, or outside from the end of the last spawn, to this one;
 * `queueing` first run minus intended arrival; `service` end minus first run; `response` end minus
 * intended arrival; `slowdown` response by the table's service time; the last two for each class
 * besides, where there are several. `series` says which of them the record holds.
 *
 * What it does not do: clients that give up, retry or wait. A run whose generator outside lagged,
 * by more than a tenth of the response's p99, is invalid (`judge`). The lag of injection=timer is
 * the scheduler's own and part of the response; the record has it.
 */
#include "workloads/openloop.h"

#include "core/measure/clock.h"

#include <errno.h>
#include <string.h>

/* Between the start of an iteration and time 0 of its table: the generator is in place by then. */
#define LEAD_NS 200000

/* ---- a request ------------------------------------------------------------------------------- */

static int64_t served_clock(const struct openloop *loop, int64_t now_ns)
{
	return loop->shared_by_kernel ? (int64_t)shunt_clock_thread_cpu_ns() : now_ns;
}

/* Whatever is not the request's own: others' turns, and its sleep. */
static void stop_clock(struct request *request)
{
	request->served_ns += served_clock(request->loop, shunt_now_ns());
}

static void start_clock(struct request *request)
{
	request->served_ns -= served_clock(request->loop, shunt_now_ns());
}

static void begin(struct request *self)
{
	struct openloop *loop = self->loop;

	self->started_ns = shunt_now_ns();
	self->served_ns = -served_clock(loop, self->started_ns);
	self->runs++;
	if (loop->stall_ns && (size_t)(self - loop->request) == loop->stall_at)
		shunt_work_ns(loop->stall_ns);
}

static void end(struct request *self)
{
	self->ended_ns = shunt_now_ns();
	self->served_ns += served_clock(self->loop, self->ended_ns);
	openloop_chance(self, self->ended_ns);
	openloop_leave(self);
}

/* What it has to work for before its sleep (half 0) and after it. */
static int64_t half_of(const struct request *self, int half)
{
	const struct openloop *loop = self->loop;
	int64_t work_ns = (int64_t)loop->table.arrival[self - loop->request].service_ns;
	int64_t before_ns = loop->block_ns ? work_ns / 2 : 0;

	return half ? work_ns - before_ns : before_ns;
}

/* Works off a slice of what is left. True: a quantum has ended, and more is left. */
static bool serve_slice(struct request *request, int64_t *left_ns)
{
	struct openloop *loop = request->loop;
	int64_t slice_ns = loop->slice_ns ? loop->slice_ns : *left_ns;
	bool more = *left_ns > slice_ns;

	shunt_work_ns(more ? slice_ns : *left_ns);
	*left_ns -= slice_ns;
	if (!more)
		return false;
	/* Before the question: a shorter request may just have arrived. */
	if (loop->injection == INJECT_TIMER)
		openloop_chance(request, shunt_now_ns());
	return shunt_checkpoint();
}

static void give_way(struct request *request)
{
	stop_clock(request);
	shunt_yield();
	start_clock(request);
}

static void serve(struct request *request, int64_t left_ns)
{
	do {
		if (serve_slice(request, &left_ns))
			give_way(request);
	} while (left_ns > 0);
}

void openloop_checkpoint(struct request *request)
{
	if (request->loop->injection == INJECT_TIMER)
		openloop_chance(request, shunt_now_ns());
	if (shunt_checkpoint())
		give_way(request);
}

/* Returns when the sleep in the middle is over. */
static int64_t before_sleep(struct request *request)
{
	int64_t now_ns = shunt_now_ns();

	request->served_ns += served_clock(request->loop, now_ns);
	openloop_chance(request, now_ns);
	return shunt_now_ns() + request->loop->block_ns;
}

void *openloop_request(void *arg)
{
	struct request *self = arg;

	begin(self);
	if (self->loop->work) {
		self->loop->work(self);
	} else {
		if (self->loop->block_ns) {
			serve(self, half_of(self, 0));
			shunt_sleep_until(before_sleep(self));
			start_clock(self);
		}
		serve(self, half_of(self, 1));
	}
	end(self);
	return NULL;
}

int openloop_request_step(struct shunt_step *step)
{
	struct openloop_frame *self = (struct openloop_frame *)step;
	struct request *request = self->request;
	int rc;

	SHUNT_STEP_BEGIN(step);
	begin(request);
	for (self->half = request->loop->block_ns ? 0 : 1; self->half < 2; self->half++) {
		self->left_ns = half_of(request, self->half);
		do {
			if (!serve_slice(request, &self->left_ns))
				continue;
			stop_clock(request);
			SHUNT_STEP_GIVE_WAY(step);
			start_clock(request);
		} while (self->left_ns > 0);
		if (self->half)
			break;
		self->due_ns = before_sleep(request);
		SHUNT_STEP_AWAIT(step, rc, shunt_sleep_poll(self->due_ns));
		start_clock(request);
	}
	end(request);
	SHUNT_STEP_END(step);
}

/* ---- one iteration --------------------------------------------------------------------------- */

static int prepare_iteration(struct openloop *loop)
{
	for (size_t i = 0; i < loop->table.count; i++)
		loop->request[i] = (struct request){.loop = loop};
	for (size_t i = 0; loop->frame && i < loop->table.count; i++)
		loop->frame[i].request = &loop->request[i];
	loop->root = shunt_self();
	loop->worker_count = shunt_worker_count();
	loop->steered = loop->steer == STEER_HASH ||
			(loop->steer == STEER_AUTO && loop->worker_count > 1 &&
				(shunt_run_caps(loop->run) & SHUNT_PINS));
	loop->rc = 0;
	loop->backlog_max = 0;
	loop->pending = 1;
	int rc = openloop_streams(loop);

	loop->injectors = loop->stream_count;
	loop->start_ns = shunt_now_ns() + LEAD_NS;
	return rc;
}

static void await(struct openloop *loop)
{
	/* Acquire pairs with openloop_leave [openloop:pending]. */
	while (__atomic_load_n(&loop->pending, __ATOMIC_ACQUIRE) > 0)
		shunt_park();
}

int openloop_iterate(struct openloop *loop)
{
	struct shunt_run *run = loop->run;
	int rc = prepare_iteration(loop);

	if (rc)
		return rc;
	shunt_measure_begin(run);
	uint64_t cpu_ns = shunt_clock_cpu_ns();

	rc = openloop_start(loop);

	if (rc) {
		shunt_run_explain(run, "the generator could not be started: %s%s", strerror(-rc),
			rc == -EDEADLK ? "; the workers have the highest real-time priority, and "
					 "its CPU"
				       : "");
		return rc;
	}
	await(loop);
	loop->end_ns = shunt_now_ns();
	loop->cpu_ns = shunt_clock_cpu_ns() - cpu_ns;
	shunt_measure_end(run);
	loop->cpu_ns -= shunt_outside_join(run);
	if (loop->rc) {
		shunt_run_explain(run, "request %zu of %zu could not be started: %s",
			loop->failed_at, loop->table.count, strerror(-loop->rc));
		return loop->rc;
	}
	openloop_report(loop);
	return 0;
}

static int openloop_body(struct shunt_run *run)
{
	return openloop_iterate(shunt_run_state(run));
}

static void openloop_verify(struct shunt_run *run)
{
	openloop_check(shunt_run_state(run));
}

const struct shunt_workload shunt_workload_openloop = {
	.name = "openloop",
	.summary = "requests arrive on a schedule, whether or not the system keeps up: latency "
		   "under load",
	.description =
		"An open loop: requests arrive at times that a table from the seed gives, each "
		"with "
		"a service time, and each is a task. Latency counts from the intended arrival; "
		"queueing, service and slowdown are told apart. The table is the same on every "
		"backend, and its hash is in the record. Arrivals beyond a bounded backlog are "
		"dropped and counted. With policies that are first in, first out the record has "
		"the exact value of the same table beside each latency.",
	.operation = "one request",
	.cost_metric = "ns_per_request",
	.needs = SHUNT_CAN_BLOCK | SHUNT_TIMED,
	.params = openloop_params,
	.small = "requests=100 mean=5us load=0.5 service=mix"
		 "|requests=50 mean=20us load=0.3 service=bimodal slice=5us block=20us"
		 "|requests=100 mean=5us load=0.5 injection=outside"
		 "|requests=50 mean=20us load=0.3 slice=5us block=20us form=step",
	.resolve = openloop_resolve,
	.print_arrivals = openloop_print_arrivals,
	.footprint = openloop_footprint,
	.setup = openloop_setup,
	.body = openloop_body,
	.verify = openloop_verify,
	.judge = openloop_judge,
	.teardown = openloop_teardown,
};
