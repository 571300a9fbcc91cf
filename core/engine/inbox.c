/* SPDX-License-Identifier: MIT */
/*
 * The inbox: how work reaches a worker from another worker or from a thread that is none.
 *
 * A multi-producer stack of tasks, linked through the tasks, taken whole by its owner (Treiber's
 * push; with one consumer that takes all there is no ABA). A task's mark `injected` says what is
 * to happen to it, and that it is in some inbox: whoever adds a bit to a mark that is not empty
 * need not push, because the owner takes all bits at once, after it has taken the link.
 *
 * Not losing the owner: push, full fence, then look whether the owner is idle; the owner announces
 * that it is idle, full fence, then looks into its inbox (idle.c). One of the two sees the other.
 */
#include "core/engine/hooks.h"

bool shunt_worker_poke(struct shunt_worker *target, struct shunt_worker *from)
{
	/* Relaxed: the slow path that it brings about synchronises by the inbox itself. */
	atomic_store_explicit(&target->limit, 0, memory_order_relaxed);
	/* Sequentially consistent: forbids that the load of idle is made before the push is seen;
	 * pairs with the fence in announce (idle.c). */
	shunt_full_fence();
	/* Acquire pairs with announce and nap (idle.c): `wait` is written before the worker first says that
	 * it is idle [worker:idle]. */
	if (!atomic_load_explicit(&target->idle, memory_order_acquire))
		return false;
	int before = errno; /* of the task, or of the thread, that wakes */
	target->engine->wait_slot->wake(target->wait, from ? from->wait : NULL);
	errno = before;
	return true;
}

void shunt_inbox_push(struct shunt_worker *target, struct shunt_worker *from,
	struct shunt_task *task, unsigned what)
{
	/* Acquire-release pairs with the exchange in drain [task:injected]: what we did to the task
	 * is seen by whoever takes the bit, and the link is ours if the mark was empty. */
	if (atomic_fetch_or_explicit(&task->injected, what, memory_order_acq_rel))
		return;
	/* Relaxed: a guess, corrected by the exchange below. */
	struct shunt_task *head = atomic_load_explicit(&target->inbox, memory_order_relaxed);
	do
		task->injected_next = head;
	while (!atomic_compare_exchange_weak_explicit(&target->inbox, &head, task,
		memory_order_release,
		memory_order_relaxed)); /* release pairs with drain [worker:inbox] */
	if (shunt_worker_poke(target, from) || !target->others_may_take)
		return;
	/* The target may compute for long before it looks; poke's fence orders this look. */
	struct shunt_worker *idle = shunt_worker_idle_other(target);
	if (idle)
		shunt_worker_poke(idle, from);
}

/* Where a task from outside goes: its home, or the workers in turn. */
static struct shunt_worker *home_of(struct shunt_engine *engine, const struct shunt_task *task)
{
	/* Relaxed: a stale handle's task may be another's by now, and any worker will do for it. */
	return engine->workers[__atomic_load_n(&task->home, __ATOMIC_RELAXED)];
}

/* Was the task meant for another inbox? Its descriptor was in this one already, for a wake that came too
 * late for its last task. */
static bool is_astray(const struct shunt_worker *worker, const struct shunt_task *task)
{
	const struct shunt_policy *policy = worker->engine->policy;
	bool stays = !policy->steals && !policy->shared && !policy->place;
	return stays && home_of(worker->engine, task) != worker;
}

/* Acts on one task's bits. */
static void deliver(struct shunt_worker *worker, struct shunt_task *task, unsigned what)
{
	if (what & SHUNT_INJECT_READY && is_astray(worker, task)) {
		shunt_inbox_push(home_of(worker->engine, task), worker, task,
			what & ~(unsigned)SHUNT_INJECT_WAKE);
	} else if (what & SHUNT_INJECT_READY) {
		unsigned why = what & SHUNT_INJECT_NEW ? SHUNT_WHY_NEW | SHUNT_FROM_EXTERNAL
						       : SHUNT_WHY_WAKE | SHUNT_FROM_REMOTE;
		if (what & SHUNT_INJECT_NEW && worker->engine->probing)
			shunt_probe_ready(worker, task, why, true);
		worker->engine->policy->enqueue(worker, task, why);
		shunt_hook_offer(worker); /* it may run long before it gets to this one */
	}
	if (what & SHUNT_INJECT_WAKE) {
		worker->ctx.count.wakes++;
		enum shunt_claim claim =
			shunt_task_claim_park(task, shunt_task_generation(task), worker->ctx.many);
		if (claim == SHUNT_CLAIM_MINE)
			shunt_worker_ready(worker, task, SHUNT_WHY_WAKE | SHUNT_FROM_EXTERNAL);
		else if (claim == SHUNT_CLAIM_STALE)
			worker->ctx.count.wakes_stale++;
	}
}

void shunt_inbox_drain(struct shunt_worker *worker, struct shunt_worker *owner)
{
	/* Relaxed: usually empty; the exchange synchronises. */
	if (!atomic_load_explicit(&owner->inbox, memory_order_relaxed))
		return;
	/* Acquire pairs with the release in push [worker:inbox]. */
	struct shunt_task *newest =
		atomic_exchange_explicit(&owner->inbox, NULL, memory_order_acquire);
	struct shunt_task *oldest = NULL;
	while (newest) {
		struct shunt_task *next = newest->injected_next;
		newest->injected_next = oldest;
		oldest = newest;
		newest = next;
	}
	while (oldest) {
		struct shunt_task *task = oldest;
		oldest = task->injected_next;
		/* Acquire-release pairs with fetch_or in push [task:injected]; from here on the task may
		 * be pushed again. */
		unsigned what = atomic_exchange_explicit(&task->injected, 0, memory_order_acq_rel);
		worker->injected_drained++;
		deliver(worker, task, what);
	}
}

/* ---- threads that are no workers -------------------------------------------------------------- */

/* A thread that is no worker begins to hand over a task. It may still be waking a worker when the run has
 * ended or failed; the workers do not stop their wait slots before it is done (loop.c). */
static void begin_outside(struct shunt_engine *engine)
{
	/* Relaxed: ordered before the look at idle by the fence in shunt_worker_poke, and before the count of
	 * spawns by that one's release [engine:outside]. */
	atomic_fetch_add_explicit(&engine->outside, 1, memory_order_relaxed);
}

static void end_outside(struct shunt_engine *engine)
{
	/* Release pairs with shunt_engine_outside [engine:outside]: what was pushed is seen. */
	atomic_fetch_sub_explicit(&engine->outside, 1, memory_order_release);
}

bool shunt_engine_outside(const struct shunt_engine *engine)
{
	/* Acquire pairs with end_outside [engine:outside]. */
	return atomic_load_explicit(&engine->outside, memory_order_acquire);
}

bool shunt_engine_wake(struct shunt_sched *sched, struct shunt_handle handle)
{
	struct shunt_engine *engine = shunt_engine_of(sched);
	uint64_t word = shunt_word_load(handle.task, true);
	uint64_t state = shunt_word_state(word);
	if ((word & SHUNT_WORD_GENERATION) != handle.generation || state == SHUNT_TASK_FREE ||
		state == SHUNT_TASK_ENDED) {
		/* Relaxed: a statistic. */
		atomic_fetch_add_explicit(&engine->external_stale, 1, memory_order_relaxed);
		return false;
	}
	begin_outside(engine);
	shunt_inbox_push(home_of(engine, handle.task), NULL, handle.task, SHUNT_INJECT_WAKE);
	end_outside(engine);
	return true;
}

int shunt_engine_spawn(struct shunt_sched *sched, struct shunt_handle *handle, shunt_task_fn *fn,
	void *arg, const struct shunt_attr *attr)
{
	struct shunt_engine *engine = shunt_engine_of(sched);
	struct shunt_task *task;
	/* Between runs, and while one ends in good order, it waits for the next. */
	int rc = shunt_engine_has_failed(engine) ? -ECANCELED
						 : shunt_task_take_external(engine, &task);
	if (rc)
		return rc;
	uint64_t id = task->id;
	task->sp = NULL;
	unsigned home = attr && attr->worker ? attr->worker - 1
					     : (unsigned)(id % engine->worker_count);
	/* Relaxed: see home_of, which reads it for whoever wakes the descriptor's last task. */
	__atomic_store_n(&task->home, home, __ATOMIC_RELAXED);
	shunt_task_init(task, fn, arg, attr, handle == NULL, 0, id);
	if (engine->policy->key)
		task->key = engine->policy->key(attr);
	if (handle)
		*handle = (struct shunt_handle){task, shunt_task_generation(task)};
	begin_outside(engine);
	/* Release pairs with the acquire in live_tasks (idle.c) [engine:external]: counted before it
	 * can end; and who sees it counted sees us on the way. */
	atomic_fetch_add_explicit(&engine->external_spawns, 1, memory_order_release);
	if (engine->trace)
		shunt_probe_spawn_outside(engine, task, home);
	shunt_inbox_push(home_of(engine, task), NULL, task, SHUNT_INJECT_READY | SHUNT_INJECT_NEW);
	end_outside(engine);
	return 0;
}

void shunt_engine_hold(struct shunt_sched *sched, int delta)
{
	struct shunt_engine *engine = shunt_engine_of(sched);
	if (engine->trace && delta > 0)
		shunt_probe_outside(engine);
	/* All under the lock: once no hold is left the run may end, and the worker with it. */
	pthread_mutex_lock(&engine->idle_lock);
	engine->holds += delta;
	if (engine->holds == 0)
		shunt_worker_poke(engine->workers[0], NULL);
	pthread_mutex_unlock(&engine->idle_lock);
}
