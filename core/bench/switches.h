/* SPDX-License-Identifier: MIT */
/* The bare switch of a composition: what floors run on. */
#ifndef SHUNT_CORE_BENCH_SWITCHES_H
#define SHUNT_CORE_BENCH_SWITCHES_H

#include "core/backend.h"
#include "core/engine/slots.h"

/* The switch of an open scheduler's composition, resolved once more; false: it has none. */
bool shunt_bench_switch_of(const struct shunt_sched *sched, struct shunt_switch_ops *ops);

#endif
