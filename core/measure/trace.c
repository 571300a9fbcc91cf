/* SPDX-License-Identifier: MIT */
/* The trace's storage: rings, names, and the words for its numbers. The protocol is in trace.h. */
#include "core/measure/trace.h"

#include "core/engine/slots.h"
#include "core/io_op.h"
#include "core/measure/trace_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CAPACITY_DEFAULT (UINT64_C(1) << 18)
#define COST_EVENTS      4096
#define COST_ROUNDS      9

_Static_assert(sizeof(struct shunt_trace_event) == 32, "half a cache line");

int shunt_trace_new(struct shunt_trace **trace, uint64_t capacity, const struct shunt_clock *clock)
{
	struct shunt_trace *made = calloc(1, sizeof(*made));

	if (!made)
		return -ENOMEM;
	made->capacity = capacity ? capacity : CAPACITY_DEFAULT;
	made->clock = clock;
	pthread_mutex_init(&made->lock, NULL);
	*trace = made;
	return 0;
}

void shunt_trace_clock(struct shunt_trace *trace, const struct shunt_clock *clock)
{
	trace->own_clock = *clock;
	trace->clock = &trace->own_clock;
}

void shunt_trace_free(struct shunt_trace *trace)
{
	if (!trace)
		return;
	for (size_t i = 0; i < trace->ring_count; i++) {
		free(trace->ring[i]->event);
		free(trace->ring[i]);
	}
	for (size_t i = 0; i < trace->label_count; i++)
		free(trace->label[i].text);
	free(trace->ring);
	free(trace->label);
	pthread_mutex_destroy(&trace->lock);
	free(trace);
}

/* Memory for a ring, touched, so that emitting never faults. */
static struct shunt_trace_ring *ring_new(uint64_t capacity)
{
	struct shunt_trace_ring *ring =
		aligned_alloc(_Alignof(struct shunt_trace_ring), sizeof(*ring));
	struct shunt_trace_event *event = NULL;

	if (capacity <= SIZE_MAX / sizeof(*event))
		event = malloc(capacity ? capacity * sizeof(*event) : 1);
	if (!ring || !event) {
		free(ring);
		free(event);
		return NULL;
	}
	*ring = (struct shunt_trace_ring){.event = event, .capacity = capacity};
	/* Hides the allocation, or the two could become a calloc that touches nothing. */
	__asm__ volatile("" : "+r"(event));
	memset(event, 0, capacity * sizeof(*event));
	return ring;
}

struct shunt_trace_ring *shunt_trace_ring_add(struct shunt_trace *trace, unsigned worker,
	uint64_t capacity)
{
	struct shunt_trace_ring **grown, *ring;

	grown = realloc(trace->ring, (trace->ring_count + 1) * sizeof(*grown));
	if (!grown)
		return NULL;
	trace->ring = grown;
	ring = ring_new(capacity);
	if (!ring)
		return NULL;
	ring->worker = worker;
	ring->clock = trace->clock;
	trace->ring[trace->ring_count++] = ring;
	return ring;
}

static struct shunt_trace_ring *ring_locked(struct shunt_trace *trace, unsigned worker)
{
	for (size_t i = 0; i < trace->ring_count; i++)
		if (trace->ring[i]->worker == worker)
			return trace->ring[i];
	return shunt_trace_ring_add(trace, worker, trace->capacity);
}

struct shunt_trace_ring *shunt_trace_ring(struct shunt_trace *trace, unsigned worker)
{
	pthread_mutex_lock(&trace->lock);
	struct shunt_trace_ring *ring = ring_locked(trace, worker);
	pthread_mutex_unlock(&trace->lock);
	return ring;
}

void shunt_trace_emit_outside(struct shunt_trace *trace, enum shunt_trace_kind kind, unsigned why,
	uint64_t task, uint64_t arg)
{
	pthread_mutex_lock(&trace->lock);
	struct shunt_trace_ring *ring = ring_locked(trace, SHUNT_TRACE_OUTSIDE);

	if (ring)
		shunt_trace_emit(ring, kind, why, task, arg);
	else
		trace->homeless++;
	pthread_mutex_unlock(&trace->lock);
}

void shunt_trace_share(struct shunt_trace *trace)
{
	trace->shared = true;
}

static int label_add(struct shunt_trace *trace, uint64_t task, const char *name)
{
	if (trace->label_count == trace->label_room) {
		size_t room = trace->label_room ? 2 * trace->label_room : 16;
		struct shunt_trace_label *grown = realloc(trace->label, room * sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		trace->label = grown;
		trace->label_room = room;
	}
	char *text = strdup(name);
	if (!text)
		return -ENOMEM;
	trace->label[trace->label_count++] = (struct shunt_trace_label){task, text};
	return 0;
}

int shunt_trace_name(struct shunt_trace *trace, uint64_t task, const char *name)
{
	pthread_mutex_lock(&trace->lock);
	int rc = label_add(trace, task, name);
	pthread_mutex_unlock(&trace->lock);
	return rc;
}

static int by_task(const void *a, const void *b)
{
	const struct shunt_trace_label *x = a, *y = b;

	return (x->task > y->task) - (x->task < y->task);
}

void shunt_trace_labels_sort(struct shunt_trace_label *label, size_t count)
{
	if (count)
		qsort(label, count, sizeof(*label), by_task);
}

const char *shunt_trace_label(const struct shunt_trace_label *label, size_t count, uint64_t task)
{
	struct shunt_trace_label key = {.task = task}, *found = NULL;

	if (count)
		found = bsearch(&key, label, count, sizeof(key), by_task);
	return found ? found->text : NULL;
}

uint64_t shunt_trace_events(const struct shunt_trace *trace)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < trace->ring_count; i++)
		sum += trace->ring[i]->count;
	return sum;
}

uint64_t shunt_trace_dropped(const struct shunt_trace *trace)
{
	uint64_t sum = trace->homeless;

	for (size_t i = 0; i < trace->ring_count; i++)
		sum += trace->ring[i]->dropped;
	return sum;
}

double shunt_trace_cost_ns(const struct shunt_clock *clock)
{
	struct shunt_trace_ring *ring = ring_new(COST_EVENTS);
	double least = 1e9;

	if (!ring)
		return 0;
	ring->clock = clock;
	for (int round = 0; round < COST_ROUNDS; round++) {
		uint64_t start = shunt_clock_monotonic_ns();

		ring->count = 0;
		for (uint64_t i = 0; i < COST_EVENTS; i++)
			shunt_trace_emit(ring, SHUNT_TRACE_DEQUEUE, 0, i, 0);
		__asm__ volatile("" : : "r"(ring->event) : "memory");
		double mean = (double)(shunt_clock_monotonic_ns() - start) / COST_EVENTS;
		if (mean < least)
			least = mean;
	}
	free(ring->event);
	free(ring);
	return least;
}

/* ---- the words ------------------------------------------------------------------------------- */

static const char *const kind_names[SHUNT_TRACE_KINDS] = {
	[SHUNT_TRACE_WORKER_START] = "worker_start",
	[SHUNT_TRACE_WORKER_STOP] = "worker_stop",
	[SHUNT_TRACE_SPAWN] = "spawn",
	[SHUNT_TRACE_ENQUEUE] = "enqueue",
	[SHUNT_TRACE_DEQUEUE] = "dequeue",
	[SHUNT_TRACE_RUN_BEGIN] = "run_begin",
	[SHUNT_TRACE_RUN_END] = "run_end",
	[SHUNT_TRACE_WAKE] = "wake",
	[SHUNT_TRACE_TIMER_ARM] = "timer_arm",
	[SHUNT_TRACE_TIMER_FIRE] = "timer_fire",
	[SHUNT_TRACE_TIMER_CANCEL] = "timer_cancel",
	[SHUNT_TRACE_IDLE_BEGIN] = "idle_begin",
	[SHUNT_TRACE_IDLE_END] = "idle_end",
	[SHUNT_TRACE_WAIT_BEGIN] = "wait_begin",
	[SHUNT_TRACE_WAIT_END] = "wait_end",
	[SHUNT_TRACE_STEAL] = "steal",
	[SHUNT_TRACE_INJECT] = "inject",
	[SHUNT_TRACE_IO_BEGIN] = "io_begin",
	[SHUNT_TRACE_IO_END] = "io_end",
};

static const char *const cause_names[] = {
	[SHUNT_WHY_NEW] = "new",
	[SHUNT_WHY_WAKE] = "wake",
	[SHUNT_WHY_YIELD] = "yield",
	[SHUNT_WHY_TIMER] = "timer",
	[SHUNT_WHY_MIGRATE] = "migrate",
	NULL,
};

static const char *const end_names[] = {
	[SHUNT_TRACE_END_YIELD] = "yield",
	[SHUNT_TRACE_END_PARK] = "park",
	[SHUNT_TRACE_END_SLEEP] = "sleep",
	[SHUNT_TRACE_END_BLOCK] = "block",
	[SHUNT_TRACE_END_EXIT] = "exit",
	[SHUNT_TRACE_END_PREEMPT] = "preempt",
	NULL,
};

static const char *const wake_names[] = {
	[SHUNT_TRACE_WAKE_WON] = "won",
	[SHUNT_TRACE_WAKE_PERMIT] = "permit",
	[SHUNT_TRACE_WAKE_STALE] = "stale",
	NULL,
};

static const char *const operation_names[] = {
	[SHUNT_IO_READ] = "read",
	[SHUNT_IO_WRITE] = "write",
	[SHUNT_IO_RECV] = "recv",
	[SHUNT_IO_SEND] = "send",
	[SHUNT_IO_ACCEPT] = "accept",
	[SHUNT_IO_CONNECT] = "connect",
	[SHUNT_IO_OPEN] = "open",
	[SHUNT_IO_FSYNC] = "fsync",
	[SHUNT_IO_READV] = "readv",
	[SHUNT_IO_WRITEV] = "writev",
	NULL,
};

static const char *const outcome_names[] = {
	[SHUNT_TRACE_IO_DONE] = "done",
	[SHUNT_TRACE_IO_FAILED] = "failed",
	[SHUNT_TRACE_IO_TIMED_OUT] = "timed_out",
	[SHUNT_TRACE_IO_CANCELED] = "canceled",
	NULL,
};

static const char *const no_names[] = {"-", NULL};

static const char *const origin_names[] = {"", "+remote", "+external", NULL};

/* The words for the why of a kind of event. */
static const char *const *why_names(unsigned kind)
{
	switch (kind) {
	case SHUNT_TRACE_ENQUEUE:
		return cause_names;
	case SHUNT_TRACE_RUN_END:
		return end_names;
	case SHUNT_TRACE_WAKE:
		return wake_names;
	case SHUNT_TRACE_IO_BEGIN:
		return operation_names;
	case SHUNT_TRACE_IO_END:
		return outcome_names;
	default:
		return no_names;
	}
}

static unsigned length(const char *const *names)
{
	unsigned count = 0;

	while (names[count])
		count++;
	return count;
}

const char *shunt_trace_kind_name(unsigned kind)
{
	return kind < SHUNT_TRACE_KINDS ? kind_names[kind] : NULL;
}

const char *shunt_trace_why_name(unsigned kind, unsigned why, char text[24])
{
	const char *const *names = why_names(kind);
	unsigned cause = kind == SHUNT_TRACE_ENQUEUE ? why & SHUNT_WHY_CAUSE : why;
	unsigned origin = kind == SHUNT_TRACE_ENQUEUE ? why >> 4 : 0;

	if (names == no_names)
		cause = 0;
	if (cause >= length(names) || origin >= length(origin_names))
		snprintf(text, 24, "?%u", why);
	else
		snprintf(text, 24, "%s%s", names[cause], origin_names[origin]);
	return text;
}

int shunt_trace_kind_parse(const char *word, unsigned *kind)
{
	for (unsigned i = 0; i < SHUNT_TRACE_KINDS; i++) {
		if (strcmp(word, kind_names[i]) == 0) {
			*kind = i;
			return 0;
		}
	}
	return -EINVAL;
}

int shunt_trace_why_parse(unsigned kind, const char *word, unsigned *why)
{
	const char *const *names = why_names(kind);
	char text[24];

	for (unsigned origin = 0; origin < (names == cause_names ? 3u : 1u); origin++) {
		for (unsigned cause = 0; names[cause]; cause++) {
			if (strcmp(word, shunt_trace_why_name(kind, origin << 4 | cause, text)))
				continue;
			*why = origin << 4 | cause;
			return 0;
		}
	}
	return -EINVAL;
}
