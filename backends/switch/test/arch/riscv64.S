/* SPDX-License-Identifier: MIT */
/* What the switch tests need to see of riscv64's registers (LP64D). */

	.text

.macro FUNCTION name
	.p2align 2
	.globl	\name
	.type	\name, @function
\name:
	.cfi_startproc
.endm

.macro END_FUNCTION name
	.cfi_endproc
	.size	\name, . - \name
.endm

/* Loads or stores (ld and fld, sd and fsd) every callee-saved register but the link at `base`. */
.macro EVERY op, fop, base
	\op	s0, 0(\base)
	\op	s1, 8(\base)
	\op	s2, 16(\base)
	\op	s3, 24(\base)
	\op	s4, 32(\base)
	\op	s5, 40(\base)
	\op	s6, 48(\base)
	\op	s7, 56(\base)
	\op	s8, 64(\base)
	\op	s9, 72(\base)
	\op	s10, 80(\base)
	\op	s11, 88(\base)
	\fop	fs0, 96(\base)
	\fop	fs1, 104(\base)
	\fop	fs2, 112(\base)
	\fop	fs3, 120(\base)
	\fop	fs4, 128(\base)
	\fop	fs5, 136(\base)
	\fop	fs6, 144(\base)
	\fop	fs7, 152(\base)
	\fop	fs8, 160(\base)
	\fop	fs9, 168(\base)
	\fop	fs10, 176(\base)
	\fop	fs11, 184(\base)
.endm

/*
 * void registers_hold(swap: a0, save: a1, load: a2, post: a3, arg: a4, uint64_t *held: a5)
 * Calls swap(save, load, 0, post, arg) with every callee-saved register taken from held[], and
 * writes back what they are afterwards.
 */
	FUNCTION registers_hold
	addi	sp, sp, -208
	.cfi_def_cfa_offset 208
	sd	ra, 200(sp)
	.cfi_offset ra, -8
	sd	a5, 192(sp)
	EVERY	sd, fsd, sp
	EVERY	ld, fld, a5
	mv	t0, a0
	mv	a0, a1
	mv	a1, a2
	li	a2, 0
	jalr	t0
	ld	a5, 192(sp)
	EVERY	sd, fsd, a5
	EVERY	ld, fld, sp
	ld	ra, 200(sp)
	addi	sp, sp, 208
	.cfi_def_cfa_offset 0
	.cfi_restore ra
	ret
	END_FUNCTION registers_hold

/* Entry and post functions that note the stack pointer they were called with, and go on in C. */
.macro PROBE which
	FUNCTION probe_\which
	lla	t0, probe_\which\()_sp
	sd	sp, 0(t0)
	lla	t0, probed_\which
	ld	t0, 0(t0)
	jr	t0
	END_FUNCTION probe_\which
.endm

	PROBE	entry
	PROBE	post

	.section .rodata
	.globl	registers_count, probe_bias
	.p2align 2
registers_count:
	.word	24
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

	.section .note.GNU-stack, "", @progbits
