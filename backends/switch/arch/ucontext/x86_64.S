/* SPDX-License-Identifier: MIT */
/*
 * int shunt_swap_ucontext(ucontext_t *from: rdi, const ucontext_t *to: rsi)
 *
 * glibc's swapcontext without its system call: the same registers (the arguments' included, which
 * makecontext fills in), the same places in ucontext_t, the x87 environment and MXCSR. The signal
 * masks stay untouched.
 */
#define UC_R8	  0x28
#define UC_R9	  0x30
#define UC_R12	  0x48
#define UC_R13	  0x50
#define UC_R14	  0x58
#define UC_R15	  0x60
#define UC_RDI	  0x68
#define UC_RSI	  0x70
#define UC_RBP	  0x78
#define UC_RBX	  0x80
#define UC_RDX	  0x88
#define UC_RCX	  0x98
#define UC_RSP	  0xa0
#define UC_RIP	  0xa8
#define UC_FPREGS 0xe0	/* pointer to the FP state */
#define UC_FPMEM  0x1a8 /* the FP state itself */
#define UC_MXCSR  0x1c0

/* The caller's register, by its DWARF number, lies at rdi + place. */
.macro CFI_AT_RDI number, place
	.cfi_escape 0x10, \number, 3, 0x75, 0x80 | (\place & 0x7f), \place >> 7
.endm

	.section .text.hot, "ax", @progbits
	.globl	shunt_swap_ucontext
	.hidden shunt_swap_ucontext
	.type	shunt_swap_ucontext, @function
	.p2align 6
shunt_swap_ucontext:
	.cfi_startproc
	endbr64
	movq	%rbx, UC_RBX(%rdi)
	movq	%rbp, UC_RBP(%rdi)
	movq	%r12, UC_R12(%rdi)
	movq	%r13, UC_R13(%rdi)
	movq	%r14, UC_R14(%rdi)
	movq	%r15, UC_R15(%rdi)
	movq	%rdi, UC_RDI(%rdi)
	movq	%rsi, UC_RSI(%rdi)
	movq	%rdx, UC_RDX(%rdi)
	movq	%rcx, UC_RCX(%rdi)
	movq	%r8, UC_R8(%rdi)
	movq	%r9, UC_R9(%rdi)
	movq	(%rsp), %rcx
	movq	%rcx, UC_RIP(%rdi)
	leaq	8(%rsp), %rcx
	movq	%rcx, UC_RSP(%rdi)
	leaq	UC_FPMEM(%rdi), %rcx
	movq	%rcx, UC_FPREGS(%rdi)
	fnstenv (%rcx)
	stmxcsr UC_MXCSR(%rdi)
	CFI_AT_RDI 3, UC_RBX
	CFI_AT_RDI 6, UC_RBP
	CFI_AT_RDI 12, UC_R12
	CFI_AT_RDI 13, UC_R13
	CFI_AT_RDI 14, UC_R14
	CFI_AT_RDI 15, UC_R15

	movq	UC_FPREGS(%rsi), %rcx
	fldenv	(%rcx)
	ldmxcsr UC_MXCSR(%rsi)
	movq	UC_RBX(%rsi), %rbx
	movq	UC_RBP(%rsi), %rbp
	movq	UC_R12(%rsi), %r12
	movq	UC_R13(%rsi), %r13
	movq	UC_R14(%rsi), %r14
	movq	UC_R15(%rsi), %r15
	movq	UC_RIP(%rsi), %rcx
	movq	UC_RSP(%rsi), %rsp
	.cfi_def_cfa_offset 0
	.cfi_register %rip, %rcx
	.cfi_restore %rbx
	.cfi_restore %rbp
	.cfi_restore %r12
	.cfi_restore %r13
	.cfi_restore %r14
	.cfi_restore %r15
	pushq	%rcx
	.cfi_def_cfa_offset 8
	.cfi_offset %rip, -8
	movq	UC_RDI(%rsi), %rdi
	movq	UC_RDX(%rsi), %rdx
	movq	UC_RCX(%rsi), %rcx
	movq	UC_R8(%rsi), %r8
	movq	UC_R9(%rsi), %r9
	movq	UC_RSI(%rsi), %rsi
	xorl	%eax, %eax
	ret
	.cfi_endproc
	.size	shunt_swap_ucontext, . - shunt_swap_ucontext

	.section .note.gnu.property, "a"
	.p2align 3
	.long	4, 16, 5	/* name size, descriptor size, NT_GNU_PROPERTY_TYPE_0 */
	.asciz	"GNU"
	.long	0xc0000002, 4	/* GNU_PROPERTY_X86_FEATURE_1_AND */
	.long	1, 0		/* IBT */

	.section .note.GNU-stack, "", @progbits
