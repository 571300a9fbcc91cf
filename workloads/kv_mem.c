/* SPDX-License-Identifier: MIT */
/*
 * engine=mem: a sorted array in memory, the least that a store can be.
 *
 * A key is found by binary search. Runs of 64 neighbours share one of 64 locks of tasks, under
 * which a value is copied or replaced.
 */
#include "workloads/kv.h"

#include "core/sched.h"

#include <errno.h>
#include <stdlib.h>

enum { LOCKS = 64, RUN = 64 };

struct entry {
	uint64_t key;
	char value[]; /* of `bytes` */
};

struct kv_store {
	uint64_t keys;
	size_t bytes, stride;
	char *entries;
	struct shunt_mutex lock[LOCKS];
};

static struct entry *entry_at(const struct kv_store *store, uint64_t at)
{
	return (struct entry *)(void *)(store->entries + at * store->stride);
}

static struct shunt_mutex *lock_of(struct kv_store *store, uint64_t at)
{
	return &store->lock[at / RUN % LOCKS];
}

static void mem_close(struct kv_store *store)
{
	if (store)
		free(store->entries);
	free(store);
}

static int mem_open(struct kv_store **made, uint64_t keys, size_t bytes, struct shunt_error *err)
{
	struct kv_store *store = calloc(1, sizeof(*store));

	if (store) {
		store->keys = keys;
		store->bytes = bytes;
		store->stride = (sizeof(struct entry) + bytes + 7) / 8 * 8;
		store->entries = malloc(keys * store->stride);
	}
	if (!store || !store->entries) {
		mem_close(store);
		return shunt_fail(err, -ENOMEM, "no memory for %llu keys",
			(unsigned long long)keys);
	}
	for (uint64_t at = 0; at < keys; at++) {
		entry_at(store, at)->key = kv_key(at);
		kv_write(entry_at(store, at)->value, bytes, kv_key(at), 0);
	}
	*made = store;
	return 0;
}

/* Where the key is, or would be. */
static uint64_t find(const struct kv_store *store, uint64_t key)
{
	uint64_t from = 0, to = store->keys;

	while (from < to) {
		uint64_t middle = from + (to - from) / 2;

		if (entry_at(store, middle)->key < key)
			from = middle + 1;
		else
			to = middle;
	}
	return from;
}

static int mem_get(struct kv_store *store, uint64_t number, void *value)
{
	uint64_t at = find(store, kv_key(number));
	int rc = shunt_mutex_lock(lock_of(store, at));

	if (rc)
		return rc;
	memcpy(value, entry_at(store, at)->value, store->bytes);
	return shunt_mutex_unlock(lock_of(store, at));
}

static int mem_put(struct kv_store *store, uint64_t number)
{
	uint64_t key = kv_key(number), at = find(store, key);
	char *value = entry_at(store, at)->value;
	int rc = shunt_mutex_lock(lock_of(store, at));

	if (rc)
		return rc;
	kv_write(value, store->bytes, key, kv_version(value) + 1);
	return shunt_mutex_unlock(lock_of(store, at));
}

static int mem_scan(struct kv_store *store, uint64_t number, uint64_t count, struct kv_sums *sums)
{
	uint64_t at = find(store, kv_key(number)), end = at + count;
	int rc = 0;

	while (at < end && !rc) {
		struct shunt_mutex *lock = lock_of(store, at);
		uint64_t run = (at / RUN + 1) * RUN, stop = run < end ? run : end;

		rc = shunt_mutex_lock(lock);
		if (rc)
			break;
		for (; at < stop; at++) {
			const struct entry *entry = entry_at(store, at);

			sums->entries++;
			sums->keys += entry->key;
			sums->versions += kv_version(entry->value);
		}
		rc = shunt_mutex_unlock(lock);
	}
	return rc;
}

const struct kv_engine kv_mem = {"mem", 800, 800, 6, mem_open, mem_close, mem_get, mem_put,
	mem_scan};
