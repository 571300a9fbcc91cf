/* SPDX-License-Identifier: MIT */
/*
 * Idleness: how a worker without work goes to sleep without losing a wake-up, and how the run ends.
 *
 * Proof sketch. Work for a worker W appears in one of these places: (1) W's inbox, or one of a
 * worker whose tasks W may run, (2) a timer queue, (3) a queue that W may steal from or shares.
 *   1. A publisher of work does: publish it; fence; read idleness (W.idle for the inbox,
 *      idle_count for stealable work); if a worker is idle, wake it. Stealable work is published
 *      all the time, so its fence is the frequent side of barrier.h, which mostly costs nothing.
 *   2. A worker that goes to sleep does: wait.prepare; announce (idle, idle_count); fence, the rare
 *      side of barrier.h; look at all of those places; wait.commit only if all are empty.
 *   3. Of two sides that each write, fence, then read the other's, at least one sees the other's
 *      write. So either the sleeper finds the work, or the publisher finds the sleeper.
 *   4. A publisher that finds the sleeper does so after prepare, so wait.wake makes the coming
 *      commit return at once. If W announced itself before prepare, a wake in between could be
 *      lost. The work that it was for may be gone by the recheck; W would then sleep, though no
 *      longer listed as idle.
 *   5. Timers: W sleeps until the earliest deadline of all workers, read after its announcement,
 *      unless another sleeper's `watch_ns` says that it will wake for that. A worker that arms an
 *      earlier deadline afterwards finds W idle (timer.c). If it goes on with another task it wakes
 *      W to look again, else it will itself sleep until then. So at least one sleeper knows the
 *      earliest deadline. Before that one runs a task it wakes another sleeper to look, unless the
 *      other's `watch_ns` says that it knows (pass_on). The same holds for what is then in an
 *      inbox: its publisher may have woken this worker, which was about to get up for other work.
 *   6. A publisher wakes nobody while a thief searches. The thief finds the work; or it finds other
 *      work and, as the last to search, looks for sleepers itself (thief.c); or it goes to sleep by
 *      2. A thief that naps has looked once more after it stopped searching, and woken a sleeper
 *      for the work that it leaves.
 *   7. Where a policy does not let every worker run every task of its shared queues (has_ready), a
 *      publisher wakes a sleeper that may run some of the queued tasks. A worker that goes to sleep
 *      does the same, so the last one leaves nothing to those that sleep already.
 * A worker that naps (thief.c) is not idle: it comes back by itself. When all others sleep and
 * nothing is to come, its nap is ended, so that it sleeps too and the run's end can be judged. No
 * other step relies on a timeout. The tests' mutants remove each fence and recheck.
 *
 * How the last worker ends the run: verdict.c.
 */
#include "core/engine/idle.h"

#include "core/engine/barrier.h"
#include "core/engine/deque.h"
#include "core/engine/guest.h"
#include "core/engine/halt.h"
#include "core/engine/inbox.h"
#include "core/engine/probe.h"
#include "core/engine/service.h"
#include "core/engine/thief.h"
#include "core/engine/ticker.h"
#include "core/engine/timer.h"
#include "core/engine/verdict.h"
#include "core/engine/visit.h"
#include "core/engine/wake.h"

#include <string.h>

/* How long a worker whose wait slot spins looks for work before it announces that it waits. */
#define SPIN_FIRST_NS 1000000

/* Those inboxes that this worker may empty: its own, and those of others whose tasks it may run. */
static bool inboxes_empty(const struct shunt_worker *worker)
{
	const struct shunt_engine *engine = worker->engine;
	for (unsigned i = 0; worker->env.others_may_take && i < engine->worker_count; i++)
		if (!shunt_worker_inbox_empty(engine->workers[i]))
			return false;
	return shunt_worker_inbox_empty(worker);
}

/* Of a worker that sleeps or naps: until when, as far as it knows of deadlines; else
 * SHUNT_NEVER. */
static void set_watch(struct shunt_worker *worker, int64_t deadline_ns)
{
	/* Relaxed: ordered by the fence in pass_on [worker:watch]. */
	atomic_store_explicit(&worker->watch_ns, deadline_ns, memory_order_relaxed);
}

/* ---- looking for work ------------------------------------------------------------------------ */

static void serve_others(struct shunt_worker *worker)
{
	struct shunt_engine *engine = worker->engine;
	for (unsigned i = 0; worker->env.others_may_take && i < engine->worker_count; i++)
		shunt_inbox_drain(worker, engine->workers[i]);
	if (engine->worker_count == 1 || !engine->timers_slot)
		return;
	int64_t earliest = shunt_timer_earliest(engine), now;
	if (earliest == SHUNT_NEVER || earliest > (now = shunt_now_ns()))
		return;
	for (unsigned i = 0; i < engine->worker_count; i++) {
		struct shunt_worker *other = engine->workers[i];
		if (other != worker && shunt_timer_deadline_of(other) <= now) {
			uint64_t before = worker->timers_fired;
			shunt_timer_expire(worker, other, now);
			worker->expired_for_others += worker->timers_fired - before;
		}
	}
}

static struct shunt_task *look_for_work(struct shunt_worker *worker)
{
	const struct shunt_policy *policy = worker->engine->policy;
	shunt_service_idle(worker);
	struct shunt_task *task = policy->pick(worker, NULL);
	if (task)
		return task;
	serve_others(worker);
	task = policy->pick(worker, NULL);
	return task || worker->backoff.nap_due ? task : shunt_thief_steal(worker);
}

/* ---- announcing and rechecking --------------------------------------------------------------- */

static void prepare_sleep(struct shunt_worker *worker)
{
	const struct shunt_wait *slot = worker->engine->wait_slot;
	if (slot->prepare)
		slot->prepare(worker->wait);
}

static void announce(struct shunt_worker *worker)
{
	struct shunt_engine *engine = worker->engine;
	prepare_sleep(worker);
	pthread_mutex_lock(&engine->idle_lock);
	worker->idle_next = engine->idle_list;
	engine->idle_list = worker;
	engine->idle_workers++;
	/* Relaxed: ordered before the rechecks by the fence below. */
	atomic_store_explicit(&engine->idle_count, engine->idle_workers, memory_order_relaxed);
	/* Release pairs with the acquire in shunt_wake_poke [worker:idle]: a waker finds the wait
	 * slot as this worker made it, also a thread outside, which passed no gate. */
	atomic_store_explicit(&worker->idle, SHUNT_SLEEPS, memory_order_release);
	pthread_mutex_unlock(&engine->idle_lock);
	/* Forbids that a recheck is made before the announcement is seen; pairs with the fences in
	 * shunt_wake_poke and note_untold (timer.c), and with shunt_wake_offer, whose side passes
	 * often. */
	shunt_barrier_rare(engine->fenced || !worker->env.others_may_take);
}

/* False: somebody has taken it off the list, to wake it. */
static bool retract(struct shunt_worker *worker)
{
	struct shunt_engine *engine = worker->engine;
	pthread_mutex_lock(&engine->idle_lock);
	bool listed = shunt_wake_unlist(engine, worker);
	/* Relaxed: who still sees it set makes one wake too many. */
	atomic_store_explicit(&worker->idle, SHUNT_AWAKE, memory_order_relaxed);
	pthread_mutex_unlock(&engine->idle_lock);
	return listed;
}

static bool anything_to_steal(const struct shunt_engine *engine)
{
	for (unsigned i = 0; engine->policy->steals && i < engine->worker_count; i++)
		if (engine->policy->has_ready(engine->workers[i]))
			return true;
	return false;
}

/* Everything that could be work for this worker, looked at after the fence of announce. */
static bool anything_to_do(const struct shunt_worker *worker)
{
	const struct shunt_engine *engine = worker->engine;
	if (!inboxes_empty(worker) || shunt_worker_io_asked(worker) ||
		engine->policy->has_ready(worker) || anything_to_steal(engine))
		return true;
	/* Acquire pairs with shunt_halt_stop [engine:stopping]. */
	return atomic_load_explicit(&engine->stopping, memory_order_acquire);
}

/* ---- waking and sleeping --------------------------------------------------------------------- */

static void fail_sleep(struct shunt_engine *engine, int rc)
{
	shunt_halt_fail(engine, rc, "the kernel refused to let a worker sleep: %s", strerror(-rc));
}

/* While another worker runs it is worth a look for a while: it may make work any moment, and to
 * sleep and be woken takes longer than most such pauses. */
static int64_t spin_budget(const struct shunt_worker *worker)
{
	const struct shunt_engine *engine = worker->engine;
	/* A wait that spins is no rest, and to announce it costs a fence in every other worker. */
	if (engine->wait_slot->spins && worker->env.others_may_take)
		return engine->spin_ns > SPIN_FIRST_NS ? engine->spin_ns : SPIN_FIRST_NS;
	/* Relaxed: a guess. */
	unsigned idle = atomic_load_explicit(&engine->idle_count, memory_order_relaxed);
	bool others = engine->policy->steals && idle + 1 < engine->worker_count;
	return others && engine->search_ns > engine->spin_ns ? engine->search_ns : engine->spin_ns;
}

/* True: there is something to do. */
static bool spin(struct shunt_worker *worker)
{
	int64_t budget = spin_budget(worker), until = budget ? shunt_now_ns() + budget : 0;
	while (until && shunt_now_ns() < until) {
		for (int i = 0; i < 32; i++)
			shunt_cpu_relax();
		if (anything_to_do(worker) ||
			shunt_timer_earliest(worker->engine) <= shunt_now_ns())
			return true;
	}
	return false;
}

/* Is there nobody whose work is worth waiting for? Context: nap, after its fence. */
static bool nap_is_pointless(struct shunt_engine *engine)
{
	pthread_mutex_lock(&engine->idle_lock);
	bool quiet = shunt_verdict_all_quiet(engine);
	pthread_mutex_unlock(&engine->idle_lock);
	return quiet;
}

/* Work published while this worker searched woke nobody; wakes a sleeper for it now. Context: nap,
 * after its fence. */
static void leave_to_others(struct shunt_worker *worker)
{
	/* Relaxed: ordered by the fence, which pairs with the one in shunt_wake_notify
	 * [engine:idle]. */
	if (atomic_load_explicit(&worker->engine->idle_count, memory_order_relaxed) &&
		anything_to_steal(worker->engine))
		shunt_wake_notify(worker);
}

/*
 * Sleeps though others may have work, because stealing has not paid lately (thief.c). A nap is not
 * announced: nobody shall wake this worker for the work of others, and it tells a sleeper of that
 * work first. This worker's own work ends a nap as it ends a sleep. When the last other worker goes
 * idle at the same time, at least one of the two sees the other: the nap ends, or does not begin.
 */
static void nap(struct shunt_worker *worker)
{
	struct shunt_engine *engine = worker->engine;
	int64_t now = shunt_now_ns(), until = now + shunt_thief_nap_begin(worker);
	shunt_deque_detach(&worker->env.attached);
	shunt_guest_leave(worker);
	/* Release: as in announce; ordered before the looks by the fence below [worker:idle]. */
	atomic_store_explicit(&worker->idle, SHUNT_NAPS, memory_order_release);
	prepare_sleep(worker);
	/* Sequentially consistent: forbids that the inbox, and who else is idle, is looked at
	 * before idle is seen; pairs with the fences in shunt_wake_poke, in announce, and in
	 * note_untold (timer.c). */
	shunt_full_fence();
	int64_t deadline = shunt_timer_earliest(engine);
	/* Acquire pairs with shunt_halt_stop [engine:stopping]. */
	if (inboxes_empty(worker) && !shunt_worker_io_asked(worker) && deadline > now &&
		!atomic_load_explicit(&engine->stopping, memory_order_acquire) &&
		!nap_is_pointless(engine)) {
		leave_to_others(worker);
		set_watch(worker, deadline);
		shunt_probe_sleep(worker, true);
		int rc = engine->wait_slot->commit(worker->wait,
			deadline < until ? deadline : until);
		shunt_probe_sleep(worker, false);
		set_watch(worker, SHUNT_NEVER);
		shunt_timer_flush_fired(worker);
		shunt_thief_nap_end(worker, shunt_now_ns() - now);
		if (rc)
			fail_sleep(engine, rc);
	}
	/* Relaxed: who still sees it set makes one wake too many. */
	atomic_store_explicit(&worker->idle, SHUNT_AWAKE, memory_order_relaxed);
}

/* Of two woken at once for what one of them may run, the other goes back to sleep, and may be the
 * one that was woken in place of a worker that could run what is left. Context: after announce. */
static void leave_to_able(struct shunt_worker *worker)
{
	if (worker->env.others_may_take && worker->engine->policy->shared)
		shunt_wake_notify(worker);
}

/* Does another worker wake up for that deadline? */
static bool is_watched(const struct shunt_worker *worker, int64_t deadline_ns)
{
	const struct shunt_engine *engine = worker->engine;
	for (unsigned i = 0; i < engine->worker_count; i++)
		/* Relaxed: ordered by the caller's fence [worker:watch]. */
		if (engine->workers[i] != worker &&
			atomic_load_explicit(&engine->workers[i]->watch_ns, memory_order_relaxed) <=
				deadline_ns)
			return true;
	return false;
}

/* Until when a worker sleeps that has announced itself. One that watches the earliest deadline is
 * enough: it passes the watch on when it goes to work (pass_on, where there are three or more).
 * Were all to watch, each timer would wake all idle workers: of 64 at a load of 0.8 every arrival
 * woke 13, and each of them looked for work in all queues. */
static int64_t wake_at(const struct shunt_worker *worker, int64_t deadline_ns)
{
	bool many = worker->engine->worker_count > 2;
	return many && is_watched(worker, deadline_ns) ? SHUNT_NEVER : deadline_ns;
}

/* Announces, looks again and sleeps, or ends the run. True: there was work that others have, or
 * somebody woke this worker for some. */
static bool sleep_or_end(struct shunt_worker *worker)
{
	struct shunt_engine *engine = worker->engine;
	enum shunt_verdict verdict = SHUNT_VERDICT_GO_ON;
	int64_t live = 0;
	bool work = true;
	int rc = 0;
	shunt_deque_detach(&worker->env.attached);
	shunt_guest_leave(worker);
	announce(worker);
	int64_t deadline = shunt_timer_earliest(engine);
	if (anything_to_do(worker) || (deadline != SHUNT_NEVER && deadline <= shunt_now_ns()) ||
		(verdict = shunt_verdict_judge(worker, &live)) != SHUNT_VERDICT_GO_ON) {
		retract(worker);
	} else {
		int64_t before = shunt_now_ns();
		leave_to_able(worker);
		shunt_ticker_rest(engine);
		worker->sleeps++;
		int64_t until = wake_at(worker, deadline);
		set_watch(worker, until);
		shunt_probe_sleep(worker, true);
		rc = engine->wait_slot->commit(worker->wait, until);
		shunt_probe_sleep(worker, false);
		set_watch(worker, SHUNT_NEVER);
		shunt_timer_flush_fired(worker);
		work = !retract(worker);
		/* What it knew of others' work is out of date then. */
		if (shunt_now_ns() - before > 2 * engine->nap_most_ns)
			worker->backoff.nap_ns = 0;
	}
	if (verdict == SHUNT_VERDICT_DEADLOCK)
		shunt_verdict_fail_deadlock(engine, live);
	else if (verdict == SHUNT_VERDICT_FINISHED)
		shunt_halt_stop(engine);
	else if (rc)
		fail_sleep(engine, rc);
	return work;
}

/* Does this worker, as it goes to work, leave something that a sleeper could do and may not know
 * of? With two workers that is never a deadline: the other one runs, or it read all deadlines
 * before it slept, and those armed here since are reported to it (untold). Context: pass_on, after
 * its fence. */
static bool anything_left(const struct shunt_worker *worker)
{
	const struct shunt_engine *engine = worker->engine;
	if (worker->env.others_may_take && !inboxes_empty(worker))
		return true;
	if (engine->worker_count < 3 || !engine->timers_slot)
		return false;
	int64_t deadline = shunt_timer_earliest(engine);
	return deadline != SHUNT_NEVER && !is_watched(worker, deadline);
}

/*
 * This worker goes to run a task, for who knows how long, and may be the only one that knew of the
 * earliest deadline, or was told of what is in an inbox while it got up for something else. Of two
 * that leave at once at least one sees that the other watches no more; and who arms a timer or
 * fills an inbox meanwhile sees that this one is awake (note_untold, shunt_wake_poke), or this one
 * sees what that did.
 */
static void pass_on(struct shunt_worker *worker)
{
	if (worker->engine->worker_count == 1)
		return;
	/* Sequentially consistent: forbids that inboxes, deadlines, and what others watch, are read
	 * before this worker is seen awake and watching nothing; pairs with itself, with
	 * note_untold (timer.c) and with shunt_wake_poke. */
	shunt_full_fence();
	struct shunt_worker *other = shunt_wake_idle_other(worker);
	if (other && anything_left(worker))
		shunt_wake_poke(other, worker);
}

struct shunt_task *shunt_idle_next(struct shunt_worker *worker)
{
	struct shunt_task *task = NULL;
	bool work = false;
	shunt_probe_idle(worker, true);
	shunt_thief_judge(worker);
	while (!(task = look_for_work(worker))) {
		/* Acquire pairs with shunt_halt_stop [engine:stopping]. */
		if (atomic_load_explicit(&worker->engine->stopping, memory_order_acquire))
			break;
		if (work)
			shunt_thief_futile(worker);
		work = false;
		if (worker->backoff.nap_due)
			nap(worker);
		else
			work = spin(worker) || sleep_or_end(worker);
	}
	worker->awake_ns = worker->visit_ns;
	if (task && worker->visit_ns)
		shunt_visit_soon(worker);
	if (task && worker->untold)
		shunt_timer_tell_deadline(worker);
	else if (task)
		pass_on(worker);
	shunt_probe_idle(worker, false);
	return task;
}
