/* SPDX-License-Identifier: MIT */
/* Clauses about threads that run no tasks, several schedulers, and deadlocks. */
#include "backends/test/conformance.h"

#include "core/registry.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

/* ---- wakes and spawns from outside ----------------------------------------------------------- */

struct outsider {
	struct shunt_sched *sched;
	struct shunt_handle handle;
	int rounds, woken;
};

static void *wake_from_outside(void *arg)
{
	struct outsider *outsider = arg;
	for (int i = 0; i < outsider->rounds; i++) {
		struct timespec pause = {.tv_nsec = i % 4 * 100000};
		nanosleep(&pause, NULL);
		shunt_wake(outsider->handle);
		while (count_now(&outsider->woken) <= i)
			sched_yield();
	}
	shunt_release(outsider->sched);
	return NULL;
}

static void *an_outside_wake_ends_a_park(void *arg)
{
	struct outsider outsider = {.sched = under_test.sched,
		.handle = shunt_self(),
		.rounds = 50};
	pthread_t thread;
	shunt_hold(under_test.sched);
	EXPECT_INT(0, pthread_create(&thread, NULL, wake_from_outside, &outsider));
	for (int i = 0; i < outsider.rounds; i++) {
		shunt_park();
		count_up(&outsider.woken);
	}
	EXPECT_INT(0, pthread_join(thread, NULL));
	return arg;
}

static int ran;

static void *count_run(void *arg)
{
	shunt_yield();
	count_up(&ran);
	return arg;
}

static void *spawn_from_outside(void *arg)
{
	struct shunt_sched *sched = arg;
	struct timespec pause = {.tv_nsec = 3000000};
	nanosleep(&pause, NULL); /* the root has ended by now: only the hold keeps the run */
	for (int i = 0; i < 20; i++)
		if (shunt_spawn_external(sched, NULL, count_run, NULL, NULL))
			count_up(&ran);
	shunt_release(sched);
	return NULL;
}

static pthread_t spawner;

static void *a_hold_keeps_the_run(void *arg)
{
	ran = 0;
	shunt_hold(under_test.sched);
	EXPECT_INT(0, pthread_create(&spawner, NULL, spawn_from_outside, under_test.sched));
	return arg;
}

static bool all_were_run(void)
{
	pthread_join(spawner, NULL);
	return ran == 20;
}

static void *echo(void *arg)
{
	return arg;
}

static void *spawn_one_outside(void *arg)
{
	struct outsider *outsider = arg;
	outsider->woken =
		shunt_spawn_external(outsider->sched, &outsider->handle, echo, outsider, NULL);
	shunt_release(outsider->sched);
	return NULL;
}

static void *an_outside_task_is_joined(void *arg)
{
	struct outsider outsider = {.sched = under_test.sched};
	pthread_t thread;
	void *result = NULL;
	shunt_hold(under_test.sched);
	EXPECT_INT(0, pthread_create(&thread, NULL, spawn_one_outside, &outsider));
	EXPECT_INT(0, pthread_join(thread, NULL));
	EXPECT_INT(0, outsider.woken);
	EXPECT_INT(0, shunt_join(outsider.handle, &result));
	EXPECT(result == &outsider);
	EXPECT(!shunt_wake(outsider.handle));
	return arg;
}

/* ---- several schedulers ---------------------------------------------------------------------- */

static void *yield_and_count(void *arg)
{
	for (int i = 0; i < 20; i++) {
		++*(int *)arg;
		shunt_yield();
	}
	return arg;
}

static void *small_root(void *arg)
{
	struct shunt_handle handle[10];
	int count[10] = {0}, total = 0;
	for (int i = 0; i < 10; i++)
		EXPECT_INT(0, shunt_spawn(&handle[i], yield_and_count, &count[i], NULL));
	for (int i = 0; i < 10; i++)
		EXPECT_INT(0, shunt_join(handle[i], NULL));
	for (int i = 0; i < 10; i++)
		total += count[i];
	EXPECT_INT(200, total);
	return arg;
}

static void *run_its_own(void *arg)
{
	struct shunt_sched *sched;
	struct shunt_error err = {""};
	EXPECT_INT(0, shunt_open(&sched, under_test.spec, NULL, &err));
	for (int i = 0; i < 5; i++) {
		void *result = NULL;
		EXPECT_INT(0, shunt_run(sched, small_root, arg, &result, &err));
		EXPECT(result == arg);
	}
	shunt_close(sched);
	return arg;
}

static void *schedulers_live_side_by_side(void *arg)
{
	pthread_t thread[3];
	for (int i = 0; i < 3; i++)
		EXPECT_INT(0, pthread_create(&thread[i], NULL, run_its_own, arg));
	EXPECT(small_root(arg));
	for (int i = 0; i < 3; i++) {
		void *result = NULL;
		EXPECT_INT(0, pthread_join(thread[i], &result));
		EXPECT(result == arg);
	}
	return arg;
}

static void *join_across(void *arg)
{
	struct shunt_handle outer = *(struct shunt_handle *)arg;
	EXPECT_INT(-EXDEV, shunt_join(outer, NULL));
	EXPECT_INT(-EXDEV, shunt_join_until(outer, shunt_now_ns() + MS, NULL));
	EXPECT_INT(-EXDEV, shunt_detach(outer));
	EXPECT(small_root(arg));
	return arg;
}

static void *schedulers_nest(void *arg)
{
	struct shunt_handle self = shunt_self();
	struct shunt_sched *inner;
	struct shunt_error err = {""};
	void *result = NULL;
	uint64_t id = shunt_task_id();
	EXPECT_INT(0, shunt_open(&inner, under_test.spec, NULL, &err));
	EXPECT_INT(0, shunt_run(inner, join_across, &self, &result, &err));
	EXPECT(result == &self);
	shunt_close(inner);
	/* We are where we were. */
	EXPECT(shunt_in_task());
	EXPECT_INT(id, shunt_task_id());
	EXPECT(shunt_self().task == self.task);
	EXPECT(small_root(arg));
	return arg;
}

static void *spawn_and_join(void *arg)
{
	struct shunt_handle task;
	void *result = NULL;
	EXPECT_INT(0, shunt_spawn(&task, echo, arg, NULL));
	EXPECT_INT(0, shunt_join(task, &result));
	return result;
}

/* Those that are no compositions of the engine, which does not know their tasks' stacks, nor
 * they its. */
static void *complete_backends_nest_within(void *arg)
{
	for (const struct shunt_plugin *p = shunt_registry_backends; p->name; p++) {
		const struct shunt_backend *backend = p->object;
		struct shunt_sched *inner;
		struct shunt_error err = {""};
		void *result = NULL;
		if (!backend || backend->preset || shunt_open(&inner, p->name, NULL, &err))
			continue;
		EXPECT_INT(0, shunt_run(inner, spawn_and_join, arg, &result, &err));
		EXPECT(result == arg);
		shunt_close(inner);
	}
	return arg;
}

static void *a_run_within_its_own_run_is_refused(void *arg)
{
	struct shunt_error err = {""};
	EXPECT(shunt_run(under_test.sched, echo, NULL, NULL, &err) < 0);
	EXPECT(err.text[0] != '\0');
	return arg;
}

static void *run_beside(void *arg)
{
	struct shunt_sched *sched = arg;
	struct shunt_error err = {""};
	int rc = shunt_run(sched, echo, NULL, NULL, &err);
	return (void *)(intptr_t)(rc == -EBUSY && strstr(err.text, "running already"));
}

static void *a_run_beside_a_run_is_refused(void *arg)
{
	pthread_t thread;
	void *refused = NULL;
	EXPECT_INT(0, pthread_create(&thread, NULL, run_beside, under_test.sched));
	EXPECT_INT(0, pthread_join(thread, &refused));
	EXPECT(refused != NULL);
	EXPECT(small_root(arg));
	return arg;
}

/* ---- deadlock -------------------------------------------------------------------------------- */

static struct shunt_mutex first, second;
static int locked;

struct crossing {
	struct shunt_mutex *mine, *theirs;
};

static void *cross(void *arg)
{
	struct crossing *crossing = arg;
	shunt_mutex_lock(crossing->mine);
	count_up(&locked);
	while (count_now(&locked) < 2)
		shunt_yield();
	shunt_mutex_lock(crossing->theirs);
	return arg;
}

static void *two_locks_in_two_orders(void *arg)
{
	static struct crossing crossing[2] = {{&first, &second}, {&second, &first}};
	const struct shunt_attr attr[2] = {{.name = "left"}, {.name = "right"}};
	struct shunt_handle handle[2];
	memset(&first, 0, sizeof(first));
	memset(&second, 0, sizeof(second));
	locked = 0;
	for (int i = 0; i < 2; i++)
		EXPECT_INT(0, shunt_spawn(&handle[i], cross, &crossing[i], &attr[i]));
	EXPECT_INT(0, shunt_join(handle[0], NULL));
	return arg;
}

static void *park_for_ever(void *arg)
{
	for (;;)
		shunt_park();
	return arg;
}

static void *a_task_left_parked(void *arg)
{
	const struct shunt_attr attr = {.name = "forgotten"};
	EXPECT_INT(0, shunt_spawn(NULL, park_for_ever, NULL, &attr));
	return arg;
}

/* A timer that was cancelled does not count as something that will come. */
static void *park_after_a_cancelled_timer(void *arg)
{
	(void)arg;
	shunt_park_until(shunt_now_ns() + 3600 * 1000 * MS);
	for (;;)
		shunt_park();
	return NULL;
}

static void *a_deadlock_after_a_timeout(void *arg)
{
	const struct shunt_attr attr = {.name = "sleeper"};
	struct shunt_handle handle;
	EXPECT_INT(0, shunt_spawn(&handle, park_after_a_cancelled_timer, NULL, &attr));
	for (int i = 0; i < 5; i++)
		give_way();
	shunt_wake(handle);
	return arg;
}

static void *give_the_hold_back(void *sched)
{
	struct timespec pause = {.tv_nsec = 3000000};
	nanosleep(&pause, NULL);
	shunt_release(sched);
	return NULL;
}

static void *a_deadlock_when_the_hold_goes(void *arg)
{
	EXPECT(a_task_left_parked(arg));
	shunt_hold(under_test.sched);
	EXPECT_INT(0, pthread_create(&spawner, NULL, give_the_hold_back, under_test.sched));
	return arg;
}

static bool spawner_is_gone(void)
{
	return pthread_join(spawner, NULL) == 0;
}

#define BLOCKS  SHUNT_CAN_BLOCK
#define OUTSIDE (SHUNT_CAN_BLOCK | SHUNT_EXTERNAL_WAKE)
#define TELLS   (SHUNT_CAN_BLOCK | SHUNT_DEADLOCK)

const struct clause conformance_outside[] = {
	CLAUSE("a wake from outside ends a park", OUTSIDE, an_outside_wake_ends_a_park),
	CLAUSE("a hold keeps the run for outside spawns", OUTSIDE, a_hold_keeps_the_run,
		.after = all_were_run),
	CLAUSE("a task spawned outside is joined inside", OUTSIDE, an_outside_task_is_joined),
	CLAUSE("schedulers live side by side", 0, schedulers_live_side_by_side),
	CLAUSE("schedulers nest", 0, schedulers_nest),
	CLAUSE("complete backends nest within it", 0, complete_backends_nest_within),
	CLAUSE("a run within its own run is refused", 0, a_run_within_its_own_run_is_refused),
	CLAUSE("a run beside a run is refused", 0, a_run_beside_a_run_is_refused),
	CLAUSE("a deadlock names its tasks", TELLS, two_locks_in_two_orders, .outcome = -EDEADLK,
		.explained = "'left'", .explained_too = "'right'"),
	CLAUSE("a deadlock says what is waited for", TELLS, two_locks_in_two_orders,
		.outcome = -EDEADLK, .explained = "mutex", .explained_too = "join"),
	CLAUSE("a task left parked is a deadlock", TELLS, a_task_left_parked, .outcome = -EDEADLK,
		.explained = "'forgotten'", .explained_too = "park"),
	CLAUSE("a cancelled timer puts off no deadlock", TELLS | SHUNT_TIMED,
		a_deadlock_after_a_timeout, .outcome = -EDEADLK, .explained = "'sleeper'"),
	CLAUSE("a hold given back reveals a deadlock", TELLS | OUTSIDE,
		a_deadlock_when_the_hold_goes, .after = spawner_is_gone, .outcome = -EDEADLK,
		.explained = "'forgotten'"),
	CLAUSE("a park that nobody can end is a deadlock", SHUNT_DEADLOCK, park_for_ever,
		.outcome = -EDEADLK, .explained = "'root'"),
	{.name = NULL},
};
