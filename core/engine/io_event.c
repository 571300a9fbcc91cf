/* SPDX-License-Identifier: MIT */
/*
 * What comes to a worker about operations that are on: their events, from its wait slot; and from
 * other threads, what it is to cancel, and what a pool has done for it. Those go through a list of
 * the worker's own, which it looks at as it looks at its inbox.
 */
#include "core/engine/io_event.h"

#include "core/engine/probe.h"
#include "core/engine/ready.h"
#include "core/engine/visit.h"
#include "core/engine/wake.h"

/* A busy worker looks no more often: a look may be a system call. */
#define LOOK_NS 20000

/* ---- events ---------------------------------------------------------------------------------- */

/* Is the event about that side? */
static bool concerns(const struct shunt_engine *engine, uint64_t data, int64_t value, unsigned side)
{
	if (engine->io_slot->submits)
		return shunt_io_data_side(data) == side;
	return value & (side == SHUNT_IO_IN ? SHUNT_EVENT_IN : SHUNT_EVENT_OUT);
}

void shunt_engine_io_event(void *arg, uint64_t data, int64_t value)
{
	struct shunt_worker *worker = arg;
	struct shunt_io_entry *entry = shunt_io_data_entry(worker->engine->io.table, data);
	struct shunt_task *task[SHUNT_IO_SIDES] = {NULL, NULL};
	worker->io.events++;
	if (!entry)
		return;
	shunt_spin_lock(&entry->lock, worker->ctx.many);
	bool current = entry->used && entry->generation == shunt_io_data_generation(data);
	for (unsigned side = 0; current && side < SHUNT_IO_SIDES; side++)
		if (concerns(worker->engine, data, value, side)) {
			entry->ended |= !worker->engine->io_slot->submits &&
					value & SHUNT_EVENT_END;
			entry->side[side].came = true;
			entry->side[side].result = value;
			task[side] =
				shunt_io_waiter_end(&entry->side[side].waiter, 0, worker->ctx.many);
		}
	shunt_spin_unlock(&entry->lock, worker->ctx.many);
	if (task[SHUNT_IO_IN] || task[SHUNT_IO_OUT])
		shunt_probe_sleep(worker, false); /* it may be in commit() */
	for (unsigned side = 0; side < SHUNT_IO_SIDES; side++)
		if (task[side])
			shunt_ready_task(worker, task[side], SHUNT_WHY_WAKE);
}

void shunt_engine_io_collect(struct shunt_worker *worker, int64_t now_ns)
{
	const struct shunt_wait *slot = worker->engine->wait_slot;
	if (now_ns - worker->io_looked_ns < LOOK_NS)
		return;
	worker->io_looked_ns = now_ns;
	if (!slot->collect)
		return;
	uint64_t calls = slot->syscalls(worker->wait), events = worker->io.events;
	slot->collect(worker->wait);
	if (slot->syscalls(worker->wait) == calls)
		worker->io.unasked += worker->io.events - events;
}

/* ---- what others ask ------------------------------------------------------------------------- */

/* Pushed by any thread, taken whole by the owner, as inboxes are. An entry is in one list at a
 * time, and the owner hands on what is another's by then. `from` is NULL for no worker. */
static void ask(struct shunt_engine *engine, struct shunt_io_entry *entry, unsigned index,
	struct shunt_worker *from)
{
	struct shunt_worker *owner = engine->workers[index];
	/* Acquire-release pairs with itself in answer [io:asked]: the link is ours if it was
	 * in no list. */
	if (atomic_exchange_explicit(&entry->asked, 1, memory_order_acq_rel))
		return;
	/* Relaxed: a guess, corrected by the exchange below. */
	struct shunt_io_entry *head = atomic_load_explicit(&owner->io_inbox, memory_order_relaxed);
	do
		entry->next_asked = head;
	while (!atomic_compare_exchange_weak_explicit(&owner->io_inbox, &head, entry,
		memory_order_release,
		memory_order_relaxed)); /* release pairs with answer [worker:io-inbox] */
	shunt_wake_poke(owner, from);
}

static void cancel_one(struct shunt_worker *worker, uint64_t data)
{
	struct shunt_engine *engine = worker->engine;
	if (engine->io_slot->cancel)
		engine->io_slot->cancel(engine->io_state, data);
	else
		engine->wait_slot->cancel(worker->wait, data);
}

/* Cancels what is this worker's, and has others cancel what is theirs. */
static void cancel_sides(struct shunt_worker *worker, struct shunt_io_entry *entry)
{
	struct shunt_engine *engine = worker->engine;
	int elsewhere = -1, before = *worker->errno_at;
	shunt_spin_lock(&entry->lock, worker->ctx.many);
	for (unsigned side = 0; side < SHUNT_IO_SIDES; side++) {
		if (!entry->side[side].submitted || !entry->side[side].cancel)
			continue;
		if (entry->side[side].worker != worker->ctx.index) {
			elsewhere = (int)entry->side[side].worker;
			continue;
		}
		entry->side[side].cancel = false;
		worker->io.cancels++;
		cancel_one(worker, shunt_io_data(entry, side));
	}
	shunt_spin_unlock(&entry->lock, worker->ctx.many);
	*worker->errno_at = before;
	if (elsewhere >= 0)
		ask(engine, entry, (unsigned)elsewhere, worker);
}

/* Results that a pool has for this worker. */
static void take_finished(struct shunt_worker *worker, struct shunt_io_entry *entry)
{
	int elsewhere = -1;
	for (unsigned side = 0; side < SHUNT_IO_SIDES; side++) {
		/* Acquire pairs with shunt_engine_io_done [io:finished]. */
		if (!atomic_load_explicit(&entry->side[side].finished, memory_order_acquire))
			continue;
		if (entry->side[side].worker != worker->ctx.index) {
			elsewhere = (int)entry->side[side].worker;
			continue;
		}
		/* Relaxed: the next operation begins after this one's task has gone on. */
		atomic_store_explicit(&entry->side[side].finished, 0, memory_order_relaxed);
		worker->io.unasked++;
		shunt_engine_io_event(worker, shunt_io_data(entry, side), entry->side[side].result);
	}
	if (elsewhere >= 0)
		ask(worker->engine, entry, (unsigned)elsewhere, worker);
}

void shunt_engine_io_answer(struct shunt_worker *worker)
{
	/* Acquire pairs with the release in ask [worker:io-inbox]. */
	struct shunt_io_entry *entry =
		atomic_exchange_explicit(&worker->io_inbox, NULL, memory_order_acquire);
	while (entry) {
		struct shunt_io_entry *next = entry->next_asked;
		/* Acquire-release pairs with ask [io:asked]: from here on it may be pushed
		 * again. */
		atomic_exchange_explicit(&entry->asked, 0, memory_order_acq_rel);
		take_finished(worker, entry);
		cancel_sides(worker, entry);
		entry = next;
	}
}

void shunt_engine_io_cancel(struct shunt_worker *worker, struct shunt_io_entry *entry,
	unsigned sides)
{
	shunt_spin_lock(&entry->lock, worker->ctx.many);
	for (unsigned side = 0; side < SHUNT_IO_SIDES; side++)
		if (sides & 1U << side)
			entry->side[side].cancel = entry->side[side].submitted;
	shunt_spin_unlock(&entry->lock, worker->ctx.many);
	cancel_sides(worker, entry);
	shunt_visit_soon(worker); /* which hands it to the kernel */
}

void shunt_engine_io_done(void *arg, uint64_t data, int64_t result)
{
	struct shunt_engine *engine = arg;
	struct shunt_io_entry *entry = shunt_io_data_entry(engine->io.table, data);
	unsigned side = shunt_io_data_side(data), worker = entry->side[side].worker;
	entry->side[side].result = result;
	/* Release pairs with take_finished [io:finished]. */
	atomic_store_explicit(&entry->side[side].finished, 1, memory_order_release);
	ask(engine, entry, worker, NULL);
}
