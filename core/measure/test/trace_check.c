/* SPDX-License-Identifier: MIT */
/* If this passes, good traces close after a way through a file, and each kind of damage is
 * named. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/engine/slots.h"
#include "core/io_op.h"
#include "core/measure/trace.h"
#include "core/measure/trace_check.h"
#include "core/measure/trace_internal.h"
#include "core/param.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct shunt_clock monotonic; /* all zero: CLOCK_MONOTONIC */
static char folder[64], path[128];
static struct shunt_error err;

static int make_folder(void **state)
{
	(void)state;
	snprintf(folder, sizeof(folder), "/tmp/shunt-trace-XXXXXX");
	if (!mkdtemp(folder))
		return -1;
	snprintf(path, sizeof(path), "%s/trace.json", folder);
	return 0;
}

static int remove_folder(void **state)
{
	char command[128];

	(void)state;
	snprintf(command, sizeof(command), "rm -r %s", folder);
	return system(command);
}

/* ---- a trace of two workers in which everything happens -------------------------------------- */

enum { ROOT = 1, CHILD = 2, SLEEPER = 3, STOLEN = 4, OUTSIDER = 5 };

#define NEW     SHUNT_WHY_NEW
#define WOKEN   SHUNT_WHY_WAKE
#define YIELDED SHUNT_WHY_YIELD
#define TIMER   SHUNT_WHY_TIMER
#define ANY     SHUNT_TRACE_ANY

struct line {
	uint64_t time_ns;
	enum shunt_trace_kind kind;
	unsigned why;
	uint64_t task, arg;
};

/* Kept in arrays, so that a test can change one and say which. */
static const struct line worker0[] = {
	{1000, SHUNT_TRACE_WORKER_START, 0, 0, 0},
	{1010, SHUNT_TRACE_SPAWN, 0, ROOT, 0},
	{1020, SHUNT_TRACE_ENQUEUE, NEW, ROOT, 0},
	{1030, SHUNT_TRACE_DEQUEUE, 0, ROOT, 0},
	{1040, SHUNT_TRACE_RUN_BEGIN, 0, ROOT, 0},
	{1100, SHUNT_TRACE_SPAWN, 0, CHILD, ROOT},
	{1110, SHUNT_TRACE_ENQUEUE, NEW, CHILD, 0},
	{1120, SHUNT_TRACE_SPAWN, 0, SLEEPER, ROOT},
	{1130, SHUNT_TRACE_ENQUEUE, NEW, SLEEPER, 0},
	{1140, SHUNT_TRACE_SPAWN, 0, STOLEN, ROOT},
	{1150, SHUNT_TRACE_ENQUEUE, NEW, STOLEN, 0},
	{1200, SHUNT_TRACE_RUN_END, SHUNT_TRACE_END_YIELD, ROOT, 0},
	{1210, SHUNT_TRACE_DEQUEUE, 0, CHILD, 0},
	{1220, SHUNT_TRACE_ENQUEUE, YIELDED, ROOT, 0},
	{1230, SHUNT_TRACE_RUN_BEGIN, 0, CHILD, 0},
	{1300, SHUNT_TRACE_RUN_END, SHUNT_TRACE_END_PARK, CHILD, 0},
	{1310, SHUNT_TRACE_DEQUEUE, 0, SLEEPER, 0},
	{1320, SHUNT_TRACE_RUN_BEGIN, 0, SLEEPER, 0},
	{1330, SHUNT_TRACE_TIMER_ARM, 0, SLEEPER, 5000},
	{1340, SHUNT_TRACE_RUN_END, SHUNT_TRACE_END_SLEEP, SLEEPER, 0},
	{1350, SHUNT_TRACE_DEQUEUE, 0, ROOT, 0},
	{1360, SHUNT_TRACE_RUN_BEGIN, 0, ROOT, 0},
	{1400, SHUNT_TRACE_WAKE, SHUNT_TRACE_WAKE_WON, CHILD, ROOT},
	/* A transfer: the woken task runs with no queue between. */
	{1410, SHUNT_TRACE_TIMER_ARM, 0, ROOT, 9000},
	{1420, SHUNT_TRACE_RUN_END, SHUNT_TRACE_END_PARK, ROOT, 0},
	{1430, SHUNT_TRACE_RUN_BEGIN, 0, CHILD, 0},
	{1500, SHUNT_TRACE_WAKE, SHUNT_TRACE_WAKE_WON, ROOT, CHILD},
	{1505, SHUNT_TRACE_TIMER_CANCEL, 0, ROOT, 0},
	{1510, SHUNT_TRACE_ENQUEUE, WOKEN, ROOT, 0},
	{1520, SHUNT_TRACE_WAKE, SHUNT_TRACE_WAKE_PERMIT, ROOT, CHILD},
	{1600, SHUNT_TRACE_RUN_END, SHUNT_TRACE_END_EXIT, CHILD, 0},
	{1610, SHUNT_TRACE_DEQUEUE, 0, ROOT, 0},
	{1620, SHUNT_TRACE_RUN_BEGIN, 0, ROOT, 0},
	{1630, SHUNT_TRACE_WAKE, SHUNT_TRACE_WAKE_STALE, CHILD, ROOT},
	{1640, SHUNT_TRACE_IO_BEGIN, SHUNT_IO_READ, ROOT, 7},
	{1700, SHUNT_TRACE_RUN_END, SHUNT_TRACE_END_BLOCK, ROOT, 0},
	{1710, SHUNT_TRACE_IDLE_BEGIN, 0, 0, 0},
	{1800, SHUNT_TRACE_WAIT_BEGIN, 0, 0, 0},
	{5050, SHUNT_TRACE_WAIT_END, 0, 0, 0},
	{5060, SHUNT_TRACE_IDLE_END, 0, 0, 0},
	{5070, SHUNT_TRACE_TIMER_FIRE, 0, SLEEPER, 0},
	{5080, SHUNT_TRACE_ENQUEUE, TIMER, SLEEPER, 0},
	{5090, SHUNT_TRACE_DEQUEUE, 0, SLEEPER, 0},
	{5100, SHUNT_TRACE_RUN_BEGIN, 0, SLEEPER, 0},
	{5200, SHUNT_TRACE_RUN_END, SHUNT_TRACE_END_EXIT, SLEEPER, 0},
	{5210, SHUNT_TRACE_WAKE, SHUNT_TRACE_WAKE_WON, ROOT, 0},
	{5220, SHUNT_TRACE_ENQUEUE, WOKEN, ROOT, 0},
	{5230, SHUNT_TRACE_DEQUEUE, 0, ROOT, 0},
	{5240, SHUNT_TRACE_RUN_BEGIN, 0, ROOT, 0},
	{5250, SHUNT_TRACE_IO_END, SHUNT_TRACE_IO_DONE, ROOT, 7},
	{5300, SHUNT_TRACE_RUN_END, SHUNT_TRACE_END_YIELD, ROOT, 0},
	/* The policy kept it. */
	{5310, SHUNT_TRACE_RUN_BEGIN, 0, ROOT, 0},
	{5400, SHUNT_TRACE_RUN_END, SHUNT_TRACE_END_EXIT, ROOT, 0},
	{5500, SHUNT_TRACE_WORKER_STOP, 0, 0, 0},
};

static const struct line worker1[] = {
	{1005, SHUNT_TRACE_WORKER_START, 0, 0, 0},
	{1015, SHUNT_TRACE_IDLE_BEGIN, 0, 0, 0},
	{1160, SHUNT_TRACE_STEAL, 0, STOLEN, 0},
	{1170, SHUNT_TRACE_DEQUEUE, 0, STOLEN, 0},
	{1180, SHUNT_TRACE_IDLE_END, 0, 0, 0},
	{1190, SHUNT_TRACE_RUN_BEGIN, 0, STOLEN, 0},
	{2000, SHUNT_TRACE_RUN_END, SHUNT_TRACE_END_EXIT, STOLEN, 0},
	{2010, SHUNT_TRACE_DEQUEUE, 0, OUTSIDER, 0},
	{2020, SHUNT_TRACE_RUN_BEGIN, 0, OUTSIDER, 0},
	{2030, SHUNT_TRACE_RUN_END, SHUNT_TRACE_END_EXIT, OUTSIDER, 0},
	{2040, SHUNT_TRACE_WAIT_BEGIN, 0, 0, 0},
	{5450, SHUNT_TRACE_WAIT_END, 0, 0, 0},
	{5460, SHUNT_TRACE_WORKER_STOP, 0, 0, 0},
};

static const struct line outside[] = {
	{1900, SHUNT_TRACE_SPAWN, 0, OUTSIDER, 0},
	{1910, SHUNT_TRACE_INJECT, 0, OUTSIDER, 1},
	{1920, SHUNT_TRACE_ENQUEUE, NEW | SHUNT_FROM_EXTERNAL, OUTSIDER, ANY},
};

static void fill(struct shunt_trace *trace, unsigned worker, const struct line *line, size_t count)
{
	struct shunt_trace_ring *ring = shunt_trace_ring(trace, worker);

	for (size_t i = 0; i < count; i++)
		shunt_trace_emit_at(ring, line[i].time_ns, line[i].kind, line[i].why, line[i].task,
			line[i].arg);
}

#define FILL(trace, worker, lines) fill(trace, worker, lines, sizeof(lines) / sizeof(*(lines)))

static struct shunt_trace *good(void)
{
	struct shunt_trace *trace = NULL;

	assert_int_equal(shunt_trace_new(&trace, 100, &monotonic), 0);
	FILL(trace, 0, worker0);
	FILL(trace, 1, worker1);
	FILL(trace, SHUNT_TRACE_OUTSIDE, outside);
	shunt_trace_share(trace);
	assert_int_equal(shunt_trace_name(trace, ROOT, "the \"root\"\n\xff"), 0);
	return trace;
}

/* Exports the trace and checks the file. */
static void check(struct shunt_trace *trace, struct shunt_trace_report *report)
{
	unlink(path);
	if (shunt_trace_export(trace, path, &err) < 0 ||
		shunt_trace_check(path, NULL, report, &err) < 0)
		fail_msg("%s", err.text);
	shunt_trace_free(trace);
}

/* ---- good traces ----------------------------------------------------------------------------- */

static void a_good_trace_closes(void **state)
{
	struct shunt_trace_report report;

	(void)state;
	check(good(), &report);
	assert_string_equal(report.message, "");
	assert_int_equal(report.verdict, SHUNT_TRACE_CLOSES);
	assert_int_equal(report.events,
		sizeof(worker0) / sizeof(*worker0) + sizeof(worker1) / sizeof(*worker1) + 3);
	assert_int_equal(report.tasks, 5);
	assert_int_equal(report.ended, 5);
	assert_int_equal(report.left, 0);
	assert_int_equal(report.enqueued, 9);
	assert_int_equal(report.dequeued, 9);
	assert_int_equal(report.queued, 0);
	assert_int_equal(report.timers_armed, 2);
	assert_int_equal(report.timers_fired, 1);
	assert_int_equal(report.timers_cancelled, 1);
	assert_int_equal(report.steals, 1);
	assert_int_equal(report.injected, 1);
	assert_int_equal(report.wakes, 5);
	/* What came from outside was ready from 1920 to 2010, with worker 0 asleep. */
	assert_int_equal(report.ready_beside_sleep_ns, 90);
	assert_int_equal(report.times_count, 2);
	assert_int_equal(report.times[0].span_ns, 4500);
	assert_int_equal(report.times[0].wait_ns, 3250);
	assert_int_equal(report.times[0].idle_ns, 100);
	assert_int_equal(report.times[0].run_ns, 160 + 70 + 20 + 60 + 170 + 80 + 100 + 60 + 90);
	assert_int_equal(report.times[1].wait_ns, 3410);
	shunt_trace_report_fini(&report);
}

static void a_trace_survives_its_file(void **state)
{
	struct shunt_trace *before = good(), *after = NULL;

	(void)state;
	assert_int_equal(shunt_trace_export(before, path, &err), 0);
	assert_int_equal(shunt_trace_load(path, &after, &err), 0);
	assert_int_equal(after->ring_count, before->ring_count);
	assert_true(after->shared);
	for (size_t i = 0; i < before->ring_count; i++) {
		assert_int_equal(after->ring[i]->worker, before->ring[i]->worker);
		assert_int_equal(after->ring[i]->count, before->ring[i]->count);
		assert_memory_equal(after->ring[i]->event, before->ring[i]->event,
			before->ring[i]->count * sizeof(struct shunt_trace_event));
	}
	assert_string_equal(shunt_trace_label(after->label, after->label_count, ROOT),
		"the \"root\"\n\xef\xbf\xbd");
	shunt_trace_free(before);
	shunt_trace_free(after);
}

static void viewers_can_read_it(void **state)
{
	struct shunt_trace *trace = good();
	json_t *document, *event;
	double run_us = 0, idle_us = 0;
	int tracks = 0;
	size_t i;

	(void)state;
	assert_int_equal(shunt_trace_export(trace, path, &err), 0);
	shunt_trace_free(trace);
	document = json_load_file(path, 0, NULL);
	assert_non_null(document);
	json_array_foreach(json_object_get(document, "traceEvents"), i, event)
	{
		const char *phase = json_string_value(json_object_get(event, "ph"));
		const char *name = json_string_value(json_object_get(event, "name"));
		double us = json_number_value(json_object_get(event, "dur"));

		assert_non_null(phase);
		assert_true(json_is_integer(json_object_get(event, "tid")));
		if (*phase == 'M')
			tracks++;
		else
			assert_true(json_number_value(json_object_get(event, "ts")) >= 0);
		if (*phase == 'X' && strncmp(name, "the \"root\"", 10) == 0)
			run_us += us;
		if (*phase == 'X' && strcmp(name, "idle") == 0)
			idle_us += us;
	}
	assert_int_equal(tracks, 3);
	assert_float_equal(run_us, (160 + 60 + 80 + 60 + 90) / 1e3, 1e-9);
	assert_float_equal(idle_us, (5060 - 1710 + 1180 - 1015) / 1e3, 1e-9);
	json_decref(document);
}

static void equal_stamps_are_put_in_a_legal_order(void **state)
{
	/* As a coarse counter, or virtual time, stamps them: all alike. */
	static const struct line giver[] = {
		{7, SHUNT_TRACE_WORKER_START, 0, 0, 0},
		{7, SHUNT_TRACE_SPAWN, 0, 1, 0},
		{7, SHUNT_TRACE_ENQUEUE, NEW, 1, ANY},
		{7, SHUNT_TRACE_SPAWN, 0, 2, 0},
		{7, SHUNT_TRACE_ENQUEUE, NEW, 2, ANY},
		{7, SHUNT_TRACE_WORKER_STOP, 0, 0, 0},
	};
	static const struct line taker[] = {
		{7, SHUNT_TRACE_WORKER_START, 0, 0, 0},
		{7, SHUNT_TRACE_DEQUEUE, 0, 2, 0},
		{7, SHUNT_TRACE_RUN_BEGIN, 0, 2, 0},
		{7, SHUNT_TRACE_RUN_END, SHUNT_TRACE_END_EXIT, 2, 0},
		{7, SHUNT_TRACE_WORKER_STOP, 0, 0, 0},
	};
	struct shunt_trace_report report;
	struct shunt_trace *trace = NULL;

	(void)state;
	assert_int_equal(shunt_trace_new(&trace, 100, &monotonic), 0);
	FILL(trace, 1, taker); /* the one that has to wait comes first */
	FILL(trace, 0, giver);
	check(trace, &report);
	assert_string_equal(report.message, "");
	/* One task is left in its queue, and listed. */
	assert_int_equal(report.enqueued, 2);
	assert_int_equal(report.queued, 1);
	assert_int_equal(report.left, 1);
	assert_int_equal(report.left_task[0].task, 1);
	assert_string_equal(report.left_task[0].state, "ready");
	shunt_trace_report_fini(&report);
}

static void a_scheduler_may_run_twice(void **state)
{
	static const struct line twice[] = {
		{1, SHUNT_TRACE_WORKER_START, 0, 0, 0},
		{5, SHUNT_TRACE_WORKER_STOP, 0, 0, 0},
		{100, SHUNT_TRACE_WORKER_START, 0, 0, 0},
		{103, SHUNT_TRACE_WORKER_STOP, 0, 0, 0},
	};
	struct shunt_trace_report report;
	struct shunt_trace *trace = NULL;

	(void)state;
	assert_int_equal(shunt_trace_new(&trace, 100, &monotonic), 0);
	FILL(trace, 0, twice);
	check(trace, &report);
	assert_string_equal(report.message, "");
	assert_int_equal(report.times[0].span_ns, 7);
	assert_int_equal(report.times[0].schedule_ns, 7);
	shunt_trace_report_fini(&report);
}

static void many_tasks_are_followed(void **state)
{
	enum { TASKS = 20000 };
	struct shunt_trace_report report;
	struct shunt_trace *trace = NULL;
	uint64_t now = 1;

	(void)state;
	assert_int_equal(shunt_trace_new(&trace, 6 * TASKS, &monotonic), 0);
	struct shunt_trace_ring *ring = shunt_trace_ring(trace, 0);
	shunt_trace_emit_at(ring, now++, SHUNT_TRACE_WORKER_START, 0, 0, 0);
	for (uint64_t task = 1; task <= TASKS; task++) {
		shunt_trace_emit_at(ring, now++, SHUNT_TRACE_SPAWN, 0, task << 32, 0);
		shunt_trace_emit_at(ring, now++, SHUNT_TRACE_ENQUEUE, NEW, task << 32, 0);
	}
	/* Last in, first out: each is taken from the far end of the checker's queue. */
	for (uint64_t task = TASKS; task > 0; task--) {
		shunt_trace_emit_at(ring, now++, SHUNT_TRACE_DEQUEUE, 0, task << 32, 0);
		shunt_trace_emit_at(ring, now++, SHUNT_TRACE_RUN_BEGIN, 0, task << 32, 0);
		shunt_trace_emit_at(ring, now++, SHUNT_TRACE_RUN_END, SHUNT_TRACE_END_EXIT,
			task << 32, 0);
	}
	shunt_trace_emit_at(ring, now++, SHUNT_TRACE_WORKER_STOP, 0, 0, 0);
	check(trace, &report);
	assert_string_equal(report.message, "");
	assert_int_equal(report.ended, TASKS);
	shunt_trace_report_fini(&report);
}

/* ---- damaged events -------------------------------------------------------------------------- */

static struct shunt_trace_event *find(struct shunt_trace *trace, unsigned worker, uint64_t time_ns)
{
	struct shunt_trace_ring *ring = shunt_trace_ring(trace, worker);

	for (uint64_t i = 0; i < ring->count; i++)
		if (ring->event[i].time_ns == time_ns)
			return &ring->event[i];
	fail_msg("no event at %d", (int)time_ns);
	return NULL;
}

/* The event at that time goes. */
static void lose(struct shunt_trace *trace, unsigned worker, uint64_t time_ns)
{
	struct shunt_trace_ring *ring = shunt_trace_ring(trace, worker);
	struct shunt_trace_event *event = find(trace, worker, time_ns);

	memmove(event, event + 1, (size_t)(ring->event + ring->count - event - 1) * sizeof(*event));
	ring->count--;
}

/* The event at that time comes twice. */
static void twice(struct shunt_trace *trace, unsigned worker, uint64_t time_ns)
{
	struct shunt_trace_ring *ring = shunt_trace_ring(trace, worker);
	struct shunt_trace_event *event = find(trace, worker, time_ns);

	memmove(event + 1, event, (size_t)(ring->event + ring->count - event) * sizeof(*event));
	ring->count++;
}

/* The trace is broken at this time, for this reason, and the report says so. */
static void broken(struct shunt_trace *trace, uint64_t time_ns, const char *because)
{
	struct shunt_trace_report report;

	check(trace, &report);
	if (report.verdict != SHUNT_TRACE_BROKEN || !strstr(report.message, because) ||
		report.time_ns != time_ns)
		fail_msg("not '%s' at %d: '%s'", because, (int)time_ns, report.message);
	assert_non_null(strstr(report.message, path));
	shunt_trace_report_fini(&report);
}

/* One change each: LOSE and TWICE take an event away or repeat it, SET changes a field. */
#define LOSE(worker, at)              lose(trace, worker, at)
#define TWICE(worker, at)             twice(trace, worker, at)
#define SET(worker, at, field, value) find(trace, worker, at)->field = (value)
#define BREAKS(change, at, because)                                                                \
	do {                                                                                       \
		struct shunt_trace *trace = good();                                                \
		change;                                                                            \
		broken(trace, at, because);                                                        \
	} while (0)

static void workers_are_in_one_state_at_a_time(void **state)
{
	(void)state;
	BREAKS(LOSE(0, 1000), 1010, "the worker is not started");
	BREAKS(TWICE(0, 1000), 1000, "the worker is scheduling");
	BREAKS(LOSE(0, 1200), 1220, "the task is running");
	BREAKS(SET(0, 1200, kind, SHUNT_TRACE_IDLE_BEGIN), 1200, "the worker is running a task");
	BREAKS(LOSE(0, 1040), 1200, "the worker is scheduling");
	BREAKS(LOSE(0, 5050), 5060, "the worker is waiting in the kernel");
	BREAKS(LOSE(0, 1800), 5050, "the worker is idle");
	BREAKS(LOSE(1, 1180), 1190, "the worker is idle");
	BREAKS(LOSE(1, 5450), 5460, "the worker is waiting in the kernel");
	BREAKS(SET(0, 5400, task, CHILD), 5400, "the worker runs task 1");
	BREAKS(SET(0, 1210, time_ns, 1199), 1199, "time runs backwards");
}

static void tasks_make_legal_transitions_only(void **state)
{
	(void)state;
	BREAKS(LOSE(0, 1100), 1110, "no task with this id");
	BREAKS(SET(0, 1120, task, CHILD), 1120, "there is a task with this id already");
	BREAKS(SET(0, 1120, task, 0), 1120, "needs an id");
	BREAKS(TWICE(0, 1110), 1110, "the task is ready");
	BREAKS(LOSE(0, 1220), 1350, "the task is yielded");
	BREAKS(SET(0, 1210, task, ROOT), 1210, "the task is yielded");
	BREAKS(LOSE(1, 1170), 1190, "the task is ready");
	BREAKS(SET(0, 1230, task, SLEEPER), 1230, "the task is ready");
	BREAKS(LOSE(0, 1400), 1430, "the task is parked");
	BREAKS(SET(0, 1400, why, SHUNT_TRACE_WAKE_PERMIT), 1430, "the task is parked");
	BREAKS(SET(0, 1400, task, SLEEPER), 1400, "only its timer");
	BREAKS(SET(0, 1630, why, SHUNT_TRACE_WAKE_WON), 1630, "the task is ended");
	BREAKS(SET(0, 1220, why, WOKEN), 1220, "does not allow this enqueue");
	BREAKS(SET(0, 5310, task, CHILD), 5310, "the task is ended");
	BREAKS(SET(0, 1220, arg, 7), 1220, "there is no worker 7");
	BREAKS(SET(1, 1160, task, ROOT), 1160, "the task is running");
}

static void a_task_never_runs_twice_at_once(void **state)
{
	(void)state;
	/* Published before it was off its stack, and taken by the other worker. */
	BREAKS(SET(1, 1170, task, ROOT), 1170, "the task is running");
	BREAKS(SET(1, 2020, task, ROOT), 2020, "the task is blocked");
}

static void timers_are_armed_once_and_never_early(void **state)
{
	(void)state;
	BREAKS(SET(0, 1330, arg, 5071), 5070, "1 ns before its deadline");
	BREAKS(LOSE(0, 1330), 5070, "no timer armed");
	BREAKS(TWICE(0, 1330), 1330, "armed already");
	BREAKS(LOSE(0, 1410), 1505, "no timer armed");
	BREAKS(LOSE(0, 1505), 5400, "ends with its timer armed");
	BREAKS(TWICE(0, 5070), 5070, "no timer armed");
	BREAKS(SET(0, 1330, task, CHILD), 1600, "ends with its timer armed");
}

static void operations_end_where_they_began(void **state)
{
	(void)state;
	BREAKS(LOSE(0, 1640), 5250, "in no operation");
	BREAKS(TWICE(0, 1640), 1640, "in an operation already");
	BREAKS(TWICE(0, 5250), 5250, "in no operation");
	BREAKS(LOSE(0, 5250), 5400, "ends in an operation");
	BREAKS(SET(0, 5250, arg, 8), 5250, "on descriptor 7");
	BREAKS(SET(0, 1640, task, SLEEPER), 1640, "does not run");
}

/* A counter runs away from CLOCK_MONOTONIC since its calibration, also while nothing is traced. */
static void a_counter_is_off_by_what_has_passed_since_its_calibration(void **state)
{
	const struct shunt_clock counter = {.source = SHUNT_CLOCK_TSC,
		.base_ns = 1,
		.calibration_error_ppm = 100000};
	struct shunt_trace_report report;
	struct shunt_trace *trace = good();

	(void)state;
	trace->clock = &counter;
	find(trace, 0, 1330)->arg = 5070 + 1450;
	check(trace, &report);
	assert_string_equal(report.message, "");
	shunt_trace_report_fini(&report);
	trace = good();
	trace->clock = &counter;
	find(trace, 0, 1330)->arg = 5070 + 1550;
	broken(trace, 5070, "1550 ns before its deadline");
}

static void other_threads_do_not_run_tasks(void **state)
{
	(void)state;
	BREAKS(SET(SHUNT_TRACE_OUTSIDE, 1910, kind, SHUNT_TRACE_DEQUEUE), 1910, "only a worker");
	BREAKS(LOSE(SHUNT_TRACE_OUTSIDE, 1920), 2010, "the task is new");
}

static void a_private_queue_is_private(void **state)
{
	struct shunt_trace *trace = good();

	(void)state;
	trace->shared = false;
	broken(trace, 1170, "neither steals nor shares");
}

static void a_sleeper_with_no_timer_is_found(void **state)
{
	static const struct line forever[] = {
		{1, SHUNT_TRACE_WORKER_START, 0, 0, 0},
		{2, SHUNT_TRACE_SPAWN, 0, 9, 0},
		{3, SHUNT_TRACE_RUN_BEGIN, 0, 9, 0},
		{4, SHUNT_TRACE_RUN_END, SHUNT_TRACE_END_SLEEP, 9, 0},
		{5, SHUNT_TRACE_WORKER_STOP, 0, 0, 0},
	};
	struct shunt_trace_report report;
	struct shunt_trace *trace = NULL;

	(void)state;
	assert_int_equal(shunt_trace_new(&trace, 100, &monotonic), 0);
	FILL(trace, 0, forever);
	check(trace, &report);
	assert_int_equal(report.verdict, SHUNT_TRACE_BROKEN);
	assert_non_null(strstr(report.message, "task 9 sleeps and no timer"));
	assert_int_equal(report.index, UINT64_MAX);
	shunt_trace_report_fini(&report);
}

/* A lost wake-up: a task is queued, and the only worker sleeps on for a second. */
static void a_lost_wake_up_is_found(void **state)
{
	static const struct line asleep[] = {
		{1, SHUNT_TRACE_WORKER_START, 0, 0, 0},
		{5, SHUNT_TRACE_WAIT_BEGIN, 0, 0, 0},
		{1000000000, SHUNT_TRACE_WAIT_END, 0, 0, 0},
		{1000000001, SHUNT_TRACE_DEQUEUE, 0, 1, 0},
		{1000000002, SHUNT_TRACE_RUN_BEGIN, 0, 1, 0},
		{1000000003, SHUNT_TRACE_RUN_END, SHUNT_TRACE_END_EXIT, 1, 0},
		{1000000004, SHUNT_TRACE_WORKER_STOP, 0, 0, 0},
	};
	static const struct line giver[] = {
		{100, SHUNT_TRACE_SPAWN, 0, 1, 0},
		{110, SHUNT_TRACE_ENQUEUE, NEW, 1, ANY},
	};
	const struct shunt_trace_rules patient = {.grace_ns = 2000000000};
	struct shunt_trace_report report;
	struct shunt_trace *trace = NULL;

	(void)state;
	assert_int_equal(shunt_trace_new(&trace, 100, &monotonic), 0);
	FILL(trace, 0, asleep);
	FILL(trace, SHUNT_TRACE_OUTSIDE, giver);
	assert_int_equal(shunt_trace_check_loaded(trace, "x", &patient, &report, &err), 0);
	assert_int_equal(report.verdict, SHUNT_TRACE_CLOSES);
	assert_int_equal(report.ready_beside_sleep_ns, 1000000000 - 110);
	shunt_trace_report_fini(&report);
	broken(trace, 1000000000, "while worker 0 slept");
}

/* The same between workers: one is taken, late, by a worker while another slept beside it. */
static void a_sleeper_beside_work_is_found(void **state)
{
	static const struct line busy[] = {
		{1, SHUNT_TRACE_WORKER_START, 0, 0, 0},
		{2, SHUNT_TRACE_SPAWN, 0, 1, 0},
		{3, SHUNT_TRACE_ENQUEUE, NEW, 1, 0},
		{900000000, SHUNT_TRACE_DEQUEUE, 0, 1, 0},
		{900000001, SHUNT_TRACE_RUN_BEGIN, 0, 1, 0},
		{900000002, SHUNT_TRACE_RUN_END, SHUNT_TRACE_END_EXIT, 1, 0},
		{900000003, SHUNT_TRACE_WORKER_STOP, 0, 0, 0},
	};
	static const struct line asleep[] = {
		{1, SHUNT_TRACE_WORKER_START, 0, 0, 0},
		{2, SHUNT_TRACE_WAIT_BEGIN, 0, 0, 0},
		{950000000, SHUNT_TRACE_WAIT_END, 0, 0, 0},
		{950000001, SHUNT_TRACE_WORKER_STOP, 0, 0, 0},
	};

	(void)state;
	for (int shared = 0; shared < 2; shared++) {
		struct shunt_trace_report report;
		struct shunt_trace *trace = NULL;

		assert_int_equal(shunt_trace_new(&trace, 100, &monotonic), 0);
		FILL(trace, 0, busy);
		FILL(trace, 1, asleep);
		trace->shared = shared;
		if (shared) {
			broken(trace, 900000000, "while worker 1 slept");
			continue;
		}
		/* With queues of their own, the sleeper is in its right. */
		check(trace, &report);
		assert_string_equal(report.message, "");
		shunt_trace_report_fini(&report);
	}
}

/* ---- traces that say themselves that they are not whole -------------------------------------- */

static void cannot_close(struct shunt_trace *trace, const char *because)
{
	struct shunt_trace_report report;

	check(trace, &report);
	assert_int_equal(report.verdict, SHUNT_TRACE_CANNOT_CLOSE);
	if (!strstr(report.message, because))
		fail_msg("%s: %s", because, report.message);
	shunt_trace_report_fini(&report);
}

static void dropped_events_cannot_be_closed(void **state)
{
	struct shunt_trace *trace = NULL;

	(void)state;
	assert_int_equal(shunt_trace_new(&trace, 20, &monotonic), 0);
	FILL(trace, 0, worker0);
	FILL(trace, 1, worker1);
	cannot_close(trace, "dropped 34 events after its first 20");
	trace = good();
	trace->homeless = 2;
	cannot_close(trace, "2 events found no memory");
}

static void a_worker_that_never_stopped_cannot_be_closed(void **state)
{
	struct shunt_trace *trace = good();

	(void)state;
	lose(trace, 1, 5460);
	cannot_close(trace, "worker 1 never stopped");
	assert_int_equal(shunt_trace_new(&trace, 20, &monotonic), 0);
	cannot_close(trace, "no event");
}

/* ---- damaged files --------------------------------------------------------------------------- */

/* The good trace's file with the first `from` in it replaced; "" cuts the file short there. */
static void damage(const char *from, const char *to)
{
	struct shunt_trace *trace = good();
	static char text[65536];

	unlink(path);
	assert_int_equal(shunt_trace_export(trace, path, &err), 0);
	shunt_trace_free(trace);
	FILE *file = fopen(path, "r");
	text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
	fclose(file);
	char *at = strstr(text, from);
	assert_non_null(at);
	file = fopen(path, "w");
	fprintf(file, "%.*s%s", (int)(at - text), text, to);
	if (*to)
		fputs(at + strlen(from), file);
	fclose(file);
}

static void unreadable(const char *from, const char *to, const char *because)
{
	struct shunt_trace_report report;

	damage(from, to);
	assert_int_equal(shunt_trace_check(path, NULL, &report, &err), -EBADMSG);
	if (!strstr(err.text, because) || !strstr(err.text, path))
		fail_msg("%s: %s", because, err.text);
}

static void damaged_files_are_refused_with_their_place(void **state)
{
	(void)state;
	unreadable("1230 run_begin", "", "cut short");
	unreadable(",\n\"traceEvents\"", "", "cut short");
	unreadable("\"1230 run_begin 2 - 0\",\n", "", "cut short");
	unreadable(",\n\"1230 run_begin 2 - 0\",", ",", "says that it has 54 events, and has 53");
	unreadable("\"count\":54", "\"count\":53", "the end of a ring of 53 events");
	unreadable("\"count\":54", "\"count\":99999999", "no room for 99999999 events");
	unreadable("\"1230 run_begin 2 - 0\",", " \"1230 run_begin 2 - 0\",",
		"an event is expected");
	unreadable("{\"1\":", "{\"x\":", "a task's number");
	unreadable("{\"1\":\"", "{\"1\":0\"", "not a name");
	unreadable("1230 run_begin", "1230 run_away", ":20:");
	unreadable("1230 run_begin", "1230 run_away", "'run_away' is not a kind of event");
	unreadable("1200 run_end 1 yield 0", "1200 run_end 1 won 0",
		"'won' is not a reason for a run_end");
	unreadable("1230 run_begin 2 - 0", "run_begin 2 - 0", "expected TIME KIND TASK WHY ARG");
	unreadable("1230 run_begin 2 - 0", "-1230 run_begin 2 - 0", "is not an event");
	unreadable("1230 run_begin 2 - 0", "1230 run_begin 2 - 0 9", "is not an event");
	unreadable("1230 run_begin 2 - 0", "1230 run_begin 2 - x", "'x' is not an argument");
	unreadable("shunt.trace/1", "shunt.trace/2", "not shunt.trace/1");
	unreadable("\"shunt\":", "\"other\":", "not a shunt trace");
	unreadable("\"worker\":1", "\"worker\":0", "a second ring of the same worker");
	unreadable("\"worker\":1", "\"worker\":\"x\"", "not a worker");
	unreadable("\"worker\":1", "\"worker\":4294967295", "too large; at most 4294967294");
	unreadable("1230 run_begin", "99999999999999999999 run_begin", "is above");
	unreadable("1230 run_begin 2 - 0", "1230 run_begin 2 - 99999999999999999999",
		"not an argument");
	unreadable("\"clock_error_ppb\":", "\"clock_error_ppb\":9999999999", "at most 1000000000");
	unreadable("\"clock_base_ns\":", "\"clock_base_ns\":-1", "at most");
	unreadable("\"traceEvents\":[", "\"traceEvents\":[]]", "expected");
	unreadable("}]}\n", "}\n", "cut short");
	unreadable("{\"displayTimeUnit\"", "x", "not a shunt trace");
}

static void files_that_are_none_are_refused(void **state)
{
	struct shunt_trace_report report;

	(void)state;
	assert_int_equal(shunt_trace_check("/nowhere/x", NULL, &report, &err), -ENOENT);
	assert_non_null(strstr(err.text, "/nowhere/x"));
	assert_int_equal(shunt_trace_check(folder, NULL, &report, &err), -EISDIR);
	assert_int_equal(shunt_trace_check("/dev/zero", NULL, &report, &err), -EBADMSG);
	assert_non_null(strstr(err.text, "not a regular file"));
	unlink(path);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_int_equal(shunt_trace_check(path, NULL, &report, &err), -EBADMSG);
	unlink(path);
	assert_int_equal(close(open(path, O_CREAT | O_WRONLY, 0600)), 0);
	assert_int_equal(truncate(path, INT64_C(1) << 40), 0);
	assert_int_equal(shunt_trace_check(path, NULL, &report, &err), -EFBIG);
	unlink(path);
}

static void an_export_that_fails_leaves_nothing(void **state)
{
	struct shunt_trace *trace = good();
	char below[160];

	(void)state;
	assert_int_equal(shunt_trace_export(trace, "/dev/full", &err), -ENOSPC);
	assert_non_null(strstr(err.text, "/dev/full"));
	assert_int_equal(access("/dev/full", F_OK), 0);
	assert_int_equal(shunt_trace_export(trace, folder, &err), -EISDIR);
	snprintf(below, sizeof(below), "%s/no/t.json", folder);
	assert_int_equal(shunt_trace_export(trace, below, &err), -ENOENT);
	assert_int_equal(shunt_trace_export(trace, path, &err), 0);
	assert_int_equal(shunt_trace_export(trace, path, &err), -EEXIST);
	shunt_trace_free(trace);
}

int main(void)
{
#define EACH(name) cmocka_unit_test_setup_teardown(name, make_folder, remove_folder)
	const struct CMUnitTest tests[] = {
		EACH(a_good_trace_closes),
		EACH(a_trace_survives_its_file),
		EACH(viewers_can_read_it),
		EACH(equal_stamps_are_put_in_a_legal_order),
		EACH(a_scheduler_may_run_twice),
		EACH(many_tasks_are_followed),
		EACH(workers_are_in_one_state_at_a_time),
		EACH(tasks_make_legal_transitions_only),
		EACH(a_task_never_runs_twice_at_once),
		EACH(timers_are_armed_once_and_never_early),
		EACH(operations_end_where_they_began),
		EACH(a_counter_is_off_by_what_has_passed_since_its_calibration),
		EACH(other_threads_do_not_run_tasks),
		EACH(a_private_queue_is_private),
		EACH(a_sleeper_with_no_timer_is_found),
		EACH(a_lost_wake_up_is_found),
		EACH(a_sleeper_beside_work_is_found),
		EACH(dropped_events_cannot_be_closed),
		EACH(a_worker_that_never_stopped_cannot_be_closed),
		EACH(damaged_files_are_refused_with_their_place),
		EACH(files_that_are_none_are_refused),
		EACH(an_export_that_fails_leaves_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
