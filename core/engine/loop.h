/* SPDX-License-Identifier: MIT */
/* A worker's life: loop.c. */
#ifndef SHUNT_CORE_ENGINE_LOOP_H
#define SHUNT_CORE_ENGINE_LOOP_H

#include "core/engine/worker.h"

/* A thread's life as a worker; returns when the engine stops. Context: the worker's thread. */
int shunt_loop_main(struct shunt_worker *worker, struct shunt_error *err);

#endif
