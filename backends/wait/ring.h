/* SPDX-License-Identifier: MIT */
/*
 * An io_uring as the wait slots use it: timeouts, one read, messages, and a wait with a deadline.
 *
 * All that is known of liburing is in ring.c and ring_plan.c. A plan says which of the kernel's
 * features the rings of one scheduler use; it is made once, by trying, and all rings are set up
 * from it. A ring belongs to the thread that opens it: no other may submit or collect.
 */
#ifndef SHUNT_BACKENDS_WAIT_RING_H
#define SHUNT_BACKENDS_WAIT_RING_H

#include "backends/wait/host.h"
#include "core/engine/slots.h"

struct shunt_ring;
struct shunt_io_op;

/* When the kernel posts completions into the ring. A plan takes the first that this kernel has,
 * from the one asked for on. */
enum shunt_ring_setup {
	SHUNT_RING_DEFER, /* SINGLE_ISSUER | DEFER_TASKRUN: when the owner asks (Linux 6.1) */
	SHUNT_RING_COOP,  /* COOP_TASKRUN: when the owner enters the kernel for any reason (5.19);
			   * best where many results come at a time */
	SHUNT_RING_PLAIN, /* at once, by interrupting the owner */
};

struct shunt_ring_plan {
	unsigned sq_entries, cq_entries;
	unsigned setup_flags;  /* IORING_SETUP_ */
	unsigned features;     /* IORING_FEAT_, as the kernel answered */
	bool absolute_wait;    /* io_uring_enter takes an absolute deadline (Linux 6.12) */
	bool skips_success;    /* operations can be silent unless they fail (5.17) */
	bool messages;         /* one ring can post to another (5.18) */
	bool registers_itself; /* the ring's descriptor can be registered (5.18) */
};

/*
 * Finds out what this kernel offers, by setting up a ring and using it. 0, or a negative errno
 * with the reason and the remedy in err: -ENOSYS, -EPERM, -ENOMEM, -EOPNOTSUPP (the kernel lacks a
 * feature that is needed).
 */
int shunt_ring_plan(struct shunt_ring_plan *plan, enum shunt_ring_setup setup, unsigned sq_entries,
	unsigned cq_entries, struct shunt_error *err);

/* Tells the plan as facts, each name after `prefix` ("wait.uring"). */
void shunt_ring_plan_facts(const struct shunt_ring_plan *plan, const char *prefix,
	shunt_fact_fn *fact, void *sink);

/* Sets a ring up. System calls made on it are counted in *calls, which must outlive it. */
int shunt_ring_open(struct shunt_ring **ring, const struct shunt_ring_plan *plan,
	struct shunt_wait_calls *calls, struct shunt_error *err);
void shunt_ring_close(struct shunt_ring *ring);
int shunt_ring_fd(const struct shunt_ring *ring);

/* ---- submissions ----------------------------------------------------------------------------- */

/*
 * Makes sure that `count` submissions can be added, submitting what waits if need be. 0; -EAGAIN,
 * -EBUSY: not now, the kernel lacks memory or room for completions; collect and try again.
 */
int shunt_ring_room(struct shunt_ring *ring, unsigned count);

/* Each of these takes one place that shunt_ring_room() has found. A quiet submission leaves no
 * result unless it fails; it needs plan.skips_success. */
void shunt_ring_add_timeout(struct shunt_ring *ring, int64_t deadline_ns, uint64_t user_data);
void shunt_ring_add_remove(struct shunt_ring *ring, uint64_t target, uint64_t user_data);
void shunt_ring_add_read(struct shunt_ring *ring, int fd, uint64_t *buffer, uint64_t user_data);
void shunt_ring_add_message(struct shunt_ring *ring, int target_fd, uint64_t target_user_data,
	uint64_t user_data); /* quiet */
/* An operation of a task, and the cancelling of one; of all with shunt_ring_add_cancel_all (Linux
 * 5.19). */
void shunt_ring_add_operation(struct shunt_ring *ring, const struct shunt_io_op *op,
	uint64_t user_data);
void shunt_ring_add_cancel(struct shunt_ring *ring, uint64_t target, uint64_t user_data);
void shunt_ring_add_cancel_all(struct shunt_ring *ring, uint64_t user_data);

/* Added and not yet taken by the kernel. */
unsigned shunt_ring_unsubmitted(const struct shunt_ring *ring);

/* Submits all, without waiting. 0, -EAGAIN, -EBUSY (see above), or another negative errno. */
int shunt_ring_submit(struct shunt_ring *ring);

/* Submits all and waits until there is a result, the deadline, a signal, or nothing in particular.
 * 0, or a negative errno that will not go away. */
int shunt_ring_wait(struct shunt_ring *ring, int64_t deadline_ns);

/* ---- results --------------------------------------------------------------------------------- */

struct shunt_ring_result {
	uint64_t user_data;
	int32_t code;
};

/* Takes up to `room` results. Makes system calls, which submit too, only while the kernel says that
 * it holds some back (deferred, or beyond a full ring). */
unsigned shunt_ring_take(struct shunt_ring *ring, struct shunt_ring_result *result, unsigned room);

/* How many results the kernel has ever posted, and whether one of those posted since it was
 * `before` is this. Takes none, and makes no system call. */
unsigned shunt_ring_posted(const struct shunt_ring *ring);
bool shunt_ring_has_since(const struct shunt_ring *ring, unsigned before, uint64_t user_data);

/* Has the kernel ever lost a result because it ran out of memory? Answers once. */
bool shunt_ring_lost(struct shunt_ring *ring);

/* How often the completion ring overflowed into the kernel's memory. */
uint64_t shunt_ring_overflows(const struct shunt_ring *ring);

#endif
