/* SPDX-License-Identifier: MIT */
/*
 * A first-come-first-served queue, worked out exactly: each request starts when it is there and a
 * server is free, that is when at most servers - 1 of its predecessors are left (Lindley 1952; for
 * several servers Kiefer and Wolfowitz 1955).
 */
#ifndef SHUNT_WORKLOADS_FCFS_H
#define SHUNT_WORKLOADS_FCFS_H

/* When each server is free next: a heap with the earliest first, zero at first. */
struct fcfs {
	double *free_at;
	unsigned servers;
};

/* The first server is free at `at`, later than before. */
static inline void fcfs_occupy(struct fcfs *queue, double at)
{
	unsigned place = 0, below;

	while ((below = 2 * place + 1) < queue->servers) {
		if (below + 1 < queue->servers && queue->free_at[below + 1] < queue->free_at[below])
			below++;
		if (queue->free_at[below] >= at)
			break;
		queue->free_at[place] = queue->free_at[below];
		place = below;
	}
	queue->free_at[place] = at;
}

/* When the next request starts, which is there at `at`; from then on its server is busy for
 * `service`. A free server takes `delay` to start it. */
static inline double fcfs_start(struct fcfs *queue, double at, double delay, double service)
{
	double start = (at > queue->free_at[0] ? at : queue->free_at[0]) + delay;

	fcfs_occupy(queue, start + service);
	return start;
}

#endif
