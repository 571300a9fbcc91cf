/* SPDX-License-Identifier: MIT */
/*
 * What a policy's file includes: SHUNT_POLICY, and the plain queue that most are made of.
 *
 * The queue is an intrusive list, through task->next. Its head may be read by other threads
 * (has_ready), so it is stored by relaxed atomics, which are plain moves. Taking a task prefetches
 * the next one's stack and the descriptor behind it: with thousands of tasks in rotation each
 * switch would otherwise wait for memory twice.
 */
#ifndef SHUNT_CORE_ENGINE_POLICY_H
#define SHUNT_CORE_ENGINE_POLICY_H

#include "core/engine/hooks.h"

#include <string.h>

struct shunt_queue {
	struct shunt_task *head; /* shared for reading [queue:head] */
	struct shunt_task *tail; /* valid only while head is not NULL */
};

#define SHUNT_POLICY_STATE(pointer, type)                                                          \
	({                                                                                         \
		_Static_assert(sizeof(type) <= SHUNT_POLICY_BYTES,                                 \
			#type " is larger than SHUNT_POLICY_BYTES: allocate it in worker_init");   \
		(pointer);                                                                         \
	})

/* The policy's part of a worker, a `type`: zero at first. One that does not fit does not
 * compile. */
#define shunt_policy_state(worker, type) SHUNT_POLICY_STATE((type *)(void *)(worker)->policy, type)
#define shunt_policy_state_of(worker, type)                                                        \
	SHUNT_POLICY_STATE((const type *)(const void *)(worker)->policy, type)

_Static_assert(sizeof(((struct shunt_task *)NULL)->key) == SHUNT_POLICY_TASK_BYTES,
	"the key is all that a policy has of a task");

#define SHUNT_POLICY_TASK_FITS(type)                                                               \
	_Static_assert(sizeof(type) <= SHUNT_POLICY_TASK_BYTES,                                    \
		#type " is larger than SHUNT_POLICY_TASK_BYTES: keep less in each task")

/* The policy's part of a task, a `type`, in place of its key. Both copy: a pointer of another type
 * into the key would break the language's aliasing rules. */
#define shunt_policy_task(task, type)                                                              \
	({                                                                                         \
		SHUNT_POLICY_TASK_FITS(type);                                                      \
		type part_;                                                                        \
		memcpy(&part_, &(task)->key, sizeof(part_));                                       \
		part_;                                                                             \
	})
#define shunt_policy_set_task(task, part)                                                          \
	({                                                                                         \
		SHUNT_POLICY_TASK_FITS(__typeof__(part));                                          \
		memcpy(&(task)->key, &(part), sizeof(part));                                       \
	})

static inline bool shunt_queue_empty(const void *state)
{
	const struct shunt_queue *queue = state;
	/* Relaxed: the fences of the idle protocol order it [queue:head]. */
	return __atomic_load_n(&queue->head, __ATOMIC_RELAXED) == NULL;
}

static inline void shunt_queue_set_head(struct shunt_queue *queue, struct shunt_task *task)
{
	/* Relaxed: only emptiness is read by others [queue:head]. */
	__atomic_store_n(&queue->head, task, __ATOMIC_RELAXED);
}

/* Appends. */
static inline void shunt_queue_push(void *state, struct shunt_task *task)
{
	struct shunt_queue *queue = state;
	task->next = NULL;
	if (queue->head)
		queue->tail->next = task;
	else
		shunt_queue_set_head(queue, task);
	queue->tail = task;
}

/* Puts in front. */
static inline void shunt_queue_push_front(void *state, struct shunt_task *task)
{
	struct shunt_queue *queue = state;
	task->next = queue->head;
	if (!queue->head)
		queue->tail = task;
	shunt_queue_set_head(queue, task);
}

static inline struct shunt_task *shunt_queue_pop(void *state)
{
	struct shunt_queue *queue = state;
	struct shunt_task *task = queue->head;
	if (!task)
		return NULL;
	struct shunt_task *next = task->next;
	shunt_queue_set_head(queue, next);
	if (next) {
		__builtin_prefetch(next->sp);
		__builtin_prefetch(next->next);
	}
	return task;
}

/*
 * A bounded rotation: with many tasks in turn each one's stack and data have left the caches when
 * it comes round again. So a task that has not started yet is held back while `most` others that
 * have are ready, for some turns of all of these; then one may start nevertheless, because they may
 * be waiting for it in a loop of yields.
 */
struct shunt_window {
	uint64_t most;
	uint64_t picks; /* that held tasks back since one started */
};

/* Asked where there is a task that has not started: may it start? `started`: the ready tasks that
 * have; `turns`: how many of each of them it waits for at most. */
static inline bool shunt_window_opens(struct shunt_window *window, uint64_t started, uint64_t turns)
{
	if (started >= window->most && ++window->picks <= started * turns)
		return false;
	window->picks = 0;
	return true;
}

/* How far this worker and another are apart, as the placement says: 0 the same core … larger
 * further; all are alike where it does not say. Context: between open and close; not cheap. */
static inline unsigned shunt_policy_distance(const struct shunt_worker *worker, unsigned other)
{
	const struct shunt_engine *engine = worker->engine;
	return engine->place_slot->distance
		       ? engine->place_slot->distance(engine->place, worker->env.index, other)
		       : 0;
}

/* To be called by a shared policy that has changed which tasks its workers may run, outside its own
 * lock: wakes the sleepers that now may run some. */
static inline void shunt_policy_offer(struct shunt_worker *worker)
{
	for (unsigned i = 0; worker->env.others_may_take && i < worker->env.worker_count; i++)
		shunt_wake_notify(worker);
}

/* To be called when a task that is more urgent than the running one was enqueued: the next
 * checkpoint asks preempts(). The running task's key may be older than what it ran. */
SHUNT_INLINE void shunt_more_urgent(struct shunt_worker *worker)
{
	/* Relaxed: our own next look is all that it is about [worker:limit]. */
	atomic_store_explicit(&worker->limit, 0, memory_order_relaxed);
}

#endif
