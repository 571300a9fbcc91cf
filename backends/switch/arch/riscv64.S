/* SPDX-License-Identifier: MIT */
/*
 * The switch of stacks on riscv64, LP64D.
 *
 * A suspended context is its stack pointer; everything else lies in this frame on its own stack,
 * the same for every variant:
 *
 *	offset  what
 *	     0  fcsr, 4 bytes (written where fp is full)
 *	     8  unused
 *	    16  fs0 fs1 fs2 fs3 fs4 fs5 fs6 fs7 fs8 fs9 fs10 fs11
 *	   112  s0  s1  s2  s3  s4  s5  s6  s7  s8  s9  s10  s11
 *	   208  ra, the return address
 *	   216  unused
 *	   224  the caller's stack pointer
 *
 * Saved: what the calling convention lets a callee not change; fs0-fs11 at every fp, since they
 * are data and not control. fp=full adds fcsr: the rounding mode, and with it the sticky exception
 * flags. Not saved: the t and a registers, ft and fa, the vector unit. gp and tp are the program's
 * and the thread's. There is no MXCSR here, so fp=mxcsr is refused.
 *
 * The default written out, swap_jmp_full without post; SWAP makes it and the others:
 *
 *	ld	t1, 208(a1)		where to go on, loaded early
 *	addi	sp, sp, -224
 *	fsd	fs0, 16(sp)		and all the others
 *	frcsr	t2
 *	sw	t2, 0(sp)
 *	sd	sp, 0(a0)		the old context is complete
 *	mv	sp, a1			from here on, the new one
 *	lw	t3, 0(sp)
 *	bne	t2, t3, fscsr		another fcsr: load it, beside the common way
 *	mv	a0, a2			the value is the new context's result
 *	fld	fs0, 16(sp)		and all the others
 *	addi	sp, sp, 224
 *	jr	t1
 *
 * fcsr is compared and loaded only when it differs: writing it drains the pipeline on many cores.
 * jmp is a `jr` by t1: a jump by ra or t0 is a hint to the return predictor (the unprivileged
 * ISA's table of return-address stack hints), one by t1 is not. ret is a `ret`.
 *
 * CFI: the old context's frame and the new one's have the same shape, so one set of rules (all at
 * CFA-x) holds on both sides of the instruction that exchanges the stack pointer.
 */

#ifndef __riscv_float_abi_double
#error "the frame is that of the LP64D calling convention"
#endif

#define FCSR  0
#define FS0   16
#define S0    112
#define S1    120
#define RA    208
#define FRAME 224

	.text

.macro FUNCTION name
	.p2align 4
	.type \name, @function
\name:
	.cfi_startproc
.endm

.macro END_FUNCTION name
	.cfi_endproc
	.size \name, . - \name
.endm

/* Loads or stores (ld and fld, sd and fsd) all of the frame but ra and fcsr. */
.macro EVERY op, fop
	.irp	n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11
	\fop	fs\n, FS0 + 8 * \n(sp)
	.endr
	.irp	n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11
	\op	s\n, S0 + 8 * \n(sp)
	.endr
.endm

.macro CFI_SAVED
	.irp	n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11
	.cfi_offset fs\n, FS0 + 8 * \n - FRAME
	.cfi_offset s\n, S0 + 8 * \n - FRAME
	.endr
	.cfi_offset ra, RA - FRAME
.endm

.macro CFI_RESTORED
	.irp	n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11
	.cfi_restore fs\n
	.cfi_restore s\n
	.endr
	.cfi_restore ra
.endm

/*
 * uintptr_t swap(void **save: a0, void *load: a1, uintptr_t value: a2)
 * uintptr_t swap_post(…, shunt_post_fn *post: a3, void *arg: a4)
 *
 * how: jmp or ret. fp: full or none. post: `_post` or nothing.
 */
.macro SWAP how, fp, post
	FUNCTION shunt_swap\post\()_\how\()_\fp
.ifc \how\post, jmp
	ld	t1, RA(a1)
.endif
	addi	sp, sp, -FRAME
	.cfi_adjust_cfa_offset FRAME
	EVERY	sd, fsd
	sd	ra, RA(sp)
	CFI_SAVED
.ifc \fp, full
	frcsr	t2
	sw	t2, FCSR(sp)
.endif
	sd	sp, 0(a0)
	mv	sp, a1
.ifc \fp, full
	lw	t3, FCSR(sp)
	bne	t2, t3, .Lfcsr_differs_\@
.Lfcsr_done_\@:
.endif
.ifnb \post
	mv	s0, a2
	mv	a0, a4
	jalr	a3
	mv	a0, s0
.ifc \how, jmp
	ld	t1, RA(sp)
.endif
.else
	mv	a0, a2
.endif
	EVERY	ld, fld
	.cfi_remember_state
.ifc \how, jmp
	.cfi_register ra, t1
	addi	sp, sp, FRAME
	.cfi_adjust_cfa_offset -FRAME
	CFI_RESTORED
	.cfi_register ra, t1
	jr	t1
.else
	ld	ra, RA(sp)
	addi	sp, sp, FRAME
	.cfi_adjust_cfa_offset -FRAME
	CFI_RESTORED
	ret
.endif
	.cfi_restore_state
.ifc \fp, full
.Lfcsr_differs_\@:
	fscsr	t3
	j	.Lfcsr_done_\@
.endif
	END_FUNCTION shunt_swap\post\()_\how\()_\fp
.endm

	SWAP	jmp, full
	SWAP	jmp, full, _post
	SWAP	jmp, none
	SWAP	jmp, none, _post
	SWAP	ret, full
	SWAP	ret, full, _post
	SWAP	ret, none
	SWAP	ret, none, _post

/*
 * Where a fresh context begins: value in a0, the entry in s1. The end of the stack, for whoever
 * walks it: it has no return address. The first instruction is never run; a walk looks up the
 * address before the one it would return to, and must find this function.
 */
	FUNCTION shunt_switch_entry
	.cfi_undefined ra
	nop
.Lentry:
	jalr	s1
	ebreak
	END_FUNCTION shunt_switch_entry

/* void *make(void *low: a0, size_t bytes: a1, shunt_entry_fn *entry: a2) */
	FUNCTION shunt_switch_make
	add	a0, a0, a1
	addi	a0, a0, -FRAME
	.irp	n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11
	sd	zero, FS0 + 8 * \n(a0)
	sd	zero, S0 + 8 * \n(a0)
	.endr
	frcsr	t0
	sw	t0, FCSR(a0)
	sd	a2, S1(a0)
	lla	t0, .Lentry
	sd	t0, RA(a0)
	ret
	END_FUNCTION shunt_switch_make

/* uint64_t fp_get(void) */
	FUNCTION shunt_switch_fp_get
	frcsr	a0
	ret
	END_FUNCTION shunt_switch_fp_get

/* void fp_reset(const void *words: a0), of what fp_get returned */
	FUNCTION shunt_switch_fp_reset
	ld	a0, 0(a0)
	frcsr	t0
	beq	t0, a0, 1f
	fscsr	a0
1:	ret
	END_FUNCTION shunt_switch_fp_reset

/* struct shunt_switch_arch of arch.h, in its order. */
	.section .rodata.str1.1, "aMS", @progbits, 1
.Lcpu:
	.asciz	"riscv64"
.Lwords:
	.asciz	"fcsr"

	.section .data.rel.ro.local, "aw"
	.p2align 3
	.globl	shunt_switch_arch
	.hidden shunt_switch_arch
	.type	shunt_switch_arch, @object
shunt_switch_arch:
	.quad	.Lcpu, .Lwords
	.quad	shunt_switch_make
	.quad	0	/* nothing stays on the stack */
	.quad	shunt_switch_fp_get
	.quad	shunt_switch_fp_reset, 0, 0, 0, 0, 0
	.quad	shunt_swap_jmp_full, shunt_swap_post_jmp_full
	.quad	0, 0
	.quad	shunt_swap_jmp_none, shunt_swap_post_jmp_none
	.quad	0, 0, 0, 0, 0, 0	/* one way to take up the words */
	.quad	shunt_swap_ret_full, shunt_swap_post_ret_full
	.quad	0, 0
	.quad	shunt_swap_ret_none, shunt_swap_post_ret_none
	.quad	0, 0, 0, 0, 0, 0	/* one way to take up the words */
	.size	shunt_switch_arch, . - shunt_switch_arch

	.section .note.GNU-stack, "", @progbits
