/* SPDX-License-Identifier: MIT */
/*
 * The checker of a trace: one pass over all events in order of time, and a look at how it ends. The
 * rules are in trace_judge.c and trace_apply.c.
 *
 * Where several rings' next events carry the same stamp, the first that is legal goes first: a
 * coarse counter, or virtual time, stamps cause and effect alike, and only one order of the two
 * makes sense.
 */
#include "core/measure/trace_check.h"

#include "core/measure/trace.h"
#include "core/measure/trace_rules.h"
#include "core/param.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GRACE_DEFAULT_NS 200000000u

/* ---- the pass -------------------------------------------------------------------------------- */

/* The ring whose event comes next: the earliest, and of equals the first that is legal. */
static struct shunt_follower *next_of(struct shunt_checker *check)
{
	struct shunt_follower *first = NULL, *tied = NULL;
	uint64_t least = UINT64_MAX;

	for (size_t i = 0; i < check->follower_count; i++) {
		struct shunt_follower *at = &check->follower[i];
		uint64_t time_ns;

		if (at->next == at->ring->count)
			continue;
		time_ns = at->ring->event[at->next].time_ns;
		if (!first || time_ns < least) {
			first = at;
			tied = NULL;
			least = time_ns;
		} else if (time_ns == least) {
			tied = at;
		}
	}
	if (!tied || shunt_trace_judge(check, first, &first->ring->event[first->next]))
		return first;
	for (size_t i = 0; i < check->follower_count; i++) {
		struct shunt_follower *at = &check->follower[i];

		if (at != first && at->next < at->ring->count &&
			at->ring->event[at->next].time_ns == least &&
			shunt_trace_judge(check, at, &at->ring->event[at->next]))
			return at;
	}
	return first;
}

static void blame(struct shunt_checker *check, const char *name, const struct shunt_follower *at)
{
	struct shunt_trace_report *report = check->report;
	const struct shunt_trace_event *event = &at->ring->event[at->next];
	char who[32] = "other threads";

	if (at->ring->worker != SHUNT_TRACE_OUTSIDE)
		snprintf(who, sizeof(who), "worker %u", at->ring->worker);
	report->verdict = SHUNT_TRACE_BROKEN;
	report->worker = at->ring->worker;
	report->index = at->next;
	report->task = event->task;
	report->time_ns = event->time_ns;
	snprintf(report->message, sizeof(report->message),
		"%s: %s, event %" PRIu64 ", at %" PRIu64 " ns, %s of task %" PRIu64 ": %s", name,
		who, at->next, event->time_ns, shunt_trace_kind_name(event->kind), event->task,
		check->why);
}

/* Follows all events; false when one is not legal, or memory is short (why is then empty). */
static bool follow(struct shunt_checker *check, const char *name)
{
	for (;;) {
		struct shunt_follower *at = next_of(check);

		if (!at)
			return true;
		const struct shunt_trace_event *event = &at->ring->event[at->next];
		check->why[0] = '\0';
		if (!shunt_trace_judge(check, at, event) || !shunt_trace_apply(check, at, event)) {
			if (check->why[0])
				blame(check, name, at);
			return false;
		}
		at->next++;
		check->report->events++;
	}
}

/* ---- the ends -------------------------------------------------------------------------------- */

static void __attribute__((format(printf, 3, 4))) conclude(struct shunt_trace_report *report,
	enum shunt_trace_verdict verdict, const char *format, ...)
{
	va_list args;

	if (report->verdict != SHUNT_TRACE_CLOSES)
		return;
	report->verdict = verdict;
	va_start(args, format);
	vsnprintf(report->message, sizeof(report->message), format, args);
	va_end(args);
}

/* Dropped events make every rule about what follows meaningless. */
static bool is_complete(struct shunt_checker *check, const char *name)
{
	const struct shunt_trace *trace = check->trace;

	for (size_t i = 0; i < trace->ring_count; i++)
		if (trace->ring[i]->dropped)
			conclude(check->report, SHUNT_TRACE_CANNOT_CLOSE,
				"%s: cannot be closed: ring %zu dropped %" PRIu64
				" events after its first %" PRIu64
				"; trace again with larger rings, or less",
				name, i, trace->ring[i]->dropped, trace->ring[i]->count);
	if (trace->homeless)
		conclude(check->report, SHUNT_TRACE_CANNOT_CLOSE,
			"%s: cannot be closed: %" PRIu64 " events found no memory", name,
			trace->homeless);
	if (shunt_trace_events(trace) == 0)
		conclude(check->report, SHUNT_TRACE_CANNOT_CLOSE, "%s: it has no event", name);
	return check->report->verdict == SHUNT_TRACE_CLOSES;
}

static void end_workers(struct shunt_checker *check, const char *name)
{
	for (size_t i = 0; i < check->follower_count; i++) {
		const struct shunt_follower *at = &check->follower[i];
		const struct shunt_trace_times *times = &at->times;

		if (at->ring->worker == SHUNT_TRACE_OUTSIDE)
			continue;
		if (at->state != SHUNT_WORKER_OFF)
			conclude(check->report, SHUNT_TRACE_CANNOT_CLOSE,
				"%s: cannot be closed: worker %u never stopped (it ends %s)", name,
				at->ring->worker, shunt_worker_state_name(at->state));
		else if (times->run_ns + times->schedule_ns + times->idle_ns + times->wait_ns !=
			 times->span_ns)
			conclude(check->report, SHUNT_TRACE_BROKEN,
				"%s: the states of worker %u do not add up to its span", name,
				at->ring->worker);
	}
}

static void end_tasks(struct shunt_checker *check, const char *name)
{
	struct shunt_trace_report *report = check->report;

	for (uint32_t i = 0; i < check->tasks.count; i++) {
		const struct shunt_trace_task *task = &check->tasks.task[i];

		report->queued += task->state == SHUNT_STATE_READY;
		if (task->state == SHUNT_STATE_SLEEPING && !task->armed) {
			report->task = task->id;
			conclude(report, SHUNT_TRACE_BROKEN,
				"%s: task %" PRIu64 " sleeps and no timer will wake it", name,
				task->id);
		}
		if (task->state == SHUNT_STATE_ENDED)
			continue;
		if (report->left < SHUNT_TRACE_LISTED) {
			report->left_task[report->left].task = task->id;
			report->left_task[report->left].state = shunt_trace_state_name(task->state);
		}
		report->left++;
	}
	if (report->enqueued != report->dequeued + report->queued)
		conclude(report, SHUNT_TRACE_BROKEN,
			"%s: %" PRIu64 " were enqueued, %" PRIu64 " dequeued and %" PRIu64
			" are queued",
			name, report->enqueued, report->dequeued, report->queued);
}

static int by_worker(const void *a, const void *b)
{
	const struct shunt_trace_times *x = a, *y = b;

	return (x->worker > y->worker) - (x->worker < y->worker);
}

static int report_times(struct shunt_checker *check)
{
	struct shunt_trace_report *report = check->report;

	report->times = calloc(check->follower_count + 1, sizeof(*report->times));
	if (!report->times)
		return -ENOMEM;
	for (size_t i = 0; i < check->follower_count; i++)
		if (check->follower[i].ring->worker != SHUNT_TRACE_OUTSIDE)
			report->times[report->times_count++] = check->follower[i].times;
	qsort(report->times, report->times_count, sizeof(*report->times), by_worker);
	return 0;
}

static int begin(struct shunt_checker *check)
{
	const struct shunt_trace *trace = check->trace;

	check->ready = (struct shunt_trace_queue){SHUNT_NO_TASK, SHUNT_NO_TASK};
	check->follower = calloc(trace->ring_count + 1, sizeof(*check->follower));
	if (!check->follower || shunt_trace_tasks_init(&check->tasks) < 0)
		return -ENOMEM;
	check->follower_count = trace->ring_count;
	check->base_ns = UINT64_MAX;
	for (size_t i = 0; i < trace->ring_count; i++) {
		const struct shunt_trace_ring *ring = trace->ring[i];

		check->follower[i].ring = ring;
		check->follower[i].ready = check->ready;
		check->follower[i].times.worker = ring->worker;
		if (ring->count && ring->event[0].time_ns < check->base_ns)
			check->base_ns = ring->event[0].time_ns;
	}
	/* The counter is off by a share of what has passed since its calibration began. */
	uint64_t since = trace->clock ? trace->clock->base_ns : trace->clock_base_ns;
	if (since && since < check->base_ns)
		check->base_ns = since;
	return 0;
}

int shunt_trace_check_loaded(const struct shunt_trace *trace, const char *name,
	const struct shunt_trace_rules *rules, struct shunt_trace_report *report,
	struct shunt_error *err)
{
	struct shunt_checker check = {.trace = trace, .report = report};
	int rc = begin(&check);

	*report = (struct shunt_trace_report){.index = UINT64_MAX,
		.dropped = shunt_trace_dropped(trace)};
	check.grace_ns = rules && rules->grace_ns ? rules->grace_ns : GRACE_DEFAULT_NS;
	if (rc == 0 && is_complete(&check, name)) {
		if (!follow(&check, name) && report->verdict == SHUNT_TRACE_CLOSES)
			rc = -ENOMEM;
		if (report->verdict == SHUNT_TRACE_CLOSES)
			end_workers(&check, name);
		if (report->verdict != SHUNT_TRACE_BROKEN)
			end_tasks(&check, name);
	}
	if (rc == 0)
		rc = report_times(&check);
	shunt_trace_tasks_fini(&check.tasks);
	free(check.follower);
	return rc < 0 ? shunt_fail(err, rc, "no memory to check the trace %s", name) : 0;
}

int shunt_trace_check(const char *path, const struct shunt_trace_rules *rules,
	struct shunt_trace_report *report, struct shunt_error *err)
{
	struct shunt_trace *trace;
	int rc = shunt_trace_load(path, &trace, err);

	if (rc < 0)
		return rc;
	rc = shunt_trace_check_loaded(trace, path, rules, report, err);
	shunt_trace_free(trace);
	return rc;
}

void shunt_trace_report_fini(struct shunt_trace_report *report)
{
	free(report->times);
	report->times = NULL;
}
