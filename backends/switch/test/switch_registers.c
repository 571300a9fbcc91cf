/* SPDX-License-Identifier: MIT */
/*
 * If this passes, every callee-saved register of a context is the same after a swap away and back,
 * whatever the other context and a post function did to it.
 */
#include "backends/switch/test/registers.h"
#include "backends/switch/test/variants.h"

#define ROUNDS 50

static const struct shunt_switch_ops *ops;
static void *main_sp, *other_sp;
static uint64_t main_held[REGISTERS_MAX], other_held[REGISTERS_MAX];
static unsigned other_damaged, posts;

static void pattern(uint64_t *held, uint64_t seed)
{
	for (unsigned i = 0; i < registers_count; i++)
		held[i] = (seed << 32 | (i + 1)) * 0x9e3779b97f4a7c15u;
}

static unsigned damaged(const uint64_t *held, uint64_t seed)
{
	uint64_t expected[REGISTERS_MAX];
	unsigned count = 0;

	pattern(expected, seed);
	for (unsigned i = 0; i < registers_count; i++)
		count += held[i] != expected[i];
	return count;
}

static void post(void *arg)
{
	++*(unsigned *)arg;
}

/* Odd rounds go through swap_post. */
static void hold(unsigned round, void **save, void *load, uint64_t *held)
{
	void (*swap)(void) = round & 1 ? (void (*)(void))ops->swap_post : (void (*)(void))ops->swap;

	registers_hold(swap, save, load, post, &posts, held);
}

static void other(uintptr_t value)
{
	(void)value;
	for (unsigned round = 0;; round++) {
		pattern(other_held, ~(uint64_t)round);
		hold(round >> 1, &other_sp, main_sp, other_held);
		other_damaged += damaged(other_held, ~(uint64_t)round);
	}
}

static void both_ways(const struct shunt_switch_ops *variant)
{
	void *stack = stack_new();

	ops = variant;
	other_damaged = posts = 0;
	other_sp = ops->make(stack, STACK_BYTES, other);
	for (unsigned round = 0; round < ROUNDS; round++) {
		pattern(main_held, round);
		hold(round, &main_sp, other_sp, main_held);
		assert_int_equal(damaged(main_held, round), 0);
		assert_int_equal(other_damaged, 0);
	}
	assert_true(posts >= ROUNDS - 2 && posts <= ROUNDS);
	free(stack);
}

static void registers_survive(void **state)
{
	(void)state;
	assert_true(registers_count <= REGISTERS_MAX);
	for_each_variant(both_ways);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(registers_survive),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
