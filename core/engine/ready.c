/* SPDX-License-Identifier: MIT */
/*
 * Ready: a task that may run is queued on this worker, or handed to the inbox of another.
 *
 * The inbox is a multi-producer stack of tasks, linked through the tasks, which a worker takes
 * whole (Treiber's push; with a consumer that takes all there is no ABA). A task's mark `injected`
 * says what is to happen to it, and that it is in some inbox: whoever adds a bit to a mark that is
 * not empty need not push, because the taker takes all bits at once, after it has taken the link
 * (inbox.c).
 */
#include "core/engine/ready.h"

#include "core/engine/probe.h"
#include "core/engine/wake.h"

void shunt_ready_push(struct shunt_worker *target, struct shunt_worker *from,
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
	if (shunt_wake_poke(target, from) || !target->env.others_may_take)
		return;
	/* The target may compute for long before it looks; poke's fence orders this look. */
	struct shunt_worker *idle = shunt_wake_idle_other(target);
	if (idle)
		shunt_wake_poke(idle, from);
}

void shunt_ready_disarm(struct shunt_worker *worker, struct shunt_task *task)
{
	struct shunt_engine *engine = worker->engine;
	struct shunt_worker *owner = task->worker;
	/* It was claimed, and has not run since: its ticket is still that of the timed wait. */
	uint64_t ticket = shunt_word_load(task, worker->ctx.many) & SHUNT_WORD_TICKET;
	struct shunt_timer timer = {0, task, ticket};
	task->timed = false;
	worker->timers_cancelled++;
	if (engine->probing)
		shunt_probe_timer(worker, task, SHUNT_PROBE_CANCEL, 0);
	if (!engine->timers_slot) {
		engine->wait_slot->cancelled(owner->wait, &timer);
		return;
	}
	engine->timers_slot->cancelled(owner->timers);
}

void shunt_ready_task(struct shunt_worker *worker, struct shunt_task *task, unsigned why)
{
	struct shunt_engine *engine = worker->engine;
	const struct shunt_policy *policy = engine->policy;
	if (task->timed)
		shunt_ready_disarm(worker, task);
	if (engine->probing)
		shunt_probe_ready(worker, task, why, true);
	if (!worker->ctx.many) {
		policy->enqueue(worker, task, why);
		return;
	}
	struct shunt_worker *target = worker;
	if (!policy->steals && !policy->shared)
		target = engine->workers[task->home];
	if (target != worker) {
		worker->remote_wakes++;
		shunt_ready_push(target, worker, task, SHUNT_INJECT_READY);
		return;
	}
	policy->enqueue(worker, task, why);
	shunt_wake_offer(worker);
}
