/* SPDX-License-Identifier: MIT */
/*
 * What arch/<cpu>.S exports, and what the switches built from it share. One table of addresses is
 * all that C and the assembly agree on; the saved frame is the assembly's alone.
 */
#ifndef SHUNT_BACKENDS_SWITCH_ARCH_H
#define SHUNT_BACKENDS_SWITCH_ARCH_H

#include "core/engine/slots.h"

#include <stddef.h>
#include <stdint.h>
#include <ucontext.h>

/* Which FP control words a switch keeps: the order of shunt_switch_fp_choices. */
enum shunt_switch_fp {
	SHUNT_FP_FULL,
	SHUNT_FP_MXCSR,
	SHUNT_FP_NONE,
	SHUNT_FP_COUNT,
};

struct shunt_switch_pair {
	shunt_swap_fn *swap; /* NULL: this CPU has no such words */
	shunt_swap_post_fn *swap_post;
};

/* The swaps of one way to resume. always: they load MXCSR without comparing it first; where they
 * are NULL there is one way only. */
struct shunt_switch_form {
	struct shunt_switch_pair fp[SHUNT_FP_COUNT];
	struct shunt_switch_pair always[SHUNT_FP_COUNT];
};

/* All fields are of 8 bytes: the assembly writes the table as a list of .quad. */
struct shunt_switch_arch {
	const char *cpu;
	const char *words; /* what fp=full keeps, for messages */
	void *(*make)(void *low, size_t bytes, shunt_entry_fn *entry);
	size_t stack_overhead;
	uint64_t (*fp_get)(void); /* the running thread's words, all of them */
	void (*fp_reset[SHUNT_FP_COUNT])(const void *words); /* NULL: none to set */
	void (*fp_reset_always[SHUNT_FP_COUNT])(const void *words);
	struct shunt_switch_form jmp, ret;
};

extern const struct shunt_switch_arch shunt_switch_arch __attribute__((visibility("hidden")));

/* swapcontext without the signal mask, on the same ucontext_t (arch/ucontext/<cpu>.S). */
int shunt_swap_ucontext(ucontext_t *from, const ucontext_t *to)
	__attribute__((visibility("hidden")));

/* The parameters of the assembly switches: fp, fp_load. */
extern const struct shunt_param shunt_switch_arch_params[];

/* shunt_switch.probe: refuses a thread that has a shadow stack, which these switches leave
 * alone. */
int shunt_switch_arch_probe(struct shunt_error *why);

/* shunt_switch.resolve for the form that is given; `name` is for messages. */
int shunt_switch_arch_resolve(const char *name, const struct shunt_switch_form *form,
	const struct shunt_values *values, struct shunt_switch_ops *ops, struct shunt_error *err);

/* Notes the running thread's FP words, for fp_reset. */
void shunt_switch_arch_note_fp(struct shunt_switch_ops *ops);

#endif
