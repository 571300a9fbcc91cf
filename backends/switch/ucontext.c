/* SPDX-License-Identifier: MIT */
/*
 * The switch of the C library: getcontext, makecontext, swapcontext. Portable and slow; every
 * switch exchanges the signal mask by a system call, which is nearly all that it costs.
 */
#include "backends/switch/context.h"

#include <fenv.h>

/* [switch:fenv] The FP environment of the thread that resolved the switch last. Written before the
 * scheduler that reads it starts. */
static fenv_t resolved_fenv;

static uintptr_t swap(void **save, void *load, uintptr_t value)
{
	return context_swap(swapcontext, save, load, value, NULL, NULL);
}

static uintptr_t swap_post(void **save, void *load, uintptr_t value, shunt_post_fn *post, void *arg)
{
	return context_swap(swapcontext, save, load, value, post, arg);
}

static void *make(void *low, size_t bytes, shunt_entry_fn *entry)
{
	return context_make(getcontext, low, bytes, entry);
}

static void reset_fp(void)
{
	fesetenv(&resolved_fenv);
}

static const struct shunt_switch_ops ops_full = {
	.swap = swap,
	.swap_post = swap_post,
	.make = make,
	.reset_fp = reset_fp,
	.fp = "full",
	.saves_signal_mask = true,
	.unwindable = CONTEXT_UNWINDABLE,
	.stack_overhead = CONTEXT_BYTES,
};

static int resolve(const struct shunt_values *values, struct shunt_switch_ops *ops,
	struct shunt_error *err)
{
	fegetenv(&resolved_fenv);
	return context_resolve("ucontext", values, ops, &ops_full, err);
}

const struct shunt_switch shunt_switch_ucontext = {
	.name = "ucontext",
	.summary = "the C library's swapcontext: one system call a switch, for the signal mask",
	.params = context_params,
	.resolve = resolve,
};
