/* SPDX-License-Identifier: MIT */
/*
 * A log-linear histogram of nanoseconds: every value to 3 significant digits, at constant cost.
 *
 * Values 0..2047 have a bucket each. From there on every power of two is cut into 1,024 equal
 * buckets, so that a bucket is never wider than 1/1024 of its values. With
 * shift = max(0, bit length of v - 11):
 *
 *   index(v) = 1024 * shift + (v >> shift)
 *   index i holds  low(i) .. low(i) + 2^shift - 1,  where for i < 2048 shift = 0 and low = i,
 *   else           shift = i / 1024 - 1  and  low = (1024 + i mod 1024) << shift
 *
 * which is all that a reader of a record needs. A record may keep 2 digits instead of 3; then 128
 * stands for 1,024, 256 for 2048 and 8 for 11 in this rule. Such a bucket is a union of whole ones,
 * so that counts are merged without error (shunt_hist_merged_index).
 *
 * Values beyond 2^62 - 1 (146 years) are counted in the last bucket and in `over`; values below
 * zero, which only a faulty probe can give, are counted as zero and in `negative`. Neither is
 * silent, and the sum and the extremes hold what was counted.
 *
 * Idea: Gil Tene's HdrHistogram. Not thread-safe: one per worker, merged afterwards.
 */
#ifndef SHUNT_CORE_MEASURE_HIST_H
#define SHUNT_CORE_MEASURE_HIST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SHUNT_HIST_DIGITS    3
#define SHUNT_HIST_HALF_BITS 10
#define SHUNT_HIST_HALF      (1u << SHUNT_HIST_HALF_BITS)
#define SHUNT_HIST_MAX       ((UINT64_C(1) << 62) - 1)
/* index(SHUNT_HIST_MAX) + 1: its shift is 51. */
#define SHUNT_HIST_BUCKETS (51u * SHUNT_HIST_HALF + 2 * SHUNT_HIST_HALF)

/* The coarsest that a record may keep. */
#define SHUNT_HIST_DIGITS_LEAST    2
#define SHUNT_HIST_HALF_BITS_LEAST 7

/* Quantiles are asked for in millionths, so that ranks are exact: p99.9 is 999000. */
#define SHUNT_HIST_PPM 1000000u

struct shunt_hist {
	uint64_t *bucket; /* SHUNT_HIST_BUCKETS of them, 424 KiB */
	uint64_t count;
	uint64_t min, max; /* of what was counted; UINT64_MAX and 0 while it is empty */
	uint64_t negative, over;
	unsigned __int128 sum;
};

/**
 * Makes an empty histogram. The memory for values below a second is touched here, so that
 * recording one never faults. Returns 0 or -ENOMEM.
 */
int shunt_hist_init(struct shunt_hist *hist);
void shunt_hist_fini(struct shunt_hist *hist);

/** Empties it, keeping the memory. */
void shunt_hist_reset(struct shunt_hist *hist);

/** The bucket of a value that is at most SHUNT_HIST_MAX. */
static inline unsigned shunt_hist_index(uint64_t value)
{
	/* The bit that is set keeps the smallest values at shift 0 without a branch. */
	unsigned bits = 64u - (unsigned)__builtin_clzll(value | (2 * SHUNT_HIST_HALF - 1));
	unsigned shift = bits - (SHUNT_HIST_HALF_BITS + 1);

	return (shift << SHUNT_HIST_HALF_BITS) + (unsigned)(value >> shift);
}

/** The least value of a bucket. */
static inline uint64_t shunt_hist_low(unsigned index)
{
	if (index < 2 * SHUNT_HIST_HALF)
		return index;
	return (uint64_t)(SHUNT_HIST_HALF + index % SHUNT_HIST_HALF)
	       << (index / SHUNT_HIST_HALF - 1);
}

/** The greatest value of a bucket. */
static inline uint64_t shunt_hist_high(unsigned index)
{
	if (index < 2 * SHUNT_HIST_HALF)
		return index;
	return shunt_hist_low(index) + (UINT64_C(1) << (index / SHUNT_HIST_HALF - 1)) - 1;
}

/**
 * The bucket of `digits` significant digits (2 or 3) that holds all values of bucket `index`; with
 * 3 digits that is `index` itself. Ascends with `index`, without leaving one out.
 */
unsigned shunt_hist_merged_index(unsigned index, unsigned digits);

/** Counts one value, in nanoseconds (or any other unit of one's own). */
static inline void shunt_hist_record(struct shunt_hist *hist, int64_t value)
{
	uint64_t v = (uint64_t)value;

	if (__builtin_expect(v > SHUNT_HIST_MAX, 0)) {
		hist->negative += value < 0;
		hist->over += value >= 0;
		v = value < 0 ? 0 : SHUNT_HIST_MAX;
	}
	hist->bucket[shunt_hist_index(v)]++;
	hist->count++;
	hist->sum += v;
	if (v < hist->min)
		hist->min = v;
	if (v > hist->max)
		hist->max = v;
}

/** Adds all that `from` has counted. */
void shunt_hist_merge(struct shunt_hist *into, const struct shunt_hist *from);

/**
 * The quantile `ppm` (0..1000000) of a histogram that is not empty; 0 for an empty one.
 *
 * The rank is r = max(1, ceil(count * ppm / 1000000)), computed exactly; the result is the greatest
 * value of the bucket that holds the r-th smallest, but never more than max. So it is never below
 * the true order statistic, and at most 0.1 % above it: a latency is not made to look better.
 */
uint64_t shunt_hist_quantile(const struct shunt_hist *hist, unsigned ppm);

/**
 * How many samples a quantile needs before it may be printed.
 *
 * With n samples the true q-quantile has no upper bound at all unless one of them lies beyond it;
 * the chance that none does is q^n. The least n with q^n <= 0.025 is the least for which a
 * two-sided 95 % order-statistic interval of the quantile exists: ceil(ln 0.025 / ln q), that is 6
 * for the median, 368 for p99, 3,688 for p99.9, 36,887 for p99.99. Below the median the mirror
 * image holds; the extremes (0 and 1000000) are themselves samples and need one.
 */
uint64_t shunt_hist_samples_needed(unsigned ppm);

/** Whether there are. */
bool shunt_hist_quantile_known(const struct shunt_hist *hist, unsigned ppm);

/** The mean of what was counted; 0 for none. Exact but for the division's rounding. */
double shunt_hist_mean(const struct shunt_hist *hist);

/**
 * Walks over the buckets that are not empty, in ascending order: start with *index = 0, and each
 * true gives a bucket's index and count. Call again with *index + 1.
 */
bool shunt_hist_next(const struct shunt_hist *hist, unsigned *index, uint64_t *count);

#endif
