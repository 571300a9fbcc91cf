/* SPDX-License-Identifier: MIT */
/*
 * shunt-timers-bench: what the timer queues cost by themselves, against the number of timers held.
 *
 *   shunt-timers-bench [QUEUE [MAX_POPULATION [SEED]]]
 *
 * For each queue of the registry and each population, the timers of as many tasks, with deadlines
 * at random within 10 ms. Prints CSV, in ns an operation, the median of five rounds:
 *
 *   arm      filling an empty queue
 *   cancel   arming one more and cancelling it, as a timeout that is met in time
 *   hold     the earliest expires and is armed again 10 ms later, as a task that sleeps in a loop
 *   expire   emptying the queue in a hundred steps
 *   earliest asking for the next deadline
 *
 * Every operation looks at its own task's word, as it does in the engine: with many tasks, that is
 * most of what is paid for.
 */
#include "core/engine/slots.h"
#include "core/engine/task.h"
#include "core/registry.h"
#include "core/rng.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ROUNDS     5
#define PERIOD_NS  INT64_C(10000000)
#define STEPS      100
#define OPERATIONS 200000 /* of cancel, hold and earliest, at least */

enum { ARM, CANCEL, HOLD, EXPIRE, EARLIEST, KINDS };

struct bench {
	const struct shunt_timers *ops;
	void *queue;
	struct shunt_rng rng;
	struct shunt_task *task;
	size_t population;
	int64_t now_ns;
	size_t fired;
	struct shunt_timer last; /* fired */
};

static int64_t clock_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void arm(struct bench *b, struct shunt_task *task, int64_t deadline_ns)
{
	uint64_t word = shunt_word_with_state(shunt_word_load(task, false) + SHUNT_EPOCH_ONE,
		SHUNT_TASK_BLOCKED);
	struct shunt_timer timer = {deadline_ns, task, word & SHUNT_WORD_TICKET};

	shunt_word_store(task, word);
	if (b->ops->arm(b->queue, &timer) != 0) {
		fprintf(stderr, "out of memory\n");
		exit(1);
	}
}

static void cancel(struct bench *b, struct shunt_task *task)
{
	shunt_word_store(task,
		shunt_word_with_state(shunt_word_load(task, false), SHUNT_TASK_RUNNABLE));
	b->ops->cancelled(b->queue);
}

static void on_fired(void *arg, const struct shunt_timer *timer)
{
	struct bench *b = arg;

	b->last = *timer;
	b->fired++;
	shunt_word_store(timer->task,
		shunt_word_with_state(shunt_word_load(timer->task, false), SHUNT_TASK_RUNNABLE));
}

static double per_operation(int64_t begin_ns, size_t count)
{
	return (double)(clock_ns() - begin_ns) / (double)count;
}

static double time_arm(struct bench *b)
{
	int64_t begin = clock_ns();

	for (size_t i = 0; i < b->population; i++)
		arm(b, &b->task[i],
			b->now_ns + (int64_t)shunt_rng_below(&b->rng, (uint64_t)PERIOD_NS));
	return per_operation(begin, b->population);
}

static double time_cancel(struct bench *b, size_t count)
{
	int64_t begin = clock_ns();

	for (size_t i = 0; i < count; i++) {
		arm(b, &b->task[b->population],
			b->now_ns + (int64_t)shunt_rng_below(&b->rng, (uint64_t)PERIOD_NS));
		cancel(b, &b->task[b->population]);
	}
	return per_operation(begin, count);
}

static double time_hold(struct bench *b, size_t count)
{
	int64_t begin = clock_ns();

	for (size_t done = 0; done < count;) {
		int64_t earliest_ns = b->ops->earliest(b->queue);

		b->now_ns = earliest_ns > b->now_ns ? earliest_ns : b->now_ns;
		b->fired = 0;
		b->ops->expire(b->queue, b->now_ns, SIZE_MAX, on_fired, b);
		if (b->fired > 0) /* a timer at a time, but for equal deadlines */
			arm(b, b->last.task, b->now_ns + PERIOD_NS);
		done += b->fired;
	}
	return per_operation(begin, count);
}

static double time_earliest(struct bench *b, size_t count)
{
	int64_t begin = clock_ns(), sum = 0;

	for (size_t i = 0; i < count; i++)
		sum ^= b->ops->earliest(b->queue);
	if (sum == 1)
		puts("");
	return per_operation(begin, count);
}

static double time_expire(struct bench *b)
{
	size_t count = 0;
	int64_t begin = clock_ns();

	for (int step = 0; step <= STEPS + 1; step++) {
		b->now_ns += PERIOD_NS / STEPS;
		count += b->ops->expire(b->queue, b->now_ns, SIZE_MAX, on_fired, b);
	}
	return count > 0 ? per_operation(begin, count) : 0;
}

static int ascending(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void bench_population(struct bench *b)
{
	static const char *const name[KINDS] = {"arm", "cancel", "hold", "expire", "earliest"};
	double cost[KINDS][ROUNDS];

	for (int round = 0; round < ROUNDS; round++) {
		cost[ARM][round] = time_arm(b);
		cost[CANCEL][round] = time_cancel(b, OPERATIONS);
		cost[HOLD][round] = time_hold(b, OPERATIONS);
		cost[EARLIEST][round] = time_earliest(b, OPERATIONS);
		cost[EXPIRE][round] = time_expire(b);
		if (b->ops->earliest(b->queue) != SHUNT_NEVER)
			exit(1); /* everything was due */
	}
	for (int kind = 0; kind < KINDS; kind++) {
		qsort(cost[kind], ROUNDS, sizeof(double), ascending);
		printf("%s,%zu,%s,%.1f\n", b->ops->name, b->population, name[kind],
			cost[kind][ROUNDS / 2]);
	}
	fflush(stdout);
}

static int bench_queue(const struct shunt_timers *ops, size_t most, uint64_t seed)
{
	struct bench b = {.ops = ops, .now_ns = 1000 * PERIOD_NS};

	b.task = aligned_alloc(_Alignof(struct shunt_task), (most + 1) * sizeof(*b.task));
	if (b.task == NULL || ops->open(&b.queue) != 0)
		return 1;
	memset(b.task, 0, (most + 1) * sizeof(*b.task));
	shunt_rng_init(&b.rng, seed);
	for (b.population = 1; b.population <= most; b.population *= 10)
		bench_population(&b);
	ops->close(b.queue);
	free(b.task);
	return 0;
}

static int usage(const char *program)
{
	fprintf(stderr, "usage: %s [QUEUE [MAX_POPULATION [SEED]]]; the queues are", program);
	for (const struct shunt_plugin *p = shunt_registry_timers; p->name != NULL; p++)
		fprintf(stderr, " %s", p->name);
	fprintf(stderr, "\n");
	return 2;
}

static bool is_queue(const char *name)
{
	for (const struct shunt_plugin *p = shunt_registry_timers; p->name != NULL; p++)
		if (strcmp(p->name, name) == 0)
			return true;
	return false;
}

/* A number of at least `least`; 0 is none. */
static uint64_t number(const char *text, uint64_t least)
{
	char *end;
	uint64_t value = strtoull(text, &end, 10);

	return *end == '\0' && *text != '-' && value >= least ? value : 0;
}

int main(int argc, char **argv)
{
	const char *only = argc > 1 ? argv[1] : NULL;
	size_t most = argc > 2 ? number(argv[2], 1) : 1000000;
	uint64_t seed = argc > 3 ? number(argv[3], 1) : 42;
	int checked = 0;

	if (argc > 4 || most == 0 || seed == 0 || (only != NULL && !is_queue(only)))
		return usage(argv[0]);
	printf("queue,population,operation,ns\n");
	for (const struct shunt_plugin *p = shunt_registry_timers; p->name != NULL; p++) {
		const struct shunt_timers *ops = p->object;

		if (ops == NULL || ops->open == NULL || (only != NULL && strcmp(only, p->name)))
			continue;
		if (bench_queue(ops, most, seed) != 0)
			return 1;
		checked++;
	}
	return checked > 0 ? 0 : 2;
}
