/* SPDX-License-Identifier: MIT */
/*
 * The life of a task on its stack: the first switch to it, its entry, its end.
 *
 * A task that ends publishes its result while it still stands on its stack. That is safe because
 * the stack goes to the worker's own cache, which nobody else looks at, and nothing here takes a
 * stack before the switch away. If the task that runs next is a new one, it gets this very stack
 * without any switch: a row of short tasks costs one stack, hot in cache, and no swap.
 */
#include "core/engine/life.h"

#include "core/engine/halt.h"
#include "core/engine/probe.h"
#include "core/engine/ready.h"
#include "core/engine/service.h"
#include "core/engine/sim.h"
#include "core/engine/slice.h"
#include "core/engine/switch.h"
#include "core/engine/task_pool.h"
#include "core/engine/timer.h"

/* Ends the running task and leaves its stack; returns only a new task that is to run on it. */
static __attribute__((noinline)) struct shunt_task *end_and_go_on(void)
{
	struct shunt_worker *worker = shunt_worker_of(shunt_ctx_get());
	struct shunt_engine *engine = worker->engine;
	struct shunt_task *task = worker->ctx.current;
	struct shunt_stack *stack = task->stack;
	if (engine->stamped)
		shunt_slice_end(worker);
	task->stack = NULL;
	worker->ctx.current = &worker->dying;
	worker->dying.stack = stack;
	worker->ended++;
	worker->credits++;
	if (engine->probing)
		shunt_probe_end(worker, task);
	shunt_task_end(&worker->ctx, task);
	if (SHUNT_UNLIKELY(worker->credits > worker->credits_most))
		shunt_task_pool_shed_credits(worker);
	bool failed = false;
	if (SHUNT_UNLIKELY(shunt_due(worker))) {
		shunt_service(worker);
		failed = shunt_halt_has_failed(engine);
	}
	struct shunt_task *next = failed ? NULL : engine->policy->pick(worker, NULL);
	if (engine->stamped && next)
		shunt_slice_begin(worker, next);
	if (next && !next->sp && !next->step) {
		next->stack = stack;
		worker->ctx.current = next;
		*worker->errno_at = next->saved_errno;
		if (engine->swap.reset_fp)
			engine->swap.reset_fp(engine->swap.fp_words);
		if (engine->probing)
			shunt_probe_switch(worker, NULL, next, SHUNT_PROBE_END);
		return next;
	}
	if (!next)
		next = &worker->loop;
	if (engine->probing)
		shunt_probe_switch(worker, NULL, next, SHUNT_PROBE_END);
	shunt_stack_give(&engine->stacks, &worker->stacks, stack);
	shunt_switch(worker, &worker->dying, next, NULL);
	shunt_panic("a task that had ended was resumed");
}

void shunt_life_entry(uintptr_t value)
{
	struct shunt_task *task = (struct shunt_task *)value;
	for (;;) {
		task->result = task->fn(task->arg);
		task = end_and_go_on();
	}
}

void shunt_life_commit(void *arg)
{
	struct shunt_task *task = arg;
	struct shunt_worker *worker = task->worker;
	if (!shunt_task_commit(task))
		return;
	worker->commits++;
	if ((intptr_t)task->value != -ETIMEDOUT) {
		shunt_ready_task(worker, task, SHUNT_WHY_WAKE);
		return;
	}
	shunt_timer_timed_out(worker, task);
	if (worker->engine->probing)
		shunt_probe_timer(worker, task, SHUNT_PROBE_FIRE, 0);
	shunt_ready_task(worker, task, SHUNT_WHY_TIMER);
}

void shunt_life_commit_and_pay(void *arg)
{
	struct shunt_worker *worker = ((struct shunt_task *)arg)->worker;
	shunt_life_commit(arg);
	if (worker->engine->sim && shunt_sim_charges(worker->engine->sim))
		shunt_sim_visit(worker);
}
