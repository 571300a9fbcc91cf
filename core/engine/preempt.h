/* SPDX-License-Identifier: MIT */
/* What takes the processor from a task: preempt.c by signals, edge.c in a workload's second text;
 * and preempt_open.c, what of it a composition can do. */
#ifndef SHUNT_CORE_ENGINE_PREEMPT_H
#define SHUNT_CORE_ENGINE_PREEMPT_H

#include "core/engine/worker.h"

/* preempt_open.c: sets engine->preempt from the settings, and wraps the policy where one is needed.
 * Context: open, with the slots and the stacks open. A negative errno, and why: this composition,
 * build, kernel or processor cannot do what is asked. */
int shunt_preempt_open(struct shunt_engine *engine, struct shunt_error *err);

/* preempt_open.c: does Linux `release`, as uname has it, lose vector registers at a signal's
 * return? */
bool shunt_preempt_kernel_corrupts(const char *release);

/* Where others may take from the policy's queues, what is preempted is held beside them. */
void shunt_preempt_wrap(struct shunt_engine *engine);

/* Does the program handle the signal itself? */
bool shunt_preempt_signal_is_taken(void);

/* Signals, or flags, may come from now on, to threads that are watched; shunt_ticks_stop ends that.
 * Nothing where no preempter is, as all below. 0 or a negative errno. */
int shunt_preempt_start(struct shunt_engine *engine);

/* The calling thread may be preempted, until unwatch. Context: the worker's thread, not in a
 * task. */
void shunt_preempt_watch(struct shunt_worker *worker);
void shunt_preempt_unwatch(struct shunt_worker *worker);

/* ---- for edge.c ------------------------------------------------------------------------------ */

/* The worker that has the calling thread; NULL: none that may be preempted. */
struct shunt_worker *shunt_preempt_watched(void);

/* Is the running task's slice over, and may the task be left here? Else counts why not, and marks
 * what is to be made up for. Context: what the worker was sent has come. */
bool shunt_preempt_judge(struct shunt_worker *worker, bool preemptible);

/* A run inside a task of another has its thread: what that one, and those further out, were sent
 * comes to nothing. `worker` may be NULL. */
void shunt_preempt_disappoint(struct shunt_worker *worker);

#endif
