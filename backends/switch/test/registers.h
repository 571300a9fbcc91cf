/* SPDX-License-Identifier: MIT */
/* The assembly of test/arch/<cpu>.S: callee-saved registers and stack pointers, seen from C. */
#ifndef SHUNT_BACKENDS_SWITCH_TEST_REGISTERS_H
#define SHUNT_BACKENDS_SWITCH_TEST_REGISTERS_H

#include "core/engine/slots.h"

#include <stdint.h>

#define REGISTERS_MAX 32

/* How many callee-saved registers this CPU has, but for the link and the stack pointer. */
extern const uint32_t registers_count;

/*
 * Calls swap(save, load, 0, post, arg) with those registers taken from held[], and writes back
 * what they are when it returns. `swap` is a shunt_swap_fn (which ignores post and arg) or a
 * shunt_swap_post_fn.
 */
void registers_hold(void (*swap)(void), void **save, void *load, shunt_post_fn *post, void *arg,
	uint64_t *held);

/* Note the stack pointer at their first instruction, then go on in probed_entry and probed_post,
 * which the test sets. A rightly aligned one plus probe_bias is a multiple of 16. */
void probe_entry(uintptr_t value);
void probe_post(void *arg);
extern shunt_entry_fn *probed_entry;
extern shunt_post_fn *probed_post;
extern uintptr_t probe_entry_sp, probe_post_sp;
extern const uint32_t probe_bias;

#endif
