/* SPDX-License-Identifier: MIT */
/* What a run tells of its engine: counters, the resolved composition, facts, limits. */
#include "core/engine/report.h"

#include "core/engine/worker.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* The counts of a worker: their name as a sum over all, and, of those that tell how the work was
 * spread, as "worker0.switches". */
static const struct count {
	const char *name, *each;
	size_t at;
} counts[] = {
#define AT(field)                                                                                  \
	(offsetof(struct shunt_worker, field) *                                                    \
		_Generic(((struct shunt_worker *)NULL)->field, uint64_t : 1))
	{"switches", "switches", AT(switches)},
	{"self_picks", NULL, AT(self_picks)},
	{"spawns", NULL, AT(spawned)},
	{"ended", "ended", AT(ended)},
	{"blocked", NULL, AT(blocked)},
	{"wakes", NULL, AT(ctx.count.wakes)},
	{"wakes_stale", NULL, AT(ctx.count.wakes_stale)},
	{"permits", NULL, AT(ctx.count.permits)},
	{"parks", NULL, AT(ctx.count.parks)},
	{"sleeps", NULL, AT(ctx.count.sleeps)},
	{"sync_waits", NULL, AT(ctx.count.blocks)},
	{"joins_waited", NULL, AT(ctx.count.joins)},
	{"transfers_direct", NULL, AT(ctx.count.transfers_direct)},
	{"transfers_plain", NULL, AT(ctx.count.transfers_plain)},
	{"timers_armed", NULL, AT(timers_armed)},
	{"timers_fired", "timers_fired", AT(timers_fired)},
	{"timers_cancelled", NULL, AT(timers_cancelled)},
	{"slow_visits", NULL, AT(slow_visits)},
	{"woken_before_saved", NULL, AT(commits)},
	{"injected", "injected", AT(injected_drained)},
	{"steals_tried", NULL, AT(steals_tried)},
	{"steals_won", "steals_won", AT(steals_won)},
	{"tasks_stolen", "tasks_stolen", AT(tasks_stolen)},
	{"remote_wakes", NULL, AT(remote_wakes)},
	{"timers_fired_for_others", NULL, AT(expired_for_others)},
	{"quanta_used_up", NULL, AT(quanta)},
	{"preemptions", NULL, AT(preemptions)},
	{"worker_sleeps", "sleeps", AT(sleeps)},
	{"worker_naps", "naps", AT(naps)},
	{"wait_syscalls", NULL, AT(wait_syscalls)},
};
#define COUNTS (sizeof(counts) / sizeof(counts[0]))

/* Of a composition with an io slot. */
static const struct count io_counts[] = {
	{"io_operations", NULL, AT(io.operations)},
	{"io_ready_at_once", NULL, AT(io.at_once)},
	{"io_waits", NULL, AT(io.waits)},
	{"io_syscalls", NULL, AT(io.calls)},
	{"io_events", NULL, AT(io.events)},
	{"io_events_unasked", NULL, AT(io.unasked)},
	{"io_cancels", NULL, AT(io.cancels)},
};

/* Where there is a preempter. All that were asked for are delivered, in a section, elsewhere or in
 * vain; of those in a section or elsewhere some are made up for late. */
static const struct count preempt_counts[] = {
	{"preempt_asked", NULL, AT(preempt.asked)},
	{"preempt_delivered", NULL, AT(preempt.delivered)},
	{"preempt_in_section", NULL, AT(preempt.in_section)},
	{"preempt_elsewhere", NULL, AT(preempt.elsewhere)},
	{"preempt_in_vain", NULL, AT(preempt.vain)},
	{"preempt_late", NULL, AT(preempt.late)},
};
#undef AT

static uint64_t count_of(const struct shunt_worker *worker, const struct count *count)
{
	uint64_t value = *(const uint64_t *)(const void *)((const char *)worker + count->at);
	/* A worker counts before it picks: who is picked again does not switch. */
	return count->at == offsetof(struct shunt_worker, switches) ? value - worker->self_picks
								    : value;
}

static void count_each(const struct shunt_engine *engine, shunt_counter_fn *counter, void *sink)
{
	for (unsigned i = 0; i < engine->worker_count; i++)
		for (size_t j = 0; j < COUNTS; j++) {
			char name[48];
			if (!counts[j].each)
				continue;
			snprintf(name, sizeof(name), "worker%u.%s", i, counts[j].each);
			counter(sink, name, count_of(engine->workers[i], &counts[j]));
		}
}

static void count_all(const struct shunt_engine *engine, const struct count *list, size_t count,
	shunt_counter_fn *counter, void *sink)
{
	for (size_t j = 0; j < count; j++) {
		uint64_t sum = 0;
		for (unsigned i = 0; i < engine->worker_count; i++)
			sum += count_of(engine->workers[i], &list[j]);
		counter(sink, list[j].name, sum);
	}
}

void shunt_report_counters(const struct shunt_sched *sched, shunt_counter_fn *counter, void *sink)
{
	const struct shunt_engine *engine = (const struct shunt_engine *)sched;
	for (size_t j = 0; j < COUNTS; j++) {
		/* Relaxed: a count, read when the run is over. */
		uint64_t sum = counts[j].at == offsetof(struct shunt_worker, ctx.count.wakes_stale)
				       ? atomic_load_explicit(&engine->external_stale,
						 memory_order_relaxed)
				       : 0;
		for (unsigned i = 0; i < engine->worker_count; i++)
			sum += count_of(engine->workers[i], &counts[j]);
		counter(sink, counts[j].name, sum);
	}
	if (engine->io_slot)
		count_all(engine, io_counts, sizeof(io_counts) / sizeof(io_counts[0]), counter,
			sink);
	if (shunt_engine_ticks(engine))
		count_all(engine, preempt_counts,
			sizeof(preempt_counts) / sizeof(preempt_counts[0]), counter, sink);
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
		else if (!strcmp(key, "dispatch"))
			snprintf(text, sizeof(text), "%s", engine->dispatch);
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
	if (engine->io_slot)
		setting(sink, "io", engine->io_slot->name);
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
	if (shunt_engine_ticks(engine)) {
		snprintf(text, sizeof(text), "%d", engine->preempter_priority);
		fact(sink, "preempt.priority", engine->preempter_priority ? text : "none",
			"kernel");
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
