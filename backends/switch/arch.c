/* SPDX-License-Identifier: MIT */
/*
 * What the switches in assembly share: their parameter, the refusal of what this CPU or this
 * thread does not allow, and the FP words to go back to.
 */
#include "backends/switch/arch.h"

#include <errno.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define ARCH_SHSTK_STATUS          0x5005 /* arch_prctl, x86-64, Linux 6.6 */
#define PR_GET_SHADOW_STACK_STATUS 74     /* prctl, aarch64 and riscv64, Linux 6.13 */

static const char *const fp_choices[] = {"full", "mxcsr", "none", NULL};

const struct shunt_param shunt_switch_arch_params[] = {
	{.name = "fp",
		.type = SHUNT_PARAM_CHOICE,
		.fallback = "full",
		.choices = fp_choices,
		.help = "FP control words kept per task; none: all tasks share the thread's"},
	{.name = NULL},
};

void shunt_switch_arch_note_fp(struct shunt_switch_ops *ops)
{
	uint64_t words = shunt_switch_arch.fp_get();

	memcpy(ops->fp_words, &words, sizeof(words));
}

static void reset(enum shunt_switch_fp fp, const void *fp_words)
{
	uint64_t words;

	memcpy(&words, fp_words, sizeof(words));
	shunt_switch_arch.fp_set[fp](words);
}

void shunt_switch_arch_reset_fp(const void *fp_words)
{
	reset(SHUNT_FP_FULL, fp_words);
}

static void reset_mxcsr(const void *fp_words)
{
	reset(SHUNT_FP_MXCSR, fp_words);
}

static void (*const resets[SHUNT_FP_COUNT])(const void *fp_words) = {
	[SHUNT_FP_FULL] = shunt_switch_arch_reset_fp,
	[SHUNT_FP_MXCSR] = reset_mxcsr,
};

static bool has_shadow_stack(void)
{
	uint64_t status = 0;
	long failed;

#ifdef SYS_arch_prctl
	failed = syscall(SYS_arch_prctl, ARCH_SHSTK_STATUS, &status);
#else
	failed = prctl(PR_GET_SHADOW_STACK_STATUS, &status, 0, 0, 0);
#endif
	return !failed && (status & 1);
}

int shunt_switch_arch_probe(struct shunt_error *why)
{
	if (!has_shadow_stack())
		return 0;
	return shunt_fail(why, -ENOTSUP,
		"this process has a shadow stack, which the assembly switches do not swap; start "
		"it without one (GLIBC_TUNABLES), or use switch=ucontext");
}

int shunt_switch_arch_resolve(const char *name, const struct shunt_switch_pair *pairs,
	const struct shunt_values *values, struct shunt_switch_ops *ops, struct shunt_error *err)
{
	enum shunt_switch_fp fp = shunt_value_int(values, "fp");

	if (!pairs[fp].swap)
		return shunt_fail(err, -ENOTSUP,
			"switch '%s': fp=%s does not exist on %s; use fp=full (keeps %s) or "
			"fp=none",
			name, fp_choices[fp], shunt_switch_arch.cpu, shunt_switch_arch.words);
	*ops = (struct shunt_switch_ops){
		.swap = pairs[fp].swap,
		.swap_post = pairs[fp].swap_post,
		.make = shunt_switch_arch.make,
		.reset_fp = resets[fp],
		.fp = fp_choices[fp],
		.saves_signal_mask = false,
		.unwindable = true,
		.stack_overhead = shunt_switch_arch.stack_overhead,
	};
	shunt_switch_arch_note_fp(ops);
	return 0;
}
