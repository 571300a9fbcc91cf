/* SPDX-License-Identifier: MIT */
/* Random variates in integers: the algorithms are in variates.h, to be repeated elsewhere. */
#include "workloads/variates.h"

#include <stdbool.h>

#define LN2   INT64_C(2977044472) /* in 1/2^32 */
#define ONE62 (UINT64_C(1) << 62)

/* Terms of the series of exp below ln 2: the next one is less than 2^-57. */
enum { EXP_TERMS = 16, NORMAL_WHOLE_MOST = 64 };

static uint64_t mulhi(uint64_t a, uint64_t b)
{
	return (uint64_t)(((unsigned __int128)a * b) >> 64);
}

struct shunt_exponential shunt_draw_exponential(struct shunt_rng *rng)
{
	for (uint64_t whole = 0;; whole++) {
		uint64_t first = shunt_rng_next(rng), last = first, u;
		bool odd = true;

		for (; (u = shunt_rng_next(rng)) < last; last = u)
			odd = !odd;
		if (odd)
			return (struct shunt_exponential){whole, first};
	}
}

uint64_t shunt_draw_exponential_of(struct shunt_rng *rng, uint64_t scale)
{
	struct shunt_exponential e = shunt_draw_exponential(rng);
	unsigned __int128 value = (unsigned __int128)scale * e.whole + mulhi(scale, e.fraction);

	return value > UINT64_MAX ? UINT64_MAX : (uint64_t)value;
}

static uint64_t in_q32(struct shunt_exponential e)
{
	return (e.whole << 32) + (e.fraction >> 32);
}

int64_t shunt_draw_normal(struct shunt_rng *rng)
{
	for (;;) {
		struct shunt_exponential x = shunt_draw_exponential(rng);
		struct shunt_exponential e = shunt_draw_exponential(rng);

		if (x.whole >= NORMAL_WHOLE_MOST)
			continue;
		uint64_t magnitude = in_q32(x), one = UINT64_C(1) << 32;
		uint64_t d = magnitude > one ? magnitude - one : one - magnitude;

		if (2 * in_q32(e) <= (uint64_t)(((unsigned __int128)d * d) >> 32))
			continue;
		return shunt_rng_next(rng) >> 63 ? -(int64_t)magnitude : (int64_t)magnitude;
	}
}

uint64_t shunt_scaled_exp(uint64_t scale, int64_t y, uint64_t most)
{
	int64_t n = y >= 0 ? y / LN2 : -((-y + LN2 - 1) / LN2);
	uint64_t g = (uint64_t)(y - n * LN2) << 32, r = ONE62;

	for (unsigned i = EXP_TERMS; i > 0; i--)
		r = ONE62 + mulhi(g, r) / i;
	if (n > 62)
		return scale ? most : 0;
	if (62 - n >= 126)
		return 0;
	unsigned __int128 value = ((unsigned __int128)scale * r) >> (62 - n);

	return value > most ? most : (uint64_t)value;
}
