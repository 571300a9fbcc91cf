/* SPDX-License-Identifier: MIT */
/* The slow path: service.c. */
#ifndef SHUNT_CORE_ENGINE_SERVICE_H
#define SHUNT_CORE_ENGINE_SERVICE_H

#include "core/engine/worker.h"

/* The slow path: sets the next limit, drains the inbox, polls, expires timers. */
void shunt_service(struct shunt_worker *worker);

/* The same for a worker that has nothing to run and will sleep if this finds nothing. */
void shunt_service_idle(struct shunt_worker *worker);

#endif
