/* SPDX-License-Identifier: MIT */
/*
 * The life of a task on its stack: the first switch to it, its entry, its end.
 *
 * A task that ends publishes its result while it still stands on its stack. That is safe because the
 * stack goes to the worker's own cache, which nobody else looks at, and nothing here takes a stack
 * before the switch away. If the task that runs next is a new one, it gets this very stack without
 * any switch: a row of short tasks costs one stack, hot in cache, and no swap.
 */
#include "core/engine/hooks.h"

#include <string.h>

#ifdef SHUNT_SANITIZED
/* First code on every stack taken up: announces the arrival, then does what was to follow. */
__attribute__((no_sanitize("address", "thread"))) static void arrive(void *arg)
{
	struct shunt_task *from = arg;
	struct shunt_worker *worker = from->worker;
	shunt_post_fn *post = worker->pending_post;
	shunt_sanitize_arrive(worker);
	if (post)
		post(from);
}

/* Not instrumented: its entry would be noted on one fibre and its exit on the other. */
__attribute__((no_sanitize("address", "thread"))) int
shunt_switch_sanitized(struct shunt_worker *worker, struct shunt_task *from, struct shunt_task *to,
	shunt_post_fn *post)
{
	from->worker = worker;
	worker->pending_post = post;
	shunt_sanitize_leave(worker, from, to, from == &worker->dying);
	return worker->swap_post(&from->sp, to->sp, to->value, arrive, from);
}
#endif

/* Gives `to` its stack and its first context. */
static int begin(struct shunt_worker *worker, struct shunt_task *to)
{
	struct shunt_engine *engine = worker->engine;
	struct shunt_stack *stack = shunt_stack_take(&engine->stacks, &worker->stacks);
	if (!stack)
		return -errno;
	shunt_sanitize_stack(stack, engine->stacks.usable);
	size_t colour = 0;
	if (engine->stacks.colours)
		colour = ((uintptr_t)stack->low / engine->stacks.stride) % engine->stacks.colours *
			 64;
	to->stack = stack;
	to->sp = engine->swap.make(stack->low, engine->stacks.usable - colour, shunt_task_entry);
	return 0;
}

int shunt_switch_first(struct shunt_worker *worker, struct shunt_task *from, struct shunt_task *to,
	shunt_post_fn *post)
{
	int rc = begin(worker, to);
	if (SHUNT_UNLIKELY(rc)) {
		shunt_engine_fail(worker->engine, rc,
			"out of memory for stacks: the guard or the "
			"first page of one more could not be had (%s); use fewer tasks or a "
			"smaller stack.size",
			strerror(-rc));
		to = &worker->loop;
		worker->ctx.current = to;
		if (from == to)
			return 0;
	}
	return shunt_swap(worker, from, to, post);
}

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
		shunt_credits_shed(worker);
	bool failed = false;
	if (SHUNT_UNLIKELY(shunt_due(worker))) {
		shunt_worker_service(worker);
		failed = shunt_engine_has_failed(engine);
	}
	struct shunt_task *next = failed ? NULL
					 : engine->policy->pick(worker, NULL, SHUNT_WHY_BLOCK);
	if (engine->stamped && next)
		shunt_slice_begin(worker, next);
	if (next && !next->sp) {
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

void shunt_task_entry(uintptr_t value)
{
	struct shunt_task *task = (struct shunt_task *)value;
	for (;;) {
		task->result = task->fn(task->arg);
		task = end_and_go_on();
	}
}

void shunt_post_commit(void *arg)
{
	struct shunt_task *task = arg;
	struct shunt_worker *worker = task->worker;
	if (!shunt_task_commit(task))
		return;
	worker->commits++;
	if ((intptr_t)task->value != -ETIMEDOUT) {
		shunt_worker_ready(worker, task, SHUNT_WHY_WAKE);
		return;
	}
	shunt_worker_timed_out(worker, task);
	if (worker->engine->probing)
		shunt_probe_timer(worker, task, SHUNT_PROBE_FIRE, 0);
	shunt_worker_ready(worker, task, SHUNT_WHY_TIMER);
}
