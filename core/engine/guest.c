/* SPDX-License-Identifier: MIT */
/*
 * Guests: how a worker comes to change the joiners of tasks that another one spawned (core/join.c).
 *
 * A guest counts itself with its host, has a fence put into the host, and waits until the host is
 * not in the middle of a plain change. From then on the host sees that it has a guest and uses
 * compare-and-swaps as well. To visit costs the guest 17 us (barrier.h), to have a guest costs the
 * host some 5 ns for each end and each join, so a guest stays for about as long as what it costs
 * comes to as much, and goes before it sleeps. The proof is in join.c.
 */
#include "core/engine/guest.h"

#include "core/engine/barrier.h"

#include <sched.h>

#define AGE_MOST 32 /* visits of the slow path, of 61 switches each: tens of microseconds */

/* The host may have been preempted by the kernel; it never waits in there. */
static void await_outside(const struct shunt_ctx *host)
{
	unsigned spins = 0;
	/* Acquire pairs with own_end [host:inside]: what the host did is seen. */
	while (__atomic_load_n(&host->inside, __ATOMIC_ACQUIRE)) {
		shunt_cpu_relax();
		if (++spins % 128 == 0)
			sched_yield();
	}
}

void shunt_guest_visit(struct shunt_ctx *ctx, unsigned host_index)
{
	struct shunt_worker *guest = shunt_worker_of(ctx);
	struct shunt_ctx *host = &guest->engine->workers[host_index]->ctx;
	guest->visits_age = 0;
	if (guest->visits[host_index])
		return;
	/* Relaxed: the fence that follows publishes it to the host [host:guests]. */
	__atomic_fetch_add(&host->guests, 1, __ATOMIC_RELAXED);
	shunt_barrier_rare(false);
	await_outside(host);
	guest->visits[host_index] = true;
	guest->visits_count++;
}

void shunt_guest_leave(struct shunt_worker *guest)
{
	for (unsigned i = 0; guest->visits_count; i++) {
		if (!guest->visits[i])
			continue;
		guest->visits[i] = false;
		guest->visits_count--;
		/* Release pairs with the acquire in own_begin [host:guests]: what we did to its
		 * words. */
		__atomic_fetch_sub(&guest->engine->workers[i]->ctx.guests, 1, __ATOMIC_RELEASE);
	}
}

void shunt_guest_age(struct shunt_worker *guest)
{
	if (++guest->visits_age > AGE_MOST)
		shunt_guest_leave(guest);
}
