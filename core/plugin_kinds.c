/* SPDX-License-Identifier: MIT */
/*
 * What a plug-in from a file must be, judged by its tables alone: no function of theirs is called.
 */
#include "core/plugin_kinds.h"

#include "core/backend.h"
#include "core/engine/slots.h"
#include "core/workload.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ENTRIES_MOST 64
#define TABLE_MOST   512

#define END(kind, field)                                                                           \
	(offsetof(struct shunt_##kind, field) + sizeof(((struct shunt_##kind *)NULL)->field))
#define AT(kind, field) offsetof(struct shunt_##kind, field)

static const size_t switch_required[] = {AT(switch, summary), AT(switch, resolve), 0};
static const size_t wait_required[] = {AT(wait, summary), AT(wait, start), AT(wait, stop),
	AT(wait, commit), AT(wait, wake), AT(wait, syscalls), 0};
static const size_t timers_required[] = {AT(timers, summary), AT(timers, open), AT(timers, close),
	AT(timers, arm), AT(timers, cancelled), AT(timers, expire), AT(timers, earliest),
	AT(timers, count), 0};
static const size_t policy_required[] = {AT(policy, summary), AT(policy, enqueue), AT(policy, pick),
	AT(policy, has_ready), 0};
static const size_t place_required[] = {AT(place, summary), AT(place, open), AT(place, close),
	AT(place, bind), AT(place, unbind), AT(place, describe), 0};
static const size_t io_required[] = {AT(io, summary), AT(io, begin), 0};
static const size_t backend_required[] = {AT(backend, summary), AT(backend, open), AT(backend, run),
	AT(backend, close), 0};
static const size_t workload_required[] = {AT(workload, summary), AT(workload, description),
	AT(workload, operation), AT(workload, cost_metric), AT(workload, small),
	AT(workload, footprint), AT(workload, body), AT(workload, verify), 0};

#define KIND(kind, list_, last, locked_)                                                           \
	{                                                                                          \
		.name = #kind, .list = (list_), .bytes = sizeof(struct shunt_##kind),              \
		.least = END(kind, last), .locked = (locked_), .required = kind##_required         \
	}

/* A stable table goes as far as its last required field at least. */
const struct shunt_plugin_kind shunt_plugin_kinds[] = {
	KIND(switch, shunt_registry_switches, resolve, false),
	KIND(wait, shunt_registry_waits, syscalls, false),
	KIND(timers, shunt_registry_timers, count, false),
	KIND(policy, shunt_registry_policies, inlined, true),
	KIND(place, shunt_registry_places, describe, false),
	KIND(io, shunt_registry_ios, begin, false),
	KIND(backend, shunt_registry_backends, task_limit, true),
	KIND(workload, shunt_registry_workloads, verify, false),
	{.name = NULL},
};

const struct shunt_plugin_kind *shunt_plugin_kind_find(const char *name)
{
	for (const struct shunt_plugin_kind *at = shunt_plugin_kinds; name && at->name; at++)
		if (strcmp(at->name, name) == 0)
			return at;
	return NULL;
}

bool shunt_plugin_is_name(const char *name)
{
	size_t length = name ? strnlen(name, 48) : 0;

	for (size_t i = 0; i < length; i++)
		if (!isalnum((unsigned char)name[i]) && (i == 0 || !strchr("_.+-", name[i])))
			return false;
	return length > 0 && length < 48;
}

static int check_tier(const struct shunt_plugin_kind *kind, const struct shunt_plugin_v1 *table,
	const struct shunt_plugin_entry *entry, struct shunt_error *err)
{
	bool locked = kind->locked || table->locked;

	if (locked && strncmp(table->fingerprint, SHUNT_PLUGIN_FINGERPRINT,
			      sizeof(table->fingerprint)) != 0)
		return shunt_fail(err, -ENOEXEC,
			"it was compiled with other engine headers (%.12s…, not %.12s…): compile "
			"it again with those of this shunt",
			table->fingerprint, SHUNT_PLUGIN_FINGERPRINT);
	if (entry->bytes < (locked ? kind->bytes : kind->least))
		return shunt_fail(err, -ENOEXEC, "its table is too short: %zu bytes, not %zu",
			entry->bytes, locked ? kind->bytes : kind->least);
	if (entry->bytes > kind->bytes)
		return shunt_fail(err, -ENOEXEC,
			"it was made for a newer shunt: its table has %zu bytes, of which this one "
			"knows %zu",
			entry->bytes, kind->bytes);
	return 0;
}

static int check_hooks(const struct shunt_plugin_kind *kind, const void *object,
	struct shunt_error *err)
{
	for (size_t i = 0; kind->required[i]; i++)
		if (!*(void *const *)((const char *)object + kind->required[i]))
			return shunt_fail(err, -EINVAL,
				"a field that is required is NULL, at byte %zu of its table",
				kind->required[i]);
	return 0;
}

/* The table with what it lacks as NULL. It lives as long as the process. */
static const void *whole(const struct shunt_plugin_kind *kind,
	const struct shunt_plugin_entry *entry)
{
	if (entry->bytes == kind->bytes)
		return entry->object;
	void *copy = calloc(1, kind->bytes);

	return copy ? memcpy(copy, entry->object, entry->bytes) : NULL;
}

int shunt_plugin_judge(const struct shunt_plugin_kind *kind, const struct shunt_plugin_v1 *table,
	const struct shunt_plugin_entry *entry, const void **object, struct shunt_error *err)
{
	int rc = check_tier(kind, table, entry, err);

	if (rc)
		return rc;
	*object = whole(kind, entry);
	if (!*object)
		return shunt_fail(err, -ENOMEM, "out of memory");
	return check_hooks(kind, *object, err);
}

int shunt_plugin_check_head(const struct shunt_plugin_v1 *table, struct shunt_error *err)
{
	if (table->magic != SHUNT_PLUGIN_MAGIC)
		return shunt_fail(err, -ENOEXEC,
			"its " SHUNT_PLUGIN_SYMBOL " is not a shunt plug-in's");
	if (table->abi < SHUNT_PLUGIN_ABI_LEAST || table->abi > SHUNT_PLUGIN_ABI)
		return shunt_fail(err, -ENOEXEC,
			"it has version %u of the plug-in interface, and this shunt %u to %u: "
			"compile it again",
			table->abi, SHUNT_PLUGIN_ABI_LEAST, SHUNT_PLUGIN_ABI);
	if (table->bytes < sizeof(*table) || table->bytes > TABLE_MOST)
		return shunt_fail(err, -ENOEXEC, "its table has %u bytes, not %zu", table->bytes,
			sizeof(*table));
	if (table->entry_count == 0 || table->entry_count > ENTRIES_MOST || !table->entries)
		return shunt_fail(err, -ENOEXEC, "it names %u plug-ins, not 1 to %d",
			table->entry_count, ENTRIES_MOST);
	if (table->flags != SHUNT_PLUGIN_FLAGS)
		return shunt_fail(err, -ENOEXEC,
			"it is of another build type: it was compiled with%s%s sanitizer, and this "
			"shunt with%s%s",
			table->flags ? "" : "out",
			table->flags & SHUNT_PLUGIN_TSAN ? " the thread" : " the address",
			SHUNT_PLUGIN_FLAGS ? "" : "out",
			SHUNT_PLUGIN_FLAGS & SHUNT_PLUGIN_TSAN ? " the thread" : " the address");
	if (!shunt_plugin_is_name(table->name))
		return shunt_fail(err, -ENOEXEC, "it has no valid name");
	return 0;
}
