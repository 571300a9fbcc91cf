/* SPDX-License-Identifier: MIT */
/* Guests: guest.c. */
#ifndef SHUNT_CORE_ENGINE_GUEST_H
#define SHUNT_CORE_ENGINE_GUEST_H

#include "core/engine/worker.h"

/* Makes the worker a guest of the one with that index, if it is not: the hook `visit`
 * (backend.h). */
void shunt_guest_visit(struct shunt_ctx *ctx, unsigned host_index);

/* It is nobody's guest any more. Context: the worker's own stack or its slow path. */
void shunt_guest_leave(struct shunt_worker *guest);

/* The slow path: leaves when nothing has come of it for a while. */
void shunt_guest_age(struct shunt_worker *guest);

#endif
