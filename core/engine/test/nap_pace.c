/* SPDX-License-Identifier: MIT */
/*
 * What a thief believes of its victim's pace: a short nap that saw next to nothing of a busy victim
 * is followed by longer ones, up to an eighth of the longest; and what those saw is believed.
 *
 * The victim's switches and the length of each nap are given, so that nothing depends on time.
 */
#include "core/engine/thief.h"
#include "core/engine/worker.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>

#define US   INT64_C(1000)
#define MOST (1000 * US)

static struct shunt_engine engine;
static struct shunt_worker thief, prey;

static int begin(void **state)
{
	(void)state;
	memset(&engine, 0, sizeof(engine));
	memset(&thief, 0, sizeof(thief));
	memset(&prey, 0, sizeof(prey));
	engine.nap_most_ns = MOST;
	thief.engine = prey.engine = &engine;
	thief.backoff.prey = &prey;
	return 0;
}

/* Takes one nap, in which the victim makes `switches` switches. Returns how long it was meant to
 * be. */
static int64_t nap(uint64_t switches)
{
	int64_t slept_ns = shunt_thief_nap_begin(&thief);
	prey.switches += switches;
	shunt_thief_nap_end(&thief, slept_ns);
	return slept_ns;
}

/* The victim was found to make 10,000 switches in a millisecond. */
static void know_a_pace(void)
{
	thief.backoff.nap_ns = MOST;
	assert_int_equal(nap(10000), MOST);
	assert_int_equal(thief.backoff.base, 10000);
	thief.backoff.nap_ns = 0;
}

static void a_short_nap_that_saw_nothing_is_repeated(void **state)
{
	(void)state;
	know_a_pace();
	static const int64_t naps_ns[] = {20 * US, 40 * US, 80 * US};
	for (size_t i = 0; i < sizeof(naps_ns) / sizeof(naps_ns[0]); i++) {
		assert_int_equal(nap(1), naps_ns[i]);
		assert_int_equal(thief.backoff.base, 10000);
		assert_true(thief.backoff.nap_due);
	}
	assert_int_equal(nap(1), MOST / 8);
	assert_false(thief.backoff.nap_due);
	assert_int_equal(thief.backoff.base, 1000000 / (MOST / 8));
	/* It is the pace now: nothing to doubt, and the naps are short again. */
	assert_int_equal(nap(0), 20 * US);
	assert_false(thief.backoff.nap_due);
}

static void a_pace_found_again_ends_the_doubt(void **state)
{
	(void)state;
	know_a_pace();
	assert_int_equal(nap(0), 20 * US);
	assert_int_equal(nap(300), 40 * US);
	assert_false(thief.backoff.nap_due);
	assert_int_equal(thief.backoff.base, 7500);
	assert_int_equal(nap(150), 20 * US);
}

static void a_slower_pace_is_believed(void **state)
{
	(void)state;
	know_a_pace();
	assert_int_equal(nap(50), 20 * US); /* a quarter of what was expected */
	assert_false(thief.backoff.nap_due);
	assert_int_equal(thief.backoff.base, 2500);
}

/* Of a victim that makes 100 switches in a millisecond a short nap expects two. */
static void too_few_say_nothing(void **state)
{
	(void)state;
	thief.backoff.nap_ns = MOST;
	nap(100);
	thief.backoff.nap_ns = 0;
	assert_int_equal(nap(0), 20 * US);
	assert_false(thief.backoff.nap_due);
	assert_int_equal(thief.backoff.base, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(a_short_nap_that_saw_nothing_is_repeated, begin),
		cmocka_unit_test_setup(a_pace_found_again_ends_the_doubt, begin),
		cmocka_unit_test_setup(a_slower_pace_is_believed, begin),
		cmocka_unit_test_setup(too_few_say_nothing, begin),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
