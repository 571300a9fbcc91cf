/* SPDX-License-Identifier: MIT */
/*
 * A crowd of tasks: what most workloads start and wait for. Start them all, join them all, and say
 * why when the machine gives fewer than were asked for.
 */
#ifndef SHUNT_WORKLOADS_CROWD_H
#define SHUNT_WORKLOADS_CROWD_H

#include "core/sched.h"
#include "core/workload.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct crowd {
	struct shunt_handle *handle;
	uint64_t started;
};

/* Context: setup. 0, -ENOMEM. */
static inline int crowd_init(struct crowd *crowd, uint64_t tasks)
{
	crowd->started = 0;
	crowd->handle = calloc(tasks, sizeof(*crowd->handle));
	return crowd->handle ? 0 : -ENOMEM;
}

static inline void crowd_fini(struct crowd *crowd)
{
	free(crowd->handle);
	crowd->handle = NULL;
}

/* Explains that the machine refused a task; returns rc. */
static inline int crowd_refused(struct shunt_run *run, uint64_t index, uint64_t tasks, int rc)
{
	shunt_run_explain(run, "task %llu of %llu could not be started: %s",
		(unsigned long long)index + 1, (unsigned long long)tasks, strerror(-rc));
	return rc;
}

/* Starts `tasks` tasks, the i-th with the i-th element of args. On a failure crowd->started says
 * how many there are. Context: task. */
static inline int crowd_start(struct shunt_run *run, struct crowd *crowd, uint64_t tasks,
	shunt_task_fn *fn, void *args, size_t arg_bytes)
{
	for (crowd->started = 0; crowd->started < tasks; crowd->started++) {
		uint64_t i = crowd->started;
		int rc = shunt_spawn(&crowd->handle[i], fn, (char *)args + i * arg_bytes, NULL);
		if (rc)
			return crowd_refused(run, i, tasks, rc);
	}
	return 0;
}

/* Joins those that were started and adds up their results. Context: task; may switch. */
static inline int crowd_join(struct crowd *crowd, uint64_t *sum)
{
	int first = 0;
	uint64_t total = 0;
	for (uint64_t i = 0; i < crowd->started; i++) {
		void *result = NULL;
		int rc = shunt_join(crowd->handle[i], &result);
		if (!first)
			first = rc;
		total += (uintptr_t)result;
	}
	if (sum)
		*sum = total;
	return first;
}

/* The index-th part when `total` is divided among `parts` as evenly as can be, larger ones first. */
static inline uint64_t crowd_share(uint64_t total, uint64_t parts, uint64_t index)
{
	return total / parts + (index < total % parts);
}

/* A series that is sampled; NULL when sampling is off. Context: setup. */
static inline int crowd_series(struct shunt_run *run, const char *name, uint64_t every,
	struct shunt_series **series)
{
	*series = every ? shunt_series(run, name) : NULL;
	return every && !*series ? -ENOMEM : 0;
}

#endif
