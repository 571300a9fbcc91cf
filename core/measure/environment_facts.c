/* SPDX-License-Identifier: MIT */
/*
 * The facts of a manifest, one by one: each has a value and its source, or the reason for its
 * absence.
 */
#include "core/measure/environment_internal.h"
#include "core/measure/json.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

void shunt_env_put(struct shunt_env *env, json_t *into, const char *name, json_t *value,
	const char *source)
{
	json_t *fact = NULL;

	if (env->sealed) {
		json_decref(value);
		return;
	}
	if (value)
		fact = json_pack("{s:o, s:o*}", "value", value, "source", shunt_json_text(source));
	if (!fact || json_object_size(fact) != 2 || json_object_set_new(into, name, fact) < 0)
		env->failed = -ENOMEM;
}

static void put_absent(struct shunt_env *env, json_t *into, const char *name, const char *why)
{
	json_t *fact = json_pack("{s:o*}", "absent", shunt_json_text(why));

	if (env->sealed)
		json_decref(fact);
	else if (!fact || json_object_size(fact) != 1 || json_object_set_new(into, name, fact) < 0)
		env->failed = -ENOMEM;
}

void shunt_env_absent(struct shunt_env *env, const char *name, const char *format, ...)
{
	char why[256];
	va_list args;

	va_start(args, format);
	vsnprintf(why, sizeof(why), format, args);
	va_end(args);
	put_absent(env, env->facts, name, why);
}

static void put_text(struct shunt_env *env, json_t *into, const char *name, const char *value,
	const char *source)
{
	if (value)
		shunt_env_put(env, into, name, shunt_json_text(value), source);
	else
		put_absent(env, into, name, source);
}

void shunt_env_fact(void *env, const char *name, const char *value, const char *source)
{
	put_text(env, ((struct shunt_env *)env)->facts, name, value, source);
}

void shunt_env_volatile(void *env, const char *name, const char *value, const char *source)
{
	put_text(env, ((struct shunt_env *)env)->passing, name, value, source);
}
