/* SPDX-License-Identifier: MIT */
/* The engine's probes (probe.h). In the trace a task's id is its number plus 1; 0 stands for no
 * task. */
#include "core/engine/probe.h"

#include "core/engine/sim.h"
#include "core/measure/hist.h"
#include "core/measure/trace.h"

#include <errno.h>

static uint64_t id_of(const struct shunt_task *task)
{
	return task->id + 1;
}

static bool is_task(const struct shunt_worker *worker, const struct shunt_task *task)
{
	return task && task != &worker->loop && task != &worker->dying;
}

static uint64_t running_id(const struct shunt_worker *worker)
{
	return is_task(worker, worker->ctx.current) ? id_of(worker->ctx.current) : 0;
}

static void emit(struct shunt_worker *worker, enum shunt_trace_kind kind, unsigned why,
	uint64_t task, uint64_t arg)
{
	if (worker->trace)
		shunt_trace_emit(worker->trace, kind, why, task, arg);
}

/* In virtual time an act takes what the cost table says. */
static void charge(struct shunt_worker *worker, enum shunt_cost cost)
{
	if (worker->engine->sim)
		shunt_sim_charge(worker, cost);
}

/* One in sched_delay_every tasks that become ready is followed until it runs. */
static void delay_begin(struct shunt_worker *worker, struct shunt_task *task)
{
	struct shunt_engine *engine = worker->engine;
	task->ready_ns = 0;
	if (!engine->sched_delay || worker->sched_delay_countdown-- > 0)
		return;
	worker->sched_delay_countdown = engine->sched_delay_every - 1;
	task->ready_ns = shunt_now_ns();
}

static void delay_end(struct shunt_worker *worker, struct shunt_task *task)
{
	struct shunt_engine *engine = worker->engine;
	if (!task->ready_ns)
		return;
	int64_t delay = shunt_now_ns() - task->ready_ns;
	task->ready_ns = 0;
	shunt_spin_lock(&engine->sched_delay_lock, worker->ctx.many);
	shunt_hist_record(engine->sched_delay, delay);
	shunt_spin_unlock(&engine->sched_delay_lock, worker->ctx.many);
}

static unsigned queue_of(const struct shunt_worker *worker, const struct shunt_task *task)
{
	const struct shunt_policy *policy = worker->engine->policy;
	return policy->steals || policy->shared || !worker->ctx.many ? worker->ctx.index
								     : task->home;
}

static void emit_enqueue(struct shunt_worker *worker, struct shunt_task *task, unsigned why)
{
	emit(worker, SHUNT_TRACE_ENQUEUE, why, id_of(task),
		worker->engine->policy->shared ? SHUNT_TRACE_ANY : queue_of(worker, task));
}

static enum shunt_trace_end end_of(const struct shunt_task *from)
{
	uint64_t state = shunt_word_state(shunt_word_load(from, true));
	if (state == SHUNT_TASK_PARKING || state == SHUNT_TASK_PARKED)
		return SHUNT_TRACE_END_PARK;
	return from->wait_what == SHUNT_WAIT_SLEEP ? SHUNT_TRACE_END_SLEEP : SHUNT_TRACE_END_BLOCK;
}

void shunt_probe_switch(struct shunt_worker *worker, struct shunt_task *from, struct shunt_task *to,
	enum shunt_probe_reason reason)
{
	if (is_task(worker, from) && reason == SHUNT_PROBE_TRANSFER)
		emit(worker, SHUNT_TRACE_RUN_END, SHUNT_TRACE_END_PARK, id_of(from), 0);
	if (is_task(worker, from) && reason == SHUNT_PROBE_YIELD) {
		emit(worker, SHUNT_TRACE_RUN_END, SHUNT_TRACE_END_YIELD, id_of(from), 0);
		delay_begin(worker, from);
		emit_enqueue(worker, from, SHUNT_WHY_YIELD | SHUNT_FROM_LOCAL);
	}
	if (reason == SHUNT_PROBE_PREEMPT) {
		emit(worker, SHUNT_TRACE_RUN_END, SHUNT_TRACE_END_PREEMPT, id_of(from), 0);
		delay_begin(worker, from);
		emit(worker, SHUNT_TRACE_ENQUEUE, SHUNT_WHY_YIELD | SHUNT_FROM_LOCAL, id_of(from),
			worker->ctx.index);
	}
	if (!is_task(worker, to))
		return;
	charge(worker, to->step ? SHUNT_COST_STEP : SHUNT_COST_SWITCH);
	if (reason != SHUNT_PROBE_TRANSFER)
		emit(worker, SHUNT_TRACE_DEQUEUE, 0, id_of(to), 0);
	emit(worker, SHUNT_TRACE_RUN_BEGIN, 0, id_of(to), 0);
	delay_end(worker, to);
}

void shunt_probe_leave(struct shunt_worker *worker)
{
	const struct shunt_task *task = worker->ctx.current;
	emit(worker, SHUNT_TRACE_RUN_END, end_of(task), id_of(task), 0);
}

void shunt_probe_spawn(struct shunt_worker *worker, struct shunt_task *task)
{
	charge(worker, SHUNT_COST_SPAWN);
	emit(worker, SHUNT_TRACE_SPAWN, 0, id_of(task), running_id(worker));
	if (worker->trace && task->name)
		shunt_trace_name(worker->engine->trace, id_of(task), task->name);
}

void shunt_probe_outside(struct shunt_engine *engine)
{
	/* No memory for it: its events are counted as dropped. */
	(void)shunt_trace_ring(engine->trace, SHUNT_TRACE_OUTSIDE);
}

void shunt_probe_spawn_outside(struct shunt_engine *engine, const struct shunt_task *task,
	unsigned home)
{
	shunt_trace_emit_outside(engine->trace, SHUNT_TRACE_SPAWN, 0, id_of(task), 0);
	shunt_trace_emit_outside(engine->trace, SHUNT_TRACE_INJECT, 0, id_of(task), home);
	if (task->name)
		shunt_trace_name(engine->trace, id_of(task), task->name);
}

void shunt_probe_ready(struct shunt_worker *worker, struct shunt_task *task, unsigned why,
	bool queued)
{
	unsigned cause = why & SHUNT_WHY_CAUSE;
	if (cause == SHUNT_WHY_WAKE || cause == SHUNT_WHY_TIMER)
		charge(worker, SHUNT_COST_READY);
	if (cause == SHUNT_WHY_WAKE)
		emit(worker, SHUNT_TRACE_WAKE, SHUNT_TRACE_WAKE_WON, id_of(task),
			running_id(worker));
	delay_begin(worker, task);
	if (queued)
		emit_enqueue(worker, task, why);
}

void shunt_probe_end(struct shunt_worker *worker, struct shunt_task *task)
{
	emit(worker, SHUNT_TRACE_RUN_END, SHUNT_TRACE_END_EXIT, id_of(task), 0);
}

void shunt_probe_timer(struct shunt_worker *worker, struct shunt_task *task,
	enum shunt_probe_timer_event event, int64_t deadline_ns)
{
	static const enum shunt_trace_kind kinds[] = {
		[SHUNT_PROBE_ARM] = SHUNT_TRACE_TIMER_ARM,
		[SHUNT_PROBE_FIRE] = SHUNT_TRACE_TIMER_FIRE,
		[SHUNT_PROBE_CANCEL] = SHUNT_TRACE_TIMER_CANCEL,
	};
	emit(worker, kinds[event], 0, id_of(task), (uint64_t)deadline_ns);
}

void shunt_probe_steal(struct shunt_worker *thief, struct shunt_worker *victim,
	struct shunt_task *task)
{
	charge(thief, SHUNT_COST_STEAL);
	emit(thief, SHUNT_TRACE_STEAL, 0, id_of(task), victim->ctx.index);
}

void shunt_probe_look(struct shunt_worker *thief)
{
	charge(thief, SHUNT_COST_LOOK);
}

static uint64_t number_of(const struct shunt_io_op *op)
{
	return op->fd < 0 ? SHUNT_TRACE_ANY : (uint64_t)op->fd;
}

void shunt_probe_io_begin(struct shunt_worker *worker, const struct shunt_io_op *op)
{
	emit(worker, SHUNT_TRACE_IO_BEGIN, op->code, running_id(worker), number_of(op));
}

void shunt_probe_io_end(struct shunt_worker *worker, const struct shunt_io_op *op, int64_t result)
{
	enum shunt_trace_io how = SHUNT_TRACE_IO_DONE;
	if (result < 0)
		how = result == -ETIMEDOUT   ? SHUNT_TRACE_IO_TIMED_OUT
		      : result == -ECANCELED ? SHUNT_TRACE_IO_CANCELED
					     : SHUNT_TRACE_IO_FAILED;
	bool opened = op->code == SHUNT_IO_OPEN && result >= 0;
	emit(worker, SHUNT_TRACE_IO_END, how, running_id(worker),
		opened ? (uint64_t)result : number_of(op));
}

void shunt_probe_worker(struct shunt_worker *worker, bool begin)
{
	struct shunt_engine *engine = worker->engine;
	if (begin && engine->trace && !worker->trace)
		worker->trace = shunt_trace_ring(engine->trace, worker->ctx.index);
	emit(worker, begin ? SHUNT_TRACE_WORKER_START : SHUNT_TRACE_WORKER_STOP, 0, 0, 0);
}

void shunt_probe_idle(struct shunt_worker *worker, bool begin)
{
	emit(worker, begin ? SHUNT_TRACE_IDLE_BEGIN : SHUNT_TRACE_IDLE_END, 0, 0, 0);
}

void shunt_probe_sleep(struct shunt_worker *worker, bool begin)
{
	if (begin == worker->trace_waits)
		return;
	worker->trace_waits = begin;
	emit(worker, begin ? SHUNT_TRACE_WAIT_BEGIN : SHUNT_TRACE_WAIT_END, 0, 0, 0);
}
