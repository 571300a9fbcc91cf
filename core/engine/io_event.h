/* SPDX-License-Identifier: MIT */
/* Events of operations, and what workers ask each other about them: io_event.c. */
#ifndef SHUNT_CORE_ENGINE_IO_EVENT_H
#define SHUNT_CORE_ENGINE_IO_EVENT_H

#include "core/engine/worker.h"

/* What names an operation outside: the generation of its entry, the side, the index. The top byte
 * is free. */
#define SHUNT_IO_DATA_SIDE  24
#define SHUNT_IO_DATA_INDEX ((1U << SHUNT_IO_DATA_SIDE) - 1)

_Static_assert(SHUNT_IO_CHUNKS_MOST *SHUNT_IO_CHUNK_ENTRIES <= SHUNT_IO_DATA_INDEX + 1,
	"an index fits");

static inline uint64_t shunt_io_data(const struct shunt_io_entry *entry, enum shunt_io_side side)
{
	return (uint64_t)entry->generation << (SHUNT_IO_DATA_SIDE + 1) |
	       (uint64_t)side << SHUNT_IO_DATA_SIDE | entry->index;
}

static inline uint64_t shunt_io_data_generation(uint64_t data)
{
	return data >> (SHUNT_IO_DATA_SIDE + 1);
}

static inline unsigned shunt_io_data_side(uint64_t data)
{
	return data >> SHUNT_IO_DATA_SIDE & 1;
}

/* NULL: there is none of that index. */
static inline struct shunt_io_entry *shunt_io_data_entry(struct shunt_io_table *table,
	uint64_t data)
{
	return shunt_io_entry_at(table, (uint32_t)(data & SHUNT_IO_DATA_INDEX));
}

/* What a wait slot calls for an event; arg is the worker that collects. */
shunt_event_fn shunt_engine_io_event;

/* What a pool calls for a result; arg is the engine. Any thread. */
shunt_done_fn shunt_engine_io_done;

/* Has the operations of those sides (a mask) cancelled that are on. */
void shunt_engine_io_cancel(struct shunt_worker *worker, struct shunt_io_entry *entry,
	unsigned sides);

/* Does what other threads ask of this worker: cancels, and takes results. Context: the worker. */
void shunt_engine_io_answer(struct shunt_worker *worker);

/* Looks for events, unless it has just done so. Context: the worker; tasks wait for some. */
void shunt_engine_io_collect(struct shunt_worker *worker, int64_t now_ns);

#endif
