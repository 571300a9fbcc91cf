/* SPDX-License-Identifier: MIT */
/* What threads that are not workers may do: external.c. */
#ifndef SHUNT_CORE_ENGINE_EXTERNAL_H
#define SHUNT_CORE_ENGINE_EXTERNAL_H

#include "core/backend.h"

struct shunt_engine;

bool shunt_external_wake(struct shunt_sched *sched, struct shunt_handle handle);

int shunt_external_spawn(struct shunt_sched *sched, struct shunt_handle *handle, shunt_task_fn *fn,
	void *arg, const struct shunt_attr *attr);

void shunt_external_hold(struct shunt_sched *sched, int delta);

/* Is a thread that is not a worker in the middle of handing over a task? Any thread. */
bool shunt_external_underway(const struct shunt_engine *engine);

#endif
