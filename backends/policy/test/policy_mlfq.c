/* SPDX-License-Identifier: MIT */
/*
 * If this passes, mlfq demotes by charged time and no other, runs earlier levels first, and boosts
 * all tasks; and the quantum that a policy sets for a task is the one that its checkpoints go by.
 *
 * The first tests call the hooks with times of their own. The last one runs tasks by the clock,
 * where a busy machine may take the processor away: one good attempt out of several is enough.
 */
#include "core/backend.h"
#include "core/engine/policy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>

#define US INT64_C(1000)
#define MS (1000 * US)

static struct shunt_sched *sched;
static struct shunt_worker *worker;
static const struct shunt_policy *policy;
static struct shunt_task task[6];
static int64_t now_ns;

static void begin(const char *spec)
{
	struct shunt_error err = {""};
	if (shunt_open(&sched, spec, NULL, &err))
		fail_msg("%s: %s", spec, err.text);
	worker = shunt_engine_of(sched)->workers[0];
	policy = shunt_engine_of(sched)->policy;
	worker->ctx.current = &worker->loop;
	now_ns = shunt_now_ns();
	for (size_t i = 0; i < sizeof(task) / sizeof(task[0]); i++)
		task[i] = (struct shunt_task){.key = policy->key(NULL)};
}

static void ran(struct shunt_task *of, int64_t ran_ns)
{
	now_ns += ran_ns;
	worker->env.ran_ns = ran_ns;
	worker->env.now_ns = now_ns;
	policy->stopping(worker, of);
}

static void put(struct shunt_task *ready)
{
	policy->enqueue(worker, ready, SHUNT_WHY_WAKE);
}

static long taken(struct shunt_task *current)
{
	struct shunt_task *next = policy->pick(worker, current);
	return next ? next - task : -1;
}

static void charged_time_demotes(void **state)
{
	(void)state;
	begin("ucontext:policy=mlfq,policy.base=10us,policy.levels=3,policy.boost=0");
	assert_int_equal(policy->quantum(worker, &task[0]), 10 * US);
	/* Neither a wait nor a yield renews what is left. */
	ran(&task[0], 6 * US);
	put(&task[0]);
	assert_int_equal(taken(NULL), 0);
	assert_int_equal(policy->quantum(worker, &task[0]), 4 * US);
	ran(&task[0], 5 * US);
	assert_int_equal(policy->quantum(worker, &task[0]), 19 * US);
	ran(&task[0], 19 * US);
	/* On the last level tasks take turns. */
	assert_int_equal(policy->quantum(worker, &task[0]), 40 * US);
	ran(&task[0], 39 * US);
	assert_int_equal(policy->quantum(worker, &task[0]), 40 * US);
	/* One long run leads through the levels. */
	ran(&task[1], 29 * US);
	assert_int_equal(policy->quantum(worker, &task[1]), 1 * US);
	shunt_close(sched);
}

static void earlier_levels_run_first(void **state)
{
	static const char in_order[] = {4, 5, 1, 3, 0, 2};
	(void)state;
	begin("ucontext:policy=mlfq,policy.base=10us,policy.levels=3,policy.boost=0");
	ran(&task[0], 30 * US);
	ran(&task[1], 10 * US);
	ran(&task[2], 1000 * MS);
	ran(&task[3], 29 * US);
	ran(&task[4], 9 * US);
	for (int i = 0; i < 6; i++)
		put(&task[i]);
	for (int i = 0; i < 6; i++) {
		assert_true(policy->has_ready(worker));
		assert_int_equal(taken(NULL), in_order[i]);
	}
	assert_false(policy->has_ready(worker));
	assert_int_equal(taken(NULL), -1);
	/* A yield gives way to the task's own level and to earlier ones, a checkpoint to those
	 * alone. */
	put(&task[1]);
	assert_false(policy->preempts(worker, &task[3]));
	assert_true(policy->preempts(worker, &task[0]));
	assert_int_equal(taken(&task[4]), 4);
	assert_int_equal(taken(&task[3]), 1);
	shunt_close(sched);
}

static void an_earlier_level_asks_for_a_look(void **state)
{
	(void)state;
	begin("ucontext:policy=mlfq,policy.base=10us,policy.boost=0");
	ran(&task[0], 10 * US);
	ran(&task[1], 10 * US);
	worker->ctx.current = &task[0];
	worker->limit = 100;
	put(&task[1]);
	assert_int_equal(worker->limit, 100);
	put(&task[2]);
	assert_int_equal(worker->limit, 0);
	assert_int_equal(taken(NULL), 2);
	assert_int_equal(taken(NULL), 1);
	worker->ctx.current = &worker->loop;
	shunt_close(sched);
}

/* Of ready tasks, of the one that runs, and of one that waits. */
static void a_boost_moves_all(void **state)
{
	static const char in_order[] = {4, 1, 0, 5};
	(void)state;
	begin("ucontext:policy=mlfq,policy.base=10us,policy.levels=3,policy.boost=10s");
	for (int i = 0; i < 4; i++)
		ran(&task[i], i == 1 ? 10 * US : 30 * US);
	put(&task[0]);
	put(&task[1]);
	put(&task[4]);
	ran(&task[2], 9000 * MS);
	assert_int_equal(policy->quantum(worker, &task[2]), 40 * US);
	ran(&task[2], 1000 * MS);
	assert_int_equal(policy->quantum(worker, &task[2]), 10 * US);
	assert_int_equal(policy->quantum(worker, &task[3]), 10 * US);
	put(&task[5]);
	for (int i = 0; i < 4; i++) {
		assert_int_equal(taken(NULL), in_order[i]);
		assert_int_equal(policy->quantum(worker, &task[(int)in_order[i]]), 10 * US);
	}
	assert_false(policy->has_ready(worker));
	/* Not before the next period. */
	ran(&task[3], 30 * US);
	ran(&task[2], 9000 * MS);
	assert_int_equal(policy->quantum(worker, &task[3]), 40 * US);
	ran(&task[2], 1000 * MS);
	assert_int_equal(policy->quantum(worker, &task[3]), 10 * US);
	shunt_close(sched);
}

/* ---- by the clock ---------------------------------------------------------------------------- */

enum { SLICES = 3, ATTEMPTS = 200 };

static int64_t slice_ns[SLICES];

static void *works(void *arg)
{
	for (int i = 0; i < SLICES; i++) {
		int64_t from = shunt_now_ns(), to = from;
		while (!shunt_checkpoint() && to - from < 10 * MS)
			to = shunt_now_ns();
		if (arg)
			slice_ns[i] = to - from;
		shunt_yield();
	}
	return NULL;
}

static void *two_of_them(void *arg)
{
	assert_int_equal(shunt_spawn(NULL, works, &slice_ns, NULL), 0);
	assert_int_equal(shunt_spawn(NULL, works, NULL, NULL), 0);
	return arg;
}

static bool slices_are(const char *spec, int64_t first_ns, int64_t second_ns, int64_t third_ns)
{
	const int64_t wanted[SLICES] = {first_ns, second_ns, third_ns};
	struct shunt_error err = {""};
	bool right = true;
	if (shunt_open(&sched, spec, NULL, &err) || shunt_run(sched, two_of_them, NULL, NULL, &err))
		fail_msg("%s: %s", spec, err.text);
	shunt_close(sched);
	for (int i = 0; i < SLICES; i++)
		right &= slice_ns[i] > wanted[i] - 40 * US && slice_ns[i] < wanted[i] + 40 * US;
	return right;
}

static void a_slice_is_as_long_as_the_policy_says(void **state)
{
	static const char *const ways[] = {"", ",mt=1", ",dispatch=vtable"};
	(void)state;
	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		char own[80], set[96];
		bool right = false, shorter = false;
		snprintf(own, sizeof(own),
			"ucontext:policy=mlfq,policy.base=200us,policy.boost=0%s", ways[i]);
		snprintf(set, sizeof(set), "%s,quantum=300us", own);
		for (int attempt = 0; attempt < ATTEMPTS && !(right && shorter); attempt++) {
			right = right || slices_are(own, 200 * US, 400 * US, 800 * US);
			shorter = shorter || slices_are(set, 200 * US, 300 * US, 100 * US);
		}
		assert_true(right);
		assert_true(shorter);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(charged_time_demotes),
		cmocka_unit_test(earlier_levels_run_first),
		cmocka_unit_test(an_earlier_level_asks_for_a_look),
		cmocka_unit_test(a_boost_moves_all),
		cmocka_unit_test(a_slice_is_as_long_as_the_policy_says),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
