/* SPDX-License-Identifier: MIT */
/*
 * If this passes, a post function runs once per swap_post, on the new context's stack, rightly
 * aligned, after the old context's stack pointer is stored and before the new one goes on, also
 * before its first entry; an entry is called rightly aligned, with what make() keeps for itself
 * above it.
 */
#include "backends/switch/test/registers.h"
#include "backends/switch/test/variants.h"

static const struct shunt_switch_ops *ops;
static void *main_sp, *other_sp;
static char *other_low;

/* What happened, in order. */
static struct {
	char log[16];
	unsigned length;
	void *saved_in_post; /* main_sp or other_sp as the post function found it */
	void *arg;
	uintptr_t entry_value;
} seen;

static void say(char what)
{
	if (seen.length < sizeof(seen.log) - 1)
		seen.log[seen.length++] = what;
}

/* An empty stack's pointer is its top. */
static bool on_other(uintptr_t sp)
{
	return sp > (uintptr_t)other_low && sp <= (uintptr_t)other_low + STACK_BYTES;
}

static void post_seen(void *arg)
{
	seen.arg = arg;
	seen.saved_in_post = *(void **)arg;
	say('p');
}

static void entry_seen(uintptr_t value)
{
	seen.entry_value = value;
	for (;;) {
		say('o');
		ops->swap_post(&other_sp, main_sp, 7, probe_post, &other_sp);
	}
}

static void setup(const struct shunt_switch_ops *variant)
{
	ops = variant;
	memset(&seen, 0, sizeof(seen));
	main_sp = NULL;
	probe_entry_sp = probe_post_sp = 0;
	probed_entry = entry_seen;
	probed_post = post_seen;
	other_low = stack_new();
	other_sp = ops->make(other_low, STACK_BYTES, probe_entry);
}

static void post_in_order(const struct shunt_switch_ops *variant)
{
	void *fresh;

	setup(variant);
	fresh = other_sp;
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(ops->swap_post(&main_sp, other_sp, 5, probe_post, &main_sp), 7);
		say('m');
		assert_ptr_equal(seen.arg, &other_sp);
		assert_ptr_equal(seen.saved_in_post, other_sp);
		assert_ptr_not_equal(other_sp, fresh);
		assert_false(on_other(probe_post_sp));
		assert_int_equal((probe_post_sp + probe_bias) % 16, 0);
	}
	assert_int_equal(seen.entry_value, 5);
	assert_string_equal(seen.log, "popmpopmpopm");
	free(other_low);
}

/* The half that post_in_order cannot look at: the post of a swap into the other context. */
static uintptr_t post_sp_first, post_sp_second;
static void *saved_first, *saved_second;

static void note(uintptr_t value)
{
	(void)value;
	post_sp_first = probe_post_sp;
	saved_first = seen.saved_in_post;
	ops->swap(&other_sp, main_sp, 0);
	post_sp_second = probe_post_sp;
	saved_second = seen.saved_in_post;
	ops->swap(&other_sp, main_sp, 0);
}

static void post_on_new_stack(const struct shunt_switch_ops *variant)
{
	setup(variant);
	other_sp = ops->make(other_low, STACK_BYTES, note);
	ops->swap_post(&main_sp, other_sp, 0, probe_post, &main_sp);
	assert_true(on_other(post_sp_first));
	assert_int_equal((post_sp_first + probe_bias) % 16, 0);
	assert_non_null(saved_first);
	assert_ptr_equal(saved_first, main_sp);
	main_sp = NULL;
	ops->swap_post(&main_sp, other_sp, 0, probe_post, &main_sp);
	assert_true(on_other(post_sp_second));
	assert_int_equal((post_sp_second + probe_bias) % 16, 0);
	assert_ptr_equal(saved_second, main_sp);
	free(other_low);
}

static void entry_aligned(const struct shunt_switch_ops *variant)
{
	uintptr_t top;

	setup(variant);
	top = (uintptr_t)other_low + STACK_BYTES;
	ops->swap(&main_sp, other_sp, 99);
	assert_int_equal(seen.entry_value, 99);
	assert_int_equal((probe_entry_sp + probe_bias) % 16, 0);
	assert_true(on_other(probe_entry_sp));
	assert_true(top - probe_entry_sp >= ops->stack_overhead);
	/* What lies between is a frame or two of the switch, not more of make()'s. */
	assert_true(top - probe_entry_sp < ops->stack_overhead + 1024);
	free(other_low);
}

static void posts_in_order(void **state)
{
	(void)state;
	for_each_variant(post_in_order);
}

static void posts_on_new_stack(void **state)
{
	(void)state;
	for_each_variant(post_on_new_stack);
}

static void entries_aligned(void **state)
{
	(void)state;
	for_each_variant(entry_aligned);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(posts_in_order),
		cmocka_unit_test(posts_on_new_stack),
		cmocka_unit_test(entries_aligned),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
