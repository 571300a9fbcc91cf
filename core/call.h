/* SPDX-License-Identifier: MIT */
/*
 * What every call of the task API begins with: its context.
 *
 * For the sources that implement calls which tasks make (sched.c, join.c). The rest of core asks
 * shunt_ctx_get(), which no compiler looks into.
 */
#ifndef SHUNT_CORE_CALL_H
#define SHUNT_CORE_CALL_H

#include "core/backend.h"

/* Initial-exec: one load from the thread pointer; this is an executable, not a plug-in of one. */
extern __thread struct shunt_ctx *shunt_current_ctx
	__attribute__((tls_model("initial-exec"), visibility("hidden")));

/* A call that tasks make: never inlined into theirs, where a compiler may keep the address of
 * shunt_current_ctx over a switch to another thread; which matters where whole programs are
 * optimised (-flto). Hot: the linker puts it beside the hooks and the switch (hooks.h). */
#if defined(__clang__)
#define TASK_CALL __attribute__((noinline, hot))
#else
#define TASK_CALL __attribute__((noipa, hot))
#endif

/* Panics: a call that only tasks may make was made outside one. */
_Noreturn void shunt_outside_a_task(const char *call);

/* The context of a call that only tasks may make. */
#define TASK_CTX()                                                                                 \
	({                                                                                         \
		struct shunt_ctx *ctx_ = shunt_current_ctx;                                        \
		if (__builtin_expect(!ctx_, 0))                                                    \
			shunt_outside_a_task(__func__);                                            \
		ctx_;                                                                              \
	})

static inline void count(uint64_t *counter)
{
	++*counter;
}

#endif
