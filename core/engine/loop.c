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
 * The loop runs on the worker's own stack, only when a worker starts, has nothing ready, or stops;
 * and so do the steps of step tasks, whose own loop is in hooks_step.h.
 */
#include "core/engine/loop.h"

#include "core/engine/guest.h"
#include "core/engine/halt.h"
#include "core/engine/idle.h"
#include "core/engine/io.h"
#include "core/engine/external.h"
#include "core/engine/overflow.h"
#include "core/engine/preempt.h"
#include "core/engine/probe.h"
#include "core/engine/service.h"
#include "core/engine/sim.h"
#include "core/engine/slack.h"
#include "core/engine/slice.h"
#include "core/engine/switch.h"
#include "core/engine/ticks.h"

#include <sched.h>
#include <stdarg.h>
#include <stdio.h>

static bool stopping(const struct shunt_engine *engine)
{
	/* Acquire pairs with the release in shunt_halt_stop [engine:stopping]. */
	return atomic_load_explicit(&engine->stopping, memory_order_acquire);
}

static void run_tasks(struct shunt_worker *worker)
{
	const struct shunt_policy *policy = worker->engine->policy;
	while (!stopping(worker->engine)) {
		if (shunt_due(worker))
			shunt_service(worker);
		struct shunt_task *next = policy->pick(worker, NULL);
		if (!next)
			next = shunt_idle_next(worker);
		if (!next)
			break;
		if (shunt_engine_ticks(worker->engine))
			shunt_ticks_need(worker->engine);
		if (worker->engine->stamped)
			shunt_slice_start(worker, next);
		if (worker->engine->probing)
			shunt_probe_switch(worker, NULL, next, SHUNT_PROBE_LOOP);
		shunt_switch(worker, &worker->loop, next, NULL);
		if (worker->ctx.current != &worker->loop)
			worker->ctx.hooks->steps(&worker->ctx);
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
static void pass_gate(struct shunt_worker *worker, unsigned *came)
{
	struct shunt_engine *engine = worker->engine;
	if (engine->sim) {
		shunt_sim_gate(worker, came);
		return;
	}
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
	 * shunt_wake_poke. */
	shunt_full_fence();
	while (shunt_external_underway(engine))
		sched_yield();
}

/* Runs tasks between the gates, with the wait slot open. */
static void serve(struct shunt_worker *worker)
{
	bool guarded = shunt_engine_io_guard(worker->engine);
	pass_gate(worker, &worker->engine->started);
	struct shunt_ctx *outer = shunt_ctx_set(&worker->ctx);
	int outer_errno = errno;
	shunt_probe_worker(worker, true);
	shunt_preempt_watch(worker);
	run_tasks(worker);
	shunt_preempt_unwatch(worker);
	shunt_guest_leave(worker);
	shunt_probe_worker(worker, false);
	errno = outer_errno;
	shunt_ctx_set(outer);
	pass_gate(worker, &worker->engine->finished);
	await_outside(worker->engine);
	shunt_engine_io_settle(worker);
	if (guarded)
		shunt_engine_io_unguard();
}

/* A worker that could not start must not keep the others waiting. */
static void give_up(struct shunt_worker *worker, int rc, const struct shunt_error *err)
{
	struct shunt_engine *engine = worker->engine;
	shunt_halt_fail(engine, rc, "worker %u: %s", worker->ctx.index, err->text);
	pass_gate(worker, &engine->started);
	pass_gate(worker, &engine->finished);
}

int shunt_loop_main(struct shunt_worker *worker, struct shunt_error *err)
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
	int64_t slack_before_ns;
	rc = shunt_slack_set(engine->slack_ns, &slack_before_ns, err);
	if (rc)
		goto unwatch;
	rc = engine->wait_slot->start(engine->wait, worker->ctx.index, worker, &worker->wait, err);
	if (rc)
		goto restore;
	serve(worker);
	worker->wait_syscalls += engine->wait_slot->syscalls(worker->wait);
	engine->wait_slot->stop(worker->wait);
restore:
	shunt_slack_restore(slack_before_ns);
unwatch:
	shunt_overflow_unwatch(worker);
unbind:
	engine->place_slot->unbind(engine->place, worker->ctx.index);
refused:
	if (rc)
		give_up(worker, rc, err);
	return rc;
}
