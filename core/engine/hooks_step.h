/* SPDX-License-Identifier: MIT */
/*
 * The hot hooks of step tasks, instantiated with the others in hooks.h.
 *
 * The loop runs on the worker's own stack and calls the steps of one step task after the other. A
 * step that has returned has left. So with many workers, too, its task is enqueued, or its wait
 * committed, at once, and not touched afterwards. To a task with a stack the loop swaps. It is
 * swapped back to for the next step task (shunt_switch_first), or when nothing is ready: then it
 * returns to loop.c.
 */
#ifndef SHUNT_CORE_ENGINE_HOOKS_STEP_H
#define SHUNT_CORE_ENGINE_HOOKS_STEP_H

#include "core/engine/life.h"
#include "core/engine/probe.h"
#include "core/engine/service.h"
#include "core/engine/slice.h"
#include "core/engine/step.h"
#include "core/engine/switch.h"
#include "core/engine/wake.h"

typedef void shunt_enqueue_fn(struct shunt_worker *worker, struct shunt_task *task, unsigned why);
typedef struct shunt_task *shunt_pick_fn(struct shunt_worker *worker, struct shunt_task *current);

/* The step gave way: the next task; NULL: the run has failed. */
SHUNT_INLINE struct shunt_task *shunt_hook_step_yield(struct shunt_worker *worker,
	struct shunt_task *task, bool many, bool probe, bool stamped, shunt_enqueue_fn *enqueue,
	shunt_pick_fn *pick)
{
	if (stamped)
		shunt_slice_end(worker);
	if (SHUNT_UNLIKELY(shunt_due(worker)) && !shunt_step_service(worker))
		return NULL;
	struct shunt_task *next = pick(worker, task);
	if (stamped)
		shunt_slice_begin(worker, next);
	if (next == task) {
		worker->self_picks++;
		return next;
	}
	if (probe)
		shunt_probe_switch(worker, task, next, SHUNT_PROBE_YIELD);
	task->saved_errno = *worker->errno_at;
	worker->ctx.current = next; /* before another worker may run the task */
	enqueue(worker, task, SHUNT_WHY_YIELD | SHUNT_FROM_LOCAL);
	if (many)
		shunt_wake_offer(worker);
	*worker->errno_at = next->saved_errno;
	return next;
}

/* The step waits, or its task has ended: the next task; NULL: none, or the run has failed. */
SHUNT_INLINE struct shunt_task *shunt_hook_step_leave(struct shunt_worker *worker,
	struct shunt_task *task, int rc, bool many, bool probe, bool stamped, shunt_pick_fn *pick)
{
	if (rc == SHUNT_STEP_WAIT && task->step == SHUNT_STEP_WAITS) {
		if (probe)
			shunt_probe_leave(worker);
		if (stamped)
			shunt_slice_end(worker);
		worker->blocked++;
		worker->ctx.current = &worker->loop;
		task->saved_errno = *worker->errno_at;
		task->step = SHUNT_STEP_BACK;
		if (many) {
			task->worker = worker;
			shunt_life_commit(task);
		}
	} else {
		shunt_step_end(worker, task, rc);
	}
	if (SHUNT_UNLIKELY(shunt_due(worker)) && !shunt_step_service(worker))
		return NULL;
	struct shunt_task *next = pick(worker, NULL);
	if (!next)
		return NULL;
	if (stamped)
		shunt_slice_begin(worker, next);
	if (probe)
		shunt_probe_switch(worker, NULL, next, SHUNT_PROBE_BLOCK);
	*worker->errno_at = next->saved_errno;
	worker->ctx.current = next;
	return next;
}

/* Swaps to `next`, which has a stack or gets one now. False: it was swapped back to for nothing
 * to run. */
SHUNT_INLINE bool shunt_hook_step_swap(struct shunt_worker *worker, struct shunt_task *next)
{
	if (next->sp)
		shunt_swap(worker, &worker->loop, next, NULL);
	else
		shunt_switch_first(worker, &worker->loop, next, NULL);
	return worker->ctx.current != &worker->loop;
}

SHUNT_INLINE void shunt_hook_steps(struct shunt_worker *worker, const struct shunt_hooks *inside,
	const struct shunt_hooks *outside, bool many, bool probe, bool stamped,
	shunt_enqueue_fn *enqueue, shunt_pick_fn *pick)
{
	worker->ctx.hooks = inside;
	for (;;) {
		struct shunt_task *task = worker->ctx.current, *next;
		int rc = task->frame->fn(task->frame);
		if (__builtin_expect(rc == SHUNT_STEP_YIELD && task->step == SHUNT_STEP_RUNS, 1))
			next = shunt_hook_step_yield(worker, task, many, probe, stamped, enqueue,
				pick);
		else
			next = shunt_hook_step_leave(worker, task, rc, many, probe, stamped, pick);
		if (next && next->step)
			continue;
		worker->ctx.hooks = outside;
		if (!next)
			worker->ctx.current = &worker->loop;
		if (!next || !shunt_hook_step_swap(worker, next))
			return;
		worker->ctx.hooks = inside;
	}
}

#endif
