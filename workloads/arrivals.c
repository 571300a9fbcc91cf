/* SPDX-License-Identifier: MIT */
/* The arrival table from a seed: the algorithm is in arrivals.h, to be repeated elsewhere. */
#include "workloads/arrivals.h"

#include "workloads/variates.h"

#include <errno.h>
#include <stdlib.h>

static uint64_t mulhi(uint64_t a, uint64_t b)
{
	return (uint64_t)(((unsigned __int128)a * b) >> 64);
}

/* share / whole of the mean. */
static uint64_t part(uint64_t mean_ns, uint64_t share, uint64_t whole)
{
	return (uint64_t)((unsigned __int128)mean_ns * share / whole);
}

static uint64_t lognormal(struct shunt_rng *rng, const struct shunt_arrival_plan *plan)
{
	int64_t z = shunt_draw_normal(rng);
	uint64_t sigma = plan->sigma_q16;
	int64_t spread = (int64_t)((sigma * (uint64_t)(z < 0 ? -z : z)) >> 16);
	int64_t y = (z < 0 ? -spread : spread) - (int64_t)(sigma * sigma / 2);

	return shunt_scaled_exp(plan->mean_ns, y, SHUNT_SERVICE_MOST_NS);
}

/* One of five kinds of transactions: their shares are in 25ths. */
static uint64_t mix(uint64_t draw, uint64_t mean_ns, uint64_t *class)
{
	static const struct {
		unsigned until, weight;
	} kind[] = {{11, 5700}, {12, 6000}, {23, 20000}, {24, 88000}, {25, 100000}};
	uint64_t at = mulhi(draw, 25);

	*class = 0;
	while (at >= kind[*class].until)
		++*class;
	return part(mean_ns, kind[*class].weight, 19068);
}

static uint64_t draw_service(struct shunt_rng *rng, const struct shunt_arrival_plan *plan,
	uint64_t *class)
{
	uint64_t mean_ns = plan->mean_ns;

	*class = 0;
	switch (plan->law) {
	case SHUNT_SERVICE_FIXED:
		return mean_ns;
	case SHUNT_SERVICE_EXPONENTIAL:
		return shunt_draw_exponential_of(rng, mean_ns);
	case SHUNT_SERVICE_BIMODAL:
		*class = shunt_rng_next(rng) >> 63;
		return part(mean_ns, *class ? 200 : 2, 101);
	case SHUNT_SERVICE_EXTREME:
		*class = mulhi(shunt_rng_next(rng), 200) == 0;
		return part(mean_ns, *class ? 200000 : 200, 1199);
	case SHUNT_SERVICE_LOGNORMAL:
		return lognormal(rng, plan);
	case SHUNT_SERVICE_MIX:
		return mix(shunt_rng_next(rng), mean_ns, class);
	}
	return mean_ns;
}

static uint64_t between(uint64_t least, uint64_t value, uint64_t most)
{
	return value < least ? least : value > most ? most : value;
}

void shunt_arrivals_free(struct shunt_arrivals *arrivals)
{
	free(arrivals->arrival);
	*arrivals = (struct shunt_arrivals){NULL, 0, 0};
}

int shunt_arrivals_make(struct shunt_arrivals *arrivals, const struct shunt_arrival_plan *plan)
{
	struct shunt_rng times, services;
	uint64_t state = plan->seed, time = 0;
	uint64_t gap = (UINT64_C(1000000000) << 16) / plan->rate;

	arrivals->arrival = plan->count <= SIZE_MAX / sizeof(*arrivals->arrival)
				    ? malloc(plan->count * sizeof(*arrivals->arrival))
				    : NULL;
	if (!arrivals->arrival)
		return -ENOMEM;
	arrivals->count = plan->count;
	arrivals->classes = 1;
	shunt_rng_init(&times, shunt_splitmix64(&state));
	shunt_rng_init(&services, shunt_splitmix64(&state));
	for (size_t i = 0; i < plan->count; i++) {
		struct shunt_arrival *arrival = &arrivals->arrival[i];

		uint64_t wait = plan->process == SHUNT_POISSON
					? shunt_draw_exponential_of(&times, gap)
					: gap;

		if (__builtin_add_overflow(time, wait, &time)) {
			shunt_arrivals_free(arrivals);
			return -ERANGE;
		}
		arrival->at_ns = time >> 16;
		arrival->service_ns = between(1, draw_service(&services, plan, &arrival->class),
			SHUNT_SERVICE_MOST_NS);
		if (arrival->class >= arrivals->classes)
			arrivals->classes = (unsigned)arrival->class + 1;
	}
	return 0;
}

int shunt_arrivals_stretch(struct shunt_arrivals *arrivals, double load)
{
	uint64_t last_ns = arrivals->arrival[arrivals->count - 1].at_ns;
	double parts = load * 1e9 + 0.5;

	if (!(parts >= 1 && parts < 0x1p63))
		return -ERANGE;
	unsigned __int128 work = (unsigned __int128)shunt_arrivals_work(arrivals) * 1000000000;
	unsigned __int128 factor =
		(work << 32) / ((unsigned __int128)(last_ns + 1) * (uint64_t)parts);

	if (factor >> 64)
		return -ERANGE;
	unsigned __int128 scaled = (factor * last_ns) >> 32;

	if (!scaled || scaled > SHUNT_TRACE_MOST_NS)
		return -ERANGE;
	for (size_t i = 0; i < arrivals->count; i++)
		arrivals->arrival[i].at_ns =
			(uint64_t)((factor * arrivals->arrival[i].at_ns) >> 32);
	return 0;
}

/* ---- facts of a table ------------------------------------------------------------------------ */

static uint64_t hash_word(uint64_t hash, uint64_t word)
{
	for (int i = 0; i < 8; i++, word >>= 8)
		hash = (hash ^ (word & 0xff)) * UINT64_C(0x100000001b3);
	return hash;
}

uint64_t shunt_arrivals_hash(const struct shunt_arrivals *arrivals)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325);

	for (size_t i = 0; i < arrivals->count; i++) {
		hash = hash_word(hash, arrivals->arrival[i].at_ns);
		hash = hash_word(hash, arrivals->arrival[i].service_ns);
		hash = hash_word(hash, arrivals->arrival[i].class);
	}
	return hash;
}

uint64_t shunt_arrivals_work(const struct shunt_arrivals *arrivals)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < arrivals->count; i++)
		sum += arrivals->arrival[i].service_ns;
	return sum;
}
