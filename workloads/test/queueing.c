/* SPDX-License-Identifier: MIT */
/* If this passes, a queue fed by the tables has the mean wait that theory gives it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/rng.h"
#include "workloads/test/oracle.h"

#include <math.h>

enum { TABLES = 400, REQUESTS = 3000, SKIP = 1000 };

/* The mean of TABLES independent tables may be off by this many standard errors, which are
 * taken from the spread of the tables themselves. Seeds are fixed: it cannot flicker. */
#define ERRORS_MOST 3.3

struct system {
	const char *name;
	enum shunt_service_law law;
	unsigned servers;
	double load, squared_cv; /* NAN: of M/M/2, which has its own formula */
};

static const struct system systems[] = {
	{"M/M/1 at 0.5", SHUNT_SERVICE_EXPONENTIAL, 1, 0.5, 1},
	{"M/M/1 at 0.8", SHUNT_SERVICE_EXPONENTIAL, 1, 0.8, 1},
	{"M/D/1 at 0.8", SHUNT_SERVICE_FIXED, 1, 0.8, 0},
	/* (2^2 + 200^2) / 2 / 101^2 - 1 */
	{"M/G/1 bimodal at 0.7", SHUNT_SERVICE_BIMODAL, 1, 0.7, 0.9607882},
	{"M/G/1 mix at 0.7", SHUNT_SERVICE_MIX, 1, 0.7, 1.4794384},
	{"M/G/1 lognormal at 0.6", SHUNT_SERVICE_LOGNORMAL, 1, 0.6, 0.2840254}, /* e^(1/4) - 1 */
	{"M/M/2 at 1.0", SHUNT_SERVICE_EXPONENTIAL, 2, 1.0, NAN},
	{"M/M/2 at 1.6", SHUNT_SERVICE_EXPONENTIAL, 2, 1.6, NAN},
};

static double wait_of(const struct system *system, uint64_t seed)
{
	const uint64_t mean_ns = 1000000;
	struct shunt_arrivals table;
	const struct shunt_arrival_plan plan = {.seed = seed,
		.count = REQUESTS,
		.rate = (uint64_t)(system->load * 1e9 / (double)mean_ns),
		.law = system->law,
		.mean_ns = mean_ns,
		.sigma_q16 = 32768};
	assert_int_equal(shunt_arrivals_make(&table, &plan), 0);
	double wait = table_wait(&table, system->servers, SKIP) / (double)mean_ns;
	shunt_arrivals_free(&table);
	return wait;
}

static void waits_as_theory_has_it(void **state)
{
	const struct system *system = *state;
	double expected = isnan(system->squared_cv) ? wait_mm2(system->load, 1)
						    : wait_mg1(system->load, 1, system->squared_cv);
	double sum = 0, squares = 0;
	for (uint64_t seed = 1; seed <= TABLES; seed++) {
		double wait = wait_of(system, seed);
		sum += wait;
		squares += wait * wait;
	}
	double mean = sum / TABLES;
	double error = sqrt((squares / TABLES - mean * mean) / (TABLES - 1));
	if (fabs(mean - expected) > ERRORS_MOST * error)
		fail_msg("%s: waits %.4f services, theory %.4f, standard error %.4f", system->name,
			mean, expected, error);
	print_message("%s: waits %.4f services, theory %.4f, standard error %.4f\n", system->name,
		mean, expected, error);
}

static void near(double value, double expected)
{
	assert_true(fabs(value - expected) < 1e-9);
}

static void the_formulas_are_the_published_ones(void **state)
{
	(void)state;
	near(wait_mg1(0.5, 1, 1), 1);
	near(wait_mg1(0.5, 1, 0), 0.5);
	near(wait_mg1(0.9, 10, 1), 90);
	near(wait_mm2(1, 3), 1); /* C(2, 1) = 1/3 */
	near(wait_mm2(1.5, 14), 18);
}

/* Two servers, by hand. */
static void a_small_queue_is_right(void **state)
{
	double free_at[2] = {0};
	struct fcfs queue = {free_at, 2};
	(void)state;
	near(fcfs_start(&queue, 0, 0, 10), 0);
	near(fcfs_start(&queue, 1, 0, 3), 1);
	near(fcfs_start(&queue, 2, 0, 5), 4);
	near(fcfs_start(&queue, 3, 0.5, 5), 9.5);
	near(fcfs_start(&queue, 9, 0, 1), 10);
	near(fcfs_start(&queue, 30, 0, 1), 30);
}

/* Many servers: the earliest one found by looking at all. */
static void the_first_free_server_is_found_among_many(void **state)
{
	enum { MANY = 7 };
	double free_at[MANY] = {0}, all[MANY] = {0}, at = 0;
	struct fcfs queue = {free_at, MANY};
	struct shunt_rng rng;
	(void)state;
	shunt_rng_init(&rng, 1);
	for (int i = 0; i < 3000; i++) {
		double service = (double)shunt_rng_below(&rng, 1000);
		unsigned first = 0;
		at += (double)shunt_rng_below(&rng, 150);
		for (unsigned s = 1; s < MANY; s++)
			first = all[s] < all[first] ? s : first;
		double start = at > all[first] ? at : all[first];
		all[first] = start + service;
		near(fcfs_start(&queue, at, 0, service), start);
	}
}

int main(void)
{
	enum { SYSTEMS = sizeof(systems) / sizeof(systems[0]) };
	enum { OTHERS = 3 };
	static struct CMUnitTest tests[SYSTEMS + OTHERS] = {
		cmocka_unit_test(the_formulas_are_the_published_ones),
		cmocka_unit_test(a_small_queue_is_right),
		cmocka_unit_test(the_first_free_server_is_found_among_many),
	};
	for (size_t i = 0; i < SYSTEMS; i++)
		tests[i + OTHERS] = (struct CMUnitTest){.name = systems[i].name,
			.test_func = waits_as_theory_has_it,
			.initial_state = (void *)&systems[i]};
	return _cmocka_run_group_tests("queueing", tests, SYSTEMS + OTHERS, NULL, NULL);
}
