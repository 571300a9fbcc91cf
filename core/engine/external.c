/* SPDX-License-Identifier: MIT */
/*
 * Outside: wake, spawn and hold for threads that are not workers.
 */
#include "core/engine/external.h"

#include "core/engine/halt.h"
#include "core/engine/probe.h"
#include "core/engine/ready.h"
#include "core/engine/task_pool.h"
#include "core/engine/wake.h"

/* A thread that is no worker begins to hand over a task. It may still be waking a worker when the
 * run has ended or failed; the workers do not stop their wait slots before it is done (loop.c). */
static void begin_outside(struct shunt_engine *engine)
{
	/* Relaxed: ordered before the look at idle by the fence in shunt_wake_poke, and before the
	 * count of spawns by that one's release [engine:outside]. */
	atomic_fetch_add_explicit(&engine->outside, 1, memory_order_relaxed);
}

static void end_outside(struct shunt_engine *engine)
{
	/* Release pairs with shunt_external_underway [engine:outside]: what was pushed is seen. */
	atomic_fetch_sub_explicit(&engine->outside, 1, memory_order_release);
}

bool shunt_external_underway(const struct shunt_engine *engine)
{
	/* Acquire pairs with end_outside [engine:outside]. */
	return atomic_load_explicit(&engine->outside, memory_order_acquire);
}

bool shunt_external_wake(struct shunt_sched *sched, struct shunt_handle handle)
{
	struct shunt_engine *engine = shunt_engine_of(sched);
	if (engine->sim)
		return false;
	uint64_t word = shunt_word_load(handle.task, true);
	uint64_t state = shunt_word_state(word);
	if ((word & SHUNT_WORD_GENERATION) != handle.generation || state == SHUNT_TASK_FREE ||
		state == SHUNT_TASK_ENDED) {
		/* Relaxed: a statistic. */
		atomic_fetch_add_explicit(&engine->external_stale, 1, memory_order_relaxed);
		return false;
	}
	begin_outside(engine);
	shunt_ready_push(shunt_ready_home(engine, handle.task), NULL, handle.task,
		SHUNT_INJECT_WAKE);
	end_outside(engine);
	return true;
}

int shunt_external_spawn(struct shunt_sched *sched, struct shunt_handle *handle, shunt_task_fn *fn,
	void *arg, const struct shunt_attr *attr)
{
	struct shunt_engine *engine = shunt_engine_of(sched);
	struct shunt_task *task;
	if (engine->sim) /* its workers have no thread, and no time, that another could share */
		return -ENOTSUP;
	/* Between runs, and while one ends in good order, it waits for the next. */
	int rc = shunt_halt_has_failed(engine) ? -ECANCELED
					       : shunt_task_pool_take_outside(engine, &task);
	if (rc)
		return rc;
	uint64_t id = task->id;
	task->sp = NULL;
	unsigned home = attr && attr->worker ? attr->worker - 1
					     : (unsigned)(id % engine->worker_count);
	/* Relaxed: see shunt_ready_home, which reads it for whoever wakes the descriptor's last
	 * task. */
	__atomic_store_n(&task->home, home, __ATOMIC_RELAXED);
	shunt_task_init(task, fn, arg, attr, handle == NULL, 0, id);
	if (engine->policy->key)
		task->key = engine->policy->key(attr);
	if (handle)
		*handle = (struct shunt_handle){task, shunt_task_generation(task)};
	begin_outside(engine);
	/* Release pairs with the acquire in live_tasks (idle.c) [engine:external]: counted before
	 * it can end; and who sees it counted sees us on the way. */
	atomic_fetch_add_explicit(&engine->external_spawns, 1, memory_order_release);
	if (engine->trace)
		shunt_probe_spawn_outside(engine, task, home);
	shunt_ready_push(shunt_ready_home(engine, task), NULL, task,
		SHUNT_INJECT_READY | SHUNT_INJECT_NEW);
	end_outside(engine);
	return 0;
}

void shunt_external_hold(struct shunt_sched *sched, int delta)
{
	struct shunt_engine *engine = shunt_engine_of(sched);
	if (engine->sim)
		return;
	if (engine->trace && delta > 0)
		shunt_probe_outside(engine);
	/* All under the lock: once no hold is left the run may end, and the worker with it. */
	pthread_mutex_lock(&engine->idle_lock);
	engine->holds += delta;
	if (engine->holds == 0)
		shunt_wake_poke(engine->workers[0], NULL);
	pthread_mutex_unlock(&engine->idle_lock);
}
