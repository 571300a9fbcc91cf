/* SPDX-License-Identifier: MIT */
/*
 * The schedulers that a registry-driven test goes through: every backend as it is; then one engine
 * preset with each plug-in of each slot in turn, with the hooks for many workers on one, and with two
 * workers. SHUNT_MATRIX=full adds every switch x wait x timers x workers. A new plug-in is there
 * without a line written. SHUNT_MATRIX=SPEC,… (divided by blanks) tests those alone.
 */
#ifndef SHUNT_BACKENDS_TEST_SPECS_H
#define SHUNT_BACKENDS_TEST_SPECS_H

#include "core/backend.h"
#include "core/registry.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SPECS_MOST = 512, SPEC_BYTES = 128 };

struct specs {
	char text[SPECS_MOST][SPEC_BYTES];
	size_t count;
};

__attribute__((format(printf, 2, 3))) static inline void specs_add(struct specs *specs,
	const char *format, ...)
{
	va_list args;
	SHUNT_ASSERT(specs->count < SPECS_MOST);
	va_start(args, format);
	vsnprintf(specs->text[specs->count++], SPEC_BYTES, format, args);
	va_end(args);
}

/* The preset to vary: the one in assembly where there is one, else the first. */
static inline const char *specs_base(void)
{
	const char *first = NULL;
	for (const struct shunt_plugin *p = shunt_registry_backends; p->name; p++) {
		const struct shunt_backend *backend = p->object;
		if (!backend || !backend->preset)
			continue;
		if (!strcmp(p->name, "asm"))
			return p->name;
		if (!first)
			first = p->name;
	}
	return first;
}

static inline void specs_add_slot(struct specs *specs, const char *base, const char *slot,
	const struct shunt_plugin *list, const char *more)
{
	for (; list->name; list++)
		if (list->object)
			specs_add(specs, "%s:%s=%s%s", base, slot, list->name, more);
}

static inline void specs_add_product(struct specs *specs, const char *base)
{
	for (const struct shunt_plugin *s = shunt_registry_switches; s->name; s++)
		for (const struct shunt_plugin *w = shunt_registry_waits; w->name; w++)
			for (const struct shunt_plugin *t = shunt_registry_timers; t->name; t++)
				for (int n = 1; s->object && w->object && t->object && n <= 2; n++)
					specs_add(specs,
						"%s:switch=%s,wait=%s,timers=%s,workers=%d", base,
						s->name, w->name, t->name, n);
}

static inline void specs_add_given(struct specs *specs, const char *given)
{
	char *copy = strdup(given), *save = NULL;
	for (char *word = strtok_r(copy, " ", &save); word; word = strtok_r(NULL, " ", &save))
		specs_add(specs, "%s", word);
	free(copy);
}

static inline void specs_make(struct specs *specs)
{
	const char *asked = getenv("SHUNT_MATRIX"), *base = specs_base();
	bool full = asked && !strcmp(asked, "full");
	specs->count = 0;
	if (asked && *asked && !full) {
		specs_add_given(specs, asked);
		return;
	}
	for (const struct shunt_plugin *p = shunt_registry_backends; p->name; p++)
		if (p->object)
			specs_add(specs, "%s", p->name);
	if (!base)
		return;
	specs_add_slot(specs, base, "switch", shunt_registry_switches, "");
	specs_add_slot(specs, base, "wait", shunt_registry_waits, "");
	specs_add_slot(specs, base, "wait", shunt_registry_waits, ",workers=2");
	specs_add_slot(specs, base, "timers", shunt_registry_timers, "");
	specs_add_slot(specs, base, "policy", shunt_registry_policies, "");
	specs_add_slot(specs, base, "policy", shunt_registry_policies, ",workers=2");
	specs_add_slot(specs, base, "place", shunt_registry_places, ",workers=2");
	specs_add(specs, "%s:mt=1", base);
	specs_add(specs, "%s:dispatch=vtable", base);
	if (full)
		specs_add_product(specs, base);
}

/*
 * Opens one. 0; 1: it cannot be had here, and err says why (a library, a kernel feature, a
 * combination that makes no sense), which is no failure of a test.
 */
static inline int specs_open(struct shunt_sched **sched, const char *spec, struct shunt_error *err)
{
	int rc = shunt_open(sched, spec, NULL, err);
	return rc ? 1 : 0;
}

#endif
