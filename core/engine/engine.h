/* SPDX-License-Identifier: MIT */
/*
 * The engine as a backend: what every preset in backends/presets.c is made of.
 */
#ifndef SHUNT_CORE_ENGINE_ENGINE_H
#define SHUNT_CORE_ENGINE_ENGINE_H

#include "core/backend.h"
#include "core/engine/external.h"
#include "core/engine/report.h"

int shunt_engine_open(struct shunt_sched **sched, const struct shunt_backend *backend,
	const struct shunt_config *config, struct shunt_error *err);
int shunt_engine_run(struct shunt_sched *sched, shunt_task_fn *root, void *arg, void **result,
	struct shunt_error *err);
void shunt_engine_close(struct shunt_sched *sched);

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
		.wake = shunt_external_wake,                                                       \
		.spawn = shunt_external_spawn,                                                     \
		.hold = shunt_external_hold,                                                       \
		.counters = shunt_report_counters,                                                 \
		.composition = shunt_report_composition,                                           \
		.facts = shunt_report_facts,                                                       \
		.task_limit = shunt_report_task_limit,                                             \
	}

#endif
