/* SPDX-License-Identifier: MIT */
/*
 * Stealing, and when to leave it.
 *
 * A stolen task costs both sides some 300 ns: its descriptor, its stack and its joiner cross from
 * one cache to the other, and back. Waking a worker for it costs the waker 5 us and takes 30. With
 * shorter tasks a second worker makes the program slower, with longer ones it doubles the speed.
 * So the thief measures: do the two make more switches in a time than the victim did alone, while
 * the thief slept? If not, it naps, twice as long each time, at most `nap`. It also naps when it
 * was woken for work and found none. Work of others does not end a nap. A program of tiny tasks
 * then loses almost nothing to a worker that comes by every millisecond. A program that begins to
 * have work for two has both workers in about that time.
 *
 *   window   from the first steal after a nap, WINDOW_NS at least, looked at whenever the thief has
 *            nothing left of its own. The first after a nap holds what it costs to be let in, by a
 *            fence put into the victim for its deque and one for its tasks; if it was short, it
 *            does not count.
 *   base     the victim's switches in a time, alone, during the last nap. When older than
 *            BASE_AGE_NS it is measured again in the shortest nap, or in longer ones if that
 *            measurement is doubtful.
 *
 * A trial costs both some 70 us if the stolen task is the root of a program of tiny tasks: all
 * descriptors and the deque move to the other cache. So once naps are the longest, the thief looks
 * before it tries, 1, 3 and then 7 times. It naps again if the victim's pace is what it was when
 * stealing did not pay, and its oldest task has changed since the last nap. A look costs the victim
 * only the cache lines that are read. A change of pace, or a task that has waited for a whole nap,
 * ends the looks at once. So only work like the last waits for a thief for more than one `nap`, and
 * for 8 at most.
 *
 * nap=0: a worker sleeps only when there is nothing to steal.
 */
#include "core/engine/thief.h"

#include "core/engine/probe.h"
#include "core/engine/wake.h"

#define NAP_FIRST_NS 20000
#define WINDOW_NS    50000
#define LET_IN_NS    200000
#define BASE_AGE_NS  2000000
#define PER_NS       1000000 /* switches are compared per millisecond */
#define GAIN_LEAST   5       /* a fifth more, or it did not pay */
#define LOOKS_MOST   7

#define SWITCHES_TELLING 16 /* fewer say nothing of a pace */
#define DOUBT_SHARE      8  /* of the longest nap is believed in any case */

static struct shunt_worker *rotate(struct shunt_worker *thief, unsigned start, unsigned attempt)
{
	struct shunt_engine *engine = thief->engine;
	if (attempt >= engine->worker_count)
		return NULL;
	return engine->workers[(start + attempt) % engine->worker_count];
}

/* Takes of a victim; the first task is for the thief to run, the others are queued. */
static struct shunt_task *rob(struct shunt_worker *thief, struct shunt_worker *victim)
{
	const struct shunt_policy *policy = thief->engine->policy;
	struct shunt_task *taken[SHUNT_STEAL_MOST];
	bool wary = thief->backoff.wary && victim == thief->backoff.prey;
	unsigned count = policy->steal(thief, victim, wary, taken);
	thief->steals_tried++;
	thief->tasks_stolen += count;
	for (unsigned i = 1; i < count; i++)
		policy->enqueue(thief, taken[i], SHUNT_WHY_MIGRATE | SHUNT_FROM_REMOTE);
	return count ? taken[0] : NULL;
}

/* One round of all others. */
static struct shunt_task *search(struct shunt_worker *thief, struct shunt_worker **from)
{
	const struct shunt_policy *policy = thief->engine->policy;
	unsigned start = policy->victim ? 0
					: (unsigned)shunt_rng_below(&thief->env.rng,
						  thief->engine->worker_count);
	for (unsigned attempt = 0;; attempt++) {
		struct shunt_worker *victim = policy->victim ? policy->victim(thief, attempt)
							     : rotate(thief, start, attempt);
		if (!victim)
			return NULL;
		if (victim == thief)
			continue;
		*from = victim;
		struct shunt_task *task = rob(thief, victim);
		if (task)
			return task;
		if (thief->engine->probing)
			shunt_probe_look(thief);
	}
}

static void open_window(struct shunt_worker *thief, struct shunt_worker *victim)
{
	struct shunt_backoff *backoff = &thief->backoff;
	if (backoff->prey != victim)
		backoff->base_ns = 0;
	backoff->prey = victim;
	backoff->prey_switches = shunt_worker_switches(victim);
	backoff->own_switches = thief->switches - thief->steals_won;
	backoff->since_ns = shunt_now_ns();
}

/* Half the workers, but two always may. */
static unsigned searchers_most(const struct shunt_engine *engine)
{
	return engine->worker_count > 4 ? engine->worker_count / 2 : 2;
}

struct shunt_task *shunt_thief_steal(struct shunt_worker *thief)
{
	struct shunt_engine *engine = thief->engine;
	struct shunt_worker *victim = NULL;
	if (!engine->policy->steals || engine->worker_count == 1)
		return NULL;
	/* Relaxed: a limit on wasted effort, not a promise [engine:searching]. */
	if (atomic_fetch_add_explicit(&engine->searching, 1, memory_order_relaxed) >=
		searchers_most(engine)) {
		atomic_fetch_sub_explicit(&engine->searching, 1, memory_order_relaxed);
		return NULL;
	}
	struct shunt_backoff *backoff = &thief->backoff;
	struct shunt_task *task = search(thief, &victim);
	/* Relaxed as above; but the last searcher that found work hands the search on. */
	bool last = atomic_fetch_sub_explicit(&engine->searching, 1, memory_order_relaxed) == 1;
	if (!task && backoff->wary)
		backoff->nap_due = true;
	backoff->wary = false;
	if (!task)
		return NULL;
	if (engine->nap_most_ns && !backoff->since_ns)
		open_window(thief, victim);
	thief->steals_won++;
	if (engine->probing)
		shunt_probe_steal(thief, victim, task);
	if (last)
		shunt_wake_notify(thief);
	return task;
}

void shunt_thief_futile(struct shunt_worker *thief)
{
	int64_t most = thief->engine->nap_most_ns, next = thief->backoff.nap_ns * 2;
	if (!most || !thief->engine->policy->steals)
		return;
	if (next < NAP_FIRST_NS)
		next = NAP_FIRST_NS;
	thief->backoff.nap_ns = next < most ? next : most;
	thief->backoff.nap_due = true;
	thief->backoff.since_ns = 0;
}

/* Stealing did not pay. */
static void did_not_pay(struct shunt_worker *thief)
{
	struct shunt_backoff *backoff = &thief->backoff;
	if (backoff->nap_ns == thief->engine->nap_most_ns) {
		backoff->looks = backoff->looks_next * 2 + 1;
		backoff->looks = backoff->looks < LOOKS_MOST ? backoff->looks : LOOKS_MOST;
		backoff->looks_next = backoff->looks;
		backoff->futile_base = backoff->base;
	}
	shunt_thief_futile(thief);
}

void shunt_thief_judge(struct shunt_worker *thief)
{
	struct shunt_backoff *backoff = &thief->backoff;
	if (!backoff->since_ns)
		return;
	int64_t now = shunt_now_ns(), window = now - backoff->since_ns;
	/* It has been found not to pay again and again: a shorter look will do. */
	if (window < (backoff->nap_ns > 8 * NAP_FIRST_NS ? WINDOW_NS / 4 : WINDOW_NS))
		return;
	if (!backoff->let_in && window < LET_IN_NS) {
		backoff->let_in = true;
		open_window(thief, backoff->prey);
		return;
	}
	/* A switch more for each steal, back to the worker's own stack. */
	uint64_t together = shunt_worker_switches(backoff->prey) - backoff->prey_switches +
			    thief->switches - thief->steals_won - backoff->own_switches;
	backoff->since_ns = 0;
	if (now - backoff->base_ns > BASE_AGE_NS)
		backoff->nap_due = true; /* to measure it */
	else if (together * PER_NS / (uint64_t)window < backoff->base + backoff->base / GAIN_LEAST)
		did_not_pay(thief);
	else
		backoff->nap_ns = backoff->looks_next = 0;
}

int64_t shunt_thief_nap_begin(struct shunt_worker *thief)
{
	struct shunt_backoff *backoff = &thief->backoff;
	backoff->nap_due = backoff->let_in = false;
	thief->naps++;
	if (backoff->prey)
		backoff->prey_switches = shunt_worker_switches(backoff->prey);
	if (backoff->doubt_ns)
		return backoff->doubt_ns;
	return backoff->nap_ns ? backoff->nap_ns : NAP_FIRST_NS;
}

/* A program of crumbs makes no switch for a while when it spawns many, or joins many that have
 * ended. What a short nap saw of it then is not its pace, and everything would pay in
 * comparison. */
static bool doubtful(const struct shunt_worker *thief, uint64_t switches, int64_t slept_ns)
{
	uint64_t expected = thief->backoff.base * (uint64_t)slept_ns / PER_NS;
	return slept_ns < thief->engine->nap_most_ns / DOUBT_SHARE &&
	       expected >= SWITCHES_TELLING && switches < expected / 4;
}

void shunt_thief_nap_end(struct shunt_worker *thief, int64_t slept_ns)
{
	struct shunt_backoff *backoff = &thief->backoff;
	if (!backoff->prey || slept_ns < NAP_FIRST_NS / 2)
		return;
	uint64_t switches = shunt_worker_switches(backoff->prey) - backoff->prey_switches;
	if (doubtful(thief, switches, slept_ns)) {
		int64_t most = thief->engine->nap_most_ns / DOUBT_SHARE;
		backoff->doubt_ns = slept_ns < most / 2 ? 2 * slept_ns : most;
		backoff->nap_due = true;
		return;
	}
	backoff->doubt_ns = 0;
	backoff->base = switches * PER_NS / (uint64_t)slept_ns;
	backoff->base_ns = shunt_now_ns();
	uint64_t least = backoff->futile_base / 4 * 3, most = backoff->futile_base / 4 * 5;
	backoff->wary = backoff->looks && backoff->base >= least && backoff->base <= most;
	backoff->looks = backoff->wary ? backoff->looks - 1 : 0;
}
