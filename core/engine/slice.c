/* SPDX-License-Identifier: MIT */
/*
 * Slices: how long the running task has run, for a quantum and for policies that charge run times.
 *
 * Every switch of a stamped composition reads the clock once: what one task's slice ends with, the
 * next one's begins with. The cost is that reading, from the processor's counter where it can be
 * had; a composition that is not stamped has none of this in its hooks. A quantum is judged against
 * the slice's first stamp at each checkpoint, so it is late by at most the time to the next
 * checkpoint.
 *
 * Rejected: a thread that ticks at the quantum. It costs its wake-ups whether or not anybody runs
 * for that long, some 20 us of processor time each on a virtual machine, and comes 50 us late and
 * more: it cannot tell quanta of 5 to 50 us apart.
 *
 * It does not interrupt: a task that makes no checkpoint keeps its worker. preempt.c and edge.c do.
 */
#include "core/engine/slice.h"

#include "core/engine/service.h"
#include "core/measure/hist.h"

static inline void stamp(struct shunt_worker *worker)
{
	int64_t now = (int64_t)shunt_clock_ns(&worker->engine->clock);
	worker->env.ran_ns = now - worker->stamp_ns;
	worker->stamp_ns = now;
	worker->env.now_ns = now;
}

static void charge(struct shunt_worker *worker)
{
	const struct shunt_policy *policy = worker->engine->policy;
	stamp(worker);
	if (policy->stopping)
		policy->stopping(worker, worker->ctx.current);
}

void shunt_slice_end(struct shunt_worker *worker)
{
	if (SHUNT_UNLIKELY(shunt_preempt_sections(&worker->ctx)))
		shunt_panic("a task gives way, waits or ends between shunt_preempt_off and "
			    "shunt_preempt_on: leave the section first");
	charge(worker);
}

/* The shorter one of the policy's and the setting's; 0 is none. */
static int64_t quantum_of(struct shunt_worker *worker, const struct shunt_task *task)
{
	const struct shunt_engine *engine = worker->engine;
	int64_t set_ns = engine->quantum_ns;
	if (!engine->policy->quantum || engine->preempt == SHUNT_PREEMPT_NONE)
		return set_ns;
	int64_t own_ns = engine->policy->quantum(worker, task);
	return !own_ns || (set_ns && set_ns < own_ns) ? set_ns : own_ns;
}

void shunt_slice_begin(struct shunt_worker *worker, struct shunt_task *next)
{
	/* Relaxed: two numbers, of which the preempter only guesses when to look [worker:slice]. */
	__atomic_store_n(&worker->slice_ns, worker->stamp_ns, __ATOMIC_RELAXED);
	__atomic_store_n(&worker->quantum_ns, quantum_of(worker, next), __ATOMIC_RELAXED);
}

void shunt_slice_start(struct shunt_worker *worker, struct shunt_task *next)
{
	stamp(worker);
	shunt_slice_begin(worker, next);
}

/* ---- checkpoints ----------------------------------------------------------------------------- */

static bool asked_to_look(struct shunt_worker *worker)
{
	/* Relaxed: a hint; the slow path that follows looks for itself [worker:limit]. */
	return worker->switches >= atomic_load_explicit(&worker->limit, memory_order_relaxed);
}

static bool more_urgent(struct shunt_worker *worker)
{
	const struct shunt_policy *policy = worker->engine->policy;
	if (worker->engine->preempt != SHUNT_PREEMPT_CHECKPOINT)
		return false;
	bool preempts = policy->preempts && policy->preempts(worker, worker->ctx.current);
	worker->preemptions += preempts;
	return preempts;
}

static SHUNT_SLOW bool look(struct shunt_worker *worker)
{
	shunt_service(worker);
	return more_urgent(worker);
}

bool shunt_slice_checkpoint(struct shunt_ctx *ctx)
{
	struct shunt_worker *worker = shunt_worker_of(ctx);
	return SHUNT_UNLIKELY(asked_to_look(worker)) && look(worker);
}

/* The quantum is used up: is anybody else there? What came from outside counts, and timers. */
static bool others_ready(struct shunt_worker *worker, int64_t now_ns)
{
	if (worker->held.head)
		return true;
	/* Relaxed: our own queue; one that another worker fires for us comes to us all the same. */
	int64_t deadline = atomic_load_explicit(&worker->next_deadline_ns, memory_order_relaxed);
	if (deadline <= now_ns || asked_to_look(worker))
		shunt_service(worker);
	return worker->engine->policy->has_ready(worker);
}

bool shunt_slice_is_over(struct shunt_worker *worker)
{
	if (!worker->quantum_ns)
		return false;
	int64_t now = (int64_t)shunt_clock_ns(&worker->engine->clock);
	worker->over_ns = now - worker->slice_ns;
	return worker->over_ns >= worker->quantum_ns && others_ready(worker, now);
}

void shunt_slice_cut(struct shunt_worker *worker)
{
	struct shunt_engine *engine = worker->engine;
	if (!engine->quanta)
		return;
	shunt_spin_lock(&engine->quanta_lock, worker->ctx.many);
	shunt_hist_record(engine->quanta, worker->over_ns);
	shunt_spin_unlock(&engine->quanta_lock, worker->ctx.many);
}

/* Where a preempter is: only what it could not do is made up for, outside sections. */
static bool made_up_for(struct shunt_worker *worker)
{
	/* Relaxed: between this thread and a handler on it [preempt:word]. */
	if (__atomic_load_n(&worker->ctx.preempt, __ATOMIC_RELAXED) != 0)
		return false;
	__atomic_fetch_or(&worker->ctx.preempt, SHUNT_PREEMPT_UNMARKED, __ATOMIC_RELAXED);
	if (!shunt_slice_is_over(worker))
		return false;
	worker->preempt.late++;
	shunt_slice_cut(worker);
	return true;
}

bool shunt_slice_checkpoint_stamped(struct shunt_ctx *ctx)
{
	struct shunt_worker *worker = shunt_worker_of(ctx);
	if (SHUNT_UNLIKELY(asked_to_look(worker))) {
		charge(worker);
		if (look(worker))
			return true;
	}
	if (shunt_engine_ticks(worker->engine))
		return made_up_for(worker);
	if (!shunt_slice_is_over(worker))
		return false;
	worker->quanta++;
	shunt_slice_cut(worker);
	return true;
}
