/* SPDX-License-Identifier: MIT */
/*
 * wheel: a hierarchical timing wheel (Varghese and Lauck, Hashed and Hierarchical Timing Wheels,
 * SOSP 1987; their scheme 7).
 *
 * Time is cut into ticks of a power of two nanoseconds. A timer lies at the level at which its
 * tick first differs from the wheel's present tick, read as digits of base 64, in the slot that
 * this digit names. When the present reaches a slot its timers move down. So a level's slots are
 * due in order, ten levels cover all time, and no list for the far future is needed. Arm is O(1);
 * a timer moves down at most once a level before it is due.
 *
 * From level 3 on, where a digit is 268 ms and more, the digit below names the slot too: what is
 * due first would wait for the move of all that is due in that time. Such a slot moves down one
 * level alone, and from level 3 as a whole, since one slot of level 2 is as long.
 *
 * Of the levels below 3, every timer of one is due before every timer of the next. From level 3 on
 * that holds for what was armed at a time; what is armed later for the same tick lies lower, as the
 * present comes nearer. So what moves down goes before what lies there, and the timers of a tick
 * keep the order in which they were armed. One that was overdue then counts as due then.
 *
 * The tick bounds the order and nothing else. A due slot is searched for the timers whose exact
 * deadline has passed, the others stay; each slot keeps its least deadline, so that earliest() is
 * exact while that timer lives and a bound before the next one when it was cancelled. What suits
 * it: very many timers, most of them cancelled. What does not: few timers, where the heap's one
 * cache line beats the wheel's many.
 *
 * Tombstones are dropped when they come due, and swept when they outnumber the rest or
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
#define FINE          3  /* from this level on the digit below names the slot too */
#define LEVELS        11 /* 11 digits of 6 bits hold 63 bits, whatever the tick */
#define NONE          UINT32_MAX
#define CAPACITY_MIN  64
#define CAPACITY_KEPT 16384 /* nodes an empty wheel may keep: 512 KiB */
#define SWEEP_MIN     64
#define HANDFUL       16 /* nodes whose tasks are fetched together */
#define HOT           static inline __attribute__((always_inline))

struct node {
	struct shunt_timer timer;
	uint32_t next;
};

struct list {
	uint32_t head, tail;
	int64_t least_ns; /* no timer of the list is due before; valid unless empty */
};

/* What lies at one level: a row for its digit, in it a slot for the digit below, or one. */
struct level {
	uint64_t rows;                  /* one bit a row: something is in it */
	uint64_t slots[SLOTS];          /* of each row, one bit a slot */
	struct list slot[SLOTS][SLOTS]; /* by the digit below first: below FINE they are together */
};

/* Where a timer lies. */
struct place {
	unsigned level, digit, below;
};

struct wheel {
	uint64_t tick;   /* the present one; nothing lies before it but in its own slot */
	unsigned levels; /* one bit a level: something is in it */
	struct level level[LEVELS];

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

static unsigned digit_of(uint64_t tick, unsigned level)
{
	return (unsigned)(tick >> (level * DIGIT_BITS)) % SLOTS;
}

/* Where a timer of that tick lies at that level. */
static struct place place_at(uint64_t tick, unsigned level)
{
	return (struct place){level, digit_of(tick, level),
		level >= FINE ? digit_of(tick, level - 1) : 0};
}

static struct list *list_at(struct wheel *wheel, struct place at)
{
	return &wheel->level[at.level].slot[at.below][at.digit];
}

static bool is_occupied(const struct wheel *wheel, struct place at)
{
	return wheel->level[at.level].slots[at.digit] >> at.below & 1;
}

/* Puts a list behind what is in a slot. */
HOT void append(struct wheel *wheel, struct place at, struct list more)
{
	struct level *level = &wheel->level[at.level];
	struct list *list = list_at(wheel, at);

	if (!is_occupied(wheel, at)) {
		*list = more;
		level->slots[at.digit] |= UINT64_C(1) << at.below;
		level->rows |= UINT64_C(1) << at.digit;
		wheel->levels |= 1u << at.level;
		return;
	}
	wheel->node[list->tail].next = more.head;
	list->tail = more.tail;
	if (more.least_ns < list->least_ns)
		list->least_ns = more.least_ns;
}

/* Empties a slot and returns what was in it. */
HOT struct list take(struct wheel *wheel, struct place at)
{
	struct level *level = &wheel->level[at.level];

	level->slots[at.digit] &= ~(UINT64_C(1) << at.below);
	if (level->slots[at.digit] == 0)
		level->rows &= ~(UINT64_C(1) << at.digit);
	if (level->rows == 0)
		wheel->levels &= ~(1u << at.level);
	return *list_at(wheel, at);
}

/* The tick that a node counts as, seen from the present one. */
static uint64_t node_tick(const struct wheel *wheel, uint32_t index)
{
	uint64_t tick = tick_of(wheel->node[index].timer.deadline_ns);

	return tick > wheel->tick ? tick : wheel->tick;
}

/* Puts a node behind the others of its tick at that level. */
HOT void put(struct wheel *wheel, uint32_t index, unsigned level)
{
	wheel->node[index].next = NONE;
	append(wheel, place_at(node_tick(wheel, index), level),
		(struct list){index, index, wheel->node[index].timer.deadline_ns});
}

/* The first level at which a tick differs from the present one. */
static unsigned level_of(const struct wheel *wheel, uint64_t tick)
{
	return tick == wheel->tick
		       ? 0
		       : (63 - (unsigned)__builtin_clzll(tick ^ wheel->tick)) / DIGIT_BITS;
}

/* Puts a list before what is in a slot. */
static void prepend(struct wheel *wheel, struct place at, struct list older)
{
	bool some = is_occupied(wheel, at);
	struct list newer;

	if (some)
		newer = take(wheel, at);
	append(wheel, at, older);
	if (some)
		append(wheel, at, newer);
}

/* Moves the nodes of a slot below FINE, tombstones too: to tell them apart would touch every task.
 * Nothing lies where they go. */
static void place_anew(struct wheel *wheel, uint32_t head)
{
	uint32_t next;

	for (uint32_t i = head; i != NONE; i = next) {
		next = wheel->node[i].next;
		put(wheel, i, level_of(wheel, node_tick(wheel, i)));
	}
}

/* The same from a level above FINE, to a row where what was armed later may lie. */
static void move_down(struct wheel *wheel, struct place from, uint32_t head)
{
	struct place to = {from.level - 1, from.below, 0};
	uint64_t newer = wheel->level[to.level].slots[to.digit];
	struct list kept[SLOTS];
	uint32_t next;

	for (uint64_t left = newer; left != 0; left &= left - 1) {
		to.below = (unsigned)__builtin_ctzll(left);
		kept[to.below] = take(wheel, to);
	}
	for (uint32_t i = head; i != NONE; i = next) {
		next = wheel->node[i].next;
		put(wheel, i, to.level);
	}
	for (uint64_t left = newer; left != 0; left &= left - 1) {
		to.below = (unsigned)__builtin_ctzll(left);
		append(wheel, to, kept[to.below]);
	}
}

/* Moves a slot just taken down, which the present tick has reached. */
static void descend(struct wheel *wheel, struct place from, struct list list)
{
	if (from.level > FINE)
		move_down(wheel, from, list.head);
	else if (from.level == FINE)
		prepend(wheel, (struct place){FINE - 1, from.below, 0}, list);
	else
		place_anew(wheel, list.head);
}

/* The first tick of a slot. */
HOT uint64_t first_tick(const struct wheel *wheel, struct place at)
{
	unsigned low = at.level * DIGIT_BITS, high = low + DIGIT_BITS;
	uint64_t above = high < 64 ? wheel->tick >> high << high : 0;
	uint64_t below = at.level >= FINE ? (uint64_t)at.below << (low - DIGIT_BITS) : 0;

	return above | (uint64_t)at.digit << low | below;
}

/* The slot of a level that comes due first. */
HOT struct place first_at(const struct wheel *wheel, unsigned level)
{
	unsigned digit = (unsigned)__builtin_ctzll(wheel->level[level].rows);

	return (struct place){level, digit,
		(unsigned)__builtin_ctzll(wheel->level[level].slots[digit])};
}

/* The levels whose first slot may come due first: the lowest below FINE, and all from there on. */
static unsigned candidates(const struct wheel *wheel)
{
	unsigned fine = wheel->levels >> FINE << FINE, low = wheel->levels ^ fine;

	return fine | (low & -low);
}

/* The slot that comes due first, of several the highest; false: the wheel is empty. */
HOT bool first_slot(const struct wheel *wheel, struct place *first, uint64_t *tick)
{
	*tick = UINT64_MAX;
	for (unsigned left = candidates(wheel); left != 0; left &= left - 1) {
		struct place at = first_at(wheel, (unsigned)__builtin_ctz(left));
		uint64_t due = first_tick(wheel, at);

		if (due <= *tick) {
			*first = at;
			*tick = due;
		}
	}
	return wheel->levels != 0;
}

/* ---- tombstones ------------------------------------------------------------------------------ */

/* Has the words of a list's next tasks come into the cache, all at once. */
static void prefetch(const struct wheel *wheel, uint32_t index)
{
	for (unsigned n = 0; n < HANDFUL && index != NONE; n++, index = wheel->node[index].next)
		__builtin_prefetch(&wheel->node[index].timer.task->word, 1);
}

/* Drops the dead of a slot just taken from a level and puts the rest back. */
static void replace(struct wheel *wheel, unsigned level, uint32_t head)
{
	uint32_t next;
	unsigned seen = 0;

	for (uint32_t i = head; i != NONE; i = next) {
		if (seen++ % HANDFUL == 0)
			prefetch(wheel, i);
		next = wheel->node[i].next;
		if (shunt_timer_is_live(&wheel->node[i].timer)) {
			put(wheel, i, level);
		} else {
			node_free(wheel, i);
			wheel->dropped++;
		}
	}
}

static void sweep_row(struct wheel *wheel, unsigned level, unsigned digit)
{
	for (uint64_t left = wheel->level[level].slots[digit]; left != 0; left &= left - 1) {
		unsigned below = (unsigned)__builtin_ctzll(left);

		replace(wheel, level, take(wheel, (struct place){level, digit, below}).head);
	}
}

/* A live timer goes back to the slot it came from, as the present tick does not change. */
static void sweep(struct wheel *wheel, uint64_t cancels)
{
	for (unsigned level = 0; level < LEVELS; level++)
		for (uint64_t left = wheel->level[level].rows; left != 0; left &= left - 1)
			sweep_row(wheel, level, (unsigned)__builtin_ctzll(left));
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
	put(wheel, index, level_of(wheel, node_tick(wheel, index)));
	return 0;
}

static void wheel_cancelled(void *queue)
{
	struct wheel *wheel = queue;

	/* Relaxed: see [wheel:cancels]. */
	atomic_fetch_add_explicit(&wheel->cancels, 1, memory_order_relaxed);
}

/* Fires what is due of the present slot of level 0, `list`, just taken; the rest stays in it. */
static size_t fire(struct wheel *wheel, struct list list, int64_t now_ns, size_t most,
	shunt_fired_fn *fired, void *arg)
{
	size_t called = 0;
	uint32_t next;
	unsigned seen = 0;

	for (uint32_t i = list.head; i != NONE; i = next) {
		if (called == most) {
			prepend(wheel, place_at(wheel->tick, 0),
				(struct list){i, list.tail, list.least_ns});
			break;
		}
		if (seen++ % HANDFUL == 0)
			prefetch(wheel, i);
		struct shunt_timer timer = wheel->node[i].timer;
		bool live = shunt_timer_is_live(&timer);

		next = wheel->node[i].next;
		if (live && timer.deadline_ns > now_ns) {
			put(wheel, i, 0);
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
	uint64_t now_tick = tick_of(now_ns), tick;
	size_t called = 0;
	struct place first;

	while (called < most && first_slot(wheel, &first, &tick) && tick <= now_tick) {
		struct list list = take(wheel, first);

		wheel->tick = tick;
		if (first.level > 0) {
			descend(wheel, first, list);
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
	int64_t earliest_ns = SHUNT_NEVER;

	sweep_if_due(wheel);
	for (unsigned left = candidates(wheel); left != 0; left &= left - 1) {
		struct place first = first_at(wheel, (unsigned)__builtin_ctz(left));
		int64_t least_ns = list_at(wheel, first)->least_ns;

		earliest_ns = least_ns < earliest_ns ? least_ns : earliest_ns;
	}
	return earliest_ns;
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
