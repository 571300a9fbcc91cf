/* SPDX-License-Identifier: MIT */
/* A worker's timers: timer.c. */
#ifndef SHUNT_CORE_ENGINE_TIMER_H
#define SHUNT_CORE_ENGINE_TIMER_H

#include "core/engine/worker.h"

/* Arms the running task's prepared wait. 0 or -ENOMEM. Context: the worker. */
int shunt_timer_arm(struct shunt_worker *worker, struct shunt_task *task, int64_t deadline_ns);

/* The task, claimed by its timer, is about to be made ready. */
void shunt_timer_timed_out(struct shunt_worker *worker, struct shunt_task *task);

/* Fires what is due in `owner`'s queue, a few dozen at most: the deadline of the rest stays
 * published. Woken tasks are made ready on `worker`. */
void shunt_timer_expire(struct shunt_worker *worker, struct shunt_worker *owner, int64_t now_ns);

/* Has an idle worker look at the deadlines again: this one goes on with a task and has armed the
 * earliest timer meanwhile. Context: the worker. */
void shunt_timer_tell_deadline(struct shunt_worker *worker);

/* Publishes the deadline of `owner`'s earliest timer that is not cancelled. Any worker. */
void shunt_timer_forget_cancelled(struct shunt_worker *owner);

/* What a queue or a wait slot calls for a due entry; arg is the worker that fires. */
shunt_fired_fn shunt_timer_fired;

/* Makes the fired tasks ready. Context: no timers_lock held. */
void shunt_timer_flush_fired(struct shunt_worker *worker);

static inline int64_t shunt_timer_deadline_of(const struct shunt_worker *worker)
{
	/* Acquire pairs with publish_deadline [worker:deadline]. */
	return atomic_load_explicit(&worker->next_deadline_ns, memory_order_acquire);
}

static inline int64_t shunt_timer_earliest(const struct shunt_engine *engine)
{
	int64_t earliest = SHUNT_NEVER;
	for (unsigned i = 0; i < engine->worker_count; i++) {
		int64_t deadline = shunt_timer_deadline_of(engine->workers[i]);
		earliest = deadline < earliest ? deadline : earliest;
	}
	return earliest;
}

#endif
