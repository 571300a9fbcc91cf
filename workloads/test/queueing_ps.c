/* SPDX-License-Identifier: MIT */
/* If this passes, a small quantum shares the processor: mean responses are those of M/G/1-PS. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "workloads/test/oracle.h"
#include "workloads/test/spied.h"

/*
 * Under processor sharing the mean response is mean / (1 - load), whatever the law of service
 * (Kleinrock 1967); first come, first served would give fixed services much less and lognormal
 * ones of sigma 1 more. A quantum of a twenty-fifth of the mean comes close to sharing.
 *
 * What the scheduler adds and other programs take shows in how long the busy periods were: in each,
 * all work is stretched by the length measured over the length that the table gives. The same
 * queue is then worked out, in turns of one quantum, with the stretched work; what that changes
 * against true sharing of the table's own work is the tolerance.
 */
enum { TABLES = 200, QUANTUM_NS = 20000 };

#define SPEC "asm:quantum=20us"

#define DISTURBED   0.25
#define ERRORS_MOST 3.3

static const struct {
	const char *service;
	enum shunt_service_law law;
} laws[] = {{"fixed", SHUNT_SERVICE_FIXED}, {"bimodal", SHUNT_SERVICE_BIMODAL},
	{"exponential", SHUNT_SERVICE_EXPONENTIAL}};

static const double load = 0.7;

/* ---- queues worked out ----------------------------------------------------------------------- */

/* A queue of requests that take turns of `turn_ns`: at 0+, true sharing. */
struct turns {
	size_t line[REQUESTS]; /* a ring */
	size_t head, count;
	double left[REQUESTS];
};

static struct turns turns;

/* The mean response of requests that need work[i] from arrive[i] on. */
static double mean_response(const double *arrive, const double *work, double turn_ns)
{
	double now = 0, sum = 0;
	size_t next = 0, done = 0;
	turns.head = turns.count = 0;
	memcpy(turns.left, work, sizeof(turns.left));
	while (done < REQUESTS) {
		if (!turns.count)
			now = arrive[next];
		for (; next < REQUESTS && arrive[next] <= now; next++)
			turns.line[(turns.head + turns.count++) % REQUESTS] = next;
		size_t i = turns.line[turns.head];
		double turn = turns.left[i] < turn_ns ? turns.left[i] : turn_ns;
		now += turn;
		turns.left[i] -= turn;
		/* Those that came meanwhile stand before the one that has had its turn. */
		for (; next < REQUESTS && arrive[next] <= now; next++)
			turns.line[(turns.head + turns.count++) % REQUESTS] = next;
		turns.head = (turns.head + 1) % REQUESTS;
		if (turns.left[i] > 0) {
			turns.line[(turns.head + turns.count - 1) % REQUESTS] = i;
			continue;
		}
		turns.count--;
		done++;
		sum += i < SKIP ? 0 : now - arrive[i];
	}
	return sum / (REQUESTS - SKIP);
}

static void of_table(const struct shunt_arrival *arrivals, double *arrive, double *work)
{
	for (size_t i = 0; i < REQUESTS; i++) {
		arrive[i] = (double)arrivals[i].at_ns;
		work[i] = (double)arrivals[i].service_ns;
	}
}

/* The work of each busy period, stretched to the length that it had. */
static void stretch(double *arrive, double *work)
{
	for (size_t first = 0, next; first < REQUESTS; first = next) {
		double end = 0, sum = 0;
		for (next = first; next < REQUESTS && (next == first || at(next) < end); next++) {
			double ended = (double)seen[next].ended_ns;
			end = ended > end ? ended : end;
			sum += work[next];
		}
		double there = at(first) + (double)seen[first].lag_ns;
		for (size_t i = first; i < next; i++)
			work[i] *= (end - there) / sum;
		arrive[first] = there - (double)start_ns;
		for (size_t i = first + 1; i < next && arrive[i] < arrive[i - 1]; i++)
			arrive[i] = arrive[i - 1];
	}
}

static double spread(enum shunt_service_law law)
{
	static double arrive[REQUESTS], work[REQUESTS];
	double sum = 0, squares = 0;
	for (uint64_t seed = 1000; seed < 1000 + TABLES; seed++) {
		struct shunt_arrivals other;
		const struct shunt_arrival_plan plan = {.seed = seed,
			.count = REQUESTS,
			.rate = (uint64_t)(load * 1e9 / MEAN_NS + 0.5),
			.law = law,
			.mean_ns = MEAN_NS};
		assert_int_equal(shunt_arrivals_make(&other, &plan), 0);
		of_table(other.arrival, arrive, work);
		double response = mean_response(arrive, work, QUANTUM_NS);
		shunt_arrivals_free(&other);
		sum += response;
		squares += response * response;
	}
	return sqrt((squares - sum * sum / TABLES) / (TABLES - 1));
}

/* ---- tests ----------------------------------------------------------------------------------- */

static void turns_are_right(void **state)
{
	static double arrive[REQUESTS], work[REQUESTS];
	(void)state;
	/* All but the last two come alone; those share 4 + 4 in turns of 1, and end at 7 and 8. */
	for (size_t i = 0; i < REQUESTS; i++) {
		arrive[i] = 10.0 * (double)i;
		work[i] = 4;
	}
	arrive[REQUESTS - 1] = arrive[REQUESTS - 2];
	double expected = (4.0 * (REQUESTS - SKIP - 2) + 7 + 8) / (REQUESTS - SKIP);
	assert_true(fabs(mean_response(arrive, work, 1) - expected) < 1e-6);
	expected = (4.0 * (REQUESTS - SKIP - 2) + 4 + 8) / (REQUESTS - SKIP);
	assert_true(fabs(mean_response(arrive, work, 100) - expected) < 1e-6);
}

static enum verdict one_run_responds(void *arg)
{
	static double arrive[REQUESTS], work[REQUESTS];
	const size_t which = *(const size_t *)arg;
	const double formula = MEAN_NS / (1 - load);
	struct shunt_error err = {""};
	double reported =
		run_spied(SPEC, laws[which].service, "5us", load, "response_mean_ns", &err);
	if (reported < 0) {
		print_message("%s: %s\n", laws[which].service, err.text);
		return UNKNOWN;
	}
	of_table(table, arrive, work);
	double shared = mean_response(arrive, work, 1000);
	double served = mean_response(arrive, work, 1e18); /* first come, first served */
	stretch(arrive, work);
	double disturbed = mean_response(arrive, work, QUANTUM_NS);
	double interference = fabs(disturbed - shared), error = spread(laws[which].law);
	print_message("%s: responds in %.1f us; its table %.1f shared (%.1f in order), with this "
		      "run's interference %.1f; theory %.1f +- %.1f us\n",
		laws[which].service, reported / 1e3, shared / 1e3, served / 1e3, disturbed / 1e3,
		formula / 1e3, error / 1e3);
	if (interference > DISTURBED * shared)
		return UNKNOWN;
	if (fabs(reported - formula) > ERRORS_MOST * error + interference) {
		print_message("the mean response is not that of the formula\n");
		return WRONG;
	}
	/* Within the table there is no chance: what is left is where in a busy period the machine
	 * was disturbed, which cannot matter more than that it was. */
	if (fabs(reported - disturbed) > interference + QUANTUM_NS) {
		print_message("the mean response is not that of the table's own work, in turns\n");
		return WRONG;
	}
	return RIGHT;
}

static void responds_as_sharing_does(void **state)
{
	judge_runs(one_run_responds, *state);
}

int main(void)
{
	enum { LAWS = sizeof(laws) / sizeof(laws[0]) };
	static size_t which[LAWS];
	static struct CMUnitTest tests[LAWS + 1] = {cmocka_unit_test(turns_are_right)};
	for (size_t i = 0; i < LAWS; i++) {
		which[i] = i;
		tests[i + 1] = (struct CMUnitTest){.name = laws[i].service,
			.test_func = responds_as_sharing_does,
			.initial_state = &which[i]};
	}
	return _cmocka_run_group_tests("queueing_ps", tests, LAWS + 1, spied_find, NULL);
}
