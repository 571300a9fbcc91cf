/* SPDX-License-Identifier: MIT */
/*
 * What wait slots share: the clock that judges deadlines, counters of system calls that any thread
 * may read, and the word of a sleeper.
 */
#ifndef SHUNT_BACKENDS_WAIT_HOST_H
#define SHUNT_BACKENDS_WAIT_HOST_H

#include "core/engine/slots.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#define SHUNT_WAIT_LINE_BYTES 64

static inline int64_t shunt_wait_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* A deadline as the kernel takes it; one before the clock's start is due at once. */
static inline struct timespec shunt_wait_timespec(int64_t deadline_ns)
{
	if (deadline_ns < 0)
		deadline_ns = 0;
	return (struct timespec){.tv_sec = deadline_ns / 1000000000,
		.tv_nsec = deadline_ns % 1000000000};
}

/*
 * System calls made for one slot. Relaxed throughout: the numbers are read as statistics and
 * order nothing.
 */
struct shunt_wait_calls {
	_Atomic uint64_t own;     /* [wait:calls-own] written by the slot's thread alone */
	_Atomic uint64_t outside; /* [wait:calls-outside] by threads that are no workers */
};

static inline void shunt_wait_called(struct shunt_wait_calls *calls)
{
	/* Relaxed load and store, no read-modify-write: one writer. */
	uint64_t before = atomic_load_explicit(&calls->own, memory_order_relaxed);

	atomic_store_explicit(&calls->own, before + 1, memory_order_relaxed);
}

/* A call made to wake `target`: charged to the waker, or to the target when the waker is no
 * worker (`from` is NULL). */
static inline void shunt_wait_called_for(struct shunt_wait_calls *target,
	struct shunt_wait_calls *from)
{
	/* Relaxed: a count. */
	if (from != NULL)
		shunt_wait_called(from);
	else
		atomic_fetch_add_explicit(&target->outside, 1, memory_order_relaxed);
}

static inline uint64_t shunt_wait_calls_sum(const struct shunt_wait_calls *calls)
{
	/* Relaxed: two counts; the sum is exact once nobody counts any more. */
	return atomic_load_explicit(&calls->own, memory_order_relaxed) +
	       atomic_load_explicit(&calls->outside, memory_order_relaxed);
}

/* ---- the word of a sleeper ------------------------------------------------------------------- */

/*
 * A worker is AWAKE, SLEEPING or NOTIFIED. A wake is an exchange to NOTIFIED, and its maker calls
 * the kernel only if it found SLEEPING; a notification stays until the next sleep takes it, so
 * that a wake at any time ends that sleep.
 *
 * No wake is lost: both sides change the word by read-modify-writes alone, and these take place in
 * one order. If the wake comes before the sleeper says SLEEPING, the sleeper finds NOTIFIED and
 * does not sleep; if it comes after, it finds SLEEPING and calls the kernel, whose own state (the
 * futex's compare, an event descriptor's count) outlasts the moment before the thread is really
 * asleep. Either way the sleeper's last exchange acquires what the waker wrote before.
 */
enum { SHUNT_WAIT_AWAKE, SHUNT_WAIT_SLEEPING, SHUNT_WAIT_NOTIFIED };

struct shunt_wait_word {
	/* [wait:word] every access is a read-modify-write and pairs with all others. */
	_Atomic uint32_t state;
};

/* The sleeper, before it sleeps. False: there was a wake, do not sleep. */
static inline bool shunt_wait_word_sleep(struct shunt_wait_word *word)
{
	uint32_t expected = SHUNT_WAIT_AWAKE;

	/* [wait:word] release: a waker that finds SLEEPING sees what was done before. Relaxed on
	 * failure: shunt_wait_word_awake() acquires. */
	return atomic_compare_exchange_strong_explicit(&word->state, &expected, SHUNT_WAIT_SLEEPING,
		memory_order_release, memory_order_relaxed);
}

/* The sleeper, whether it has slept or not. */
static inline void shunt_wait_word_awake(struct shunt_wait_word *word)
{
	/* [wait:word] acquires what the waker released in shunt_wait_word_notify(). */
	atomic_exchange_explicit(&word->state, SHUNT_WAIT_AWAKE, memory_order_acq_rel);
}

/* A waker. True: the target sleeps, the caller must end that. */
static inline bool shunt_wait_word_notify(struct shunt_wait_word *word)
{
	/* [wait:word] releases what the waker wrote to shunt_wait_word_awake(). */
	return atomic_exchange_explicit(&word->state, SHUNT_WAIT_NOTIFIED, memory_order_acq_rel) ==
	       SHUNT_WAIT_SLEEPING;
}

#endif
