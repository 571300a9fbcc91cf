/* SPDX-License-Identifier: MIT */
/* Preemption by signals: preempt.c. */
#ifndef SHUNT_CORE_ENGINE_PREEMPT_H
#define SHUNT_CORE_ENGINE_PREEMPT_H

#include "core/engine/worker.h"

/* Sets engine->preempt from the settings, and the policy's wrapping where one is needed. Context:
 * open, with the slots and the stacks open. A negative errno, and why: this composition, build,
 * kernel or processor cannot do what is asked. */
int shunt_preempt_open(struct shunt_engine *engine, struct shunt_error *err);

/* The thread that sends the signals, for one run; neither does anything where signals do not
 * preempt. 0 or a negative errno. */
int shunt_preempter_start(struct shunt_engine *engine);
void shunt_preempter_stop(struct shunt_engine *engine);

/* From now on the calling thread may be sent signals, until unwatch; the same. Context: the
 * worker's thread, not in a task. */
void shunt_preempt_watch(struct shunt_worker *worker);
void shunt_preempt_unwatch(struct shunt_worker *worker);

/* A worker that was idle goes to run a task. Context: the worker, with a preempter. */
void shunt_preempter_need(struct shunt_engine *engine);

/* Does Linux `release`, as uname has it, lose vector registers at a signal's return? */
bool shunt_preempt_kernel_corrupts(const char *release);

#endif
