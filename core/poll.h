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

/* The context of a call that only steps may make. */
struct shunt_ctx *shunt_poll_ctx(const char *call);

/* Has the task's wait on `object` just ended? */
bool shunt_poll_is_over(const struct shunt_task *task, const void *object);

/* A wait on `object` may begin now. */
void shunt_poll_begin(struct shunt_task *task, const void *object);

/* Both: true: the wait on `object` is over, and task->value says how. False: it may begin. */
bool shunt_poll_returns(struct shunt_task *task, const void *object, const char *call);

/* The namesake returned rc: what the poll returns. */
int shunt_poll_result(struct shunt_task *task, int rc);

/* Gives the processor to whoever brings the task to leave; panics if that is the caller itself. */
void shunt_poll_await(const struct shunt_task *task);

/* How the wait ended: 0 or -ETIMEDOUT. */
static inline int shunt_poll_value(const struct shunt_task *task)
{
	return (int)(intptr_t)task->value;
}

#endif
