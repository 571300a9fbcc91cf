/* SPDX-License-Identifier: MIT */
/* Idleness: idle.c. */
#ifndef SHUNT_CORE_ENGINE_IDLE_H
#define SHUNT_CORE_ENGINE_IDLE_H

#include "core/engine/worker.h"

/* Finds the next task for a worker whose queue is empty, sleeping as long as there is none. NULL:
 * the engine stops. Context: the worker's own stack. */
struct shunt_task *shunt_idle_next(struct shunt_worker *worker);

#endif
