/* SPDX-License-Identifier: MIT */
/*
 * The verdict: how a run ends.
 *
 * The last worker to announce itself, under idle_lock, finds either that no task is left:
 * the run is over; or that tasks are left, but no timer, no wait operation, nothing injected and no
 * hold: nothing can ever wake them, a deadlock; or something that will come.
 */
#include "core/engine/verdict.h"

#include "core/descriptors.h"
#include "core/engine/external.h"
#include "core/engine/halt.h"
#include "core/engine/task_pool.h"
#include "core/engine/timer.h"
#include "core/engine/wake.h"

#include <sched.h>

static size_t waits_in_flight(const struct shunt_engine *engine)
{
	size_t sum = 0;
	for (unsigned i = 0; i < engine->worker_count; i++)
		sum += (size_t)shunt_worker_io_waits(engine->workers[i]);
	if (engine->wait_slot->in_flight)
		for (unsigned i = 0; i < engine->worker_count; i++)
			if (engine->workers[i]->wait)
				sum += engine->wait_slot->in_flight(engine->workers[i]->wait);
	return sum;
}

static int64_t live_tasks(const struct shunt_engine *engine)
{
	/* Acquire pairs with the release in shunt_external_spawn [engine:external]. */
	int64_t live = atomic_load_explicit(&engine->external_spawns, memory_order_acquire);
	for (unsigned i = 0; i < engine->worker_count; i++)
		live += (int64_t)(engine->workers[i]->spawned - engine->workers[i]->ended);
	return live;
}

static void name_stuck(void *arg, const struct shunt_task *task)
{
	shunt_stuck_add(arg, task);
}

void shunt_verdict_fail_deadlock(struct shunt_engine *engine, int64_t live)
{
	struct shunt_stuck stuck = {.used = 0};
	struct shunt_error err;
	shunt_task_pool_each(engine, name_stuck, &stuck);
	shunt_halt_fail(engine, shunt_stuck_fail(&stuck, (uint64_t)live, &err), "%s", err.text);
}

/* Is no timer armed? A cancelled one keeps its deadline published until somebody looks, and must
 * not put off the end of a run. */
static bool no_timer(const struct shunt_engine *engine)
{
	for (unsigned i = 0; i < engine->worker_count; i++)
		if (shunt_timer_deadline_of(engine->workers[i]) != SHUNT_NEVER)
			shunt_timer_forget_cancelled(engine->workers[i]);
	return shunt_timer_earliest(engine) == SHUNT_NEVER;
}

bool shunt_verdict_all_quiet(struct shunt_engine *engine)
{
	for (unsigned i = 0; i < engine->worker_count; i++)
		/* Relaxed: ordered by the fence [worker:idle]. */
		if (!atomic_load_explicit(&engine->workers[i]->idle, memory_order_relaxed))
			return false;
	bool quiet = no_timer(engine) && waits_in_flight(engine) == 0 && engine->holds == 0;
	for (unsigned i = 0; quiet && i < engine->worker_count; i++)
		quiet = shunt_worker_inbox_empty(engine->workers[i]) &&
			!engine->policy->has_ready(engine->workers[i]);
	return quiet;
}

/* A worker that naps is not idle, and no verdict can be made without it. */
static void end_naps(struct shunt_worker *from)
{
	struct shunt_engine *engine = from->engine;
	for (unsigned i = 0; i < engine->worker_count; i++)
		/* Relaxed: who has just woken gets a wake too many [worker:idle]. */
		if (atomic_load_explicit(&engine->workers[i]->idle, memory_order_relaxed) ==
			SHUNT_NAPS)
			shunt_wake_poke(engine->workers[i], from);
}

/* Tasks are left, and all was quiet. One of them may have been counted outside and be on its way
 * into an inbox: once nobody is on the way it is there. False: something has come. Context:
 * idle_lock held, which none of those outside wants. */
static bool quiet_outside(struct shunt_engine *engine)
{
	while (shunt_external_underway(engine)) {
		if (!shunt_verdict_all_quiet(engine))
			return false;
		sched_yield();
	}
	return shunt_verdict_all_quiet(engine);
}

enum shunt_verdict shunt_verdict_judge(struct shunt_worker *worker, int64_t *live)
{
	struct shunt_engine *engine = worker->engine;
	enum shunt_verdict verdict = SHUNT_VERDICT_GO_ON;
	pthread_mutex_lock(&engine->idle_lock);
	if (shunt_verdict_all_quiet(engine)) {
		if (engine->idle_workers == engine->worker_count) {
			*live = live_tasks(engine);
			if (*live <= 0)
				verdict = SHUNT_VERDICT_FINISHED;
			else if (quiet_outside(engine))
				verdict = SHUNT_VERDICT_DEADLOCK;
		} else {
			end_naps(worker);
		}
	}
	pthread_mutex_unlock(&engine->idle_lock);
	return verdict;
}
