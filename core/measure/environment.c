/* SPDX-License-Identifier: MIT */
/*
 * The manifest as a document: facts, seal, file. What is gathered is in environment_build.c,
 * environment_cpu.c and environment_kernel.c.
 */
#include "core/measure/environment.h"

#include "core/measure/environment_internal.h"
#include "core/measure/json.h"
#include "core/measure/store.h"
#include "core/param.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BYTES_MAX (64 << 20) /* of a manifest; they have some 50 KiB */
#define GIB       (1024.0 * 1024.0 * 1024.0)

int shunt_env_new(struct shunt_env **env)
{
	struct shunt_env *made = calloc(1, sizeof(*made));

	if (!made)
		return -ENOMEM;
	made->document = json_pack("{s:s, s:{}, s:{}, s:b}", "schema", "shunt.env/1", "facts",
		"volatile", "redacted", 0);
	if (!made->document) {
		free(made);
		return -ENOMEM;
	}
	made->facts = json_object_get(made->document, "facts");
	made->passing = json_object_get(made->document, "volatile");
	*env = made;
	return 0;
}

void shunt_env_free(struct shunt_env *env)
{
	if (!env)
		return;
	json_decref(env->document);
	free(env);
}

void shunt_env_gather(struct shunt_env *env, const char *root)
{
	shunt_env_gather_build(env);
	shunt_env_gather_cpu(env, root);
	shunt_env_gather_kernel(env, root);
	if (!json_object_get(env->facts, "topology.xml"))
		shunt_env_absent(env, "topology.xml", "no place plug-in has given the topology");
}

/* The values only: a source is a path of the kernel's, the same everywhere. */
static int redact_facts(json_t *facts)
{
	const char *key;
	json_t *fact;
	int rc = 0;

	json_object_foreach(facts, key, fact)
	{
		json_t *value = json_object_get(fact, "value");

		if (value && rc == 0)
			rc = shunt_env_redact_json(value);
	}
	return rc;
}

/* A fact as a string, for the class. */
static json_t *class_part(const struct shunt_env *env, const char *name)
{
	json_t *value = json_object_get(json_object_get(env->facts, name), "value");

	if (json_is_string(value))
		return json_copy(value);
	if (json_is_integer(value))
		return json_sprintf("%lld", (long long)json_integer_value(value));
	return json_string("unknown");
}

static json_t *memory_gib(const struct shunt_env *env)
{
	json_t *fact = json_object_get(env->facts, "machine.memory_bytes");
	double bytes = (double)json_integer_value(json_object_get(fact, "value"));
	unsigned gib = 1;

	if (bytes <= 0)
		return json_string("unknown");
	while (gib < bytes / GIB)
		gib *= 2;
	return json_sprintf("%u", gib);
}

static int set_machine_class(struct shunt_env *env)
{
	char hex[SHUNT_SHA256_BYTES];
	json_t *parts = json_pack("{s:o*, s:o*, s:o*, s:o*, s:o*, s:o*}", "arch",
		class_part(env, "cpu.arch"), "cores", class_part(env, "cpu.cores"), "kernel",
		class_part(env, "kernel.release"), "logical", class_part(env, "cpu.logical"),
		"memory_gib", memory_gib(env), "model", class_part(env, "cpu.model"));
	int rc = json_object_size(parts) == 6 ? shunt_json_hash(parts, hex) : -ENOMEM;

	json_decref(parts);
	if (rc == 0 && json_object_set_new(env->document, "machine_class",
			       json_stringn(hex, SHUNT_MACHINE_CLASS_BYTES - 1)) < 0)
		rc = -ENOMEM;
	return rc;
}

/* The hash that names a manifest. -EBADMSG if the document is not a manifest. */
static int hash_manifest(json_t *document, char hex[SHUNT_SHA256_BYTES])
{
	json_t *facts = json_object_get(document, "facts");
	json_t *redacted = json_object_get(document, "redacted");
	json_t *schema = json_object_get(document, "schema");

	if (!facts || !redacted || !schema)
		return -EBADMSG;
	json_t *hashed = json_pack("{s:O, s:O, s:O}", "facts", facts, "redacted", redacted,
		"schema", schema);
	int rc = hashed ? shunt_json_hash(hashed, hex) : -ENOMEM;

	json_decref(hashed);
	return rc;
}

static int set_id(struct shunt_env *env)
{
	char hex[SHUNT_SHA256_BYTES];
	int rc = hash_manifest(env->document, hex);

	if (rc == 0 && json_object_set_new(env->document, "env_id", json_string(hex)) < 0)
		rc = -ENOMEM;
	return rc;
}

int shunt_env_seal(struct shunt_env *env, bool redacted, struct shunt_error *err)
{
	int rc = env->failed;

	if (env->sealed)
		return 0;
	if (rc == 0)
		rc = set_machine_class(env);
	if (rc == 0 && redacted) {
		rc = redact_facts(env->facts);
		if (rc == 0)
			rc = redact_facts(env->passing);
		if (json_object_set_new(env->document, "redacted", json_true()) < 0)
			rc = -ENOMEM;
	}
	if (rc == 0)
		rc = set_id(env);
	if (rc < 0)
		return shunt_fail(err, rc, "no memory for the manifest of this machine");
	env->sealed = true;
	return 0;
}

const char *shunt_env_id(const struct shunt_env *env)
{
	return json_string_value(json_object_get(env->document, "env_id"));
}

const char *shunt_env_machine_class(const struct shunt_env *env)
{
	return json_string_value(json_object_get(env->document, "machine_class"));
}

bool shunt_env_redacted(const struct shunt_env *env)
{
	return json_is_true(json_object_get(env->document, "redacted"));
}

struct json_t *shunt_env_json(const struct shunt_env *env)
{
	return env->document;
}

/* Whether the file is the manifest of this id, and not what a full disk or a crash left of it. */
static bool is_whole(const char *path, const char *id)
{
	char hex[SHUNT_SHA256_BYTES] = "";
	struct stat there;
	/* Non-blocking: a pipe is no manifest, and would be waited for. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		return false;
	if (fstat(fd, &there) == 0 && S_ISREG(there.st_mode) && there.st_size <= BYTES_MAX) {
		json_t *found = json_loadfd(fd, 0, NULL);

		hash_manifest(found, hex);
		json_decref(found);
	}
	close(fd);
	return strcmp(hex, id) == 0;
}

int shunt_env_write(const struct shunt_env *env, const char *folder, struct shunt_error *err)
{
	char path[PATH_MAX];

	if (snprintf(path, sizeof(path), "%s/env", folder) >= (int)sizeof(path) - 80)
		return shunt_store_fail(err, -ENAMETOOLONG, folder, "manifest");
	if (mkdir(path, 0777) < 0 && errno != EEXIST)
		return shunt_store_fail(err, -errno, path, "manifest's folder");
	sprintf(path + strlen(path), "/%s.json", shunt_env_id(env));
	if (is_whole(path, shunt_env_id(env)))
		return 0;

	/* For the eye, indented: it is read by people, and once only. */
	char *text = json_dumps(env->document, JSON_INDENT(1) | JSON_SORT_KEYS);
	if (!text)
		return shunt_fail(err, -ENOMEM, "no memory for the manifest %s", path);
	int rc = shunt_store(path, "manifest", text, strlen(text), true, err);
	free(text);
	return rc;
}
