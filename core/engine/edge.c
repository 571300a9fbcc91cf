/* SPDX-License-Identifier: MIT */
/*
 * Preemption at the edges of a workload's second text (preempt=compiler).
 *
 * The workloads' files are compiled a second time (core/cmake/edges.cmake) with
 * -fsanitize-coverage=trace-pc. gcc then calls the function below at the begin of every basic
 * block, clang at each that does not follow from others. The call is one load and one branch: has
 * the preempter (ticks.c) set this thread's flag? Then the slice is over, and the task gives way as
 * by shunt_yield. The compiler takes it for a call, so no register has to be saved but those that
 * every call keeps, and the task may go on on another worker: it is not held, as one is that a
 * signal left.
 *
 * The engine, sync objects, the harness and libc are not compiled so. None of them is ever left
 * half-way, and no lock of theirs is held here. A workload says by sections (shunt_preempt_off)
 * where it holds one of its own. A step has no stack that could be left; its next checkpoint makes
 * up for it.
 *
 * Rejected: to read the clock here, without a preempter. A reading takes 12 ns (the fact
 * switch.stamp), an edge 1.7 (`shunt-bench --benchmark_filter=edge/asm/`).
 *
 * Probes by the compiler: Basu, Montanari, Eriksson, Frequent Background Polling on a Shared
 * Thread, Using Light-Weight Compiler Interrupts (PLDI 2021); Iyer, Unal, Kogias, Candea, Achieving
 * Microsecond-Scale Tail Latency Efficiently with Approximate Optimal Scheduling (Concord, SOSP
 * 2023).
 */
#include "core/engine/edge.h"

#include "core/engine/preempt.h"
#include "core/engine/slice.h"
#include "core/engine/ticks.h"

static SHUNT_SLOW void answer(void)
{
	struct shunt_worker *worker = shunt_preempt_watched();
	/* Acquire pairs with the release in send (ticks.c): who sent it is seen [tick:flag]. */
	__atomic_exchange_n(&shunt_tick_flag, 0, __ATOMIC_ACQUIRE);
	if (!worker)
		return;
	shunt_preempt_disappoint(worker->outer);
	if (!shunt_ticks_sent(worker))
		return;
	bool over = shunt_preempt_judge(worker, true);
	worker->preempt.delivered += over;
	shunt_ticks_counted(worker);
	if (!over)
		return;
	shunt_slice_cut(worker);
	worker->ctx.hooks->yield(&worker->ctx);
}

void __sanitizer_cov_trace_pc(void)
{
	/* Relaxed: what it is about is looked at in answer() [tick:flag]. */
	if (SHUNT_UNLIKELY(__atomic_load_n(&shunt_tick_flag, __ATOMIC_RELAXED)))
		answer();
}
