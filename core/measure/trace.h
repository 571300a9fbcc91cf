/* SPDX-License-Identifier: MIT */
/*
 * The trace: what every worker and every task did, to the nanosecond, in a form that can be proved
 * complete.
 *
 * Each worker writes fixed 32-byte events into a ring of its own, without atomics; a full ring
 * drops what comes after and counts it. A thread that is no worker writes into one ring more, under
 * a lock. shunt_trace_export writes a file that Perfetto and Chrome open; shunt_trace_check reads
 * the same file and says whether it closes (trace_check.h).
 *
 * The protocol, which makes the order of the stamps the order of the causes:
 *   - an event that gives a task away (spawn, enqueue, run_end, timer_arm) is stamped before the
 *     act that lets another thread see it;
 *   - an event that takes one (dequeue, run_begin, wake, timer_fire) is stamped after it was won,
 *     and before what follows from it gives the task away.
 *
 * A task's life, and the events that move it (a wake that only leaves a permit moves nothing):
 *
 *   spawn -> NEW -enqueue-> READY -dequeue-> TAKEN -run_begin-> RUNNING -run_end-> one of
 *     YIELDED (or preempted) -enqueue-> READY  or -run_begin-> RUNNING   (the policy kept it)
 *     BLOCKED -wake or timer_fire-> WOKEN -enqueue-> READY       or -run_begin-> (a transfer)
 *     ENDED
 *   NEW -run_begin-> RUNNING   (a child that runs at once);   TAKEN -enqueue(MIGRATE)-> READY
 *
 * An operation of input or output begins and ends in its running task, which may block, move and
 * yield in between.
 *
 * A worker is, between worker_start and worker_stop, at each nanosecond in exactly one of: running
 * a task, scheduling, idle (looking for work), waiting (in the kernel).
 *
 * It is off in every headline run: an event costs about a reading of the clock, and
 * shunt_trace_cost_ns measures how much for the record.
 */
#ifndef SHUNT_CORE_MEASURE_TRACE_H
#define SHUNT_CORE_MEASURE_TRACE_H

#include "core/measure/clock.h"

#include <stddef.h>
#include <stdint.h>

struct shunt_error; /* core/param.h */
struct shunt_trace;

enum shunt_trace_kind {
	SHUNT_TRACE_WORKER_START, /* the worker's first event; again after each worker_stop */
	SHUNT_TRACE_WORKER_STOP,
	SHUNT_TRACE_SPAWN,      /* task; arg: the parent's id, 0 from outside */
	SHUNT_TRACE_ENQUEUE,    /* task; why: enum shunt_why; arg: the queue's worker or ANY */
	SHUNT_TRACE_DEQUEUE,    /* task: taken off a queue, by a pick or a steal */
	SHUNT_TRACE_RUN_BEGIN,  /* task */
	SHUNT_TRACE_RUN_END,    /* task; why: enum shunt_trace_end */
	SHUNT_TRACE_WAKE,       /* task; why: enum shunt_trace_wake; arg: the waker's id, 0 none */
	SHUNT_TRACE_TIMER_ARM,  /* task; arg: the deadline, ns of CLOCK_MONOTONIC */
	SHUNT_TRACE_TIMER_FIRE, /* task: its timer won, the task is to be made ready */
	SHUNT_TRACE_TIMER_CANCEL, /* task: its timer lost; a tombstone may remain in the queue */
	SHUNT_TRACE_IDLE_BEGIN,   /* nothing to run: search, spin */
	SHUNT_TRACE_IDLE_END,
	SHUNT_TRACE_WAIT_BEGIN, /* about to block in the kernel; within idle or by itself */
	SHUNT_TRACE_WAIT_END,
	SHUNT_TRACE_STEAL,  /* task: will be dequeued here, 0 unknown; arg: the victim's index */
	SHUNT_TRACE_INJECT, /* task: handed over by a thread that is no worker; arg: to which */
	/* task: begins an operation of input or output, or has its result; why: enum
	 * shunt_io_code, or enum shunt_trace_io; arg: the descriptor's number, ANY for an open
	 * that has none yet */
	SHUNT_TRACE_IO_BEGIN,
	SHUNT_TRACE_IO_END,
	SHUNT_TRACE_KINDS
};

/* Why a run ended. */
enum shunt_trace_end {
	SHUNT_TRACE_END_YIELD,
	SHUNT_TRACE_END_PARK,  /* may be woken, may have a timer */
	SHUNT_TRACE_END_SLEEP, /* only its timer ends it, which is armed by the next event at latest
				*/
	SHUNT_TRACE_END_BLOCK, /* in a join or a sync object; as park */
	SHUNT_TRACE_END_EXIT,  /* the task has ended */
	SHUNT_TRACE_END_PREEMPT, /* as yield, but this worker alone may run it next */
};

/* What a wake did. */
enum shunt_trace_wake {
	SHUNT_TRACE_WAKE_WON,    /* the task was blocked and is now this waker's to make ready */
	SHUNT_TRACE_WAKE_PERMIT, /* it was not: a permit was left, or was there already */
	SHUNT_TRACE_WAKE_STALE,  /* it had ended */
};

/* How an operation ended. */
enum shunt_trace_io {
	SHUNT_TRACE_IO_DONE,
	SHUNT_TRACE_IO_FAILED,
	SHUNT_TRACE_IO_TIMED_OUT,
	SHUNT_TRACE_IO_CANCELED, /* the descriptor was closed */
};

/* The `worker` of the ring for all threads that are none. */
#define SHUNT_TRACE_OUTSIDE UINT32_MAX

/* The queue of an enqueue whose task any worker may pick; a descriptor that has no number yet. */
#define SHUNT_TRACE_ANY UINT64_MAX

struct shunt_trace_event {
	uint64_t time_ns;
	uint64_t task; /* an id that no other task of the trace has; 0: none */
	uint64_t arg;
	uint32_t kind;
	uint32_t why;
};

/* One writer. Padded to its own cache lines. */
struct shunt_trace_ring {
	struct shunt_trace_event *event;
	uint64_t count, capacity;
	uint64_t dropped;
	const struct shunt_clock *clock;
	unsigned worker;
} __attribute__((aligned(128)));

/**
 * Writes one event, stamped with time_ns. Context: the ring's worker; does not block or allocate.
 */
static inline void shunt_trace_emit_at(struct shunt_trace_ring *ring, uint64_t time_ns,
	enum shunt_trace_kind kind, unsigned why, uint64_t task, uint64_t arg)
{
	if (__builtin_expect(ring->count >= ring->capacity, 0)) {
		ring->dropped++;
		return;
	}
	ring->event[ring->count++] = (struct shunt_trace_event){.time_ns = time_ns,
		.task = task,
		.arg = arg,
		.kind = kind,
		.why = why};
}

/** Writes one event, stamped now. Context: the ring's worker; does not block or allocate. */
static inline void shunt_trace_emit(struct shunt_trace_ring *ring, enum shunt_trace_kind kind,
	unsigned why, uint64_t task, uint64_t arg)
{
	shunt_trace_emit_at(ring, shunt_clock_ordered_ns(ring->clock), kind, why, task, arg);
}

/**
 * Makes a trace whose rings hold `capacity` events each (0: 262,144, which is 8 MiB).
 *
 * @clock: stamps the events; kept, not copied. With a counter for a clock a timer is judged early
 *         only beyond the calibration's error.
 * Returns 0 or -ENOMEM. Context: any thread.
 */
int shunt_trace_new(struct shunt_trace **trace, uint64_t capacity, const struct shunt_clock *clock);
void shunt_trace_free(struct shunt_trace *trace);

/** Events are stamped by this clock, which is copied. Context: before the first ring is made. */
void shunt_trace_clock(struct shunt_trace *trace, const struct shunt_clock *clock);

/**
 * The ring of a worker, made and touched at the first call; NULL when memory is short. Valid as
 * long as the trace. Context: any thread, outside hot paths; takes a lock, may block the thread.
 */
struct shunt_trace_ring *shunt_trace_ring(struct shunt_trace *trace, unsigned worker);

/** Writes one event of a thread that is no worker. Context: any thread; takes a lock. */
void shunt_trace_emit_outside(struct shunt_trace *trace, enum shunt_trace_kind kind, unsigned why,
	uint64_t task, uint64_t arg);

/**
 * Says that any worker may come to run what is queued on another (the policy steals or shares).
 * Without it a worker may sleep while others have ready tasks. Context: before the run.
 */
void shunt_trace_share(struct shunt_trace *trace);

/** Names a task, for the eye. 0 or -ENOMEM. Context: any thread; takes a lock, copies the name. */
int shunt_trace_name(struct shunt_trace *trace, uint64_t task, const char *name);

/* "run_end"; NULL: no kind has this number. */
const char *shunt_trace_kind_name(unsigned kind);
/* "yield", "wake+remote", "-": the word for an event's why, into text. */
const char *shunt_trace_why_name(unsigned kind, unsigned why, char text[24]);

/* An event, and the worker whose it is. */
struct shunt_trace_moment {
	struct shunt_trace_event event;
	unsigned worker;
};

/**
 * All events of the workers in the order of their times, those of one time by worker: a copy, which
 * the caller frees. 0 or -ENOMEM. Context: any thread; after the run. (trace_moments.c)
 */
int shunt_trace_moments(const struct shunt_trace *trace, struct shunt_trace_moment **moments,
	size_t *count);

/** All events written and all dropped, over all rings. Context: after the run. */
uint64_t shunt_trace_events(const struct shunt_trace *trace);
uint64_t shunt_trace_dropped(const struct shunt_trace *trace);

/** What one event costs here, in nanoseconds, measured on a ring in cache. Context: any thread. */
double shunt_trace_cost_ns(const struct shunt_clock *clock);

/**
 * Writes the trace as JSON in the Trace Event Format: a track per worker with a slice for each run
 * of a task, each idle time and each wait, an instant for each wake and timer; beside them, under
 * "shunt", every event as it was recorded, for shunt_trace_check.
 *
 * Returns 0 or a negative errno, with err naming the path and the remedy; a file that could not be
 * finished is removed, and one that exists already is -EEXIST. Context: any thread; after the run.
 */
int shunt_trace_export(const struct shunt_trace *trace, const char *path, struct shunt_error *err);

#endif
