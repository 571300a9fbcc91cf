/* SPDX-License-Identifier: MIT */
/* Virtual time: all workers of an engine on one thread, each in its turn: sim.c. */
#ifndef SHUNT_CORE_ENGINE_SIM_H
#define SHUNT_CORE_ENGINE_SIM_H

#include "core/engine/cost.h"
#include "core/engine/worker.h"

struct shunt_sim;

/* A worker's loop. */
typedef int shunt_sim_main_fn(struct shunt_worker *worker, struct shunt_error *err);

/* Makes the time of `worker_count` workers. costs: what acts take, the simulator's from now on;
 * NULL: nothing. 0, -ENOMEM. */
int shunt_sim_new(struct shunt_sim **sim, unsigned worker_count, struct shunt_costs *costs);
void shunt_sim_free(struct shunt_sim *sim);

struct shunt_time *shunt_sim_time(struct shunt_sim *sim);

/* Workers 1 … will run main(worker), each on a stack of the engine's pool, in turn with the caller,
 * who is worker 0. 0, -ENOMEM or what the pool refuses; then no worker was made. */
int shunt_sim_begin(struct shunt_engine *engine, shunt_sim_main_fn *main);

/* Returns when all of them have returned from main. Context: worker 0, which has too. */
void shunt_sim_end(struct shunt_engine *engine);

/* Until every worker has come here. Context: worker; the count of those that have come is
 * theirs. */
void shunt_sim_gate(struct shunt_worker *worker, unsigned *came);

/* Do acts take time here? Then the probes charge for them. */
bool shunt_sim_charges(const struct shunt_sim *sim);
/* The worker owes the time of such an act. It pays before its next one that takes time or lets
 * others run. Context: worker, or a task of its. */
void shunt_sim_charge(struct shunt_worker *worker, enum shunt_cost cost);

/* The worker pays what it owes, and whoever else is to run at this very time has its turn first.
 * Context: worker, no lock held. */
void shunt_sim_visit(struct shunt_worker *worker);

/* Sleeps until a wake, or the deadline. Context: worker. */
void shunt_sim_sleep(struct shunt_worker *worker, int64_t deadline_ns);
/* Ends the target's sleep, now or at its next one. `from`: who makes the wake, or NULL. Context:
 * worker. */
void shunt_sim_wake(struct shunt_worker *target, struct shunt_worker *from);

/* What happened, in order, as one number: the same for the same run. */
uint64_t shunt_sim_hash(const struct shunt_sim *sim);
uint64_t shunt_sim_events(const struct shunt_sim *sim);
/* NULL: nothing takes time. */
const struct shunt_costs *shunt_sim_costs(const struct shunt_sim *sim);

#endif
