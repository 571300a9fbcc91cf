/* SPDX-License-Identifier: MIT */
/* One switch from a task to another, and its count. The file of a slot that swaps stacks is in
 * backends/switch. */
#ifndef SHUNT_CORE_ENGINE_SWITCH_H
#define SHUNT_CORE_ENGINE_SWITCH_H

#include "core/engine/sanitize.h"
#include "core/engine/worker.h"

/* engine/switch.c: the same as shunt_switch for a task that has no stack, or none yet. */
int shunt_switch_first(struct shunt_worker *worker, struct shunt_task *from, struct shunt_task *to,
	shunt_post_fn *post);

/* engine/switch.c: every switch of a sanitizer build. */
int shunt_switch_sanitized(struct shunt_worker *worker, struct shunt_task *from,
	struct shunt_task *to, shunt_post_fn *post);

/* What a switch exchanges beside the stacks. */
SHUNT_INLINE void shunt_switch_account(struct shunt_worker *worker, struct shunt_task *from,
	struct shunt_task *to)
{
	int *errno_at = worker->errno_at;
	from->saved_errno = *errno_at;
	*errno_at = to->saved_errno;
	worker->ctx.current = to;
}

/* The bare switch. */
SHUNT_INLINE int shunt_swap(struct shunt_worker *worker, struct shunt_task *from,
	struct shunt_task *to, shunt_post_fn *post)
{
#ifdef SHUNT_SANITIZED
	return shunt_switch_sanitized(worker, from, to, post);
#else
	return post ? worker->swap_post(&from->sp, to->sp, to->value, post, from)
		    : worker->swap(&from->sp, to->sp, to->value);
#endif
}

/* Leaves `from` for `to`; returns when somebody resumes `from`, with what that left. */
SHUNT_INLINE int shunt_switch(struct shunt_worker *worker, struct shunt_task *from,
	struct shunt_task *to, shunt_post_fn *post)
{
	shunt_switch_account(worker, from, to);
	if (SHUNT_UNLIKELY(!to->sp))
		return shunt_switch_first(worker, from, to, post);
	return shunt_swap(worker, from, to, post);
}

/* Counts a switch. */
SHUNT_INLINE uint64_t shunt_count_switch(struct shunt_worker *worker)
{
	uint64_t switches = worker->switches + 1;
	/* Relaxed: our own count, of which others ask only whether it moves [worker:switches]. */
	__atomic_store_n(&worker->switches, switches, __ATOMIC_RELAXED);
	return switches;
}

/* The one test, and the switch is counted: is a visit to the slow path due? */
SHUNT_INLINE bool shunt_due(struct shunt_worker *worker)
{
	/* Relaxed: a request seen one switch later is as good. */
	return shunt_count_switch(worker) >=
	       atomic_load_explicit(&worker->limit, memory_order_relaxed);
}

/* Will it be, with the next switch? */
SHUNT_INLINE bool shunt_due_next(const struct shunt_worker *worker)
{
	/* Relaxed: as above. */
	return worker->switches + 1 >= atomic_load_explicit(&worker->limit, memory_order_relaxed);
}

#endif
