/* SPDX-License-Identifier: MIT */
/*
 * int shunt_swap_ucontext(ucontext_t *from: x0, const ucontext_t *to: x1)
 *
 * glibc's swapcontext without its system call: the same registers (x18 and the arguments, which
 * makecontext fills in, included), the same places in ucontext_t, q8-q15, FPSR and FPCR. The
 * signal masks stay untouched.
 */
#define UC_X0	 184
#define UC_X2	 200
#define UC_X18	 328
#define UC_X19	 336
#define UC_X29	 416
#define UC_X30	 424
#define UC_SP	 432
#define UC_PC	 440
#define UC_FP	 464	/* struct fpsimd_context, then the end of the list of such */
#define FP_MAGIC 0x46508001
#define FP_BYTES 528
#define FP_FPSR	 8
#define FP_Q8	 144
#define UC_Q8	 (UC_FP + FP_Q8)

/* The caller's register, by its DWARF number, lies at x0 + place. */
.macro CFI_AT_X0 number, place
	.cfi_escape 0x10, \number, 3, 0x70, 0x80 | ((\place) & 0x7f), (\place) >> 7
.endm

/* Loads or stores (op: ldp, stp) x18-x29 in the ucontext_t at `base`. */
.macro EVERY_UC op, base
	\op	x18, x19, [\base, #UC_X18]
	\op	x20, x21, [\base, #UC_X18 + 16]
	\op	x22, x23, [\base, #UC_X18 + 32]
	\op	x24, x25, [\base, #UC_X18 + 48]
	\op	x26, x27, [\base, #UC_X18 + 64]
	\op	x28, x29, [\base, #UC_X18 + 80]
.endm

.macro EVERY_Q op, base
	\op	q8, q9, [\base, #FP_Q8]
	\op	q10, q11, [\base, #FP_Q8 + 32]
	\op	q12, q13, [\base, #FP_Q8 + 64]
	\op	q14, q15, [\base, #FP_Q8 + 96]
.endm

	.text
	.globl	shunt_swap_ucontext
	.hidden shunt_swap_ucontext
	.type	shunt_swap_ucontext, %function
	.p2align 5
shunt_swap_ucontext:
	.cfi_startproc
	hint	#34	/* bti c */
	str	xzr, [x0, #UC_X0]
	EVERY_UC stp, x0
	str	x30, [x0, #UC_X30]
	mov	x2, sp
	stp	x2, x30, [x0, #UC_SP]
	add	x2, x0, #UC_FP
	mov	w3, #FP_MAGIC & 0xffff
	movk	w3, #FP_MAGIC >> 16, lsl #16
	mov	w4, #FP_BYTES
	stp	w3, w4, [x2]
	EVERY_Q stp, x2
	mrs	x4, fpsr
	mrs	x5, fpcr
	stp	w4, w5, [x2, #FP_FPSR]
	str	xzr, [x2, #FP_BYTES]
	.irp	n, 0, 1, 2, 3, 4, 5, 6, 7
	CFI_AT_X0 72 + \n, UC_Q8 + 16 * \n
	.endr
	.irp	n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11
	CFI_AT_X0 19 + \n, UC_X19 + 8 * \n
	.endr

	add	x2, x1, #UC_FP
	ldr	w4, [x2]
	cmp	w4, w3
	b.ne	1f
	EVERY_Q ldp, x2
	ldp	w4, w5, [x2, #FP_FPSR]
	msr	fpsr, x4
	msr	fpcr, x5
1:	EVERY_UC ldp, x1
	ldr	x30, [x1, #UC_X30]
	ldp	x2, x16, [x1, #UC_SP]
	mov	sp, x2
	.irp	n, 72, 73, 74, 75, 76, 77, 78, 79, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30
	.cfi_restore \n
	.endr
	.cfi_register 30, 16
	ldp	x2, x3, [x1, #UC_X2]
	ldp	x4, x5, [x1, #UC_X2 + 16]
	ldp	x6, x7, [x1, #UC_X2 + 32]
	ldp	x0, x1, [x1, #UC_X0]
	br	x16
	.cfi_endproc
	.size	shunt_swap_ucontext, . - shunt_swap_ucontext

	.section .note.GNU-stack, "", %progbits
