/* SPDX-License-Identifier: MIT */
/*
 * Step tasks: tasks without a stack.
 *
 * A step task is a function that the scheduler calls again and again. Each call, a *step*, runs to
 * its return, on a stack that all step tasks of a worker share, and says by what it returns what is
 * next:
 *
 *   SHUNT_STEP_DONE   the task has ended
 *   SHUNT_STEP_YIELD  it gives way; call it again when it is its turn
 *   SHUNT_STEP_WAIT   it waits for what a `_poll` form below has registered; call it again then
 *
 * Anything else, WAIT without a registered wait, and YIELD or DONE with one, end the process with a
 * message that names the task and its line. So do the calls of sched.h that would block: a step has
 * no stack that it could leave. All others are the same as in any task: spawn, detach, wake,
 * try_lock, post, unlock, self, checkpoint…, and a step task is joined, woken, named, traced and
 * scheduled like any other.
 *
 * What lives across a step is in the *frame*, a struct of the user's own that begins with a struct
 * shunt_step. It is the caller's memory and must stay where it is until the task has ended; then it
 * is the task's result, which shunt_join gives. The scheduler does not touch it after the step that
 * returned DONE began, so the last step of a detached task may free it.
 *
 * The macros make a body readable (a switch on the line; Duff, 1983, Dunkels et al., Protothreads,
 * SenSys 2006). Local variables do not survive a YIELD or an AWAIT, and neither macro may stand
 * inside a switch of the body's own, nor two of them on one line:
 *
 * 	struct counter { struct shunt_step step; struct shunt_semaphore *turn; int left, rc; };
 *
 * 	static int count(struct shunt_step *step)
 * 	{
 * 		struct counter *self = (struct counter *)step;
 * 		SHUNT_STEP_BEGIN(step);
 * 		while (self->left--)
 * 			SHUNT_STEP_AWAIT(step, self->rc,
 * 				shunt_semaphore_wait_poll(self->turn, SHUNT_FOREVER));
 * 		SHUNT_STEP_END(step);
 * 	}
 *
 * Floating-point control words that a step changes stay changed for the worker's next step.
 */
#ifndef SHUNT_CORE_STEP_H
#define SHUNT_CORE_STEP_H

#include "core/sched.h"

/* Not 0, so that a forgotten return value is noticed. */
enum { SHUNT_STEP_DONE = 1, SHUNT_STEP_YIELD, SHUNT_STEP_WAIT };

struct shunt_step;
typedef int shunt_step_fn(struct shunt_step *frame);

/* What every frame begins with. */
struct shunt_step {
	shunt_step_fn *fn; /* private */
	unsigned line;     /* the macros': where the next step goes on; 0: at the beginning */
};

/*
 * Starts a step task that will call fn(frame) until it returns SHUNT_STEP_DONE. It costs the
 * scheduler a descriptor, and the user the frame. *handle, attr and the errors are those of
 * shunt_spawn, and -EINVAL: fn or frame is NULL; -ENOTSUP: this backend has no step tasks
 * (SHUNT_STEPS). Context: task; does not switch.
 */
int shunt_spawn_step(struct shunt_handle *handle, shunt_step_fn *fn, struct shunt_step *frame,
	const struct shunt_attr *attr);

/* ---- the body -------------------------------------------------------------------------------- */

#define SHUNT_STEP_BEGIN(step)                                                                     \
	switch ((step)->line) {                                                                    \
	case 0:

/* A line outside the body returns 0, which is not valid: the scheduler names the task. */
#define SHUNT_STEP_END(step)                                                                       \
	return SHUNT_STEP_DONE;                                                                    \
	default:                                                                                   \
		return 0;                                                                          \
		}                                                                                  \
		(void)(step)

#define SHUNT_STEP_GIVE_WAY(step)                                                                  \
	do {                                                                                       \
		(step)->line = __LINE__;                                                           \
		return SHUNT_STEP_YIELD;                                                           \
	case __LINE__:;                                                                            \
	} while (0)

/* Calls a `_poll` form, which is evaluated again when the wait is over; `rc` gets its result. */
#define SHUNT_STEP_AWAIT(step, rc, poll)                                                           \
	do {                                                                                       \
		(step)->line = __LINE__;                                                           \
		__attribute__((fallthrough));                                                      \
	case __LINE__:                                                                             \
		(rc) = (poll);                                                                     \
		if ((rc) == SHUNT_STEP_WAIT)                                                       \
			return SHUNT_STEP_WAIT;                                                    \
	} while (0)

/* Runs the steps of another frame, whose fn is set, as a part of this one's until it is done: a
 * step made of steps. Each step of the inner one begins with a call from the outermost. */
#define SHUNT_STEP_CALL(step, inner)                                                               \
	do {                                                                                       \
		(inner)->line = 0;                                                                 \
		(step)->line = __LINE__;                                                           \
		__attribute__((fallthrough));                                                      \
	case __LINE__:;                                                                            \
		int rc_ = (inner)->fn(inner);                                                      \
		if (rc_ != SHUNT_STEP_DONE)                                                        \
			return rc_;                                                                \
	} while (0)

/* ---- waiting --------------------------------------------------------------------------------
 *
 * Each does what its namesake without `_poll` does, and gives up at deadline_ns (SHUNT_FOREVER:
 * never), but where that would block it registers the wait and returns SHUNT_STEP_WAIT (> 0). The
 * step then returns SHUNT_STEP_WAIT at once, with no other call of the task API between: whoever is
 * to end the wait may be waiting for that return. When the task runs again it makes the same call,
 * on the same object, which then says how the wait ended: 0 or a negative errno, as the namesake.
 *
 * Context of all: step of a step task; does not switch.
 */

int shunt_sleep_poll(int64_t deadline_ns);
int shunt_park_poll(int64_t deadline_ns);
int shunt_join_poll(struct shunt_handle handle, int64_t deadline_ns, void **result);
int shunt_mutex_lock_poll(struct shunt_mutex *mutex, int64_t deadline_ns);
int shunt_semaphore_wait_poll(struct shunt_semaphore *semaphore, int64_t deadline_ns);
/* Waits twice, for the signal and for the mutex; the deadline is for the signal, as in the
 * namesake. */
int shunt_condition_wait_poll(struct shunt_condition *condition, struct shunt_mutex *mutex,
	int64_t deadline_ns);
int shunt_channel_send_poll(struct shunt_channel *channel, void *value, int64_t deadline_ns);
int shunt_channel_receive_poll(struct shunt_channel *channel, void **value, int64_t deadline_ns);
int shunt_wait_group_wait_poll(struct shunt_wait_group *group, int64_t deadline_ns);

#endif
