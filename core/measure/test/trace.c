/* SPDX-License-Identifier: MIT */
/* If this passes, a trace keeps every event in order, or counts the ones it could not keep. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/engine/slots.h"
#include "core/measure/trace.h"
#include "core/measure/trace_internal.h"

#include <errno.h>

static struct shunt_clock monotonic;

static struct shunt_trace *make(uint64_t capacity)
{
	struct shunt_trace *trace = NULL;

	if (!monotonic.read_cost_ns)
		shunt_clock_init(&monotonic, false, 0);
	assert_int_equal(shunt_trace_new(&trace, capacity, &monotonic), 0);
	return trace;
}

static void events_keep_order_and_stamp(void **state)
{
	struct shunt_trace *trace = make(4);
	struct shunt_trace_ring *ring = shunt_trace_ring(trace, 3);
	uint64_t before = shunt_clock_monotonic_ns();

	(void)state;
	assert_int_equal(ring->worker, 3);
	shunt_trace_emit(ring, SHUNT_TRACE_WORKER_START, 0, 0, 0);
	shunt_trace_emit(ring, SHUNT_TRACE_ENQUEUE, SHUNT_WHY_TIMER, 7, SHUNT_TRACE_ANY);
	assert_int_equal(ring->count, 2);
	assert_true(ring->event[0].time_ns >= before);
	assert_true(ring->event[1].time_ns >= ring->event[0].time_ns);
	assert_int_equal(ring->event[1].kind, SHUNT_TRACE_ENQUEUE);
	assert_int_equal(ring->event[1].why, SHUNT_WHY_TIMER);
	assert_int_equal(ring->event[1].task, 7);
	assert_int_equal(ring->event[1].arg, SHUNT_TRACE_ANY);
	assert_int_equal(shunt_trace_events(trace), 2);
	shunt_trace_free(trace);
}

static void a_full_ring_drops_and_counts(void **state)
{
	struct shunt_trace *trace = make(2);
	struct shunt_trace_ring *ring = shunt_trace_ring(trace, 0);

	(void)state;
	for (uint64_t i = 0; i < 5; i++)
		shunt_trace_emit_at(ring, i, SHUNT_TRACE_DEQUEUE, 0, i, 0);
	assert_int_equal(ring->count, 2);
	assert_int_equal(ring->event[1].task, 1);
	assert_int_equal(shunt_trace_dropped(trace), 3);
	shunt_trace_free(trace);
}

static void a_worker_keeps_its_ring(void **state)
{
	struct shunt_trace *trace = make(2);
	struct shunt_trace_ring *first = shunt_trace_ring(trace, 0);

	(void)state;
	for (unsigned i = 1; i < 40; i++)
		assert_ptr_not_equal(shunt_trace_ring(trace, i), first);
	assert_ptr_equal(shunt_trace_ring(trace, 0), first);
	assert_int_equal((uintptr_t)first % 128, 0);
	shunt_trace_free(trace);
}

static void a_ring_beyond_memory_is_refused(void **state)
{
	struct shunt_trace *trace = make(UINT64_MAX / 2);

	(void)state;
	assert_null(shunt_trace_ring(trace, 0));
	shunt_trace_emit_outside(trace, SHUNT_TRACE_INJECT, 0, 1, 0);
	assert_int_equal(shunt_trace_dropped(trace), 1);
	shunt_trace_free(trace);
}

struct outsider {
	struct shunt_trace *trace;
	uint64_t first;
};

enum { OUTSIDE_EVENTS = 500 };

static void *outsider_main(void *arg)
{
	struct outsider *me = arg;

	for (uint64_t i = 0; i < OUTSIDE_EVENTS; i++)
		shunt_trace_emit_outside(me->trace, SHUNT_TRACE_INJECT, 0, me->first + i, 0);
	return NULL;
}

static void other_threads_share_one_ring(void **state)
{
	struct shunt_trace *trace = make(2 * OUTSIDE_EVENTS);
	struct outsider two[2] = {{trace, 1}, {trace, 100001}};
	pthread_t thread[2];

	(void)state;
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, outsider_main, &two[i]), 0);
	for (int i = 0; i < 2; i++)
		pthread_join(thread[i], NULL);

	struct shunt_trace_ring *ring = shunt_trace_ring(trace, SHUNT_TRACE_OUTSIDE);
	uint64_t sum = 0;

	assert_int_equal(ring->count, 2 * OUTSIDE_EVENTS);
	for (uint64_t i = 0; i < ring->count; i++) {
		sum += ring->event[i].task;
		if (i)
			assert_true(ring->event[i].time_ns >= ring->event[i - 1].time_ns);
	}
	assert_int_equal(sum, OUTSIDE_EVENTS * 100002 + OUTSIDE_EVENTS * (OUTSIDE_EVENTS - 1));
	shunt_trace_free(trace);
}

static void names_are_found(void **state)
{
	struct shunt_trace *trace = make(1);
	char name[] = "task 41";

	(void)state;
	assert_null(shunt_trace_label(trace->label, trace->label_count, 1));
	for (uint64_t task = 40; task > 0; task--) {
		name[5] = (char)('0' + task / 10), name[6] = (char)('0' + task % 10);
		assert_int_equal(shunt_trace_name(trace, task, name), 0);
	}
	shunt_trace_labels_sort(trace->label, trace->label_count);
	assert_string_equal(shunt_trace_label(trace->label, trace->label_count, 7), "task 07");
	assert_null(shunt_trace_label(trace->label, trace->label_count, 41));
	shunt_trace_free(trace);
}

static void words_and_numbers_correspond(void **state)
{
	static const unsigned whys[][2] = {
		{SHUNT_TRACE_ENQUEUE, SHUNT_WHY_NEW},
		{SHUNT_TRACE_ENQUEUE, SHUNT_WHY_MIGRATE | SHUNT_FROM_REMOTE},
		{SHUNT_TRACE_ENQUEUE, SHUNT_WHY_WAKE | SHUNT_FROM_EXTERNAL},
		{SHUNT_TRACE_RUN_END, SHUNT_TRACE_END_EXIT},
		{SHUNT_TRACE_WAKE, SHUNT_TRACE_WAKE_STALE},
		{SHUNT_TRACE_SPAWN, 0},
	};
	unsigned number;
	char text[24];

	(void)state;
	for (unsigned kind = 0; kind < SHUNT_TRACE_KINDS; kind++) {
		assert_int_equal(shunt_trace_kind_parse(shunt_trace_kind_name(kind), &number), 0);
		assert_int_equal(number, kind);
	}
	assert_null(shunt_trace_kind_name(SHUNT_TRACE_KINDS));
	assert_int_equal(shunt_trace_kind_parse("jump", &number), -EINVAL);
	for (size_t i = 0; i < sizeof(whys) / sizeof(*whys); i++) {
		shunt_trace_why_name(whys[i][0], whys[i][1], text);
		assert_int_equal(shunt_trace_why_parse(whys[i][0], text, &number), 0);
		assert_int_equal(number, whys[i][1]);
	}
	assert_string_equal(shunt_trace_why_name(SHUNT_TRACE_ENQUEUE,
				    SHUNT_WHY_WAKE | SHUNT_FROM_REMOTE, text),
		"wake+remote");
	assert_string_equal(shunt_trace_why_name(SHUNT_TRACE_WAKE, 9, text), "?9");
	assert_int_equal(shunt_trace_why_parse(SHUNT_TRACE_RUN_END, "won", &number), -EINVAL);
}

static void the_cost_is_measured(void **state)
{
	(void)state;
	shunt_trace_free(make(1));
	double cost_ns = shunt_trace_cost_ns(&monotonic);

	assert_true(cost_ns > 1 && cost_ns < 100000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(events_keep_order_and_stamp),
		cmocka_unit_test(a_full_ring_drops_and_counts),
		cmocka_unit_test(a_worker_keeps_its_ring),
		cmocka_unit_test(a_ring_beyond_memory_is_refused),
		cmocka_unit_test(other_threads_share_one_ring),
		cmocka_unit_test(names_are_found),
		cmocka_unit_test(words_and_numbers_correspond),
		cmocka_unit_test(the_cost_is_measured),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
