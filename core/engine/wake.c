/* SPDX-License-Identifier: MIT */
/*
 * Waking: how a worker learns of work that another thread made.
 *
 * Whoever made work publishes it, passes a fence, and looks who is idle. A worker that goes idle
 * announces that, passes a fence, and looks for work (idle.c). One of the two sees the other.
 */
#include "core/engine/wake.h"

#include "core/engine/ticks.h"

#include <errno.h>

bool shunt_wake_poke(struct shunt_worker *target, struct shunt_worker *from)
{
	/* Relaxed: the slow path that it brings about synchronises by the inbox itself. */
	atomic_store_explicit(&target->limit, 0, memory_order_relaxed);
	/* Sequentially consistent: forbids that the load of idle is made before the push is seen;
	 * pairs with the fence in announce (idle.c). */
	shunt_full_fence();
	shunt_ticks_ring(target->engine);
	/* Acquire pairs with announce and nap (idle.c): `wait` is written before the worker first
	 * says that it is idle [worker:idle]. */
	if (!atomic_load_explicit(&target->idle, memory_order_acquire))
		return false;
	int before = errno; /* of the task, or of the thread, that wakes */
	target->engine->wait_slot->wake(target->wait, from ? from->wait : NULL);
	errno = before;
	return true;
}

struct shunt_worker *shunt_wake_idle_other(const struct shunt_worker *worker)
{
	const struct shunt_engine *engine = worker->engine;
	for (unsigned i = 0; i < engine->worker_count; i++)
		/* Relaxed: ordered by the caller's fence [worker:idle]. */
		if (engine->workers[i] != worker &&
			atomic_load_explicit(&engine->workers[i]->idle, memory_order_relaxed))
			return engine->workers[i];
	return NULL;
}

bool shunt_wake_unlist(struct shunt_engine *engine, struct shunt_worker *worker)
{
	for (struct shunt_worker **at = &engine->idle_list; *at; at = &(*at)->idle_next) {
		if (*at != worker)
			continue;
		*at = worker->idle_next;
		engine->idle_workers--;
		/* Relaxed: a smaller count only makes others wake fewer. */
		atomic_store_explicit(&engine->idle_count, engine->idle_workers,
			memory_order_relaxed);
		return true;
	}
	return false;
}

/* A sleeper that could take what is queued; NULL: none. Context: idle_lock held. */
static struct shunt_worker *able_sleeper(const struct shunt_engine *engine)
{
	struct shunt_worker *sleeper = engine->idle_list;
	while (sleeper && engine->policy->shared && !engine->policy->has_ready(sleeper))
		sleeper = sleeper->idle_next;
	return sleeper;
}

void shunt_wake_notify(struct shunt_worker *from)
{
	struct shunt_engine *engine = from->engine;
	/* Sequentially consistent: forbids that a thief's count of searchers goes down after it has
	 * looked for sleepers; pairs with the fence in announce. */
	shunt_full_fence();
	/* Relaxed: ordered by the fence. A searcher will find the work or hand the search on. */
	if (!atomic_load_explicit(&engine->idle_count, memory_order_relaxed) ||
		atomic_load_explicit(&engine->searching, memory_order_relaxed))
		return;
	pthread_mutex_lock(&engine->idle_lock);
	struct shunt_worker *sleeper = able_sleeper(engine);
	if (sleeper)
		shunt_wake_unlist(engine, sleeper);
	pthread_mutex_unlock(&engine->idle_lock);
	if (sleeper) {
		int before = *from->errno_at; /* the running task's */
		engine->wait_slot->wake(sleeper->wait, from->wait);
		*from->errno_at = before;
	}
}
