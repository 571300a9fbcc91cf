/* SPDX-License-Identifier: MIT */
/*
 * A scheduler in a program of one's own, in C or C++: open, run, spawn from other threads, close.
 * What its tasks may call is in sched.h.
 */
#ifndef SHUNT_CORE_EMBED_H
#define SHUNT_CORE_EMBED_H

#include "core/param.h"
#include "core/sched.h"

#ifdef __cplusplus
extern "C" {
#endif

struct shunt_config;

/*
 * Opens a scheduler by spec: "asm", "asm:wait=uring,stack.size=128k". `base` (core/backend.h) gives
 * seed, trace and probes (NULL: zeros); its settings are appended to the spec's. -ENOENT: no such
 * backend (err names the nearest), -EINVAL, -ERANGE: a bad setting; -ENOSYS …: cannot run on this
 * machine.
 */
int shunt_open(struct shunt_sched **sched, const char *spec, const struct shunt_config *base,
	struct shunt_error *err);

/*
 * Runs root(arg) as task 0 and all that it spawns; returns when every task has ended, and no hold
 * is left. 0; -EDEADLK: every remaining task waits and nothing can wake it (err names them);
 * another negative errno: what the machine refused. May be called again, but after a failure only
 * close may follow. A scheduler has one run at a time: while one is on, a call from another thread,
 * or from one of its own tasks, is -EBUSY and harms nothing.
 */
int shunt_run(struct shunt_sched *sched, shunt_task_fn *root, void *arg, void **result,
	struct shunt_error *err);

/* Context: no run of it is on, and no thread will call it any more. */
void shunt_close(struct shunt_sched *sched);

/* Spawns from a thread that runs none of this scheduler's tasks; as shunt_spawn, plus -ENOTSUP. */
int shunt_spawn_external(struct shunt_sched *sched, struct shunt_handle *handle, shunt_task_fn *fn,
	void *arg, const struct shunt_attr *attr);

/* Announces, and withdraws, an outside source of work: while there is one, run does not return and
 * calls no deadlock. */
void shunt_hold(struct shunt_sched *sched);
void shunt_release(struct shunt_sched *sched);

#ifdef __cplusplus
}
#endif

#endif
