/* SPDX-License-Identifier: MIT */
/*
 * The random numbers of workloads, policies and tests: xoshiro256** seeded by splitmix64
 * (Blackman & Vigna, "Scrambled linear pseudorandom number generators", TOMS 2021). Written out
 * here so that a seed means the same work on every machine and in every driver, for ever.
 */
#ifndef SHUNT_CORE_RNG_H
#define SHUNT_CORE_RNG_H

#include <stdint.h>

struct shunt_rng {
	uint64_t s[4];
};

/* One step of splitmix64: also the way to derive an independent seed from a seed and an index. */
static inline uint64_t shunt_splitmix64(uint64_t *state)
{
	uint64_t z = (*state += 0x9e3779b97f4a7c15u);
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

static inline void shunt_rng_init(struct shunt_rng *rng, uint64_t seed)
{
	for (int i = 0; i < 4; i++)
		rng->s[i] = shunt_splitmix64(&seed);
}

static inline uint64_t shunt_rng_next(struct shunt_rng *rng)
{
	uint64_t *s = rng->s;
	uint64_t x = s[1] * 5;
	uint64_t result = ((x << 7) | (x >> 57)) * 9;
	uint64_t t = s[1] << 17;
	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= t;
	s[3] = (s[3] << 45) | (s[3] >> 19);
	return result;
}

/* Uniform in [0, bound), bound > 0: the high word of a 64 x 64 product (Lemire 2019), whose bias is
 * below bound / 2^64. */
static inline uint64_t shunt_rng_below(struct shunt_rng *rng, uint64_t bound)
{
	return (uint64_t)(((unsigned __int128)shunt_rng_next(rng) * bound) >> 64);
}

#endif
