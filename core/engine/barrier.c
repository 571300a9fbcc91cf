/* SPDX-License-Identifier: MIT */
/* The rare side of the asymmetric fence (barrier.h). */
#include "core/engine/barrier.h"

#include <errno.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Of <linux/membarrier.h>, which older headers have without them. */
#define PRIVATE_EXPEDITED          (1 << 3)
#define REGISTER_PRIVATE_EXPEDITED (1 << 4)

static long membarrier(int command)
{
	return syscall(SYS_membarrier, command, 0, 0);
}

int shunt_barrier_register(void)
{
	int before = errno;
	int rc = 0;
	if (membarrier(REGISTER_PRIVATE_EXPEDITED) || membarrier(PRIVATE_EXPEDITED))
		rc = -errno;
	errno = before;
	return rc;
}

void shunt_barrier_rare(bool full)
{
	int before = errno;
	/* Our own, because the call need not fence its caller: forbids that what follows is read
	 * before what came before is seen; pairs with shunt_barrier_frequent. */
	shunt_full_fence();
	/* Once registered it can fail only when memory runs out, and has then done nothing. */
	while (!full && membarrier(PRIVATE_EXPEDITED))
		sched_yield();
	errno = before;
}
