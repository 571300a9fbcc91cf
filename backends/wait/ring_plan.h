/* SPDX-License-Identifier: MIT */
/*
 * What ring.c and ring_plan.c share, the two files that know of liburing: a name that kernels have
 * and its headers may not, and the setting up of one ring.
 */
#ifndef SHUNT_BACKENDS_WAIT_RING_PLAN_H
#define SHUNT_BACKENDS_WAIT_RING_PLAN_H

#include "backends/wait/ring.h"

#include <liburing.h>

#ifndef IORING_ENTER_ABS_TIMER
#define IORING_ENTER_ABS_TIMER (1U << 5)
#endif

/* Sets one ring up. -EINVAL: this kernel does not know one of the flags. */
int shunt_ring_init(struct io_uring *ring, const struct shunt_ring_plan *plan, unsigned *features);

/* Says why io_uring_setup failed, and the remedy; returns code. */
int shunt_ring_refused(int code, struct shunt_error *err);

#endif
