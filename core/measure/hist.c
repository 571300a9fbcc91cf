/* SPDX-License-Identifier: MIT */
/* The parts of the histogram that are not in the hot path; the idea is in hist.h. */
#include "core/measure/hist.h"

#include "core/populate.h"

#include <errno.h>
#include <math.h>

#define BUCKET_BYTES (SHUNT_HIST_BUCKETS * sizeof(uint64_t))
#define SECOND_NS    UINT64_C(1000000000)

_Static_assert(SHUNT_HIST_BUCKETS == 54272, "records of other builds could not be pooled");

/* All that is counted lies in the buckets from the first to before the end: a few of many. */
static unsigned first_of(const struct shunt_hist *hist)
{
	return hist->count ? shunt_hist_index(hist->min) : 0;
}

static unsigned end_of(const struct shunt_hist *hist)
{
	return hist->count ? shunt_hist_index(hist->max) + 1 : 0;
}

int shunt_hist_init(struct shunt_hist *hist)
{
	void *bucket = mmap(NULL, BUCKET_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
		-1, 0);

	if (bucket == MAP_FAILED)
		return -ENOMEM;
	shunt_populate(bucket, shunt_hist_index(SECOND_NS) * sizeof(uint64_t));
	*hist = (struct shunt_hist){.bucket = bucket, .min = UINT64_MAX};
	return 0;
}

void shunt_hist_fini(struct shunt_hist *hist)
{
	if (hist->bucket)
		munmap(hist->bucket, BUCKET_BYTES);
	hist->bucket = NULL;
}

void shunt_hist_reset(struct shunt_hist *hist)
{
	for (unsigned i = first_of(hist); i < end_of(hist); i++)
		hist->bucket[i] = 0;
	*hist = (struct shunt_hist){.bucket = hist->bucket, .min = UINT64_MAX};
}

unsigned shunt_hist_merged_index(unsigned index, unsigned digits)
{
	const unsigned half_bits = SHUNT_HIST_HALF_BITS_LEAST;
	uint64_t value = shunt_hist_low(index);

	if (digits >= SHUNT_HIST_DIGITS)
		return index;
	/* As shunt_hist_index, with fewer bits kept. */
	unsigned bits = 64u - (unsigned)__builtin_clzll(value | ((2u << half_bits) - 1));
	unsigned shift = bits - (half_bits + 1);

	return (shift << half_bits) + (unsigned)(value >> shift);
}

void shunt_hist_merge(struct shunt_hist *into, const struct shunt_hist *from)
{
	for (unsigned i = first_of(from); i < end_of(from); i++)
		into->bucket[i] += from->bucket[i];
	into->count += from->count;
	into->sum += from->sum;
	into->negative += from->negative;
	into->over += from->over;
	if (from->min < into->min)
		into->min = from->min;
	if (from->max > into->max)
		into->max = from->max;
}

uint64_t shunt_hist_quantile(const struct shunt_hist *hist, unsigned ppm)
{
	unsigned __int128 scaled = (unsigned __int128)hist->count * ppm + SHUNT_HIST_PPM - 1;
	uint64_t rank = (uint64_t)(scaled / SHUNT_HIST_PPM), seen = 0;

	if (rank == 0)
		rank = 1;
	for (unsigned i = first_of(hist); i < end_of(hist); i++) {
		seen += hist->bucket[i];
		if (seen >= rank)
			return shunt_hist_high(i) < hist->max ? shunt_hist_high(i) : hist->max;
	}
	return hist->max;
}

uint64_t shunt_hist_samples_needed(unsigned ppm)
{
	unsigned far = ppm > SHUNT_HIST_PPM / 2 ? ppm : SHUNT_HIST_PPM - ppm;

	if (far >= SHUNT_HIST_PPM)
		return 1;
	return (uint64_t)ceil(log(0.025) / log1p(-(double)(SHUNT_HIST_PPM - far) / SHUNT_HIST_PPM));
}

bool shunt_hist_quantile_known(const struct shunt_hist *hist, unsigned ppm)
{
	return hist->count >= shunt_hist_samples_needed(ppm);
}

double shunt_hist_mean(const struct shunt_hist *hist)
{
	return hist->count ? (double)hist->sum / (double)hist->count : 0;
}

bool shunt_hist_next(const struct shunt_hist *hist, unsigned *index, uint64_t *count)
{
	for (unsigned i = *index; i < end_of(hist); i++) {
		if (hist->bucket[i]) {
			*index = i;
			*count = hist->bucket[i];
			return true;
		}
	}
	return false;
}
