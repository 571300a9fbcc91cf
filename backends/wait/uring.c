/* SPDX-License-Identifier: MIT */
/*
 * uring: a worker sleeps in its ring until the nearest deadline; the timers are the engine's.
 *
 * One deadline for any number of timers: what io_uring does best. It is the timeout of
 * io_uring_enter itself (timeout=enter), absolute where the kernel has that (Linux 6.12), else
 * relative to a clock read just before; or one IORING_OP_TIMEOUT that is moved as the deadline
 * moves (timeout=op), which goes with the same system call and saves nothing: it is there to be
 * compared. Neither has any timer slack.
 *
 * What wakes the ring from outside is in ring_slot.h.
 */
#include "backends/wait/ring_slot.h"

#define NOT_ARMED INT64_MIN
#define BATCH     16

enum { TIMEOUT_ENTER, TIMEOUT_OP };

struct uring_wait {
	struct shunt_ring_wait base;
	bool op; /* timeout=op */
};

struct uring_slot {
	struct shunt_ring_slot base;
	int64_t armed_ns; /* timeout=op: the deadline in the ring, or NOT_ARMED */
	bool op;
};

static const char *const timeout_choices[] = {"enter", "op", NULL};

static const struct shunt_param uring_params[] = {
	SHUNT_RING_PARAM_WAKE,
	SHUNT_RING_PARAM_SETUP,
	SHUNT_RING_PARAM_ENABLE,
	{.name = "timeout",
		.type = SHUNT_PARAM_CHOICE,
		.fallback = "enter",
		.choices = timeout_choices,
		.help = "what ends a sleep: the wait's own timeout, or one timeout operation"},
	{.name = "entries",
		.type = SHUNT_PARAM_COUNT,
		.fallback = "32",
		.min = 8,
		.max = 32768,
		.help = "submission queue entries; the completion queue has twice as many"},
	{.name = NULL},
};

static int uring_open(void **wait, const struct shunt_wait_config *config, struct shunt_error *err)
{
	unsigned entries = (unsigned)shunt_value_int(config->values, "entries");
	struct uring_wait *self;
	void *new;
	int code = shunt_ring_wait_new(&new, sizeof(*self), config, SHUNT_RING_AUTO, entries,
		2 * entries, err);

	if (code != 0)
		return code;
	self = new;
	self->base.prefix = "wait.uring";
	self->op = shunt_value_int(config->values, "timeout") == TIMEOUT_OP;
	if (self->op && !self->base.plan.skips_success) {
		shunt_ring_wait_close(self);
		return shunt_fail(err, -EOPNOTSUPP,
			"timeout=op needs operations that are silent when they succeed (Linux "
			"5.17); use timeout=enter");
	}
	*wait = self;
	return 0;
}

static int uring_start(void *wait, unsigned worker_index, void *arg, void **slot,
	struct shunt_error *err)
{
	struct uring_wait *self = wait;
	struct uring_slot *new;
	int code = shunt_ring_slot_new(slot, sizeof(*new), &self->base, worker_index, err);

	(void)arg;
	if (code != 0)
		return code;
	new = *slot;
	new->op = self->op;
	new->armed_ns = NOT_ARMED;
	return 0;
}

static void reap(struct uring_slot *self)
{
	struct shunt_ring_result result[BATCH];
	unsigned count;

	do {
		count = shunt_ring_take(self->base.ring, result, BATCH);
		for (unsigned i = 0; i < count; i++)
			if (!shunt_ring_slot_result(&self->base, &result[i]))
				self->armed_ns = NOT_ARMED;
	} while (count == BATCH);
	if (shunt_ring_lost(self->base.ring)) {
		/* Of what was in the ring nothing is known any more. A second read does no harm. */
		self->armed_ns = NOT_ARMED;
		self->base.reading = false;
	}
}

/* timeout=op: an old deadline stays armed when there is none now; it ends one sleep spuriously. */
static int set_deadline(struct uring_slot *self, int64_t deadline_ns)
{
	uint64_t timer = SHUNT_RING_DATA(SHUNT_RING_TIMER, 0);
	int code;

	if (deadline_ns < 0)
		deadline_ns = 0;
	if (deadline_ns == SHUNT_NEVER || deadline_ns == self->armed_ns)
		return 0;
	code = shunt_ring_room(self->base.ring, 1);
	if (code != 0)
		return code;
	if (self->armed_ns == NOT_ARMED)
		shunt_ring_add_timeout(self->base.ring, deadline_ns, timer);
	else
		shunt_ring_add_update(self->base.ring, timer, deadline_ns,
			SHUNT_RING_DATA(SHUNT_RING_CHANGE, 0));
	self->armed_ns = deadline_ns;
	return 0;
}

static int sleep_until(struct uring_slot *self, int64_t deadline_ns)
{
	int code = shunt_ring_slot_listen(&self->base);

	if (code == 0 && self->op)
		code = set_deadline(self, deadline_ns);
	if (code == -EAGAIN || code == -EBUSY)
		return 0; /* no room for the moment: spurious, what came is reaped */
	if (code != 0)
		return code;
	return shunt_ring_wait(self->base.ring, self->op ? SHUNT_NEVER : deadline_ns);
}

static int uring_commit(void *slot, int64_t deadline_ns)
{
	struct uring_slot *self = slot;
	int code = 0;

	reap(self); /* before SLEEPING is announced, so that no wake-up can be among the results */
	if (shunt_wait_word_sleep(&self->base.bell->word))
		code = sleep_until(self, deadline_ns);
	shunt_wait_word_awake(&self->base.bell->word);
	reap(self);
	return code;
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
	.prepare = shunt_ring_slot_nothing,
	.abort = shunt_ring_slot_nothing,
	.commit = uring_commit,
	.wake = shunt_ring_slot_wake,
	.facts = shunt_ring_slot_facts,
	.syscalls = shunt_ring_slot_syscalls,
};
