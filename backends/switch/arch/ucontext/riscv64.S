/* SPDX-License-Identifier: MIT */
/*
 * int shunt_swap_ucontext(ucontext_t *from: a0, const ucontext_t *to: a1)
 *
 * glibc's swapcontext without its system call: the same registers (the arguments, which
 * makecontext fills in, included), the same places in ucontext_t, fs0-fs11 and fcsr. The signal
 * masks stay untouched.
 */
#define UC_PC	176
#define UC_RA	184
#define UC_SP	192
#define UC_S0	240
#define UC_A0	256
#define UC_S2	320
#define UC_FS0	496
#define UC_FS2	576
#define UC_FCSR 688

/* The caller's register, by its DWARF number, lies at a0 + place. */
.macro CFI_AT_A0 number, place
	.cfi_escape 0x10, \number, 3, 0x7a, 0x80 | ((\place) & 0x7f), (\place) >> 7
.endm

.macro EVERY_UC op, fop, base
	\op	s0, UC_S0(\base)
	\op	s1, UC_S0 + 8(\base)
	\fop	fs0, UC_FS0(\base)
	\fop	fs1, UC_FS0 + 8(\base)
	.irp	n, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11
	\op	s\n, UC_S2 + 8 * (\n - 2)(\base)
	\fop	fs\n, UC_FS2 + 8 * (\n - 2)(\base)
	.endr
.endm

	.text
	.globl	shunt_swap_ucontext
	.hidden shunt_swap_ucontext
	.type	shunt_swap_ucontext, @function
	.p2align 4
shunt_swap_ucontext:
	.cfi_startproc
	mv	t0, a1
	sd	ra, UC_PC(a0)
	sd	ra, UC_RA(a0)
	sd	sp, UC_SP(a0)
	sd	zero, UC_A0(a0)
	EVERY_UC sd, fsd, a0
	frcsr	t1
	sw	t1, UC_FCSR(a0)
	CFI_AT_A0 1, UC_RA
	.irp	n, 0, 1	/* s0, s1 are x8, x9; fs0, fs1 are f8, f9, DWARF's 40, 41 */
	CFI_AT_A0 8 + \n, UC_S0 + 8 * \n
	CFI_AT_A0 40 + \n, UC_FS0 + 8 * \n
	.endr
	.irp	n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9
	CFI_AT_A0 18 + \n, UC_S2 + 8 * \n
	CFI_AT_A0 50 + \n, UC_FS2 + 8 * \n
	.endr

	lw	t1, UC_FCSR(t0)
	fscsr	t1
	EVERY_UC ld, fld, t0
	ld	t1, UC_PC(t0)
	ld	ra, UC_RA(t0)
	ld	sp, UC_SP(t0)
	.irp	n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11
	.cfi_restore fs\n
	.cfi_restore s\n
	.endr
	.cfi_restore ra
	.cfi_register ra, t1
	.irp	n, 0, 1, 2, 3, 4, 5, 6, 7
	ld	a\n, UC_A0 + 8 * \n(t0)
	.endr
	jr	t1
	.cfi_endproc
	.size	shunt_swap_ucontext, . - shunt_swap_ucontext

	.section .note.GNU-stack, "", @progbits
