/* SPDX-License-Identifier: MIT */
/*
 * When a worker visits its slow path next: after `interval` switches, or sooner where these would
 * make a timer late. A visit knows the time, a switch does not.
 */
#include "core/engine/visit.h"

#include "core/engine/ticker.h"

/* Switches until the next visit where nothing is known of how long they take: one more than to run
 * a task and sleep again. */
#define SOON 3
/* For so long it looks that often when it has woken. */
#define SETTLE_NS 50000

void shunt_visit_soon(struct shunt_worker *worker)
{
	/* Relaxed: our own; a request to look at once stays. */
	uint64_t limit = atomic_load_explicit(&worker->limit, memory_order_relaxed);
	if (limit > worker->switches + SOON)
		atomic_compare_exchange_strong_explicit(&worker->limit, &limit,
			worker->switches + SOON, memory_order_relaxed, memory_order_relaxed);
}

/* Is there what must not be looked at too late? */
static bool has_timers(const struct shunt_worker *worker)
{
	const struct shunt_engine *engine = worker->engine;
	if (shunt_worker_io_waits(worker))
		return true;
	if (!engine->timers_slot)
		return engine->wait_slot->in_flight(worker->wait) != 0;
	/* Relaxed: our own queue; whoever fired it for us has nothing to tell us. */
	return atomic_load_explicit(&worker->next_deadline_ns, memory_order_relaxed) != SHUNT_NEVER;
}

/* The switches until the next visit, with timers armed: as many as take a tick, if they take as
 * long as the last ones did. As these may take longer, the ticker looks, too; to start it costs
 * some us, which a worker that just runs a few tasks and sleeps again saves by looking more
 * often. */
static uint64_t interval_at(struct shunt_worker *worker, int64_t now_ns)
{
	struct shunt_engine *engine = worker->engine;
	int64_t took_ns = now_ns - worker->visit_ns;
	uint64_t made = worker->switches - worker->visit_switches, interval = engine->interval;
	if (!worker->visit_ns)
		worker->awake_ns = now_ns;
	if (now_ns - worker->awake_ns < SETTLE_NS)
		interval = SOON;
	else if (took_ns > engine->tick_ns)
		interval = made * (uint64_t)engine->tick_ns / (uint64_t)took_ns;
	worker->visit_ns = now_ns;
	worker->visit_switches = worker->switches;
	if (interval > engine->interval)
		interval = engine->interval;
	if (interval > SOON)
		shunt_ticker_need(engine);
	return interval ? interval : 1;
}

int64_t shunt_visit_plan(struct shunt_worker *worker)
{
	struct shunt_engine *engine = worker->engine;
	bool timers = has_timers(worker);
	int64_t now_ns = timers ? shunt_now_ns() : 0;
	uint64_t interval = engine->interval;
	if (timers && engine->ticker)
		interval = interval_at(worker, now_ns);
	else
		worker->visit_ns = 0;
	/* Relaxed: see worker.h on requests that this store overwrites. */
	atomic_store_explicit(&worker->limit, worker->switches + interval, memory_order_relaxed);
	return now_ns;
}
