/* SPDX-License-Identifier: MIT */
/*
 * The switch of stacks on aarch64, AAPCS64.
 *
 * A suspended context is its stack pointer; everything else lies in this frame on its own stack,
 * the same for every variant:
 *
 *	offset  what
 *	     0  FPCR (written where fp is full)
 *	     8  unused
 *	    16  d8  d9  d10 d11 d12 d13 d14 d15
 *	    80  x19 x20 x21 x22 x23 x24 x25 x26 x27 x28
 *	   160  x29
 *	   168  x30, the return address
 *	   176  the caller's stack pointer
 *
 * Saved: what the procedure call standard lets a callee not change; d8-d15 at every fp, since they
 * are data and not control. fp=full adds FPCR (rounding, flush to zero). Not saved: x0-x18, the
 * other vector registers and the upper halves of v8-v15, FPSR, the condition flags. There is no
 * MXCSR here, so fp=mxcsr is refused.
 *
 * The default written out, swap_jmp_full without post; SWAP makes it and the others:
 *
 *	ldr	x9, [x1, #168]		where to go on, loaded early
 *	sub	sp, sp, #176
 *	stp	d8, d9, [sp, #16]	and all the others
 *	mrs	x10, fpcr
 *	str	x10, [sp]
 *	mov	x11, sp
 *	str	x11, [x0]		the old context is complete
 *	mov	sp, x1			from here on, the new one
 *	ldr	x11, [sp]
 *	cmp	x10, x11		another FPCR: load it, beside the common way
 *	b.ne	msr
 *	mov	x0, x2			the value is the new context's result
 *	ldp	d8, d9, [sp, #16]	and all the others
 *	add	sp, sp, #176
 *	br	x9
 *
 * FPCR is compared and loaded only when it differs: writing it drains the pipeline on many cores.
 * jmp is a `br` by x9, which is predicted by where it went before; ret is a `ret`, predicted by
 * the last call. A `br` to a return address is what branch target identification forbids in pages
 * that it guards; this file therefore bears no BTI note, and a program with it in is not guarded.
 *
 * CFI: the old context's frame and the new one's have the same shape, so one set of rules (all at
 * CFA-x) holds on both sides of the instruction that exchanges the stack pointer.
 */

#define FPCR  0
#define D8    16
#define X19   80
#define X29   160
#define X30   168
#define FRAME 176

	.text

.macro FUNCTION name
	.p2align 5
	.type \name, %function
\name:
	.cfi_startproc
.endm

.macro END_FUNCTION name
	.cfi_endproc
	.size \name, . - \name
.endm

.macro BTI_C
	hint	#34
.endm

/* Loads or stores (op: ldp, stp) all of the frame but FPCR. */
.macro EVERY op
	\op	d8, d9, [sp, #D8]
	\op	d10, d11, [sp, #D8 + 16]
	\op	d12, d13, [sp, #D8 + 32]
	\op	d14, d15, [sp, #D8 + 48]
	\op	x19, x20, [sp, #X19]
	\op	x21, x22, [sp, #X19 + 16]
	\op	x23, x24, [sp, #X19 + 32]
	\op	x25, x26, [sp, #X19 + 48]
	\op	x27, x28, [sp, #X19 + 64]
	\op	x29, x30, [sp, #X29]
.endm

/* DWARF calls v8-v15 72-79. */
.macro CFI_SAVED
	.irp	n, 0, 1, 2, 3, 4, 5, 6, 7
	.cfi_offset 72 + \n, D8 + 8 * \n - FRAME
	.endr
	.irp	n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9
	.cfi_offset 19 + \n, X19 + 8 * \n - FRAME
	.endr
	.cfi_offset 29, X29 - FRAME
	.cfi_offset 30, X30 - FRAME
.endm

.macro CFI_RESTORED
	.irp	n, 72, 73, 74, 75, 76, 77, 78, 79, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30
	.cfi_restore \n
	.endr
.endm

/*
 * uintptr_t swap(void **save: x0, void *load: x1, uintptr_t value: x2)
 * uintptr_t swap_post(…, shunt_post_fn *post: x3, void *arg: x4)
 *
 * how: jmp or ret. fp: full or none. post: `_post` or nothing.
 */
.macro SWAP how, fp, post
	FUNCTION shunt_swap\post\()_\how\()_\fp
	BTI_C
.ifc \how\post, jmp
	ldr	x9, [x1, #X30]
.endif
	sub	sp, sp, #FRAME
	.cfi_adjust_cfa_offset FRAME
	EVERY	stp
	CFI_SAVED
.ifc \fp, full
	mrs	x10, fpcr
	str	x10, [sp, #FPCR]
.endif
	mov	x11, sp
	str	x11, [x0]
	mov	sp, x1
.ifc \fp, full
	ldr	x11, [sp, #FPCR]
	cmp	x10, x11
	b.ne	.Lfpcr_differs_\@
.Lfpcr_done_\@:
.endif
.ifnb \post
	mov	x19, x2
	mov	x0, x4
	blr	x3
	mov	x0, x19
.ifc \how, jmp
	ldr	x9, [sp, #X30]
.endif
.else
	mov	x0, x2
.endif
	EVERY	ldp
	.cfi_remember_state
	add	sp, sp, #FRAME
	.cfi_adjust_cfa_offset -FRAME
	CFI_RESTORED
.ifc \how, jmp
	br	x9
.else
	ret
.endif
	.cfi_restore_state
.ifc \fp, full
.Lfpcr_differs_\@:
	msr	fpcr, x11
	b	.Lfpcr_done_\@
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
 * Where a fresh context begins: value in x0, the entry in x19. The end of the stack, for whoever
 * walks it: it has no return address. The first instruction is never run; a walk looks up the
 * address before the one it would return to, and must find this function.
 */
	FUNCTION shunt_switch_entry
	.cfi_undefined 30
	nop
.Lentry:
	blr	x19
	brk	#1000
	END_FUNCTION shunt_switch_entry

/* void *make(void *low: x0, size_t bytes: x1, shunt_entry_fn *entry: x2) */
	FUNCTION shunt_switch_make
	BTI_C
	add	x0, x0, x1
	sub	x0, x0, #FRAME
	mrs	x3, fpcr
	stp	x3, xzr, [x0, #FPCR]
	.irp	pair, 0, 16, 32, 48, 64, 80, 96, 112, 128
	stp	xzr, xzr, [x0, #D8 + \pair]
	.endr
	str	x2, [x0, #X19]
	adr	x3, .Lentry
	stp	xzr, x3, [x0, #X29]
	ret
	END_FUNCTION shunt_switch_make

/* uint64_t fp_get(void) */
	FUNCTION shunt_switch_fp_get
	BTI_C
	mrs	x0, fpcr
	ret
	END_FUNCTION shunt_switch_fp_get

/* void fp_reset(const void *words: x0), of what fp_get returned */
	FUNCTION shunt_switch_fp_reset
	BTI_C
	ldr	x0, [x0]
	mrs	x1, fpcr
	cmp	x0, x1
	b.eq	1f
	msr	fpcr, x0
1:	ret
	END_FUNCTION shunt_switch_fp_reset

/* struct shunt_switch_arch of arch.h, in its order. */
	.section .rodata.str1.1, "aMS", %progbits, 1
.Lcpu:
	.asciz	"aarch64"
.Lwords:
	.asciz	"FPCR"

	.section .data.rel.ro.local, "aw"
	.p2align 3
	.globl	shunt_switch_arch
	.hidden shunt_switch_arch
	.type	shunt_switch_arch, %object
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

	.section .note.GNU-stack, "", %progbits
