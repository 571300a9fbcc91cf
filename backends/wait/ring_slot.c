/* SPDX-License-Identifier: MIT */
/* See ring_slot.h. */
#include "backends/wait/ring_slot.h"

#include "core/backend.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define BATCH        16
#define STOP_MOST_NS 100000000 /* what is not answered by then is left to the kernel */
#define DATA_MASK    (UINT64_MAX >> 8)

const char *const shunt_ring_wake_choices[] = {"eventfd", "msgring", NULL};

int shunt_ring_probe(struct shunt_error *why)
{
	struct shunt_ring_plan plan;

	return shunt_ring_plan(&plan, SHUNT_RING_DEFER, 8, 16, why);
}

static int bells_open(struct shunt_ring_wait *wait, struct shunt_error *err)
{
	size_t bytes = wait->worker_count * sizeof(*wait->bells);

	wait->bells = aligned_alloc(SHUNT_WAIT_LINE_BYTES, bytes);
	if (wait->bells == NULL)
		return shunt_fail(err, -ENOMEM, "out of memory for the workers' bells");
	memset(wait->bells, 0, bytes);
	for (unsigned i = 0; i < wait->worker_count; i++)
		wait->bells[i].event_fd = -1;
	for (unsigned i = 0; i < wait->worker_count; i++) {
		wait->bells[i].event_fd = eventfd(0, EFD_CLOEXEC);
		if (wait->bells[i].event_fd < 0)
			return shunt_fail(err, errno == EINVAL ? -EOPNOTSUPP : -errno,
				"eventfd: %s", strerror(errno));
	}
	return 0;
}

static void bells_close(struct shunt_ring_wait *wait)
{
	for (unsigned i = 0; wait->bells != NULL && i < wait->worker_count; i++)
		if (wait->bells[i].event_fd >= 0)
			close(wait->bells[i].event_fd);
	free(wait->bells);
	wait->bells = NULL;
}

static int wait_init(struct shunt_ring_wait *wait, const struct shunt_wait_config *config,
	enum shunt_ring_setup setup, unsigned sq_entries, unsigned cq_entries,
	struct shunt_error *err)
{
	int code = shunt_ring_plan(&wait->plan, setup, sq_entries, cq_entries, err);

	if (code != 0)
		return code;
	wait->wake = (int)shunt_value_int(config->values, "wake");
	wait->worker_count = config->worker_count;
	wait->fired = config->fired;
	wait->event = config->event;
	if (wait->wake == SHUNT_WAKE_MSGRING && !wait->plan.messages)
		return shunt_fail(err, -EOPNOTSUPP,
			"this kernel's io_uring cannot send silent messages between rings (needs "
			"Linux 5.18); use wake=eventfd");
	code = bells_open(wait, err);
	if (code != 0)
		bells_close(wait);
	return code;
}

int shunt_ring_wait_new(void **wait, size_t bytes, const struct shunt_wait_config *config,
	enum shunt_ring_setup setup, unsigned sq_entries, unsigned cq_entries,
	struct shunt_error *err)
{
	struct shunt_ring_wait *new = calloc(1, bytes);
	int code;

	if (new == NULL)
		return shunt_fail(err, -ENOMEM, "out of memory for the ring wait");
	code = wait_init(new, config, setup, sq_entries, cq_entries, err);
	if (code != 0)
		free(new);
	else
		*wait = new;
	return code;
}

void shunt_ring_wait_close(void *wait)
{
	bells_close(wait);
	free(wait);
}

static int slot_init(struct shunt_ring_slot *slot, struct shunt_ring_wait *wait,
	unsigned worker_index, struct shunt_error *err)
{
	int code;

	slot->wait = wait;
	slot->bell = &wait->bells[worker_index];
	code = shunt_ring_open(&slot->ring, &wait->plan, &slot->calls, err);
	if (code != 0)
		return code;
	shunt_wait_word_awake(&slot->bell->word);
	/* Relaxed: ordered by the word [ring:bell-fd]. */
	atomic_store_explicit(&slot->bell->ring_fd, shunt_ring_fd(slot->ring),
		memory_order_relaxed);
	return 0;
}

int shunt_ring_slot_new(void **slot, size_t bytes, struct shunt_ring_wait *wait,
	unsigned worker_index, void *arg, struct shunt_error *err)
{
	struct shunt_ring_slot *new = aligned_alloc(SHUNT_WAIT_LINE_BYTES, bytes);
	int code;

	if (new == NULL)
		return shunt_fail(err, -ENOMEM, "out of memory for a worker's ring");
	memset(new, 0, bytes);
	new->arg = arg;
	code = slot_init(new, wait, worker_index, err);
	if (code != 0)
		free(new);
	else
		*slot = new;
	return code;
}

/* ---- waking ---------------------------------------------------------------------------------- */

static void write_event(const struct shunt_bell *bell)
{
	/* Blocks only when 2^64 - 2 wakes were not read. */
	(void)!write(bell->event_fd, &(uint64_t){1}, sizeof(uint64_t));
}

bool shunt_ring_slot_result(struct shunt_ring_slot *slot, const struct shunt_ring_result *result)
{
	switch (SHUNT_RING_TAG(result->user_data)) {
	case SHUNT_RING_READ:
		slot->reading = false;
		return true;
	case SHUNT_RING_FAILED:
		shunt_wait_called(&slot->calls);
		write_event(&slot->wait->bells[(uint32_t)result->user_data]);
		return true;
	case SHUNT_RING_IO:
		slot->operations--;
		slot->wait->event(slot->arg, result->user_data & DATA_MASK, result->code);
		return true;
	case SHUNT_RING_RUNG:
	case SHUNT_RING_CHANGE:
		return true;
	default:
		return false;
	}
}

int shunt_ring_slot_listen(struct shunt_ring_slot *slot)
{
	int code;

	if (slot->reading)
		return 0;
	code = shunt_ring_room(slot->ring, 1);
	if (code != 0)
		return code;
	shunt_ring_add_read(slot->ring, slot->bell->event_fd, &slot->event_count,
		SHUNT_RING_DATA(SHUNT_RING_READ, 0));
	slot->reading = true;
	return 0;
}

/*
 * Ends the read of the eventfd before its ring is closed. Newer kernels cancel what is in a closed
 * ring some time later. Until then the read could still happen: it would write into memory that
 * this slot no longer owns, and take a wake meant for the next run's ring.
 */
static void stop_listening(struct shunt_ring_slot *slot)
{
	struct shunt_ring_result result[BATCH];
	int64_t until_ns = shunt_wait_now_ns() + STOP_MOST_NS;

	if (!slot->reading)
		return;
	write_event(slot->bell);
	while (slot->reading && shunt_wait_now_ns() < until_ns &&
		shunt_ring_wait(slot->ring, until_ns) == 0) {
		unsigned count = shunt_ring_take(slot->ring, result, BATCH);

		for (unsigned i = 0; i < count; i++)
			shunt_ring_slot_result(slot, &result[i]);
	}
}

/* Takes results until those of all operations have come. */
static void await_operations(struct shunt_ring_slot *slot, int64_t until_ns)
{
	struct shunt_ring_result result[BATCH];

	while (slot->operations > 0 && shunt_wait_now_ns() < until_ns &&
		shunt_ring_wait(slot->ring, until_ns) == 0) {
		unsigned count = shunt_ring_take(slot->ring, result, BATCH);

		for (unsigned i = 0; i < count; i++)
			shunt_ring_slot_result(slot, &result[i]);
	}
}

/* A run that has failed leaves tasks in the middle of operations, whose buffers are on stacks that
 * will be freed: the kernel must have done with them. It has cancelled the read as well. */
static void stop_operations(struct shunt_ring_slot *slot)
{
	if (slot->operations == 0)
		return;
	if (shunt_ring_room(slot->ring, 1) == 0)
		shunt_ring_add_cancel_all(slot->ring, SHUNT_RING_DATA(SHUNT_RING_CHANGE, 0));
	await_operations(slot, shunt_wait_now_ns() + 50 * (int64_t)STOP_MOST_NS);
	if (slot->operations > 0 && !slot->lossy)
		shunt_panic("%u operations of a failed run could not be cancelled, and the kernel "
			    "may still write to their buffers",
			slot->operations);
}

void shunt_ring_slot_stop(void *slot)
{
	struct shunt_ring_slot *self = slot;

	stop_operations(self);
	stop_listening(self);
	/* Relaxed: a statistic, read when no worker runs. */
	atomic_fetch_add_explicit(&self->wait->overflows, shunt_ring_overflows(self->ring),
		memory_order_relaxed);
	shunt_ring_close(self->ring);
	free(self);
}

/* Posts into the sleeper's ring; false: use the eventfd. A refusal is known at once, as a rule;
 * this worker may not look at its results for long. */
static bool send_message(struct shunt_ring_slot *from, struct shunt_ring_slot *target)
{
	uint64_t index = (uint64_t)(target->bell - target->wait->bells);
	uint64_t failed = SHUNT_RING_DATA(SHUNT_RING_FAILED, index);
	unsigned before = shunt_ring_posted(from->ring);

	if (shunt_ring_room(from->ring, 1) != 0)
		return false;
	/* Relaxed: ordered by the word, in which we found the target asleep [ring:bell-fd]. So its
	 * ring is enabled, as no worker sleeps before it owns its ring: no -EBADFD. */
	shunt_ring_add_message(from->ring,
		atomic_load_explicit(&target->bell->ring_fd, memory_order_relaxed),
		SHUNT_RING_DATA(SHUNT_RING_RUNG, 0), failed);
	/* Refused for the moment, it goes with the next submission: too late for a sleeper. */
	return shunt_ring_submit(from->ring) == 0 &&
	       !shunt_ring_has_since(from->ring, before, failed);
}

void shunt_ring_slot_wake(void *target, void *from)
{
	struct shunt_ring_slot *self = target;
	struct shunt_ring_slot *waker = from;

	if (!shunt_wait_word_notify(&self->bell->word))
		return;
	if (waker != NULL && self->wait->wake == SHUNT_WAKE_MSGRING && send_message(waker, self))
		return;
	shunt_wait_called_for(&self->calls, waker != NULL ? &waker->calls : NULL);
	write_event(self->bell);
}

/* ---- operations ------------------------------------------------------------------------------ */

int shunt_ring_slot_submit(void *slot, const struct shunt_io_op *op, uint64_t data)
{
	struct shunt_ring_slot *self = slot;
	int code = shunt_ring_room(self->ring, 1);

	if (code != 0)
		return code;
	shunt_ring_add_operation(self->ring, op, SHUNT_RING_DATA(SHUNT_RING_IO, data));
	self->operations++;
	return 0;
}

/* Refused for the moment, it is asked for again: the caller waits for the operation's own end. */
void shunt_ring_slot_cancel(void *slot, uint64_t data)
{
	struct shunt_ring_slot *self = slot;

	while (shunt_ring_room(self->ring, 1) != 0)
		sched_yield();
	shunt_ring_add_cancel(self->ring, SHUNT_RING_DATA(SHUNT_RING_IO, data),
		SHUNT_RING_DATA(SHUNT_RING_CHANGE, 0));
}

/* ---- facts ----------------------------------------------------------------------------------- */

void shunt_ring_slot_facts(const void *wait, shunt_fact_fn *fact, void *sink)
{
	const struct shunt_ring_wait *self = wait;
	char name[64], count[24];

	shunt_ring_plan_facts(&self->plan, self->prefix, fact, sink);
	snprintf(name, sizeof(name), "%s.wake", self->prefix);
	fact(sink, name, shunt_ring_wake_choices[self->wake], "parameter");
	snprintf(name, sizeof(name), "%s.overflows", self->prefix);
	/* Relaxed: no worker runs. */
	snprintf(count, sizeof(count), "%llu",
		(unsigned long long)atomic_load_explicit(&self->overflows, memory_order_relaxed));
	fact(sink, name, count, "counted, of the completion rings");
}

uint64_t shunt_ring_slot_syscalls(const void *slot)
{
	const struct shunt_ring_slot *self = slot;

	return shunt_wait_calls_sum(&self->calls);
}
