/* SPDX-License-Identifier: MIT */
/* How a worker that sleeps, naps or computes is made to look: wake.c. */
#ifndef SHUNT_CORE_ENGINE_WAKE_H
#define SHUNT_CORE_ENGINE_WAKE_H

#include "core/engine/barrier.h"
#include "core/engine/worker.h"

/* Makes `target` take its slow path, or ends its sleep or nap: true. Any thread. */
bool shunt_wake_poke(struct shunt_worker *target, struct shunt_worker *from);

/* Another worker that sleeps or naps, or NULL. A full fence of the caller's orders the look. */
struct shunt_worker *shunt_wake_idle_other(const struct shunt_worker *worker);

/* Work was put where an idle worker could take it: wakes one if nobody is searching. Context: a
 * full fence, or the frequent side of barrier.h, after it was put there. */
void shunt_wake_notify(struct shunt_worker *from);

/* Takes a worker off the idle list if it is still there. Context: idle_lock held. */
bool shunt_wake_unlist(struct shunt_engine *engine, struct shunt_worker *worker);

/* A task was queued here: is there an idle worker that could take it? */
SHUNT_INLINE void shunt_wake_offer(struct shunt_worker *worker)
{
	if (!worker->env.others_may_take)
		return;
	/* Forbids that idle_count is read before the task is queued; pairs with announce
	 * (idle.c). */
	shunt_barrier_frequent(worker->env.fenced);
	/* Relaxed: ordered by that [engine:idle]. */
	if (SHUNT_UNLIKELY(
		    atomic_load_explicit(&worker->engine->idle_count, memory_order_relaxed) != 0))
		shunt_wake_notify(worker);
}

#endif
