/* SPDX-License-Identifier: MIT */
/*
 * uring: a worker sleeps in its ring until the nearest deadline; the timers are the engine's.
 *
 * One deadline for any number of timers: what io_uring does best. It is the timeout of
 * io_uring_enter itself, absolute where the kernel has that (Linux 6.12), else relative to a clock
 * read just before. It has no timer slack. One IORING_OP_TIMEOUT that moves with the deadline goes
 * with the same system call and saves nothing.
 *
 * What wakes the ring from outside is in ring_slot.h.
 */
#include "backends/wait/ring_slot.h"

#define BATCH   16
#define ENTRIES 32 /* submissions; the completion ring has twice as many */

static const struct shunt_param uring_params[] = {
	SHUNT_RING_PARAM_WAKE,
	{.name = NULL},
};

static int uring_open(void **wait, const struct shunt_wait_config *config, struct shunt_error *err)
{
	int code = shunt_ring_wait_new(wait, sizeof(struct shunt_ring_wait), config,
		SHUNT_RING_DEFER, ENTRIES, 2 * ENTRIES, err);

	if (code == 0)
		((struct shunt_ring_wait *)*wait)->prefix = "wait.uring";
	return code;
}

static int uring_start(void *wait, unsigned worker_index, void *arg, void **slot,
	struct shunt_error *err)
{
	return shunt_ring_slot_new(slot, sizeof(struct shunt_ring_slot), wait, worker_index, arg,
		err);
}

/* Returns how many operations of tasks have ended. */
static unsigned reap(struct shunt_ring_slot *self)
{
	struct shunt_ring_result result[BATCH];
	unsigned count, before = self->operations;

	do {
		count = shunt_ring_take(self->ring, result, BATCH);
		for (unsigned i = 0; i < count; i++)
			shunt_ring_slot_result(self, &result[i]);
	} while (count == BATCH);
	/* What was in the ring is unknown after a loss. A second read does no harm. */
	if (shunt_ring_lost(self->ring)) {
		self->reading = false;
		shunt_ring_slot_lost(self);
	}
	return before - self->operations;
}

static int sleep_until(struct shunt_ring_slot *self, int64_t deadline_ns)
{
	int code = shunt_ring_slot_listen(self);

	if (code == -EAGAIN || code == -EBUSY)
		return 0; /* no room for the moment: spurious, what came is reaped */
	return code == 0 ? shunt_ring_wait(self->ring, deadline_ns) : code;
}

static int uring_commit(void *slot, int64_t deadline_ns)
{
	struct shunt_ring_slot *self = slot;
	int code = 0;

	/* Before SLEEPING is announced, so that no wake-up can be among the results. */
	if (reap(self) == 0 && shunt_wait_word_sleep(&self->bell->word))
		code = sleep_until(self, deadline_ns);
	shunt_wait_word_awake(&self->bell->word);
	reap(self);
	return shunt_ring_slot_code(self, code);
}

static void uring_collect(void *slot)
{
	struct shunt_ring_slot *self = slot;

	if (shunt_ring_unsubmitted(self->ring) > 0)
		shunt_ring_submit(self->ring); /* refused for the moment: goes with the next */
	reap(self);
}

const struct shunt_wait shunt_wait_uring = {
	.name = "uring",
	.summary = "sleeps in an io_uring until the nearest deadline of the timer queue",
	.params = uring_params,
	.probe = shunt_ring_probe,
	.open = uring_open,
	.close = shunt_ring_wait_close,
	.start = uring_start,
	.stop = shunt_ring_slot_stop,
	.commit = uring_commit,
	.wake = shunt_ring_slot_wake,
	.facts = shunt_ring_slot_facts,
	.syscalls = shunt_ring_slot_syscalls,
	.submit = shunt_ring_slot_submit,
	.cancel = shunt_ring_slot_cancel,
	.collect = uring_collect,
};
