/* SPDX-License-Identifier: MIT */
/*
 * What an open loop would measure without a scheduler: the same queue, worked out on the same
 * table.
 *
 * Queueing theory's formulas are of the steady state, and a run of 5,000 requests is 9 to 17 % off
 * them: beside a measured latency belongs that of its own table (fcfs.h). It is known where the
 * order is, first in, first out, and where each request keeps its server for as long as the table
 * says: no quantum, no sleep inside, no work of its own, nothing dropped. One queue for all workers
 * has as many servers; requests that are put on workers have a queue of one server each.
 */
#include "workloads/openloop.h"

#include "core/measure/hist.h"
#include "workloads/fcfs.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* 0: the queue is not known. */
static unsigned queues(const struct openloop *loop)
{
	unsigned caps = shunt_run_caps(loop->run);

	if (!(caps & SHUNT_FIFO) || loop->block_ns || loop->work)
		return 0;
	if (loop->steered)
		return loop->worker_count;
	return loop->worker_count == 1 || !(caps & SHUNT_PINS);
}

static void walk(const struct openloop *loop, unsigned count, double *free_at,
	struct shunt_hist *queueing, struct shunt_hist *response, struct shunt_hist *slowdown)
{
	for (size_t i = 0; i < loop->table.count; i++) {
		const struct shunt_arrival *arrival = &loop->table.arrival[i];
		unsigned which = count > 1 ? loop->request[i].worker - 1 : 0;
		struct fcfs queue = {free_at + which, loop->worker_count / count};
		double service = (double)arrival->service_ns, at = (double)arrival->at_ns;

		if (loop->stall_ns && i == loop->stall_at)
			service += (double)loop->stall_ns;
		double start = fcfs_start(&queue, at, 0, service), took = start + service - at;

		if (i < loop->skip)
			continue;
		shunt_hist_record(queueing, (int64_t)(start - at));
		shunt_hist_record(response, (int64_t)took);
		shunt_hist_record(slowdown, (int64_t)(took * 1000 / (double)arrival->service_ns));
	}
}

int openloop_exact(struct openloop *loop, struct shunt_hist *queueing, struct shunt_hist *response,
	struct shunt_hist *slowdown)
{
	unsigned count = queues(loop);
	char text[64];

	if (!count)
		return -ENOENT;
	double *free_at = calloc(loop->worker_count, sizeof(*free_at));

	if (!free_at)
		return -ENOMEM;
	walk(loop, count, free_at, queueing, response, slowdown);
	free(free_at);
	snprintf(text, sizeof(text), "%u", count);
	shunt_run_fact(loop->run, "exact.queues", text);
	snprintf(text, sizeof(text), "%u", loop->worker_count);
	shunt_run_fact(loop->run, "exact.servers", text);
	return 0;
}
