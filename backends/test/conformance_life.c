/* SPDX-License-Identifier: MIT */
/* Clauses about a task's life: spawn, join, detach, handles, ids, errno, results. */
#include "backends/test/conformance.h"

#include <errno.h>
#include <string.h>

enum { CROWD = 50 };

static int counter;

static void *echo(void *arg)
{
	return arg;
}

static void *echo_after_yields(void *arg)
{
	for (int i = 0; i < 3; i++)
		shunt_yield();
	return arg;
}

static void *join_gives_results(void *arg)
{
	struct shunt_handle handle[CROWD];
	for (intptr_t i = 0; i < CROWD; i++)
		EXPECT_INT(0,
			shunt_spawn(&handle[i], i % 2 ? echo : echo_after_yields, (void *)i, NULL));
	for (intptr_t i = CROWD - 1; i >= 0; i--) {
		void *result = &result;
		EXPECT_INT(0, shunt_join(handle[i], &result));
		EXPECT_INT(i, (intptr_t)result);
	}
	return arg;
}

static void *join_needs_no_result(void *arg)
{
	struct shunt_handle handle;
	EXPECT_INT(0, shunt_spawn(&handle, echo, &counter, NULL));
	EXPECT_INT(0, shunt_join(handle, NULL));
	return arg;
}

static void *join_once(void *arg)
{
	struct shunt_handle handle;
	EXPECT_INT(0, shunt_spawn(&handle, echo, NULL, NULL));
	EXPECT_INT(0, shunt_join(handle, NULL));
	EXPECT_INT(-ESRCH, shunt_join(handle, NULL));
	EXPECT_INT(-ESRCH, shunt_detach(handle));
	EXPECT_INT(-ESRCH, shunt_join((struct shunt_handle){NULL, 0}, NULL));
	return arg;
}

static void *join_itself(void *arg)
{
	(void)arg;
	return (void *)(intptr_t)shunt_join(shunt_self(), NULL);
}

static void *join_of_itself_is_refused(void *arg)
{
	struct shunt_handle handle;
	void *result;
	EXPECT_INT(0, shunt_spawn(&handle, join_itself, NULL, NULL));
	EXPECT_INT(0, shunt_join(handle, &result));
	EXPECT_INT(-EDEADLK, (intptr_t)result);
	return arg;
}

static void *park_until_told(void *flag)
{
	while (!count_now(flag))
		shunt_park();
	return flag;
}

static void *join_it(void *handle)
{
	void *result = NULL;
	int rc = shunt_join(*(struct shunt_handle *)handle, &result);
	return rc ? NULL : result;
}

static bool is_being_joined(struct shunt_task *task)
{
	/* Relaxed: asked again until it is so. */
	uintptr_t joiner = __atomic_load_n(&task->joiner, __ATOMIC_RELAXED);
	return (joiner & SHUNT_JOINER_KIND) != SHUNT_JOINER_NONE;
}

static void *only_one_may_join(void *arg)
{
	struct shunt_handle parked, joiner;
	int told = 0;
	void *result;
	EXPECT_INT(0, shunt_spawn(&parked, park_until_told, &told, NULL));
	EXPECT_INT(0, shunt_spawn(&joiner, join_it, &parked, NULL));
	while (!is_being_joined(parked.task))
		give_way();
	EXPECT_INT(-EBUSY, shunt_join(parked, NULL));
	EXPECT_INT(-EBUSY, shunt_join_until(parked, shunt_now_ns() + MS, NULL));
	EXPECT_INT(-EBUSY, shunt_detach(parked));
	count_up(&told);
	EXPECT(shunt_wake(parked));
	EXPECT_INT(0, shunt_join(joiner, &result));
	EXPECT(result == &told);
	EXPECT_INT(-ESRCH, shunt_join(parked, NULL));
	return arg;
}

static void *join_gives_up_at_its_deadline(void *arg)
{
	struct shunt_handle parked;
	int told = 0;
	void *result = NULL;
	EXPECT_INT(0, shunt_spawn(&parked, park_until_told, &told, NULL));
	for (int i = 0; i < 3; i++) {
		int64_t deadline = shunt_now_ns() + MS;
		EXPECT_INT(-ETIMEDOUT, shunt_join_until(parked, deadline, &result));
		EXPECT(shunt_now_ns() >= deadline);
	}
	EXPECT(result == NULL);
	count_up(&told);
	shunt_wake(parked);
	EXPECT_INT(0, shunt_join_until(parked, shunt_now_ns() + 10000 * MS, &result));
	EXPECT(result == &told);
	EXPECT_INT(-ESRCH, shunt_join_until(parked, 0, NULL));
	return arg;
}

static void *join_of_an_ended_task_is_never_late(void *arg)
{
	struct shunt_handle handle;
	int rc;
	EXPECT_INT(0, shunt_spawn(&handle, echo, arg, NULL));
	while ((rc = shunt_join_until(handle, shunt_now_ns() - MS, NULL)) == -ETIMEDOUT)
		give_way();
	EXPECT_INT(0, rc);
	return arg;
}

static void *count_after_yields(void *arg)
{
	for (int i = 0; i < 5; i++)
		shunt_yield();
	count_up(&counter);
	return arg;
}

static void *run_ends_after_its_last_task(void *arg)
{
	counter = 0;
	for (int i = 0; i < CROWD; i++)
		EXPECT_INT(0, shunt_spawn(NULL, count_after_yields, NULL, NULL));
	for (int i = 0; i < CROWD; i++) {
		struct shunt_handle handle;
		EXPECT_INT(0, shunt_spawn(&handle, count_after_yields, NULL, NULL));
		EXPECT_INT(0, shunt_detach(handle));
		int rc = shunt_join(handle, NULL);
		EXPECT_INT(-ESRCH, rc);
	}
	return arg;
}

static bool all_have_ended(void)
{
	return counter == 2 * CROWD;
}

static void *a_task_may_detach_itself(void *arg)
{
	(void)arg;
	return (void *)(intptr_t)(shunt_detach(shunt_self()) == 0 &&
						  shunt_detach(shunt_self()) == -ESRCH
					  ? 0
					  : count_up(&counter));
}

static void *detach_from_inside(void *arg)
{
	struct shunt_handle handle;
	counter = 0;
	for (int i = 0; i < CROWD; i++)
		EXPECT_INT(0, shunt_spawn(&handle, a_task_may_detach_itself, NULL, NULL));
	return arg;
}

static bool none_failed(void)
{
	return counter == 0;
}

static void *spawn_tree(void *arg)
{
	intptr_t depth = (intptr_t)arg, sum = 1;
	struct shunt_handle child[2];
	if (depth == 0)
		return (void *)1;
	for (int i = 0; i < 2; i++)
		EXPECT_INT(0, shunt_spawn(&child[i], spawn_tree, (void *)(depth - 1), NULL));
	for (int i = 0; i < 2; i++) {
		void *result = NULL;
		EXPECT_INT(0, shunt_join(child[i], &result));
		sum += (intptr_t)result;
	}
	return (void *)sum;
}

static void *tasks_spawn_tasks(void *arg)
{
	EXPECT_INT(255, (intptr_t)spawn_tree((void *)7));
	return arg;
}

static void *own_handle(void *seen)
{
	*(struct shunt_handle *)seen = shunt_self();
	return NULL;
}

static void *handles_name_one_task_for_ever(void *arg)
{
	struct shunt_handle first, seen, other;
	EXPECT_INT(0, shunt_spawn(&first, own_handle, &seen, NULL));
	EXPECT_INT(0, shunt_join(first, NULL));
	EXPECT(seen.task == first.task && seen.generation == first.generation);
	EXPECT(!shunt_wake(first));
	EXPECT(!shunt_wake((struct shunt_handle){NULL, 0}));
	/* Other tasks come and go in the same memory; the old handle stays what it was. */
	for (int i = 0; i < 1000; i++) {
		EXPECT_INT(0, shunt_spawn(&other, echo, NULL, NULL));
		EXPECT(other.task != first.task || other.generation != first.generation);
		EXPECT(!shunt_wake(first));
		EXPECT_INT(-ESRCH, shunt_join(first, NULL));
		EXPECT_INT(0, shunt_join(other, NULL));
	}
	return arg;
}

static void *task_id(void *arg)
{
	(void)arg;
	return (void *)(uintptr_t)shunt_task_id();
}

static void *ids_count_spawns(void *arg)
{
	enum { TASKS = 200 };
	struct shunt_handle handle[TASKS];
	bool seen[8 * TASKS] = {false};
	bool in_order = under_test.sched->worker_count == 1;
	EXPECT_INT(0, shunt_task_id());
	for (int i = 0; i < TASKS; i++)
		EXPECT_INT(0, shunt_spawn(&handle[i], task_id, NULL, NULL));
	for (int i = 0; i < TASKS; i++) {
		void *result = NULL;
		EXPECT_INT(0, shunt_join(handle[i], &result));
		uintptr_t id = (uintptr_t)result;
		EXPECT(id > 0);
		if (in_order)
			EXPECT_INT(i + 1, id);
		if (id < sizeof(seen)) {
			EXPECT(!seen[id]);
			seen[id] = true;
		}
	}
	return arg;
}

/* A compiler may keep the address of errno over a call that comes back on another thread, so these
 * look it up each time: what any task must do that may migrate. */
static __attribute__((noinline)) int errno_get(void)
{
	__asm__ volatile("" ::: "memory");
	return errno;
}

static __attribute__((noinline)) void errno_set(int value)
{
	__asm__ volatile("" ::: "memory");
	errno = value;
}

static void *keep_errno(void *arg)
{
	int mine = (int)(intptr_t)arg;
	EXPECT_INT(0, errno_get());
	for (int i = 0; i < 20; i++) {
		errno_set(mine + i);
		shunt_yield();
		EXPECT_INT(mine + i, errno_get());
	}
	return arg;
}

static void *errno_is_per_task(void *arg)
{
	struct shunt_handle handle[8];
	for (intptr_t i = 0; i < 8; i++)
		EXPECT_INT(0, shunt_spawn(&handle[i], keep_errno, (void *)(1000 * (i + 1)), NULL));
	for (int i = 0; i < 8; i++) {
		errno_set(77);
		EXPECT_INT(0, shunt_join(handle[i], NULL));
		EXPECT_INT(77, errno_get());
	}
	return arg;
}

static void *where_am_i(void *arg)
{
	EXPECT(shunt_in_task());
	EXPECT(shunt_worker_count() >= 1);
	EXPECT(shunt_worker_index() < shunt_worker_count());
	int64_t before = shunt_now_ns();
	(void)shunt_checkpoint();
	shunt_yield();
	shunt_work_ns(1000);
	EXPECT(shunt_now_ns() >= before);
	return arg;
}

/* ---- preemption ------------------------------------------------------------------------------ */

static void *sets(void *arg)
{
	/* Relaxed: only that it ran. */
	__atomic_store_n((int *)arg, 1, __ATOMIC_RELAXED);
	return NULL;
}

static void *sections_nest(void *arg)
{
	int ran = 0;
	struct shunt_handle other;
	shunt_preempt_off();
	shunt_preempt_off();
	EXPECT_INT(0, shunt_spawn(&other, sets, &ran, NULL));
	shunt_preempt_on();
	shunt_work_ns(under_test.caps & SHUNT_PREEMPTS ? 3000000 : 1000);
	/* Relaxed: only whether it ran. */
	if ((under_test.caps & SHUNT_PREEMPTS) && !(under_test.caps & SHUNT_PARALLEL))
		EXPECT_INT(0, __atomic_load_n(&ran, __ATOMIC_RELAXED));
	shunt_preempt_on();
	EXPECT_INT(0, shunt_join(other, NULL));
	EXPECT_INT(1, ran);
	return arg;
}

/* It calls nothing that gives way. */
static void *computing_is_preempted(void *arg)
{
	int ran = 0;
	struct shunt_handle other;
	int64_t until = shunt_now_ns() + INT64_C(20000000000);
	EXPECT_INT(0, shunt_spawn(&other, sets, &ran, NULL));
	/* Relaxed: only whether it ran. */
	while (!__atomic_load_n(&ran, __ATOMIC_RELAXED) && shunt_now_ns() < until)
		shunt_work_ns(1000000);
	EXPECT_INT(1, __atomic_load_n(&ran, __ATOMIC_RELAXED)); /* Relaxed: as above. */
	EXPECT_INT(0, shunt_join(other, NULL));
	return arg;
}

static void *named(void *arg)
{
	return arg;
}

static void *attributes_are_optional(void *arg)
{
	struct shunt_handle handle;
	struct shunt_attr attr = {.name = "a name"};
	EXPECT_INT(0, shunt_spawn(&handle, named, NULL, &attr));
	EXPECT_INT(0, shunt_join(handle, NULL));
	attr.name = NULL;
	EXPECT_INT(0, shunt_spawn(NULL, named, NULL, &attr));
	return arg;
}

const struct clause conformance_life[] = {
	CLAUSE("join gives each task's result", 0, join_gives_results),
	CLAUSE("join needs no place for the result", 0, join_needs_no_result),
	CLAUSE("a task is joined once", 0, join_once),
	CLAUSE("a join of itself is refused", 0, join_of_itself_is_refused),
	CLAUSE("only one may join", SHUNT_CAN_BLOCK | SHUNT_TIMED, only_one_may_join),
	CLAUSE("a join gives up at its deadline, never before", SHUNT_CAN_BLOCK | SHUNT_TIMED,
		join_gives_up_at_its_deadline),
	CLAUSE("a join of an ended task is never late", SHUNT_CAN_BLOCK | SHUNT_TIMED,
		join_of_an_ended_task_is_never_late),
	CLAUSE("a run ends after its last task, detached ones included", 0,
		run_ends_after_its_last_task, .after = all_have_ended),
	CLAUSE("a task may detach itself", 0, detach_from_inside, .after = none_failed),
	CLAUSE("tasks spawn tasks", 0, tasks_spawn_tasks),
	CLAUSE("a handle names one task for ever", 0, handles_name_one_task_for_ever),
	CLAUSE("ids count the spawns", 0, ids_count_spawns),
	CLAUSE("errno is each task's own", 0, errno_is_per_task),
	CLAUSE("a task can tell where it is", 0, where_am_i),
	CLAUSE("attributes are optional", 0, attributes_are_optional),
	CLAUSE("sections nest, and nobody is preempted in one", 0, sections_nest),
	CLAUSE("a task that computes is preempted", SHUNT_PREEMPTS, computing_is_preempted),
	{.name = NULL},
};
