/* SPDX-License-Identifier: MIT */
/* Taking what is in an inbox: inbox.c. */
#ifndef SHUNT_CORE_ENGINE_INBOX_H
#define SHUNT_CORE_ENGINE_INBOX_H

#include "core/engine/worker.h"

/* Acts, as `worker`, on what is in `owner`'s inbox: its own, or one of a worker whose tasks it may
 * run. */
void shunt_inbox_drain(struct shunt_worker *worker, struct shunt_worker *owner);

#endif
