/* SPDX-License-Identifier: MIT */
/* From settings to slots and values: compose.c. */
#ifndef SHUNT_CORE_ENGINE_COMPOSE_H
#define SHUNT_CORE_ENGINE_COMPOSE_H

#include "core/backend.h"

struct shunt_engine;

/* The engine's own parameters, ends with a NULL name: for `describe`. */
extern const struct shunt_param shunt_compose_params[];

/* Fills the engine's slots, values and own parameters. */
int shunt_compose(struct shunt_engine *engine, const struct shunt_backend *backend,
	const struct shunt_config *config, struct shunt_error *err);

void shunt_compose_fini(struct shunt_engine *engine);

#endif
