/* SPDX-License-Identifier: MIT */
/* The next visit to the slow path: visit.c. */
#ifndef SHUNT_CORE_ENGINE_VISIT_H
#define SHUNT_CORE_ENGINE_VISIT_H

#include "core/engine/worker.h"

/* Sets the limit for the next visit. Returns the time, or 0 where nothing needs it. Context: a
 * visit. */
int64_t shunt_visit_plan(struct shunt_worker *worker);

/* The next visit comes within a few switches: nothing is known of how long they take. */
void shunt_visit_soon(struct shunt_worker *worker);

#endif
