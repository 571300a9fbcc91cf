/* SPDX-License-Identifier: MIT */
/*
 * The timers of one uring-each worker: a table that grows, whose indexes the kernel is given, and
 * two lists through it.
 *
 * The list of armed timers has the order of the kernel's own, as both are only ever appended to:
 * whoever walks it knows what a removal will cost the kernel. Tombstones that have been dealt with
 * are in neither list, and stay in the table until the kernel has given their result.
 */
#ifndef SHUNT_BACKENDS_WAIT_EACH_TABLE_H
#define SHUNT_BACKENDS_WAIT_EACH_TABLE_H

#include "core/engine/slots.h"

#include <errno.h>
#include <stdlib.h>

#define SHUNT_EACH_NONE          UINT32_MAX
#define SHUNT_EACH_CAPACITY_MIN  64
#define SHUNT_EACH_CAPACITY_KEPT 16384 /* entries an empty table may keep: 640 KiB */

enum shunt_each_state {
	SHUNT_EACH_FREE,
	SHUNT_EACH_PENDING, /* the kernel does not know it */
	SHUNT_EACH_ARMED,   /* in the kernel */
	SHUNT_EACH_DEAD,    /* in the kernel, known to be a tombstone, being taken back */
	SHUNT_EACH_LEFT,    /* the same, but left to run down */
};

struct shunt_each_entry {
	struct shunt_timer timer;
	uint32_t next; /* of the free, the pending or the armed ones */
	uint32_t prev; /* of the armed ones */
	uint32_t state;
};

struct shunt_each_list {
	uint32_t head, tail, count;
};

struct shunt_each_table {
	struct shunt_each_entry *entry;
	uint32_t capacity, free;
	struct shunt_each_list pending, armed;
	int64_t pending_least_ns; /* no pending timer is due before */
	size_t count;             /* entries that are not FREE */
	size_t dead;              /* of these, DEAD or LEFT */
	size_t left;              /* of these, LEFT: in the way of every removal */
};

static inline void shunt_each_init(struct shunt_each_table *table)
{
	*table = (struct shunt_each_table){.free = SHUNT_EACH_NONE};
}

static inline int shunt_each_grow(struct shunt_each_table *table)
{
	uint32_t old = table->capacity, capacity = old > 0 ? old * 2 : SHUNT_EACH_CAPACITY_MIN;
	struct shunt_each_entry *entry;

	if (capacity < old)
		return -ENOMEM;
	entry = realloc(table->entry, capacity * sizeof(*entry));
	if (entry == NULL)
		return -ENOMEM;
	for (uint32_t i = old; i < capacity; i++) {
		entry[i].state = SHUNT_EACH_FREE;
		entry[i].next = i + 1 < capacity ? i + 1 : table->free;
	}
	table->free = old;
	table->entry = entry;
	table->capacity = capacity;
	return 0;
}

/* An entry for this timer, in no list yet. 0 or -ENOMEM. */
static inline int shunt_each_new(struct shunt_each_table *table, const struct shunt_timer *timer,
	uint32_t *index)
{
	if (table->free == SHUNT_EACH_NONE) {
		int code = shunt_each_grow(table);

		if (code != 0)
			return code;
	}
	*index = table->free;
	table->free = table->entry[*index].next;
	table->entry[*index].timer = *timer;
	table->count++;
	return 0;
}

/* Gives back an entry that is in no list. */
static inline void shunt_each_free(struct shunt_each_table *table, uint32_t index)
{
	struct shunt_each_entry *entry = &table->entry[index];

	table->dead -= entry->state == SHUNT_EACH_DEAD || entry->state == SHUNT_EACH_LEFT;
	table->left -= entry->state == SHUNT_EACH_LEFT;
	entry->state = SHUNT_EACH_FREE;
	entry->next = table->free;
	table->free = index;
	table->count--;
}

static inline void shunt_each_shrink(struct shunt_each_table *table)
{
	if (table->count > 0 || table->capacity <= SHUNT_EACH_CAPACITY_KEPT)
		return;
	free(table->entry);
	shunt_each_init(table);
}

static inline void shunt_each_append(struct shunt_each_table *table, struct shunt_each_list *list,
	uint32_t index, enum shunt_each_state state)
{
	struct shunt_each_entry *entry = &table->entry[index];

	entry->state = state;
	entry->next = SHUNT_EACH_NONE;
	entry->prev = list->tail;
	if (list->count++ == 0)
		list->head = index;
	else
		table->entry[list->tail].next = index;
	list->tail = index;
}

static inline void shunt_each_pend(struct shunt_each_table *table, uint32_t index)
{
	int64_t deadline_ns = table->entry[index].timer.deadline_ns;

	if (table->pending.count == 0 || deadline_ns < table->pending_least_ns)
		table->pending_least_ns = deadline_ns;
	shunt_each_append(table, &table->pending, index, SHUNT_EACH_PENDING);
}

static inline void shunt_each_arm(struct shunt_each_table *table, uint32_t index)
{
	shunt_each_append(table, &table->armed, index, SHUNT_EACH_ARMED);
}

/* Takes an entry out of the list of the armed ones. */
static inline void shunt_each_unlink(struct shunt_each_table *table, uint32_t index)
{
	struct shunt_each_list *armed = &table->armed;
	struct shunt_each_entry *entry = &table->entry[index];

	if (index == armed->head)
		armed->head = entry->next;
	else
		table->entry[entry->prev].next = entry->next;
	if (index == armed->tail)
		armed->tail = entry->prev;
	else
		table->entry[entry->next].prev = entry->prev;
	armed->count--;
}

/* A tombstone, taken out of its list: to be taken back, or left to run down. */
static inline void shunt_each_bury(struct shunt_each_table *table, uint32_t index, bool left)
{
	shunt_each_unlink(table, index);
	table->entry[index].state = left ? SHUNT_EACH_LEFT : SHUNT_EACH_DEAD;
	table->dead++;
	table->left += left;
}

#endif
