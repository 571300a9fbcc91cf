/* SPDX-License-Identifier: MIT */
/* The events of a trace in one row. */
#include "core/measure/trace_internal.h"

#include <errno.h>
#include <stdlib.h>

/* Within a worker the order in which they were written stands: qsort may swap equals. */
struct place {
	uint64_t time_ns;
	size_t ring, at;
};

static int by_time(const void *a, const void *b)
{
	const struct place *x = a, *y = b;

	if (x->time_ns != y->time_ns)
		return x->time_ns < y->time_ns ? -1 : 1;
	if (x->ring != y->ring)
		return x->ring < y->ring ? -1 : 1;
	return x->at < y->at ? -1 : x->at > y->at;
}

static size_t places_of(const struct shunt_trace *trace, struct place *place)
{
	size_t count = 0;

	for (size_t ring = 0; ring < trace->ring_count; ring++)
		for (size_t at = 0; trace->ring[ring] && at < trace->ring[ring]->count; at++)
			place[count++] =
				(struct place){trace->ring[ring]->event[at].time_ns, ring, at};
	return count;
}

int shunt_trace_moments(const struct shunt_trace *trace, struct shunt_trace_moment **moments,
	size_t *count)
{
	size_t most = (size_t)shunt_trace_events(trace) + 1;
	struct place *place = malloc(most * sizeof(*place));
	struct shunt_trace_moment *made = malloc(most * sizeof(*made));

	if (!place || !made) {
		free(place);
		free(made);
		return -ENOMEM;
	}
	*count = places_of(trace, place);
	qsort(place, *count, sizeof(*place), by_time);
	for (size_t i = 0; i < *count; i++) {
		const struct shunt_trace_ring *ring = trace->ring[place[i].ring];

		made[i] = (struct shunt_trace_moment){ring->event[place[i].at], ring->worker};
	}
	free(place);
	*moments = made;
	return 0;
}
