/* SPDX-License-Identifier: MIT */
/*
 * The arrival table of an open loop: when each request arrives and how much work it brings.
 *
 * Made before anything is measured, from the parameters and the seed alone, so that every backend,
 * every worker count and every driver in another language sees the same requests. The algorithm,
 * exactly (all integers of 64 bits, divisions round down; draws are those of variates.h):
 *
 *   two generators of core/rng.h: s = seed; the first is seeded by splitmix64(&s), the second by
 *   splitmix64(&s) again. Times are drawn from the first, services from the second, so the same
 *   seed gives the same services at every rate and the same times with every service law.
 *
 *   gap = (10^9 * 2^16) / rate; time = 0. For each request in order:
 *     time += poisson: gap * whole + mulhi(gap, fraction) of an exponential; constant: gap.
 *     at = time >> 16 (ns); a time that needs more than 64 bits is refused.
 *     service (ns), at least 1 and at most 3.6 * 10^12, and class, with M the mean:
 *       fixed        M; class 0
 *       exponential  M * whole + mulhi(M, fraction); class 0
 *       bimodal      draw >> 63: 0 gives M * 2 / 101 and class 0, 1 gives M * 200 / 101 and class 1
 *       extreme      mulhi(draw, 200): 0 gives M * 200000 / 1199 and class 1, else M * 200 / 1199
 *                    and class 0
 *       lognormal    z normal; p = (S * |z|) >> 16, given the sign of z; the service is
 *                    M * exp((p - S * S / 2) / 2^32); S = sigma * 65536 + 0.5, rounded down
 *       mix          mulhi(draw, 25): 0..10 class 0, 11 class 1, 12..22 class 2, 23 class 3, 24
 *                    class 4; the service is M * {5700, 6000, 20000, 88000, 100000} / 19068
 *   where `draw` is one output of the second generator.
 *
 *   The hash is FNV-1a, 64 bits, over at, service and class of each request in order, each as 8
 *   bytes, the lowest first.
 *
 * At M = 50.5 us bimodal is 1 or 100 us; at M = 2997.5 ns extreme is 0.5 or 500 us in 99.5 : 0.5
 * (Kaffes et al., Shinjuku, NSDI 2019); at M = 19.068 us mix is the five transactions of TPC-C as
 * Demoulin et al. measured them (When Idling is Ideal, SOSP 2021), shortest first.
 */
#ifndef SHUNT_WORKLOADS_ARRIVALS_H
#define SHUNT_WORKLOADS_ARRIVALS_H

#include <stddef.h>
#include <stdint.h>

struct shunt_error;

#define SHUNT_SERVICE_MOST_NS INT64_C(3600000000000)
#define SHUNT_CLASSES         8 /* at most */
/* What 64 bits hold of times in 1/65536 ns: 78 hours. */
#define SHUNT_TABLE_MOST_NS (INT64_C(1) << 48)
/* Beyond 2^53 ns (104 days) a trace is most likely in another unit, or its times are dates. */
#define SHUNT_TRACE_MOST_NS (INT64_C(1) << 53)

struct shunt_arrival {
	uint64_t at_ns; /* after the start */
	uint64_t service_ns;
	uint64_t class;
};

enum shunt_arrival_process { SHUNT_POISSON, SHUNT_CONSTANT };

enum shunt_service_law {
	SHUNT_SERVICE_FIXED,
	SHUNT_SERVICE_EXPONENTIAL,
	SHUNT_SERVICE_BIMODAL,
	SHUNT_SERVICE_EXTREME,
	SHUNT_SERVICE_LOGNORMAL,
	SHUNT_SERVICE_MIX,
};

struct shunt_arrival_plan {
	uint64_t seed;
	size_t count;
	uint64_t rate; /* per second, 1 to 10^9 */
	enum shunt_arrival_process process;
	enum shunt_service_law law;
	uint64_t mean_ns;   /* of the service; 1 to SHUNT_SERVICE_MOST_NS */
	uint64_t sigma_q16; /* of lognormal, in 1/65536; up to 8 */
};

struct shunt_arrivals {
	struct shunt_arrival *arrival; /* in order of at_ns */
	size_t count;
	unsigned classes; /* the highest class, and one */
};

/* 0; -ERANGE: the last one would arrive after SHUNT_TABLE_MOST_NS; -ENOMEM. */
int shunt_arrivals_make(struct shunt_arrivals *arrivals, const struct shunt_arrival_plan *plan);

/*
 * Reads a trace: one request a line, `arrival_ns service_ns [class]`, decimal, in order of arrival;
 * blank lines and lines that begin with # are left out. Times count from the first line's. At most
 * `most` requests are taken (0: all).
 *
 * -ENOENT, -EACCES …: cannot be read; -EINVAL: malformed, out of order or empty; -ERANGE: a value
 * out of range; -ENOMEM. err has file, line, value and remedy.
 */
int shunt_arrivals_read(struct shunt_arrivals *arrivals, const char *path, size_t most,
	struct shunt_error *err);

/*
 * Scales all arrival times by one factor, so that work by span comes to `load`; services stay. In
 * integers: with l = load * 10^9 rounded, f = work * 10^9 * 2^32 / (span * l), at = at * f >> 32;
 * the span is the last arrival's time and 1 ns.
 *
 * 0; -ERANGE, and nothing changed: it would take no time, or more than 2^53 ns.
 */
int shunt_arrivals_stretch(struct shunt_arrivals *arrivals, double load);

void shunt_arrivals_free(struct shunt_arrivals *arrivals);

uint64_t shunt_arrivals_hash(const struct shunt_arrivals *arrivals);

/* The work of all of them, in ns. */
uint64_t shunt_arrivals_work(const struct shunt_arrivals *arrivals);

#endif
