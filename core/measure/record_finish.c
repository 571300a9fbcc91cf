/* SPDX-License-Identifier: MIT */
/* The end of a record: is it all there, whose is it, and onto the disk with it. */
#include "core/measure/record.h"

#include "core/measure/json.h"
#include "core/measure/record_internal.h"
#include "core/measure/store.h"
#include "core/param.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

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
static int redact_record(json_t *document)
{
	static const char *const parts[] = {"argv", "reason", "facts", "caveats", "checks"};
	int rc = shunt_env_redact_json(
		json_object_get(json_object_get(document, "identity"), "params"));

	for (size_t i = 0; i < sizeof(parts) / sizeof(*parts); i++)
		if (rc == 0 && json_object_get(document, parts[i]))
			rc = shunt_env_redact_json(json_object_get(document, parts[i]));
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
	shunt_record_put(record, document, "status",
		json_string(shunt_record_status_name(record->status)));
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

char *shunt_record_text(const struct shunt_record *record)
{
	char *line = shunt_json_line(record->document), *sealed = NULL;
	char hex[SHUNT_SHA256_BYTES];

	if (!line)
		return NULL;
	line[strlen(line) - 1] = '\0'; /* the brace */
	shunt_json_hash_text(line, hex);
	if (asprintf(&sealed, "%s,\"sha256\":\"%s\"}\n", line, hex) < 0)
		sealed = NULL;
	free(line);
	return sealed;
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

	char *text = shunt_record_text(record);
	if (!text)
		return shunt_fail(err, -ENOMEM, "no memory for the record %s", path);
	rc = shunt_store(path, "record", text, strlen(text), replace, err);
	free(text);
	return rc;
}
