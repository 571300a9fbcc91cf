/* SPDX-License-Identifier: MIT */
/*
 * The hot hooks, as a template.
 *
 * Every hook below is always-inline and takes the policy's enqueue and pick as constants. A
 * policy's file instantiates them twice through SHUNT_POLICY: for one worker, with plain loads and
 * stores, and for many, with the task word's atomics and publication after the switch.
 * core/engine/hooks.c instantiates them once more with the policy behind its table
 * (dispatch=vtable), and with probes.
 *
 * The rules of the hot path:
 *   - A hook does all its work before the swap and ends in a sibling call to it: nothing of ours is
 *     left above a switch, and what the resumer leaves in `value` is the hook's own result.
 *   - One test, ++switches >= limit, leads to the slow path (shunt_service); it is in a
 *     function of its own, so that the fast path needs no frame.
 *   - What a yield runs through is hot: shunt_yield, the hook and the switch lie together in
 *     .text.hot, each from a cache line on. With other code between them the same instructions
 *     took from 5.1 to 5.9 ns; here they take 5.5, whatever else the program holds.
 *   - Order of a yield at every worker count: pick first, with the running task given to the
 *     policy; then the running task is enqueued: at once with one worker, after the switch with
 *     many.
 */
#ifndef SHUNT_CORE_ENGINE_HOOKS_H
#define SHUNT_CORE_ENGINE_HOOKS_H

#include "core/engine/guest.h"
#include "core/engine/hooks_step.h"
#include "core/engine/life.h"
#include "core/engine/probe.h"
#include "core/engine/ready.h"
#include "core/engine/service.h"
#include "core/engine/slice.h"
#include "core/engine/step.h"
#include "core/engine/switch.h"
#include "core/engine/task_pool.h"
#include "core/engine/timer.h"
#include "core/engine/wake.h"

typedef void shunt_key_fn(struct shunt_worker *worker, struct shunt_task *task,
	const struct shunt_attr *attr);

/* The instance for a composition. */
const struct shunt_hooks *shunt_hooks_choose(const struct shunt_policy *policy, bool inlined,
	bool many, bool probe, bool stamped);

/* ---- yield ----------------------------------------------------------------------------------- */

SHUNT_INLINE void shunt_hook_yield(struct shunt_worker *worker, bool many, bool probe, bool stamped,
	shunt_enqueue_fn *enqueue, shunt_pick_fn *pick, shunt_post_fn *post)
{
	struct shunt_task *current = worker->ctx.current;
	struct shunt_task *next = pick(worker, current);
	if (stamped)
		shunt_slice_begin(worker, next);
	if (next == current) {
		worker->self_picks++;
		return;
	}
	if (probe)
		shunt_probe_switch(worker, current, next, SHUNT_PROBE_YIELD);
	if (many) {
		current->worker = worker;
		shunt_switch(worker, current, next, post);
	} else {
		enqueue(worker, current, SHUNT_WHY_YIELD | SHUNT_FROM_LOCAL);
		shunt_switch(worker, current, next, NULL);
	}
}

/* ---- block and park -------------------------------------------------------------------------- */

/*
 * Leaves the running task, whose wait is prepared, for the next one or for the worker's own stack.
 * With one worker the slow path, just before, may have ended that very wait (its deadline passed,
 * or a wake came from outside): the task is then in the queue like any other, and if it is picked
 * it just goes on. With many it is still BLOCKING then, and commit takes care of it.
 */
SHUNT_INLINE int shunt_hook_leave(struct shunt_worker *worker, bool many, bool probe, bool stamped,
	bool serviced, shunt_pick_fn *pick)
{
	struct shunt_task *current = worker->ctx.current;
	struct shunt_task *next = pick(worker, NULL);
	if (stamped && next)
		shunt_slice_begin(worker, next);
	worker->blocked++;
	if (serviced && next == current) {
		worker->self_picks++;
		if (probe)
			shunt_probe_switch(worker, current, current, SHUNT_PROBE_BLOCK);
		return (int)(intptr_t)current->value;
	}
	if (!next)
		next = &worker->loop;
	if (probe)
		shunt_probe_switch(worker, current, next, SHUNT_PROBE_BLOCK);
	if (many)
		current->worker = worker;
	return shunt_switch(worker, current, next,
		!many   ? NULL
		: probe ? shunt_life_commit_and_pay
			: shunt_life_commit);
}

/* ---- ready ----------------------------------------------------------------------------------- */

SHUNT_INLINE void shunt_hook_ready(struct shunt_worker *worker, struct shunt_task *task, bool many,
	bool probe, shunt_enqueue_fn *enqueue)
{
	if (many && SHUNT_UNLIKELY(!worker->keeps_ready)) {
		shunt_ready_task(worker, task, SHUNT_WHY_WAKE);
		return;
	}
	if (SHUNT_UNLIKELY(task->timed))
		shunt_ready_disarm(worker, task);
	if (probe)
		shunt_probe_ready(worker, task, SHUNT_WHY_WAKE | SHUNT_FROM_LOCAL, true);
	enqueue(worker, task, SHUNT_WHY_WAKE | SHUNT_FROM_LOCAL);
	if (many)
		shunt_wake_offer(worker);
}

/* ---- transfer -------------------------------------------------------------------------------- */

/* Wakes `to` and parks: one swap if it is parked and there is nothing to service. -EAGAIN: the
 * caller must go the ordinary way. */
SHUNT_INLINE int shunt_hook_transfer(struct shunt_worker *worker, struct shunt_task *to,
	uint64_t generation, bool probe, bool stamped)
{
	struct shunt_task *current = worker->ctx.current;
	shunt_count_switch(worker);
	if (stamped) {
		shunt_slice_end(worker);
		shunt_slice_begin(worker, to);
	}
	to->value = 0;
	shunt_word_store(to,
		shunt_word_with_state(shunt_word_load(to, false), SHUNT_TASK_RUNNABLE));
	(void)generation;
	uint64_t word = shunt_word_load(current, false);
	shunt_word_store(current,
		word + SHUNT_EPOCH_ONE + (SHUNT_TASK_PARKED - SHUNT_TASK_RUNNABLE));
	worker->ctx.count.transfers_direct++;
	worker->blocked++;
	if (probe) {
		shunt_probe_ready(worker, to, SHUNT_WHY_WAKE | SHUNT_FROM_LOCAL, false);
		shunt_probe_switch(worker, current, to, SHUNT_PROBE_TRANSFER);
	}
	return shunt_switch(worker, current, to, NULL);
}

/* May a transfer to `to` be direct? It is parked, nothing is due, and the caller has no permit. */
SHUNT_INLINE bool shunt_transfer_direct(struct shunt_worker *worker, struct shunt_task *to,
	uint64_t generation)
{
	uint64_t word = shunt_word_load(to, false);
	return (word & (SHUNT_WORD_GENERATION | SHUNT_WORD_STATE)) ==
		       (generation | SHUNT_TASK_PARKED) &&
	       !to->timed && !(shunt_word_load(worker->ctx.current, false) & SHUNT_WORD_PERMIT);
}

/* Where a policy that neither steals nor shares keeps a new task: on the worker that its attributes
 * name, which core has checked, else the workers in turn. */
SHUNT_INLINE unsigned shunt_spawn_home(struct shunt_worker *worker, const struct shunt_attr *attr)
{
	if (SHUNT_UNLIKELY(attr != NULL) && attr->worker)
		return attr->worker - 1;
	unsigned turn = worker->spawn_turn++;
	if (worker->spawn_turn == worker->env.worker_count)
		worker->spawn_turn = 0;
	return turn;
}

/* The key of a task under a policy that has none. */
SHUNT_INLINE void shunt_keyless(struct shunt_worker *worker, struct shunt_task *task,
	const struct shunt_attr *attr)
{
	(void)worker, (void)task, (void)attr;
}

/* ---- spawn ----------------------------------------------------------------------------------- */

/* A task that will run fn(arg), or (step) the steps of the frame `arg`. */
SHUNT_INLINE int shunt_hook_spawn(struct shunt_worker *worker, struct shunt_handle *handle,
	shunt_task_fn *fn, void *arg, const struct shunt_attr *attr, bool step, bool many,
	bool probe, shunt_enqueue_fn *enqueue, shunt_key_fn *key)
{
	struct shunt_task *task = worker->free_tasks;
	if (SHUNT_UNLIKELY(!task || (!step && !worker->credits))) {
		int rc = shunt_task_pool_refill(worker, !step);
		if (rc)
			return rc;
		task = worker->free_tasks;
	}
	if (SHUNT_UNLIKELY(!worker->ids_left))
		shunt_task_pool_refill_ids(worker);
	worker->free_tasks = task->next;
	if (!step)
		worker->credits--;
	worker->ids_left--;
	worker->spawned++;
	worker->free_count--;
	task->sp = NULL;
	if (step) {
		task->frame = arg;
		task->step = SHUNT_STEP_RUNS;
	}
	if (many && SHUNT_UNLIKELY(!worker->keeps_ready))
		/* Relaxed: read by threads that hold a stale handle (inbox.c). */
		__atomic_store_n(&task->home, shunt_spawn_home(worker, attr), __ATOMIC_RELAXED);
	shunt_task_init(task, fn, arg, attr, handle == NULL, many ? worker->ctx.host : 0,
		worker->next_id++);
	key(worker, task, attr);
	if (handle)
		*handle = (struct shunt_handle){task, shunt_task_generation(task)};
	if (probe)
		shunt_probe_spawn(worker, task);
	if (many && SHUNT_UNLIKELY(!worker->keeps_ready)) {
		shunt_ready_task(worker, task, SHUNT_WHY_NEW);
		return 0;
	}
	if (probe)
		shunt_probe_ready(worker, task, SHUNT_WHY_NEW, true);
	enqueue(worker, task, SHUNT_WHY_NEW | SHUNT_FROM_LOCAL);
	if (many)
		shunt_wake_offer(worker);
	return 0;
}

/* ---- instantiation --------------------------------------------------------------------------- */

/* The hooks for one (tag, MANY, PROBE, STAMPED); arming a timer and the slow path are calls of
 * their own, each ending in the same tail. */
#define SHUNT_HOOKS(P, TAG, MANY, PROBE, STAMPED, ENQUEUE, PICK, KEY)                              \
	static const struct shunt_hooks P##_hooks_##TAG, P##_inside_##TAG;                         \
	static void P##_post_##TAG(void *arg)                                                      \
	{                                                                                          \
		struct shunt_task *task_ = arg;                                                    \
		struct shunt_worker *worker_ = task_->worker;                                      \
		ENQUEUE(worker_, task_, SHUNT_WHY_YIELD | SHUNT_FROM_LOCAL);                       \
		shunt_wake_offer(worker_);                                                         \
	}                                                                                          \
	static SHUNT_SLOW void P##_yield_slow_##TAG(struct shunt_ctx *ctx)                         \
	{                                                                                          \
		shunt_service(shunt_worker_of(ctx));                                               \
		shunt_hook_yield(shunt_worker_of(ctx), MANY, PROBE, STAMPED, ENQUEUE, PICK,        \
			P##_post_##TAG);                                                           \
	}                                                                                          \
	static __attribute__((hot)) void P##_yield_##TAG(struct shunt_ctx *ctx)                    \
	{                                                                                          \
		if (STAMPED)                                                                       \
			shunt_slice_end(shunt_worker_of(ctx));                                     \
		if (SHUNT_UNLIKELY(shunt_due(shunt_worker_of(ctx))))                               \
			P##_yield_slow_##TAG(ctx);                                                 \
		else                                                                               \
			shunt_hook_yield(shunt_worker_of(ctx), MANY, PROBE, STAMPED, ENQUEUE,      \
				PICK, P##_post_##TAG);                                             \
	}                                                                                          \
	static SHUNT_SLOW int P##_leave_slow_##TAG(struct shunt_ctx *ctx)                          \
	{                                                                                          \
		shunt_service(shunt_worker_of(ctx));                                               \
		return shunt_hook_leave(shunt_worker_of(ctx), MANY, PROBE, STAMPED, !(MANY),       \
			PICK);                                                                     \
	}                                                                                          \
	SHUNT_INLINE int P##_leave_##TAG(struct shunt_ctx *ctx)                                    \
	{                                                                                          \
		if (PROBE)                                                                         \
			shunt_probe_leave(shunt_worker_of(ctx));                                   \
		if (STAMPED)                                                                       \
			shunt_slice_end(shunt_worker_of(ctx));                                     \
		if (SHUNT_UNLIKELY(shunt_due(shunt_worker_of(ctx))))                               \
			return P##_leave_slow_##TAG(ctx);                                          \
		return shunt_hook_leave(shunt_worker_of(ctx), MANY, PROBE, STAMPED, false, PICK);  \
	}                                                                                          \
	static __attribute__((noinline)) int P##_timed_##TAG(struct shunt_ctx *ctx,                \
		int64_t deadline_ns)                                                               \
	{                                                                                          \
		int rc_ = shunt_timer_arm(shunt_worker_of(ctx), ctx->current, deadline_ns);        \
		int value_ = 0;                                                                    \
		if (SHUNT_UNLIKELY(rc_))                                                           \
			return shunt_task_unprepare(ctx->current, MANY, &value_) ? rc_ : value_;   \
		return P##_leave_##TAG(ctx);                                                       \
	}                                                                                          \
	static int P##_block_##TAG(struct shunt_ctx *ctx, int64_t deadline_ns)                     \
	{                                                                                          \
		if (deadline_ns != SHUNT_FOREVER)                                                  \
			return P##_timed_##TAG(ctx, deadline_ns);                                  \
		return P##_leave_##TAG(ctx);                                                       \
	}                                                                                          \
	static int P##_park_##TAG(struct shunt_ctx *ctx, int64_t deadline_ns)                      \
	{                                                                                          \
		if (!shunt_task_prepare_park(ctx->current, MANY))                                  \
			return 0;                                                                  \
		if (deadline_ns != SHUNT_FOREVER)                                                  \
			return P##_timed_##TAG(ctx, deadline_ns);                                  \
		return P##_leave_##TAG(ctx);                                                       \
	}                                                                                          \
	static void P##_ready_##TAG(struct shunt_ctx *ctx, struct shunt_task *task)                \
	{                                                                                          \
		shunt_hook_ready(shunt_worker_of(ctx), task, MANY, PROBE, ENQUEUE);                \
	}                                                                                          \
	static int P##_spawn_##TAG(struct shunt_ctx *ctx, struct shunt_handle *handle,             \
		shunt_task_fn *fn, void *arg, const struct shunt_attr *attr)                       \
	{                                                                                          \
		return shunt_hook_spawn(shunt_worker_of(ctx), handle, fn, arg, attr, false, MANY,  \
			PROBE, ENQUEUE, KEY);                                                      \
	}                                                                                          \
	static int P##_spawn_step_##TAG(struct shunt_ctx *ctx, struct shunt_handle *handle,        \
		struct shunt_step *frame, const struct shunt_attr *attr)                           \
	{                                                                                          \
		return shunt_hook_spawn(shunt_worker_of(ctx), handle, NULL, frame, attr, true,     \
			MANY, PROBE, ENQUEUE, KEY);                                                \
	}                                                                                          \
	static __attribute__((hot)) void P##_steps_##TAG(struct shunt_ctx *ctx)                    \
	{                                                                                          \
		shunt_hook_steps(shunt_worker_of(ctx), &P##_inside_##TAG, &P##_hooks_##TAG, MANY,  \
			PROBE, STAMPED, ENQUEUE, PICK);                                            \
	}                                                                                          \
	static int P##_transfer_##TAG(struct shunt_ctx *ctx, struct shunt_task *to,                \
		uint64_t generation)                                                               \
	{                                                                                          \
		if (!(MANY) && !shunt_due_next(shunt_worker_of(ctx)) &&                            \
			shunt_transfer_direct(shunt_worker_of(ctx), to, generation))               \
			return shunt_hook_transfer(shunt_worker_of(ctx), to, generation, PROBE,    \
				STAMPED);                                                          \
		return shunt_transfer_plain(ctx, to, generation);                                  \
	}                                                                                          \
	static const struct shunt_hooks P##_hooks_##TAG = {                                        \
		.spawn = P##_spawn_##TAG,                                                          \
		.spawn_step = P##_spawn_step_##TAG,                                                \
		.steps = P##_steps_##TAG,                                                          \
		.yield = P##_yield_##TAG,                                                          \
		.park = P##_park_##TAG,                                                            \
		.block = P##_block_##TAG,                                                          \
		.ready = P##_ready_##TAG,                                                          \
		.transfer = P##_transfer_##TAG,                                                    \
		.release = shunt_task_pool_release,                                                \
		.visit = shunt_guest_visit,                                                        \
		.checkpoint = (STAMPED) ? shunt_slice_checkpoint_stamped : shunt_slice_checkpoint, \
	};                                                                                         \
	static const struct shunt_hooks P##_inside_##TAG = {                                       \
		.spawn = P##_spawn_##TAG,                                                          \
		.spawn_step = P##_spawn_step_##TAG,                                                \
		.yield = shunt_step_no_yield,                                                      \
		.park = shunt_step_park,                                                           \
		.block = shunt_step_block,                                                         \
		.ready = P##_ready_##TAG,                                                          \
		.transfer = shunt_step_no_transfer,                                                \
		.release = shunt_task_pool_release,                                                \
		.visit = shunt_guest_visit,                                                        \
		.checkpoint = (STAMPED) ? shunt_slice_checkpoint_stamped : shunt_slice_checkpoint, \
	}

/* Wake, then park, through the worker's own hooks. */
int shunt_transfer_plain(struct shunt_ctx *ctx, struct shunt_task *to, uint64_t generation);

/*
 * The last statement of a policy's file: SHUNT_POLICY(fifo, .summary = "…", …) exports `const
 * struct shunt_policy shunt_policy_fifo` with fifo_enqueue, fifo_pick and fifo_has_ready, and the
 * hooks with the first two inlined. SHUNT_POLICY_KEYED is for one that also has fifo_key.
 * SHUNT_POLICY_VARIANT(fifo, window, …) before it makes `static const struct shunt_policy
 * fifo_window` of fifo_window_enqueue and so on, for the hook `variant`.
 */
#define SHUNT_POLICY(P, ...)                                                                       \
	SHUNT_POLICY_OF(P, #P, const struct shunt_policy shunt_policy_##P, shunt_keyless,          \
		__VA_ARGS__)
#define SHUNT_POLICY_VARIANT(P, V, ...)                                                            \
	SHUNT_POLICY_OF(P##_##V, #P, static const struct shunt_policy P##_##V, shunt_keyless,      \
		__VA_ARGS__)
#define SHUNT_POLICY_KEYED(P, ...)                                                                 \
	static inline void P##_set_key(struct shunt_worker *worker, struct shunt_task *task,       \
		const struct shunt_attr *attr)                                                     \
	{                                                                                          \
		(void)worker;                                                                      \
		task->key = P##_key(attr);                                                         \
	}                                                                                          \
	SHUNT_POLICY_OF(P, #P, const struct shunt_policy shunt_policy_##P, P##_set_key,            \
		.key = P##_key, __VA_ARGS__)

#define SHUNT_POLICY_OF(P, NAME, OBJECT, KEY, ...)                                                 \
	SHUNT_HOOKS(P, single, false, false, false, P##_enqueue, P##_pick, KEY);                   \
	SHUNT_HOOKS(P, many, true, false, false, P##_enqueue, P##_pick, KEY);                      \
	SHUNT_HOOKS(P, single_stamped, false, false, true, P##_enqueue, P##_pick, KEY);            \
	SHUNT_HOOKS(P, many_stamped, true, false, true, P##_enqueue, P##_pick, KEY);               \
	OBJECT = {.name = NAME,                                                                    \
		.enqueue = P##_enqueue,                                                            \
		.pick = P##_pick,                                                                  \
		.has_ready = P##_has_ready,                                                        \
		.inlined = {{&P##_hooks_single, &P##_hooks_single_stamped},                        \
			{&P##_hooks_many, &P##_hooks_many_stamped}},                               \
		__VA_ARGS__}

#endif
