/* SPDX-License-Identifier: MIT */
/*
 * Task descriptors: type-stable memory, reused last in first out.
 *
 * Slabs are never freed before the scheduler is closed, so that a handle of an ended task can be
 * looked at for ever; the generation in the task's word tells that it is another. A generation that
 * is used up (134 million tasks in one descriptor) retires the descriptor.
 *
 * Credits are promises of a stack (stack.h): a worker holds a few, spends one a spawn and gets it
 * back when the task ends, so that the pool's lock is not on the path of a spawn.
 */
#include "core/engine/worker.h"

#include <stdlib.h>
#include <string.h>

#define SLAB_TASKS    255u /* with malloc's own word just less than twelve pages */
#define CREDITS_BATCH 64u
#define IDS_BATCH     1024u
#define FREE_MOST     (2 * SLAB_TASKS) /* descriptors a worker of many keeps */

struct shunt_task_slab {
	struct shunt_task_slab *next;
	_Alignas(64) struct shunt_task tasks[SLAB_TASKS];
};

/* Adds a slab to the engine's free list. Context: engine->lock held. */
static int grow(struct shunt_engine *engine)
{
	void *memory;
	struct shunt_task_slab *slab;
	if (posix_memalign(&memory, SHUNT_APART, sizeof(*slab)))
		return -ENOMEM;
	if (engine->policy->reserve &&
		engine->policy->reserve(engine->policy_shared, engine->descriptors + SLAB_TASKS)) {
		free(memory);
		return -ENOMEM;
	}
	slab = memory;
	engine->descriptors += SLAB_TASKS;
	memset(slab, 0, sizeof(*slab));
	for (unsigned i = SLAB_TASKS; i-- > 0;) {
		slab->tasks[i].sched = &engine->sched;
		slab->tasks[i].word = SHUNT_GENERATION_FIRST | SHUNT_TASK_FREE;
		slab->tasks[i].next = engine->free_tasks;
		engine->free_tasks = &slab->tasks[i];
	}
	slab->next = engine->slabs;
	engine->slabs = slab;
	return 0;
}

/* With many workers a batch that does not fit is tried again as a single one. */
static int reserve(struct shunt_engine *engine, uint64_t *credits)
{
	uint64_t batch = CREDITS_BATCH;
	int rc = shunt_stack_reserve(&engine->stacks, batch);
	if (rc) {
		batch = 1;
		rc = shunt_stack_reserve(&engine->stacks, batch);
	}
	if (!rc)
		*credits += batch;
	return rc;
}

int shunt_tasks_refill(struct shunt_worker *worker)
{
	struct shunt_engine *engine = worker->engine;
	/* Relaxed: a spawn that races with the end of a failed run may still succeed; harmless. */
	if (atomic_load_explicit(&engine->stopping, memory_order_relaxed))
		return -ECANCELED;
	if (!worker->credits) {
		int rc = reserve(engine, &worker->credits);
		if (rc)
			return rc;
	}
	if (worker->free_tasks)
		return 0;
	pthread_mutex_lock(&engine->lock);
	int rc = engine->free_tasks ? 0 : grow(engine);
	for (unsigned i = 0; !rc && i < SLAB_TASKS && engine->free_tasks; i++) {
		struct shunt_task *task = engine->free_tasks;
		engine->free_tasks = task->next;
		task->next = worker->free_tasks;
		worker->free_tasks = task;
		worker->free_count++;
	}
	pthread_mutex_unlock(&engine->lock);
	return rc;
}

/* Tasks spawned on one worker and released on another would pile up there. */
static __attribute__((noinline, cold)) void shed_tasks(struct shunt_worker *worker)
{
	struct shunt_engine *engine = worker->engine;
	pthread_mutex_lock(&engine->lock);
	while (worker->free_count > FREE_MOST / 2) {
		struct shunt_task *task = worker->free_tasks;
		worker->free_tasks = task->next;
		worker->free_count--;
		task->next = engine->free_tasks;
		engine->free_tasks = task;
	}
	pthread_mutex_unlock(&engine->lock);
}

void shunt_credits_shed(struct shunt_worker *worker)
{
	shunt_stack_unreserve(&worker->engine->stacks, CREDITS_BATCH);
	worker->credits -= CREDITS_BATCH;
}

int shunt_task_take_external(struct shunt_engine *engine, struct shunt_task **task)
{
	int rc = shunt_stack_reserve(&engine->stacks, 1);
	if (rc)
		return rc;
	pthread_mutex_lock(&engine->lock);
	rc = engine->free_tasks ? 0 : grow(engine);
	if (!rc) {
		*task = engine->free_tasks;
		engine->free_tasks = (*task)->next;
		(*task)->id = engine->next_id++;
	}
	pthread_mutex_unlock(&engine->lock);
	if (rc)
		shunt_stack_unreserve(&engine->stacks, 1);
	return rc;
}

void shunt_ids_refill(struct shunt_worker *worker)
{
	struct shunt_engine *engine = worker->engine;
	pthread_mutex_lock(&engine->lock);
	worker->next_id = engine->next_id;
	worker->ids_left = IDS_BATCH;
	engine->next_id += IDS_BATCH;
	pthread_mutex_unlock(&engine->lock);
}

void shunt_task_release(struct shunt_ctx *ctx, struct shunt_task *task)
{
	struct shunt_worker *worker = shunt_worker_of(ctx);
	uint64_t word = shunt_word_load(task, ctx->many);
	uint64_t generation = (word + SHUNT_GENERATION_ONE) & SHUNT_WORD_GENERATION;
	uint64_t next = (word & SHUNT_WORD_EPOCH) | generation | SHUNT_TASK_FREE;
	/* A wake may set the permit of an ended task in no state: plain exchange is enough even with
	 * many workers, because every other change of the word starts from a state that this is not. */
	shunt_word_store(task, next);
	if (__builtin_expect(generation == 0, 0))
		return;
	task->next = worker->free_tasks;
	worker->free_tasks = task;
	if (ctx->many && ++worker->free_count > FREE_MOST)
		shed_tasks(worker);
}

void shunt_tasks_each(struct shunt_engine *engine,
	void (*visit)(void *arg, const struct shunt_task *task), void *arg)
{
	for (struct shunt_task_slab *slab = engine->slabs; slab; slab = slab->next)
		for (unsigned i = 0; i < SLAB_TASKS; i++)
			if (shunt_word_state(shunt_word_load(&slab->tasks[i], true)) !=
				SHUNT_TASK_FREE)
				visit(arg, &slab->tasks[i]);
}

void shunt_tasks_fini(struct shunt_engine *engine)
{
	while (engine->slabs) {
		struct shunt_task_slab *slab = engine->slabs;
		engine->slabs = slab->next;
		free(slab);
	}
}
