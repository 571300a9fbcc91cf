/* SPDX-License-Identifier: MIT */
/*
 * Memory that will be written to soon, found by one system call. On a virtual machine a page costs
 * 1 us that way, and 20 us by a fault of its own.
 */
#ifndef SHUNT_CORE_POPULATE_H
#define SHUNT_CORE_POPULATE_H

#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 /* Linux 5.14 */
#endif

/* The whole pages of the range. Where the kernel refuses, they fault one by one. */
static inline void shunt_populate(void *from, size_t bytes)
{
	/* A sanitizer's memory is larger, and nothing is timed under one. */
#if !defined(__SANITIZE_THREAD__) && !defined(__SANITIZE_ADDRESS__)
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
	uintptr_t first = ((uintptr_t)from + page - 1) & -page;
	uintptr_t end = ((uintptr_t)from + bytes) & -page;

	if (first < end)
		(void)madvise((void *)first, end - first, MADV_POPULATE_WRITE);
#else
	(void)from, (void)bytes;
#endif
}

#endif
