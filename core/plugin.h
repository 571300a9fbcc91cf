/* SPDX-License-Identifier: MIT */
/*
 * A plug-in in a file of its own: what it includes last, and the one symbol that it exports.
 *
 *   const struct shunt_wait shunt_wait_lull = {.name = "lull", …};
 *   SHUNT_PLUGIN(naps, SHUNT_PLUGIN_HAS(wait, lull));
 *
 * There are two tiers. Wait slots, switches, timer queues, placements and workloads see tables and
 * functions alone; they fit any shunt whose range of ABI numbers has theirs. What includes
 * core/task.h, as every policy and complete backend does, holds the offsets of the engine's own
 * structs; it fits the build whose headers it was compiled with, and no other. The linker finds out
 * which a plug-in is.
 *
 * A table may grow at its end: the host takes what an older one lacks for NULL. Any other change of
 * a table or of a function that a plug-in calls is a new SHUNT_PLUGIN_ABI.
 */
#ifndef SHUNT_CORE_PLUGIN_H
#define SHUNT_CORE_PLUGIN_H

#include "core/plugin_fingerprint.h" /* generated: SHUNT_PLUGIN_FINGERPRINT */

#include <stddef.h>
#include <stdint.h>

#define SHUNT_PLUGIN_MAGIC UINT64_C(0x31762d746e756873) /* "shunt-v1" */
#define SHUNT_PLUGIN_ABI   2
/* The oldest that this shunt takes. */
#define SHUNT_PLUGIN_ABI_LEAST 2

/* With which sanitizers it was compiled: they are in all of a process or in nothing of it. */
#define SHUNT_PLUGIN_ASAN 1
#define SHUNT_PLUGIN_TSAN 2
#if defined(__SANITIZE_ADDRESS__)
#define SHUNT_PLUGIN_FLAGS SHUNT_PLUGIN_ASAN
#elif defined(__SANITIZE_THREAD__)
#define SHUNT_PLUGIN_FLAGS SHUNT_PLUGIN_TSAN
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SHUNT_PLUGIN_FLAGS SHUNT_PLUGIN_ASAN
#elif __has_feature(thread_sanitizer)
#define SHUNT_PLUGIN_FLAGS SHUNT_PLUGIN_TSAN
#endif
#endif
#ifndef SHUNT_PLUGIN_FLAGS
#define SHUNT_PLUGIN_FLAGS 0
#endif

struct shunt_plugin_entry {
	const char *kind;   /* "policy", "workload", … */
	const void *object; /* its table, which begins with its name */
	size_t bytes;       /* of that table */
};

/* The first three fields are the same in every version. */
struct shunt_plugin_v1 {
	uint64_t magic;
	uint32_t abi;
	uint32_t bytes; /* of this struct */
	uint32_t flags;
	uint32_t entry_count;
	char fingerprint[65]; /* of the headers that it was compiled with */
	const char *name;
	const struct shunt_plugin_entry *entries;
	const char *locked; /* not NULL: a file of it includes core/task.h */
};

/* In every file of a plug-in that includes core/task.h. */
extern const char shunt_plugin_locked __attribute__((weak, visibility("hidden")));

#define SHUNT_PLUGIN_HAS(kind, symbol)                                                             \
	{                                                                                          \
#kind, &shunt_##kind##_##symbol, sizeof(shunt_##kind##_##symbol)                   \
	}

#define SHUNT_PLUGIN(NAME, ...)                                                                    \
	static const struct shunt_plugin_entry shunt_plugin_entries[] = {__VA_ARGS__};             \
	extern const struct shunt_plugin_v1 shunt_plugin_v1;                                       \
	__attribute__((visibility("default"))) const struct shunt_plugin_v1 shunt_plugin_v1 = {    \
		.magic = SHUNT_PLUGIN_MAGIC,                                                       \
		.abi = SHUNT_PLUGIN_ABI,                                                           \
		.bytes = sizeof(struct shunt_plugin_v1),                                           \
		.flags = SHUNT_PLUGIN_FLAGS,                                                       \
		.entry_count = sizeof(shunt_plugin_entries) / sizeof(shunt_plugin_entries[0]),     \
		.fingerprint = SHUNT_PLUGIN_FINGERPRINT,                                           \
		.name = #NAME,                                                                     \
		.entries = shunt_plugin_entries,                                                   \
		.locked = &shunt_plugin_locked,                                                    \
	}

#endif
