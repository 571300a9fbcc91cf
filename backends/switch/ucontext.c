/* SPDX-License-Identifier: MIT */
/*
 * The switch of the C library: getcontext, makecontext, swapcontext. Portable and slow; every
 * switch exchanges the signal mask by a system call, which is nearly all that it costs.
 */
#include "backends/switch/context.h"

#include <fenv.h>

_Static_assert(sizeof(fenv_t) <= sizeof(((struct shunt_switch_ops *)0)->fp_words), "fits");

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

static void reset_fp(const void *fp_words)
{
	fenv_t env;

	memcpy(&env, fp_words, sizeof(env));
	fesetenv(&env);
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
	fenv_t env;
	int rc = context_resolve("ucontext", values, ops, &ops_full, err);

	if (!rc) {
		fegetenv(&env);
		memcpy(ops->fp_words, &env, sizeof(env));
	}
	return rc;
}

const struct shunt_switch shunt_switch_ucontext = {
	.name = "ucontext",
	.summary = "the C library's swapcontext: one system call per switch, for the signal mask",
	.params = context_params,
	.resolve = resolve,
};
