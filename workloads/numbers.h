/* SPDX-License-Identifier: MIT */
/*
 * The numbers that chunked_sum adds up: made from a seed, or read from the user's file.
 */
#ifndef SHUNT_WORKLOADS_NUMBERS_H
#define SHUNT_WORKLOADS_NUMBERS_H

#include <stddef.h>
#include <stdint.h>

struct shunt_error;

struct shunt_numbers {
	int64_t *number;
	size_t count;
};

/*
 * Number i (from 0) is the upper half of the i-th output of splitmix64 with that seed, as a signed
 * 32-bit integer: int32(splitmix64() >> 32). So any language can make the same array, and no sum of
 * up to 2^32 of them overflows. 0, -ENOMEM.
 */
int shunt_numbers_from_seed(struct shunt_numbers *numbers, size_t count, uint64_t seed);

/* Number i is i. 0, -ENOMEM. */
int shunt_numbers_from_index(struct shunt_numbers *numbers, size_t count);

/* A hash of all numbers in their order. */
uint64_t shunt_numbers_hash(const struct shunt_numbers *numbers);

/*
 * Reads a file: 64-bit signed little-endian integers if its name ends in .bin or .i64, else decimal
 * integers separated by white space. Its content decides nothing, but a binary file that holds
 * printable text alone is refused: read as integers, it gives a sum like any other.
 *
 * -ENOENT, -EACCES, -EISDIR …: cannot be read; -EINVAL: empty, not a regular file, odd-sized, text
 * under a binary name, malformed (err has line, column and value); -ERANGE: a number does not fit;
 * -EOVERFLOW: the sum of all does not; -ENOMEM.
 */
int shunt_numbers_from_file(struct shunt_numbers *numbers, const char *path,
	struct shunt_error *err);

void shunt_numbers_free(struct shunt_numbers *numbers);

#endif
