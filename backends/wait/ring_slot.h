/* SPDX-License-Identifier: MIT */
/*
 * What the wait slots `uring` and `uring-each` have in common: rings set up from one plan, and the
 * ways in which one worker's ring is woken from another thread.
 *
 * A bell belongs to each worker and lives as long as the scheduler: a word (host.h), so that only
 * a sleeper is called, and an eventfd that the worker's ring reads. With wake=msgring a worker
 * posts from its own ring into the sleeper's, which takes one system call too, but no read. The
 * eventfd remains for threads without a ring, and for messages that the kernel refuses.
 */
#ifndef SHUNT_BACKENDS_WAIT_RING_SLOT_H
#define SHUNT_BACKENDS_WAIT_RING_SLOT_H

#include "backends/wait/ring.h"

/* What a result is about: the top byte of its user_data. */
#define SHUNT_RING_TAG(user_data) ((user_data) >> 56)
enum {
	SHUNT_RING_TIMER,  /* for the slot itself; the rest of user_data is the slot's own */
	SHUNT_RING_CHANGE, /* an update or removal that found its timer gone: nothing to do */
	SHUNT_RING_READ,   /* the eventfd was read */
	SHUNT_RING_RUNG,   /* a message came */
	SHUNT_RING_IO,     /* of a task; the rest is the engine's */
	SHUNT_RING_FAILED, /* a message that we sent was refused; the rest is the target's index */
};
#define SHUNT_RING_DATA(tag, rest) ((uint64_t)(tag) << 56 | (uint64_t)(rest))

enum { SHUNT_WAKE_EVENTFD, SHUNT_WAKE_MSGRING };

struct shunt_bell {
	_Alignas(SHUNT_WAIT_LINE_BYTES) struct shunt_wait_word word;
	int event_fd; /* constant */
	/* [ring:bell-fd] the sleeper's ring; written by its worker before it first sleeps, read by
	 * those who found it asleep. Ordered by the word. */
	_Atomic int ring_fd;
};

struct shunt_ring_wait {
	struct shunt_ring_plan plan;
	int wake; /* SHUNT_WAKE_ */
	unsigned worker_count;
	const char *prefix; /* of its facts */
	shunt_fired_fn *fired;
	shunt_event_fn *event;
	struct shunt_bell *bells;
	_Atomic uint64_t overflows; /* [ring:overflows] of the rings closed so far */
};

/* First member of a slot. The worker's alone. */
struct shunt_ring_slot {
	_Alignas(SHUNT_WAIT_LINE_BYTES) struct shunt_ring_wait *wait;
	struct shunt_bell *bell;
	struct shunt_ring *ring;
	struct shunt_wait_calls calls;
	uint64_t event_count; /* what the eventfd is read into */
	bool reading;         /* the read is in the ring */
	bool lossy;           /* results were lost, perhaps those of operations */
	void *arg;            /* of events */
	unsigned operations;  /* of tasks, that have no result yet */
};

/* The parameter that both slots take, for their tables. */
#define SHUNT_RING_PARAM_WAKE                                                                      \
	{                                                                                          \
		.name = "wake", .type = SHUNT_PARAM_CHOICE, .fallback = "eventfd",                 \
		.choices = shunt_ring_wake_choices,                                                \
		.help = "how a worker wakes another: an eventfd read by its ring, or a message "   \
			"posted into its ring (Linux 5.18)"                                        \
	}
extern const char *const shunt_ring_wake_choices[];

/* probe() of both slots. */
int shunt_ring_probe(struct shunt_error *why);

/* The shared part of open(): `bytes` of a struct that begins with a shunt_ring_wait, the rest zero.
 * The rings have the first setup that the kernel has, from `setup` on. */
int shunt_ring_wait_new(void **wait, size_t bytes, const struct shunt_wait_config *config,
	enum shunt_ring_setup setup, unsigned sq_entries, unsigned cq_entries,
	struct shunt_error *err);

/* The shared part of start(): `bytes`, whole cache lines, of a struct that begins with a
 * shunt_ring_slot. Context: the worker's thread. */
int shunt_ring_slot_new(void **slot, size_t bytes, struct shunt_ring_wait *wait,
	unsigned worker_index, void *arg, struct shunt_error *err);

/* Takes a result that is about waking, or a task's operation; false: it is the slot's own. */
bool shunt_ring_slot_result(struct shunt_ring_slot *slot, const struct shunt_ring_result *result);

/* Puts the read of the eventfd into the ring if it is not there. As shunt_ring_room(). */
int shunt_ring_slot_listen(struct shunt_ring_slot *slot);

/* Hooks of both slots. */
void shunt_ring_wait_close(void *wait);
void shunt_ring_slot_stop(void *slot);
void shunt_ring_slot_wake(void *target, void *from);
void shunt_ring_slot_facts(const void *wait, shunt_fact_fn *fact, void *sink);
uint64_t shunt_ring_slot_syscalls(const void *slot);
int shunt_ring_slot_submit(void *slot, const struct shunt_io_op *op, uint64_t data);
void shunt_ring_slot_cancel(void *slot, uint64_t data);

/* To be called when the ring has lost results. The operations that were on may be among them. */
static inline void shunt_ring_slot_lost(struct shunt_ring_slot *slot)
{
	slot->lossy |= slot->operations > 0;
}

/* What commit() comes to: a run whose operations may never end must not go on. */
static inline int shunt_ring_slot_code(const struct shunt_ring_slot *slot, int code)
{
	return code == 0 && slot->lossy ? -ENOBUFS : code;
}

#endif
