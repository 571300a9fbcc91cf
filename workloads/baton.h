/* SPDX-License-Identifier: MIT */
/*
 * Passing one value from task to task, over one of three mechanisms of the task API: what `ring`
 * and `pingpong` are made of.
 *
 * The mechanism is a constant wherever these functions are called, so that a hop has no branch on
 * it. BATON_STOP, passed to a member instead of a value, ends it.
 */
#ifndef SHUNT_WORKLOADS_BATON_H
#define SHUNT_WORKLOADS_BATON_H

#include "workloads/crowd.h"

#define BATON_STOP   UINT64_MAX
#define BATON_INLINE static inline __attribute__((always_inline))

enum baton_over { BATON_SEMAPHORE, BATON_PARK, BATON_CHANNEL };
/* The choices of a parameter `over`, in the order of the enum. */
static const char *const baton_names[] = {"semaphore", "park", "channel", NULL};

/* Where one member waits for the baton: one cache line, so that a hop touches no more. */
struct baton_place {
	union {
		struct shunt_semaphore semaphore;
		struct shunt_channel *channel;
	};
	struct shunt_handle member; /* for park: who waits here */
	uint64_t value;             /* handed over: semaphore, park */
	int full;                   /* [baton:full] park: value is there */
} __attribute__((aligned(64)));

_Static_assert(sizeof(struct baton_place) == 64, "a place is one cache line");

/* count places, the channels of which, if any, are in one array that the first place points to. */
static inline int baton_init(struct baton_place **places, uint64_t count, enum baton_over over)
{
	struct baton_place *place = aligned_alloc(64, count * sizeof(*place));
	if (!place)
		return -ENOMEM;
	memset(place, 0, count * sizeof(*place));
	*places = place;
	if (over != BATON_CHANNEL)
		return 0;
	struct shunt_channel *channels = calloc(count, sizeof(*channels));
	place[0].channel = channels;
	for (uint64_t i = 0; channels && i < count; i++) {
		place[i].channel = &channels[i];
		/* Room for the baton, so that no member waits to pass it. */
		if (shunt_channel_init(&channels[i], 1))
			return -ENOMEM;
	}
	return channels ? 0 : -ENOMEM;
}

static inline void baton_fini(struct baton_place *places, uint64_t count, enum baton_over over)
{
	if (places && over == BATON_CHANNEL && places[0].channel) {
		for (uint64_t i = 0; i < count; i++)
			shunt_channel_fini(&places[0].channel[i]);
		free(places[0].channel);
	}
	free(places);
}

/* Context: task. */
BATON_INLINE void baton_pass(struct baton_place *to, enum baton_over over, uint64_t value)
{
	if (over == BATON_CHANNEL) {
		shunt_channel_send(to->channel, (void *)(uintptr_t)value);
		return;
	}
	to->value = value;
	if (over == BATON_SEMAPHORE) {
		shunt_semaphore_post(&to->semaphore);
		return;
	}
	/* Release pairs with the acquire in baton_await [baton:full]. */
	__atomic_store_n(&to->full, 1, __ATOMIC_RELEASE);
	shunt_wake(to->member);
}

/* over=park: takes the baton if it is there. */
BATON_INLINE bool baton_taken(struct baton_place *place)
{
	/* Acquire pairs with the release in baton_pass [baton:full]. */
	if (!__atomic_load_n(&place->full, __ATOMIC_ACQUIRE))
		return false;
	/* Relaxed: nobody passes again before this member has passed the baton on [baton:full]. */
	__atomic_store_n(&place->full, 0, __ATOMIC_RELAXED);
	return true;
}

/* Context: task; may switch. */
BATON_INLINE uint64_t baton_await(struct baton_place *place, enum baton_over over)
{
	if (over == BATON_CHANNEL) {
		void *value = NULL;
		shunt_channel_receive(place->channel, &value);
		return (uintptr_t)value;
	}
	if (over == BATON_SEMAPHORE) {
		shunt_semaphore_wait(&place->semaphore);
		return place->value;
	}
	while (!baton_taken(place))
		shunt_park();
	return place->value;
}

#endif
