/* SPDX-License-Identifier: MIT */
/*
 * wheel: a hierarchical timing wheel (Varghese and Lauck, Hashed and Hierarchical Timing Wheels,
 * SOSP 1987; their scheme 7).
 *
 * Time is cut into ticks of a power of two nanoseconds. A timer lies at the level at which its
 * tick first differs from the wheel's present tick, read as digits of base 64, in the slot that
 * this digit names. So every timer of a level is due before every timer of the level above, a
 * level's slots are due in order, nine or ten levels cover all time, and no list for the far
 * future is needed. Arm is O(1); a timer moves down at most once a level before it is due.
 *
 * The tick bounds the order and nothing else. A due slot is searched for the timers whose exact
 * deadline has passed, the others stay; each slot keeps its least deadline, so that earliest() is
 * exact while that timer lives and a bound before the next one when it was cancelled. What suits
 * it: very many timers, most of them cancelled. What does not: few timers, where the heap's one
 * cache line beats the wheel's many.
 *
 * Within a slot timers keep the order in which they were armed; one that was overdue then counts
 * as due then. Tombstones are dropped when they come due, and swept when they outnumber the rest or
 * when nothing else is left; the counting is as in heap.c.
 */
#include "core/engine/slots.h"
#include "core/engine/task.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

#define DIGIT_BITS    6
#define SLOTS         64
#define TICK_SHIFT    10 /* a tick is 1,024 ns */
#define LEVELS        11 /* 11 digits of 6 bits hold 63 bits, whatever the tick */
#define NONE          UINT32_MAX
#define CAPACITY_MIN  64
#define CAPACITY_KEPT 16384 /* nodes an empty wheel may keep: 512 KiB */
#define SWEEP_MIN     64
#define HANDFUL       16 /* nodes whose tasks are fetched together */

struct node {
	struct shunt_timer timer;
	uint32_t next;
};

struct list {
	uint32_t head, tail;
	int64_t least_ns; /* no timer of the list is due before; valid unless empty */
};

struct wheel {
	uint64_t tick;   /* the present one; nothing lies before it but in its own slot */
	unsigned levels; /* one bit a level: something is in it */
	uint64_t occupied[LEVELS];
	struct list slot[LEVELS][SLOTS];

	struct node *node;
	uint32_t free;
	size_t count;
	size_t capacity;
	uint64_t dropped; /* cancels accounted for */
	/* [wheel:cancels] relaxed: it only times a sweep, and liveness is read from the task. */
	_Atomic uint64_t cancels;
};

static int wheel_open(void **queue)
{
	struct wheel *wheel = calloc(1, sizeof(*wheel));

	if (wheel == NULL)
		return -ENOMEM;
	wheel->free = NONE;
	*queue = wheel;
	return 0;
}

static void wheel_close(void *queue)
{
	struct wheel *wheel = queue;

	free(wheel->node);
	free(wheel);
}

/* ---- nodes ----------------------------------------------------------------------------------- */

static int grow(struct wheel *wheel)
{
	size_t capacity = wheel->capacity > 0 ? wheel->capacity * 2 : CAPACITY_MIN;
	struct node *node;

	if (capacity >= NONE)
		return -ENOMEM;
	node = realloc(wheel->node, capacity * sizeof(*node));
	if (node == NULL)
		return -ENOMEM;
	for (size_t i = wheel->capacity; i < capacity; i++)
		node[i].next = i + 1 < capacity ? (uint32_t)(i + 1) : wheel->free;
	wheel->free = (uint32_t)wheel->capacity;
	wheel->node = node;
	wheel->capacity = capacity;
	return 0;
}

static void node_free(struct wheel *wheel, uint32_t index)
{
	wheel->node[index].next = wheel->free;
	wheel->free = index;
	wheel->count--;
}

static void shrink_when_empty(struct wheel *wheel)
{
	if (wheel->count > 0 || wheel->capacity <= CAPACITY_KEPT)
		return;
	free(wheel->node);
	wheel->node = NULL;
	wheel->capacity = 0;
	wheel->free = NONE;
}

/* ---- slots ----------------------------------------------------------------------------------- */

static uint64_t tick_of(int64_t time_ns)
{
	return time_ns > 0 ? (uint64_t)time_ns >> TICK_SHIFT : 0;
}

/* Puts a node where its deadline belongs, seen from the present tick. */
static void place(struct wheel *wheel, uint32_t index)
{
	struct node *node = &wheel->node[index];
	uint64_t tick = tick_of(node->timer.deadline_ns);
	unsigned level, digit;
	struct list *list;

	if (tick < wheel->tick)
		tick = wheel->tick; /* overdue */
	level = tick == wheel->tick
			? 0
			: (63 - (unsigned)__builtin_clzll(tick ^ wheel->tick)) / DIGIT_BITS;
	digit = (unsigned)(tick >> (level * DIGIT_BITS)) % SLOTS;
	list = &wheel->slot[level][digit];
	node->next = NONE;
	if (wheel->occupied[level] >> digit & 1) {
		wheel->node[list->tail].next = index;
		list->tail = index;
		if (node->timer.deadline_ns < list->least_ns)
			list->least_ns = node->timer.deadline_ns;
		return;
	}
	*list = (struct list){index, index, node->timer.deadline_ns};
	wheel->occupied[level] |= UINT64_C(1) << digit;
	wheel->levels |= 1u << level;
}

/* Places the nodes of a slot just taken anew, tombstones too: to tell them apart would touch every
 * task, and a slot that holds 100,000 timers would keep the due ones waiting for that. */
static void move_down(struct wheel *wheel, uint32_t head)
{
	uint32_t next;

	for (uint32_t i = head; i != NONE; i = next) {
		next = wheel->node[i].next;
		place(wheel, i);
	}
}

/* Empties a slot and returns what was in it. */
static struct list take(struct wheel *wheel, unsigned level, unsigned digit)
{
	wheel->occupied[level] &= ~(UINT64_C(1) << digit);
	if (wheel->occupied[level] == 0)
		wheel->levels &= ~(1u << level);
	return wheel->slot[level][digit];
}

/* The slot that comes due first; false: the wheel is empty. */
static bool first_slot(const struct wheel *wheel, unsigned *level, unsigned *digit)
{
	if (wheel->levels == 0)
		return false;
	*level = (unsigned)__builtin_ctz(wheel->levels);
	*digit = (unsigned)__builtin_ctzll(wheel->occupied[*level]);
	return true;
}

/* The first tick of a slot. */
static uint64_t slot_tick(const struct wheel *wheel, unsigned level, unsigned digit)
{
	unsigned low = level * DIGIT_BITS, high = low + DIGIT_BITS;
	uint64_t above = high < 64 ? wheel->tick >> high << high : 0;

	return above | (uint64_t)digit << low;
}

/* ---- tombstones ------------------------------------------------------------------------------ */

/* Has the words of a list's next tasks come into the cache, all at once. */
static void prefetch(const struct wheel *wheel, uint32_t index)
{
	for (unsigned n = 0; n < HANDFUL && index != NONE; n++, index = wheel->node[index].next)
		__builtin_prefetch(&wheel->node[index].timer.task->word, 1);
}

/* Drops the dead of a slot just taken and places the rest anew. */
static void replace(struct wheel *wheel, uint32_t head)
{
	uint32_t next;
	unsigned seen = 0;

	for (uint32_t i = head; i != NONE; i = next) {
		if (seen++ % HANDFUL == 0)
			prefetch(wheel, i);
		next = wheel->node[i].next;
		if (shunt_timer_is_live(&wheel->node[i].timer)) {
			place(wheel, i);
		} else {
			node_free(wheel, i);
			wheel->dropped++;
		}
	}
}

/* A live timer goes back to the slot it came from, as the present tick does not change. */
static void sweep(struct wheel *wheel, uint64_t cancels)
{
	for (unsigned level = 0; level < LEVELS; level++) {
		uint64_t left = wheel->occupied[level];

		for (; left != 0; left &= left - 1) {
			unsigned digit = (unsigned)__builtin_ctzll(left);

			replace(wheel, take(wheel, level, digit).head);
		}
	}
	wheel->dropped = cancels;
	shrink_when_empty(wheel);
}

static void sweep_if_due(struct wheel *wheel)
{
	/* Relaxed: see [wheel:cancels]. */
	uint64_t cancels = atomic_load_explicit(&wheel->cancels, memory_order_relaxed);
	int64_t tombstones = (int64_t)(cancels - wheel->dropped);

	if (tombstones <= 0 || wheel->count == 0)
		return;
	if ((uint64_t)tombstones >= wheel->count ||
		(tombstones >= SWEEP_MIN && (uint64_t)tombstones > wheel->count / 2))
		sweep(wheel, cancels);
}

/* ---- the queue ------------------------------------------------------------------------------- */

static int wheel_arm(void *queue, const struct shunt_timer *timer)
{
	struct wheel *wheel = queue;
	uint32_t index;

	sweep_if_due(wheel);
	if (wheel->free == NONE) {
		int code = grow(wheel);

		if (code != 0)
			return code;
	}
	index = wheel->free;
	wheel->free = wheel->node[index].next;
	wheel->node[index].timer = *timer;
	wheel->count++;
	place(wheel, index);
	return 0;
}

static void wheel_cancelled(void *queue)
{
	struct wheel *wheel = queue;

	/* Relaxed: see [wheel:cancels]. */
	atomic_fetch_add_explicit(&wheel->cancels, 1, memory_order_relaxed);
}

/* Puts the rest of a list back into the slot of level 0 that it was taken from. */
static void put_back(struct wheel *wheel, struct list rest)
{
	unsigned digit = (unsigned)wheel->tick % SLOTS;
	struct list *list = &wheel->slot[0][digit];

	if (wheel->occupied[0] >> digit & 1) {
		wheel->node[list->tail].next = rest.head;
		rest.head = list->head;
		rest.least_ns = list->least_ns < rest.least_ns ? list->least_ns : rest.least_ns;
	}
	*list = rest;
	wheel->occupied[0] |= UINT64_C(1) << digit;
	wheel->levels |= 1u;
}

/* Fires what is due of the present slot, `list`, just taken; the rest stays in it. */
static size_t fire(struct wheel *wheel, struct list list, int64_t now_ns, size_t most,
	shunt_fired_fn *fired, void *arg)
{
	size_t called = 0;
	uint32_t next;
	unsigned seen = 0;

	for (uint32_t i = list.head; i != NONE; i = next) {
		if (called == most) {
			put_back(wheel, (struct list){i, list.tail, list.least_ns});
			break;
		}
		if (seen++ % HANDFUL == 0)
			prefetch(wheel, i);
		struct shunt_timer timer = wheel->node[i].timer;
		bool live = shunt_timer_is_live(&timer);

		next = wheel->node[i].next;
		if (live && timer.deadline_ns > now_ns) {
			place(wheel, i);
			continue;
		}
		node_free(wheel, i);
		if (live) {
			fired(arg, &timer);
			called++;
		} else {
			wheel->dropped++;
		}
	}
	return called;
}

static size_t wheel_expire(void *queue, int64_t now_ns, size_t most, shunt_fired_fn *fired,
	void *arg)
{
	struct wheel *wheel = queue;
	uint64_t now_tick = tick_of(now_ns);
	size_t called = 0;
	unsigned level, digit;

	while (called < most && first_slot(wheel, &level, &digit)) {
		uint64_t tick = slot_tick(wheel, level, digit);
		struct list list;

		if (tick > now_tick)
			break;
		list = take(wheel, level, digit);
		wheel->tick = tick;
		if (level > 0) {
			move_down(wheel, list.head);
			continue;
		}
		called += fire(wheel, list, now_ns, most - called, fired, arg);
		if (tick == now_tick)
			break; /* the present slot may hold what is due later in this tick */
	}
	/* Nothing that is due may be left behind the present tick. */
	if (called < most && now_tick > wheel->tick)
		wheel->tick = now_tick;
	shrink_when_empty(wheel);
	return called;
}

static int64_t wheel_earliest(void *queue)
{
	struct wheel *wheel = queue;
	unsigned level, digit;

	sweep_if_due(wheel);
	return first_slot(wheel, &level, &digit) ? wheel->slot[level][digit].least_ns : SHUNT_NEVER;
}

static size_t wheel_count(const void *queue)
{
	const struct wheel *wheel = queue;

	return wheel->count;
}

const struct shunt_timers shunt_timers_wheel = {
	.name = "wheel",
	.summary = "hierarchical timing wheel: O(1) to arm and cancel, exact to the nanosecond",
	.open = wheel_open,
	.close = wheel_close,
	.arm = wheel_arm,
	.cancelled = wheel_cancelled,
	.expire = wheel_expire,
	.earliest = wheel_earliest,
	.count = wheel_count,
};
