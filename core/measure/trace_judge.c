/* SPDX-License-Identifier: MIT */
/* The rules: which event may come when. They are in words in trace.h and trace_check.h. */
#include "core/measure/trace_rules.h"

#include "core/engine/slots.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char *const worker_state_names[] = {
	[SHUNT_WORKER_OFF] = "not started",
	[SHUNT_WORKER_SCHEDULING] = "scheduling",
	[SHUNT_WORKER_RUNNING] = "running a task",
	[SHUNT_WORKER_IDLE] = "idle",
	[SHUNT_WORKER_WAITING] = "waiting in the kernel",
};

const char *shunt_worker_state_name(enum shunt_worker_state state)
{
	return worker_state_names[state];
}

bool shunt_trace_wrong(struct shunt_checker *check, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(check->why, sizeof(check->why), format, args);
	va_end(args);
	return false;
}

static bool wrong_state(struct shunt_checker *check, const struct shunt_trace_task *task)
{
	return shunt_trace_wrong(check, "the task is %s", shunt_trace_state_name(task->state));
}

static bool is_blocked(const struct shunt_trace_task *task)
{
	return task->state == SHUNT_STATE_PARKED || task->state == SHUNT_STATE_SLEEPING ||
	       task->state == SHUNT_STATE_BLOCKED;
}

static bool judge_enqueue(struct shunt_checker *check, const struct shunt_trace_task *task,
	const struct shunt_trace_event *event)
{
	unsigned cause = event->why & SHUNT_WHY_CAUSE;
	bool fits;

	switch (task->state) {
	case SHUNT_STATE_NEW:
		fits = cause == SHUNT_WHY_NEW;
		break;
	case SHUNT_STATE_YIELDED:
		fits = cause == SHUNT_WHY_YIELD;
		break;
	case SHUNT_STATE_WOKEN:
		fits = cause == SHUNT_WHY_WAKE || cause == SHUNT_WHY_TIMER;
		break;
	case SHUNT_STATE_TAKEN:
		fits = cause == SHUNT_WHY_MIGRATE;
		break;
	default:
		return wrong_state(check, task);
	}
	if (!fits)
		return shunt_trace_wrong(check, "the task is %s, which does not allow this enqueue",
			shunt_trace_state_name(task->state));
	if (event->arg == SHUNT_TRACE_ANY)
		return true;
	for (size_t i = 0; i < check->follower_count; i++)
		if (check->follower[i].ring->worker == event->arg)
			return true;
	return shunt_trace_wrong(check, "there is no worker %" PRIu64 " to queue it on",
		event->arg);
}

static bool judge_dequeue(struct shunt_checker *check, const struct shunt_follower *at,
	const struct shunt_trace_task *task)
{
	if (task->state != SHUNT_STATE_READY)
		return wrong_state(check, task);
	if (task->held && task->worker != at->ring->worker)
		return shunt_trace_wrong(check,
			"the task was preempted on worker %u, which alone may run it next",
			task->worker);
	if (!check->trace->shared && task->queue != SHUNT_TRACE_ANY &&
		task->queue != at->ring->worker)
		return shunt_trace_wrong(check,
			"the task is queued on worker %" PRIu64
			" and this policy neither steals nor shares",
			task->queue);
	return true;
}

static bool judge_run_begin(struct shunt_checker *check, const struct shunt_follower *at,
	const struct shunt_trace_task *task)
{
	switch (task->state) {
	case SHUNT_STATE_NEW:
	case SHUNT_STATE_TAKEN:
	case SHUNT_STATE_WOKEN:
		return true;
	case SHUNT_STATE_YIELDED:
		return task->worker == at->ring->worker ||
		       shunt_trace_wrong(check, "the task yielded on worker %u", task->worker);
	default:
		return wrong_state(check, task);
	}
}

static bool judge_run_end(struct shunt_checker *check, const struct shunt_trace_task *task,
	const struct shunt_trace_event *event)
{
	if (task->state != SHUNT_STATE_RUNNING)
		return wrong_state(check, task);
	if (event->why == SHUNT_TRACE_END_EXIT && task->armed)
		return shunt_trace_wrong(check, "the task ends with its timer armed");
	if (event->why == SHUNT_TRACE_END_EXIT && task->in_io)
		return shunt_trace_wrong(check, "the task ends in an operation");
	return true;
}

static bool judge_io(struct shunt_checker *check, const struct shunt_follower *at,
	const struct shunt_trace_task *task, const struct shunt_trace_event *event)
{
	bool begins = event->kind == SHUNT_TRACE_IO_BEGIN;

	if (task->state != SHUNT_STATE_RUNNING || at->task != task->id)
		return shunt_trace_wrong(check, "the task does not run on this worker");
	if (begins && task->in_io)
		return shunt_trace_wrong(check, "the task is in an operation already");
	if (!begins && !task->in_io)
		return shunt_trace_wrong(check, "the task is in no operation");
	return begins || task->fd == SHUNT_TRACE_ANY || task->fd == event->arg ||
	       shunt_trace_wrong(check, "its operation is on descriptor %" PRIu64, task->fd);
}

/* With a counter for a clock, a stamp may be off by the calibration's error since its start. */
static uint64_t tolerance_ns(const struct shunt_checker *check, uint64_t time_ns)
{
	const struct shunt_trace *trace = check->trace;
	uint64_t ppb = trace->clock ? (uint64_t)(trace->clock->calibration_error_ppm * 1000)
				    : trace->clock_error_ppb;
	const char *name = trace->clock ? shunt_clock_name(trace->clock) : trace->clock_name;

	if (strcmp(name, "monotonic") == 0 || strcmp(name, "virtual") == 0)
		return 0;
	return 1000 + (uint64_t)((unsigned __int128)(time_ns - check->base_ns) * ppb / 1000000000u);
}

static bool judge_fire(struct shunt_checker *check, const struct shunt_trace_task *task,
	const struct shunt_trace_event *event)
{
	if (!task->armed)
		return shunt_trace_wrong(check, "the task has no timer armed");
	if (!is_blocked(task))
		return wrong_state(check, task);
	if (event->time_ns + tolerance_ns(check, event->time_ns) < task->deadline_ns)
		return shunt_trace_wrong(check, "it fires %" PRIu64 " ns before its deadline",
			task->deadline_ns - event->time_ns);
	return true;
}

/* The rules about the task that an event names. */
static bool judge_task(struct shunt_checker *check, const struct shunt_follower *at,
	const struct shunt_trace_event *event)
{
	const struct shunt_trace_task *task = shunt_trace_tasks_find(&check->tasks, event->task);

	if (event->kind == SHUNT_TRACE_SPAWN) {
		if (event->task == 0)
			return shunt_trace_wrong(check, "a task needs an id");
		return !task || shunt_trace_wrong(check, "there is a task with this id already");
	}
	/* A handle outlives its task, and the wake of one that has ended moves nothing. */
	if (event->kind == SHUNT_TRACE_WAKE && event->why != SHUNT_TRACE_WAKE_WON)
		return true;
	if (event->kind == SHUNT_TRACE_STEAL && event->task == 0)
		return true;
	if (!task)
		return shunt_trace_wrong(check, "no task with this id was spawned");
	switch (event->kind) {
	case SHUNT_TRACE_ENQUEUE:
		return judge_enqueue(check, task, event);
	case SHUNT_TRACE_DEQUEUE:
		return judge_dequeue(check, at, task);
	case SHUNT_TRACE_RUN_BEGIN:
		return judge_run_begin(check, at, task);
	case SHUNT_TRACE_RUN_END:
		return judge_run_end(check, task, event);
	case SHUNT_TRACE_WAKE:
		if (task->state == SHUNT_STATE_SLEEPING)
			return shunt_trace_wrong(check,
				"the task sleeps, and only its timer ends that");
		return is_blocked(task) || wrong_state(check, task);
	case SHUNT_TRACE_TIMER_ARM:
		if (task->armed)
			return shunt_trace_wrong(check, "its timer is armed already");
		return task->state == SHUNT_STATE_RUNNING || is_blocked(task) ||
		       wrong_state(check, task);
	case SHUNT_TRACE_TIMER_FIRE:
		return judge_fire(check, task, event);
	case SHUNT_TRACE_TIMER_CANCEL:
		return task->armed || shunt_trace_wrong(check, "the task has no timer armed");
	case SHUNT_TRACE_STEAL:
		return task->state == SHUNT_STATE_READY || task->state == SHUNT_STATE_TAKEN ||
		       wrong_state(check, task);
	case SHUNT_TRACE_IO_BEGIN:
	case SHUNT_TRACE_IO_END:
		return judge_io(check, at, task, event);
	default:
		return true;
	}
}

/* The rules about the worker whose event it is. */
static bool judge_worker(struct shunt_checker *check, const struct shunt_follower *at,
	const struct shunt_trace_event *event)
{
	enum shunt_worker_state state = at->state;
	bool fits;

	switch (event->kind) {
	case SHUNT_TRACE_WORKER_START:
		fits = state == SHUNT_WORKER_OFF;
		break;
	case SHUNT_TRACE_WORKER_STOP:
	case SHUNT_TRACE_RUN_BEGIN:
	case SHUNT_TRACE_IDLE_BEGIN:
		fits = state == SHUNT_WORKER_SCHEDULING;
		break;
	case SHUNT_TRACE_RUN_END:
		if (state == SHUNT_WORKER_RUNNING && at->task != event->task)
			return shunt_trace_wrong(check, "the worker runs task %" PRIu64, at->task);
		fits = state == SHUNT_WORKER_RUNNING;
		break;
	case SHUNT_TRACE_IDLE_END:
		fits = state == SHUNT_WORKER_IDLE;
		break;
	case SHUNT_TRACE_WAIT_BEGIN:
		fits = state == SHUNT_WORKER_SCHEDULING || state == SHUNT_WORKER_IDLE;
		break;
	case SHUNT_TRACE_WAIT_END:
		fits = state == SHUNT_WORKER_WAITING;
		break;
	default:
		fits = state != SHUNT_WORKER_OFF && state != SHUNT_WORKER_WAITING;
		break;
	}
	return fits || shunt_trace_wrong(check, "the worker is %s", shunt_worker_state_name(state));
}

bool shunt_trace_judge(struct shunt_checker *check, const struct shunt_follower *at,
	const struct shunt_trace_event *event)
{
	bool outside = at->ring->worker == SHUNT_TRACE_OUTSIDE;

	if (at->next && event->time_ns < at->ring->event[at->next - 1].time_ns)
		return shunt_trace_wrong(check, "time runs backwards");
	if (outside && event->kind != SHUNT_TRACE_SPAWN && event->kind != SHUNT_TRACE_ENQUEUE &&
		event->kind != SHUNT_TRACE_WAKE && event->kind != SHUNT_TRACE_INJECT &&
		event->kind != SHUNT_TRACE_TIMER_CANCEL)
		return shunt_trace_wrong(check, "only a worker can do this");
	if (!outside && !judge_worker(check, at, event))
		return false;
	switch (event->kind) {
	case SHUNT_TRACE_WORKER_START:
	case SHUNT_TRACE_WORKER_STOP:
	case SHUNT_TRACE_IDLE_BEGIN:
	case SHUNT_TRACE_IDLE_END:
	case SHUNT_TRACE_WAIT_BEGIN:
	case SHUNT_TRACE_WAIT_END:
		return true;
	default:
		return judge_task(check, at, event);
	}
}
