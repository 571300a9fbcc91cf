/* SPDX-License-Identifier: MIT */
/*
 * The inbox, emptied: a worker acts on what other threads handed to it (ready.c pushes).
 *
 * The taker takes the whole stack, then each task's mark, and from then on the task may be pushed
 * again.
 */
#include "core/engine/inbox.h"

#include "core/engine/probe.h"
#include "core/engine/ready.h"
#include "core/engine/wake.h"

/* Was the task meant for another inbox? Its descriptor was in this one already, for a wake that
 * came too late for its last task. */
static bool is_astray(const struct shunt_worker *worker, const struct shunt_task *task)
{
	const struct shunt_policy *policy = worker->engine->policy;
	bool stays = !policy->steals && !policy->shared;
	return stays && shunt_ready_home(worker->engine, task) != worker;
}

/* Acts on one task's bits. */
static void deliver(struct shunt_worker *worker, struct shunt_task *task, unsigned what)
{
	if (what & SHUNT_INJECT_READY && is_astray(worker, task)) {
		shunt_ready_push(shunt_ready_home(worker->engine, task), worker, task,
			what & ~(unsigned)SHUNT_INJECT_WAKE);
	} else if (what & SHUNT_INJECT_READY) {
		unsigned why = what & SHUNT_INJECT_NEW ? SHUNT_WHY_NEW | SHUNT_FROM_EXTERNAL
						       : SHUNT_WHY_WAKE | SHUNT_FROM_REMOTE;
		if (what & SHUNT_INJECT_NEW && worker->engine->probing)
			shunt_probe_ready(worker, task, why, true);
		worker->engine->policy->enqueue(worker, task, why);
		shunt_wake_offer(worker); /* it may run long before it gets to this one */
	}
	if (what & SHUNT_INJECT_WAKE) {
		worker->ctx.count.wakes++;
		enum shunt_claim claim =
			shunt_task_claim_park(task, shunt_task_generation(task), worker->ctx.many);
		if (claim == SHUNT_CLAIM_MINE)
			shunt_ready_task(worker, task, SHUNT_WHY_WAKE | SHUNT_FROM_EXTERNAL);
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
		/* Acquire-release pairs with fetch_or in push [task:injected]; from here on the
		 * task may be pushed again. */
		unsigned what = atomic_exchange_explicit(&task->injected, 0, memory_order_acq_rel);
		worker->injected_drained++;
		deliver(worker, task, what);
	}
}
