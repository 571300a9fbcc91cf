/* SPDX-License-Identifier: MIT */
/*
 * The hooks with the policy behind its table: dispatch=vtable, to tell what inlining is worth, and
 * the variants with probes, which only runs that ask for a trace or for scheduling delays use.
 */
#include "core/engine/hooks.h"

static inline void table_enqueue(struct shunt_worker *worker, struct shunt_task *task, unsigned why)
{
	worker->engine->policy->enqueue(worker, task, why);
}

static inline struct shunt_task *table_pick(struct shunt_worker *worker, struct shunt_task *current,
	unsigned why)
{
	return worker->engine->policy->pick(worker, current, why);
}

SHUNT_HOOKS(table, single, false, false, table_enqueue, table_pick);
SHUNT_HOOKS(table, many, true, false, table_enqueue, table_pick);
SHUNT_HOOKS(table, single_probe, false, true, table_enqueue, table_pick);
SHUNT_HOOKS(table, many_probe, true, true, table_enqueue, table_pick);

const struct shunt_hooks *shunt_hooks_choose(const struct shunt_policy *policy, bool inlined,
	bool many, bool probe)
{
	if (probe)
		return many ? &table_hooks_many_probe : &table_hooks_single_probe;
	if (inlined)
		return many ? policy->inlined_many : policy->inlined_single;
	return many ? &table_hooks_many : &table_hooks_single;
}

void shunt_worker_ready(struct shunt_worker *worker, struct shunt_task *task, unsigned why)
{
	struct shunt_engine *engine = worker->engine;
	const struct shunt_policy *policy = engine->policy;
	if (task->timer_ticket)
		shunt_worker_disarm(worker, task);
	if (engine->probing)
		shunt_probe_ready(worker, task, why, true);
	if (!worker->ctx.many) {
		policy->enqueue(worker, task, why);
		return;
	}
	struct shunt_worker *target = worker;
	if (policy->place)
		target = policy->place(worker, task, why);
	else if (!policy->steals && !policy->shared)
		target = engine->workers[task->home];
	if (target != worker) {
		worker->remote_wakes++;
		shunt_inbox_push(target, worker, task, SHUNT_INJECT_READY);
		return;
	}
	policy->enqueue(worker, task, why);
	if (worker->others_may_take)
		shunt_engine_notify(worker);
}

int shunt_transfer_plain(struct shunt_ctx *ctx, struct shunt_task *to, uint64_t generation)
{
	shunt_wake((struct shunt_handle){to, generation});
	ctx->count.transfers_plain++;
	return ctx->hooks->park(ctx, SHUNT_FOREVER);
}

bool shunt_worker_checkpoint(struct shunt_ctx *ctx)
{
	struct shunt_worker *worker = shunt_worker_of(ctx);
	/* Relaxed: a hint; the slow path that follows looks for itself. */
	return worker->switches >= atomic_load_explicit(&worker->limit, memory_order_relaxed);
}
