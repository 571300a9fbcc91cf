/* SPDX-License-Identifier: MIT */
/*
 * The slow path: what a busy worker looks at every few switches, or when it was poked: its inbox,
 * its wait slot, its timers.
 */
#include "core/engine/service.h"

#include "core/engine/guest.h"
#include "core/engine/halt.h"
#include "core/engine/inbox.h"
#include "core/engine/io_event.h"
#include "core/engine/sim.h"
#include "core/engine/switch.h"
#include "core/engine/timer.h"
#include "core/engine/visit.h"

/* The run has failed: the running task is left in the middle of its function. It might otherwise
 * wait for ever for something that no longer comes. */
static __attribute__((noinline, cold)) void leave_task(struct shunt_worker *worker)
{
	struct shunt_task *task = worker->ctx.current;
	/* Relaxed: our own; every switch comes by here from now on. */
	atomic_store_explicit(&worker->limit, 0, memory_order_relaxed);
	if (task == &worker->loop || task == &worker->dying || task->step)
		return; /* a step is left when it returns (hooks_step.h) */
	shunt_switch(worker, task, &worker->loop, NULL);
	shunt_panic("a task that had been left for good was resumed");
}

static void serve(struct shunt_worker *worker, bool collect)
{
	struct shunt_engine *engine = worker->engine;
	int before =
		*worker->errno_at; /* the running task's: our system calls must not change it */
	int64_t now_ns = shunt_visit_plan(worker);
	worker->slow_visits++;
	if (SHUNT_UNLIKELY(engine->sim))
		shunt_sim_visit(worker);
	shunt_inbox_drain(worker, worker);
	if (engine->wait_slot->poll) {
		engine->wait_slot->poll(worker->wait);
		shunt_timer_flush_fired(worker);
	}
	if (SHUNT_UNLIKELY(shunt_worker_io_asked(worker)))
		shunt_engine_io_answer(worker);
	if (collect && SHUNT_UNLIKELY(shunt_worker_io_waits(worker))) {
		shunt_engine_io_collect(worker, now_ns);
		shunt_timer_flush_fired(worker); /* among what a ring collects are its own timers */
	}
	if (now_ns) {
		worker->env.now_ns = now_ns;
		/* Relaxed: our own queue; whoever fired it for us has nothing to tell us. */
		if (atomic_load_explicit(&worker->next_deadline_ns, memory_order_relaxed) <= now_ns)
			shunt_timer_expire(worker, worker, now_ns);
	}
	if (worker->untold && engine->policy->has_ready(worker))
		shunt_timer_tell_deadline(worker);
	if (worker->visits_count)
		shunt_guest_age(worker);
	*worker->errno_at = before;
	if (SHUNT_UNLIKELY(shunt_halt_has_failed(engine)))
		leave_task(worker);
}

void shunt_service(struct shunt_worker *worker)
{
	serve(worker, true);
}

/* With one worker the sleep that follows collects the events, by the call that it makes anyway. */
void shunt_service_idle(struct shunt_worker *worker)
{
	serve(worker, worker->engine->worker_count > 1);
}
