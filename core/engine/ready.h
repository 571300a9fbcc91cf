/* SPDX-License-Identifier: MIT */
/* How a task becomes ready, on this worker or on another: ready.c. */
#ifndef SHUNT_CORE_ENGINE_READY_H
#define SHUNT_CORE_ENGINE_READY_H

#include "core/engine/worker.h"

enum shunt_inject {
	SHUNT_INJECT_READY = 1, /* RUNNABLE: enqueue it */
	SHUNT_INJECT_NEW = 2,   /* (with READY) spawned from outside */
	SHUNT_INJECT_WAKE = 4,  /* shunt_wake from outside: claim its park */
};

/* Hands `task` to `target`'s inbox and makes it look. From any thread; `from` is NULL for one that
 * is no worker. */
void shunt_ready_push(struct shunt_worker *target, struct shunt_worker *from,
	struct shunt_task *task, unsigned what);

/* Makes `task` ready to run on `worker`, or on its home where tasks stay: not inlined, and the
 * policy behind its table. For the slow paths; the hooks have their own. */
void shunt_ready_task(struct shunt_worker *worker, struct shunt_task *task, unsigned why);

/* The task was woken before its timer fired. */
void shunt_ready_disarm(struct shunt_worker *worker, struct shunt_task *task);

/* Where a task from outside goes: its home, or the workers in turn. */
static inline struct shunt_worker *shunt_ready_home(struct shunt_engine *engine,
	const struct shunt_task *task)
{
	/* Relaxed: a stale handle's task may be another's by now, and any worker will do for it. */
	return engine->workers[__atomic_load_n(&task->home, __ATOMIC_RELAXED)];
}

#endif
