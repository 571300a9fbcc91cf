/* SPDX-License-Identifier: MIT */
/* What an engine says of itself: report.c. */
#ifndef SHUNT_CORE_ENGINE_REPORT_H
#define SHUNT_CORE_ENGINE_REPORT_H

#include "core/backend.h"

void shunt_report_counters(const struct shunt_sched *sched, shunt_counter_fn *counter, void *sink);

void shunt_report_composition(const struct shunt_sched *sched,
	void (*setting)(void *sink, const char *key, const char *value), void *sink);

void shunt_report_facts(const struct shunt_sched *sched,
	void (*fact)(void *sink, const char *name, const char *value, const char *source),
	void *sink);

uint64_t shunt_report_task_limit(const struct shunt_sched *sched, struct shunt_error *reason);

#endif
