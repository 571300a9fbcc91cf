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

static void give_way(struct request *request)
{
	struct openloop *loop = request->loop;

	request->served_ns += served_clock(loop, shunt_now_ns());
	shunt_yield();
	request->served_ns -= served_clock(loop, shunt_now_ns());
}

/* Works for `work_ns`, giving way where a quantum ends. */
static void serve(struct request *request, int64_t work_ns)
{
	struct openloop *loop = request->loop;
	int64_t slice_ns = loop->slice_ns ? loop->slice_ns : work_ns;

	while (work_ns > slice_ns) {
		shunt_work_ns(slice_ns);
		work_ns -= slice_ns;
		/* Before the question: a shorter request may just have arrived. */
		if (loop->injection == INJECT_TIMER)
			openloop_chance(request, shunt_now_ns());
		if (shunt_checkpoint())
			give_way(request);
	}
	shunt_work_ns(work_ns);
}

static void sleep_inside(struct request *request)
{
	struct openloop *loop = request->loop;
	int64_t now_ns = shunt_now_ns();

	request->served_ns += served_clock(loop, now_ns);
	openloop_chance(request, now_ns);
	shunt_sleep_for(loop->block_ns);
	request->served_ns -= served_clock(loop, shunt_now_ns());
}

void *openloop_request(void *arg)
{
	struct request *self = arg;
	struct openloop *loop = self->loop;
	size_t index = (size_t)(self - loop->request);
	int64_t work_ns = (int64_t)loop->table.arrival[index].service_ns;
	int64_t before_ns = loop->block_ns ? work_ns / 2 : 0;

	self->started_ns = shunt_now_ns();
	self->served_ns = -served_clock(loop, self->started_ns);
	self->runs++;
	if (loop->stall_ns && index == loop->stall_at)
		shunt_work_ns(loop->stall_ns);
	if (loop->block_ns) {
		serve(self, before_ns);
		sleep_inside(self);
	}
	serve(self, work_ns - before_ns);
	self->ended_ns = shunt_now_ns();
	self->served_ns += served_clock(loop, self->ended_ns);
	openloop_chance(self, self->ended_ns);
	openloop_leave(self);
	return NULL;
}

/* ---- one iteration --------------------------------------------------------------------------- */

static int prepare_iteration(struct openloop *loop)
{
	for (size_t i = 0; i < loop->table.count; i++)
		loop->request[i] = (struct request){.loop = loop};
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

static int openloop_body(struct shunt_run *run)
{
	struct openloop *loop = shunt_run_state(run);

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
		 "|requests=100 mean=5us load=0.5 injection=outside",
	.resolve = openloop_resolve,
	.print_arrivals = openloop_print_arrivals,
	.footprint = openloop_footprint,
	.setup = openloop_setup,
	.body = openloop_body,
	.verify = openloop_verify,
	.judge = openloop_judge,
	.teardown = openloop_teardown,
};
