/* SPDX-License-Identifier: MIT */
/* If this passes, the waits that openloop measures are those of queueing theory, on real
 * schedulers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "workloads/test/oracle.h"
#include "workloads/test/spied.h"

#include <math.h>

/*
 * Service is half a millisecond, beside which a scheduler is small. What it adds all the same, and
 * what other programs take, is measured in the run itself: by how much each request was injected
 * late, how long a free server took to start it, how long it really ran. Put into the recursion,
 * these must give the reported mean exactly; and their whole effect on it is the tolerance against
 * the table's own queue and, with the spread of the mean over tables, against the formula. A run
 * they disturb too much proves nothing, and is made again; after two of these the test is skipped.
 */
enum { TABLES = 200 };

/* Beyond this part of the wait, interference is no longer small. */
#define DISTURBED 0.25
/* Standard errors that the mean of one table may be off the formula; the seed is fixed. */
#define ERRORS_MOST 3.3

struct system {
	const char *name, *spec, *service;
	enum shunt_service_law law;
	unsigned servers;
	double load, wait; /* the formula's, in mean services */
};

static const struct system systems[] = {
	{"M/M/1", "asm", "exponential", SHUNT_SERVICE_EXPONENTIAL, 1, 0.7, 7.0 / 3},
	{"M/D/1", "asm", "fixed", SHUNT_SERVICE_FIXED, 1, 0.8, 2},
	{"M/G/1", "asm", "bimodal", SHUNT_SERVICE_BIMODAL, 1, 0.7, 0.7 * 1.9607882 / 0.6},
	{"M/M/2", "mn:workers=2,policy=shared,place=none", "exponential", SHUNT_SERVICE_EXPONENTIAL,
		2, 1.2, 0.5625},
};

/* ---- what the run should have given ---------------------------------------------------------- */

/* When a server became free for request i: all but servers - 1 of its predecessors had left. */
static double free_for(size_t i, unsigned servers)
{
	double latest[2] = {0, 0};
	for (size_t j = 0; j < i; j++) {
		double end = (double)seen[j].ended_ns;
		if (end > latest[0]) {
			latest[1] = latest[0];
			latest[0] = end;
		} else if (end > latest[1]) {
			latest[1] = end;
		}
	}
	return latest[servers - 1];
}

/* The mean wait of the same queue with the services, the lateness and the delays of this run. */
static double disturbed_wait(unsigned servers)
{
	double free_at[SERVERS_MOST] = {0};
	struct fcfs queue = {free_at, servers};
	double sum = 0;
	for (size_t i = 0; i < REQUESTS; i++) {
		const struct request *r = &seen[i];
		double there = at(i) + (double)r->lag_ns, free = free_for(i, servers);
		double delay = (double)r->started_ns - (there > free ? there : free);
		double start = fcfs_start(&queue, there, delay > 0 ? delay : 0,
			(double)(r->ended_ns - r->started_ns));
		sum += i < SKIP ? 0 : start - at(i);
	}
	return sum / (REQUESTS - SKIP);
}

static bool first_come_first_served(void)
{
	for (size_t i = 1; i < REQUESTS; i++)
		if (seen[i].started_ns < seen[i - 1].ended_ns)
			return false;
	return true;
}

/* The spread of the mean wait over tables of this size. */
static double spread(const struct system *system)
{
	double sum = 0, squares = 0;
	for (uint64_t seed = 1000; seed < 1000 + TABLES; seed++) {
		struct shunt_arrivals other;
		const struct shunt_arrival_plan plan = {.seed = seed,
			.count = REQUESTS,
			.rate = (uint64_t)(system->load * 1e9 / MEAN_NS + 0.5),
			.law = system->law,
			.mean_ns = MEAN_NS};
		assert_int_equal(shunt_arrivals_make(&other, &plan), 0);
		double wait = table_wait(&other, system->servers, SKIP);
		shunt_arrivals_free(&other);
		sum += wait;
		squares += wait * wait;
	}
	return sqrt((squares - sum * sum / TABLES) / (TABLES - 1));
}

static enum verdict one_run_waits(void *arg)
{
	const struct system *system = arg;
	const struct shunt_arrivals arrivals = {table, REQUESTS, 1};
	struct shunt_error err = {""};
	double reported = run_spied(system->spec, system->service, "0", system->load,
		"queueing_mean_ns", &err);
	if (reported < 0) {
		print_message("%s: %s\n", system->name, err.text);
		return UNKNOWN;
	}
	if (system->servers == 1)
		assert_true(first_come_first_served());
	double ideal = table_wait(&arrivals, system->servers, SKIP);
	double formula = system->wait * MEAN_NS, disturbed = disturbed_wait(system->servers);
	double interference = fabs(disturbed - ideal), error = spread(system);
	print_message("%s: waits %.1f us; its table %.1f, with this run's interference %.1f; "
		      "theory %.1f +- %.1f us\n",
		system->name, reported / 1e3, ideal / 1e3, disturbed / 1e3, formula / 1e3,
		error / 1e3);
	/* With one server the recursion is exact; two may swap requests that start together. */
	double exact = system->servers == 1 ? 1 : interference + 1000;
	if (fabs(reported - disturbed) > exact) {
		print_message("the reported mean is not that of the requests\n");
		return WRONG;
	}
	if (interference > DISTURBED * ideal)
		return UNKNOWN;
	if (fabs(reported - formula) > ERRORS_MOST * error + interference) {
		print_message("the mean wait is not that of the formula\n");
		return WRONG;
	}
	return RIGHT;
}

static void waits_as_theory_has_it(void **state)
{
	judge_runs(one_run_waits, *state);
}

/* The order is part of the claim: last come, first served has the same mean wait. */
static void another_order_is_noticed(void **state)
{
	struct shunt_error err = {""};
	(void)state;
	if (run_spied("asm:policy=lifo", "exponential", "0", 0.7, "queueing_mean_ns", &err) < 0)
		skip();
	assert_false(first_come_first_served());
}

int main(void)
{
	enum { SYSTEMS = sizeof(systems) / sizeof(systems[0]) };
	static struct CMUnitTest tests[SYSTEMS + 1] = {cmocka_unit_test(another_order_is_noticed)};
	for (size_t i = 0; i < SYSTEMS; i++)
		tests[i + 1] = (struct CMUnitTest){.name = systems[i].name,
			.test_func = waits_as_theory_has_it,
			.initial_state = (void *)&systems[i]};
	return _cmocka_run_group_tests("queueing_run", tests, SYSTEMS + 1, spied_find, NULL);
}
