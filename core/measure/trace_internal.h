/* SPDX-License-Identifier: MIT */
/* What the trace's own files share: its storage, and the words for its numbers. */
#ifndef SHUNT_CORE_MEASURE_TRACE_INTERNAL_H
#define SHUNT_CORE_MEASURE_TRACE_INTERNAL_H

#include "core/measure/trace.h"

#include <pthread.h>
#include <stdbool.h>

struct shunt_trace_label {
	uint64_t task;
	char *text;
};

struct shunt_trace {
	pthread_mutex_t lock; /* ring, label and the outside ring's writers */
	struct shunt_trace_ring **ring;
	size_t ring_count;
	struct shunt_trace_label *label;
	size_t label_count, label_room;
	uint64_t capacity;
	const struct shunt_clock *clock; /* NULL in a trace that was loaded */
	struct shunt_clock own_clock;    /* of a scheduler with a time of its own */
	char clock_name[16];
	/* Of a loaded one; else the clock has them. */
	uint64_t clock_error_ppb, clock_base_ns;
	uint64_t homeless; /* events for which there was no memory for a ring */
	bool shared;
};

/* Adds a ring of this capacity; the caller holds the lock. NULL: no memory. */
struct shunt_trace_ring *shunt_trace_ring_add(struct shunt_trace *trace, unsigned worker,
	uint64_t capacity);

/* Sorts names by their task. */
void shunt_trace_labels_sort(struct shunt_trace_label *label, size_t count);
/* The name among sorted ones, or NULL. */
const char *shunt_trace_label(const struct shunt_trace_label *label, size_t count, uint64_t task);

/* What a kind's or a why's name stands for; -EINVAL for an unknown word. */
int shunt_trace_kind_parse(const char *word, unsigned *kind);
int shunt_trace_why_parse(unsigned kind, const char *word, unsigned *why);

#endif
