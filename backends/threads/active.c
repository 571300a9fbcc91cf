/* SPDX-License-Identifier: MIT */
/*
 * Who could still end a wait, and the end of a run when nobody could.
 *
 * `active` counts tasks that run or will run by themselves (a deadline), and holds. A task that
 * blocks for ever leaves it, and its claimer, itself active, counts it in again before the post; so
 * it comes to zero only when nobody is left who could post. Then every thread is called back to its
 * first frame (longjmp) and ends, and the run reports who waited for what.
 */
#include "backends/threads/threads.h"

void shunt_threads_leave_if_failed(struct shunt_ctx *ctx)
{
	/* Acquire pairs with the release in fail_run [threads:failed]. */
	if (atomic_load_explicit(&shunt_threads_of(ctx)->failed, memory_order_acquire))
		longjmp(shunt_thread_of(ctx)->out, 1);
}

static void visit_stuck(void *arg, struct shunt_task *task)
{
	shunt_stuck_add(arg, task);
}

static void visit_post(void *arg, struct shunt_task *task)
{
	(void)arg;
	shunt_threads_post(shunt_thread_task_of(task));
}

/* Context: lock held, active is 0. */
static void fail_run(struct threads *threads)
{
	struct shunt_stuck stuck = {.used = 0};
	shunt_descriptors_each(&threads->descriptors, visit_stuck, &stuck);
	threads->failure = shunt_stuck_fail(&stuck, threads->task_count, threads->err);
	/* Release pairs with the acquire in leave_if_failed [threads:failed]. */
	atomic_store_explicit(&threads->failed, 1, memory_order_release);
	shunt_descriptors_each(&threads->descriptors, visit_post, NULL);
}

void shunt_threads_count_in(struct threads *threads)
{
	/* Acquire-release pairs with itself [threads:active]: who brings it to zero sees all that
	 * the others did while they were counted. */
	atomic_fetch_add_explicit(&threads->active, 1, memory_order_acq_rel);
}

void shunt_threads_count_out(struct threads *threads, bool locked)
{
	/* Acquire-release: see count_in [threads:active]. */
	if (atomic_fetch_sub_explicit(&threads->active, 1, memory_order_acq_rel) != 1)
		return;
	if (!locked)
		pthread_mutex_lock(&threads->lock);
	/* Acquire: see count_in [threads:active]. A wake from outside may have come in between. */
	if (atomic_load_explicit(&threads->active, memory_order_acquire) == 0 &&
		threads->task_count && !threads->failure)
		fail_run(threads);
	if (!locked)
		pthread_mutex_unlock(&threads->lock);
}
