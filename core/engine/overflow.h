/* SPDX-License-Identifier: MIT */
/* A worker's part of core/fatal.h: overflow.c. */
#ifndef SHUNT_CORE_ENGINE_OVERFLOW_H
#define SHUNT_CORE_ENGINE_OVERFLOW_H

#include "core/engine/worker.h"

/* On a worker's thread: a task that runs off its stack, or ends the thread, ends the process with
 * its name. 0 or -ENOMEM. */
int shunt_overflow_watch(struct shunt_worker *worker);

void shunt_overflow_unwatch(struct shunt_worker *worker);

#endif
