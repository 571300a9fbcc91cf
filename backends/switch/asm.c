/* SPDX-License-Identifier: MIT */
/*
 * The switch in assembly that goes on by a jump. The processor predicts a return by the last call,
 * which was another context's; a jump it predicts by where it went before. The price: its return
 * stack is off by one after each switch, so every C frame left above a swap pays for it at its own
 * return. Hence the rule that hooks end in a tail call.
 */
#include "backends/switch/arch.h"

static int resolve(const struct shunt_values *values, struct shunt_switch_ops *ops,
	struct shunt_error *err)
{
	return shunt_switch_arch_resolve("asm", &shunt_switch_arch.jmp, values, ops, err);
}

const struct shunt_switch shunt_switch_asm = {
	.name = "asm",
	.summary = "assembly, resumes with jmp",
	.params = shunt_switch_arch_params,
	.probe = shunt_switch_arch_probe,
	.resolve = resolve,
};
