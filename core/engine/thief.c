/* SPDX-License-Identifier: MIT */
/*
 * Stealing, and when to leave it.
 *
 * A stolen task costs both sides some 300 ns: its descriptor, its stack and its joiner cross from
 * one cache to the other, and back. To wake a worker for it costs the waker 5 us and takes 30.
 * Where tasks are shorter than that a second worker makes all slower; where they are longer it
 * doubles the speed. Nobody says beforehand which it is, so the thief measures it: do the two get
 * through more switches in a time than its victim did alone, while the thief slept? Where they do
 * not, it naps, and twice as long each time, at most `nap`; likewise when it was woken for work and
 * found none. Nobody wakes it from a nap for work that others have. So a program of crumbs loses
 * next to nothing to a worker that comes by every millisecond, and one that begins to have work for
 * two has both in about that time.
 *
 *   window   from the first steal after a nap, WINDOW_NS at least, looked at whenever the thief has
 *            nothing left of its own
 *   base     the victim's switches in a time, alone: of the last nap. Older than BASE_AGE_NS it is
 *            measured again, in the shortest of naps, or longer ones if what that saw is doubtful.
 *
 * Each such trial costs both some 70 us where the root of a program of crumbs is what is stolen:
 * all its descriptors and its deque move to the other cache. So when naps have become the longest
 * the thief looks before it tries, 1, 3 and at last 7 times: where the victim's pace is what it was
 * when stealing did not pay, and even its oldest task is another than a nap ago, it naps again. A
 * look costs the victim nothing but the cache lines that are read. A change of pace, or a task that
 * has waited for a whole nap, ends that at once; so what is nobody's for more than one `nap` longer
 * is work like the last, for 8 at most.
 *
 * nap=0: a worker sleeps only when there is nothing to steal.
 */
#include "core/engine/thief.h"

#include "core/engine/probe.h"
#include "core/engine/wake.h"

#define NAP_FIRST_NS 20000
#define WINDOW_NS    50000
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
	bool wary = thief->thrift.wary && victim == thief->thrift.prey;
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
	}
}

static void open_window(struct shunt_worker *thief, struct shunt_worker *victim)
{
	struct shunt_thrift *thrift = &thief->thrift;
	if (thrift->prey != victim)
		thrift->base_ns = 0;
	thrift->prey = victim;
	thrift->prey_switches = shunt_worker_switches(victim);
	thrift->own_switches = thief->switches - thief->steals_won;
	thrift->since_ns = shunt_now_ns();
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
	struct shunt_thrift *thrift = &thief->thrift;
	struct shunt_task *task = search(thief, &victim);
	/* Relaxed as above; but the last searcher that found work hands the search on. */
	bool last = atomic_fetch_sub_explicit(&engine->searching, 1, memory_order_relaxed) == 1;
	if (!task && thrift->wary)
		thrift->nap_due = true;
	thrift->wary = false;
	if (!task)
		return NULL;
	if (engine->nap_most_ns && !thrift->since_ns)
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
	int64_t most = thief->engine->nap_most_ns, next = thief->thrift.nap_ns * 2;
	if (!most || !thief->engine->policy->steals)
		return;
	if (next < NAP_FIRST_NS)
		next = NAP_FIRST_NS;
	thief->thrift.nap_ns = next < most ? next : most;
	thief->thrift.nap_due = true;
	thief->thrift.since_ns = 0;
}

/* Stealing did not pay. */
static void did_not_pay(struct shunt_worker *thief)
{
	struct shunt_thrift *thrift = &thief->thrift;
	if (thrift->nap_ns == thief->engine->nap_most_ns) {
		thrift->looks = thrift->looks_next * 2 + 1;
		thrift->looks = thrift->looks < LOOKS_MOST ? thrift->looks : LOOKS_MOST;
		thrift->looks_next = thrift->looks;
		thrift->futile_base = thrift->base;
	}
	shunt_thief_futile(thief);
}

void shunt_thief_judge(struct shunt_worker *thief)
{
	struct shunt_thrift *thrift = &thief->thrift;
	if (!thrift->since_ns)
		return;
	int64_t now = shunt_now_ns(), window = now - thrift->since_ns;
	/* It has been found not to pay again and again: a shorter look will do. */
	if (window < (thrift->nap_ns > 8 * NAP_FIRST_NS ? WINDOW_NS / 4 : WINDOW_NS))
		return;
	/* A switch more for each steal, back to the worker's own stack. */
	uint64_t together = shunt_worker_switches(thrift->prey) - thrift->prey_switches +
			    thief->switches - thief->steals_won - thrift->own_switches;
	thrift->since_ns = 0;
	if (now - thrift->base_ns > BASE_AGE_NS)
		thrift->nap_due = true; /* to measure it */
	else if (together * PER_NS / (uint64_t)window < thrift->base + thrift->base / GAIN_LEAST)
		did_not_pay(thief);
	else
		thrift->nap_ns = thrift->looks_next = 0;
}

int64_t shunt_thief_nap_begin(struct shunt_worker *thief)
{
	struct shunt_thrift *thrift = &thief->thrift;
	thrift->nap_due = false;
	thief->naps++;
	if (thrift->prey)
		thrift->prey_switches = shunt_worker_switches(thrift->prey);
	if (thrift->doubt_ns)
		return thrift->doubt_ns;
	return thrift->nap_ns ? thrift->nap_ns : NAP_FIRST_NS;
}

/* A program of crumbs makes no switch for a while when it spawns many, or joins many that have
 * ended. What a short nap saw of it then is not its pace, and everything would pay in
 * comparison. */
static bool doubtful(const struct shunt_worker *thief, uint64_t switches, int64_t slept_ns)
{
	uint64_t expected = thief->thrift.base * (uint64_t)slept_ns / PER_NS;
	return slept_ns < thief->engine->nap_most_ns / DOUBT_SHARE &&
	       expected >= SWITCHES_TELLING && switches < expected / 4;
}

void shunt_thief_nap_end(struct shunt_worker *thief, int64_t slept_ns)
{
	struct shunt_thrift *thrift = &thief->thrift;
	if (!thrift->prey || slept_ns < NAP_FIRST_NS / 2)
		return;
	uint64_t switches = shunt_worker_switches(thrift->prey) - thrift->prey_switches;
	if (doubtful(thief, switches, slept_ns)) {
		int64_t most = thief->engine->nap_most_ns / DOUBT_SHARE;
		thrift->doubt_ns = slept_ns < most / 2 ? 2 * slept_ns : most;
		thrift->nap_due = true;
		return;
	}
	thrift->doubt_ns = 0;
	thrift->base = switches * PER_NS / (uint64_t)slept_ns;
	thrift->base_ns = shunt_now_ns();
	uint64_t least = thrift->futile_base / 4 * 3, most = thrift->futile_base / 4 * 5;
	thrift->wary = thrift->looks && thrift->base >= least && thrift->base <= most;
	thrift->looks = thrift->wary ? thrift->looks - 1 : 0;
}
