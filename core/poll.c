/* SPDX-License-Identifier: MIT */
/* Polls: how a step task waits, and the misuses of that, by name. See poll.h. */
#include "core/poll.h"

#include "core/call.h"
#include "core/turn.h"

#include <stdarg.h>
#include <stdio.h>

void shunt_poll_panic(const struct shunt_task *task, const char *format, ...)
{
	char text[256];
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	shunt_panic("step task %s%s%s(number %llu, at line %u) %s", task->name ? "'" : "",
		task->name ? task->name : "", task->name ? "' " : "", (unsigned long long)task->id,
		task->frame->line, text);
}

void shunt_poll_no_step(const char *call)
{
	if (!shunt_ctx_get())
		shunt_outside_a_task(call);
	shunt_panic("%s called by a task with a stack: only step tasks may call it", call);
}

void shunt_poll_other_wait(const struct shunt_task *task, const char *call)
{
	shunt_poll_panic(task, "called %s, but has begun another wait (%s): %s", call,
		shunt_wait_name(task->wait_what),
		task->step == SHUNT_STEP_BACK ? "make that call again first, which ends it"
					      : "return SHUNT_STEP_WAIT first");
}

void shunt_poll_await(const struct shunt_task *task)
{
	if (task == shunt_ctx_get()->current)
		shunt_poll_panic(task, "ends its own wait: return SHUNT_STEP_WAIT first");
	shunt_let_others();
}

/* ---- waits without an object ----------------------------------------------------------------- */

int shunt_sleep_poll(int64_t deadline_ns)
{
	struct shunt_task *self = shunt_poll_ctx(__func__)->current;
	if (shunt_poll_returns(self, shunt_sleep_poll, __func__))
		return shunt_poll_value(self);
	return shunt_poll_result(self, shunt_sleep_until(deadline_ns));
}

int shunt_park_poll(int64_t deadline_ns)
{
	struct shunt_task *self = shunt_poll_ctx(__func__)->current;
	if (shunt_poll_returns(self, shunt_park_poll, __func__))
		return shunt_poll_value(self);
	return shunt_poll_result(self, shunt_park_until(deadline_ns));
}

/* ---- spawning -------------------------------------------------------------------------------- */

int shunt_spawn_step(struct shunt_handle *handle, shunt_step_fn *fn, struct shunt_step *frame,
	const struct shunt_attr *attr)
{
	struct shunt_ctx *ctx = shunt_ctx_get();
	if (__builtin_expect(!ctx, 0))
		shunt_outside_a_task(__func__);
	if (__builtin_expect(attr != NULL, 0)) {
		int rc = shunt_check_attr(ctx->sched, attr);
		if (rc)
			return rc;
	}
	if (!fn || !frame)
		return -EINVAL;
	if (!ctx->hooks->spawn_step)
		return -ENOTSUP;
	*frame = (struct shunt_step){.fn = fn};
	return ctx->hooks->spawn_step(ctx, handle, frame, attr);
}
