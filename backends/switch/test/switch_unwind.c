/* SPDX-License-Identifier: MIT */
/*
 * If this passes, the unwinder of the C runtime walks from inside a context to its entry and stops
 * there, from wherever it starts: the entry, a function below it after a swap, or a post function
 * before the first entry; and a post function sees the context that it runs in, not the one left.
 */
#include "backends/switch/test/variants.h"

#include <unwind.h>

#define FRAMES_MAX 32

struct walk {
	const void *functions[FRAMES_MAX]; /* their first instructions, innermost first */
	unsigned count;
	bool ended; /* by itself, and not because it ran wild */
};

static const struct shunt_switch_ops *ops;
static void *main_sp, *other_sp;
static struct walk from_entry, from_below, from_first_post, from_post;

static _Unwind_Reason_Code step(struct _Unwind_Context *context, void *arg)
{
	struct walk *walk = arg;
	uintptr_t at = _Unwind_GetIP(context);

	if (walk->count == FRAMES_MAX)
		return _URC_NORMAL_STOP;
	walk->functions[walk->count++] = at ? _Unwind_FindEnclosingFunction((void *)(at - 1))
					    : NULL;
	return _URC_NO_REASON;
}

static void __attribute__((noinline)) take(struct walk *walk)
{
	_Unwind_Reason_Code code;

	memset(walk, 0, sizeof(*walk));
	code = _Unwind_Backtrace(step, walk);
	walk->ended = code == _URC_END_OF_STACK && walk->count < FRAMES_MAX;
}

static void post(void *arg)
{
	take(arg);
	__asm__ volatile(""); /* no tail call: the frame must be there */
}

static void __attribute__((noinline)) below(void)
{
	ops->swap(&other_sp, main_sp, 0);
	take(&from_below);
	ops->swap(&other_sp, main_sp, 0);
	__asm__ volatile("");
}

static void entry(uintptr_t value)
{
	(void)value;
	take(&from_entry);
	below();
	__builtin_trap();
}

static unsigned passes(const struct walk *walk, const void *function)
{
	for (unsigned i = 0; i < walk->count; i++) {
		if (walk->functions[i] == function)
			return i + 1;
	}
	return 0;
}

static void walks_of(const struct shunt_switch_ops *variant)
{
	void *stack = stack_new();

	ops = variant;
	assert_true(ops->unwindable);
	other_sp = ops->make(stack, STACK_BYTES, entry);
	ops->swap_post(&main_sp, other_sp, 0, post, &from_first_post);
	ops->swap_post(&main_sp, other_sp, 0, post, &from_post);

	assert_true(from_entry.ended);
	assert_int_not_equal(passes(&from_entry, (void *)entry), 0);

	assert_true(from_below.ended);
	assert_int_not_equal(passes(&from_below, (void *)below), 0);
	assert_true(passes(&from_below, (void *)entry) > passes(&from_below, (void *)below));

	assert_true(from_first_post.ended);
	assert_int_not_equal(passes(&from_first_post, (void *)post), 0);
	assert_int_equal(passes(&from_first_post, (void *)entry), 0);
	assert_int_equal(passes(&from_first_post, (void *)walks_of), 0);

	assert_true(from_post.ended);
	assert_true(passes(&from_post, (void *)below) > passes(&from_post, (void *)post));
	assert_true(passes(&from_post, (void *)entry) > passes(&from_post, (void *)below));
	assert_int_equal(passes(&from_post, (void *)walks_of), 0);
	free(stack);
}

static void walks_end(void **state)
{
	(void)state;
	for_each_variant(walks_of);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(walks_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
