/* SPDX-License-Identifier: MIT */
/*
 * What theory says of the open loop: mean waits of the classic queues, and the same queues worked
 * out exactly on one table.
 *
 *   M/G/1   Pollaczek and Khinchine: load (1 + c2) mean / (2 (1 - load))
 *   M/M/2   Erlang's C is load^2 / (2 + load); the mean wait is C mean / (2 - load)
 *
 * On a table, for first come, first served: a request starts when it is there and a server is free,
 * that is when at most servers - 1 of its predecessors are left (Lindley 1952; Kiefer and Wolfowitz
 * 1955).
 */
#ifndef SHUNT_WORKLOADS_TEST_ORACLE_H
#define SHUNT_WORKLOADS_TEST_ORACLE_H

#include "workloads/arrivals.h"

#include <stddef.h>

enum { SERVERS_MOST = 8 };

static inline double wait_mg1(double load, double mean, double squared_cv)
{
	return load * (1 + squared_cv) * mean / (2 * (1 - load));
}

static inline double wait_mm2(double load, double mean)
{
	return load * load / (2 + load) * mean / (2 - load);
}

/* The servers' next free times. */
struct queue {
	double free[SERVERS_MOST];
	unsigned servers;
};

/* When a request starts that is there at `at`, and needs its server for `service` from then on. */
static inline double queue_start(struct queue *queue, double at, double delay, double service)
{
	unsigned first = 0;
	for (unsigned i = 1; i < queue->servers; i++)
		if (queue->free[i] < queue->free[first])
			first = i;
	double start = (at > queue->free[first] ? at : queue->free[first]) + delay;
	queue->free[first] = start + service;
	return start;
}

/* The mean wait of the requests from `skip` on. */
static inline double table_wait(const struct shunt_arrivals *table, unsigned servers, size_t skip)
{
	struct queue queue = {.servers = servers};
	double sum = 0;
	for (size_t i = 0; i < table->count; i++) {
		const struct shunt_arrival *a = &table->arrival[i];
		double at = (double)a->at_ns;
		double start = queue_start(&queue, at, 0, (double)a->service_ns);
		sum += i < skip ? 0 : start - at;
	}
	return sum / (double)(table->count - skip);
}

#endif
