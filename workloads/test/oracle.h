/* SPDX-License-Identifier: MIT */
/*
 * What theory says of the open loop: mean waits of the classic queues, and the same queues worked
 * out exactly on one table.
 *
 *   M/G/1   Pollaczek and Khinchine: load (1 + c2) mean / (2 (1 - load))
 *   M/M/2   Erlang's C is load^2 / (2 + load); the mean wait is C mean / (2 - load)
 */
#ifndef SHUNT_WORKLOADS_TEST_ORACLE_H
#define SHUNT_WORKLOADS_TEST_ORACLE_H

#include "workloads/arrivals.h"
#include "workloads/fcfs.h"

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

/* The mean wait of the requests from `skip` on. */
static inline double table_wait(const struct shunt_arrivals *table, unsigned servers, size_t skip)
{
	double free_at[SERVERS_MOST] = {0};
	struct fcfs queue = {free_at, servers};
	double sum = 0;
	for (size_t i = 0; i < table->count; i++) {
		const struct shunt_arrival *a = &table->arrival[i];
		double at = (double)a->at_ns;
		double start = fcfs_start(&queue, at, 0, (double)a->service_ns);
		sum += i < skip ? 0 : start - at;
	}
	return sum / (double)(table->count - skip);
}

#endif
