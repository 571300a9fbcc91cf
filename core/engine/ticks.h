/* SPDX-License-Identifier: MIT */
/* The signals that preempt (preempt.c), or flags (edge.c): who sends them, and when: ticks.c. */
#ifndef SHUNT_CORE_ENGINE_TICKS_H
#define SHUNT_CORE_ENGINE_TICKS_H

#include "core/engine/worker.h"

#include <signal.h>

/* It coalesces, where real-time signals queue; it is ignored where nobody handles it; and debuggers
 * pass it on. */
#define SHUNT_TICK_SIGNAL SIGURG

/* Set: the thread's worker was asked to preempt its task. Initial-exec: one load from the thread
 * pointer. */
extern __thread int shunt_tick_flag /* [tick:flag] */
	__attribute__((tls_model("initial-exec"), visibility("hidden")));

/* Starts the preempter for a run; 0 or a negative errno. */
int shunt_ticks_start(struct shunt_engine *engine);
void shunt_ticks_stop(struct shunt_engine *engine);

/* From now on the calling thread may be sent signals; until shunt_ticks_leave, which waits for one
 * on its way. Context: the worker's thread, not in a task. */
void shunt_ticks_join(struct shunt_worker *worker);
void shunt_ticks_leave(struct shunt_worker *worker);

/* A worker that may have been idle goes to run a task. Context: the worker. */
void shunt_ticks_need(struct shunt_engine *engine);

/* Wakes the preempter where it rests. */
void shunt_ticks_ring_at(struct shunt_preempter *preempter);

/* A task was made ready for a worker from elsewhere, before the caller's full fence. Context: any
 * thread; one that is no worker says that it is underway (external.c), or has idle_lock. */
SHUNT_INLINE void shunt_ticks_ring(struct shunt_engine *engine)
{
	/* Acquire pairs with the release in shunt_ticks_start, and with the fence in
	 * shunt_ticks_stop, which waits for who has found it [engine:preempter]. */
	struct shunt_preempter *preempter =
		atomic_load_explicit(&engine->preempter, memory_order_acquire);
	if (SHUNT_UNLIKELY(preempter != NULL))
		shunt_ticks_ring_at(preempter);
}

/* Lets the next signal in. Context: a handler that will switch to another task. */
void shunt_ticks_unblock(void);

/* Has it been sent a signal that is not counted yet? */
bool shunt_ticks_sent(const struct shunt_worker *worker);
/* It is counted, and the next may be sent. Context: the handler. */
void shunt_ticks_counted(struct shunt_worker *worker);

/* Has the running task used up its quantum, and is another ready, or about to be? A guess.
 * Context: any thread, a handler too. */
bool shunt_ticks_due(const struct shunt_worker *worker, int64_t now_ns);

#endif
