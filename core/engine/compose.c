/* SPDX-License-Identifier: MIT */
/*
 * Composition: from settings to slots and their values.
 *
 * A setting is `slot=plug-in`, `slot.param=value`, or one of the engine's own. The preset's come
 * first, the user's override them. Everything unknown is an error that names the nearest known
 * word.
 */
#include "core/engine/compose.h"

#include "core/engine/worker.h"
#include "core/registry.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const mt_choices[] = {"auto", "0", "1", NULL};
static const char *const fence_choices[] = {"auto", "asymmetric", "full", NULL};
static const char *const dispatch_choices[] = {"inline", "vtable", NULL};
static const char *const preempt_choices[] = {"none", "checkpoint", "signal", "compiler", NULL};
static const char *const preempter_choices[] = {"sleep", "poll", NULL};
static const char *const guard_choices[] = {"auto", "madvise", "mprotect", "none", NULL};

const struct shunt_param shunt_compose_params[] = {
	{.name = "workers",
		.type = SHUNT_PARAM_TEXT,
		.fallback = "1",
		.help = "kernel threads that run tasks, 1 to 1024; all: as many as the placement "
			"offers"},
	{.name = "mt",
		.type = SHUNT_PARAM_CHOICE,
		.fallback = "auto",
		.choices = mt_choices,
		.help = "1: use the hooks for many workers even with one, to measure what their "
			"atomics cost"},
	{.name = "dispatch",
		.type = SHUNT_PARAM_CHOICE,
		.fallback = "inline",
		.choices = dispatch_choices,
		.help = "how the hot hooks reach the policy: compiled into them, or through its "
			"table"},
	{.name = "interval",
		.type = SHUNT_PARAM_COUNT,
		.fallback = "61",
		.min = 1,
		.max = 1000000,
		.help = "most picks between two checks of the timers, the inbox and the wait slot"},
	{.name = "tick",
		.type = SHUNT_PARAM_DURATION,
		.fallback = "1ms",
		.max = 1000000000,
		.help = "how often a busy worker checks its timers while any are armed; 0: never"},
	{.name = "quantum",
		.type = SHUNT_PARAM_DURATION,
		.fallback = "0",
		.max = 1000000000,
		.help = "how long a task may run before it is preempted; 0: no limit"},
	{.name = "preempt",
		.type = SHUNT_PARAM_CHOICE,
		.fallback = "checkpoint",
		.choices = preempt_choices,
		.help = "what takes the processor from a task whose quantum is over: checkpoint: "
			"the "
			"task, where it asks (shunt_checkpoint); signal: a signal, in code marked "
			"SHUNT_PREEMPTIBLE; compiler: a call at every edge of the workload's "
			"second "
			"text; none: nothing does"},
	{.name = "preempter",
		.type = SHUNT_PARAM_CHOICE,
		.fallback = "sleep",
		.choices = preempter_choices,
		.help = "the thread that asks for preemptions by signal or compiler: sleep: until "
			"a "
			"slice is over; poll: it looks all the time, and takes a CPU"},
	{.name = "wait.slack",
		.type = SHUNT_PARAM_DURATION,
		.fallback = "1ns",
		.max = 1000000000,
		.help = "timer slack of the workers' threads: how late the kernel may end a sleep; "
			"0: leave its default, which is 50us for some ways to wait and nothing for "
			"others. Give all that you compare the same"},
	{.name = "wait.spin",
		.type = SHUNT_PARAM_DURATION,
		.fallback = "0",
		.max = 1000000000,
		.help = "how long an idle worker searches before it sleeps"},
	{.name = "fence",
		.type = SHUNT_PARAM_CHOICE,
		.fallback = "auto",
		.choices = fence_choices,
		.help = "with many workers: full: a fence for each task made ready and taken; "
			"asymmetric: instead a system call when a worker goes to sleep or steals; "
			"auto: asymmetric where the kernel can"},
	{.name = "search",
		.type = SHUNT_PARAM_DURATION,
		.fallback = "20us",
		.max = 1000000000,
		.help = "how long an idle thief searches before it sleeps, while another worker "
			"runs"},
	{.name = "nap",
		.type = SHUNT_PARAM_DURATION,
		.fallback = "1ms",
		.max = 1000000000,
		.help = "longest nap of a thief whose steals did not pay, between two trials; it "
			"skips up to 7 trials while nothing has changed; 0: never nap"},
	{.name = "stack.size",
		.type = SHUNT_PARAM_SIZE,
		.fallback = "64k",
		.min = 16384,
		.max = INT64_C(1) << 30,
		.help = "usable bytes of a task's stack"},
	{.name = "stack.guard",
		.type = SHUNT_PARAM_CHOICE,
		.fallback = "auto",
		.choices = guard_choices,
		.help = "guard below each stack: madvise (Linux 6.13), mprotect (two mappings "
			"each), none"},
	{.name = NULL},
};

/* Where the plug-ins of a slot are listed, and what of the engine belongs to it. */
struct slot {
	const char *name;
	const struct shunt_plugin *registry;
	const char *fallback;
	const char *chosen;
	const void *object;
	struct shunt_values *values;
	const struct shunt_param *params;
};

enum { SWITCH, WAIT, TIMERS, POLICY, PLACE, IO, SLOTS };

/* The timers slot's value where the wait slot brings its own: no plug-in. */
#define OWN_TIMERS "own"
/* The io slot's value where tasks have no input and output: no plug-in. */
#define NO_IO "none"

static int find(struct slot *slot, struct shunt_error *err)
{
	const char *names[64];
	size_t count = 0;
	for (const struct shunt_plugin *p = slot->registry; p->name && count < 64; p++) {
		if (!strcmp(p->name, slot->chosen)) {
			slot->object = p->object;
			return p->object ? 0
					 : shunt_fail(err, -ENOSYS, "%s=%s: %s", slot->name,
						   slot->chosen, p->absent_why);
		}
		names[count++] = p->name;
	}
	const char *nearest = shunt_nearest(slot->chosen, names, count);
	return shunt_fail(err, -ENOENT, "%s=%s: there is no such %s%s%s%s `shunt list` shows them",
		slot->name, slot->chosen, slot->name, nearest ? "; did you mean '" : "",
		nearest ? nearest : "", nearest ? "'?" : ";");
}

static struct slot *slot_of_key(struct slot *slots, const char *key, const char **rest)
{
	for (int i = 0; i < SLOTS; i++) {
		size_t n = strlen(slots[i].name);
		if (!strncmp(key, slots[i].name, n) && (key[n] == '\0' || key[n] == '.')) {
			*rest = key[n] ? key + n + 1 : "";
			return &slots[i];
		}
	}
	return NULL;
}

static bool is_own(const char *key)
{
	for (const struct shunt_param *p = shunt_compose_params; p->name; p++)
		if (!strcmp(p->name, key))
			return true;
	return false;
}

static int unknown_key(const char *where, struct slot *slots, const char *key,
	struct shunt_error *err)
{
	const char *names[128];
	static _Thread_local char dotted[64][64];
	size_t count = 0, texts = 0;
	for (const struct shunt_param *p = shunt_compose_params; p->name; p++)
		names[count++] = p->name;
	for (int i = 0; i < SLOTS; i++) {
		names[count++] = slots[i].name;
		for (const struct shunt_param *p = slots[i].params; p && p->name && texts < 64;
			p++) {
			snprintf(dotted[texts], sizeof(dotted[texts]), "%s.%s", slots[i].name,
				p->name);
			names[count++] = dotted[texts++];
		}
	}
	const char *nearest = shunt_nearest(key, names, count);
	return shunt_fail(err, -ENOENT,
		"%s has no setting '%s'%s%s%s `shunt describe %s` lists them", where, key,
		nearest ? "; did you mean '" : "", nearest ? nearest : "", nearest ? "'?" : ";",
		where);
}

/* place=0+2: the placement that takes numbers, with them as its parameter. */
static void choose_numbered_place(struct slot *slot, struct shunt_setting *settings, size_t *count)
{
	if (!slot->chosen || *slot->chosen < '0' || *slot->chosen > '9')
		return;
	for (const struct shunt_plugin *p = slot->registry; p->name; p++) {
		const struct shunt_place *place = p->object;
		if (!place || !place->numbers_are)
			continue;
		static _Thread_local char key[64];
		snprintf(key, sizeof(key), "%s.%s", slot->name, place->numbers_are);
		settings[(*count)++] = (struct shunt_setting){key, slot->chosen, true};
		slot->chosen = p->name;
		return;
	}
}

/* First pass: which plug-in is in each slot. */
static int choose_slots(struct slot *slots, struct shunt_setting *settings, size_t *setting_count,
	struct shunt_error *err)
{
	size_t count = *setting_count;
	bool timers_by_user = false;
	for (size_t i = 0; i < count; i++) {
		const char *rest = NULL;
		struct slot *slot = slot_of_key(slots, settings[i].key, &rest);
		if (slot && !*rest) {
			slot->chosen = settings[i].value;
			timers_by_user |= slot == &slots[TIMERS] && settings[i].by_user;
		}
	}
	choose_numbered_place(&slots[PLACE], settings, setting_count);
	for (int i = 0; i < SLOTS; i++) {
		if (i == IO && !strcmp(slots[IO].chosen, NO_IO))
			continue;
		if (i == TIMERS) {
			const struct shunt_wait *wait = slots[WAIT].object;
			bool own = !strcmp(slots[TIMERS].chosen, OWN_TIMERS);
			if (wait->own_timers && timers_by_user && !own)
				return shunt_fail(err, -EINVAL,
					"wait=%s keeps its own timers: leave "
					"timers=%s out",
					wait->name, slots[TIMERS].chosen);
			if (!wait->own_timers && own)
				return shunt_fail(err, -EINVAL,
					"timers=" OWN_TIMERS " needs a wait slot "
					"that keeps its own timers, which wait=%s does not",
					wait->name);
			if (wait->own_timers)
				continue;
		}
		int rc = find(&slots[i], err);
		if (rc)
			return rc;
	}
	return 0;
}

/* Second pass: every value, the engine's own and the slots'. */
static int set_values(struct shunt_engine *engine, const char *where, struct slot *slots,
	const struct shunt_setting *settings, size_t count, struct shunt_error *err)
{
	for (size_t i = 0; i < count; i++) {
		const char *key = settings[i].key, *rest = NULL;
		struct slot *slot = slot_of_key(slots, key, &rest);
		int rc = 0;
		if (is_own(key))
			rc = shunt_values_set(&engine->own, where, key, settings[i].value, err);
		else if (!slot)
			rc = unknown_key(where, slots, key, err);
		else if (*rest && slot->params) {
			char text[128];
			snprintf(text, sizeof(text), "%s=%s", slot->name, slot->chosen);
			rc = shunt_values_set(slot->values, text, rest, settings[i].value, err);
		} else if (*rest) {
			rc = unknown_key(where, slots, key, err);
		}
		if (rc)
			return rc;
	}
	return 0;
}

/* "switch=asm wait=futex" into settings that point into a copy. */
static size_t split_preset(char *text, struct shunt_setting *settings, size_t most)
{
	size_t count = 0;
	for (char *save, *word = strtok_r(text, " ", &save); word && count < most;
		word = strtok_r(NULL, " ", &save)) {
		char *equals = strchr(word, '=');
		SHUNT_ASSERT(equals);
		*equals = '\0';
		settings[count++] = (struct shunt_setting){word, equals + 1, false};
	}
	return count;
}

static int init_values(struct shunt_engine *engine, struct slot *slots, struct shunt_error *err)
{
	const struct shunt_switch *sw = slots[SWITCH].object;
	const struct shunt_wait *wait = slots[WAIT].object;
	const struct shunt_timers *timers = slots[TIMERS].object;
	const struct shunt_policy *policy = slots[POLICY].object;
	const struct shunt_place *place = slots[PLACE].object;
	const struct shunt_param *params[SLOTS] = {sw->params, wait->params, NULL, policy->params,
		place->params, NULL};
	engine->switch_slot = sw;
	engine->wait_slot = wait;
	engine->timers_slot = timers;
	engine->policy = policy;
	engine->place_slot = place;
	engine->io_slot = slots[IO].object;
	int rc = shunt_values_init(&engine->own, shunt_compose_params, err);
	for (int i = 0; !rc && i < SLOTS; i++) {
		slots[i].params = params[i];
		if (params[i])
			rc = shunt_values_init(slots[i].values, params[i], err);
	}
	return rc;
}

int shunt_compose(struct shunt_engine *engine, const struct shunt_backend *backend,
	const struct shunt_config *config, struct shunt_error *err)
{
	struct slot slots[SLOTS] = {
		[SWITCH] = {"switch", shunt_registry_switches, NULL, NULL, NULL,
			&engine->switch_values, NULL},
		[WAIT] = {"wait", shunt_registry_waits, NULL, NULL, NULL, &engine->wait_values,
			NULL},
		[TIMERS] = {"timers", shunt_registry_timers, NULL, NULL, NULL, NULL, NULL},
		[POLICY] = {"policy", shunt_registry_policies, NULL, NULL, NULL,
			&engine->policy_values, NULL},
		[PLACE] = {"place", shunt_registry_places, NULL, NULL, NULL, &engine->place_values,
			NULL},
		[IO] = {"io", shunt_registry_ios, NULL, NULL, NULL, NULL, NULL},
	};
	/* The first of each list is the default: the order of the CMake lines. */
	for (int i = 0; i < SLOTS; i++)
		slots[i].chosen = slots[i].registry->name;
	slots[IO].chosen = NO_IO;
	size_t most = 64 + config->setting_count + 1;
	char *text = strdup(backend->preset ? backend->preset : "");
	struct shunt_setting *settings = calloc(most, sizeof(*settings));
	int rc = text && settings ? 0 : shunt_fail(err, -ENOMEM, "out of memory");
	size_t count = 0;
	if (!rc) {
		count = split_preset(text, settings, 64);
		memcpy(settings + count, config->settings,
			config->setting_count * sizeof(*settings));
		count += config->setting_count;
		rc = choose_slots(slots, settings, &count, err);
	}
	if (!rc)
		rc = init_values(engine, slots, err);
	if (!rc)
		rc = set_values(engine, backend->name, slots, settings, count, err);
	if (!rc && engine->policy->variant)
		rc = engine->policy->variant(&engine->policy_values, &engine->policy, err);
	free(settings);
	free(text);
	return rc;
}

void shunt_compose_fini(struct shunt_engine *engine)
{
	shunt_values_fini(&engine->own);
	shunt_values_fini(&engine->switch_values);
	shunt_values_fini(&engine->wait_values);
	shunt_values_fini(&engine->policy_values);
	shunt_values_fini(&engine->place_values);
}
