/* SPDX-License-Identifier: MIT */
/*
 * The descriptors that tasks have open: a table of entries, for the engine and complete backends.
 *
 * An entry lives in memory that is reused only for entries, and its generation tells its
 * descriptors apart: an event that comes late for a closed one, and a task that still names it,
 * find another generation, whatever has the kernel's number by then. The entry's lock guards it
 * all. A task that waits is in its side; whoever ends that wait claims it under the lock, and a
 * task whose deadline came first takes the lock to withdraw, so that nobody keeps its ticket.
 */
#ifndef SHUNT_CORE_IO_TABLE_H
#define SHUNT_CORE_IO_TABLE_H

#include "core/backend.h"
#include "core/io.h"
#include "core/io_op.h"

struct shunt_io_waiter {
	struct shunt_task *task; /* NULL: nobody waits */
	uint64_t ticket;
	int64_t result; /* of who ended the wait */
};

struct shunt_io_entry {
	int lock; /* [waiters:lock] */
	int fd;   /* -1 while it is being opened */
	uint32_t index;
	uint32_t generation; /* from 1; 0: never used */
	bool used;
	bool closing; /* by a task that waits for the sides to be left, or will */
	bool watched; /* by the wait slot of `worker` */
	bool stream;  /* (watched) a stream socket */
	bool ended;   /* an event told of an end, an error or urgent data */
	unsigned worker;
	struct {
		bool busy;    /* a task is in an operation */
		bool came;    /* an event since the operation last looked */
		bool told;    /* of a watched stream socket: this side has waited for its events */
		bool drained; /* its last read took all there was: `came` tells of more */
		uint8_t code;
		bool submitted; /* to the wait slot of `worker`, and without a result */
		bool cancel;    /* `worker` is to cancel it */
		unsigned worker;
		int64_t result;       /* with `came` or `finished`, where an event is one */
		_Atomic int finished; /* [io:finished] by a pool; `worker` has not looked */
		uintptr_t thread;     /* that an operation blocks; 0: none */
		struct shunt_io_waiter waiter;
	} side[SHUNT_IO_SIDES];
	struct shunt_io_waiter closer;
	struct shunt_io_entry *next_free;
	struct shunt_io_entry *next_asked;
	_Atomic int asked; /* [io:asked] in a worker's list of what others ask of it */
};

#define SHUNT_IO_CHUNK_ENTRIES 256
#define SHUNT_IO_CHUNKS_MOST   4096

struct shunt_io_table {
	int lock; /* [waiters:lock] guards growth and the free list */
	unsigned chunk_count;
	struct shunt_io_entry *free;
	/* [io:chunks] published with their entries, never changed afterwards */
	_Atomic(struct shunt_io_entry *) chunk[SHUNT_IO_CHUNKS_MOST];
};

/* What a scheduler with SHUNT_CAN_FILES has in its struct shunt_sched; core has entered the side of
 * the entry, and leaves it. */
struct shunt_io_ops {
	/* Makes the operation; returns its result. -ECANCELED once the entry is closing, if nothing
	 * was done. */
	int64_t (*perform)(struct shunt_ctx *ctx, struct shunt_io_entry *entry,
		struct shunt_io_op *op, int64_t deadline_ns);
	/* The entry is closing: ends the waits of its sides, which may take their time to leave. */
	void (*interrupt)(struct shunt_ctx *ctx, struct shunt_io_entry *entry);
	/* Optional: both sides are left, and the descriptor is about to be closed. */
	void (*forget)(struct shunt_ctx *ctx, struct shunt_io_entry *entry);
};

struct shunt_io_sched {
	const struct shunt_io_ops *ops;
	struct shunt_io_table *table;
	bool nonblocking; /* descriptors are O_NONBLOCK */
	bool files_only;  /* others are refused */
};

/* NULL: no memory. */
struct shunt_io_table *shunt_io_table_new(void);
/* Closes what is still open. NULL is allowed. */
void shunt_io_table_free(struct shunt_io_table *table);

/* A fresh entry with that descriptor (-1: none yet); NULL: no memory. Any thread. */
struct shunt_io_entry *shunt_io_entry_new(struct shunt_io_table *table, int fd);
/* No operation is on, and no event is known of. Context: the lock is held, or no task runs. */
void shunt_io_side_reset(struct shunt_io_entry *entry, unsigned side);
/* Gives it back; its handles become stale. Its descriptor is the caller's. */
void shunt_io_entry_free(struct shunt_io_table *table, struct shunt_io_entry *entry);
/* The entry of that index, or NULL. Whose it is by now the lock tells. */
struct shunt_io_entry *shunt_io_entry_at(struct shunt_io_table *table, uint32_t index);
/* Visits every entry that is in use. Context: no task runs. */
void shunt_io_table_each(struct shunt_io_table *table,
	void (*visit)(void *arg, struct shunt_io_entry *entry), void *arg);

/* Is it that descriptor's, and open? Context: the lock is held. */
static inline bool shunt_io_entry_is(const struct shunt_io_entry *entry, uint32_t generation)
{
	return entry->used && !entry->closing && entry->generation == generation;
}

/* ---- waits ----------------------------------------------------------------------------------- */

/* Prepares the running task's wait. Context: task; the lock is held. */
void shunt_io_waiter_join(struct shunt_io_waiter *waiter, struct shunt_ctx *ctx,
	enum shunt_wait_what what, int fd);

/* Ends the wait of whoever waits, with that result. The task to make ready once the lock is
 * released; NULL: none. Context: the lock is held. */
struct shunt_task *shunt_io_waiter_end(struct shunt_io_waiter *waiter, int64_t result, bool many);

#endif
