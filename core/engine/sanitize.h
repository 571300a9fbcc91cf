/* SPDX-License-Identifier: MIT */
/*
 * What the sanitizers and Valgrind must be told about stacks. Empty in other builds.
 *
 * A switch announces itself before it leaves (leave), and the first code on the new stack, before
 * any instrumented code, announces the arrival (arrive). The engine therefore sends every switch
 * of a sanitizer build through swap_post, whose function runs exactly there.
 *
 * ThreadSanitizer's fibre belongs to a stack. Its switches synchronise: what runs on one worker is
 * ordered by that worker, and so are the worker's own fields. Without it (no_sync) every one of
 * these is reported, and was when tried. Between workers nothing is implied, and there the races
 * are that the tests look for. A task that leaves its stack for good does not return from its last
 * functions, which ThreadSanitizer keeps on record, at most 65,536 for a fibre. Before that number
 * is reached the stack gets another fibre.
 */
#ifndef SHUNT_CORE_ENGINE_SANITIZE_H
#define SHUNT_CORE_ENGINE_SANITIZE_H

#include "core/engine/fibre.h"
#include "core/engine/worker.h"

#if defined(__SANITIZE_ADDRESS__)
#define SHUNT_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SHUNT_ASAN 1
#endif
#endif
#ifdef SHUNT_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#ifdef SHUNT_TSAN
#include <sanitizer/tsan_interface.h>
#endif

#if defined(SHUNT_ASAN) || defined(SHUNT_TSAN)
#define SHUNT_SANITIZED 1

__attribute__((no_sanitize("address", "thread"))) static inline void
shunt_sanitize_leave(struct shunt_worker *worker, struct shunt_task *from,
	struct shunt_worker *there, struct shunt_task *to, bool dying)
{
	(void)worker, (void)from, (void)there, (void)to, (void)dying;
	/* Steps run on the worker's own stack: neither of the two is a step task. */
#ifdef SHUNT_ASAN
	const void *low = to->stack ? to->stack->low : there->stack_low;
	size_t bytes = to->stack ? there->engine->stacks.usable : there->stack_bytes;
	void **fake = from->stack ? &from->stack->fake_stack : &worker->fake_stack;
	__sanitizer_start_switch_fiber(dying ? NULL : fake, low, bytes);
#endif
#ifdef SHUNT_TSAN
	__tsan_switch_to_fiber(to->stack ? to->stack->fiber : there->fiber, 0);
#endif
}

__attribute__((no_sanitize("address", "thread"))) static inline void
shunt_sanitize_arrive_on(struct shunt_worker *worker, const struct shunt_task *task)
{
	(void)worker, (void)task;
#ifdef SHUNT_ASAN
	struct shunt_stack *stack = shunt_task_stack(task);
	void **fake = stack ? &stack->fake_stack : &worker->fake_stack;
	__sanitizer_finish_switch_fiber(*fake, NULL, NULL);
	*fake = NULL;
#endif
}
#endif /* sanitized */

/* Where its header is installed (Debian package valgrind): a few instructions that do nothing
 * outside Valgrind. */
#if __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h>
#else
#define RUNNING_ON_VALGRIND               0
#define VALGRIND_STACK_REGISTER(low, top) 0
#define VALGRIND_STACK_DEREGISTER(known)  ((void)(known))
#endif

/* A stack was made. */
static inline void shunt_sanitize_made(struct shunt_stack *stack)
{
	(void)stack; /* where Valgrind does not run, its macros are empty */
	if (RUNNING_ON_VALGRIND)
		stack->known = VALGRIND_STACK_REGISTER(stack->low, stack);
}

/* A stack from the pool is about to run a task. */
static inline void shunt_sanitize_stack(struct shunt_stack *stack, size_t bytes)
{
	(void)stack, (void)bytes;
#ifdef SHUNT_ASAN
	__asan_unpoison_memory_region(stack->low, bytes);
#endif
#ifdef SHUNT_TSAN
	shunt_fibre_begin(stack);
#endif
}

/* A stack of the pool, with `bytes` usable bytes, is about to be unmapped. What its last task left
 * poisoned would stay poisoned for whatever is mapped there next: the C library's own mapping of a
 * thread goes past AddressSanitizer, which clears the thread's stack and not all of its
 * thread-local data. */
static inline void shunt_sanitize_forget(struct shunt_stack *stack, size_t bytes)
{
	(void)stack, (void)bytes;
#ifdef SHUNT_ASAN
	__asan_unpoison_memory_region(stack->low, bytes);
#endif
	if (RUNNING_ON_VALGRIND)
		VALGRIND_STACK_DEREGISTER(stack->known);
#ifdef SHUNT_TSAN
	shunt_fibre_end(stack);
#endif
}

#endif
