/* SPDX-License-Identifier: MIT */
/*
 * uring-each: each sleep is an absolute IORING_OP_TIMEOUT of its own. The kernel keeps the timers.
 *
 * The naive use of io_uring for timers, kept because its cost is a result: half a microsecond of
 * kernel time a timer, and its share of interrupts; a heap takes a tenth of that. In return, user
 * space keeps no queue. Within this idea it does what it can:
 *
 *   - An armed timer only joins a list. The list goes to the kernel in batches, with the system
 *     call of a sleep where there is one; a busy worker hands it over when a second look finds it
 *     still there. A timer cancelled by then costs no call.
 *   - The kernel posts results whenever the worker leaves it, even by the timer's own interrupt
 *     (COOP_TASKRUN). No call asks for them: at 100,000 tasks 7 % less CPU a timer than with 20 a
 *     call (DEFER_TASKRUN), at 10,000 3 %.
 *   - Results that are in the ring are fired without a call. A result names its entry of the
 *     table by its index; one whose task waits for something else by now is dropped. A look takes
 *     a handful, so that what one task frees, in the kernel and here, the next one has in cache.
 *   - Where timers come due so densely that 16 or more do within `grid`, deadlines are rounded up
 *     to it, so that these share an interrupt. On a virtual machine one takes 20 us: with 10,000
 *     tasks that sleep 10 ms it was half of all CPU time, and as there was none left the median
 *     came 6 ms late instead of 0.3. Sparse timers keep their deadline to the nanosecond.
 *   - A cancelled timer that the kernel has stays there as a tombstone, for the price of one
 *     interrupt at its deadline at most. Where tombstones outnumber the rest they are marked, and
 *     taken back if they have more than FAR_NS to go and few others before them: the kernel finds
 *     what it is to remove by a walk through its list, oldest first. With 100,000 sleepers in the
 *     list, taking back tripled the cost of a timer; with 200 it saved a third.
 *
 * Its floor, the same timeouts on the same grid without tasks, is shunt-timers-floor: 100 tasks
 * cost 1.2 times that, 1,000 and more 1.4. What is above it is in user space: eight to nine cache
 * lines of each task and its entry here, at about 10 ns each though they are fetched together.
 *
 * What this slot cannot do: an idle worker cannot fire a busy one's timers, as they are in the
 * busy one's ring.
 *
 * Each submission has exactly one result (a removal only if it fails), so an index is free when its
 * result has come. If the kernel runs out of memory it says that it lost results. Then this slot
 * fires what is due and submits the rest under the next `round`; it ignores older rounds' results.
 */
#include "backends/wait/each_table.h"
#include "backends/wait/ring_slot.h"
#include "core/engine/task.h"

#include <stdlib.h>

#define SWEEP_MIN 64
#define HANDFUL   64
#define LATE_NS   1000000
#define SHARERS   16      /* timers to a grid that make it worth having */
#define BATCH     1024    /* submission entries: a pending list as long is submitted at once */
#define RESULTS   8192    /* completion entries; further results wait in the kernel's memory */
#define FAR_NS    1000000 /* a cancelled timer with less time left stays in the kernel */
#define WALK_MOST 500 /* timers before one in the kernel's list that make its removal too long */
#define ROUNDS    (1u << 24)

struct each_wait {
	struct shunt_ring_wait base;
	int64_t grid_ns;
};

struct each_slot {
	struct shunt_ring_slot base;
	shunt_fired_fn *fired;
	void *arg;
	int64_t grid_ns;      /* a power of two, or 0 */
	bool dense;           /* so that deadlines are rounded up to it */
	uint32_t armed_count; /* handed over since ... */
	int64_t armed_since_ns;

	struct shunt_each_table table;
	bool pending_seen; /* by the last poll */
	uint32_t round;
	uint64_t dropped; /* cancels accounted for */
	/* [each:cancels] relaxed: it only times a sweep; liveness is read from the task. */
	_Alignas(SHUNT_WAIT_LINE_BYTES) _Atomic uint64_t cancels;
	/* [each:in-flight] published for other workers' verdicts. */
	_Atomic size_t in_flight;
};

static const struct shunt_param each_params[] = {
	SHUNT_RING_PARAM_WAKE,
	{.name = "grid",
		.type = SHUNT_PARAM_DURATION,
		.fallback = "256us",
		.max = 1000000000,
		.help = "16 or more timers that expire within this time, a power of two in ns "
			"(rounded up), share an interrupt and are late by at most that; 0: never"},
	{.name = NULL},
};

static void publish(struct each_slot *self)
{
	/* Release pairs with each_in_flight() [each:in-flight]. */
	atomic_store_explicit(&self->in_flight, self->table.count - self->table.dead,
		memory_order_release);
}

static uint64_t data_of(const struct each_slot *self, uint32_t index)
{
	return SHUNT_RING_DATA(SHUNT_RING_TIMER, (uint64_t)self->round << 32 | index);
}

/* ---- to the kernel --------------------------------------------------------------------------- */

/* Judges by what was armed lately whether timers are dense enough to be gathered. */
static void judge_density(struct each_slot *self, int64_t now_ns)
{
	int64_t span_ns = now_ns - self->armed_since_ns;

	if (span_ns < 4 * self->grid_ns || self->grid_ns == 0)
		return;
	self->dense = self->armed_count * self->grid_ns >= SHARERS * span_ns;
	self->armed_count = 0;
	self->armed_since_ns = now_ns;
}

static int64_t kernel_deadline(const struct each_slot *self, int64_t deadline_ns)
{
	if (!self->dense || deadline_ns > SHUNT_NEVER - self->grid_ns)
		return deadline_ns;
	return (deadline_ns + self->grid_ns - 1) & -self->grid_ns;
}

enum { FIRE = 1, SUBMIT = 2 };

/*
 * Goes through the pending ones: drops the dead, with FIRE fires what is due, and with SUBMIT puts
 * the rest into the ring, submitting whatever no longer fits. 0, or -EAGAIN or -EBUSY: not all of
 * it, for the moment.
 */
static int hand_over(struct each_slot *self, int64_t now_ns, unsigned what)
{
	struct shunt_each_table *table = &self->table;
	uint32_t index = table->pending.head, left = table->pending.count;
	int code = 0;

	judge_density(self, now_ns);
	table->pending.count = 0;
	for (uint32_t next; left > 0; left--, index = next) {
		struct shunt_timer timer = table->entry[index].timer;

		next = table->entry[index].next;
		if (!shunt_timer_is_live(&timer)) {
			shunt_each_free(table, index);
			self->dropped++;
		} else if ((what & FIRE) && timer.deadline_ns <= now_ns) {
			shunt_each_free(table, index);
			self->fired(self->arg, &timer);
		} else if ((what & SUBMIT) && code == 0 &&
			   (code = shunt_ring_room(self->base.ring, 1)) == 0) {
			shunt_ring_add_timeout(self->base.ring,
				kernel_deadline(self, timer.deadline_ns), data_of(self, index));
			shunt_each_arm(table, index);
			self->armed_count++;
		} else {
			shunt_each_pend(table, index);
		}
	}
	self->pending_seen = table->pending.count > 0;
	return code;
}

/* Takes a tombstone back from the kernel, unless that costs more than to let it run down. */
static void take_back(struct each_slot *self, uint32_t index, int64_t far_ns, size_t before)
{
	bool left = self->table.entry[index].timer.deadline_ns <= far_ns ||
		    before + self->table.left > WALK_MOST ||
		    shunt_ring_room(self->base.ring, 1) != 0;

	shunt_each_bury(&self->table, index, left);
	if (!left)
		shunt_ring_add_remove(self->base.ring, data_of(self, index),
			SHUNT_RING_DATA(SHUNT_RING_CHANGE, 0));
}

/* Deals with every tombstone. */
static void sweep(struct each_slot *self, uint64_t cancels)
{
	struct shunt_each_table *table = &self->table;
	int64_t now_ns = shunt_wait_now_ns(), far_ns = now_ns + FAR_NS;
	size_t before = 0; /* live timers earlier in the kernel's list */
	uint32_t next;

	hand_over(self, now_ns, SUBMIT); /* drops those that the kernel does not know yet */
	for (uint32_t i = table->armed.head, left = table->armed.count; left > 0;
		left--, i = next) {
		next = table->entry[i].next;
		if (shunt_timer_is_live(&table->entry[i].timer))
			before++;
		else
			take_back(self, i, far_ns, before);
	}
	self->dropped = cancels;
}

static void sweep_if_due(struct each_slot *self)
{
	/* Relaxed: see [each:cancels]. */
	uint64_t cancels = atomic_load_explicit(&self->cancels, memory_order_relaxed);
	int64_t tombstones = (int64_t)(cancels - self->dropped);
	size_t rest = self->table.count - self->table.dead;

	if (tombstones <= 0 || rest == 0)
		return;
	if ((uint64_t)tombstones >= rest ||
		(tombstones >= SWEEP_MIN && (uint64_t)tombstones > rest / 2))
		sweep(self, cancels);
}

/* ---- from the kernel ------------------------------------------------------------------------- */

/* Returns the deadline of the timer that fired; SHUNT_NEVER: none did. */
static int64_t timer_result(struct each_slot *self, const struct shunt_ring_result *result)
{
	struct shunt_each_table *table = &self->table;
	uint32_t index = (uint32_t)result->user_data;
	struct shunt_timer timer;

	if ((result->user_data >> 32 & (ROUNDS - 1)) != self->round)
		return SHUNT_NEVER; /* of before results were lost */
	if (table->entry[index].state != SHUNT_EACH_ARMED) {
		shunt_each_free(table, index); /* a tombstone already dealt with */
		return SHUNT_NEVER;
	}
	timer = table->entry[index].timer;
	shunt_each_unlink(table, index);
	if (result->code != -ETIME && result->code != -ECANCELED &&
		timer.deadline_ns > shunt_wait_now_ns()) {
		shunt_each_pend(table, index); /* the kernel had no memory for it: once more */
		return SHUNT_NEVER;
	}
	shunt_each_free(table, index);
	if (!shunt_timer_is_live(&timer)) {
		self->dropped++;
		return SHUNT_NEVER;
	}
	self->fired(self->arg, &timer);
	return timer.deadline_ns;
}

/* The kernel lost results, and with them some of what is armed: what is due is fired by the clock,
 * the rest goes in again. */
static void start_anew(struct each_slot *self)
{
	struct shunt_each_table *table = &self->table;
	int64_t now_ns = shunt_wait_now_ns();

	self->round = (self->round + 1) % ROUNDS;
	self->base.reading = false;
	table->armed.count = 0;
	for (uint32_t i = 0; i < table->capacity; i++) {
		struct shunt_timer timer = table->entry[i].timer;
		uint32_t state = table->entry[i].state;

		if (state == SHUNT_EACH_FREE || state == SHUNT_EACH_PENDING)
			continue;
		if (state == SHUNT_EACH_ARMED && timer.deadline_ns > now_ns) {
			shunt_each_pend(table, i);
			continue;
		}
		shunt_each_free(table, i);
		if (shunt_timer_is_live(&timer))
			self->fired(self->arg, &timer);
	}
}

/* Prefetches the entries of these results, and their tasks, together. A result of an older round
 * may name an entry that the table no longer has. Always inlined: gcc drops the call of a function
 * that only prefetches. */
static inline __attribute__((always_inline)) void prefetch(const struct each_slot *self,
	const struct shunt_ring_result *result, unsigned count)
{
	const struct shunt_each_entry *entry = self->table.entry;
	uint64_t ours = data_of(self, 0) >> 32;

	for (unsigned i = 0; i < count; i++)
		if (result[i].user_data >> 32 == ours)
			__builtin_prefetch(&entry[(uint32_t)result[i].user_data], 1);
	for (unsigned i = 0; i < count; i++)
		if (result[i].user_data >> 32 == ours)
			__builtin_prefetch(&entry[(uint32_t)result[i].user_data].timer.task->word,
				1);
}

/* Takes a handful. It goes on while no task waited for any, since an idle worker sleeps when a look
 * finds nothing, and while they are late, since a busy worker looks only every 61 switches. */
static void reap(struct each_slot *self)
{
	struct shunt_ring_result result[HANDFUL];
	int64_t due_ns;
	unsigned count;

	do {
		due_ns = SHUNT_NEVER;
		count = shunt_ring_take(self->base.ring, result, HANDFUL);
		prefetch(self, result, count);
		for (unsigned i = 0; i < count; i++)
			if (!shunt_ring_slot_result(&self->base, &result[i]))
				due_ns = timer_result(self, &result[i]);
	} while (count == HANDFUL &&
		 (due_ns == SHUNT_NEVER || shunt_wait_now_ns() - due_ns > LATE_NS));
	if (shunt_ring_lost(self->base.ring)) {
		shunt_ring_slot_lost(&self->base);
		start_anew(self);
	}
	shunt_each_shrink(&self->table);
}

/* ---- hooks ----------------------------------------------------------------------------------- */

static int64_t power_of_two(int64_t least)
{
	int64_t power = 1;

	while (power < least)
		power *= 2;
	return least > 0 ? power : 0;
}

static int each_open(void **wait, const struct shunt_wait_config *config, struct shunt_error *err)
{
	struct each_wait *self;
	void *new;
	int code = shunt_ring_wait_new(&new, sizeof(*self), config, SHUNT_RING_COOP, BATCH, RESULTS,
		err);

	if (code != 0)
		return code;
	self = new;
	self->base.prefix = "wait.uring-each";
	self->grid_ns = power_of_two(shunt_value_int(config->values, "grid"));
	*wait = self;
	return 0;
}

static int each_start(void *wait, unsigned worker_index, void *arg, void **slot,
	struct shunt_error *err)
{
	struct each_wait *self = wait;
	struct each_slot *new;
	int code = shunt_ring_slot_new(slot, sizeof(*new), &self->base, worker_index, arg, err);

	if (code != 0)
		return code;
	new = *slot;
	new->fired = self->base.fired;
	new->arg = arg;
	new->grid_ns = self->grid_ns;
	shunt_each_init(&new->table);
	return 0;
}

static void each_stop(void *slot)
{
	struct each_slot *self = slot;
	struct shunt_each_entry *entry = self->table.entry;

	shunt_ring_slot_stop(self); /* the kernel drops what is still armed */
	free(entry);
}

static int each_arm(void *slot, const struct shunt_timer *timer)
{
	struct each_slot *self = slot;
	uint32_t index;
	int code;

	sweep_if_due(self);
	code = shunt_each_new(&self->table, timer, &index);
	if (code != 0)
		return code;
	shunt_each_pend(&self->table, index);
	if (self->table.pending.count >= BATCH && hand_over(self, shunt_wait_now_ns(), SUBMIT) == 0)
		shunt_ring_submit(self->base.ring); /* refused for the moment: goes with the next */
	publish(self);
	return 0;
}

static void each_cancelled(void *slot, const struct shunt_timer *timer)
{
	struct each_slot *self = slot;

	(void)timer;
	/* Relaxed: see [each:cancels]. */
	atomic_fetch_add_explicit(&self->cancels, 1, memory_order_relaxed);
}

static size_t each_in_flight(const void *slot)
{
	const struct each_slot *self = slot;

	/* Acquire pairs with publish() [each:in-flight]. */
	return atomic_load_explicit(&self->in_flight, memory_order_acquire);
}

static void each_poll(void *slot)
{
	struct each_slot *self = slot;
	struct shunt_each_table *table = &self->table;
	/* The first time it may be an idle worker's last look, and its sleep will submit. */
	bool submit = self->pending_seen;
	int code = 0;

	if (table->pending.count > 0) {
		int64_t now_ns = shunt_wait_now_ns();

		if (submit || table->pending_least_ns <= now_ns)
			code = hand_over(self, now_ns, submit ? FIRE | SUBMIT : FIRE);
	}
	reap(self); /* where it asks for results, the same call submits */
	publish(self);
	if (submit && code == 0)
		shunt_ring_submit(self->base.ring); /* refused for the moment: goes with the next */
	self->pending_seen = table->pending.count > 0 ||
			     shunt_ring_unsubmitted(self->base.ring) > 0;
}

/* The engine reads in_flight() next, to tell a deadlock from a wait for timers. */
static void each_prepare(void *slot)
{
	struct each_slot *self = slot;

	sweep_if_due(self);
	publish(self);
}

static int sleep_until(struct each_slot *self, int64_t deadline_ns)
{
	size_t count = self->table.count;
	int code = shunt_ring_slot_listen(&self->base);

	if (code == 0 && self->table.pending.count > 0)
		code = hand_over(self, shunt_wait_now_ns(), FIRE | SUBMIT);
	if (code == -EAGAIN || code == -EBUSY || count != self->table.count)
		return 0; /* refused for the moment, or some were due: spurious */
	if (code != 0)
		return code;
	return shunt_ring_wait(self->base.ring, deadline_ns);
}

static int each_commit(void *slot, int64_t deadline_ns)
{
	struct each_slot *self = slot;
	int code = 0;

	/* No result is taken between SLEEPING and the wait: it could be a timer, or news of a
	 * wake. */
	if (shunt_wait_word_sleep(&self->base.bell->word))
		code = sleep_until(self, deadline_ns);
	shunt_wait_word_awake(&self->base.bell->word);
	self->pending_seen = false;
	/* Not published: this worker still counts as idle, and another one that found neither these
	 * timers nor the tasks that they wake would take it for a deadlock. */
	reap(self);
	return shunt_ring_slot_code(&self->base, code);
}

static void each_collect(void *slot)
{
	struct each_slot *self = slot;

	if (shunt_ring_unsubmitted(self->base.ring) > 0)
		shunt_ring_submit(self->base.ring); /* refused for the moment: goes with the next */
	reap(self);
	publish(self);
}

const struct shunt_wait shunt_wait_uring_each = {
	.name = "uring-each",
	.summary = "each sleep is a timeout operation of its own; the kernel keeps the timers",
	.params = each_params,
	.own_timers = true,
	.probe = shunt_ring_probe,
	.open = each_open,
	.close = shunt_ring_wait_close,
	.start = each_start,
	.stop = each_stop,
	.poll = each_poll,
	.prepare = each_prepare,
	.commit = each_commit,
	.wake = shunt_ring_slot_wake,
	.arm = each_arm,
	.cancelled = each_cancelled,
	.in_flight = each_in_flight,
	.facts = shunt_ring_slot_facts,
	.syscalls = shunt_ring_slot_syscalls,
	.submit = shunt_ring_slot_submit,
	.cancel = shunt_ring_slot_cancel,
	.collect = each_collect,
};
