/* SPDX-License-Identifier: MIT */
/*
 * The schedulers that a registry-driven test goes through: every backend as it is; then one engine
 * preset with each plug-in of each slot in turn, on one worker, and on two what these share: each
 * policy, each placement, and each wait slot where tasks move. Of two that are the same composition
 * the first. A new plug-in is there without a line written. SHUNT_MATRIX asks for others:
 *   each        every backend, and every other plug-in at least once: each policy on two
 *               workers, with the plug-ins of the other slots in turn. For a further compiler or
 *               architecture.
 *   brief       these, and each wait slot where tasks move: for ThreadSanitizer, which finds
 *               nothing on one worker.
 *   product     every switch x wait x timers x workers
 *   product:N   N of these, drawn by SHUNT_SEED, or by a seed that is printed
 *   SPEC SPEC   those alone
 * The words of the test's command line are files of plug-ins (core/plugins.h): then only what is in
 * them is gone through, each in its slot, on one worker and on two.
 */
#ifndef SHUNT_BACKENDS_TEST_SPECS_H
#define SHUNT_BACKENDS_TEST_SPECS_H

#include "core/backend.h"
#include "core/engine/slots.h"
#include "core/plugins.h"
#include "core/registry.h"
#include "core/rng.h"

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

struct specs_settings {
	char text[1024];
};

static inline void specs_add_setting(void *arg, const char *key, const char *value)
{
	struct specs_settings *settings = (struct specs_settings *)arg;
	size_t length = strlen(settings->text);
	int n = snprintf(settings->text + length, sizeof(settings->text) - length, "%s=%s ", key,
		value);
	SHUNT_ASSERT(n > 0 && (size_t)n < sizeof(settings->text) - length);
}

/* What the spec comes to, every setting of it; empty: it cannot be had here. */
static inline void specs_settings(const char *spec, struct specs_settings *settings)
{
	struct shunt_sched *sched;
	settings->text[0] = '\0';
	if (shunt_open(&sched, spec, NULL, NULL))
		return;
	if (sched->backend->composition)
		sched->backend->composition(sched, specs_add_setting, settings);
	shunt_close(sched);
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

/* The first policy under which tasks move: "policy=NAME", or nothing. */
static inline const char *specs_moving(void)
{
	static char text[64];
	for (const struct shunt_plugin *p = shunt_registry_policies; p->name && !*text; p++) {
		const struct shunt_policy *policy = p->object;
		if (policy && policy->steals)
			snprintf(text, sizeof(text), ",policy=%s", p->name);
	}
	return text;
}

/* On one worker, on two that keep their tasks, and on two between which tasks and their timers
 * move. */
static inline void specs_add_workers(struct specs *specs, const char *base, const char *slots,
	const char *timers)
{
	const char *with = *timers ? ",timers=" : "";
	specs_add(specs, "%s:%s%s%s,workers=1", base, slots, with, timers);
	specs_add(specs, "%s:%s%s%s,workers=2", base, slots, with, timers);
	specs_add(specs, "%s:%s%s%s,workers=2%s", base, slots, with, timers, specs_moving());
}

/* Every combination of a switch, a wait slot and a timer queue that it can have. */
static inline void specs_add_product(struct specs *specs, const char *base)
{
	for (const struct shunt_plugin *s = shunt_registry_switches; s->name; s++)
		for (const struct shunt_plugin *w = shunt_registry_waits; w->name; w++) {
			const struct shunt_wait *wait = w->object;
			char slots[SPEC_BYTES / 2];
			if (!s->object || !wait)
				continue;
			snprintf(slots, sizeof(slots), "switch=%s,wait=%s", s->name, w->name);
			if (wait->own_timers)
				specs_add_workers(specs, base, slots, "");
			for (const struct shunt_plugin *t = shunt_registry_timers;
				!wait->own_timers && t->name; t++)
				if (t->object)
					specs_add_workers(specs, base, slots, t->name);
		}
}

/* The n-th plug-in of a list that is there, round again. */
static inline const struct shunt_plugin *specs_nth(const struct shunt_plugin *list, unsigned n)
{
	const struct shunt_plugin *found[64];
	unsigned count = 0;
	for (; list->name && count < 64; list++)
		if (list->object)
			found[count++] = list;
	return found[n % count];
}

/* A part of the same that is quick enough for every build: each wait slot under two workers between
 * which tasks move, with the switches and timer queues in turn. */
static inline void specs_add_diagonal(struct specs *specs, const char *base)
{
	unsigned turn = 0;
	for (const struct shunt_plugin *w = shunt_registry_waits; w->name; w++) {
		const struct shunt_wait *wait = w->object;
		if (!wait)
			continue;
		specs_add(specs, "%s:switch=%s,wait=%s%s%s,workers=2%s", base,
			specs_nth(shunt_registry_switches, turn)->name, w->name,
			wait->own_timers ? "" : ",timers=",
			wait->own_timers ? "" : specs_nth(shunt_registry_timers, turn)->name,
			specs_moving());
		turn++;
	}
}

static inline bool specs_opens(const char *spec)
{
	struct shunt_sched *sched;
	if (shunt_open(&sched, spec, NULL, NULL))
		return false;
	shunt_close(sched);
	return true;
}

/* Each policy on two workers with plug-ins of the other slots in turn; by itself where these cannot
 * be had together. */
static inline void specs_add_dealt(struct specs *specs, const char *base)
{
	unsigned turn = 0;
	for (const struct shunt_plugin *p = shunt_registry_policies; p->name; p++, turn++) {
		const struct shunt_plugin *w = specs_nth(shunt_registry_waits, turn);
		const struct shunt_wait *wait = w->object;
		/* Waits and places may be equally many: another place with each the next time. */
		const struct shunt_plugin *place =
			specs_nth(shunt_registry_places, turn + turn / 5);
		if (!p->object)
			continue;
		specs_add(specs, "%s:policy=%s,switch=%s,wait=%s%s%s,place=%s,workers=2", base,
			p->name, specs_nth(shunt_registry_switches, turn)->name, w->name,
			wait->own_timers ? "" : ",timers=",
			wait->own_timers ? "" : specs_nth(shunt_registry_timers, turn)->name,
			place->name);
		if (specs_opens(specs->text[specs->count - 1]))
			continue;
		specs->count--;
		specs_add(specs, "%s:policy=%s,workers=2", base, p->name);
	}
}

static inline void specs_add_given(struct specs *specs, const char *given)
{
	char *copy = strdup(given), *save = NULL;
	for (char *word = strtok_r(copy, " ", &save); word; word = strtok_r(NULL, " ", &save))
		specs_add(specs, "%s", word);
	free(copy);
}

/* Keeps `count` of them, drawn at random, in their order. */
static inline void specs_draw(struct specs *specs, size_t count)
{
	const char *given = getenv("SHUNT_SEED");
	uint64_t seed = given ? strtoull(given, NULL, 0) : (uint64_t)shunt_now_ns();
	struct shunt_rng rng;
	size_t kept = 0;
	printf("%zu of %zu compositions, drawn by SHUNT_SEED=%llu\n", count, specs->count,
		(unsigned long long)seed);
	shunt_rng_init(&rng, seed);
	for (size_t i = 0; i < specs->count && kept < count; i++)
		if (shunt_rng_below(&rng, specs->count - i) < count - kept)
			memmove(specs->text[kept++], specs->text[i], sizeof(specs->text[i]));
	specs->count = kept;
}

/* "asm:wait=futex" is asm. */
static inline void specs_keep_one_of_each(struct specs *specs)
{
	struct specs_settings *seen = (struct specs_settings *)calloc(specs->count, sizeof(*seen));
	size_t kept = 0;
	SHUNT_ASSERT(seen);
	for (size_t i = 0; i < specs->count; i++) {
		size_t same = 0;
		specs_settings(specs->text[i], &seen[kept]);
		while (same < kept && strcmp(seen[same].text, seen[kept].text) != 0)
			same++;
		if (same == kept || !*seen[kept].text)
			memmove(specs->text[kept++], specs->text[i], sizeof(specs->text[i]));
	}
	specs->count = kept;
	free(seen);
}

static inline void specs_add_backends(struct specs *specs)
{
	shunt_plugins_load_bundled(NULL);
	for (const struct shunt_plugin *p = shunt_registry_backends; p->name; p++)
		if (p->object)
			specs_add(specs, "%s", p->name);
}

static inline void specs_add_alone(struct specs *specs, const char *base)
{
	specs_add_slot(specs, base, "switch", shunt_registry_switches, "");
	specs_add_slot(specs, base, "timers", shunt_registry_timers, "");
	specs_add_slot(specs, base, "policy", shunt_registry_policies, "");
	specs_add(specs, "%s:dispatch=vtable", base);
}

/* Each io with each wait slot that it goes with, on one worker and on two between which tasks move;
 * one that does without the wait slot on one here, on two there. */
static inline void specs_add_ios(struct specs *specs, const char *base)
{
	unsigned turn = 0;
	for (const struct shunt_plugin *io = shunt_registry_ios; io->name; io++)
		for (const struct shunt_plugin *w = shunt_registry_waits; w->name; w++) {
			const struct shunt_io *slot = io->object;
			char slots[SPEC_BYTES / 2];
			struct specs_settings settings;
			snprintf(slots, sizeof(slots), "%s:wait=%s,io=%s", base, w->name, io->name);
			specs_settings(slots, &settings);
			if (!*settings.text)
				continue;
			turn += slot->open != NULL;
			if (!slot->open || turn % 2 == 0)
				specs_add(specs, "%s", slots);
			if (!slot->open || turn % 2 == 1)
				specs_add(specs, "%s,workers=2%s", slots, specs_moving());
		}
}

static inline void specs_add_shared(struct specs *specs, const char *base)
{
	specs_add_slot(specs, base, "wait", shunt_registry_waits, "");
	specs_add_slot(specs, base, "policy", shunt_registry_policies, ",workers=2");
	specs_add_slot(specs, base, "place", shunt_registry_places, ",workers=2");
	specs_add(specs, "%s:mt=1", base);
	specs_add_ios(specs, base);
	specs_add_diagonal(specs, base);
}

static inline void specs_make(struct specs *specs)
{
	const char *asked = getenv("SHUNT_MATRIX"), *base = specs_base();
	bool brief = asked && !strcmp(asked, "brief");
	bool each = brief || (asked && !strcmp(asked, "each"));
	size_t count;
	specs->count = 0;
	if (asked && base && !strncmp(asked, "product", 7)) {
		specs_add_product(specs, base);
		if (sscanf(asked, "product:%zu", &count) == 1)
			specs_draw(specs, count);
		return;
	}
	if (asked && *asked && !each) {
		specs_add_given(specs, asked);
		return;
	}
	specs_add_backends(specs);
	if (base && each)
		specs_add_dealt(specs, base);
	if (base && brief)
		specs_add_diagonal(specs, base);
	if (base && !each) {
		specs_add_alone(specs, base);
		specs_add_shared(specs, base);
	}
	specs_keep_one_of_each(specs);
}

static inline void specs_add_from_files(struct specs *specs, const char *base, const char *slot,
	const struct shunt_plugin *list)
{
	for (; list->name; list++) {
		if (!list->from || !list->object)
			continue;
		specs_add(specs, "%s:%s=%s", base, slot, list->name);
		specs_add(specs, "%s:%s=%s,workers=2", base, slot, list->name);
		if (strcmp(slot, "policy") != 0)
			specs_add(specs, "%s:%s=%s,workers=2%s", base, slot, list->name,
				specs_moving());
	}
}

/* Loads the plug-ins; false: one was refused, and it is said why. */
static inline bool specs_load(int argc, char **argv)
{
	struct shunt_error err;
	for (int i = 1; i < argc; i++)
		if (shunt_plugins_load(argv[i], &err)) {
			fprintf(stderr, "%s\n", err.text);
			return false;
		}
	return true;
}

/* What the files have: the compositions with them. None: they have workloads alone. */
static inline void specs_make_from_files(struct specs *specs)
{
	const char *base = specs_base();
	specs->count = 0;
	for (const struct shunt_plugin *p = shunt_registry_backends; p->name; p++)
		if (p->from && p->object)
			specs_add(specs, "%s", p->name);
	if (!base)
		return;
	specs_add_from_files(specs, base, "switch", shunt_registry_switches);
	specs_add_from_files(specs, base, "wait", shunt_registry_waits);
	specs_add_from_files(specs, base, "timers", shunt_registry_timers);
	specs_add_from_files(specs, base, "policy", shunt_registry_policies);
	specs_add_from_files(specs, base, "place", shunt_registry_places);
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
