/* SPDX-License-Identifier: MIT */
/*
 * The checker: does a trace close?
 *
 * It reads a file of shunt_trace_export, puts all events in one order, and follows every worker and
 * every task through the states of trace.h. A trace closes if
 *   - every nanosecond of every worker, from its start to its stop, is in exactly one state;
 *   - every task makes legal transitions only, each timer is armed, then fires or is cancelled,
 *     none before its deadline;
 *   - every operation of input and output ends in the task that began it, one at a time;
 *   - what was enqueued was dequeued or is still queued;
 *   - no task stays ready longer than a grace while a worker that could run it sleeps;
 *   - every task that started has ended, or is listed.
 * With a dropped event, or a worker that never stopped, nothing can be proved: it cannot be closed.
 *
 * Events stamped alike are put in whichever order is legal. The first event that is not legal ends
 * the check: what follows it means nothing.
 */
#ifndef SHUNT_CORE_MEASURE_TRACE_CHECK_H
#define SHUNT_CORE_MEASURE_TRACE_CHECK_H

#include <stddef.h>
#include <stdint.h>

struct shunt_error; /* core/param.h */
struct shunt_trace;

enum shunt_trace_verdict {
	SHUNT_TRACE_CLOSES,
	SHUNT_TRACE_BROKEN,       /* an event, or the end, is not legal */
	SHUNT_TRACE_CANNOT_CLOSE, /* events are missing, as the file says itself */
};

struct shunt_trace_rules {
	/* How long a task may be ready beside a sleeping worker; 0: 200 ms. The kernel needs some
	 * time to wake a thread, much when the machine is loaded; a lost wake-up takes for ever. */
	uint64_t grace_ns;
};

/* Where one worker's time went. The four add up to the span. */
struct shunt_trace_times {
	unsigned worker;
	uint64_t span_ns, run_ns, schedule_ns, idle_ns, wait_ns;
};

#define SHUNT_TRACE_LISTED 16

struct shunt_trace_report {
	enum shunt_trace_verdict verdict;
	/* One line that names the file and what is wrong; "" if it closes. */
	char message[512];
	/* The event that breaks it, if one does (else index is UINT64_MAX): its ring, its place in
	 * the ring's list, its task and its time. worker is UINT32_MAX for all other threads. */
	unsigned worker;
	uint64_t index, task, time_ns;

	uint64_t events, dropped;
	uint64_t tasks, ended;
	uint64_t enqueued, dequeued, queued;
	uint64_t runs, wakes, timers_armed, timers_fired, timers_cancelled, steals, injected;
	uint64_t io_begun, io_ended;
	uint64_t ready_beside_sleep_ns; /* the longest */

	/* The tasks that have not ended: how many, and the first of them with their state. */
	uint64_t left;
	struct {
		uint64_t task;
		const char *state; /* "ready", "parked", ... */
	} left_task[SHUNT_TRACE_LISTED];

	struct shunt_trace_times *times; /* one a worker, by index */
	size_t times_count;
};

/**
 * Checks a file. A report is filled in whenever 0 is returned, and needs shunt_trace_report_fini.
 *
 * @rules: NULL for the defaults.
 * Returns 0 (look at the verdict); -EBADMSG for a file that is damaged or no trace of shunt's, with
 * line and column in err; -ENOENT, -EACCES, -EISDIR, ...; -ENOMEM. Context: any thread; slow.
 */
int shunt_trace_check(const char *path, const struct shunt_trace_rules *rules,
	struct shunt_trace_report *report, struct shunt_error *err);

/** The same for a trace in memory; `name` stands in messages for the file. */
int shunt_trace_check_loaded(const struct shunt_trace *trace, const char *name,
	const struct shunt_trace_rules *rules, struct shunt_trace_report *report,
	struct shunt_error *err);

void shunt_trace_report_fini(struct shunt_trace_report *report);

/** Reads a file of shunt_trace_export. Returns as shunt_trace_check; the caller frees the trace. */
int shunt_trace_load(const char *path, struct shunt_trace **trace, struct shunt_error *err);

#endif
