/* SPDX-License-Identifier: MIT */
/*
 * A workload that is right by most schedules. What makes it go wrong, with the bug's depth:
 *
 * `fault` 1, depth 1: B runs before A has begun. 2, depth 2: B writes between A's read and A's
 * write. 3, depth 3: C looks while A and B are both half-way, B having begun after A. 4, depth 3: C
 * begins before A spawns B, and ends after B; A ends while B is half-way. C must stop before B
 * does, and go on after it. 5, depth 1: B waits, without an end, for an A that has not begun.
 */
#include "core/sched.h"
#include "core/workload.h"

#include <stddef.h>

static int a, b, seen;
static struct shunt_handle second;

static void *set_a(void *arg)
{
	a = 1;
	return arg;
}

static void *want_a(void *arg)
{
	seen = !a;
	return arg;
}

static void *add_one(void *arg)
{
	int read = a;
	shunt_yield();
	a = read + 1;
	return arg;
}

static void *a_half_way(void *arg)
{
	a = 1;
	shunt_yield();
	a = 0;
	return arg;
}

static void *b_half_way(void *arg)
{
	b = a;
	shunt_yield();
	b = 0;
	return arg;
}

static void *look_at_b(void *arg)
{
	seen = b;
	return arg;
}

/* What is half-way goes on if `a` is as it should be; else the fault does not come. */
static void step_a(int from)
{
	a = a == from ? from + 1 : 0;
}

static void *second_steps(void *arg)
{
	step_a(1);
	shunt_yield();
	step_a(3);
	return arg;
}

static void *spawn_second(void *arg)
{
	a = b;
	shunt_spawn(&second, second_steps, NULL, NULL);
	shunt_yield();
	step_a(2);
	shunt_join(second, NULL);
	return arg;
}

static void *begin_first_end_last(void *arg)
{
	b = 1;
	shunt_yield();
	seen = a == 4;
	return arg;
}

static void *wait_for_a(void *arg)
{
	while (!a)
		__asm__ volatile("" ::: "memory");
	return arg;
}

static void *(*const tasks_of[][3])(void *) = {
	{set_a, want_a},
	{add_one, add_one},
	{a_half_way, b_half_way, look_at_b},
	{spawn_second, begin_first_end_last},
	{set_a, wait_for_a},
};

static int race(struct shunt_run *run)
{
	int64_t fault = shunt_value_int(shunt_run_values(run), "fault");
	struct shunt_handle task[3];

	a = b = seen = 0;
	for (int i = 0; i < 3 && tasks_of[fault - 1][i]; i++)
		shunt_spawn(&task[i], tasks_of[fault - 1][i], NULL, NULL);
	for (int i = 0; i < 3 && tasks_of[fault - 1][i]; i++)
		shunt_join(task[i], NULL);
	if (fault == 2)
		seen = a != 2;
	return 0;
}

static void look_at_what_was_seen(struct shunt_run *run)
{
	shunt_operations(run, 1);
	shunt_check_int(run, "seen", 0, seen);
}

static void needs_four(const struct shunt_run *run, struct shunt_footprint *footprint)
{
	(void)run;
	footprint->tasks = 4;
}

static const struct shunt_param race_params[] = {
	{.name = "fault",
		.type = SHUNT_PARAM_COUNT,
		.fallback = "1",
		.min = 1,
		.max = 5,
		.help = "which one, see above"},
	{.name = NULL},
};

const struct shunt_workload shunt_race = {
	.name = "race",
	.summary = "a fault of some schedules",
	.description = "For tests.",
	.operation = "one fault",
	.cost_metric = "ns_per_fault",
	.needs = SHUNT_CAN_BLOCK,
	.params = race_params,
	.footprint = needs_four,
	.body = race,
	.verify = look_at_what_was_seen,
};
