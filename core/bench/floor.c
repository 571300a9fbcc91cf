/* SPDX-License-Identifier: MIT */
/* Floors (floor.h). One thread at a time: its state is one static scheduler. */
#include "core/bench/floor.h"

#include "core/measure/clock.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <time.h>

#define STACK_BYTES 16384
#define ALIVE       1000

struct co {
	void *sp;
	struct co *next; /* in the queue, or in the free list */
	struct co *joiner;
	bool done, token;
	_Alignas(16) unsigned char stack[STACK_BYTES];
};

static struct {
	const struct shunt_switch_ops *ops;
	struct co *current, *head, *tail, *free;
	void (*body)(struct co *self);
	uint64_t left;
	struct co main;
} fl;

static double now_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static inline void push(struct co *co)
{
	co->next = NULL;
	if (fl.head)
		fl.tail->next = co;
	else
		fl.head = co;
	fl.tail = co;
}

/* Leaves the running one for the next in the queue. */
static inline void leave(void)
{
	struct co *from = fl.current, *to = fl.head;
	fl.head = to->next;
	fl.current = to;
	fl.ops->swap(&from->sp, to->sp, 0);
}

static inline void yield(void)
{
	push(fl.current);
	leave();
}

static void entry(uintptr_t value)
{
	(void)value;
	struct co *self = fl.current;
	fl.body(self);
	self->done = true;
	if (self->joiner)
		push(self->joiner);
	self->next = fl.free;
	fl.free = self;
	struct co *to = fl.head;
	fl.head = to->next;
	fl.current = to;
	fl.ops->swap(&self->sp, to->sp, 0);
	abort();
}

static struct co *spawn(void)
{
	struct co *co = fl.free;
	if (co)
		fl.free = co->next;
	else
		co = aligned_alloc(64, (sizeof(*co) + 63) / 64 * 64);
	if (!co)
		abort();
	co->done = co->token = false;
	co->joiner = NULL;
	co->sp = fl.ops->make(co->stack, STACK_BYTES, entry);
	push(co);
	return co;
}

static void join(struct co *co)
{
	if (co->done)
		return;
	co->joiner = fl.current;
	leave();
}

static void begin(const struct shunt_switch_ops *ops, void (*body)(struct co *), uint64_t left)
{
	fl.ops = ops;
	fl.body = body;
	fl.left = left;
	fl.current = &fl.main;
	fl.head = NULL;
}

static void end(void)
{
	while (fl.free) {
		struct co *co = fl.free;
		fl.free = co->next;
		free(co);
	}
}

/* ---- swap: no queue at all ------------------------------------------------------------------- */

static void *swap_sp[2];

/* The value handed over counts the swaps, in a register. */
static void bounce(uintptr_t value)
{
	for (;;)
		value = fl.ops->swap(&swap_sp[1], swap_sp[0], value + 1);
}

static uint64_t swaps_made, swaps_cpu_ns;

uint64_t shunt_floor_swaps(uint64_t *cpu_ns)
{
	*cpu_ns = swaps_cpu_ns;
	return swaps_made;
}

double shunt_floor_swap(const struct shunt_switch_ops *ops, uint64_t operations)
{
	void *stack = aligned_alloc(64, STACK_BYTES);
	if (!stack)
		return -ENOMEM;
	begin(ops, NULL, 0);
	swap_sp[1] = ops->make(stack, STACK_BYTES, bounce);
	uintptr_t value = 0;
	uint64_t cpu_before = shunt_clock_cpu_ns();
	double start = now_ns();
	for (uint64_t i = 0; i < operations; i += 2)
		value = ops->swap(&swap_sp[0], swap_sp[1], value + 1);
	double ns = now_ns() - start;
	swaps_cpu_ns = shunt_clock_cpu_ns() - cpu_before;
	swaps_made = value;
	free(stack);
	return ns;
}

/* ---- yield ----------------------------------------------------------------------------------- */

static void yielder(struct co *self)
{
	(void)self;
	for (uint64_t i = fl.left; i; i--)
		yield();
}

double shunt_floor_yield(const struct shunt_switch_ops *ops, uint64_t operations)
{
	begin(ops, yielder, operations / 2);
	double start = now_ns();
	struct co *a = spawn(), *b = spawn();
	join(a);
	join(b);
	double ns = now_ns() - start;
	end();
	return ns;
}

/* ---- spawn and join -------------------------------------------------------------------------- */

static void nothing(struct co *self)
{
	(void)self;
}

double shunt_floor_spawn_join(const struct shunt_switch_ops *ops, uint64_t operations)
{
	static struct co *alive[ALIVE];
	uint64_t made = 0;
	begin(ops, nothing, 0);
	double start = now_ns();
	for (; made < operations; made += ALIVE) {
		for (int i = 0; i < ALIVE; i++)
			alive[i] = spawn();
		for (int i = 0; i < ALIVE; i++)
			join(alive[i]);
	}
	double ns = (now_ns() - start) * (double)operations / (double)made;
	end();
	return ns;
}

/* ---- ring ------------------------------------------------------------------------------------ */

static struct co *ring[ALIVE];

static void hopper(struct co *self)
{
	size_t at = 0;
	while (ring[at] != self)
		at++;
	struct co *next = ring[(at + 1) % ALIVE];
	for (uint64_t i = fl.left; i; i--) {
		while (!self->token)
			leave();
		self->token = false;
		next->token = true;
		if (next != fl.head)
			push(next);
	}
}

double shunt_floor_ring(const struct shunt_switch_ops *ops, uint64_t operations)
{
	begin(ops, hopper, operations / ALIVE + 1);
	for (int i = 0; i < ALIVE; i++)
		ring[i] = spawn();
	push(&fl.main);
	leave(); /* every task comes to wait for the token */
	ring[0]->token = true;
	push(ring[0]);
	double start = now_ns();
	for (int i = 0; i < ALIVE; i++)
		join(ring[i]);
	double ns = (now_ns() - start) * (double)operations /
		    (double)((operations / ALIVE + 1) * ALIVE);
	end();
	return ns;
}

/* ---- sleep ----------------------------------------------------------------------------------- */

double shunt_floor_sleep(const struct shunt_switch_ops *ops, uint64_t operations)
{
	(void)ops;
	int slack_ns = prctl(PR_GET_TIMERSLACK, 0, 0, 0, 0);
	double late_ns = 0;
	prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0);
	for (uint64_t i = operations; i; i--) {
		struct timespec at;
		clock_gettime(CLOCK_MONOTONIC, &at);
		at.tv_nsec += SHUNT_FLOOR_SLEEP_NS;
		at.tv_sec += at.tv_nsec / 1000000000;
		at.tv_nsec %= 1000000000;
		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL);
		late_ns += now_ns() - ((double)at.tv_sec * 1e9 + (double)at.tv_nsec);
	}
	prctl(PR_SET_TIMERSLACK, slack_ns < 1 ? 1 : slack_ns, 0, 0, 0);
	return late_ns;
}
