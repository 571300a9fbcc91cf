/* SPDX-License-Identifier: MIT */
/* Preemption at the edges of a workload's second text: edge.c. */
#ifndef SHUNT_CORE_ENGINE_EDGE_H
#define SHUNT_CORE_ENGINE_EDGE_H

/* The compiler has this called at every edge of code built with -fsanitize-coverage=trace-pc; the
 * name is its own. Context: any thread; in a task it may switch. */
void __sanitizer_cov_trace_pc(void);

#endif
