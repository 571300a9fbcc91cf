/* SPDX-License-Identifier: MIT */
/* See overflow.h: which task the worker runs, and in whose guard an address is. */
#include "core/engine/overflow.h"

#include "core/engine/task_pool.h"

#include <stdlib.h>

struct fault {
	const struct shunt_worker *worker;
	uintptr_t at;
	const struct shunt_task *task; /* in whose guard it is; NULL: in none so far */
};

static void if_in_its_guard(void *arg, const struct shunt_task *task)
{
	struct fault *fault = arg;
	const struct shunt_stack *stack = shunt_task_stack(task);
	if (!stack)
		return;
	uintptr_t low = (uintptr_t)stack->low;
	if (fault->at < low && fault->at >= low - fault->worker->engine->stacks.guard_bytes)
		fault->task = task;
}

static const struct shunt_worker *worker_of(const struct shunt_fatal *fatal)
{
	const struct shunt_worker *worker =
		(const void *)((const char *)fatal - offsetof(struct shunt_worker, fatal));
	/* Workers that take turns on one thread: the one whose turn it is. */
	struct shunt_ctx *ctx = worker->engine->sim ? shunt_ctx_get() : NULL;
	return ctx ? shunt_worker_of(ctx) : worker;
}

static const struct shunt_task *overflown(const struct shunt_fatal *fatal, uintptr_t at)
{
	struct fault fault = {worker_of(fatal), at, NULL};
	if_in_its_guard(&fault, fault.worker->ctx.current);
	/* In the last steps of a switch the next task is the running one already, and the registers
	 * are still saved on the stack of the one before. */
	if (!fault.task)
		shunt_task_pool_each(fault.worker->engine, if_in_its_guard, &fault);
	return fault.task;
}

static const struct shunt_task *running(const struct shunt_fatal *fatal)
{
	const struct shunt_worker *worker = worker_of(fatal);
	return worker->ctx.current == &worker->loop ? NULL : worker->ctx.current;
}

/* Workers that take turns on one thread have it watched once. */
static bool on_anothers_thread(const struct shunt_worker *worker)
{
	return worker->engine->sim && worker->env.index;
}

int shunt_overflow_watch(struct shunt_worker *worker)
{
	if (on_anothers_thread(worker))
		return 0;
	worker->signal_stack = malloc(SHUNT_SIGNAL_STACK_BYTES);
	if (!worker->signal_stack)
		return -ENOMEM;
	worker->fatal = (struct shunt_fatal){.sched = &worker->engine->sched,
		.stack_bytes = worker->engine->stacks.bytes,
		.overflown = overflown,
		.running = running};
	shunt_fatal_watch(&worker->fatal, worker->signal_stack);
	shunt_fatal_handle(true);
	return 0;
}

void shunt_overflow_unwatch(struct shunt_worker *worker)
{
	if (on_anothers_thread(worker))
		return;
	shunt_fatal_handle(false);
	shunt_fatal_unwatch(&worker->fatal, false);
	free(worker->signal_stack);
	worker->signal_stack = NULL;
}
