/* SPDX-License-Identifier: MIT */
/*
 * A wait on a futex word of the task's own, with an absolute deadline on CLOCK_MONOTONIC.
 *
 *   block:  commit the wait -- claimed meanwhile: go on
 *           sleep until posted -- deadline: claim oneself; lost to a waker: sleep until its post
 *
 * One claim of a blocked task means exactly one post, so the word is 0 again after every wait.
 */
#include "backends/threads/threads.h"

#include "core/measure/hist.h"

#include <linux/futex.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

void shunt_threads_post(struct thread_task *self)
{
	/* Release pairs with the acquire in is_posted [thread:posted]. */
	atomic_store_explicit(&self->posted, 1, memory_order_release);
	syscall(SYS_futex, &self->posted, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static bool is_posted(struct thread_task *self)
{
	/* Acquire pairs with the release in post [thread:posted]. */
	return atomic_load_explicit(&self->posted, memory_order_acquire);
}

/* Sleeps until posted or the deadline; may return early. True: the deadline has passed. */
static bool futex_sleep(struct thread_task *self, int64_t deadline_ns)
{
	struct timespec at = {.tv_sec = deadline_ns / 1000000000,
		.tv_nsec = deadline_ns % 1000000000};
	if (deadline_ns < 0)
		at = (struct timespec){0, 0};
	int before = errno; /* the task's own: a wait must not change it */
	long rc = syscall(SYS_futex, &self->posted, FUTEX_WAIT_BITSET_PRIVATE, 0,
		deadline_ns == SHUNT_FOREVER ? NULL : &at, NULL, FUTEX_BITSET_MATCH_ANY);
	bool late = rc < 0 && errno == ETIMEDOUT;
	if (rc < 0 && !late && errno != EAGAIN && errno != EINTR)
		shunt_panic("the kernel refused to let a task sleep: futex: %s", strerror(errno));
	errno = before;
	return late;
}

void shunt_threads_sample_delay(struct threads *threads, struct thread_task *self)
{
	if (!self->ready_ns)
		return;
	int64_t delay = shunt_now_ns() - self->ready_ns;
	self->ready_ns = 0;
	pthread_mutex_lock(&threads->lock);
	shunt_hist_record(threads->delay, delay);
	pthread_mutex_unlock(&threads->lock);
}

int shunt_threads_block(struct shunt_ctx *ctx, int64_t deadline_ns)
{
	struct threads *threads = shunt_threads_of(ctx);
	struct thread *thread = shunt_thread_of(ctx);
	struct thread_task *self = shunt_thread_task_of(ctx->current);
	uint64_t ticket = shunt_word_load(&self->task, true) & SHUNT_WORD_TICKET;
	bool timed = deadline_ns != SHUNT_FOREVER;
	self->for_ever = !timed;
	thread->count.timers_armed += timed;
	if (shunt_task_commit(&self->task))
		return (int)(intptr_t)self->task.value;
	thread->count.blocked++;
	if (!timed)
		shunt_threads_count_out(threads, false);
	while (!is_posted(self)) {
		shunt_threads_leave_if_failed(ctx);
		thread->count.futex_calls++;
		if (!futex_sleep(self, deadline_ns))
			continue;
		if (shunt_task_claim(&self->task, ticket, -ETIMEDOUT, true) == SHUNT_CLAIM_MINE) {
			thread->count.timers_fired++;
			return shunt_task_timeout(&self->task);
		}
		deadline_ns = SHUNT_FOREVER; /* a waker has claimed it and will post */
	}
	shunt_threads_leave_if_failed(ctx);
	/* Relaxed: one post a claim, and the next claim comes after the next commit. */
	atomic_store_explicit(&self->posted, 0, memory_order_relaxed);
	shunt_threads_sample_delay(threads, self);
	return (int)(intptr_t)self->task.value;
}

int shunt_threads_park(struct shunt_ctx *ctx, int64_t deadline_ns)
{
	if (!shunt_task_prepare_park(ctx->current, true))
		return 0;
	return shunt_threads_block(ctx, deadline_ns);
}

/* Context: any thread, also one without a context (then `thread` is NULL). */
static void make_ready(struct threads *threads, struct thread *thread, struct shunt_task *task)
{
	struct thread_task *target = shunt_thread_task_of(task);
	if (target->for_ever)
		shunt_threads_count_in(threads);
	if (threads->delay && thread && thread->count.sampled++ % threads->delay_every == 0)
		target->ready_ns = shunt_now_ns();
	if (thread)
		thread->count.futex_calls++;
	shunt_threads_post(target);
}

void shunt_threads_ready(struct shunt_ctx *ctx, struct shunt_task *task)
{
	make_ready(shunt_threads_of(ctx), shunt_thread_of(ctx), task);
}

bool shunt_threads_wake(struct shunt_sched *sched, struct shunt_handle handle)
{
	struct threads *threads = (struct threads *)sched;
	enum shunt_claim claim = shunt_task_claim_park(handle.task, handle.generation, true);
	/* Relaxed: a statistic [threads:outside]. */
	atomic_fetch_add_explicit(&threads->outside_wakes, 1, memory_order_relaxed);
	if (claim == SHUNT_CLAIM_MINE)
		make_ready(threads, NULL, handle.task);
	return claim != SHUNT_CLAIM_STALE;
}
