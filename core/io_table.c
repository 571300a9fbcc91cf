/* SPDX-License-Identifier: MIT */
/* See io_table.h. */
#include "core/io_table.h"

#include "core/lock.h"

#include <stdlib.h>
#include <unistd.h>

#define GENERATION_LAST INT32_MAX /* an entry that has come so far is not used again */

struct shunt_io_table *shunt_io_table_new(void)
{
	return calloc(1, sizeof(struct shunt_io_table));
}

static void close_left(void *arg, struct shunt_io_entry *entry)
{
	(void)arg;
	if (entry->fd >= 0)
		close(entry->fd);
}

void shunt_io_table_free(struct shunt_io_table *table)
{
	if (!table)
		return;
	shunt_io_table_each(table, close_left, NULL);
	for (unsigned i = 0; i < table->chunk_count; i++)
		free(table->chunk[i]);
	free(table);
}

/* Context: the table's lock is held. */
static bool grow(struct shunt_io_table *table)
{
	if (table->chunk_count == SHUNT_IO_CHUNKS_MOST)
		return false;
	struct shunt_io_entry *chunk = calloc(SHUNT_IO_CHUNK_ENTRIES, sizeof(*chunk));

	if (!chunk)
		return false;
	for (unsigned i = SHUNT_IO_CHUNK_ENTRIES; i-- > 0;) {
		chunk[i].index = table->chunk_count * SHUNT_IO_CHUNK_ENTRIES + i;
		chunk[i].next_free = table->free;
		table->free = &chunk[i];
	}
	/* Release pairs with the acquire in shunt_io_entry_at [io:chunks]. */
	atomic_store_explicit(&table->chunk[table->chunk_count++], chunk, memory_order_release);
	return true;
}

struct shunt_io_entry *shunt_io_entry_at(struct shunt_io_table *table, uint32_t index)
{
	uint32_t number = index / SHUNT_IO_CHUNK_ENTRIES;

	if (number >= SHUNT_IO_CHUNKS_MOST)
		return NULL;
	/* Acquire pairs with the release in grow [io:chunks]. */
	struct shunt_io_entry *chunk =
		atomic_load_explicit(&table->chunk[number], memory_order_acquire);

	return chunk ? &chunk[index % SHUNT_IO_CHUNK_ENTRIES] : NULL;
}

void shunt_io_side_reset(struct shunt_io_entry *entry, unsigned side)
{
	entry->side[side].busy = entry->side[side].came = false;
	entry->side[side].told = entry->side[side].drained = false;
}

struct shunt_io_entry *shunt_io_entry_new(struct shunt_io_table *table, int fd)
{
	shunt_spin_lock(&table->lock, true);
	struct shunt_io_entry *entry = NULL;

	if (table->free || grow(table)) {
		entry = table->free;
		table->free = entry->next_free;
	}
	shunt_spin_unlock(&table->lock, true);
	if (!entry)
		return NULL;
	/* Who holds a stale name, or brings a late event, may be looking. */
	shunt_spin_lock(&entry->lock, true);
	entry->generation++;
	entry->fd = fd;
	entry->used = true;
	entry->closing = entry->watched = entry->ended = false;
	for (unsigned side = 0; side < SHUNT_IO_SIDES; side++)
		shunt_io_side_reset(entry, side);
	shunt_spin_unlock(&entry->lock, true);
	return entry;
}

void shunt_io_entry_free(struct shunt_io_table *table, struct shunt_io_entry *entry)
{
	shunt_spin_lock(&entry->lock, true);
	entry->used = false;
	entry->fd = -1;
	bool worn = entry->generation == GENERATION_LAST;

	shunt_spin_unlock(&entry->lock, true);
	if (worn)
		return;
	shunt_spin_lock(&table->lock, true);
	entry->next_free = table->free;
	table->free = entry;
	shunt_spin_unlock(&table->lock, true);
}

void shunt_io_table_each(struct shunt_io_table *table,
	void (*visit)(void *arg, struct shunt_io_entry *entry), void *arg)
{
	for (uint32_t i = 0; i < table->chunk_count * SHUNT_IO_CHUNK_ENTRIES; i++) {
		struct shunt_io_entry *entry = shunt_io_entry_at(table, i);

		if (entry->used)
			visit(arg, entry);
	}
}

/* ---- waits ----------------------------------------------------------------------------------- */

void shunt_io_waiter_join(struct shunt_io_waiter *waiter, struct shunt_ctx *ctx,
	enum shunt_wait_what what, int fd)
{
	struct shunt_task *self = ctx->current;

	self->wait_what = (uint8_t)what;
	self->wait_result = fd; /* for reports */
	waiter->result = 0;
	waiter->ticket = shunt_task_prepare(self, ctx->many);
	waiter->task = self;
}

struct shunt_task *shunt_io_waiter_end(struct shunt_io_waiter *waiter, int64_t result, bool many)
{
	struct shunt_task *task = waiter->task;

	if (!task)
		return NULL;
	waiter->task = NULL;
	waiter->result = result;
	return shunt_task_claim(task, waiter->ticket, 0, many) == SHUNT_CLAIM_MINE ? task : NULL;
}
