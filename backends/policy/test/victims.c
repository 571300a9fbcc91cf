/* SPDX-License-Identifier: MIT */
/*
 * A thief asks all other workers, with victim=near the nearest first, and finds work with any of
 * them; of all thieves no more than half ask at a time.
 *
 * The schedulers are opened on machines that hwloc makes up, and never run: the test asks the
 * policy for its victims, and is itself the thief.
 */
#include "core/engine/policy.h"
#include "core/engine/thief.h"
#include "core/registry.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

enum { WORKERS = 8, SEARCHES = 2000 };

/* Two packages, each with a cache for two cores of two siblings: 0 1 | 2 3 || 4 5 | 6 7. */
#define MACHINE "place=compact,place.topology=pack:2 l3:1 core:2 pu:2"

static bool have(const char *name)
{
	for (const struct shunt_plugin *p = shunt_registry_places; p->name; p++)
		if (!strcmp(p->name, name))
			return p->object != NULL;
	return false;
}

static struct shunt_engine *open_engine(const char *settings)
{
	struct shunt_sched *sched;
	struct shunt_error err = {""};
	char spec[160];
	snprintf(spec, sizeof(spec), "ucontext:workers=%d,policy=steal,%s", WORKERS, settings);
	if (shunt_open(&sched, spec, NULL, &err))
		fail_msg("%s: %s", spec, err.text);
	return shunt_engine_of(sched);
}

/* One search that finds nothing: who was asked, in which order. */
static unsigned ask(struct shunt_engine *engine, unsigned thief, unsigned order[WORKERS])
{
	unsigned asked = 0, seen = 0;
	struct shunt_worker *self = engine->workers[thief], *victim;
	for (unsigned i = 0; (victim = engine->policy->victim(self, i)); i++) {
		assert_in_range(i, 0, WORKERS - 1);
		if (victim == self)
			continue;
		assert_false(seen & 1u << victim->env.index);
		seen |= 1u << victim->env.index;
		order[asked++] = victim->env.index;
	}
	return asked;
}

/* Whom each thief ever asked first, as a set of bits. */
static void first_of(struct shunt_engine *engine, bool near, unsigned first[WORKERS])
{
	unsigned order[WORKERS];
	for (unsigned thief = 0; thief < WORKERS; thief++) {
		first[thief] = 0;
		for (int search = 0; search < SEARCHES; search++) {
			unsigned before = 0;
			assert_int_equal(ask(engine, thief, order), WORKERS - 1);
			first[thief] |= 1u << order[0];
			for (int i = 0; near && i < WORKERS - 1; i++) {
				unsigned now =
					shunt_policy_distance(engine->workers[thief], order[i]);
				assert_true(now >= before);
				before = now;
			}
		}
	}
}

static void random_begins_anywhere(void **state)
{
	struct shunt_engine *engine = open_engine("place=none");
	unsigned first[WORKERS];
	(void)state;
	first_of(engine, false, first);
	for (unsigned thief = 0; thief < WORKERS; thief++)
		assert_int_equal(first[thief], 0xff & ~(1u << thief));
	shunt_close(&engine->sched);
}

static void near_begins_with_the_nearest(void **state)
{
	unsigned first[WORKERS], order[WORKERS];
	(void)state;
	if (!have("compact"))
		skip();
	struct shunt_engine *engine = open_engine("policy.victim=near," MACHINE);
	first_of(engine, true, first);
	for (unsigned thief = 0; thief < WORKERS; thief++) {
		assert_int_equal(first[thief], 1u << (thief ^ 1)); /* its sibling */
		ask(engine, thief, order);
		for (int i = 0; i < 3; i++)
			assert_int_equal(order[i] / 4, thief / 4); /* its package */
	}
	shunt_close(&engine->sched);
}

static void equally_near_take_turns(void **state)
{
	unsigned first[WORKERS];
	(void)state;
	if (!have("compact"))
		skip();
	struct shunt_engine *engine = open_engine(
		"policy.victim=near,place=compact,place.topology=pack:2 l3:1 core:4 pu:1");
	first_of(engine, true, first);
	for (unsigned thief = 0; thief < WORKERS; thief++)
		assert_int_equal(first[thief], (thief < 4 ? 0x0f : 0xf0) & ~(1u << thief));
	shunt_close(&engine->sched);
}

/* A task that nobody runs, put where `why` has it put on each worker in turn. */
static void finds(const char *settings, unsigned why)
{
	struct shunt_engine *engine = open_engine(settings);
	for (unsigned thief = 0; thief < WORKERS; thief++)
		for (unsigned owner = 0; owner < WORKERS; owner++) {
			struct shunt_task task = {.sp = NULL};
			if (owner == thief)
				continue;
			engine->policy->enqueue(engine->workers[owner], &task, why);
			assert_ptr_equal(shunt_thief_steal(engine->workers[thief]), &task);
			assert_null(shunt_thief_steal(engine->workers[thief]));
		}
	shunt_close(&engine->sched);
}

static void work_is_found_wherever_it_is(void **state)
{
	static const unsigned whys[] = {SHUNT_WHY_NEW, SHUNT_WHY_WAKE, SHUNT_WHY_YIELD,
		SHUNT_WHY_TIMER, SHUNT_WHY_NEW | SHUNT_FROM_EXTERNAL};
	(void)state;
	for (size_t i = 0; i < sizeof(whys) / sizeof(whys[0]); i++) {
		finds("place=none", whys[i]);
		finds("place=none,policy.lifo_slot=1", whys[i]);
		finds("place=none,policy.window=1", whys[i]);
		finds("place=none,policy.victim=near", whys[i]);
		if (have("compact"))
			finds("policy.victim=near," MACHINE, whys[i]);
	}
}

static void half_of_the_workers_search_at_most(void **state)
{
	struct shunt_engine *engine = open_engine("place=none");
	struct shunt_worker *thief = engine->workers[0];
	(void)state;
	for (unsigned others = 0; others < WORKERS; others++) {
		uint64_t before = thief->steals_tried;
		engine->searching = others;
		assert_null(shunt_thief_steal(thief));
		assert_int_equal(thief->steals_tried - before,
			others < WORKERS / 2 ? WORKERS - 1 : 0);
		assert_int_equal(engine->searching, others);
	}
	engine->searching = 0;
	shunt_close(&engine->sched);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_begins_anywhere),
		cmocka_unit_test(near_begins_with_the_nearest),
		cmocka_unit_test(equally_near_take_turns),
		cmocka_unit_test(work_is_found_wherever_it_is),
		cmocka_unit_test(half_of_the_workers_search_at_most),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
