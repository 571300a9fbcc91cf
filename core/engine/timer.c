/* SPDX-License-Identifier: MIT */
/*
 * A worker's timers: the queue of its slot, or the wait slot's own.
 *
 * The queue is the worker's; with many workers its lock lets an idle worker fire what a busy one is
 * late with, and next_deadline_ns tells whether that is worth a look. A fired task is claimed under
 * the lock and collected; it is made ready after the lock is gone, on the worker that fired it.
 */
#include "core/engine/timer.h"

#include "core/engine/probe.h"
#include "core/engine/ready.h"
#include "core/engine/visit.h"
#include "core/engine/wake.h"

/* Fired in one go: as many as run until the next look, so that what is fetched of them is still in
 * the cache when they do. */
#define FIRED_MOST 64

static void publish_deadline(struct shunt_worker *owner, int64_t deadline_ns)
{
	/* Release pairs with the acquire of those who look whether this worker is late
	 * [worker:deadline]. */
	atomic_store_explicit(&owner->next_deadline_ns, deadline_ns, memory_order_release);
}

/* This worker's earliest deadline is a new one. Others who sleep have not seen it, and should if
 * this worker goes on with another task, for who knows how long: its next visit to the slow path
 * sees to that. */
static void note_untold(struct shunt_worker *worker)
{
	/* Sequentially consistent: forbids that idle is read before the deadline is seen; pairs
	 * with the fences before a sleeper reads the deadlines (idle.c). */
	shunt_full_fence();
	if (!shunt_wake_idle_other(worker))
		return;
	worker->untold = true;
	/* Relaxed: our own request. */
	atomic_store_explicit(&worker->limit, 0, memory_order_relaxed);
}

void shunt_timer_tell_deadline(struct shunt_worker *worker)
{
	struct shunt_worker *other = shunt_wake_idle_other(worker);
	worker->untold = false;
	if (other)
		shunt_wake_poke(other, worker);
}

int shunt_timer_arm(struct shunt_worker *worker, struct shunt_task *task, int64_t deadline_ns)
{
	struct shunt_engine *engine = worker->engine;
	uint64_t ticket = shunt_word_load(task, worker->ctx.many) & SHUNT_WORD_TICKET;
	struct shunt_timer timer = {deadline_ns, task, ticket};
	bool earliest = false;
	int rc;
	/* Before it is armed: from then on another worker may fire it and make the task ready. */
	task->timed = true;
	task->worker = worker;
	if (!engine->timers_slot) {
		rc = engine->wait_slot->arm(worker->wait, &timer);
	} else {
		shunt_spin_lock(&worker->timers_lock, worker->ctx.many);
		rc = engine->timers_slot->arm(worker->timers, &timer);
		/* Relaxed: only this lock's holders change it. */
		earliest = !rc && deadline_ns < atomic_load_explicit(&worker->next_deadline_ns,
							memory_order_relaxed);
		if (earliest)
			publish_deadline(worker, deadline_ns);
		shunt_spin_unlock(&worker->timers_lock, worker->ctx.many);
	}
	if (rc) {
		task->timed = false;
		return rc;
	}
	if (earliest && engine->worker_count > 1)
		note_untold(worker);
	if (!worker->visit_ns)
		shunt_visit_soon(worker);
	worker->timers_armed++;
	if (engine->probing)
		shunt_probe_timer(worker, task, SHUNT_PROBE_ARM, deadline_ns);
	return 0;
}

void shunt_timer_timed_out(struct shunt_worker *worker, struct shunt_task *task)
{
	worker->timers_fired++;
	task->timed = false;
	task->value = (uintptr_t)(intptr_t)shunt_task_timeout(task);
}

void shunt_timer_fired(void *arg, const struct shunt_timer *timer)
{
	struct shunt_worker *worker = arg;
	struct shunt_task *task = timer->task;
	if (shunt_task_claim(task, timer->ticket, -ETIMEDOUT, worker->ctx.many) != SHUNT_CLAIM_MINE)
		return;
	shunt_timer_timed_out(worker, task);
	task->next = NULL;
	*worker->fired_tail = task;
	worker->fired_tail = &task->next;
}

/* Has the lines of a task's stack that it will touch come into the cache, many tasks' at once: what
 * the switch takes up and returns through, and below it what the next sleep needs. With 10,000
 * tasks that sleep, a timer costs a fifth to a quarter less. Rejected: to fetch them few at a time,
 * as the tasks before arm their timers; it cost 10 % more, as a reading of the clock waits for
 * loads that were begun. */
static inline void warm(const struct shunt_task *task)
{
	uintptr_t sp = (uintptr_t)task->sp; /* NULL: it is about to go on without having left */
	if (task->step) {
		__builtin_prefetch(task->frame, 1);
		return;
	}
	for (int line = -3; line < 3; line++)
		__builtin_prefetch((const void *)(sp + (uintptr_t)(64 * line)), 1);
}

void shunt_timer_flush_fired(struct shunt_worker *worker)
{
	struct shunt_task *task = worker->fired;
	worker->fired = NULL;
	worker->fired_tail = &worker->fired;
	while (task) {
		struct shunt_task *next = task->next;
		if (worker->engine->probing)
			shunt_probe_timer(worker, task, SHUNT_PROBE_FIRE, 0);
		warm(task);
		shunt_ready_task(worker, task, SHUNT_WHY_TIMER);
		task = next;
	}
}

void shunt_timer_expire(struct shunt_worker *worker, struct shunt_worker *owner, int64_t now_ns)
{
	const struct shunt_timers *slot = worker->engine->timers_slot;
	shunt_spin_lock(&owner->timers_lock, worker->ctx.many);
	slot->expire(owner->timers, now_ns, FIRED_MOST, shunt_timer_fired, worker);
	publish_deadline(owner, slot->earliest(owner->timers));
	shunt_spin_unlock(&owner->timers_lock, worker->ctx.many);
	shunt_timer_flush_fired(worker);
}

void shunt_timer_forget_cancelled(struct shunt_worker *owner)
{
	const struct shunt_timers *slot = owner->engine->timers_slot;
	if (!slot)
		return;
	shunt_spin_lock(&owner->timers_lock, owner->ctx.many);
	publish_deadline(owner, slot->earliest(owner->timers));
	shunt_spin_unlock(&owner->timers_lock, owner->ctx.many);
}
