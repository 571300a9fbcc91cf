/* SPDX-License-Identifier: MIT */
/*
 * Ready tasks run in the order that edf, srpt and prio promise: the same as a sorted list's.
 *
 * The model is a list kept in order by insertion, equal keys behind each other. Tasks with drawn
 * attributes spawn others and yield; each one that takes the processor must be the model's next.
 * With one worker all of this is one sequence. SHUNT_SEED repeats a drawn schedule.
 */
#include "core/backend.h"
#include "core/rng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

enum { TASKS = 3000, FIRST = 700, CLASSES = 64 };

struct entry {
	int64_t key;
	unsigned number;
};

struct model {
	struct shunt_rng rng;
	struct entry ready[TASKS];
	size_t count;
	struct entry running; /* who must have the processor now */
	unsigned spawned, ended, yields, stayed, wrong;
	const struct kind *kind;
};

struct kind {
	const char *spec;
	/* Draws attributes and says the key that they make. */
	int64_t (*draw)(struct shunt_rng *rng, struct shunt_attr *attr);
};

static struct model model;

/* One in eight without a deadline; few different ones, so that many are equal. */
static int64_t draw_deadline(struct shunt_rng *rng, struct shunt_attr *attr)
{
	attr->deadline_ns =
		(int64_t)shunt_rng_below(rng, 8) ? 1000 + (int64_t)shunt_rng_below(rng, 50) : 0;
	return attr->deadline_ns ? attr->deadline_ns : INT64_MAX;
}

/* Hours apart, so that what a task runs meanwhile does not change the order; the unknown are equal,
 * and no other two: of these the one that has run would be ahead. */
static int64_t draw_service(struct shunt_rng *rng, struct shunt_attr *attr)
{
	const int64_t hour = INT64_C(3600000000000);
	attr->service_ns =
		shunt_rng_below(rng, 8)
			? hour * (1 + TASKS * (int64_t)shunt_rng_below(rng, 600) + model.spawned)
			: 0;
	return attr->service_ns ? attr->service_ns : INT64_MAX;
}

/* Beyond the last class, too. */
static int64_t draw_class(struct shunt_rng *rng, struct shunt_attr *attr)
{
	attr->priority = (unsigned)shunt_rng_below(rng, CLASSES + 16);
	return attr->priority < CLASSES ? attr->priority : CLASSES - 1;
}

static int64_t draw_nothing(struct shunt_rng *rng, struct shunt_attr *attr)
{
	attr->priority = (unsigned)shunt_rng_below(rng, 5);
	attr->deadline_ns = (int64_t)shunt_rng_below(rng, 5);
	return 0;
}

static const struct kind kinds[] = {
	{"policy=edf", draw_deadline},
	{"policy=edf,dispatch=vtable", draw_deadline},
	{"policy=edf,mt=1", draw_deadline},
	{"policy=srpt", draw_service},
	{"policy=srpt,dispatch=vtable", draw_service},
	{"policy=srpt,mt=1", draw_service},
	{"policy=prio", draw_class},
	{"policy=prio,dispatch=vtable", draw_class},
	{"policy=prio,mt=1", draw_class},
	{"policy=fifo", draw_nothing},
	{"policy=shared", draw_nothing},
};

static void model_push(struct entry entry)
{
	size_t at = model.count++;
	for (; at > 0 && model.ready[at - 1].key > entry.key; at--)
		model.ready[at] = model.ready[at - 1];
	model.ready[at] = entry;
}

static void model_next(void)
{
	if (!model.count)
		return;
	model.running = model.ready[0];
	for (size_t i = 1; i < model.count; i++)
		model.ready[i - 1] = model.ready[i];
	model.count--;
}

static void *member(void *arg);

static void spawn_one(void)
{
	struct shunt_attr attr = {.name = "member"};
	struct entry entry = {model.kind->draw(&model.rng, &attr), model.spawned++};
	model_push(entry);
	assert_int_equal(shunt_spawn(NULL, member, (void *)(uintptr_t)entry.number, &attr), 0);
}

/* The caller yields: it stays if it is ahead of all, and goes behind its equals otherwise. */
static void yield_one(void)
{
	struct entry self = model.running;
	model.yields++;
	if (model.count && model.ready[0].key <= self.key) {
		model_next();
		model_push(self);
	} else {
		model.stayed++;
	}
	shunt_yield();
	model.wrong += model.running.number != self.number;
}

static void *member(void *arg)
{
	model.wrong += model.running.number != (unsigned)(uintptr_t)arg;
	for (uint64_t steps = shunt_rng_below(&model.rng, 4); steps > 0; steps--)
		if (shunt_rng_below(&model.rng, 2) == 0)
			yield_one();
		else if (model.spawned < TASKS)
			spawn_one();
	model.ended++;
	model_next();
	return NULL;
}

/* Ends before any member runs. */
static void *root(void *arg)
{
	(void)arg;
	for (int i = 0; i < FIRST; i++)
		spawn_one();
	model_next();
	return NULL;
}

static void follows_the_model(const struct kind *kind, uint64_t seed)
{
	struct shunt_sched *sched;
	struct shunt_error err = {""};
	char spec[64];
	snprintf(spec, sizeof(spec), "ucontext:switch=ucontext,%s", kind->spec);
	if (shunt_open(&sched, spec, NULL, &err))
		fail_msg("%s: %s", spec, err.text);
	model = (struct model){.kind = kind};
	shunt_rng_init(&model.rng, seed);
	if (shunt_run(sched, root, NULL, NULL, &err))
		fail_msg("%s: %s", spec, err.text);
	shunt_close(sched);
	if (model.wrong)
		fail_msg("%s: %u times another task than the model's ran (SHUNT_SEED=%llu)", spec,
			model.wrong, (unsigned long long)seed);
	assert_int_equal(model.ended, model.spawned);
	assert_true(model.spawned > FIRST);
	assert_true(model.yields > model.stayed);
}

static void runs_in_order(void **state)
{
	(void)state;
	const char *given = getenv("SHUNT_SEED");
	uint64_t seed = given ? strtoull(given, NULL, 0) : (uint64_t)shunt_now_ns();
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		for (uint64_t more = 0; more < 2; more++)
			follows_the_model(&kinds[i], seed + more);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(runs_in_order),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
