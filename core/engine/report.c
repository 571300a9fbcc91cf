/* SPDX-License-Identifier: MIT */
/* What a run tells of its engine: counters, the resolved composition, facts, limits. */
#include "core/engine/report.h"

#include "core/engine/worker.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* A worker counts before it picks: who is picked again does not switch. */
static uint64_t switches_of(const struct shunt_worker *worker)
{
	return worker->switches - worker->self_picks;
}

/* How the work was spread: a few counts of each worker, "worker0.switches". */
static void count_each(const struct shunt_engine *engine, shunt_counter_fn *counter, void *sink)
{
	for (unsigned i = 0; i < engine->worker_count; i++) {
		const struct shunt_worker *worker = engine->workers[i];
		const struct {
			const char *name;
			uint64_t value;
		} list[] = {
			{"switches", switches_of(worker)},
			{"ended", worker->ended},
			{"steals_won", worker->steals_won},
			{"tasks_stolen", worker->tasks_stolen},
			{"timers_fired", worker->timers_fired},
			{"injected", worker->injected_drained},
			{"sleeps", worker->sleeps},
			{"naps", worker->naps},
		};
		for (size_t j = 0; j < sizeof(list) / sizeof(list[0]); j++) {
			char name[48];
			snprintf(name, sizeof(name), "worker%u.%s", i, list[j].name);
			counter(sink, name, list[j].value);
		}
	}
}

void shunt_report_counters(const struct shunt_sched *sched, shunt_counter_fn *counter, void *sink)
{
	const struct shunt_engine *engine = (const struct shunt_engine *)sched;
	struct shunt_worker sum;
	memset(&sum, 0, sizeof(sum));
#define ADD(field) sum.field += worker->field
	for (unsigned i = 0; i < engine->worker_count; i++) {
		const struct shunt_worker *worker = engine->workers[i];
		ADD(switches), ADD(self_picks), ADD(spawned), ADD(ended), ADD(blocked),
			ADD(ctx.count.wakes);
		ADD(ctx.count.wakes_stale), ADD(ctx.count.permits), ADD(ctx.count.parks);
		ADD(ctx.count.sleeps), ADD(ctx.count.blocks), ADD(ctx.count.joins);
		ADD(ctx.count.transfers_direct), ADD(ctx.count.transfers_plain);
		ADD(timers_armed), ADD(timers_fired), ADD(timers_cancelled);
		ADD(slow_visits), ADD(commits), ADD(injected_drained);
		ADD(steals_tried), ADD(steals_won), ADD(tasks_stolen), ADD(remote_wakes), ADD(naps);
		ADD(expired_for_others), ADD(sleeps), ADD(wait_syscalls);
		ADD(quanta), ADD(preemptions);
	}
#undef ADD
	const struct {
		const char *name;
		uint64_t value;
	} list[] = {
		{"switches", switches_of(&sum)},
		{"self_picks", sum.self_picks},
		{"spawns", sum.spawned},
		{"ended", sum.ended},
		{"blocked", sum.blocked},
		{"wakes", sum.ctx.count.wakes},
		/* Relaxed: a count, read when the run is over. */
		{"wakes_stale",
			sum.ctx.count.wakes_stale + atomic_load_explicit(&engine->external_stale,
							    memory_order_relaxed)},
		{"permits", sum.ctx.count.permits},
		{"parks", sum.ctx.count.parks},
		{"sleeps", sum.ctx.count.sleeps},
		{"sync_waits", sum.ctx.count.blocks},
		{"joins_waited", sum.ctx.count.joins},
		{"transfers_direct", sum.ctx.count.transfers_direct},
		{"transfers_plain", sum.ctx.count.transfers_plain},
		{"timers_armed", sum.timers_armed},
		{"timers_fired", sum.timers_fired},
		{"timers_cancelled", sum.timers_cancelled},
		{"slow_visits", sum.slow_visits},
		{"woken_before_saved", sum.commits},
		{"injected", sum.injected_drained},
		{"steals_tried", sum.steals_tried},
		{"steals_won", sum.steals_won},
		{"tasks_stolen", sum.tasks_stolen},
		{"remote_wakes", sum.remote_wakes},
		{"timers_fired_for_others", sum.expired_for_others},
		{"quanta_used_up", sum.quanta},
		{"preemptions", sum.preemptions},
		{"worker_sleeps", sum.sleeps},
		{"worker_naps", sum.naps},
		{"wait_syscalls", sum.wait_syscalls},
	};
	for (size_t i = 0; i < sizeof(list) / sizeof(list[0]); i++)
		counter(sink, list[i].name, list[i].value);
	if (engine->worker_count > 1)
		count_each(engine, counter, sink);
}

typedef void setting_fn(void *sink, const char *key, const char *value);

static void list_values(const struct shunt_values *values, const char *prefix, setting_fn *setting,
	void *sink)
{
	for (size_t i = 0; values->params && values->params[i].name; i++) {
		char key[96], text[256];
		snprintf(key, sizeof(key), "%s%s%s", prefix, *prefix ? "." : "",
			values->params[i].name);
		setting(sink, key,
			shunt_value_format(&values->params[i], &values->value[i], text,
				sizeof(text)));
	}
}

/* Parameters whose resolved value differs from what was asked are said as resolved. */
static void list_own(const struct shunt_engine *engine, setting_fn *setting, void *sink)
{
	const struct shunt_values *own = &engine->own;
	for (size_t i = 0; own->params[i].name; i++) {
		const char *key = own->params[i].name;
		char text[256];
		if (!strcmp(key, "workers"))
			snprintf(text, sizeof(text), "%u", engine->worker_count);
		else if (!strcmp(key, "mt"))
			snprintf(text, sizeof(text), "%d", engine->sched.many);
		else if (!strcmp(key, "fence"))
			snprintf(text, sizeof(text), "%s", engine->fenced ? "full" : "asymmetric");
		else if (!strcmp(key, "stack.guard"))
			snprintf(text, sizeof(text), "%s", shunt_guard_name(engine->stacks.guard));
		else if (!strcmp(key, "stack.size"))
			snprintf(text, sizeof(text), "%zu", engine->stacks.bytes);
		else
			shunt_value_format(&own->params[i], &own->value[i], text, sizeof(text));
		setting(sink, key, text);
	}
}

void shunt_report_composition(const struct shunt_sched *sched, setting_fn *setting, void *sink)
{
	const struct shunt_engine *engine = (const struct shunt_engine *)sched;
	setting(sink, "switch", engine->switch_slot->name);
	list_values(&engine->switch_values, "switch", setting, sink);
	setting(sink, "wait", engine->wait_slot->name);
	list_values(&engine->wait_values, "wait", setting, sink);
	setting(sink, "timers", engine->timers_slot ? engine->timers_slot->name : "own");
	setting(sink, "policy", engine->policy->name);
	list_values(&engine->policy_values, "policy", setting, sink);
	setting(sink, "place", engine->place_slot->name);
	list_values(&engine->place_values, "place", setting, sink);
	list_own(engine, setting, sink);
	if (engine->stamped)
		setting(sink, "stamped", "1");
	if (engine->probing)
		setting(sink, "probe", engine->trace ? "trace" : "sched_delay");
}

void shunt_report_facts(const struct shunt_sched *sched, shunt_fact_fn *fact, void *sink)
{
	const struct shunt_engine *engine = (const struct shunt_engine *)sched;
	char text[1024];
	fact(sink, "switch.fp", engine->swap.fp, "engine");
	if (engine->swap.fp_load)
		fact(sink, "switch.fp_load", engine->swap.fp_load, "measured");
	fact(sink, "switch.saves_signal_mask", engine->swap.saves_signal_mask ? "yes" : "no",
		"engine");
	fact(sink, "stack.guard", shunt_guard_name(engine->stacks.guard), "engine");
	for (unsigned i = 0; i < engine->worker_count; i++) {
		char name[32], cpus[256] = "";
		snprintf(name, sizeof(name), "place.worker%u", i);
		engine->place_slot->describe(engine->place, i, cpus, sizeof(cpus));
		fact(sink, name, cpus, "place");
	}
	fact(sink, "place.binding",
		engine->place_slot->binding ? engine->place_slot->binding(engine->place) : "none",
		"place");
	fact(sink, "place.oversubscribed", engine->oversubscribed ? "yes" : "no", "place");
	snprintf(text, sizeof(text), "%s", engine->wait_slot->spins ? "yes" : "no");
	fact(sink, "wait.spins", text, "engine");
	if (engine->stamped) {
		snprintf(text, sizeof(text), "%s, %.1f ns a reading",
			shunt_clock_name(&engine->clock), engine->clock.read_cost_ns);
		fact(sink, "switch.stamp", text, "engine");
	}
	if (engine->wait_slot->facts)
		engine->wait_slot->facts(engine->wait, fact, sink);
	if (engine->place_slot->facts)
		engine->place_slot->facts(fact, sink);
}

uint64_t shunt_report_task_limit(const struct shunt_sched *sched, struct shunt_error *reason)
{
	const struct shunt_engine *engine = (const struct shunt_engine *)sched;
	if (engine->stacks.limit)
		shunt_fail(reason, 0, "%s", engine->stacks.limit_why);
	return engine->stacks.limit;
}
