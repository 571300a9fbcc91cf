/* SPDX-License-Identifier: MIT */
/*
 * Which CPUs of a topology each placement of hwloc.c offers, and in which order.
 *
 * What is offered is only looked at here; hwloc.c gives it to workers and binds them. The order is
 * hwloc's own logical one, in which neighbours share most.
 */
#ifndef SHUNT_BACKENDS_PLACE_OFFER_H
#define SHUNT_BACKENDS_PLACE_OFFER_H

#include "core/param.h"

#include <hwloc.h>

/* The CPUs that a placement offers, in the order in which workers get them. */
struct shunt_offer {
	hwloc_bitmap_t *cpu;
	unsigned count;
	unsigned all; /* of these, what workers=all takes; more are said */
};

/* `count` empty bitmaps, or NULL; and their end, of which any may be NULL. */
hwloc_bitmap_t *shunt_bitmaps_new(unsigned count);
void shunt_bitmaps_free(hwloc_bitmap_t *set, unsigned count);

/*
 * Fills *offer from the CPUs of `topology`, which the caller ends by shunt_bitmaps_free(cpu,
 * count).
 *
 * @values: the parameters of the placement. @want: workers asked for; 0: as many as there may be.
 * 0, -ENOMEM, or what is wrong with the values (-EINVAL, -ERANGE), said in err; then nothing is
 * left.
 */
typedef int shunt_offer_fn(hwloc_topology_t topology, const struct shunt_values *values,
	unsigned want, struct shunt_offer *offer, struct shunt_error *err);

shunt_offer_fn shunt_offer_compact, shunt_offer_scatter, shunt_offer_core, shunt_offer_list;

#endif
