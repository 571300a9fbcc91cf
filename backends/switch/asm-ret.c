/* SPDX-License-Identifier: MIT */
/*
 * The switch in assembly that goes on by a return: the textbook form, kept to be compared with asm.
 * Nearly every switch mispredicts, since the return stack of the processor holds the other
 * context's callers.
 */
#include "backends/switch/arch.h"

static int resolve(const struct shunt_values *values, struct shunt_switch_ops *ops,
	struct shunt_error *err)
{
	return shunt_switch_arch_resolve("asm-ret", &shunt_switch_arch.ret, values, ops, err);
}

const struct shunt_switch shunt_switch_asm_ret = {
	.name = "asm-ret",
	.summary = "assembly, resumes with ret: what mispredicted returns cost",
	.params = shunt_switch_arch_params,
	.probe = shunt_switch_arch_probe,
	.resolve = resolve,
};
