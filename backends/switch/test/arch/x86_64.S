/* SPDX-License-Identifier: MIT */
/* What the switch tests need to see of x86-64's registers. */

	.text

.macro FUNCTION name
	.p2align 4
	.globl	\name
	.type	\name, @function
\name:
	.cfi_startproc
	endbr64
.endm

.macro END_FUNCTION name
	.cfi_endproc
	.size	\name, . - \name
.endm

.macro SAVE reg
	pushq	%\reg
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset \reg, 0
.endm

.macro RESTORE reg
	popq	%\reg
	.cfi_adjust_cfa_offset -8
	.cfi_restore \reg
.endm

/*
 * void registers_hold(swap: rdi, save: rsi, load: rdx, post: rcx, arg: r8, uint64_t *held: r9)
 * Calls swap(save, load, 0, post, arg) with every callee-saved register taken from held[], and
 * writes back what they are afterwards.
 */
	FUNCTION registers_hold
	SAVE	rbp
	SAVE	rbx
	SAVE	r12
	SAVE	r13
	SAVE	r14
	SAVE	r15
	pushq	%r9
	.cfi_adjust_cfa_offset 8
	movq	0(%r9), %rbp
	movq	8(%r9), %rbx
	movq	16(%r9), %r12
	movq	24(%r9), %r13
	movq	32(%r9), %r14
	movq	40(%r9), %r15
	movq	%rdi, %rax
	movq	%rsi, %rdi
	movq	%rdx, %rsi
	xorl	%edx, %edx
	call	*%rax
	popq	%r9
	.cfi_adjust_cfa_offset -8
	movq	%rbp, 0(%r9)
	movq	%rbx, 8(%r9)
	movq	%r12, 16(%r9)
	movq	%r13, 24(%r9)
	movq	%r14, 32(%r9)
	movq	%r15, 40(%r9)
	RESTORE	r15
	RESTORE	r14
	RESTORE	r13
	RESTORE	r12
	RESTORE	rbx
	RESTORE	rbp
	ret
	END_FUNCTION registers_hold

/* Entry and post functions that note the stack pointer they were called with, and go on in C. */
	FUNCTION probe_entry
	movq	%rsp, probe_entry_sp(%rip)
	jmp	*probed_entry(%rip)
	END_FUNCTION probe_entry

	FUNCTION probe_post
	movq	%rsp, probe_post_sp(%rip)
	jmp	*probed_post(%rip)
	END_FUNCTION probe_post

	.section .rodata
	.globl	registers_count, probe_bias
	.p2align 2
registers_count:
	.long	6
probe_bias:
	.long	8	/* the return address lies below the aligned stack pointer */

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

	.section .note.gnu.property, "a"
	.p2align 3
	.long	4, 16, 5	/* name size, descriptor size, NT_GNU_PROPERTY_TYPE_0 */
	.asciz	"GNU"
	.long	0xc0000002, 4	/* GNU_PROPERTY_X86_FEATURE_1_AND */
	.long	1, 0		/* IBT */

	.section .note.GNU-stack, "", @progbits
