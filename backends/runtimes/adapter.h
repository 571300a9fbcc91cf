/* SPDX-License-Identifier: MIT */
/*
 * What another runtime implements to be a backend: one table of functions, in C or in C++.
 *
 * adapter.c keeps the rules of the task API (handles, joins, permits, deadlines) on the task word.
 * The runtime creates tasks, lets one give way, and lets one wait until it is posted. adapter.c and
 * the runtime's file are one plug-in, build/<preset>/plugins/NAME.so, which shunt loads when a spec
 * names it: a program that does not ask for the runtime has nothing of it in its process.
 *
 * What the runtime cannot do is missing in its `caps`, and nothing here stands in for it.
 */
#ifndef SHUNT_BACKENDS_RUNTIMES_ADAPTER_H
#define SHUNT_BACKENDS_RUNTIMES_ADAPTER_H

#include "core/param.h"
#include "core/workload.h" /* enum shunt_cap */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct shunt_adapter; /* a scheduler */

/* A task, as its runtime sees it. Both fields are the runtime's. */
struct shunt_adapted {
	void *wait; /* what the task waits on; others read it in `post` */
	struct shunt_adapted *next;
};

struct shunt_runtime {
	const char *name, *summary;
	const struct shunt_param *params;
	unsigned caps; /* enum shunt_cap; `open` may add to them */
	/* The runtime's version, as it says itself. */
	const char *(*version)(void);
	/* Sets *state, and *worker_count, which is 1 at first. 0 or a negative errno, with err. */
	int (*open)(void **state, struct shunt_adapter *adapter, const struct shunt_values *values,
		unsigned *worker_count, unsigned *caps, struct shunt_error *err);
	void (*close)(void *state);
	/*
	 * Runs `root` in a task of the runtime, on threads that have entered the adapter. Returns
	 * when `over` was called and no thread is in the adapter any more. 0 or a negative errno,
	 * with err. Context: a thread of its own for each run.
	 */
	int (*run)(void *state, struct shunt_adapted *root, struct shunt_error *err);
	/* Every task has ended. Context: any thread, also within a task. */
	void (*over)(void *state);
	/* Creates a task that calls shunt_adapter_main(task). 0, -ENOMEM, -EAGAIN. Context: task.
	 */
	int (*spawn)(void *state, struct shunt_adapted *task);
	/* The same. Context: a thread that runs no task. Required if EXTERNAL_WAKE. */
	int (*spawn_outside)(void *state, struct shunt_adapted *task);
	/* Lets other tasks run. Where a task may continue on a thread that did not run tasks
	 * before, it enters the adapter there, and so does `wait`. Context: task. */
	void (*yield)(void *state);
	/*
	 * Required if CAN_BLOCK. Waits until posted, or until the deadline (SHUNT_FOREVER: none).
	 * Calls shunt_adapter_commit once `post` may come; if that returns true, it does not wait.
	 * At the deadline it asks shunt_adapter_expire: true: it returns; false: a post is on its
	 * way. Context: task.
	 */
	void (*wait)(void *state, struct shunt_adapted *task, int64_t deadline_ns);
	/* Required likewise. Ends that wait; called once. Context: any thread. */
	void (*post)(struct shunt_adapted *task);
	/* How many tasks the runtime itself has created, by its own account. */
	uint64_t (*created)(const void *state);
	/* Optional: as in core/backend.h. */
	double (*native)(void *state, const char *primitive, uint64_t operations, uint64_t *made);
};

/* The one runtime of a plug-in. */
extern const struct shunt_runtime shunt_runtime;

/* The calling thread runs tasks as that worker, from 0, until it leaves. Returns what to give back
 * to shunt_adapter_leave. */
void *shunt_adapter_enter(struct shunt_adapter *adapter, unsigned worker_index);
void shunt_adapter_leave(void *before);

/* Runs a task to its end. */
void shunt_adapter_main(struct shunt_adapted *task);

bool shunt_adapter_commit(struct shunt_adapted *task);
bool shunt_adapter_expire(struct shunt_adapted *task);

#ifdef __cplusplus
}
#endif

#endif
