/* SPDX-License-Identifier: MIT */
/*
 * Step tasks: what their steps do in another way than tasks with a stack. Their loop is in hooks.h.
 *
 * A wait is the one protocol of core/task.h. A poll prepares it and gives the ticket away while the
 * step still runs: the task is PARKING or BLOCKING, as one whose registers are not saved yet.
 * Whoever claims it then leaves word, and the commit, which comes when the step has returned, makes
 * it ready. So no step task is called on two workers at once, and none that was claimed early is
 * forgotten.
 */
#include "core/engine/step.h"

#include "core/engine/halt.h"
#include "core/engine/probe.h"
#include "core/engine/service.h"
#include "core/engine/slice.h"
#include "core/engine/timer.h"
#include "core/poll.h"

/* ---- waits ----------------------------------------------------------------------------------- */

int shunt_step_block(struct shunt_ctx *ctx, int64_t deadline_ns)
{
	struct shunt_task *task = ctx->current;
	int value = 0;
	if (task->step != SHUNT_STEP_POLLS)
		shunt_poll_panic(task,
			"would block (%s), and has no stack for that: use the _poll form of the "
			"call, "
			"and return SHUNT_STEP_WAIT when it says so",
			shunt_wait_name(task->wait_what));
	int rc = deadline_ns == SHUNT_FOREVER
			 ? 0
			 : shunt_timer_arm(shunt_worker_of(ctx), task, deadline_ns);
	if (rc)
		return shunt_task_unprepare(task, ctx->many, &value) ? rc : value;
	task->step = SHUNT_STEP_WAITS;
	return SHUNT_STEP_WAIT;
}

int shunt_step_park(struct shunt_ctx *ctx, int64_t deadline_ns)
{
	if (ctx->current->step != SHUNT_STEP_POLLS)
		shunt_poll_panic(ctx->current,
			"parks, and has no stack for that: use shunt_park_poll");
	return shunt_task_prepare_park(ctx->current, ctx->many) ? shunt_step_block(ctx, deadline_ns)
								: 0;
}

void shunt_step_no_yield(struct shunt_ctx *ctx)
{
	shunt_poll_panic(ctx->current,
		"calls shunt_yield, and has no stack for that: return SHUNT_STEP_YIELD");
}

int shunt_step_no_transfer(struct shunt_ctx *ctx, struct shunt_task *to, uint64_t generation)
{
	(void)to, (void)generation;
	shunt_poll_panic(ctx->current,
		"calls shunt_transfer, and has no stack for that: use shunt_wake and "
		"shunt_park_poll");
}

/* ---- what a step comes to -------------------------------------------------------------------- */

static __attribute__((cold, noreturn)) void refuse(const struct shunt_task *task, int rc)
{
	if (rc == SHUNT_STEP_WAIT)
		shunt_poll_panic(task, "returned SHUNT_STEP_WAIT without having registered a wait: "
				       "only a _poll form "
				       "that returned it does that");
	if (rc == SHUNT_STEP_YIELD || rc == SHUNT_STEP_DONE)
		shunt_poll_panic(task, "returned %s in the middle of a wait (%s): %s",
			rc == SHUNT_STEP_DONE ? "SHUNT_STEP_DONE" : "SHUNT_STEP_YIELD",
			shunt_wait_name(task->wait_what),
			task->step == SHUNT_STEP_BACK
				? "make the same _poll call again, which ends it"
				: "return SHUNT_STEP_WAIT");
	shunt_poll_panic(task,
		"returned %d: expected SHUNT_STEP_DONE, SHUNT_STEP_YIELD or SHUNT_STEP_WAIT", rc);
}

void shunt_step_end(struct shunt_worker *worker, struct shunt_task *task, int rc)
{
	struct shunt_engine *engine = worker->engine;
	if (SHUNT_UNLIKELY(rc != SHUNT_STEP_DONE || task->step != SHUNT_STEP_RUNS))
		refuse(task, rc);
	if (engine->stamped)
		shunt_slice_end(worker);
	task->result = task->frame;
	task->stack = NULL;
	task->step = 0;
	worker->ctx.current = &worker->loop;
	worker->ended++;
	if (engine->probing)
		shunt_probe_end(worker, task);
	shunt_task_end(&worker->ctx, task);
}

bool shunt_step_service(struct shunt_worker *worker)
{
	shunt_service(worker);
	return !shunt_halt_has_failed(worker->engine);
}
