/* SPDX-License-Identifier: MIT */
/*
 * futex: a worker sleeps on one word, until an absolute CLOCK_MONOTONIC deadline.
 *
 * The protocol of the word is in host.h. The kernel compares the word once more before it puts the
 * thread to sleep, so there is no prepare().
 *
 * futex(2): FUTEX_WAIT_BITSET takes an absolute time, on CLOCK_MONOTONIC unless told otherwise;
 * FUTEX_WAIT would take a relative one, which drifts.
 */
#include "backends/wait/host.h"
#include "core/engine/slots.h"

#include <linux/futex.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

struct futex_slot {
	/* Any thread. */
	_Alignas(SHUNT_WAIT_LINE_BYTES) struct shunt_wait_word word;
	/* The worker's, but for a count. */
	_Alignas(SHUNT_WAIT_LINE_BYTES) struct shunt_wait_calls calls;
};

static long futex_call(struct futex_slot *slot, int operation, uint32_t value,
	const struct timespec *deadline)
{
	return syscall(SYS_futex, &slot->word.state, operation | FUTEX_PRIVATE_FLAG, value,
		deadline, NULL, FUTEX_BITSET_MATCH_ANY);
}

static int futex_start(void *wait, unsigned worker_index, void *arg, void **slot,
	struct shunt_error *err)
{
	struct futex_slot *new = aligned_alloc(SHUNT_WAIT_LINE_BYTES, sizeof(*new));

	(void)wait, (void)worker_index, (void)arg;
	if (new == NULL)
		return shunt_fail(err, -ENOMEM, "out of memory for a worker's futex");
	memset(new, 0, sizeof(*new));
	*slot = new;
	return 0;
}

static int futex_commit(void *slot, int64_t deadline_ns)
{
	struct futex_slot *self = slot;
	struct timespec deadline = shunt_wait_timespec(deadline_ns);
	long code = 0;

	if (shunt_wait_word_sleep(&self->word)) {
		shunt_wait_called(&self->calls);
		code = futex_call(self, FUTEX_WAIT_BITSET, SHUNT_WAIT_SLEEPING,
			deadline_ns == SHUNT_NEVER ? NULL : &deadline);
		if (code != 0)
			code = -errno;
	}
	shunt_wait_word_awake(&self->word);
	if (code == -EAGAIN || code == -EINTR || code == -ETIMEDOUT)
		code = 0;
	return (int)code;
}

static void futex_wake(void *target, void *from)
{
	struct futex_slot *self = target;
	struct futex_slot *waker = from;

	if (!shunt_wait_word_notify(&self->word))
		return;
	shunt_wait_called_for(&self->calls, waker != NULL ? &waker->calls : NULL);
	futex_call(self, FUTEX_WAKE, 1, NULL);
}

static uint64_t futex_syscalls(const void *slot)
{
	const struct futex_slot *self = slot;

	return shunt_wait_calls_sum(&self->calls);
}

const struct shunt_wait shunt_wait_futex = {
	.name = "futex",
	.summary = "sleeps on a futex until an absolute deadline; only sleeping workers are woken",
	.start = futex_start,
	.stop = free,
	.commit = futex_commit,
	.wake = futex_wake,
	.syscalls = futex_syscalls,
};
