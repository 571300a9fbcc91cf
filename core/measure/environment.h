/* SPDX-License-Identifier: MIT */
/*
 * The manifest: what machine, kernel and build the records of a campaign come from.
 *
 * Each fact is a value with its source, or the reason why there is none; nothing unknown looks like
 * a zero. The manifest is named by its content, so that all runs on one machine state share one
 * file, env/<env_id>.json, and a change of anything (a governor, a microcode, a rebuild) shows as a
 * second file. What changes from minute to minute is kept apart and not hashed.
 *
 *   env_id        = SHA-256 of the compact JSON, keys sorted, of {facts, redacted, schema}
 *   machine_class = first 16 hex digits of SHA-256 of the compact JSON, keys sorted, of {arch,
 *                   cores, kernel, logical, memory_gib, model}, all strings: those facts
 *                   ("unknown" where absent), the memory rounded up to a power of two GiB, since
 *                   a kernel keeps a varying part to itself. Runs of one class may be compared in
 *                   absolute numbers.
 *
 * Not thread-safe. A manifest is made before the run, outside measured time.
 */
#ifndef SHUNT_CORE_MEASURE_ENVIRONMENT_H
#define SHUNT_CORE_MEASURE_ENVIRONMENT_H

#include "core/object.h" /* SHUNT_BUILD_ID_BYTES */

#include <stdbool.h>
#include <stddef.h>

struct json_t; /* jansson.h */
struct shunt_env;
struct shunt_error; /* core/param.h */

#define SHUNT_MACHINE_CLASS_BYTES 17 /* 16 hex digits */

/** Makes an empty manifest. 0 or -ENOMEM. */
int shunt_env_new(struct shunt_env **env);
void shunt_env_free(struct shunt_env *env);

/**
 * Gathers every fact about this build, this process, and the machine below root ("" for the one it
 * runs on). Slow (some hundred small files), and never fails: what is not there is absent.
 */
void shunt_env_gather(struct shunt_env *env, const char *root);

/**
 * Adds a fact; a shunt_fact_fn (engine/slots.h) for plug-ins, with a struct shunt_env * as sink.
 *
 * @value: copied; NULL if there is none, and then `source` says why.
 * A name that is there already gets the new value. What does not fit in memory fails the seal.
 */
void shunt_env_fact(void *env, const char *name, const char *value, const char *source);

/** The same for what changes from minute to minute: it is in the file and not in the hash. */
void shunt_env_volatile(void *env, const char *name, const char *value, const char *source);

/**
 * Closes the manifest: redacts it if asked (host and user names, absolute paths), and computes
 * its id and class. Facts added later are ignored. 0 or -ENOMEM.
 */
int shunt_env_seal(struct shunt_env *env, bool redact, struct shunt_error *err);

/** Of a sealed manifest. */
const char *shunt_env_id(const struct shunt_env *env);
const char *shunt_env_machine_class(const struct shunt_env *env);
bool shunt_env_redacted(const struct shunt_env *env);

/** The whole document; owned by the manifest. Before the seal it has no env_id yet. */
struct json_t *shunt_env_json(const struct shunt_env *env);

/**
 * Writes the sealed manifest to FOLDER/env/<env_id>.json, making FOLDER/env if need be; a manifest
 * that is there already is left alone. 0 or a negative errno with the path and a remedy in err.
 */
int shunt_env_write(const struct shunt_env *env, const char *folder, struct shunt_error *err);

/**
 * `text` with host names, user names and absolute paths replaced by <host>, <user> and <path>;
 * NULL when memory is short. The caller frees it.
 */
char *shunt_env_redact(const char *text);
/** The same for every string in `value`. 0 or -ENOMEM. */
int shunt_env_redact_json(struct json_t *value);

/**
 * The ELF build-id of the running executable in hex, from its note in memory. 0, or -ENODATA if it
 * was linked without one.
 */
int shunt_build_id(char id[SHUNT_BUILD_ID_BYTES]);

#endif
