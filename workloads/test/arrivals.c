/* SPDX-License-Identifier: MIT */
/* If this passes, an arrival table is the documented bits, has its law, and is read from a
 * trace. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/param.h"
#include "workloads/arrivals.h"
#include "workloads/variates.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SAMPLES = 100000 };

/* The critical value of Kolmogorov's statistic at one in a thousand: D sqrt(n) stays below it. */
#define KS_MOST 1.95
/* How many standard errors a moment may be off: the draws are fixed, so this cannot flicker. */
#define ERRORS_MOST 4.0

static char folder[64], path[128];
static double sample[SAMPLES];

static void make(struct shunt_arrivals *table, struct shunt_arrival_plan plan)
{
	assert_int_equal(shunt_arrivals_make(table, &plan), 0);
}

/* ---- the very bits --------------------------------------------------------------------------- */

static void a_seed_makes_the_documented_table(void **state)
{
	static const struct {
		enum shunt_service_law law;
		enum shunt_arrival_process process;
		uint64_t hash;
	} golden[] = {
		{SHUNT_SERVICE_FIXED, SHUNT_POISSON, 0x8a846311b63127b6u},
		{SHUNT_SERVICE_EXPONENTIAL, SHUNT_POISSON, 0xd342582daf92c1a1u},
		{SHUNT_SERVICE_BIMODAL, SHUNT_POISSON, 0xbd4f77ea17ab9cdeu},
		{SHUNT_SERVICE_EXTREME, SHUNT_POISSON, 0x72d4b965b144ac36u},
		{SHUNT_SERVICE_LOGNORMAL, SHUNT_POISSON, 0xe3429838b67fed3fu},
		{SHUNT_SERVICE_MIX, SHUNT_POISSON, 0xef7f9e8c6ae28e57u},
		{SHUNT_SERVICE_EXPONENTIAL, SHUNT_CONSTANT, 0x17b25c3b50879211u},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(golden) / sizeof(golden[0]); i++) {
		struct shunt_arrivals table;
		make(&table, (struct shunt_arrival_plan){.seed = 7,
				     .count = 1000,
				     .rate = 10000,
				     .process = golden[i].process,
				     .law = golden[i].law,
				     .mean_ns = 10000,
				     .sigma_q16 = 65536});
		if (shunt_arrivals_hash(&table) != golden[i].hash)
			fail_msg("law %u, process %u: %016llx", golden[i].law, golden[i].process,
				(unsigned long long)shunt_arrivals_hash(&table));
		shunt_arrivals_free(&table);
	}
}

static void any_change_is_in_the_hash(void **state)
{
	struct shunt_arrivals table;
	(void)state;
	make(&table, (struct shunt_arrival_plan){.seed = 1,
			     .count = 10,
			     .rate = 1000,
			     .law = SHUNT_SERVICE_MIX,
			     .mean_ns = 100});
	uint64_t hash = shunt_arrivals_hash(&table);
	uint64_t *field[] = {&table.arrival[0].at_ns, &table.arrival[9].service_ns,
		&table.arrival[4].class};
	for (size_t i = 0; i < 3; i++) {
		++*field[i];
		assert_true(shunt_arrivals_hash(&table) != hash);
		--*field[i];
	}
	assert_true(shunt_arrivals_hash(&table) == hash);
	shunt_arrivals_free(&table);
}

/* Comparisons over rates and laws differ in nothing else. */
static void times_and_services_are_apart(void **state)
{
	struct shunt_arrivals slow, fast, fixed;
	struct shunt_arrival_plan plan = {.seed = 3,
		.count = 1000,
		.rate = 1000,
		.law = SHUNT_SERVICE_LOGNORMAL,
		.mean_ns = 1000,
		.sigma_q16 = 65536};
	(void)state;
	make(&slow, plan);
	plan.rate = 2000;
	make(&fast, plan);
	plan.law = SHUNT_SERVICE_FIXED;
	make(&fixed, plan);
	for (size_t i = 0; i < 1000; i++) {
		assert_true(slow.arrival[i].service_ns == fast.arrival[i].service_ns);
		assert_true(fast.arrival[i].at_ns == fixed.arrival[i].at_ns);
		double ratio = (double)slow.arrival[i].at_ns / (double)fast.arrival[i].at_ns;
		assert_true(fabs(ratio - 2) < 1e-3);
	}
	shunt_arrivals_free(&slow);
	shunt_arrivals_free(&fast);
	shunt_arrivals_free(&fixed);
}

/* 2^48 ns at one a second are 281,474 requests and a bit: one more is refused, not wrapped
 * around. */
static void a_table_that_needs_more_bits_is_refused(void **state)
{
	struct shunt_arrivals table = {NULL, 0, 0};
	struct shunt_arrival_plan plan = {.seed = 1,
		.count = 281474,
		.rate = 1,
		.process = SHUNT_CONSTANT,
		.mean_ns = 1};
	(void)state;
	make(&table, plan);
	assert_true(table.arrival[281473].at_ns == UINT64_C(281474000000000));
	shunt_arrivals_free(&table);
	plan.count++;
	assert_int_equal(shunt_arrivals_make(&table, &plan), -ERANGE);
	assert_null(table.arrival);
	plan.process = SHUNT_POISSON;
	plan.count *= 2;
	assert_int_equal(shunt_arrivals_make(&table, &plan), -ERANGE);
}

/* ---- the laws -------------------------------------------------------------------------------- */

static int ascending(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static double exponential_law(double x)
{
	return x <= 0 ? 0 : -expm1(-x);
}

static double normal_law(double x)
{
	return 0.5 * erfc(-x / sqrt(2));
}

static void follows(const char *what, double (*law)(double x))
{
	double worst = 0;
	qsort(sample, SAMPLES, sizeof(double), ascending);
	for (size_t i = 0; i < SAMPLES; i++) {
		double p = law(sample[i]);
		worst = fmax(worst,
			fmax(fabs(p - (double)i / SAMPLES), fabs(p - (double)(i + 1) / SAMPLES)));
	}
	if (worst * sqrt(SAMPLES) > KS_MOST)
		fail_msg("%s: Kolmogorov's statistic is %.2f", what, worst * sqrt(SAMPLES));
}

/* `fourth` is the fourth central moment of the law: where two values are as far from the mean there
 * is no error but that of the services' whole ns. */
static void has_moments(const char *what, double mean, double variance, double fourth)
{
	double sum = 0, squares = 0;
	for (size_t i = 0; i < SAMPLES; i++)
		sum += sample[i];
	for (size_t i = 0; i < SAMPLES; i++)
		squares += (sample[i] - mean) * (sample[i] - mean);
	double mean_off = (sum / SAMPLES - mean) / sqrt(variance / SAMPLES);
	double error = sqrt(fmax(fourth - variance * variance, 0) / SAMPLES) + 1e-6 * variance;
	double variance_off = (squares / SAMPLES - variance) / error;
	if (fabs(mean_off) > ERRORS_MOST || fabs(variance_off) > ERRORS_MOST)
		fail_msg("%s: mean %g, variance %g, off by %.1f and %.1f standard errors", what,
			sum / SAMPLES, squares / SAMPLES, mean_off, variance_off);
}

static void gaps_are_exponential(void **state)
{
	struct shunt_arrivals table;
	double before = 0;
	(void)state;
	make(&table, (struct shunt_arrival_plan){.seed = 11,
			     .count = SAMPLES,
			     .rate = 1000,
			     .law = SHUNT_SERVICE_FIXED,
			     .mean_ns = 1});
	for (size_t i = 0; i < SAMPLES; i++) {
		sample[i] = ((double)table.arrival[i].at_ns - before) / 1e6;
		before = (double)table.arrival[i].at_ns;
	}
	has_moments("gaps", 1, 1, 9);
	follows("gaps", exponential_law);
	shunt_arrivals_free(&table);
}

static void constant_gaps_do_not_drift(void **state)
{
	struct shunt_arrivals table;
	(void)state;
	make(&table, (struct shunt_arrival_plan){.seed = 11,
			     .count = SAMPLES,
			     .rate = 30000, /* 33333 1/3 ns */
			     .process = SHUNT_CONSTANT,
			     .mean_ns = 1});
	for (size_t i = 0; i < SAMPLES; i++)
		assert_true(fabs((double)table.arrival[i].at_ns - (double)(i + 1) * 1e9 / 30000) <
			    1 + 2e-5 * (double)i);
	shunt_arrivals_free(&table);
}

static void take_services(enum shunt_service_law law, uint64_t mean_ns, uint64_t sigma_q16)
{
	struct shunt_arrivals table;
	make(&table, (struct shunt_arrival_plan){.seed = 13,
			     .count = SAMPLES,
			     .rate = 1000,
			     .law = law,
			     .mean_ns = mean_ns,
			     .sigma_q16 = sigma_q16});
	for (size_t i = 0; i < SAMPLES; i++)
		sample[i] = (double)table.arrival[i].service_ns / (double)mean_ns;
	shunt_arrivals_free(&table);
}

static void services_are_exponential(void **state)
{
	(void)state;
	take_services(SHUNT_SERVICE_EXPONENTIAL, 10000000, 0);
	has_moments("services", 1, 1, 9);
	follows("services", exponential_law);
}

static void services_are_lognormal(void **state)
{
	const double sigmas[] = {0.25, 1, 2};
	(void)state;
	for (size_t s = 0; s < 3; s++) {
		char what[32];
		snprintf(what, sizeof(what), "sigma=%g", sigmas[s]);
		take_services(SHUNT_SERVICE_LOGNORMAL, 1000000000, (uint64_t)(sigmas[s] * 65536));
		for (size_t i = 0; i < SAMPLES; i++)
			sample[i] = (log(sample[i]) + sigmas[s] * sigmas[s] / 2) / sigmas[s];
		has_moments(what, 0, 1, 3);
		follows(what, normal_law);
	}
}

static void two_modes_have_their_shares(void **state)
{
	static const struct {
		enum shunt_service_law law;
		uint64_t mean_ns, low_ns, high_ns;
		double share; /* of the long ones */
	} mode[] = {{SHUNT_SERVICE_BIMODAL, 50500, 1000, 100000, 0.5},
		{SHUNT_SERVICE_EXTREME, 29975000, 5000000, 5000000000, 0.005}};
	(void)state;
	for (size_t m = 0; m < 2; m++) {
		struct shunt_arrivals table;
		size_t high = 0;
		make(&table, (struct shunt_arrival_plan){.seed = 17,
				     .count = SAMPLES,
				     .rate = 1000,
				     .law = mode[m].law,
				     .mean_ns = mode[m].mean_ns});
		for (size_t i = 0; i < SAMPLES; i++) {
			const struct shunt_arrival *a = &table.arrival[i];
			assert_true(a->service_ns == (a->class ? mode[m].high_ns : mode[m].low_ns));
			high += a->class;
		}
		double p = mode[m].share, error = sqrt(p * (1 - p) / SAMPLES);
		assert_true(fabs((double)high / SAMPLES - p) < ERRORS_MOST * error);
		assert_int_equal(table.classes, 2);
		shunt_arrivals_free(&table);
	}
}

static void the_mix_is_as_published(void **state)
{
	static const uint64_t service_ns[] = {5700, 6000, 20000, 88000, 100000};
	static const double share[] = {0.44, 0.04, 0.44, 0.04, 0.04};
	struct shunt_arrivals table;
	size_t count[5] = {0};
	(void)state;
	make(&table, (struct shunt_arrival_plan){.seed = 19,
			     .count = SAMPLES,
			     .rate = 1000,
			     .law = SHUNT_SERVICE_MIX,
			     .mean_ns = 19068});
	for (size_t i = 0; i < SAMPLES; i++) {
		const struct shunt_arrival *a = &table.arrival[i];
		assert_true(a->class < 5 && a->service_ns == service_ns[a->class]);
		count[a->class]++;
	}
	for (size_t c = 0; c < 5; c++)
		assert_true(fabs((double)count[c] / SAMPLES - share[c]) <
			    ERRORS_MOST * sqrt(share[c] * (1 - share[c]) / SAMPLES));
	assert_int_equal(table.classes, 5);
	shunt_arrivals_free(&table);
}

/* The variance and the fourth central moment of a law that has a few values, in its mean. */
static void has_moments_of(const char *what, const double (*mode)[2], size_t modes)
{
	double mean = 0, variance = 0, fourth = 0;
	for (size_t i = 0; i < modes; i++)
		mean += mode[i][0] * mode[i][1];
	for (size_t i = 0; i < modes; i++) {
		double off = mode[i][1] / mean - 1;
		variance += mode[i][0] * off * off;
		fourth += mode[i][0] * off * off * off * off;
	}
	has_moments(what, 1, variance, fourth);
}

/* What a law is asked for is the mean of the services themselves, whatever the law: a load is
 * made of it. */
static void every_law_has_the_mean_asked_for_and_its_variance(void **state)
{
	static const double two[][2] = {{0.5, 1}, {0.5, 100}},
			    rare[][2] = {{0.995, 0.5}, {0.005, 500}},
			    five[][2] = {{0.44, 5.7}, {0.04, 6}, {0.44, 20}, {0.04, 88},
				    {0.04, 100}};
	const uint64_t mean_ns = 10000000;
	const double w = exp(0.25);
	(void)state;
	take_services(SHUNT_SERVICE_FIXED, mean_ns, 0);
	for (size_t i = 0; i < SAMPLES; i++)
		assert_true(sample[i] == 1);
	take_services(SHUNT_SERVICE_EXPONENTIAL, mean_ns, 0);
	has_moments("exponential", 1, 1, 9);
	take_services(SHUNT_SERVICE_BIMODAL, mean_ns, 0);
	has_moments_of("bimodal", two, 2);
	take_services(SHUNT_SERVICE_EXTREME, mean_ns, 0);
	has_moments_of("extreme", rare, 2);
	take_services(SHUNT_SERVICE_LOGNORMAL, mean_ns, 32768);
	has_moments("lognormal", 1, w - 1, (w - 1) * (w - 1) * (w * w * (w * w + 2 * w + 3) - 3));
	take_services(SHUNT_SERVICE_MIX, mean_ns, 0);
	has_moments_of("mix", five, 5);
}

static void the_exponential_function_is_right(void **state)
{
	const uint64_t scale = UINT64_C(1) << 34;
	(void)state;
	for (double x = -20; x <= 20; x += 0.013) {
		int64_t y = (int64_t)floor(x * 0x1p32);
		double expected = (double)scale * exp((double)y * 0x1p-32);
		double made = (double)shunt_scaled_exp(scale, y, UINT64_MAX);
		if (fabs(made - expected) > 1 + 3e-8 * expected)
			fail_msg("exp(%g): %.17g, not %.17g", x, made, expected);
	}
	assert_true(shunt_scaled_exp(scale, INT64_C(1) << 47, 5) == 5);
	assert_true(shunt_scaled_exp(scale, -(INT64_C(1) << 47), 5) == 0);
	assert_true(shunt_scaled_exp(0, INT64_C(1) << 47, 5) == 0);
}

/* ---- from a trace ---------------------------------------------------------------------------- */

static int read_text(struct shunt_arrivals *table, const char *text, size_t bytes, size_t most,
	struct shunt_error *err)
{
	snprintf(path, sizeof(path), "%s/trace.txt", folder);
	FILE *file = fopen(path, "wb");
	assert_non_null(file);
	assert_int_equal(fwrite(text, 1, bytes, file), bytes);
	assert_int_equal(fclose(file), 0);
	return shunt_arrivals_read(table, path, most, err);
}

static void a_trace_is_read(void **state)
{
	static const char text[] = "# arrival service class\n\n1000 50\n1000\t60 3\r\n 2500,70,1\n"
				   "  # more\n2500 80";
	static const struct shunt_arrival expected[] = {{0, 50, 0}, {0, 60, 3}, {1500, 70, 1},
		{1500, 80, 0}};
	struct shunt_arrivals table;
	struct shunt_error err = {""};
	(void)state;
	for (size_t most = 0; most < 5; most++) {
		size_t count = most ? most : 4;
		if (read_text(&table, text, sizeof(text) - 1, most, &err))
			fail_msg("%s", err.text);
		assert_int_equal(table.count, count);
		assert_memory_equal(table.arrival, expected, count * sizeof(*expected));
		assert_int_equal(table.classes, most == 1 ? 1 : 4);
		shunt_arrivals_free(&table);
	}
}

static void a_trace_is_scaled_to_a_load(void **state)
{
	static const struct shunt_arrival trace[] = {{0, 50, 0}, {700, 60, 3}, {700, 70, 1},
		{1999, 20, 0}};
	static const double loads[] = {1e-6, 0.05, 0.1, 0.5, 2};
	(void)state;
	for (size_t i = 0; i < sizeof(loads) / sizeof(loads[0]); i++) {
		struct shunt_arrival copy[4];
		struct shunt_arrivals table = {copy, 4, 4};
		double factor = 200 / 2000.0 / loads[i];
		memcpy(copy, trace, sizeof(trace));
		assert_int_equal(shunt_arrivals_stretch(&table, loads[i]), 0);
		for (size_t k = 0; k < 4; k++) {
			double wanted = (double)trace[k].at_ns * factor;
			assert_true((double)copy[k].at_ns <= wanted * (1 + 1e-9));
			assert_true((double)copy[k].at_ns >= wanted * (1 - 1e-9) - 1);
			assert_true(copy[k].service_ns == trace[k].service_ns);
			assert_true(copy[k].class == trace[k].class);
		}
	}
}

static void a_load_that_no_trace_can_have_is_refused(void **state)
{
	static const double loads[] = {0, 1e-10, 1e-9, 1e18, NAN};
	struct shunt_arrival long_one[] = {{0, 1000000, 0}, {1 << 20, 1000000, 0}};
	struct shunt_arrival at_once[] = {{0, 5, 0}, {0, 5, 0}};
	struct shunt_arrivals table = {long_one, 2, 1}, together = {at_once, 2, 1};
	(void)state;
	for (size_t i = 0; i < sizeof(loads) / sizeof(loads[0]); i++) {
		int rc = shunt_arrivals_stretch(&table, loads[i]);
		/* 2 ms of work at 10^-9 are 23 days: long, but a time. */
		assert_int_equal(rc, loads[i] == 1e-9 ? 0 : -ERANGE);
		long_one[1].at_ns = 1 << 20;
	}
	assert_int_equal(shunt_arrivals_stretch(&together, 0.5), -ERANGE);
}

static void refused(const char *text, size_t bytes, int code, const char *line, const char *value,
	const char *remedy)
{
	struct shunt_arrivals table = {NULL, 4711, 0};
	struct shunt_error err = {""};
	int rc = read_text(&table, text, bytes, 0, &err);
	if (rc != code)
		fail_msg("'%s': %d (%s), not %d", text, rc, err.text, code);
	if (!strstr(err.text, path) || !strstr(err.text, line) || !strstr(err.text, value) ||
		!strstr(err.text, remedy))
		fail_msg("'%s' should name file, %s, %s and %s", err.text, line, value, remedy);
	assert_int_equal(table.count, 4711);
}
#define REFUSED(text, ...) refused(text, sizeof(text) - 1, __VA_ARGS__)

static void a_bad_line_is_named(void **state)
{
	(void)state;
	REFUSED("1 2\n3\n", -EINVAL, "line 2", "'3'", "arrival_ns service_ns [class]");
	REFUSED("1 2\n\n3 4 5 6\n", -EINVAL, "line 3", "'6'", "three fields");
	REFUSED("1.5 2\n", -EINVAL, "line 1", "'1.5'", "whole nanoseconds");
	REFUSED("1 -2\n", -EINVAL, "line 1", "'-2'", "decimal integer");
	REFUSED("at,service\n1,2\n", -EINVAL, "line 1", "'at'", "decimal integer");
	REFUSED("5 1\n4 1\n", -EINVAL, "line 2", "'4'", "sort");
	REFUSED("5 1\n9 1\n8 1\n", -EINVAL, "line 3", "'8'", "sort");
	REFUSED("1 0\n", -ERANGE, "line 1", "'0'", "units");
	REFUSED("1 3600000000001\n", -ERANGE, "line 1", "'3600000000001'", "units");
	REFUSED("1 1 8\n", -ERANGE, "line 1", "'8'", "0 to 7");
	REFUSED("99999999999999999999 1\n", -ERANGE, "line 1", "'99999999999999999999'", "units");
	REFUSED("0 1\n9100000000000000 1\n", -ERANGE, "line 2", "'9100000000000000'",
		"nanoseconds");
	REFUSED("1 2\0\n", -EINVAL, "line 1", "'1 2'", "not text");
	REFUSED("", -EINVAL, "", "", "no request");
	REFUSED("# nothing\n", -EINVAL, "", "", "no request");
}

static void what_is_no_file_is_refused(void **state)
{
	struct shunt_arrivals table;
	struct shunt_error err = {""};
	(void)state;
	assert_int_equal(shunt_arrivals_read(&table, "/no/such/file", 0, &err), -ENOENT);
	assert_non_null(strstr(err.text, "/no/such/file"));
	assert_int_equal(shunt_arrivals_read(&table, folder, 0, &err), -EISDIR);
	assert_int_equal(shunt_arrivals_read(&table, "/dev/null", 0, &err), -EINVAL);
}

static int make_folder(void **state)
{
	(void)state;
	strcpy(folder, "/tmp/shunt-arrivals-XXXXXX");
	return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
	(void)state;
	unlink(path);
	return rmdir(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_seed_makes_the_documented_table),
		cmocka_unit_test(any_change_is_in_the_hash),
		cmocka_unit_test(times_and_services_are_apart),
		cmocka_unit_test(a_table_that_needs_more_bits_is_refused),
		cmocka_unit_test(gaps_are_exponential),
		cmocka_unit_test(constant_gaps_do_not_drift),
		cmocka_unit_test(services_are_exponential),
		cmocka_unit_test(services_are_lognormal),
		cmocka_unit_test(two_modes_have_their_shares),
		cmocka_unit_test(the_mix_is_as_published),
		cmocka_unit_test(every_law_has_the_mean_asked_for_and_its_variance),
		cmocka_unit_test(the_exponential_function_is_right),
		cmocka_unit_test(a_trace_is_read),
		cmocka_unit_test(a_trace_is_scaled_to_a_load),
		cmocka_unit_test(a_load_that_no_trace_can_have_is_refused),
		cmocka_unit_test(a_bad_line_is_named),
		cmocka_unit_test(what_is_no_file_is_refused),
	};
	return _cmocka_run_group_tests("arrivals", tests, sizeof(tests) / sizeof(tests[0]),
		make_folder, remove_folder);
}
