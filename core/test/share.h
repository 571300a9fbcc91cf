/* SPDX-License-Identifier: MIT */
/*
 * A test that runs everything on every composition can take a share of it: SHUNT_SHARE=N, one pair
 * in N. No composition and nothing that is run on them is left out as a whole. SHUNT_SEED deals the
 * pairs, or a seed that is printed; N seeds in a row come to all of them.
 */
#ifndef SHUNT_TEST_SHARE_H
#define SHUNT_TEST_SHARE_H

#include "core/sched.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* N; 1 unless SHUNT_SHARE gives another. */
static inline uint64_t share_of(void)
{
	const char *asked = getenv("SHUNT_SHARE");
	uint64_t share = asked ? strtoull(asked, NULL, 10) : 1;
	return share ? share : 1;
}

static inline bool share_takes(size_t composition, size_t work)
{
	static uint64_t share, seed;
	if (!share) {
		const char *given = getenv("SHUNT_SEED");
		share = share_of();
		seed = given ? strtoull(given, NULL, 0) : (uint64_t)shunt_now_ns() % 1000;
		if (share > 1)
			printf("one in %llu, dealt by SHUNT_SEED=%llu\n", (unsigned long long)share,
				(unsigned long long)seed);
	}
	return (composition + work + seed) % share == 0;
}

#endif
