/* SPDX-License-Identifier: MIT */
/*
 * What switch_walk.py walks through with a debugger: `switch_walked SWITCH FP swap|post`.
 *
 * Two contexts, each at the end of a chain of calls that a backtrace must show, take turns
 * with every callee-saved register holding a pattern, and with different rounding modes, so that
 * the swap takes its longest way.
 */
#include "backends/switch/test/registers.h"
#include "core/registry.h"

#include <fenv.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Keeps the caller's frame: what follows a call may not be a tail call. */
#define KEEP_FRAME() __asm__ volatile("")

#define STACK_BYTES ((size_t)256 << 10)

/* Where the debugger sets its breakpoint. */
static void (*walked_swap)(void);

static struct shunt_switch_ops ops;
static void *main_sp, *other_sp;
static uint64_t main_held[REGISTERS_MAX], other_held[REGISTERS_MAX];
static unsigned posts;

static __attribute__((noinline)) void posted(void *arg)
{
	++*(unsigned *)arg;
	KEEP_FRAME();
}

static void pattern(uint64_t *held, uint64_t seed)
{
	for (unsigned i = 0; i < registers_count; i++)
		held[i] = (seed << 32 | (i + 1)) * 0x9e3779b97f4a7c15u;
}

static __attribute__((noinline)) void inner(void)
{
	registers_hold(walked_swap, &other_sp, main_sp, posted, &posts, other_held);
	KEEP_FRAME();
	registers_hold(walked_swap, &other_sp, main_sp, posted, &posts, other_held);
	KEEP_FRAME();
}

static __attribute__((noinline)) void middle(void)
{
	inner();
	KEEP_FRAME();
}

static void task_entry(uintptr_t value)
{
	(void)value;
	fesetround(FE_UPWARD);
	middle();
	abort();
}

/* Called when all is over: a place to stop at. */
static __attribute__((noinline)) void walked_all(void)
{
	KEEP_FRAME();
}

static __attribute__((noinline)) void run_main(void)
{
	registers_hold(walked_swap, &main_sp, other_sp, posted, &posts, main_held);
	KEEP_FRAME();
	registers_hold(walked_swap, &main_sp, other_sp, posted, &posts, main_held);
	KEEP_FRAME();
}

static int resolve(const char *name, const char *fp)
{
	struct shunt_values values;
	struct shunt_error err = {"no such switch"};

	for (const struct shunt_plugin *entry = shunt_registry_switches; entry->name; entry++) {
		const struct shunt_switch *of = entry->object;

		if (!of || strcmp(entry->name, name) != 0)
			continue;
		if (!shunt_values_init(&values, of->params, &err) &&
			!shunt_values_set(&values, name, "fp", fp, &err) &&
			!of->resolve(&values, &ops, &err)) {
			shunt_values_fini(&values);
			return 0;
		}
	}
	fprintf(stderr, "%s: %s\n", name, err.text);
	return 2;
}

int main(int argc, char **argv)
{
	void *stack = aligned_alloc(64, STACK_BYTES);

	if (argc != 4 || !stack || resolve(argv[1], argv[2]))
		return 2;
	walked_swap = strcmp(argv[3], "post") == 0 ? (void (*)(void))ops.swap_post
						   : (void (*)(void))ops.swap;
	pattern(main_held, 1);
	pattern(other_held, 2);
	other_sp = ops.make(stack, STACK_BYTES, task_entry);
	run_main();
	walked_all();
	free(stack);
	return 0;
}
