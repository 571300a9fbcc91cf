/* SPDX-License-Identifier: MIT */
/*
 * The store behind kv: what an engine does, and what is in it.
 *
 * Key number i, from 0, is 2 * (i + 1), so a scan's sum of keys is known. A value is its version
 * and then bytes that follow from key and version, so a torn or a foreign value is seen.
 */
#ifndef SHUNT_WORKLOADS_KV_H
#define SHUNT_WORKLOADS_KV_H

#include "core/param.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define KV_VALUE_MOST 1024 /* bytes, on the stack of a task */

struct kv_store;

/* What a part of a scan has read. */
struct kv_sums {
	uint64_t entries, keys, versions;
};

/*
 * All calls but open and close come from tasks, on any worker, many at once, and do not wait for
 * anything but each other. 0 or a negative errno.
 */
struct kv_engine {
	const char *name;
	/* What they took where they were measured (Zen 4, 100,000 keys, values of 64 bytes): a
	 * GET, a PUT, a key more of a scan. */
	double get_ns, put_ns, entry_ns;
	/* A store with `keys` keys, each with a value of `bytes`, of version 0. */
	int (*open)(struct kv_store **store, uint64_t keys, size_t bytes, struct shunt_error *err);
	void (*close)(struct kv_store *store);
	int (*get)(struct kv_store *store, uint64_t number, void *value);
	/* Writes the next version of the value. */
	int (*put)(struct kv_store *store, uint64_t number);
	/* Adds what `count` keys in order from `number` on say to *sums. */
	int (*scan)(struct kv_store *store, uint64_t number, uint64_t count, struct kv_sums *sums);
};

extern const struct kv_engine kv_mem;
extern const struct kv_engine kv_lmdb __attribute__((weak)); /* absent without its library */

static inline uint64_t kv_key(uint64_t number)
{
	return 2 * (number + 1);
}

static inline uint8_t kv_byte(uint64_t key, uint64_t version)
{
	return (uint8_t)((key * 0x9e3779b97f4a7c15u + version * 0xbf58476d1ce4e5b9u) >> 56);
}

static inline void kv_write(void *value, size_t bytes, uint64_t key, uint64_t version)
{
	memcpy(value, &version, sizeof(version));
	memset((char *)value + sizeof(version), kv_byte(key, version), bytes - sizeof(version));
}

static inline uint64_t kv_version(const void *value)
{
	uint64_t version;

	memcpy(&version, value, sizeof(version));
	return version;
}

static inline bool kv_is_whole(const void *value, size_t bytes, uint64_t key)
{
	const uint8_t *byte = value;
	uint8_t expected = kv_byte(key, kv_version(value)), other = 0;

	for (size_t i = sizeof(uint64_t); i < bytes; i++)
		other |= byte[i] ^ expected;
	return other == 0;
}

#endif
