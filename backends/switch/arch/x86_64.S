/* SPDX-License-Identifier: MIT */
/*
 * The switch of stacks on x86-64, System V ABI.
 *
 * A suspended context is its stack pointer; everything else lies in this frame on its own stack,
 * the same for every variant:
 *
 *	offset  what
 *	     0  MXCSR, 4 bytes (written where fp is mxcsr or full)
 *	     4  x87 control word, 2 bytes (written where fp is full)
 *	     8  r15
 *	    16  r14
 *	    24  r13
 *	    32  r12
 *	    40  rbx
 *	    48  rbp
 *	    56  return address, pushed by the call
 *	    64  the caller's stack pointer after the return
 *
 * Saved: what the ABI lets a callee not change. Not saved: rax, rcx, rdx, rsi, rdi, r8-r11, the
 * vector registers, the x87 stack and its status word. MXCSR is kept whole, so that its sticky
 * exception flags stay with the task.
 *
 * The default written out, swap_jmp_full without post; SWAP makes it and the others:
 *
 *	movq	56(%rsi), %rcx		where to go on, loaded early
 *	pushq	%rbp			and rbx, r12, r13, r14, r15
 *	subq	$8, %rsp
 *	stmxcsr	(%rsp)			its copy in r9
 *	fnstcw	4(%rsp)			its copy in r10
 *	movq	%rsp, (%rdi)		the old context is complete
 *	movq	%rsi, %rsp		from here on, the new one
 *	cmpl	(%rsp), %r9d		other words: load them, beside the common way
 *	jne	ldmxcsr
 *	cmpw	4(%rsp), %r10w
 *	jne	fldcw
 *	movq	%rdx, %rax		the value is the new context's result
 *	movq	8(%rsp), %r15		and r14, r13, r12, rbx, rbp
 *	addq	$64, %rsp
 *	jmp	*%rcx
 *
 * What was measured (ns one way, Sapphire Rapids, by shunt-swap-bench and variants of this file):
 *  - jmp, not ret: 2.6 against 11.7 with two call sites. The return stack of the processor predicts
 *    the way back to the last caller, which is in the other context. The address is loaded first,
 *    so that the jump is resolved early.
 *  - push for the stores and mov for the loads: 2.2; mov for both 2.3, push and pop 2.3.
 *  - the FP words are compared with the running ones and loaded only when they differ, which they
 *    rarely do: 3.3, where loading them always costs 4.7. Zen 5 stores MXCSR slowly and so waits
 *    long for the comparison: 7.9, where loading it always costs 5.6 (_always; arch.c decides).
 *  - a swap begins at a cache line, beside the hooks (core/engine/hooks.h): where it does not, a
 *    yield takes up to 0.4 ns more, as the program happens to be laid out.
 *
 * CFI: the old context's frame and the new one's have the same shape, so one set of rules (all at
 * CFA-x) holds on both sides of the instruction that exchanges the stack pointer.
 *
 * The jumps to return addresses are `notrack`, hence right under indirect branch tracking; the
 * shadow stack is not switched, so the property note claims IBT and not SHSTK.
 */

#define FP_MXCSR 0
#define FP_X87	 4
#define R15	 8
#define R14	 16
#define R13	 24
#define R12	 32
#define RBX	 40
#define RBP	 48
#define RIP	 56
#define FRAME	 64

	.section .text.hot, "ax", @progbits

.macro FUNCTION name
	.p2align 6
	.type \name, @function
\name:
	.cfi_startproc
.endm

.macro END_FUNCTION name
	.cfi_endproc
	.size \name, . - \name
.endm

.macro SAVE reg
	pushq %\reg
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset \reg, 0
.endm

/* Stores the FP words that `fp` names, and leaves in r9 and r10 those that LOAD_FP compares. */
.macro SAVE_FP fp, always
.ifnc \fp, none
	stmxcsr FP_MXCSR(%rsp)
.ifb \always
	movl	FP_MXCSR(%rsp), %r9d
.endif
.endif
.ifc \fp, full
	fnstcw	FP_X87(%rsp)
	movzwl	FP_X87(%rsp), %r10d
.endif
.endm

/* Takes up the FP words of the frame at rsp; the rare way out is in LOAD_FP_RARE. */
.macro LOAD_FP fp, always, id
.ifnc \fp, none
.ifnb \always
	ldmxcsr FP_MXCSR(%rsp)
.else
	cmpl	FP_MXCSR(%rsp), %r9d
	jne	.Lmxcsr_differs_\id
.Lmxcsr_done_\id:
.endif
.endif
.ifc \fp, full
	cmpw	FP_X87(%rsp), %r10w
	jne	.Lx87_differs_\id
.Lx87_done_\id:
.endif
.endm

.macro LOAD_FP_RARE fp, always, id
.ifnc \fp, none
.ifb \always
.Lmxcsr_differs_\id:
	ldmxcsr FP_MXCSR(%rsp)
	jmp	.Lmxcsr_done_\id
.endif
.endif
.ifc \fp, full
.Lx87_differs_\id:
	fldcw	FP_X87(%rsp)
	jmp	.Lx87_done_\id
.endif
.endm

.macro LOAD_REGISTERS
	movq	R15(%rsp), %r15
	movq	R14(%rsp), %r14
	movq	R13(%rsp), %r13
	movq	R12(%rsp), %r12
	movq	RBX(%rsp), %rbx
	movq	RBP(%rsp), %rbp
.endm

/* Gives up the frame's first `bytes` bytes. From here on the registers hold the caller's values. */
.macro DROP_FRAME bytes
	addq	$\bytes, %rsp
	.cfi_adjust_cfa_offset -\bytes
	.cfi_restore %r15
	.cfi_restore %r14
	.cfi_restore %r13
	.cfi_restore %r12
	.cfi_restore %rbx
	.cfi_restore %rbp
.endm

/*
 * uintptr_t swap(void **save: rdi, void *load: rsi, uintptr_t value: rdx)
 * uintptr_t swap_post(…, shunt_post_fn *post: rcx, void *arg: r8)
 *
 * how: jmp or ret. fp: full, mxcsr or none. post: `_post` or nothing. always: `_always` or nothing.
 */
.macro SWAP how, fp, post, always
	FUNCTION shunt_swap\post\()_\how\()_\fp\always
	endbr64
.ifc \how\post, jmp
	movq	RIP(%rsi), %rcx
.endif
	SAVE	rbp
	SAVE	rbx
	SAVE	r12
	SAVE	r13
	SAVE	r14
	SAVE	r15
	subq	$8, %rsp
	.cfi_adjust_cfa_offset 8
	SAVE_FP \fp, \always
	movq	%rsp, (%rdi)
	movq	%rsi, %rsp
	LOAD_FP \fp, \always, \@
.ifnb \post
	movq	%rdx, %rbx
	movq	%r8, %rdi
	call	*%rcx
	movq	%rbx, %rax
.ifc \how, jmp
	movq	RIP(%rsp), %rcx
.endif
.else
	movq	%rdx, %rax
.endif
	LOAD_REGISTERS
	.cfi_remember_state
.ifc \how, jmp
	.cfi_register %rip, %rcx
	DROP_FRAME FRAME
	notrack jmp *%rcx
.else
	DROP_FRAME RIP
	ret
.endif
	.cfi_restore_state
	LOAD_FP_RARE \fp, \always, \@
	END_FUNCTION shunt_swap\post\()_\how\()_\fp\always
.endm

	SWAP	jmp, full
	SWAP	jmp, full, _post
	SWAP	jmp, mxcsr
	SWAP	jmp, mxcsr, _post
	SWAP	jmp, none
	SWAP	jmp, none, _post
	SWAP	jmp, full, , _always
	SWAP	jmp, full, _post, _always
	SWAP	jmp, mxcsr, , _always
	SWAP	jmp, mxcsr, _post, _always
	SWAP	ret, full
	SWAP	ret, full, _post
	SWAP	ret, mxcsr
	SWAP	ret, mxcsr, _post
	SWAP	ret, none
	SWAP	ret, none, _post
	SWAP	ret, full, , _always
	SWAP	ret, full, _post, _always
	SWAP	ret, mxcsr, , _always
	SWAP	ret, mxcsr, _post, _always

/*
 * Where a fresh context begins: value in rax, the entry in rbx. The end of the stack, for whoever
 * walks it: it has no return address. The first byte is never run; a walk looks up the address
 * before the one it would return to, and must find this function.
 */
	FUNCTION shunt_switch_entry
	.cfi_undefined %rip
	.cfi_def_cfa %rsp, 0
	nop
.Lentry:
	movq	%rax, %rdi
	call	*%rbx
	ud2
	END_FUNCTION shunt_switch_entry

/* void *make(void *low: rdi, size_t bytes: rsi, shunt_entry_fn *entry: rdx) */
	FUNCTION shunt_switch_make
	endbr64
	leaq	-FRAME(%rdi,%rsi), %rax
	xorl	%ecx, %ecx
	movq	%rcx, (%rax)
	stmxcsr FP_MXCSR(%rax)
	fnstcw	FP_X87(%rax)
	movq	%rcx, R15(%rax)
	movq	%rcx, R14(%rax)
	movq	%rcx, R13(%rax)
	movq	%rcx, R12(%rax)
	movq	%rdx, RBX(%rax)
	movq	%rcx, RBP(%rax)
	leaq	.Lentry(%rip), %rcx
	movq	%rcx, RIP(%rax)
	ret
	END_FUNCTION shunt_switch_make

/* uint64_t fp_get(void): MXCSR below, the x87 control word above. */
	FUNCTION shunt_switch_fp_get
	endbr64
	movq	$0, -8(%rsp)
	stmxcsr -8(%rsp)
	fnstcw	-4(%rsp)
	movq	-8(%rsp), %rax
	ret
	END_FUNCTION shunt_switch_fp_get

/* void fp_reset(const void *words: rdi), of what fp_get returned. always: as in SWAP. */
.macro FP_RESET fp, always
	FUNCTION shunt_switch_fp_reset_\fp\always
	endbr64
.ifnb \always
	ldmxcsr (%rdi)
.else
	stmxcsr -8(%rsp)
	movl	(%rdi), %eax
	cmpl	%eax, -8(%rsp)
	je	1f
	ldmxcsr (%rdi)
1:
.endif
.ifc \fp, full
	fnstcw	-4(%rsp)
	movzwl	4(%rdi), %eax
	cmpw	%ax, -4(%rsp)
	je	2f
	fldcw	4(%rdi)
2:
.endif
	ret
	END_FUNCTION shunt_switch_fp_reset_\fp\always
.endm

	FP_RESET full
	FP_RESET mxcsr
	FP_RESET full, _always
	FP_RESET mxcsr, _always

/* struct shunt_switch_arch of arch.h, in its order. */
	.section .rodata.str1.1, "aMS", @progbits, 1
.Lcpu:
	.asciz	"x86-64"
.Lwords:
	.asciz	"MXCSR and the x87 control word"

	.section .data.rel.ro.local, "aw"
	.p2align 3
	.globl	shunt_switch_arch
	.hidden shunt_switch_arch
	.type	shunt_switch_arch, @object
shunt_switch_arch:
	.quad	.Lcpu, .Lwords
	.quad	shunt_switch_make
	.quad	8	/* entry's return address */
	.quad	shunt_switch_fp_get
	.quad	shunt_switch_fp_reset_full, shunt_switch_fp_reset_mxcsr, 0
	.quad	shunt_switch_fp_reset_full_always, shunt_switch_fp_reset_mxcsr_always, 0
	.quad	shunt_swap_jmp_full, shunt_swap_post_jmp_full
	.quad	shunt_swap_jmp_mxcsr, shunt_swap_post_jmp_mxcsr
	.quad	shunt_swap_jmp_none, shunt_swap_post_jmp_none
	.quad	shunt_swap_jmp_full_always, shunt_swap_post_jmp_full_always
	.quad	shunt_swap_jmp_mxcsr_always, shunt_swap_post_jmp_mxcsr_always
	.quad	0, 0
	.quad	shunt_swap_ret_full, shunt_swap_post_ret_full
	.quad	shunt_swap_ret_mxcsr, shunt_swap_post_ret_mxcsr
	.quad	shunt_swap_ret_none, shunt_swap_post_ret_none
	.quad	shunt_swap_ret_full_always, shunt_swap_post_ret_full_always
	.quad	shunt_swap_ret_mxcsr_always, shunt_swap_post_ret_mxcsr_always
	.quad	0, 0
	.size	shunt_switch_arch, . - shunt_switch_arch

	.section .note.gnu.property, "a"
	.p2align 3
	.long	4, 16, 5	/* name size, descriptor size, NT_GNU_PROPERTY_TYPE_0 */
	.asciz	"GNU"
	.long	0xc0000002, 4	/* GNU_PROPERTY_X86_FEATURE_1_AND */
	.long	1, 0		/* IBT */

	.section .note.GNU-stack, "", @progbits
