/* SPDX-License-Identifier: MIT */
/*
 * The C library's swapcontext without its system call: the same ucontext_t, the same registers, the
 * same FP environment, but the signal mask stays the thread's. It exists to be subtracted from
 * `ucontext`: the difference is the price of the mask.
 */
#include "backends/switch/arch.h"
#include "backends/switch/context.h"

static uintptr_t swap(void **save, void *load, uintptr_t value)
{
	return context_swap(shunt_swap_ucontext, save, load, value, NULL, NULL);
}

static uintptr_t swap_post(void **save, void *load, uintptr_t value, shunt_post_fn *post, void *arg)
{
	return context_swap(shunt_swap_ucontext, save, load, value, post, arg);
}

/* A context that swaps to itself is saved, and goes on. */
static int capture(ucontext_t *machine)
{
	return shunt_swap_ucontext(machine, machine);
}

static void *make(void *low, size_t bytes, shunt_entry_fn *entry)
{
	return context_make(capture, low, bytes, entry);
}

static const struct shunt_switch_ops ops_full = {
	.swap = swap,
	.swap_post = swap_post,
	.make = make,
	.fp = "full",
	.saves_signal_mask = false,
	.unwindable = CONTEXT_UNWINDABLE,
	.stack_overhead = CONTEXT_BYTES,
};

static int resolve(const struct shunt_values *values, struct shunt_switch_ops *ops,
	struct shunt_error *err)
{
	int rc = context_resolve("ucontext-nosigmask", values, ops, &ops_full, err);

	if (rc)
		return rc;
	shunt_switch_arch_note_fp(ops);
	ops->reset_fp = shunt_switch_arch.fp_reset[SHUNT_FP_FULL];
	return 0;
}

const struct shunt_switch shunt_switch_ucontext_nosigmask = {
	.name = "ucontext-nosigmask",
	.summary = "swapcontext without its system call, which saves the signal mask",
	.params = context_params,
	.probe = shunt_switch_arch_probe,
	.resolve = resolve,
};
