/* SPDX-License-Identifier: MIT */
/*
 * If this passes, a policy's optional hooks are called as slots.h says, and without one its default
 * holds.
 *
 * Three policies that only this test has, which the linker puts in the place of the real ones:
 * `bare` has what is required and nothing else, `spy` has what comes before and after it,
 * `robber` lets others steal and does not say from whom.
 */
#include "core/engine/policy.h"
#include "core/engine/thief.h"
#include "core/lock.h"
#include "core/registry.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

enum { WORKERS = 2, TASKS = 40 };

static struct {
	_Atomic int opened, closed, begun, ended, stops;
	_Atomic int64_t ran_ns;
} seen;

/* ---- bare ------------------------------------------------------------------------------------ */

SHUNT_INLINE void bare_enqueue(struct shunt_worker *worker, struct shunt_task *task, unsigned why)
{
	(void)why;
	shunt_queue_push(shunt_policy_state(worker, struct shunt_queue), task);
}

SHUNT_INLINE struct shunt_task *bare_pick(struct shunt_worker *worker, struct shunt_task *current)
{
	struct shunt_task *next = shunt_queue_pop(shunt_policy_state(worker, struct shunt_queue));
	return next ? next : current;
}

static bool bare_has_ready(const struct shunt_worker *worker)
{
	return !shunt_queue_empty(shunt_policy_state_of(worker, struct shunt_queue));
}

SHUNT_POLICY(bare, .summary = "what is required");

/* ---- spy ------------------------------------------------------------------------------------- */

static int spy_shared;

static int spy_open(void **shared, const struct shunt_values *values, unsigned worker_count)
{
	(void)values;
	assert_int_equal(worker_count, WORKERS);
	*shared = &spy_shared;
	seen.opened++;
	return 0;
}

static void spy_close(void *shared)
{
	assert_ptr_equal(shared, &spy_shared);
	seen.closed++;
}

/* All that a policy may keep in a worker. */
struct whole {
	unsigned char byte[SHUNT_POLICY_BYTES];
};

static int spy_init(struct shunt_worker *worker, const struct shunt_values *values)
{
	const struct whole *state = shunt_policy_state(worker, struct whole);
	(void)values;
	assert_ptr_equal(worker->policy_shared, &spy_shared);
	for (int i = 0; i < SHUNT_POLICY_BYTES; i++)
		assert_int_equal(state->byte[i], 0);
	seen.begun++;
	return 0;
}

static void spy_fini(struct shunt_worker *worker)
{
	assert_ptr_equal(worker->policy_shared, &spy_shared);
	seen.ended++;
}

static void spy_stopping(struct shunt_worker *worker, struct shunt_task *task)
{
	assert_non_null(task);
	assert_true(worker->env.ran_ns >= 0);
	seen.ran_ns += worker->env.ran_ns;
	seen.stops++;
}

#define spy_enqueue   bare_enqueue
#define spy_pick      bare_pick
#define spy_has_ready bare_has_ready

SHUNT_POLICY(spy, .summary = "every hook", .needs_time = true, .open = spy_open, .close = spy_close,
	.worker_init = spy_init, .worker_fini = spy_fini, .stopping = spy_stopping);

/* ---- robber ---------------------------------------------------------------------------------- */

struct loot {
	struct shunt_queue queue;
	int lock; /* [waiters:lock] */
};

SHUNT_INLINE void robber_enqueue(struct shunt_worker *worker, struct shunt_task *task, unsigned why)
{
	struct loot *loot = shunt_policy_state(worker, struct loot);
	(void)why;
	shunt_spin_lock(&loot->lock, true);
	shunt_queue_push(&loot->queue, task);
	shunt_spin_unlock(&loot->lock, true);
}

static struct shunt_task *take(struct shunt_worker *from)
{
	struct loot *loot = shunt_policy_state(from, struct loot);
	shunt_spin_lock(&loot->lock, true);
	struct shunt_task *task = loot->queue.head;
	if (task)
		shunt_queue_set_head(&loot->queue, task->next);
	shunt_spin_unlock(&loot->lock, true);
	return task;
}

SHUNT_INLINE struct shunt_task *robber_pick(struct shunt_worker *worker, struct shunt_task *current)
{
	struct shunt_task *next = take(worker);
	return next ? next : current;
}

static bool robber_has_ready(const struct shunt_worker *worker)
{
	const struct loot *loot = shunt_policy_state_of(worker, struct loot);
	return !shunt_queue_empty(&loot->queue);
}

/* Two of each victim, if it has as many. */
static unsigned robber_steal(struct shunt_worker *thief, struct shunt_worker *victim, bool wary,
	struct shunt_task **taken)
{
	unsigned count = 0;
	(void)wary;
	assert_ptr_not_equal(thief, victim);
	while (count < 2 && (taken[count] = take(victim)))
		count++;
	return count;
}

SHUNT_POLICY(robber, .summary = "steals from anybody", .steals = true, .steal = robber_steal);

extern struct shunt_plugin __wrap_shunt_registry_policies[];
struct shunt_plugin __wrap_shunt_registry_policies[] = {
	{"bare", &shunt_policy_bare, NULL, NULL, NULL},
	{"spy", &shunt_policy_spy, NULL, NULL, NULL},
	{"robber", &shunt_policy_robber, NULL, NULL, NULL},
	{NULL, NULL, NULL, NULL, NULL},
};

/* ---- what tasks see -------------------------------------------------------------------------- */

struct visit {
	struct shunt_handle handle;
	unsigned worker; /* where it began */
	int moved;
};

static _Atomic int parked;

static void look(struct visit *visit)
{
	unsigned now = shunt_worker_index();
	visit->moved += now != visit->worker;
}

/* Waits in each way that makes a task ready again. */
static void *visits(void *arg)
{
	struct visit *visit = arg;
	visit->worker = shunt_worker_index();
	look(visit);
	shunt_yield();
	look(visit);
	shunt_sleep_for(100000);
	look(visit);
	parked++;
	shunt_park();
	look(visit);
	return visit;
}

static struct visit visit[TASKS];

static void *host(void *arg)
{
	parked = 0;
	memset(visit, 0, sizeof(visit));
	for (int i = 0; i < TASKS; i++)
		assert_int_equal(shunt_spawn(&visit[i].handle, visits, &visit[i], NULL), 0);
	while (parked < TASKS)
		shunt_sleep_for(100000);
	for (int i = 0; i < TASKS; i++)
		shunt_wake(visit[i].handle);
	for (int i = 0; i < TASKS; i++) {
		void *result = NULL;
		assert_int_equal(shunt_join(visit[i].handle, &result), 0);
		assert_ptr_equal(result, &visit[i]);
	}
	return arg;
}

static struct shunt_sched *open_spec(const char *spec)
{
	struct shunt_sched *sched;
	struct shunt_error err = {""};
	if (shunt_open(&sched, spec, NULL, &err))
		fail_msg("%s: %s", spec, err.text);
	return sched;
}

static void run(struct shunt_sched *sched)
{
	struct shunt_error err = {""};
	if (shunt_run(sched, host, NULL, NULL, &err))
		fail_msg("%s", err.text);
}

static void what_is_required_is_enough(void **state)
{
	static const char *const ways[] = {"", ",dispatch=vtable", ",interval=1"};
	(void)state;
	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		char spec[96];
		unsigned on[WORKERS] = {0};
		snprintf(spec, sizeof(spec), "ucontext:policy=bare,workers=%d%s", WORKERS, ways[i]);
		struct shunt_sched *sched = open_spec(spec);
		assert_true(sched->caps & SHUNT_PINS);
		run(sched);
		shunt_close(sched);
		for (int t = 0; t < TASKS; t++) {
			assert_int_equal(visit[t].moved, 0);
			on[visit[t].worker]++;
		}
		/* Homes are given in turn; the root has had the first. */
		for (int w = 0; w < WORKERS; w++)
			assert_in_range(on[w], TASKS / WORKERS - 1, TASKS / WORKERS + 1);
	}
}

static void every_hook_is_called(void **state)
{
	static const char *const ways[] = {"", ",dispatch=vtable"};
	(void)state;
	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		char spec[96];
		memset(&seen, 0, sizeof(seen));
		snprintf(spec, sizeof(spec), "ucontext:policy=spy,interval=1,workers=%d%s", WORKERS,
			ways[i]);
		struct shunt_sched *sched = open_spec(spec);
		assert_int_equal(seen.opened, 1);
		assert_int_equal(seen.begun, WORKERS);
		run(sched);
		assert_int_equal(seen.ended + seen.closed, 0);
		shunt_close(sched);
		assert_int_equal(seen.ended, WORKERS);
		assert_int_equal(seen.closed, 1);
		assert_true(seen.stops >= 4 * TASKS);
		assert_true(seen.ran_ns > 0);
	}
}

/* Without victim() all others come up in each search, and any of them first. */
static void victims_by_default(void **state)
{
	enum { MANY = 6, SEARCHES = 500 };
	(void)state;
	struct shunt_sched *sched = open_spec("ucontext:policy=robber,workers=6");
	struct shunt_engine *engine = shunt_engine_of(sched);
	struct shunt_task task[MANY] = {{.sp = NULL}};
	struct shunt_worker *thief = engine->workers[2];
	unsigned first = 0;
	for (int search = 0; search < SEARCHES; search++) {
		unsigned found = 0;
		for (int w = 0; w < MANY; w++)
			if (engine->workers[w] != thief)
				engine->policy->enqueue(engine->workers[w], &task[w],
					SHUNT_WHY_NEW);
		for (int i = 0; i < MANY - 1; i++) {
			struct shunt_task *stolen = shunt_thief_steal(thief);
			assert_in_range(stolen - task, 0, MANY - 1);
			first |= i ? 0 : 1u << (stolen - task);
			found |= 1u << (stolen - task);
		}
		assert_int_equal(found, 0x3b); /* all but the thief's own */
		assert_null(shunt_thief_steal(thief));
	}
	assert_int_equal(first, 0x3b);
	shunt_close(sched);
}

/* The first is for the thief to run, the other is queued there, and both are counted. */
static void what_is_stolen_is_counted(void **state)
{
	(void)state;
	struct shunt_sched *sched = open_spec("ucontext:policy=robber,workers=2");
	struct shunt_engine *engine = shunt_engine_of(sched);
	struct shunt_task task[3] = {{.sp = NULL}};
	struct shunt_worker *victim = engine->workers[0], *thief = engine->workers[1];
	for (int i = 0; i < 3; i++)
		engine->policy->enqueue(victim, &task[i], SHUNT_WHY_NEW);
	assert_ptr_equal(shunt_thief_steal(thief), &task[0]);
	assert_ptr_equal(engine->policy->pick(thief, NULL), &task[1]);
	assert_ptr_equal(shunt_thief_steal(thief), &task[2]);
	assert_null(engine->policy->pick(thief, NULL));
	assert_int_equal(thief->steals_won, 2);
	assert_int_equal(thief->tasks_stolen, 3);
	shunt_close(sched);
}

static void what_is_stolen_runs(void **state)
{
	(void)state;
	struct shunt_sched *sched = open_spec("ucontext:policy=robber,workers=3,nap=0");
	for (int i = 0; i < 20; i++)
		run(sched);
	shunt_close(sched);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_required_is_enough),
		cmocka_unit_test(every_hook_is_called),
		cmocka_unit_test(victims_by_default),
		cmocka_unit_test(what_is_stolen_is_counted),
		cmocka_unit_test(what_is_stolen_runs),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
