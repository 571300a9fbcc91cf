/* SPDX-License-Identifier: MIT */
/* What the files that gather facts share. */
#ifndef SHUNT_CORE_MEASURE_ENVIRONMENT_INTERNAL_H
#define SHUNT_CORE_MEASURE_ENVIRONMENT_INTERNAL_H

#include "core/measure/environment.h"

#include <jansson.h>

struct shunt_env {
	json_t *document;        /* {schema, facts, volatile, redacted, ...} */
	json_t *facts, *passing; /* borrowed from the document */
	int failed;              /* the first error: -ENOMEM */
	bool sealed;
};

/* Adds a fact to facts or passing; the value is taken over, and NULL means no memory. */
void shunt_env_put(struct shunt_env *env, json_t *into, const char *name, json_t *value,
	const char *source);
/* Says why there is no such fact. */
void shunt_env_absent(struct shunt_env *env, const char *name, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

void shunt_env_gather_build(struct shunt_env *env);
void shunt_env_gather_cpu(struct shunt_env *env, const char *root);
void shunt_env_gather_kernel(struct shunt_env *env, const char *root);

#endif
