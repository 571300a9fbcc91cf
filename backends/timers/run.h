/* SPDX-License-Identifier: MIT */
/*
 * A run: timers that came in the order in which they are due, in a ring that grows. O(1) to put one
 * behind and to take one off the front, and nothing is ever in between.
 */
#ifndef SHUNT_BACKENDS_TIMERS_RUN_H
#define SHUNT_BACKENDS_TIMERS_RUN_H

#include "core/engine/slots.h"
#include "core/engine/task.h"

#include <errno.h>
#include <stdlib.h>

#define RUN_CAPACITY_MIN 64

struct run {
	struct shunt_timer *entry;
	size_t first, count;
	size_t capacity;  /* 0 or a power of two */
	int64_t front_ns; /* when its first is due; SHUNT_NEVER if it is empty */
	int64_t last_ns;  /* nothing that is due before goes behind; INT64_MIN if it is empty */
};

static inline struct shunt_timer *run_entry(const struct run *run, size_t i)
{
	return &run->entry[(run->first + i) & (run->capacity - 1)];
}

static inline void run_set_front(struct run *run)
{
	run->front_ns = run->count > 0 ? run_entry(run, 0)->deadline_ns : SHUNT_NEVER;
	if (run->count == 0)
		run->last_ns = INT64_MIN;
}

static inline void run_init(struct run *run)
{
	*run = (struct run){.front_ns = SHUNT_NEVER, .last_ns = INT64_MIN};
}

static inline int run_grow(struct run *run)
{
	size_t capacity = run->capacity > 0 ? run->capacity * 2 : RUN_CAPACITY_MIN;
	struct shunt_timer *entry;

	if (capacity > SIZE_MAX / sizeof(*entry))
		return -ENOMEM;
	entry = malloc(capacity * sizeof(*entry));
	if (entry == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < run->count; i++)
		entry[i] = *run_entry(run, i);
	free(run->entry);
	run->entry = entry;
	run->first = 0;
	run->capacity = capacity;
	return 0;
}

/* Puts a timer behind, which is due no earlier than the last. 0 or -ENOMEM. */
static inline int run_append(struct run *run, const struct shunt_timer *timer)
{
	if (run->count == run->capacity) {
		int code = run_grow(run);

		if (code != 0)
			return code;
	}
	if (run->count == 0)
		run->front_ns = timer->deadline_ns;
	*run_entry(run, run->count++) = *timer;
	run->last_ns = timer->deadline_ns;
	return 0;
}

static inline void run_drop_front(struct run *run)
{
	run->first++;
	run->count--;
	run_set_front(run);
}

/* Removes every tombstone; the rest keeps its order. */
static inline void run_sweep(struct run *run)
{
	size_t kept = 0;

	for (size_t i = 0; i < run->count; i++)
		if (shunt_timer_is_live(run_entry(run, i)))
			*run_entry(run, kept++) = *run_entry(run, i);
	run->count = kept;
	run_set_front(run);
}

/* Gives the memory of an empty run back if it has more than `kept` entries. */
static inline void run_shrink(struct run *run, size_t kept)
{
	if (run->capacity <= kept)
		return;
	free(run->entry);
	run_init(run);
}

#endif
