/* SPDX-License-Identifier: MIT */
/* Slices and checkpoints: slice.c. */
#ifndef SHUNT_CORE_ENGINE_SLICE_H
#define SHUNT_CORE_ENGINE_SLICE_H

#include "core/engine/worker.h"

/* The running task stops: stamps the moment and has the policy charge it. */
void shunt_slice_end(struct shunt_worker *worker);

/* `next` runs from the last stamp on; the worker's own stack is no task. */
void shunt_slice_begin(struct shunt_worker *worker, struct shunt_task *next);

/* The same from now on: what the worker's own stack calls. */
void shunt_slice_start(struct shunt_worker *worker, struct shunt_task *next);

/* Has the running task used up its quantum, and is anybody else there? May visit the slow path. */
bool shunt_slice_is_over(struct shunt_worker *worker);

/* The running task, whose slice was found over, is preempted: records how long it has run. */
void shunt_slice_cut(struct shunt_worker *worker);

/* shunt_checkpoint without and with stamps. */
bool shunt_slice_checkpoint(struct shunt_ctx *ctx);

bool shunt_slice_checkpoint_stamped(struct shunt_ctx *ctx);

#endif
