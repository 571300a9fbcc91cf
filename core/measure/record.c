/* SPDX-License-Identifier: MIT */
/*
 * The record as a document, built field by field. Each setter takes a JSON value that may be NULL
 * when memory runs out; the first failure is kept and reported by shunt_record_finish.
 */
#include "core/measure/record.h"

#include "core/build_info.h"
#include "core/measure/json.h"
#include "core/measure/record_internal.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const status_names[] = {
	[SHUNT_RECORD_OK] = "ok",
	[SHUNT_RECORD_FAILED] = "failed",
	[SHUNT_RECORD_TIMEOUT] = "timeout",
	[SHUNT_RECORD_SKIPPED] = "skipped",
	[SHUNT_RECORD_INTERRUPTED] = "interrupted",
};

/* ---- what setters share ---------------------------------------------------------------------- */

void shunt_record_spoil(struct shunt_record *record, int code, const char *format, ...)
{
	va_list args;

	if (record->failed)
		return;
	record->failed = code;
	va_start(args, format);
	vsnprintf(record->why, sizeof(record->why), format, args);
	va_end(args);
}

void shunt_record_put(struct shunt_record *record, json_t *into, const char *key, json_t *value)
{
	if (record->finished)
		json_decref(value);
	else if (json_object_set_new(into, key, value) < 0)
		shunt_record_spoil(record, -ENOMEM, "no memory for the record");
}

json_t *shunt_record_part(struct shunt_record *record, const char *key, json_t *(*make)(void))
{
	json_t *part = json_object_get(record->document, key);

	if (!part && !record->finished) {
		part = make();
		shunt_record_put(record, record->document, key, part);
	}
	return part;
}

bool shunt_record_is_name(const char *name)
{
	return islower((unsigned char)name[0]) &&
	       !name[strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_.-")];
}

bool shunt_record_name_fits(struct shunt_record *record, const char *name)
{
	bool fits = shunt_record_is_name(name);

	if (!fits)
		shunt_record_spoil(record, -EINVAL,
			"'%s' is not a valid name in a record; use lower-case letters, digits, _ . "
			"and -",
			name);
	return fits;
}

/* Sets one named value in a part of the record that is an object. */
static void put_named(struct shunt_record *record, const char *part, const char *name,
	json_t *value)
{
	if (shunt_record_name_fits(record, name))
		shunt_record_put(record, shunt_record_part(record, part, json_object), name, value);
	else
		json_decref(value);
}

static void append(struct shunt_record *record, const char *part, json_t *value)
{
	json_t *list = shunt_record_part(record, part, json_array);

	if (record->finished)
		json_decref(value);
	else if (json_array_append_new(list, value) < 0)
		shunt_record_spoil(record, -ENOMEM, "no memory for the record");
}

/* ---- life ------------------------------------------------------------------------------------ */

static json_t *identity_json(const struct shunt_record_identity *identity)
{
	char build_id[SHUNT_BUILD_ID_BYTES] = "", seed[24];
	json_t *made;

	snprintf(seed, sizeof(seed), "%" PRIu64, identity->seed);
	if (identity->build_id)
		snprintf(build_id, sizeof(build_id), "%s", identity->build_id);
	else
		shunt_build_id(build_id);
	made = json_pack("{s:o, s:o, s:o, s:s, s:{}, s:{}}", "driver",
		shunt_json_text(identity->driver ? identity->driver : "shunt"), "backend",
		shunt_json_text(identity->backend), "workload", shunt_json_text(identity->workload),
		"seed", seed, "composition", "params");
	if (made && *build_id)
		json_object_set_new(made, "build_id", shunt_json_text(build_id));
	return made;
}

int shunt_record_new(struct shunt_record **record, const struct shunt_record_identity *identity)
{
	struct shunt_record *made = calloc(1, sizeof(*made));

	if (!made)
		return -ENOMEM;
	made->status = SHUNT_RECORD_FAILED;
	made->document = json_pack("{s:s, s:o, s:o, s:o, s:o, s:s, s:s}", "schema", "shunt.run/1",
		"identity", identity_json(identity), "arm",
		shunt_json_text(identity->arm ? identity->arm : identity->backend), "repetition",
		json_integer((json_int_t)identity->repetition), "block",
		shunt_json_text(identity->block ? identity->block : ""), "reason",
		"the run did not end", "writer", "shunt " SHUNT_VERSION);
	if (!made->document) {
		free(made);
		return -ENOMEM;
	}
	*record = made;
	return 0;
}

void shunt_record_free(struct shunt_record *record)
{
	if (!record)
		return;
	json_decref(record->document);
	free(record);
}

struct json_t *shunt_record_json(const struct shunt_record *record)
{
	return record->document;
}

/* ---- fields ---------------------------------------------------------------------------------- */

static void put_setting(struct shunt_record *record, const char *part, const char *key,
	const char *value)
{
	json_t *identity = json_object_get(record->document, "identity");

	if (shunt_record_name_fits(record, key))
		shunt_record_put(record, json_object_get(identity, part), key,
			shunt_json_text(value));
}

void shunt_record_composition(void *record, const char *key, const char *value)
{
	put_setting(record, "composition", key, value);
}

void shunt_record_param(void *record, const char *key, const char *value)
{
	put_setting(record, "params", key, value);
}

void shunt_record_input(struct shunt_record *record, uint64_t hash)
{
	char text[17];

	snprintf(text, sizeof(text), "%016" PRIx64, hash);
	shunt_record_put(record, json_object_get(record->document, "identity"), "input",
		json_string(text));
}

void shunt_record_counter(void *record, const char *name, uint64_t value)
{
	put_named(record, "counters", name, shunt_json_uint(value));
}

void shunt_record_fact(void *record, const char *name, const char *value, const char *source)
{
	(void)source;
	put_named(record, "facts", name, shunt_json_text(value));
}

static void put_metric(struct shunt_record *record, const char *name, json_t *value,
	const char *unit, const char *better)
{
	put_named(record, "metrics", name,
		json_pack("{s:o, s:s, s:s}", "value", value, "unit", unit, "better", better));
}

void shunt_record_metric(struct shunt_record *record, const char *name, double value,
	const char *unit, const char *better)
{
	if (isfinite(value))
		put_metric(record, name, json_real(value), unit, better);
	else
		shunt_record_caveat(record, "metric %s was not a finite number and is left out",
			name);
}

void shunt_record_metric_int(struct shunt_record *record, const char *name, uint64_t value,
	const char *unit, const char *better)
{
	put_metric(record, name, shunt_json_uint(value), unit, better);
}

void shunt_record_iteration(struct shunt_record *record, uint64_t wall_ns, uint64_t cpu_ns,
	uint64_t ops)
{
	append(record, "iterations",
		json_pack("{s:o, s:o, s:o}", "wall_ns", shunt_json_uint(wall_ns), "cpu_ns",
			shunt_json_uint(cpu_ns), "ops", shunt_json_uint(ops)));
}

void shunt_record_cold(struct shunt_record *record, uint64_t wall_ns)
{
	shunt_record_put(record, record->document, "cold_wall_ns", shunt_json_uint(wall_ns));
}

void shunt_record_warmup(struct shunt_record *record, unsigned count)
{
	shunt_record_put(record, record->document, "warmup", json_integer(count));
}

void shunt_record_check(struct shunt_record *record, const char *name, const char *expected,
	const char *actual, bool ok)
{
	record->check_failed |= !ok;
	append(record, "checks",
		json_pack("{s:o, s:o, s:o, s:b}", "name", shunt_json_text(name), "expected",
			shunt_json_text(expected), "actual", shunt_json_text(actual), "ok", ok));
}

void shunt_record_check_int(struct shunt_record *record, const char *name, int64_t expected,
	int64_t actual)
{
	char wanted[24], got[24];

	snprintf(wanted, sizeof(wanted), "%" PRId64, expected);
	snprintf(got, sizeof(got), "%" PRId64, actual);
	shunt_record_check(record, name, wanted, got, expected == actual);
}

void shunt_record_caveat(struct shunt_record *record, const char *format, ...)
{
	char text[512];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	append(record, "caveats", shunt_json_text(text));
}

void shunt_record_argv(struct shunt_record *record, int argc, char *const *argv)
{
	shunt_record_put(record, record->document, "argv", json_array());
	for (int i = 0; i < argc; i++)
		append(record, "argv", shunt_json_text(argv[i]));
}

void shunt_record_status(struct shunt_record *record, enum shunt_record_status status,
	const char *format, ...)
{
	char text[1024];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	record->status = status;
	shunt_record_put(record, record->document, "reason",
		shunt_json_text(status == SHUNT_RECORD_OK ? "" : text));
}

const char *shunt_record_status_name(enum shunt_record_status status)
{
	return status_names[status];
}
