/* SPDX-License-Identifier: MIT */
/*
 * Floors: what an operation would cost if a scheduler did nothing but switch. A throw-away
 * scheduler on one queue, without errors, threads, timers, names or counters, on the very swap that
 * the benchmark's composition uses. It bounds what is possible; it is no product.
 */
#ifndef SHUNT_CORE_BENCH_FLOOR_H
#define SHUNT_CORE_BENCH_FLOOR_H

#include "core/engine/slots.h"

/* Nanoseconds for `operations`; negative errno as a double when memory is short. */
typedef double shunt_floor_fn(const struct shunt_switch_ops *ops, uint64_t operations);

shunt_floor_fn shunt_floor_swap; /* one way between two stacks */
/* How many the last call made, by both sides' count; *cpu_ns: the CPU time of its loop. */
uint64_t shunt_floor_swaps(uint64_t *cpu_ns);
shunt_floor_fn shunt_floor_yield;      /* two tasks, through a queue */
shunt_floor_fn shunt_floor_spawn_join; /* 1,000 alive: create, run, end, collect */
shunt_floor_fn shunt_floor_ring;       /* 1,000 tasks, a token */

/* How late clock_nanosleep comes back from `operations` sleeps of SHUNT_FLOOR_SLEEP_NS each,
 * summed; with the timer slack that the engine sets. It needs no switch: ops is not looked at. */
#define SHUNT_FLOOR_SLEEP_NS 200000
shunt_floor_fn shunt_floor_sleep;

#endif
