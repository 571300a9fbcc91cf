/* SPDX-License-Identifier: MIT */
/* How a wait that spins lets others get on. */
#include "core/turn.h"

#include "core/backend.h"

#include <sched.h>

void shunt_let_others(void)
{
	struct shunt_ctx *ctx = shunt_ctx_get();
	if (ctx && ctx->time)
		ctx->time->await(ctx);
	else
		sched_yield();
}
