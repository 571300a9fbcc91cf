/* SPDX-License-Identifier: MIT */
/*
 * What an event changes: the worker's state, with the time since the last change booked to the
 * state before, and the task's. And the one rule that looks at both: no task ready beside a
 * sleeper.
 */
#include "core/measure/trace_rules.h"

#include <inttypes.h>

/* ---- sleeping beside ready tasks ------------------------------------------------------------- */

/* Notes that the task was ready from its enqueue while the worker slept, until now. */
static bool beside(struct shunt_checker *check, const struct shunt_follower *asleep,
	const struct shunt_trace_task *task, uint64_t now_ns)
{
	uint64_t from_ns = asleep->since_ns > task->ready_ns ? asleep->since_ns : task->ready_ns;
	uint64_t both_ns = now_ns > from_ns ? now_ns - from_ns : 0;

	if (both_ns > check->report->ready_beside_sleep_ns)
		check->report->ready_beside_sleep_ns = both_ns;
	if (both_ns <= check->grace_ns)
		return true;
	return shunt_trace_wrong(check,
		"task %" PRIu64 " was ready for %" PRIu64
		" ns while worker %u slept and could have run it",
		task->id, both_ns, asleep->ring->worker);
}

static struct shunt_trace_queue *queue_of(struct shunt_checker *check,
	const struct shunt_trace_task *task)
{
	if ((check->trace->shared && !task->held) || task->queue == SHUNT_TRACE_ANY)
		return &check->ready;
	for (size_t i = 0; i < check->follower_count; i++)
		if (check->follower[i].ring->worker == task->queue)
			return &check->follower[i].ready;
	return &check->ready;
}

/* A worker wakes: the oldest task that it could have run. */
static bool wakes_beside(struct shunt_checker *check, const struct shunt_follower *at,
	uint64_t now_ns)
{
	const struct shunt_trace_task *task = check->tasks.task;

	return (at->ready.head == SHUNT_NO_TASK ||
		       beside(check, at, &task[at->ready.head], now_ns)) &&
	       (check->ready.head == SHUNT_NO_TASK ||
		       beside(check, at, &task[check->ready.head], now_ns));
}

/* A task is taken: every worker that slept and could have run it. */
static bool taken_beside(struct shunt_checker *check, const struct shunt_trace_task *task,
	const struct shunt_trace_queue *queue, uint64_t now_ns)
{
	for (size_t i = 0; i < check->follower_count; i++) {
		const struct shunt_follower *other = &check->follower[i];

		if (other->state == SHUNT_WORKER_WAITING &&
			(queue == &check->ready || queue == &other->ready) &&
			!beside(check, other, task, now_ns))
			return false;
	}
	return true;
}

/* ---- applying -------------------------------------------------------------------------------- */

/* Books the time since the worker's last change of state, and changes it. */
static void enter(struct shunt_follower *at, enum shunt_worker_state state, uint64_t now_ns)
{
	uint64_t spent_ns = now_ns - at->since_ns;

	switch (at->state) {
	case SHUNT_WORKER_SCHEDULING:
		at->times.schedule_ns += spent_ns;
		break;
	case SHUNT_WORKER_RUNNING:
		at->times.run_ns += spent_ns;
		break;
	case SHUNT_WORKER_IDLE:
		at->times.idle_ns += spent_ns;
		break;
	case SHUNT_WORKER_WAITING:
		at->times.wait_ns += spent_ns;
		break;
	case SHUNT_WORKER_OFF:
		break;
	}
	at->state = state;
	at->since_ns = now_ns;
}

static bool apply_worker(struct shunt_checker *check, struct shunt_follower *at,
	const struct shunt_trace_event *event)
{
	uint64_t now_ns = event->time_ns;

	switch (event->kind) {
	case SHUNT_TRACE_WORKER_START:
		enter(at, SHUNT_WORKER_SCHEDULING, now_ns);
		at->started_ns = now_ns;
		break;
	case SHUNT_TRACE_WORKER_STOP:
		enter(at, SHUNT_WORKER_OFF, now_ns);
		at->times.span_ns += now_ns - at->started_ns;
		break;
	case SHUNT_TRACE_RUN_BEGIN:
		enter(at, SHUNT_WORKER_RUNNING, now_ns);
		at->task = event->task;
		check->report->runs++;
		break;
	case SHUNT_TRACE_IDLE_BEGIN:
		enter(at, SHUNT_WORKER_IDLE, now_ns);
		break;
	case SHUNT_TRACE_WAIT_BEGIN:
		at->idle_around = at->state == SHUNT_WORKER_IDLE;
		enter(at, SHUNT_WORKER_WAITING, now_ns);
		break;
	case SHUNT_TRACE_WAIT_END:
		if (!wakes_beside(check, at, now_ns))
			return false;
		enter(at, at->idle_around ? SHUNT_WORKER_IDLE : SHUNT_WORKER_SCHEDULING, now_ns);
		break;
	case SHUNT_TRACE_RUN_END:
	case SHUNT_TRACE_IDLE_END:
		enter(at, SHUNT_WORKER_SCHEDULING, now_ns);
		break;
	default:
		break;
	}
	return true;
}

static void apply_run_end(struct shunt_checker *check, const struct shunt_follower *at,
	struct shunt_trace_task *task, unsigned why)
{
	static const uint8_t then[] = {
		[SHUNT_TRACE_END_YIELD] = SHUNT_STATE_YIELDED,
		[SHUNT_TRACE_END_PARK] = SHUNT_STATE_PARKED,
		[SHUNT_TRACE_END_SLEEP] = SHUNT_STATE_SLEEPING,
		[SHUNT_TRACE_END_BLOCK] = SHUNT_STATE_BLOCKED,
		[SHUNT_TRACE_END_EXIT] = SHUNT_STATE_ENDED,
		[SHUNT_TRACE_END_PREEMPT] = SHUNT_STATE_YIELDED,
	};

	task->state = then[why];
	task->worker = at->ring->worker;
	task->held = why == SHUNT_TRACE_END_PREEMPT;
	check->report->ended += why == SHUNT_TRACE_END_EXIT;
}

static bool apply_task(struct shunt_checker *check, struct shunt_follower *at,
	const struct shunt_trace_event *event)
{
	struct shunt_trace_report *report = check->report;
	struct shunt_trace_task *task = shunt_trace_tasks_find(&check->tasks, event->task);
	struct shunt_trace_queue *queue;

	switch (event->kind) {
	case SHUNT_TRACE_SPAWN:
		report->tasks++;
		return shunt_trace_tasks_add(&check->tasks, event->task) != NULL;
	case SHUNT_TRACE_ENQUEUE:
		task->state = SHUNT_STATE_READY;
		task->ready_ns = event->time_ns;
		task->queue = event->arg;
		shunt_trace_queue_push(queue_of(check, task), &check->tasks, task);
		report->enqueued++;
		break;
	case SHUNT_TRACE_DEQUEUE:
		queue = queue_of(check, task);
		if (!taken_beside(check, task, queue, event->time_ns))
			return false;
		shunt_trace_queue_remove(queue, &check->tasks, task);
		task->state = SHUNT_STATE_TAKEN;
		report->dequeued++;
		break;
	case SHUNT_TRACE_RUN_BEGIN:
		task->state = SHUNT_STATE_RUNNING;
		task->held = false;
		break;
	case SHUNT_TRACE_RUN_END:
		apply_run_end(check, at, task, event->why);
		break;
	case SHUNT_TRACE_WAKE:
		report->wakes++;
		if (event->why == SHUNT_TRACE_WAKE_WON)
			task->state = SHUNT_STATE_WOKEN;
		break;
	case SHUNT_TRACE_TIMER_ARM:
		task->armed = true;
		task->deadline_ns = event->arg;
		report->timers_armed++;
		break;
	case SHUNT_TRACE_TIMER_FIRE:
		task->armed = false;
		task->state = SHUNT_STATE_WOKEN;
		report->timers_fired++;
		break;
	case SHUNT_TRACE_TIMER_CANCEL:
		task->armed = false;
		report->timers_cancelled++;
		break;
	case SHUNT_TRACE_STEAL:
		report->steals++;
		break;
	case SHUNT_TRACE_INJECT:
		report->injected++;
		break;
	case SHUNT_TRACE_IO_BEGIN:
		task->in_io = true;
		task->fd = event->arg;
		report->io_begun++;
		break;
	case SHUNT_TRACE_IO_END:
		task->in_io = false;
		report->io_ended++;
		break;
	default:
		break;
	}
	return true;
}

bool shunt_trace_apply(struct shunt_checker *check, struct shunt_follower *at,
	const struct shunt_trace_event *event)
{
	return apply_task(check, at, event) && apply_worker(check, at, event);
}
