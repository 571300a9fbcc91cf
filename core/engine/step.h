/* SPDX-License-Identifier: MIT */
/* What a step may not do, or does in another way than a task with a stack: step.c. */
#ifndef SHUNT_CORE_ENGINE_STEP_H
#define SHUNT_CORE_ENGINE_STEP_H

#include "core/engine/worker.h"
#include "core/step.h"

/* The hooks of a step (struct shunt_hooks): these register a wait, if a poll asks for it; … */
int shunt_step_block(struct shunt_ctx *ctx, int64_t deadline_ns);
int shunt_step_park(struct shunt_ctx *ctx, int64_t deadline_ns);
/* … and these panic. */
void shunt_step_no_yield(struct shunt_ctx *ctx);
int shunt_step_no_transfer(struct shunt_ctx *ctx, struct shunt_task *to, uint64_t generation);

/* The step returned rc, which is neither a yield nor a wait: ends its task, or panics. */
void shunt_step_end(struct shunt_worker *worker, struct shunt_task *task, int rc);

/* The slow path between two steps. False: the run has failed, and no step is to follow. */
bool shunt_step_service(struct shunt_worker *worker);

#endif
