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

static inline struct shunt_task *table_pick(struct shunt_worker *worker, struct shunt_task *current)
{
	return worker->engine->policy->pick(worker, current);
}

static inline void table_set_key(struct shunt_worker *worker, struct shunt_task *task,
	const struct shunt_attr *attr)
{
	if (worker->engine->policy->key)
		task->key = worker->engine->policy->key(attr);
}

#define TABLE_HOOKS(TAG, MANY, PROBE, STAMPED)                                                     \
	SHUNT_HOOKS(table, TAG, MANY, PROBE, STAMPED, table_enqueue, table_pick, table_set_key)

TABLE_HOOKS(single, false, false, false);
TABLE_HOOKS(many, true, false, false);
TABLE_HOOKS(single_stamped, false, false, true);
TABLE_HOOKS(many_stamped, true, false, true);
TABLE_HOOKS(single_probe, false, true, false);
TABLE_HOOKS(many_probe, true, true, false);
TABLE_HOOKS(single_probe_stamped, false, true, true);
TABLE_HOOKS(many_probe_stamped, true, true, true);

const struct shunt_hooks *shunt_hooks_choose(const struct shunt_policy *policy, bool inlined,
	bool many, bool probe, bool stamped)
{
	static const struct shunt_hooks *const tables[2][2][2] = {
		{{&table_hooks_single, &table_hooks_single_stamped},
			{&table_hooks_many, &table_hooks_many_stamped}},
		{{&table_hooks_single_probe, &table_hooks_single_probe_stamped},
			{&table_hooks_many_probe, &table_hooks_many_probe_stamped}},
	};
	if (inlined && !probe)
		return policy->inlined[many][stamped];
	return tables[probe][many][stamped];
}

int shunt_transfer_plain(struct shunt_ctx *ctx, struct shunt_task *to, uint64_t generation)
{
	shunt_wake((struct shunt_handle){to, generation});
	ctx->count.transfers_plain++;
	return ctx->hooks->park(ctx, SHUNT_FOREVER);
}
