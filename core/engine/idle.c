/* SPDX-License-Identifier: MIT */
/*
 * Idleness: how a worker without work goes to sleep without losing a wake-up, and how the run ends.
 *
 * Proof sketch. Work for a worker W appears in one of these places: (1) W's inbox, or one of a worker
 * whose tasks W may run, (2) a timer queue, (3) a queue that W may steal from or shares.
 *   1. Whoever puts work there does: publish it; fence; read idleness (W.idle for the inbox,
 *      idle_count for stealable work); if somebody is idle, wake it. Stealable work is put there at
 *      every turn, so its fence is the frequent side of barrier.h: nothing, as a rule.
 *   2. A worker that goes to sleep does: wait.prepare; announce (idle, idle_count); fence, the rare
 *      side of barrier.h; look at every one of those places; and only if all are empty, wait.commit.
 *   3. Of two sides that each write, fence, then read the other's, at least one sees the other's
 *      write. So either the sleeper finds the work, or the publisher finds the sleeper.
 *   4. Found before the sleep: that is after prepare, and wait.wake makes the coming commit return at
 *      once. Were it announced before, a wake in between could be lost; the work that it was for may be
 *      gone by the recheck, and the worker would sleep though it is on the list no more.
 *   5. Timers: W sleeps until the earliest deadline of all workers, read after its announcement. A
 *      worker that arms an earlier one afterwards finds W idle (timer.c); it is itself running, and
 *      if it goes on with another task it wakes W to look again, else it will sleep until then.
 *      So one sleeper at least knows of the earliest, if there are any. When it goes to run a task it
 *      wakes another one to look, unless that one's `watch_ns` says that it knows (pass_on).
 *      Likewise for what is then in an inbox: whoever put it there may have told this worker, which was
 *      about to get up for something else.
 *   6. A publisher wakes nobody while a thief searches: the thief finds the work, or finds other work
 *      and, being the last to search, looks for sleepers itself (thief.c), or goes to sleep by 2. Or it
 *      has found none and naps: then it has looked once more after it had stopped searching, and woken
 *      a sleeper for what it leaves to itself.
 * A nap (thief.c) is no such sleep: a worker that naps is not idle, it comes back. When all others
 * sleep and nothing is to come, its nap is ended, so that it sleeps too and the end can be judged.
 * But for the end of a nap no timeout stands in for a step of this. Removing a fence or a recheck is
 * what the mutants of the tests do.
 *
 * The end. The last worker to announce itself, under idle_lock, finds either that no task is left:
 * the run is over; or that tasks are left, but no timer, no wait operation, nothing injected and no
 * hold: nothing can ever wake them, a deadlock; or something that will come.
 */
#include "core/descriptors.h"
#include "core/engine/deque.h"
#include "core/engine/hooks.h"

#include <sched.h>
#include <string.h>

/* How long a worker whose wait slot spins looks for work before it announces that it waits. */
#define SPIN_FIRST_NS 1000000

static bool inbox_empty(const struct shunt_worker *worker)
{
	/* Relaxed: ordered by the fence in announce. */
	return !atomic_load_explicit(&worker->inbox, memory_order_relaxed);
}

/* Those inboxes that this worker may empty: its own, and those of others whose tasks it may run. */
static bool inboxes_empty(const struct shunt_worker *worker)
{
	const struct shunt_engine *engine = worker->engine;
	for (unsigned i = 0; worker->others_may_take && i < engine->worker_count; i++)
		if (!inbox_empty(engine->workers[i]))
			return false;
	return inbox_empty(worker);
}

struct shunt_worker *shunt_worker_idle_other(const struct shunt_worker *worker)
{
	const struct shunt_engine *engine = worker->engine;
	for (unsigned i = 0; i < engine->worker_count; i++)
		/* Relaxed: ordered by the caller's fence [worker:idle]. */
		if (engine->workers[i] != worker &&
			atomic_load_explicit(&engine->workers[i]->idle, memory_order_relaxed))
			return engine->workers[i];
	return NULL;
}

static int64_t deadline_of(const struct shunt_worker *worker)
{
	/* Acquire pairs with publish_deadline [worker:deadline]. */
	return atomic_load_explicit(&worker->next_deadline_ns, memory_order_acquire);
}

/* Of a worker that sleeps or naps: until when, as far as it knows of deadlines; else SHUNT_NEVER. */
static void set_watch(struct shunt_worker *worker, int64_t deadline_ns)
{
	/* Relaxed: ordered by the fence in pass_on [worker:watch]. */
	atomic_store_explicit(&worker->watch_ns, deadline_ns, memory_order_relaxed);
}

static int64_t earliest_deadline(const struct shunt_engine *engine)
{
	int64_t earliest = SHUNT_NEVER;
	for (unsigned i = 0; i < engine->worker_count; i++) {
		int64_t deadline = deadline_of(engine->workers[i]);
		earliest = deadline < earliest ? deadline : earliest;
	}
	return earliest;
}

static size_t waits_in_flight(const struct shunt_engine *engine)
{
	size_t sum = 0;
	if (engine->wait_slot->in_flight)
		for (unsigned i = 0; i < engine->worker_count; i++)
			if (engine->workers[i]->wait)
				sum += engine->wait_slot->in_flight(engine->workers[i]->wait);
	return sum;
}

/* ---- looking for work -------------------------------------------------------------------------- */

static void serve_others(struct shunt_worker *worker)
{
	struct shunt_engine *engine = worker->engine;
	for (unsigned i = 0; worker->others_may_take && i < engine->worker_count; i++)
		shunt_inbox_drain(worker, engine->workers[i]);
	if (engine->worker_count == 1 || !engine->timers_slot)
		return;
	if (earliest_deadline(engine) == SHUNT_NEVER)
		return;
	int64_t now = shunt_now_ns();
	for (unsigned i = 0; i < engine->worker_count; i++) {
		struct shunt_worker *other = engine->workers[i];
		if (other != worker && deadline_of(other) <= now) {
			uint64_t before = worker->timers_fired;
			shunt_worker_expire(worker, other, now);
			worker->expired_for_others += worker->timers_fired - before;
		}
	}
}

static struct shunt_task *look_for_work(struct shunt_worker *worker)
{
	const struct shunt_policy *policy = worker->engine->policy;
	shunt_worker_service(worker);
	struct shunt_task *task = policy->pick(worker, NULL, SHUNT_WHY_BLOCK);
	if (task)
		return task;
	serve_others(worker);
	task = policy->pick(worker, NULL, SHUNT_WHY_BLOCK);
	return task || worker->thrift.nap_due ? task : shunt_thief_steal(worker);
}

/* ---- announcing and rechecking ----------------------------------------------------------------- */

static void announce(struct shunt_worker *worker)
{
	struct shunt_engine *engine = worker->engine;
	engine->wait_slot->prepare(worker->wait);
	pthread_mutex_lock(&engine->idle_lock);
	worker->idle_next = engine->idle_list;
	engine->idle_list = worker;
	engine->idle_workers++;
	/* Relaxed: ordered before the rechecks by the fence below. */
	atomic_store_explicit(&engine->idle_count, engine->idle_workers, memory_order_relaxed);
	/* Release pairs with the acquire in shunt_worker_poke [worker:idle]: who wakes finds the wait slot
	 * as this worker made it, also a thread outside, which passed no gate. */
	atomic_store_explicit(&worker->idle, SHUNT_SLEEPS, memory_order_release);
	pthread_mutex_unlock(&engine->idle_lock);
	/* Forbids that a recheck is made before the announcement is seen; pairs with the fences in
	 * shunt_worker_poke and note_untold (timer.c), and with shunt_hook_offer, whose side passes often. */
	shunt_barrier_rare(engine->fenced || !worker->others_may_take);
}

/* Takes a worker off the idle list if it is still there. Context: idle_lock held. */
static bool unlist(struct shunt_engine *engine, struct shunt_worker *worker)
{
	for (struct shunt_worker **at = &engine->idle_list; *at; at = &(*at)->idle_next) {
		if (*at != worker)
			continue;
		*at = worker->idle_next;
		engine->idle_workers--;
		/* Relaxed: a smaller count only makes others wake fewer. */
		atomic_store_explicit(&engine->idle_count, engine->idle_workers,
			memory_order_relaxed);
		return true;
	}
	return false;
}

/* False: somebody has taken it off the list, to wake it. */
static bool retract(struct shunt_worker *worker)
{
	struct shunt_engine *engine = worker->engine;
	pthread_mutex_lock(&engine->idle_lock);
	bool listed = unlist(engine, worker);
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
	if (!inboxes_empty(worker) || engine->policy->has_ready(worker) ||
		anything_to_steal(engine))
		return true;
	/* Acquire pairs with shunt_engine_stop [engine:stopping]. */
	return atomic_load_explicit(&engine->stopping, memory_order_acquire);
}

/* ---- the end ----------------------------------------------------------------------------------- */

static int64_t live_tasks(const struct shunt_engine *engine)
{
	/* Acquire pairs with the release in shunt_engine_spawn [engine:external]. */
	int64_t live = atomic_load_explicit(&engine->external_spawns, memory_order_acquire);
	for (unsigned i = 0; i < engine->worker_count; i++)
		live += (int64_t)(engine->workers[i]->spawned - engine->workers[i]->ended);
	return live;
}

static void name_stuck(void *arg, const struct shunt_task *task)
{
	shunt_stuck_add(arg, task);
}

static void fail_deadlock(struct shunt_engine *engine, int64_t live)
{
	struct shunt_stuck stuck = {.used = 0};
	struct shunt_error err;
	shunt_tasks_each(engine, name_stuck, &stuck);
	shunt_engine_fail(engine, shunt_stuck_fail(&stuck, (uint64_t)live, &err), "%s", err.text);
}

/* Is no timer armed? A cancelled one keeps its deadline published until somebody looks, and must
 * not put off the end of a run. */
static bool no_timer(const struct shunt_engine *engine)
{
	for (unsigned i = 0; i < engine->worker_count; i++)
		if (deadline_of(engine->workers[i]) != SHUNT_NEVER)
			shunt_worker_forget_cancelled(engine->workers[i]);
	return earliest_deadline(engine) == SHUNT_NEVER;
}

enum verdict { GO_ON, FINISHED, DEADLOCK };

/* Does every worker sleep or nap, with nothing to come? Context: idle_lock held, a full fence after the
 * caller said that it is idle. */
static bool all_quiet(struct shunt_engine *engine)
{
	for (unsigned i = 0; i < engine->worker_count; i++)
		/* Relaxed: ordered by the fence [worker:idle]. */
		if (!atomic_load_explicit(&engine->workers[i]->idle, memory_order_relaxed))
			return false;
	bool quiet = no_timer(engine) && waits_in_flight(engine) == 0 && engine->holds == 0;
	for (unsigned i = 0; quiet && i < engine->worker_count; i++)
		quiet = inbox_empty(engine->workers[i]) &&
			!engine->policy->has_ready(engine->workers[i]);
	return quiet;
}

/* A worker that naps is not idle, and no verdict can be made without it. */
static void end_naps(struct shunt_worker *from)
{
	struct shunt_engine *engine = from->engine;
	for (unsigned i = 0; i < engine->worker_count; i++)
		/* Relaxed: who has just woken gets a wake too many [worker:idle]. */
		if (atomic_load_explicit(&engine->workers[i]->idle, memory_order_relaxed) ==
			SHUNT_NAPS)
			shunt_worker_poke(engine->workers[i], from);
}

/* Tasks are left, and all was quiet. One of them may have been counted outside and be on its way into an
 * inbox: once nobody is on the way it is there. False: something has come. Context: idle_lock held, which
 * none of those outside wants. */
static bool quiet_outside(struct shunt_engine *engine)
{
	while (shunt_engine_outside(engine)) {
		if (!all_quiet(engine))
			return false;
		sched_yield();
	}
	return all_quiet(engine);
}

/* Made by a worker that has announced itself and found nothing to do. */
static enum verdict judge(struct shunt_worker *worker, int64_t *live)
{
	struct shunt_engine *engine = worker->engine;
	enum verdict verdict = GO_ON;
	pthread_mutex_lock(&engine->idle_lock);
	if (all_quiet(engine)) {
		if (engine->idle_workers == engine->worker_count) {
			*live = live_tasks(engine);
			if (*live <= 0)
				verdict = FINISHED;
			else if (quiet_outside(engine))
				verdict = DEADLOCK;
		} else {
			end_naps(worker);
		}
	}
	pthread_mutex_unlock(&engine->idle_lock);
	return verdict;
}

void shunt_engine_stop(struct shunt_engine *engine)
{
	/* Release pairs with the acquire of every worker's look [engine:stopping]. */
	atomic_store_explicit(&engine->stopping, 1, memory_order_release);
	for (unsigned i = 0; i < engine->worker_count; i++)
		shunt_worker_poke(engine->workers[i], NULL);
}

/* ---- waking and sleeping ------------------------------------------------------------------------ */

void shunt_engine_notify(struct shunt_worker *from)
{
	struct shunt_engine *engine = from->engine;
	/* Sequentially consistent: forbids that a thief's count of searchers goes down after it has
	 * looked for sleepers; pairs with the fence in announce. */
	shunt_full_fence();
	/* Relaxed: ordered by the fence. A searcher will find the work or hand the search on. */
	if (!atomic_load_explicit(&engine->idle_count, memory_order_relaxed) ||
		atomic_load_explicit(&engine->searching, memory_order_relaxed))
		return;
	pthread_mutex_lock(&engine->idle_lock);
	struct shunt_worker *sleeper = engine->idle_list;
	if (sleeper)
		unlist(engine, sleeper);
	pthread_mutex_unlock(&engine->idle_lock);
	if (sleeper) {
		int before = *from->errno_at; /* the running task's */
		engine->wait_slot->wake(sleeper->wait, from->wait);
		*from->errno_at = before;
	}
}

static void fail_sleep(struct shunt_engine *engine, int rc)
{
	shunt_engine_fail(engine, rc, "the kernel refused to let a worker sleep: %s",
		strerror(-rc));
}

/* While another worker runs it is worth a look for a while: it may make work any moment, and to sleep
 * and be woken takes longer than most such pauses. */
static int64_t spin_budget(const struct shunt_worker *worker)
{
	const struct shunt_engine *engine = worker->engine;
	/* A wait that spins is no rest, and to announce it costs a fence in every other worker. */
	if (engine->wait_slot->spins && worker->others_may_take)
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
		if (anything_to_do(worker) || earliest_deadline(worker->engine) <= shunt_now_ns())
			return true;
	}
	return false;
}

/* Is there nobody whose work is worth waiting for? Context: nap, after its fence. */
static bool nap_is_pointless(struct shunt_engine *engine)
{
	pthread_mutex_lock(&engine->idle_lock);
	bool quiet = all_quiet(engine);
	pthread_mutex_unlock(&engine->idle_lock);
	return quiet;
}

/* Of who made work while this worker searched nobody was woken for it. Context: nap, after its fence. */
static void leave_to_others(struct shunt_worker *worker)
{
	/* Relaxed: ordered by the fence, which pairs with the one in shunt_engine_notify [engine:idle]. */
	if (atomic_load_explicit(&worker->engine->idle_count, memory_order_relaxed) &&
		anything_to_steal(worker->engine))
		shunt_engine_notify(worker);
}

/*
 * Sleeps though others may have work: to steal has not paid lately (thief.c). No announcement, because
 * nobody is to wake it for work that others have, of which it tells a sleeper first; what is this worker's alone ends a nap as it ends a
 * sleep. Of the last to go idle and one that goes to nap at that time at least one sees the other, and
 * the nap ends or is none.
 */
static void nap(struct shunt_worker *worker)
{
	struct shunt_engine *engine = worker->engine;
	int64_t now = shunt_now_ns(), until = now + shunt_thief_nap_begin(worker);
	shunt_deque_detach(&worker->thrift.attached);
	shunt_guest_leave(worker);
	/* Release: as in announce; ordered before the looks by the fence below [worker:idle]. */
	atomic_store_explicit(&worker->idle, SHUNT_NAPS, memory_order_release);
	engine->wait_slot->prepare(worker->wait);
	/* Sequentially consistent: forbids that the inbox, and who else is idle, is looked at before idle
	 * is seen; pairs with the fences in shunt_worker_poke, in announce, and in note_untold (timer.c). */
	shunt_full_fence();
	int64_t deadline = earliest_deadline(engine);
	/* Acquire pairs with shunt_engine_stop [engine:stopping]. */
	if (!inboxes_empty(worker) || deadline <= now ||
		atomic_load_explicit(&engine->stopping, memory_order_acquire) ||
		nap_is_pointless(engine)) {
		engine->wait_slot->abort(worker->wait);
	} else {
		leave_to_others(worker);
		set_watch(worker, deadline);
		shunt_probe_sleep(worker, true);
		int rc = engine->wait_slot->commit(worker->wait,
			deadline < until ? deadline : until);
		shunt_probe_sleep(worker, false);
		set_watch(worker, SHUNT_NEVER);
		shunt_worker_flush_fired(worker);
		shunt_thief_nap_end(worker, shunt_now_ns() - now);
		if (rc)
			fail_sleep(engine, rc);
	}
	/* Relaxed: who still sees it set makes one wake too many. */
	atomic_store_explicit(&worker->idle, SHUNT_AWAKE, memory_order_relaxed);
}

/* Announces, looks again and sleeps, or ends the run. True: there was work that others have, or
 * somebody woke this worker for some. */
static bool sleep_or_end(struct shunt_worker *worker)
{
	struct shunt_engine *engine = worker->engine;
	enum verdict verdict = GO_ON;
	int64_t live = 0;
	bool work = true;
	int rc = 0;
	shunt_deque_detach(&worker->thrift.attached);
	shunt_guest_leave(worker);
	announce(worker);
	int64_t deadline = earliest_deadline(engine);
	if (anything_to_do(worker) || (deadline != SHUNT_NEVER && deadline <= shunt_now_ns()) ||
		(verdict = judge(worker, &live)) != GO_ON) {
		engine->wait_slot->abort(worker->wait);
		retract(worker);
	} else {
		int64_t before = shunt_now_ns();
		worker->sleeps++;
		set_watch(worker, deadline);
		shunt_probe_sleep(worker, true);
		rc = engine->wait_slot->commit(worker->wait, deadline);
		shunt_probe_sleep(worker, false);
		set_watch(worker, SHUNT_NEVER);
		shunt_worker_flush_fired(worker);
		work = !retract(worker);
		if (shunt_now_ns() - before > 2 * engine->nap_most_ns)
			worker->thrift.nap_ns = 0; /* what it knew of others' work is out of date */
	}
	if (verdict == DEADLOCK)
		fail_deadlock(engine, live);
	else if (verdict == FINISHED)
		shunt_engine_stop(engine);
	else if (rc)
		fail_sleep(engine, rc);
	return work;
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

/* Is something left, as this worker goes to work, that a sleeper could see to and may not know of? With two
 * workers that is no deadline: the other one runs, or it read all of them before it slept, and of those
 * armed here since it is told (untold). Context: pass_on, after its fence. */
static bool anything_left(const struct shunt_worker *worker)
{
	const struct shunt_engine *engine = worker->engine;
	if (worker->others_may_take && !inboxes_empty(worker))
		return true;
	if (engine->worker_count < 3 || !engine->timers_slot)
		return false;
	int64_t deadline = earliest_deadline(engine);
	return deadline != SHUNT_NEVER && !is_watched(worker, deadline);
}

/*
 * This worker goes to run a task, for who knows how long, and may be the only one that knew of the earliest
 * deadline, or was told of what is in an inbox while it got up for something else. Of two that leave at
 * once at least one sees that the other watches no more; and who arms a timer or fills an inbox meanwhile
 * sees that this one is awake (note_untold, shunt_worker_poke), or this one sees what that did.
 */
static void pass_on(struct shunt_worker *worker)
{
	if (worker->engine->worker_count == 1)
		return;
	/* Sequentially consistent: forbids that inboxes, deadlines, and what others watch, are read before
	 * this worker is seen awake and watching nothing; pairs with itself, with note_untold (timer.c) and
	 * with shunt_worker_poke. */
	shunt_full_fence();
	struct shunt_worker *other = shunt_worker_idle_other(worker);
	if (other && anything_left(worker))
		shunt_worker_poke(other, worker);
}

struct shunt_task *shunt_worker_idle(struct shunt_worker *worker)
{
	struct shunt_task *task = NULL;
	bool work = false;
	shunt_probe_idle(worker, true);
	shunt_thief_judge(worker);
	while (!(task = look_for_work(worker))) {
		/* Acquire pairs with shunt_engine_stop [engine:stopping]. */
		if (atomic_load_explicit(&worker->engine->stopping, memory_order_acquire))
			break;
		if (work)
			shunt_thief_futile(worker);
		work = false;
		if (worker->thrift.nap_due)
			nap(worker);
		else
			work = spin(worker) || sleep_or_end(worker);
	}
	if (task && worker->untold)
		shunt_worker_tell_deadline(worker);
	else if (task)
		pass_on(worker);
	shunt_probe_idle(worker, false);
	return task;
}
