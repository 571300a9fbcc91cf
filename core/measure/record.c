/* SPDX-License-Identifier: MIT */
/*
 * The record as a document, built field by field. Each setter takes a JSON value that may be NULL
 * for want of memory; the first failure is kept and reported by shunt_record_finish.
 */
#include "core/measure/record.h"

#include "core/build_info.h"
#include "core/measure/json.h"
#include "core/measure/record_internal.h"
#include "core/measure/store.h"
#include "core/param.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

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

bool shunt_record_name_fits(struct shunt_record *record, const char *name)
{
	bool fits = islower((unsigned char)name[0]);

	for (const char *at = name; *at; at++)
		fits &= islower((unsigned char)*at) || isdigit((unsigned char)*at) ||
			strchr("_.-", *at) != NULL;
	if (!fits)
		shunt_record_spoil(record, -EINVAL,
			"'%s' is no name for a record: it wants small letters, digits, _ . and -",
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

/* ---- completion ------------------------------------------------------------------------------ */

/* What the schema asks of a run that is ok; NULL if it is all there. */
static const char *lacks(const struct shunt_record *record)
{
	const json_t *document = record->document;

	if (!json_object_get(json_object_get(document, "metrics"), "wall_ns"))
		return "it has no metric wall_ns";
	if (json_array_size(json_object_get(document, "iterations")) == 0)
		return "it has no iteration";
	if (json_array_size(json_object_get(document, "checks")) == 0)
		return "its answer was not checked";
	if (record->check_failed)
		return "a check failed";
	if (!json_object_get(json_object_get(document, "identity"), "build_id"))
		return "the executable has no build-id (link it with -Wl,--build-id)";
	if (!json_object_get(document, "interference"))
		return "the machine's state around it is missing";
	return NULL;
}

/* What every record must say, whatever became of the run. */
static const char *lacks_always(const struct shunt_record *record)
{
	if (!json_array_size(json_object_get(record->document, "argv")))
		return "its command line (shunt_record_argv)";
	if (!json_object_get(record->document, "times"))
		return "its times (shunt_record_times)";
	return NULL;
}

/* Redacts what a user's own words can have come into. */
static int redact(json_t *value)
{
	const char *key;
	json_t *part;
	void *next;
	size_t i;
	int rc = 0;

	if (json_is_string(value)) {
		char *text = shunt_env_redact(json_string_value(value));

		rc = !text || json_string_set(value, text) < 0 ? -ENOMEM : 0;
		free(text);
	}
	json_object_foreach_safe(value, next, key, part) if (rc == 0) rc = redact(part);
	json_array_foreach(value, i, part) if (rc == 0) rc = redact(part);
	return rc;
}

static int redact_record(json_t *document)
{
	static const char *const parts[] = {"argv", "reason", "facts", "caveats", "checks"};
	int rc = redact(json_object_get(json_object_get(document, "identity"), "params"));

	for (size_t i = 0; i < sizeof(parts) / sizeof(*parts); i++)
		if (rc == 0 && json_object_get(document, parts[i]))
			rc = redact(json_object_get(document, parts[i]));
	return rc;
}

static int set_run_id(json_t *document)
{
	static const char *const hashed[] = {"arm", "block", "identity", "machine_class",
		"repetition"};
	char hex[SHUNT_SHA256_BYTES];
	json_t *all = json_object();
	int rc = 0;

	for (size_t i = 0; i < sizeof(hashed) / sizeof(*hashed); i++)
		if (json_object_set(all, hashed[i], json_object_get(document, hashed[i])) < 0)
			rc = -ENOMEM;
	if (rc == 0)
		rc = shunt_json_hash(all, hex);
	json_decref(all);
	if (rc == 0 && json_object_set_new(document, "run_id",
			       json_stringn(hex, SHUNT_RUN_ID_BYTES - 1)) < 0)
		rc = -ENOMEM;
	return rc;
}

int shunt_record_finish(struct shunt_record *record, const struct shunt_env *env,
	struct shunt_error *err)
{
	json_t *document = record->document;
	const char *missing = lacks_always(record);
	int rc = 0;

	if (record->finished)
		return 0;
	if (record->failed)
		return shunt_fail(err, record->failed, "%s", record->why);
	if (missing)
		return shunt_fail(err, -EINVAL, "the record lacks %s", missing);
	missing = record->status == SHUNT_RECORD_OK ? lacks(record) : NULL;
	if (missing)
		return shunt_fail(err, -EINVAL, "a run cannot be recorded as ok: %s", missing);
	if (record->status != SHUNT_RECORD_OK)
		json_object_del(document, "metrics");
	else
		shunt_record_part(record, "counters", json_object);
	shunt_record_put(record, document, "status", json_string(status_names[record->status]));
	shunt_record_put(record, document, "machine_class",
		json_string(shunt_env_machine_class(env)));
	shunt_record_put(record, document, "env_id", json_string(shunt_env_id(env)));
	if (shunt_env_redacted(env))
		rc = redact_record(document);
	if (rc == 0)
		rc = set_run_id(document);
	if (rc < 0 || record->failed)
		return shunt_fail(err, -ENOMEM, "no memory for the record");
	record->finished = true;
	return 0;
}

const char *shunt_record_run_id(const struct shunt_record *record)
{
	return json_string_value(json_object_get(record->document, "run_id"));
}

struct json_t *shunt_record_json(const struct shunt_record *record)
{
	return record->document;
}

char *shunt_record_text(const struct shunt_record *record)
{
	return shunt_json_line(record->document);
}

/* The manifest goes beside a record that is a file; a device or a pipe has no beside. */
static int write_manifest(const struct shunt_env *env, const char *path, struct shunt_error *err)
{
	char folder[PATH_MAX];
	const char *slash = strrchr(path, '/');
	struct stat there;

	if (stat(path, &there) == 0 && !S_ISREG(there.st_mode))
		return 0;
	snprintf(folder, sizeof(folder), "%.*s", slash ? (int)(slash - path) + 1 : 1,
		slash ? path : ".");
	/* The message is about the record: a missing folder is missing for both. */
	if (stat(folder, &there) < 0)
		return shunt_store_fail(err, -errno, path, "record");
	return shunt_env_write(env, folder, err);
}

int shunt_record_write(const struct shunt_record *record, const struct shunt_env *env,
	const char *path, bool replace, struct shunt_error *err)
{
	struct stat there;

	if (!record->finished)
		return shunt_fail(err, -EINVAL, "the record %s was not finished", path);
	/* Before the manifest, which need not be written for a record that will not be. */
	if (!replace && stat(path, &there) == 0 && S_ISREG(there.st_mode))
		return shunt_store_fail(err, -EEXIST, path, "record");
	if (strlen(path) >= PATH_MAX)
		return shunt_store_fail(err, -ENAMETOOLONG, path, "record");
	int rc = write_manifest(env, path, err);
	if (rc < 0)
		return rc;

	char *line = shunt_record_text(record), *whole = NULL;
	int length = line ? asprintf(&whole, "%s\n", line) : -1;
	free(line);
	if (length < 0)
		return shunt_fail(err, -ENOMEM, "no memory for the record %s", path);
	rc = shunt_store(path, "record", whole, (size_t)length, replace, err);
	free(whole);
	return rc;
}
