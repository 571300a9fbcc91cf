/* SPDX-License-Identifier: MIT */
/*
 * spin: a worker waits by looking, and makes no system call.
 *
 * The lowest latency that a wait can have, at the price of a CPU for each idle worker: the floor
 * for the others. Wrong where workers outnumber CPUs: the waiting one then takes the time of the
 * one it waits for.
 *
 * Between two looks at the word the CPU pauses, so that a sibling hardware thread gets on and
 * leaving the loop costs no mis-speculated loads. The clock is read only when there is a deadline.
 */
#include "backends/wait/host.h"
#include "core/engine/slots.h"

#include <stdlib.h>

struct spin_slot {
	/* Any thread. [wait:spin-notified] set by spin_wake(), taken by spin_commit(). */
	_Alignas(SHUNT_WAIT_LINE_BYTES) atomic_int notified;
};

static void cpu_pause(void)
{
#if defined(__x86_64__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("isb" ::: "memory"); /* yield is a no-op on most cores */
#elif defined(__riscv)
	__asm__ volatile(".4byte 0x0100000f" ::: "memory"); /* pause (Zihintpause), a hint */
#else
	__asm__ volatile("" ::: "memory");
#endif
}

static int spin_start(void *wait, unsigned worker_index, void *arg, void **slot,
	struct shunt_error *err)
{
	struct spin_slot *new = aligned_alloc(SHUNT_WAIT_LINE_BYTES, sizeof(*new));

	(void)wait, (void)worker_index, (void)arg;
	if (new == NULL)
		return shunt_fail(err, -ENOMEM, "out of memory for a worker's spin wait");
	memset(new, 0, sizeof(*new));
	*slot = new;
	return 0;
}

static int spin_commit(void *slot, int64_t deadline_ns)
{
	struct spin_slot *self = slot;

	/* Relaxed: only a hint to stop looking; the exchange below acquires. */
	while (!atomic_load_explicit(&self->notified, memory_order_relaxed)) {
		if (deadline_ns != SHUNT_NEVER && shunt_wait_now_ns() >= deadline_ns)
			break;
		cpu_pause();
	}
	/* [wait:spin-notified] acquires what spin_wake() released. An exchange, so that a wake that
	 * comes between the look and this line is either taken here or left for the next commit. */
	atomic_exchange_explicit(&self->notified, false, memory_order_acq_rel);
	return 0;
}

static void spin_wake(void *target, void *from)
{
	struct spin_slot *self = target;

	(void)from;
	/* [wait:spin-notified] releases what the waker wrote to spin_commit()'s exchange. An
	 * exchange and not a store, for the same reason as there. */
	atomic_exchange_explicit(&self->notified, true, memory_order_acq_rel);
}

static uint64_t spin_syscalls(const void *slot)
{
	(void)slot;
	return 0;
}

const struct shunt_wait shunt_wait_spin = {
	.name = "spin",
	.summary = "polls a word and the clock until there is work; uses a whole CPU",
	.spins = true,
	.start = spin_start,
	.stop = free,
	.commit = spin_commit,
	.wake = spin_wake,
	.syscalls = spin_syscalls,
};
