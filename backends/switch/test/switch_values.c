/* SPDX-License-Identifier: MIT */
/*
 * If this passes, a swap carries values both ways and keeps each context's locals, through a
 * million swaps between 2 and among 1,000 contexts, and 200 contexts deep.
 */
#include "backends/switch/test/variants.h"

#define SWAPS    1000000
#define CONTEXTS 1000
#define DEPTH    200

static const struct shunt_switch_ops *ops;

/* Two contexts: each answers n with n + 1. */
static void *main_sp, *other_sp;

static void answer(uintptr_t value)
{
	for (;;)
		value = ops->swap(&other_sp, main_sp, value + 1);
}

static void two(const struct shunt_switch_ops *variant)
{
	void *stack = stack_new();
	uintptr_t value = 0;

	ops = variant;
	other_sp = ops->make(stack, STACK_BYTES, answer);
	for (unsigned i = 0; i < SWAPS / 2; i++)
		value = ops->swap(&main_sp, other_sp, value + 1);
	assert_int_equal(value, SWAPS);
	free(stack);
}

static void two_contexts(void **state)
{
	(void)state;
	for_each_variant(two);
}

/* A ring: each passes on to the next and keeps a checksum of its own in its locals. */
static struct ring {
	void *sp;
	uintptr_t rounds, sum;
} ring[CONTEXTS];

static void ring_step(uintptr_t index)
{
	struct ring *self = &ring[index];
	struct ring *next = &ring[(index + 1) % CONTEXTS];
	uintptr_t sum = index, rounds = 0;

	for (;;) {
		uintptr_t got = ops->swap(&self->sp, next->sp, (index + 1) % CONTEXTS);

		sum = sum * 31 + got;
		self->sum = sum;
		self->rounds = ++rounds;
	}
}

static void ring_of(const struct shunt_switch_ops *variant)
{
	void *stacks[CONTEXTS] = {NULL};
	uintptr_t rounds = 0;

	ops = variant;
	for (uintptr_t i = 1; i < CONTEXTS; i++) {
		stacks[i] = stack_new();
		ring[i].sp = ops->make(stacks[i], STACK_BYTES, ring_step);
		ring[i].rounds = ring[i].sum = 0;
	}
	while (rounds * CONTEXTS < SWAPS) {
		assert_int_equal(ops->swap(&ring[0].sp, ring[1].sp, 1), 0);
		rounds++;
	}
	for (uintptr_t i = 1; i < CONTEXTS; i++) {
		uintptr_t sum = i;

		for (uintptr_t r = 1; r < rounds; r++)
			sum = sum * 31 + i;
		assert_int_equal(ring[i].rounds, rounds - 1);
		assert_int_equal(ring[i].sum, sum);
		free(stacks[i]);
	}
}

static void ring_of_contexts(void **state)
{
	(void)state;
	for_each_variant(ring_of);
}

/* Nesting: each context makes the next one on its own way down, and hears from it on the way up. */
static struct {
	void *sp, *stack;
} level[DEPTH + 1];

static void descend(uintptr_t depth)
{
	uintptr_t heard = 0;

	if (depth < DEPTH) {
		level[depth + 1].sp = ops->make(level[depth + 1].stack, STACK_BYTES, descend);
		heard = ops->swap(&level[depth].sp, level[depth + 1].sp, depth + 1);
	}
	ops->swap(&level[depth].sp, level[depth - 1].sp, heard + depth);
}

static void nested(const struct shunt_switch_ops *variant)
{
	ops = variant;
	for (unsigned i = 1; i <= DEPTH; i++)
		level[i].stack = stack_new();
	level[1].sp = ops->make(level[1].stack, STACK_BYTES, descend);
	assert_int_equal(ops->swap(&level[0].sp, level[1].sp, 1), DEPTH * (DEPTH + 1) / 2);
	for (unsigned i = 1; i <= DEPTH; i++)
		free(level[i].stack);
}

static void nested_contexts(void **state)
{
	(void)state;
	for_each_variant(nested);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(two_contexts),
		cmocka_unit_test(ring_of_contexts),
		cmocka_unit_test(nested_contexts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
