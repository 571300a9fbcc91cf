/* SPDX-License-Identifier: MIT */
/*
 * The engine's probes: the trace, and sampled scheduling delays.
 *
 * Called only by the probe variants of the hooks and on cold paths (each checks engine->probing),
 * so that a run without probes pays nothing. Events are stamped as core/measure/trace.h asks: what
 * gives a task away before the act, what takes one after it.
 */
#ifndef SHUNT_CORE_ENGINE_PROBE_H
#define SHUNT_CORE_ENGINE_PROBE_H

#include "core/engine/worker.h"

enum shunt_probe_reason {
	SHUNT_PROBE_YIELD,    /* from is enqueued, to comes from a queue */
	SHUNT_PROBE_PREEMPT,  /* the same; from stays on this worker */
	SHUNT_PROBE_BLOCK,    /* from waits (told before) */
	SHUNT_PROBE_TRANSFER, /* from waits, to was claimed and never queued */
	SHUNT_PROBE_END,      /* from has ended (told before); to comes from a queue */
	SHUNT_PROBE_LOOP,     /* the worker's own stack takes up to */
};

enum shunt_probe_timer_event {
	SHUNT_PROBE_ARM,
	SHUNT_PROBE_FIRE,
	SHUNT_PROBE_CANCEL,
};

/* A switch; from may be NULL, to may be the worker's loop. */
void shunt_probe_switch(struct shunt_worker *worker, struct shunt_task *from, struct shunt_task *to,
	enum shunt_probe_reason reason);
/* The running task is about to wait. Before the slow path, which may end that very wait. */
void shunt_probe_leave(struct shunt_worker *worker);
void shunt_probe_spawn(struct shunt_worker *worker, struct shunt_task *task);
/* A source outside announces itself: its ring is made now, not at its first event. Context: any
 * thread, with a trace; takes its lock. */
void shunt_probe_outside(struct shunt_engine *engine);
/* As shunt_probe_spawn, from a thread that is no worker, before it hands the task to worker `home`.
 * Context: any thread, with a trace; takes its lock. */
void shunt_probe_spawn_outside(struct shunt_engine *engine, const struct shunt_task *task,
	unsigned home);
/* A task becomes ready: enqueued, or (queued false) taken up by a transfer. */
void shunt_probe_ready(struct shunt_worker *worker, struct shunt_task *task, unsigned why,
	bool queued);
void shunt_probe_end(struct shunt_worker *worker, struct shunt_task *task);
void shunt_probe_timer(struct shunt_worker *worker, struct shunt_task *task,
	enum shunt_probe_timer_event event, int64_t deadline_ns);
void shunt_probe_steal(struct shunt_worker *thief, struct shunt_worker *victim,
	struct shunt_task *task);
/* The thief found nothing to take of a victim. */
void shunt_probe_look(struct shunt_worker *thief);
/* The running task begins an operation, or has its result. */
void shunt_probe_io_begin(struct shunt_worker *worker, const struct shunt_io_op *op);
void shunt_probe_io_end(struct shunt_worker *worker, const struct shunt_io_op *op, int64_t result);
/* begin or end; these check engine->probing themselves. */
void shunt_probe_worker(struct shunt_worker *worker, bool begin);
void shunt_probe_idle(struct shunt_worker *worker, bool begin);
/* An end without a begin is none: an event that the wait slot collects ends the sleep early. */
void shunt_probe_sleep(struct shunt_worker *worker, bool begin);

#endif
