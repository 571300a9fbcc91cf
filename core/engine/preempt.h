/* SPDX-License-Identifier: MIT */
/* Preemption by signals: preempt.c, and preempt_open.c. */
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

/* Signals may come from now on, to threads that are watched; shunt_ticks_stop ends that. Nothing
 * where signals do not preempt, as all below. 0 or a negative errno. */
int shunt_preempt_start(struct shunt_engine *engine);

/* The calling thread may be preempted, until unwatch. Context: the worker's thread, not in a
 * task. */
void shunt_preempt_watch(struct shunt_worker *worker);
void shunt_preempt_unwatch(struct shunt_worker *worker);

#endif
