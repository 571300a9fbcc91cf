/* SPDX-License-Identifier: MIT */
/*
 * Two ways to add up a chunk, and the walk over all of them. Compiled with its own options
 * (workloads/CMakeLists.txt: -O2), no -march=native, no link-time optimisation: which one ran is in
 * the record as `kernel`. The test sum_kernel_code looks at the loops as they were compiled. No
 * edge of theirs preempts, however long a chunk is: at its end the task gives way by itself.
 */
#include "workloads/sum_kernel.h"

#include "core/sched.h"

SHUNT_SHORT uint64_t shunt_sum_scalar(const int64_t *numbers, size_t count)
{
	uint64_t sum = 0;
	for (size_t i = 0; i < count; i++) {
		sum += (uint64_t)numbers[i];
		/* The compiler must have the sum in a register here, so it cannot vectorise. */
		__asm__("" : "+r"(sum));
	}
	return sum;
}

/* 16 bytes: what is wider than a register, gcc 12 keeps in memory between two additions. */
typedef uint64_t pair __attribute__((vector_size(16), aligned(8), may_alias));

SHUNT_SHORT uint64_t shunt_sum_overlap(const int64_t *numbers, size_t count)
{
	const int64_t *end = numbers + count;
	pair a = {0}, b = {0}, c = {0}, d = {0};
	for (; end - numbers >= 8; numbers += 8) {
		const pair *at = (const void *)numbers;
		a += at[0];
		b += at[1];
		c += at[2];
		d += at[3];
	}
	for (; end - numbers >= 2; numbers += 2)
		a += *(const pair *)(const void *)numbers;
	a += b;
	c += d;
	a += c;
	return a[0] + a[1] + (numbers < end ? (uint64_t)*numbers : 0);
}

uint64_t shunt_sum_walk(shunt_sum_fn *kernel, const int64_t *numbers, size_t count, size_t chunk,
	size_t slices)
{
	size_t share = (count + slices - 1) / slices;
	uint64_t total = 0;
	for (size_t done = 0; done < share; done += chunk)
		for (size_t i = 0; i < slices; i++) {
			size_t at = i * share + done;
			size_t end = (i + 1) * share;
			end = end < count ? end : count;
			if (at < end)
				total += kernel(numbers + at, end - at < chunk ? end - at : chunk);
		}
	return total;
}
