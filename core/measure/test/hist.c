/* SPDX-License-Identifier: MIT */
/* If this passes, a histogram counts every value in the bucket its header says, and merges
 * without error. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/measure/hist.h"

#include <stdlib.h>

static int setup(void **state)
{
	static struct shunt_hist hist;

	*state = &hist;
	return shunt_hist_init(&hist);
}

static int teardown(void **state)
{
	shunt_hist_fini(*state);
	return 0;
}

static void every_bucket_follows_the_last_one(void **state)
{
	(void)state;
	assert_int_equal(shunt_hist_low(0), 0);
	for (unsigned i = 0; i < SHUNT_HIST_BUCKETS; i++) {
		uint64_t low = shunt_hist_low(i), high = shunt_hist_high(i);

		assert_true(low <= high);
		assert_int_equal(shunt_hist_index(low), i);
		assert_int_equal(shunt_hist_index(high), i);
		assert_true((high - low) * 1000 <= low);
		if (i + 1 < SHUNT_HIST_BUCKETS)
			assert_int_equal(shunt_hist_low(i + 1), high + 1);
	}
	assert_int_equal(shunt_hist_high(SHUNT_HIST_BUCKETS - 1), SHUNT_HIST_MAX);
}

static void known_indices_stay(void **state)
{
	(void)state;
	/* Old records are read by the same rule for ever. */
	assert_int_equal(shunt_hist_index(2047), 2047);
	assert_int_equal(shunt_hist_index(2048), 2048);
	assert_int_equal(shunt_hist_index(2049), 2048);
	assert_int_equal(shunt_hist_index(4096), 3072);
	assert_int_equal(shunt_hist_index(1000000), 11169);
	assert_int_equal(shunt_hist_index(100000000), 17909);
}

/* The rule of the header for 2 digits, written down once more. */
static unsigned coarse_index(uint64_t value)
{
	unsigned shift = 0;

	while (value >> shift >= 256)
		shift++;
	return 128 * shift + (unsigned)(value >> shift);
}

static uint64_t coarse_low(unsigned index)
{
	return index < 256 ? index : (uint64_t)(128 + index % 128) << (index / 128 - 1);
}

static uint64_t coarse_high(unsigned index)
{
	return coarse_low(index + 1) - 1;
}

static void a_coarse_bucket_is_a_union_of_fine_ones(void **state)
{
	unsigned last = 0;

	(void)state;
	assert_int_equal(shunt_hist_merged_index(0, 2), 0);
	for (unsigned i = 0; i < SHUNT_HIST_BUCKETS; i++) {
		unsigned index = shunt_hist_merged_index(i, 2);
		bool first = i == 0 || index != last;

		assert_int_equal(shunt_hist_merged_index(i, 3), i);
		/* All of a fine bucket is in one coarse one, */
		assert_int_equal(index, coarse_index(shunt_hist_low(i)));
		assert_int_equal(index, coarse_index(shunt_hist_high(i)));
		/* which begins and ends where a fine one does, and none is left out. */
		assert_true(first ? shunt_hist_low(i) == coarse_low(index) : index == last);
		if (first && i > 0) {
			assert_int_equal(index, last + 1);
			assert_int_equal(shunt_hist_high(i - 1), coarse_high(last));
		}
		assert_true((coarse_high(index) - coarse_low(index)) * 100 <= coarse_low(index));
		last = index;
	}
	assert_int_equal(coarse_high(last), SHUNT_HIST_MAX);
}

static void every_value_is_in_its_coarse_bucket(void **state)
{
	uint64_t x = 88172645463325252u;

	(void)state;
	for (int i = 0; i < 1000000; i++) {
		x ^= x << 13, x ^= x >> 7, x ^= x << 17;
		uint64_t value = x >> (2 + x % 60);
		unsigned index = shunt_hist_merged_index(shunt_hist_index(value), 2);

		assert_int_equal(index, coarse_index(value));
		assert_true(coarse_low(index) <= value && value <= coarse_high(index));
	}
	assert_int_equal(shunt_hist_merged_index(shunt_hist_index(255), 2), 255);
	assert_int_equal(shunt_hist_merged_index(shunt_hist_index(256), 2), 256);
	assert_int_equal(shunt_hist_merged_index(shunt_hist_index(257), 2), 256);
	assert_int_equal(shunt_hist_merged_index(shunt_hist_index(1000000), 2), 1780);
}

static void extremes_and_sum_are_exact(void **state)
{
	struct shunt_hist *hist = *state;

	shunt_hist_record(hist, 0);
	shunt_hist_record(hist, 123456789);
	shunt_hist_record(hist, 5);
	assert_int_equal(hist->count, 3);
	assert_int_equal(hist->min, 0);
	assert_int_equal(hist->max, 123456789);
	assert_true(hist->sum == 123456794);
	assert_float_equal(shunt_hist_mean(hist), 41152264.667, 0.001);
}

static void faulty_values_are_counted_as_such(void **state)
{
	struct shunt_hist *hist = *state;

	shunt_hist_record(hist, -1);
	shunt_hist_record(hist, INT64_MIN);
	shunt_hist_record(hist, INT64_MAX);
	shunt_hist_record(hist, (int64_t)SHUNT_HIST_MAX + 1);
	shunt_hist_record(hist, (int64_t)SHUNT_HIST_MAX);
	assert_int_equal(hist->count, 5);
	assert_int_equal(hist->negative, 2);
	assert_int_equal(hist->over, 2);
	assert_int_equal(hist->bucket[0], 2);
	assert_int_equal(hist->bucket[SHUNT_HIST_BUCKETS - 1], 3);
	assert_true(hist->sum == (unsigned __int128)SHUNT_HIST_MAX * 3);
}

static int ascending(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static void quantiles_bound_the_order_statistic_from_above(void **state)
{
	static const unsigned ppm[] = {0, 1, 500000, 900000, 990000, 999000, 999900, 1000000};
	enum { N = 20000 };
	struct shunt_hist *hist = *state;
	uint64_t *value = calloc(N, sizeof(*value)), x = 88172645463325252u;

	for (int i = 0; i < N; i++) {
		x ^= x << 13, x ^= x >> 7, x ^= x << 17;
		value[i] = x >> (24 + x % 30);
		shunt_hist_record(hist, (int64_t)value[i]);
	}
	qsort(value, N, sizeof(*value), ascending);
	for (size_t i = 0; i < sizeof(ppm) / sizeof(*ppm); i++) {
		uint64_t rank = ((uint64_t)N * ppm[i] + 999999) / 1000000;
		uint64_t exact = value[rank ? rank - 1 : 0];
		uint64_t got = shunt_hist_quantile(hist, ppm[i]);

		assert_true(got >= exact);
		assert_true((got - exact) * 1000 <= exact);
	}
	assert_int_equal(shunt_hist_quantile(hist, 1000000), value[N - 1]);
	free(value);
}

static void ranks_do_not_suffer_from_binary_fractions(void **state)
{
	struct shunt_hist *hist = *state;

	/* 0.07 * 100 is 7.000000000000001 in doubles, whose ceiling is 8. */
	for (int i = 1; i <= 100; i++)
		shunt_hist_record(hist, i);
	assert_int_equal(shunt_hist_quantile(hist, 70000), 7);
	assert_int_equal(shunt_hist_quantile(hist, 500000), 50);
	assert_int_equal(shunt_hist_quantile(hist, 990000), 99);
	assert_int_equal(shunt_hist_quantile(hist, 990001), 100);
}

static void an_empty_one_is_harmless(void **state)
{
	struct shunt_hist *hist = *state;
	unsigned index = 0;
	uint64_t count;

	assert_int_equal(shunt_hist_quantile(hist, 500000), 0);
	assert_false(shunt_hist_quantile_known(hist, 500000));
	assert_false(shunt_hist_quantile_known(hist, 1000000));
	assert_false(shunt_hist_next(hist, &index, &count));
	assert_float_equal(shunt_hist_mean(hist), 0, 0);
}

static void quantiles_without_samples_are_withheld(void **state)
{
	struct shunt_hist *hist = *state;

	assert_int_equal(shunt_hist_samples_needed(500000), 6);
	assert_int_equal(shunt_hist_samples_needed(900000), 36);
	assert_int_equal(shunt_hist_samples_needed(990000), 368);
	assert_int_equal(shunt_hist_samples_needed(999000), 3688);
	assert_int_equal(shunt_hist_samples_needed(999900), 36887);
	assert_int_equal(shunt_hist_samples_needed(10000), 368);
	assert_int_equal(shunt_hist_samples_needed(1000000), 1);
	assert_int_equal(shunt_hist_samples_needed(0), 1);
	for (int i = 0; i < 367; i++)
		shunt_hist_record(hist, i);
	assert_false(shunt_hist_quantile_known(hist, 990000));
	shunt_hist_record(hist, 367);
	assert_true(shunt_hist_quantile_known(hist, 990000));
}

static void merging_equals_recording_in_one(void **state)
{
	struct shunt_hist *both = *state, a, b;
	unsigned i = 0, j = 0;
	uint64_t n = 0, m = 0;

	assert_int_equal(shunt_hist_init(&a), 0);
	assert_int_equal(shunt_hist_init(&b), 0);
	for (int64_t v = -3; v < 5000000; v += 997) {
		shunt_hist_record(both, v);
		shunt_hist_record(v % 3 ? &a : &b, v);
	}
	shunt_hist_record(both, INT64_MAX);
	shunt_hist_record(&b, INT64_MAX);
	shunt_hist_merge(&a, &b);
	assert_int_equal(a.count, both->count);
	assert_int_equal(a.negative, both->negative);
	assert_int_equal(a.over, 1);
	assert_int_equal(a.min, both->min);
	assert_int_equal(a.max, both->max);
	assert_true(a.sum == both->sum);
	for (; shunt_hist_next(both, &i, &n); i++, j++) {
		assert_true(shunt_hist_next(&a, &j, &m));
		assert_int_equal(i, j);
		assert_int_equal(n, m);
	}
	assert_false(shunt_hist_next(&a, &j, &m));
	shunt_hist_reset(&a);
	assert_int_equal(a.count, 0);
	assert_int_equal(a.bucket[0], 0);
	shunt_hist_fini(&a);
	shunt_hist_fini(&b);
}

int main(void)
{
#define EACH(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_bucket_follows_the_last_one),
		cmocka_unit_test(known_indices_stay),
		cmocka_unit_test(a_coarse_bucket_is_a_union_of_fine_ones),
		cmocka_unit_test(every_value_is_in_its_coarse_bucket),
		EACH(extremes_and_sum_are_exact),
		EACH(faulty_values_are_counted_as_such),
		EACH(quantiles_bound_the_order_statistic_from_above),
		EACH(ranks_do_not_suffer_from_binary_fractions),
		EACH(an_empty_one_is_harmless),
		EACH(quantiles_without_samples_are_withheld),
		EACH(merging_equals_recording_in_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
