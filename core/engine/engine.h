/* SPDX-License-Identifier: MIT */
/*
 * The engine as a backend: what every preset in backends/presets.c is made of.
 */
#ifndef SHUNT_CORE_ENGINE_ENGINE_H
#define SHUNT_CORE_ENGINE_ENGINE_H

#include "core/backend.h"

struct shunt_engine;

int shunt_engine_open(struct shunt_sched **sched, const struct shunt_backend *backend,
	const struct shunt_config *config, struct shunt_error *err);
int shunt_engine_run(struct shunt_sched *sched, shunt_task_fn *root, void *arg, void **result,
	struct shunt_error *err);
void shunt_engine_close(struct shunt_sched *sched);
void shunt_engine_counters(const struct shunt_sched *sched, shunt_counter_fn *counter, void *sink);
void shunt_engine_composition(const struct shunt_sched *sched,
	void (*setting)(void *sink, const char *key, const char *value), void *sink);
void shunt_engine_facts(const struct shunt_sched *sched,
	void (*fact)(void *sink, const char *name, const char *value, const char *source),
	void *sink);
uint64_t shunt_engine_task_limit(const struct shunt_sched *sched, struct shunt_error *reason);
bool shunt_engine_wake(struct shunt_sched *sched, struct shunt_handle handle);
int shunt_engine_spawn(struct shunt_sched *sched, struct shunt_handle *handle, shunt_task_fn *fn,
	void *arg, const struct shunt_attr *attr);
void shunt_engine_hold(struct shunt_sched *sched, int delta);

/* The engine's own parameters, ends with a NULL name: for `describe`. */
extern const struct shunt_param shunt_engine_params[];

/*
 * A named composition: SHUNT_PRESET(asm, "asm", "one worker, …", "switch=asm wait=futex …"). The
 * settings are key=value, separated by spaces; whatever they leave open has its default.
 */
#define SHUNT_PRESET(SYMBOL, NAME, SUMMARY, SETTINGS)                                              \
	const struct shunt_backend shunt_backend_##SYMBOL = {                                      \
		.name = NAME,                                                                      \
		.summary = SUMMARY,                                                                \
		.preset = SETTINGS,                                                                \
		.open = shunt_engine_open,                                                         \
		.run = shunt_engine_run,                                                           \
		.close = shunt_engine_close,                                                       \
		.wake = shunt_engine_wake,                                                         \
		.spawn = shunt_engine_spawn,                                                       \
		.hold = shunt_engine_hold,                                                         \
		.counters = shunt_engine_counters,                                                 \
		.composition = shunt_engine_composition,                                           \
		.facts = shunt_engine_facts,                                                       \
		.task_limit = shunt_engine_task_limit,                                             \
	}

/* ---- compose.c: settings -> slots and values -------------------------------------------------- */

/* Fills the engine's slots, values and own parameters. */
int shunt_compose(struct shunt_engine *engine, const struct shunt_backend *backend,
	const struct shunt_config *config, struct shunt_error *err);
void shunt_compose_fini(struct shunt_engine *engine);

#endif
