/* SPDX-License-Identifier: MIT */
/* Faults in a guard page: overflow.c. */
#ifndef SHUNT_CORE_ENGINE_OVERFLOW_H
#define SHUNT_CORE_ENGINE_OVERFLOW_H

#include "core/engine/worker.h"

/* On a worker's thread: a fault in the running task's guard ends the process with its name. */
int shunt_overflow_watch(struct shunt_worker *worker);

void shunt_overflow_unwatch(struct shunt_worker *worker);

#endif
