/* SPDX-License-Identifier: MIT */
/*
 * A switch on top of anything that behaves like swapcontext. ucontext.c and ucontext-nosigmask.c
 * are this code with two different functions in it and nothing else, so that what differs between
 * them is what these two functions do.
 *
 * A suspended context is a struct context: on its own stack, in the frame of the swap that left
 * it, or at the top of a fresh one. Who resumes it first leaves there what it shall find.
 */
#ifndef SHUNT_BACKENDS_SWITCH_CONTEXT_H
#define SHUNT_BACKENDS_SWITCH_CONTEXT_H

#include "core/engine/slots.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <ucontext.h>

typedef int context_swap_fn(ucontext_t *from, const ucontext_t *to);

struct context {
	ucontext_t machine;
	uintptr_t value;
	shunt_post_fn *post; /* NULL: nothing to call */
	void *arg;
	shunt_entry_fn *entry; /* fresh contexts only */
};

/* The bytes at the top of a stack that a fresh context lies in. */
#define CONTEXT_BYTES ((sizeof(struct context) + 15) & ~(size_t)15)

static const char *const context_fp_choices[] = {"full", "mxcsr", "none", NULL};

static const struct shunt_param context_params[] = {
	{.name = "fp",
		.type = SHUNT_PARAM_CHOICE,
		.fallback = "full",
		.choices = context_fp_choices,
		.help = "FP control words kept per task; these switches always keep all"},
	{.name = NULL},
};

static inline uintptr_t context_arrived(const struct context *self)
{
	if (self->post)
		self->post(self->arg);
	return self->value;
}

static inline uintptr_t context_swap(context_swap_fn *swap_machine, void **save, void *load,
	uintptr_t value, shunt_post_fn *post, void *arg)
{
	struct context self;
	struct context *next = load;

	next->value = value;
	next->post = post;
	next->arg = arg;
	*save = &self;
	/* Its lowest word: where the stack ends within it the task faults here, and is named. A
	 * system call of the swap would be refused instead (riscv64, whose mask lies below the
	 * registers). */
	*(volatile unsigned long *)&self.machine = 0;
	if (swap_machine(&self.machine, &next->machine))
		__builtin_trap();
	return context_arrived(&self);
}

/*
 * Ends the stack for whoever walks it: no return address from here on (its column in DWARF).
 * glibc's own start of a context, which comes next, is marked so that gdb misses it and shows two
 * frames of nothing.
 */
#if defined(__x86_64__)
#define CONTEXT_END_OF_STACK() __asm__ volatile(".cfi_undefined 16")
#elif defined(__aarch64__)
#define CONTEXT_END_OF_STACK() __asm__ volatile(".cfi_undefined 30")
#elif defined(__riscv)
#define CONTEXT_END_OF_STACK() __asm__ volatile(".cfi_undefined 1")
#endif

#ifdef CONTEXT_END_OF_STACK
#define CONTEXT_UNWINDABLE true
#else
#define CONTEXT_END_OF_STACK() ((void)0)
#define CONTEXT_UNWINDABLE     false
#endif

/* makecontext passes ints only: the context's address comes in two halves. */
static void context_begin(unsigned high, unsigned low)
{
	struct context *self = (void *)((uintptr_t)high << 32 | low);

	CONTEXT_END_OF_STACK();
	self->entry(context_arrived(self));
	__builtin_trap();
}

/* `capture` fills in what makecontext leaves alone: the FP state. */
static inline void *context_make(int (*capture)(ucontext_t *machine), void *low, size_t bytes,
	shunt_entry_fn *entry)
{
	struct context *self = (void *)((char *)low + bytes - CONTEXT_BYTES);
	uintptr_t address = (uintptr_t)self;

	if (capture(&self->machine))
		__builtin_trap();
	self->entry = entry;
	self->machine.uc_stack.ss_sp = low;
	self->machine.uc_stack.ss_size = bytes - CONTEXT_BYTES;
	self->machine.uc_link = NULL;
	makecontext(&self->machine, (void (*)(void))context_begin, 2, (unsigned)(address >> 32),
		(unsigned)address);
	return self;
}

static inline int context_resolve(const char *name, const struct shunt_values *values,
	struct shunt_switch_ops *ops, const struct shunt_switch_ops *all, struct shunt_error *err)
{
	const char *fp = shunt_value_text(values, "fp");

	if (strcmp(fp, "full") != 0)
		return shunt_fail(err, -ENOTSUP,
			"switch '%s' always keeps all FP control words: fp=%s needs switch=asm",
			name, fp);
	*ops = *all;
	return 0;
}

#endif
