/* SPDX-License-Identifier: MIT */
/*
 * The worker's loop and its slow path.
 *
 *            +--------------------------- tasks switch among themselves ---+
 *            v                                                             |
 *   loop: pick --task--> run it ... until a task finds nothing to switch to
 *            |none                                                         |
 *            v                                                             |
 *          idle (idle.c): inbox, timers, steal, spin, sleep --task---------+
 *            |stop
 *            v
 *          return
 *
 * The loop runs on the worker's own stack, only when a worker starts, has nothing ready, or stops.
 */
#include "core/engine/hooks.h"

#include <sched.h>
#include <stdarg.h>
#include <stdio.h>

bool shunt_engine_has_failed(struct shunt_engine *engine)
{
	/* Relaxed: the lock orders what it tells [engine:stopping]. */
	if (!atomic_load_explicit(&engine->stopping, memory_order_relaxed))
		return false;
	pthread_mutex_lock(&engine->idle_lock);
	bool failed = engine->run_error != 0;
	pthread_mutex_unlock(&engine->idle_lock);
	return failed;
}

/* The run has failed: the running task is left where it stands. It might go on for ever, for what it
 * looks for may never come. */
static __attribute__((noinline, cold)) void leave_task(struct shunt_worker *worker)
{
	struct shunt_task *task = worker->ctx.current;
	/* Relaxed: our own; every switch comes by here from now on. */
	atomic_store_explicit(&worker->limit, 0, memory_order_relaxed);
	if (task == &worker->loop || task == &worker->dying)
		return;
	shunt_switch(worker, task, &worker->loop, NULL);
	shunt_panic("a task that had been left for good was resumed");
}

void shunt_worker_service(struct shunt_worker *worker)
{
	struct shunt_engine *engine = worker->engine;
	int before =
		*worker->errno_at; /* the running task's: our system calls must not change it */
	/* Relaxed: see worker.h on requests that this store overwrites. */
	atomic_store_explicit(&worker->limit, worker->switches + engine->interval,
		memory_order_relaxed);
	worker->slow_visits++;
	shunt_inbox_drain(worker, worker);
	if (engine->wait_slot->poll) {
		engine->wait_slot->poll(worker->wait);
		shunt_worker_flush_fired(worker);
	}
	/* Relaxed: our own queue; whoever fired it for us has nothing to tell us. */
	int64_t deadline = atomic_load_explicit(&worker->next_deadline_ns, memory_order_relaxed);
	if (deadline != SHUNT_NEVER || engine->policy->tick) {
		worker->env.now_ns = shunt_now_ns();
		if (deadline <= worker->env.now_ns)
			shunt_worker_expire(worker, worker, worker->env.now_ns);
	}
	if (engine->policy->tick)
		engine->policy->tick(worker);
	if (worker->untold && engine->policy->has_ready(worker))
		shunt_worker_tell_deadline(worker);
	if (worker->visits_count)
		shunt_guest_age(worker);
	*worker->errno_at = before;
	if (SHUNT_UNLIKELY(shunt_engine_has_failed(engine)))
		leave_task(worker);
}

static bool stopping(const struct shunt_engine *engine)
{
	/* Acquire pairs with the release in shunt_engine_stop [engine:stopping]. */
	return atomic_load_explicit(&engine->stopping, memory_order_acquire);
}

static void run_tasks(struct shunt_worker *worker)
{
	const struct shunt_policy *policy = worker->engine->policy;
	while (!stopping(worker->engine)) {
		if (shunt_due(worker))
			shunt_worker_service(worker);
		struct shunt_task *next = policy->pick(worker, NULL, SHUNT_WHY_BLOCK);
		if (!next)
			next = shunt_worker_idle(worker);
		if (!next)
			break;
		if (worker->engine->stamped)
			shunt_slice_start(worker, next);
		if (worker->engine->probing)
			shunt_probe_switch(worker, NULL, next, SHUNT_PROBE_LOOP);
		shunt_switch(worker, &worker->loop, next, NULL);
	}
}

/* The bounds of the thread's stack, for AddressSanitizer; the errno that tasks share in turn. */
static void adopt_thread(struct shunt_worker *worker)
{
	worker->errno_at = &errno;
	worker->ctx.current = &worker->loop;
	worker->loop.sp = &worker->loop; /* anything but NULL: it needs no stack of the pool */
	worker->loop.worker = worker->dying.worker = worker;
	worker->fired_tail = &worker->fired;
#ifdef SHUNT_SANITIZED
	pthread_attr_t attr;
	void *low;
	if (pthread_getattr_np(pthread_self(), &attr) == 0) {
		pthread_attr_getstack(&attr, &low, &worker->stack_bytes);
		worker->stack_low = low;
		pthread_attr_destroy(&attr);
	}
#endif
#ifdef SHUNT_TSAN
	worker->fiber = __tsan_get_current_fiber();
#endif
}

/* Waits until every worker has come here. All wait slots are open before any worker runs a task,
 * and none is closed before all workers have stopped: they wake each other through them. */
static void pass_gate(struct shunt_engine *engine, unsigned *came)
{
	pthread_mutex_lock(&engine->idle_lock);
	++*came;
	pthread_cond_broadcast(&engine->gate);
	while (*came < engine->expected)
		pthread_cond_wait(&engine->gate, &engine->idle_lock);
	pthread_mutex_unlock(&engine->idle_lock);
}

/* Until no thread outside is waking a worker that it has seen idle: by now none is. */
static void await_outside(const struct shunt_engine *engine)
{
	/* Forbids that outside is read before all are seen awake; pairs with the fence in
	 * shunt_worker_poke. */
	shunt_full_fence();
	while (shunt_engine_outside(engine))
		sched_yield();
}

/* Runs tasks between the gates, with the wait slot open. */
static void serve(struct shunt_worker *worker)
{
	pass_gate(worker->engine, &worker->engine->started);
	struct shunt_ctx *outer = shunt_ctx_set(&worker->ctx);
	int outer_errno = errno;
	shunt_probe_worker(worker, true);
	run_tasks(worker);
	shunt_guest_leave(worker);
	shunt_probe_worker(worker, false);
	errno = outer_errno;
	shunt_ctx_set(outer);
	pass_gate(worker->engine, &worker->engine->finished);
	await_outside(worker->engine);
}

/* A worker that could not start must not keep the others waiting. */
static void give_up(struct shunt_engine *engine, int rc, const struct shunt_worker *worker,
	const struct shunt_error *err)
{
	shunt_engine_fail(engine, rc, "worker %u: %s", worker->ctx.index, err->text);
	pass_gate(engine, &engine->started);
	pass_gate(engine, &engine->finished);
}

int shunt_worker_main(struct shunt_worker *worker, struct shunt_error *err)
{
	struct shunt_engine *engine = worker->engine;
	adopt_thread(worker);
	int rc = engine->place_slot->bind(engine->place, worker->ctx.index, err);
	if (rc)
		goto refused;
	rc = shunt_overflow_watch(worker);
	if (rc) {
		shunt_fail(err, rc, "no memory for a signal stack");
		goto unbind;
	}
	rc = engine->wait_slot->start(engine->wait, worker->ctx.index, worker, &worker->wait, err);
	if (rc)
		goto unwatch;
	serve(worker);
	worker->wait_syscalls += engine->wait_slot->syscalls(worker->wait);
	engine->wait_slot->stop(worker->wait);
unwatch:
	shunt_overflow_unwatch(worker);
unbind:
	engine->place_slot->unbind(engine->place, worker->ctx.index);
refused:
	if (rc)
		give_up(engine, rc, worker, err);
	return rc;
}

void shunt_engine_fail(struct shunt_engine *engine, int error, const char *format, ...)
{
	va_list args;
	pthread_mutex_lock(&engine->idle_lock);
	if (!engine->run_error) {
		engine->run_error = error;
		if (engine->run_err) {
			va_start(args, format);
			vsnprintf(engine->run_err->text, sizeof(engine->run_err->text), format,
				args);
			va_end(args);
		}
	}
	pthread_mutex_unlock(&engine->idle_lock);
	shunt_engine_stop(engine);
}
