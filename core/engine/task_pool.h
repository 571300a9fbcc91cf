/* SPDX-License-Identifier: MIT */
/* Descriptors, ids, and the promise that a stack can be had: task_pool.c. */
#ifndef SHUNT_CORE_ENGINE_TASK_POOL_H
#define SHUNT_CORE_ENGINE_TASK_POOL_H

#include "core/engine/worker.h"

/* Sees to a free descriptor for one more task, and that it can surely get a stack if it is to have
 * one. 0, -ENOMEM, -EAGAIN, -ECANCELED: as shunt_spawn. */
int shunt_task_pool_refill(struct shunt_worker *worker, bool stack);

/* The same for a thread that is no worker. */
int shunt_task_pool_take_outside(struct shunt_engine *engine, struct shunt_task **task);

void shunt_task_pool_release(struct shunt_ctx *ctx, struct shunt_task *task);

void shunt_task_pool_refill_ids(struct shunt_worker *worker);

/* So many credits a worker keeps: few where stacks are scarce. */
unsigned shunt_task_pool_credits_most(const struct shunt_engine *engine);

/* Gives a batch of credits back: tasks that end elsewhere than they were spawned. */
void shunt_task_pool_shed_credits(struct shunt_worker *worker);

void shunt_task_pool_fini(struct shunt_engine *engine);

/* Calls visit for every descriptor that is not FREE. Context: no worker runs; or a look that may be
 * wrong, as a fault's handler takes (overflow.c). */
void shunt_task_pool_each(struct shunt_engine *engine,
	void (*visit)(void *arg, const struct shunt_task *task), void *arg);

#endif
