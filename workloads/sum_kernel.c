/* SPDX-License-Identifier: MIT */
/*
 * Two ways to add up a chunk. Compiled with its own options (workloads/CMakeLists.txt: -O2), no
 * -march=native, no link-time optimisation: which one ran is in the record as `kernel`.
 */
#include "workloads/sum_kernel.h"

uint64_t shunt_sum_scalar(const int64_t *numbers, size_t count)
{
	uint64_t sum = 0;
	for (size_t i = 0; i < count; i++) {
		sum += (uint64_t)numbers[i];
		/* The compiler must have the sum in a register here, so it cannot vectorise. */
		__asm__("" : "+r"(sum));
	}
	return sum;
}

/* Four lanes of the compiler's own vectors: the same code from gcc, which would not vectorise at
 * -O2, and from clang, which would. */
typedef uint64_t lanes __attribute__((vector_size(32), aligned(8), may_alias));

uint64_t shunt_sum_vector(const int64_t *numbers, size_t count)
{
	lanes sums = {0};
	size_t i = 0;
	for (; i + 4 <= count; i += 4)
		sums += *(const lanes *)(const void *)(numbers + i);
	uint64_t sum = sums[0] + sums[1] + sums[2] + sums[3];
	for (; i < count; i++)
		sum += (uint64_t)numbers[i];
	return sum;
}
