/* SPDX-License-Identifier: MIT */
/*
 * What the torture tests share: the compositions they run on, how long, and their seed, printed so
 * that a failure can be repeated with SHUNT_SEED.
 */
#ifndef SHUNT_ENGINE_TORTURE_H
#define SHUNT_ENGINE_TORTURE_H

#include "core/backend.h"
#include "core/engine/sanitize.h"
#include "core/registry.h"
#include "core/rng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* ThreadSanitizer is some fifty times slower. */
#ifdef SHUNT_TSAN
#define TORTURE_SCALE(count) ((count) / 10)
#else
#define TORTURE_SCALE(count) (count)
#endif

/* One worker and many, both sides of mt, the slow path at every switch; torture_everywhere adds the
 * plug-ins that these do not name. */
static const char *const torture_specs[] = {
	"ucontext",
	"asm",
	"asm:interval=1",
	"asm:policy=lifo,interval=1",
	"asm:policy=random",
	"asm:mt=1",
	"asm:workers=2,policy=shared",
	"asm:workers=2,policy=random,interval=1",
	"asm:workers=3,policy=lifo,timers=wheel",
	"asm:workers=4,policy=fifo,policy.window=2,wait=epoll",
	"asm:workers=2,policy=shared,dispatch=vtable,wait.spin=20us",
	"asm:workers=2,policy=steal",
	"asm:workers=4,policy=steal,interval=1",
	"asm:workers=3,policy=steal,policy.lifo_slot=3,policy.victim=near",
	"asm:workers=3,policy=steal,policy.window=2",
};
#define TORTURE_SPECS (sizeof(torture_specs) / sizeof(torture_specs[0]))

static inline uint64_t torture_seed(void)
{
	const char *text = getenv("SHUNT_SEED");
	uint64_t seed = text ? strtoull(text, NULL, 0) : (uint64_t)shunt_now_ns();
	print_message("seed %llu (SHUNT_SEED=%llu repeats it)\n", (unsigned long long)seed,
		(unsigned long long)seed);
	return seed;
}

/* How long one composition is tortured, of SHUNT_TORTURE_MS for the whole test. */
static inline int64_t torture_slice_ns(void)
{
	const char *text = getenv("SHUNT_TORTURE_MS");
	int64_t ms = text ? strtoll(text, NULL, 10) : 2000;
	return ms * 1000000 / (int64_t)TORTURE_SPECS;
}

/* Some wakes of these tasks, and of tasks that never were; then gives way. */
static inline void torture_pelt(struct shunt_rng *rng, const struct shunt_handle *handles,
	unsigned count)
{
	for (int i = 0; i < 8; i++) {
		struct shunt_handle handle = handles[shunt_rng_below(rng, count)];
		if (shunt_rng_below(rng, 2))
			handle.generation += UINT64_C(0x20);
		shunt_wake(handle);
	}
	if (shunt_in_task())
		shunt_yield();
	else
		sched_yield();
}

/* Opens `spec`, runs root, closes. */
static inline void torture_run(const char *spec, uint64_t seed, shunt_task_fn *root, void *arg)
{
	struct shunt_config base = {.seed = seed};
	struct shunt_error err = {""};
	struct shunt_sched *sched;
	if (shunt_open(&sched, spec, &base, &err))
		fail_msg("%s: %s", spec, err.text);
	if (shunt_run(sched, root, arg, NULL, &err))
		fail_msg("%s: %s", spec, err.text);
	shunt_close(sched);
}

/* On every composition of `specs`, or on the one that SHUNT_TORTURE_SPEC names. */
static inline void torture_all(const char *const *specs, size_t count, uint64_t seed,
	shunt_task_fn *root)
{
	const char *only = getenv("SHUNT_TORTURE_SPEC");
	if (only)
		torture_run(only, seed, root, &seed);
	for (size_t i = 0; !only && i < count; i++)
		torture_run(specs[i], seed, root, &seed);
}

/* Is "slot=name" in one of torture_specs, or what they have without saying so? */
static inline bool torture_names(const char *slot, const char *name)
{
	char setting[64];
	if (!strcmp(name, "heap"))
		return true;
	size_t len = (size_t)snprintf(setting, sizeof(setting), "%s=%s", slot, name);
	for (size_t i = 0; i < TORTURE_SPECS; i++) {
		const char *at = strstr(torture_specs[i], setting);
		if (at && (at[len] == ',' || at[len] == '\0'))
			return true;
	}
	return false;
}

/* The members of a slot that torture_specs leaves out, those that this machine can run. */
static inline void torture_slot(const char *slot, const struct shunt_plugin *list, uint64_t seed,
	shunt_task_fn *root)
{
	for (; list->name; list++) {
		struct shunt_sched *sched;
		char spec[128];
		if (!list->object || torture_names(slot, list->name))
			continue;
		snprintf(spec, sizeof(spec), "asm:workers=2,%s=%s,interval=1", slot, list->name);
		if (shunt_open(&sched, spec, NULL, NULL))
			continue;
		shunt_close(sched);
		torture_run(spec, seed, root, &seed);
	}
}

/* On torture_specs, and on every policy and timer queue that there is; wait slots have a torture of
 * their own. */
static inline void torture_everywhere(uint64_t seed, shunt_task_fn *root)
{
	torture_all(torture_specs, TORTURE_SPECS, seed, root);
	if (getenv("SHUNT_TORTURE_SPEC"))
		return;
	torture_slot("policy", shunt_registry_policies, seed, root);
	torture_slot("timers", shunt_registry_timers, seed, root);
}

#endif
