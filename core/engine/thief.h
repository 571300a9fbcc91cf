/* SPDX-License-Identifier: MIT */
/* Stealing: thief.c. */
#ifndef SHUNT_CORE_ENGINE_THIEF_H
#define SHUNT_CORE_ENGINE_THIEF_H

#include "core/engine/worker.h"

/* Work of another worker, or NULL. */
struct shunt_task *shunt_thief_steal(struct shunt_worker *thief);

/* The worker has nothing left of its own: did what it stole pay? */
void shunt_thief_judge(struct shunt_worker *thief);

/* It looked for work because there was some, and got none. */
void shunt_thief_futile(struct shunt_worker *thief);

/* Before and after a nap: how long it may be; how long it was. */
int64_t shunt_thief_nap_begin(struct shunt_worker *thief);

void shunt_thief_nap_end(struct shunt_worker *thief, int64_t slept_ns);

#endif
