/* SPDX-License-Identifier: MIT */
/*
 * The switches that switch.h leaves out: the first one to a task, which gets its stack only then,
 * every one to a step task, which has none, and every switch of a build with sanitizers.
 */
#include "core/engine/switch.h"

#include "core/engine/halt.h"

#include <string.h>

#ifdef SHUNT_SANITIZED
/* First code on every stack taken up: announces the arrival, then does what was to follow. */
__attribute__((no_sanitize("address", "thread"))) static void arrive(void *arg)
{
	struct shunt_task *from = arg;
	struct shunt_worker *worker = from->worker;
	shunt_post_fn *post = worker->pending_post;
	shunt_sanitize_arrive_on(worker, worker->ctx.current);
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
	shunt_sanitize_leave(worker, from, worker, to, from == &worker->dying);
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
	to->stack = stack;
	to->sp =
		engine->swap.make(stack->low, engine->stacks.usable - stack->colour, engine->entry);
	return 0;
}

int shunt_switch_first(struct shunt_worker *worker, struct shunt_task *from, struct shunt_task *to,
	shunt_post_fn *post)
{
	/* A step runs on the worker's own stack; its loop, which runs the steps, finds it there
	 * (loop.c). */
	if (to->step)
		return from == &worker->loop ? 0 : shunt_swap(worker, from, &worker->loop, post);
	int rc = begin(worker, to);
	if (SHUNT_UNLIKELY(rc)) {
		shunt_halt_fail(worker->engine, rc,
			"out of memory for stacks: cannot set up the guard or the first page of "
			"another one (%s); use fewer tasks or a smaller stack.size",
			strerror(-rc));
		to = &worker->loop;
		worker->ctx.current = to;
		if (from == to)
			return 0;
	}
	return shunt_swap(worker, from, to, post);
}
