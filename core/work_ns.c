/* SPDX-License-Identifier: MIT */
/*
 * shunt_work_ns: the synthetic work that tasks do (work.c). In a file of its own because it is
 * compiled twice, as the workloads are (core/cmake/edges.cmake). Both texts make the rounds that
 * the calibration says, so with a call at every edge the same work takes longer, as other code
 * does.
 */
#include "core/backend.h"
#include "core/work.h"

static SHUNT_PREEMPTIBLE void work(uint64_t rounds)
{
	shunt_work_chain(rounds);
}

void shunt_work_ns(int64_t duration_ns)
{
	struct shunt_ctx *ctx = shunt_ctx_get();

	if (duration_ns <= 0)
		return;
	if (ctx && ctx->time)
		ctx->time->work(ctx, duration_ns);
	else
		work(shunt_work_rounds(duration_ns));
}
