/* SPDX-License-Identifier: MIT */
/* What the switch tests need to see of aarch64's registers. */

	.text

.macro FUNCTION name
	.p2align 4
	.globl	\name
	.type	\name, %function
\name:
	.cfi_startproc
	hint	#34	/* bti c */
.endm

.macro END_FUNCTION name
	.cfi_endproc
	.size	\name, . - \name
.endm

/* Loads or stores (op: ldp, stp) every callee-saved register but the link at `base`. */
.macro EVERY op, base
	\op	x19, x20, [\base, #0]
	\op	x21, x22, [\base, #16]
	\op	x23, x24, [\base, #32]
	\op	x25, x26, [\base, #48]
	\op	x27, x28, [\base, #64]
	\op	d8, d9, [\base, #80]
	\op	d10, d11, [\base, #96]
	\op	d12, d13, [\base, #112]
	\op	d14, d15, [\base, #128]
.endm

/*
 * void registers_hold(swap: x0, save: x1, load: x2, post: x3, arg: x4, uint64_t *held: x5)
 * Calls swap(save, load, 0, post, arg) with every callee-saved register taken from held[], and
 * writes back what they are afterwards.
 */
	FUNCTION registers_hold
	stp	x29, x30, [sp, #-176]!
	.cfi_def_cfa_offset 176
	.cfi_offset 29, -176
	.cfi_offset 30, -168
	add	x6, sp, #32
	EVERY	stp, x6
	str	x5, [sp, #16]
	EVERY	ldp, x5
	ldr	x29, [x5, #144]
	mov	x9, x0
	mov	x0, x1
	mov	x1, x2
	mov	x2, #0
	blr	x9
	ldr	x5, [sp, #16]
	EVERY	stp, x5
	str	x29, [x5, #144]
	add	x6, sp, #32
	EVERY	ldp, x6
	ldp	x29, x30, [sp], #176
	.cfi_def_cfa_offset 0
	.cfi_restore 29
	.cfi_restore 30
	ret
	END_FUNCTION registers_hold

/* Entry and post functions that note the stack pointer they were called with, and go on in C. */
.macro PROBE which
	FUNCTION probe_\which
	adrp	x9, probe_\which\()_sp
	mov	x10, sp
	str	x10, [x9, :lo12:probe_\which\()_sp]
	adrp	x9, probed_\which
	ldr	x9, [x9, :lo12:probed_\which]
	br	x9
	END_FUNCTION probe_\which
.endm

	PROBE	entry
	PROBE	post

	.section .rodata
	.globl	registers_count, probe_bias
	.p2align 2
registers_count:
	.word	19
probe_bias:
	.word	0

	.bss
	.globl	probe_entry_sp, probe_post_sp, probed_entry, probed_post
	.p2align 3
probe_entry_sp:
	.quad	0
probe_post_sp:
	.quad	0
probed_entry:
	.quad	0
probed_post:
	.quad	0

	.section .note.GNU-stack, "", %progbits
