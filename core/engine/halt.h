/* SPDX-License-Identifier: MIT */
/* How a run ends before or after its last task: halt.c. */
#ifndef SHUNT_CORE_ENGINE_HALT_H
#define SHUNT_CORE_ENGINE_HALT_H

#include "core/engine/worker.h"

void shunt_halt_stop(struct shunt_engine *engine);

/* Ends the run with an error: the first one wins. Any worker's thread. */
void shunt_halt_fail(struct shunt_engine *engine, int error, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* It is the last one then, and its tasks run no more. Any thread. */
bool shunt_halt_has_failed(struct shunt_engine *engine);

#endif
