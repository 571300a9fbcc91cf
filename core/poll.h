/* SPDX-License-Identifier: MIT */
/*
 * What the `_poll` forms of step.h are made of: poll.c.
 *
 * A poll is the namesake's own code called twice. The first call goes as far as the hook `block` or
 * `park`, which in a step registers the wait and returns SHUNT_STEP_WAIT instead of switching; the
 * second does what the namesake does after the switch. task->step says which call it is,
 * task->polled on what.
 */
#ifndef SHUNT_CORE_POLL_H
#define SHUNT_CORE_POLL_H

#include "core/backend.h"
#include "core/step.h"

/* Ends the process with a message about a step task: its name, number and line come first. */
_Noreturn void shunt_poll_panic(const struct shunt_task *task, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* The misuses, which panic: a task with a stack polls; a poll in the middle of another wait. */
_Noreturn void shunt_poll_no_step(const char *call);
_Noreturn void shunt_poll_other_wait(const struct shunt_task *task, const char *call);

/* The context of a call that only steps may make. */
static inline struct shunt_ctx *shunt_poll_ctx(const char *call)
{
	struct shunt_ctx *ctx = shunt_ctx_get();
	if (__builtin_expect(!ctx || !ctx->current->step, 0))
		shunt_poll_no_step(call);
	return ctx;
}

/* Enough of an object's address to notice that a poll is about another one, nearly always. */
static inline uint16_t shunt_poll_mark(const void *object)
{
	uintptr_t address = (uintptr_t)object;
	return (uint16_t)(address >> 2 ^ address >> 18);
}

/* Has the task's wait on `object` just ended? */
static inline bool shunt_poll_is_over(const struct shunt_task *task, const void *object)
{
	return task->step == SHUNT_STEP_BACK && task->polled == shunt_poll_mark(object);
}

/* A wait on `object` may begin now. */
static inline void shunt_poll_begin(struct shunt_task *task, const void *object)
{
	task->step = SHUNT_STEP_POLLS;
	task->polled = shunt_poll_mark(object);
}

/* Both: true: the wait on `object` is over, and task->value says how. False: it may begin. */
static inline bool shunt_poll_returns(struct shunt_task *task, const void *object, const char *call)
{
	if (task->step == SHUNT_STEP_RUNS) {
		shunt_poll_begin(task, object);
		return false;
	}
	if (__builtin_expect(!shunt_poll_is_over(task, object), 0))
		shunt_poll_other_wait(task, call);
	task->step = SHUNT_STEP_RUNS;
	return true;
}

/* The namesake returned rc: what the poll returns. */
static inline int shunt_poll_result(struct shunt_task *task, int rc)
{
	if (rc != SHUNT_STEP_WAIT)
		task->step = SHUNT_STEP_RUNS;
	return rc;
}

/* Gives the processor to whoever brings the task to leave; panics if that is the caller itself. */
void shunt_poll_await(const struct shunt_task *task);

/* How the wait ended: 0 or -ETIMEDOUT. */
static inline int shunt_poll_value(const struct shunt_task *task)
{
	return (int)(intptr_t)task->value;
}

#endif
