/* SPDX-License-Identifier: MIT */
/*
 * If this passes, every timer queue of the registry behaves like a sorted array: each live timer
 * fires once, at the first expiry at or after its deadline and never before, cancelled ones never;
 * earliest() is a bound that leads to the next deadline; cancels and emptiness leave no memory
 * behind; and a failed allocation changes nothing.
 *
 * Linked with --wrap for malloc and its kin, so that allocations can be counted and refused.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/engine/slots.h"
#include "core/engine/task.h"
#include "core/registry.h"
#include "core/rng.h"

#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define POOL 2048
#define MS   INT64_C(1000000)

/* ---- allocation, counted and refused --------------------------------------------------------- */

void *__real_malloc(size_t bytes);
void *__real_calloc(size_t count, size_t bytes);
void *__real_realloc(void *old, size_t bytes);
void __real_free(void *old);
void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes);
void *__wrap_realloc(void *old, size_t bytes);
void __wrap_free(void *old);

static int64_t held_bytes;
static bool refuse;

static void *counted(void *new)
{
	held_bytes += (int64_t)malloc_usable_size(new);
	return new;
}

void *__wrap_malloc(size_t bytes)
{
	return refuse ? NULL : counted(__real_malloc(bytes));
}

void *__wrap_calloc(size_t count, size_t bytes)
{
	return refuse ? NULL : counted(__real_calloc(count, bytes));
}

void *__wrap_realloc(void *old, size_t bytes)
{
	int64_t before = (int64_t)malloc_usable_size(old);
	void *new = refuse ? NULL : __real_realloc(old, bytes);

	if (new != NULL) {
		held_bytes -= before;
		counted(new);
	}
	return new;
}

void __wrap_free(void *old)
{
	held_bytes -= (int64_t)malloc_usable_size(old);
	__real_free(old);
}

/* ---- the model ------------------------------------------------------------------------------- */

struct armed {
	int64_t deadline_ns;
	int64_t order_ns; /* its place in the order: an overdue one comes when it was armed */
	bool live;        /* armed and not cancelled */
	bool fired;       /* during the present expire() */
};

struct model {
	const struct shunt_timers *ops;
	void *queue;
	int64_t now_ns;
	int64_t resolution_ns; /* order within it is free */
	int64_t last_fired_ns;
	size_t live_count;
	struct shunt_rng rng;
	struct shunt_task *task;
	struct armed armed[POOL];
};

static void task_blocks(struct shunt_task *task)
{
	uint64_t word = atomic_load(&task->word);

	atomic_store(&task->word,
		shunt_word_with_state(word, SHUNT_TASK_BLOCKED) + SHUNT_EPOCH_ONE);
}

static void task_runs(struct shunt_task *task)
{
	atomic_store(&task->word,
		shunt_word_with_state(atomic_load(&task->word), SHUNT_TASK_RUNNABLE));
}

static struct shunt_timer timer_of(struct shunt_task *task, int64_t deadline_ns)
{
	return (struct shunt_timer){.deadline_ns = deadline_ns,
		.task = task,
		.ticket = atomic_load(&task->word) & SHUNT_WORD_TICKET};
}

static void on_fired(void *arg, const struct shunt_timer *timer)
{
	struct model *m = arg;
	size_t i = (size_t)(timer->task - m->task);

	assert_true(m->armed[i].live);
	assert_false(m->armed[i].fired);
	assert_true(timer->deadline_ns == m->armed[i].deadline_ns);
	assert_true(timer->deadline_ns <= m->now_ns);
	assert_true(m->armed[i].order_ns + m->resolution_ns >= m->last_fired_ns);
	if (m->armed[i].order_ns > m->last_fired_ns)
		m->last_fired_ns = m->armed[i].order_ns;
	m->armed[i].fired = true;
	task_runs(timer->task);
}

static int64_t true_earliest(const struct model *m)
{
	int64_t least = SHUNT_NEVER;

	for (size_t i = 0; i < POOL; i++)
		if (m->armed[i].live && m->armed[i].deadline_ns < least)
			least = m->armed[i].deadline_ns;
	return least;
}

static void check_earliest(struct model *m)
{
	int64_t bound = m->ops->earliest(m->queue);

	assert_true(bound <= true_earliest(m));
	assert_true(m->ops->count(m->queue) >= m->live_count);
	if (m->live_count == 0) {
		/* A queue that holds tombstones alone says so: a deadlock is judged by it. */
		assert_true(bound == SHUNT_NEVER);
		assert_int_equal(m->ops->count(m->queue), 0);
	}
}

static void expire_at(struct model *m, int64_t now_ns)
{
	size_t due = 0, called = 0, most = 0, got = 0;

	m->now_ns = now_ns;
	m->last_fired_ns = INT64_MIN;
	for (size_t i = 0; i < POOL; i++)
		due += m->armed[i].live && m->armed[i].deadline_ns <= now_ns;
	for (; got == most; called += got) { /* a part at a time, or all at once */
		assert_true(called == due || called == 0 || m->ops->earliest(m->queue) <= now_ns);
		most = shunt_rng_below(&m->rng, 2) ? SIZE_MAX : 1 + shunt_rng_below(&m->rng, 40);
		got = m->ops->expire(m->queue, now_ns, most, on_fired, m);
		assert_true(got <= most);
	}
	assert_int_equal(called, due);
	for (size_t i = 0; i < POOL; i++) {
		struct armed *armed = &m->armed[i];

		assert_true(armed->fired == (armed->live && armed->deadline_ns <= now_ns));
		if (armed->fired)
			armed->live = false;
		armed->fired = false;
	}
	m->live_count -= due;
	/* Progress: the next bound lies ahead, or a worker would loop for ever. */
	assert_true(m->ops->earliest(m->queue) > now_ns);
}

static void note_armed(struct model *m, size_t i, int64_t deadline_ns)
{
	/* A queue without a resolution goes by the deadline alone. */
	bool overdue = m->resolution_ns > 0 && deadline_ns < m->now_ns;

	m->armed[i] = (struct armed){.deadline_ns = deadline_ns,
		.order_ns = overdue ? m->now_ns : deadline_ns,
		.live = true};
	m->live_count++;
}

static void arm_one(struct model *m, size_t i, int64_t deadline_ns)
{
	struct shunt_timer timer;

	task_blocks(&m->task[i]);
	timer = timer_of(&m->task[i], deadline_ns);
	assert_int_equal(m->ops->arm(m->queue, &timer), 0);
	note_armed(m, i, deadline_ns);
}

static void cancel_one(struct model *m, size_t i)
{
	task_runs(&m->task[i]);
	m->armed[i].live = false;
	m->live_count--;
	m->ops->cancelled(m->queue);
}

/* From the past to hours ahead, with many equal ones. */
static int64_t random_deadline(struct model *m)
{
	static const int64_t span_ns[] = {1, 1000, 50000, MS, 10 * MS, 1000 * MS, 3600000 * MS};
	int64_t span = span_ns[shunt_rng_below(&m->rng, 7)];

	switch (shunt_rng_below(&m->rng, 8)) {
	case 0:
		return m->now_ns - (int64_t)shunt_rng_below(&m->rng, (uint64_t)span);
	case 1:
		return m->now_ns + span;
	default:
		return m->now_ns + (int64_t)shunt_rng_below(&m->rng, (uint64_t)span);
	}
}

static struct model *model_new(const struct shunt_timers *ops)
{
	struct model *m = calloc(1, sizeof(*m));
	const char *given = getenv("SHUNT_SEED"); /* to repeat a failure */
	uint64_t seed = given != NULL ? strtoull(given, NULL, 10) : (uint64_t)time(NULL);

	print_message("%s: seed %llu\n", ops->name, (unsigned long long)seed);
	m->ops = ops;
	m->resolution_ns = strcmp(ops->name, "wheel") ? 0 : 1024;
	m->task = aligned_alloc(_Alignof(struct shunt_task), POOL * sizeof(*m->task));
	assert_non_null(m->task);
	memset(m->task, 0, POOL * sizeof(*m->task));
	counted(m->task);
	m->now_ns = 1000 * MS;
	shunt_rng_init(&m->rng, seed);
	assert_int_equal(ops->open(&m->queue), 0);
	return m;
}

static void model_free(struct model *m)
{
	m->ops->close(m->queue);
	free(m->task);
	free(m);
}

/* ---- the clauses ----------------------------------------------------------------------------- */

static struct model *subject_model(void **state)
{
	return model_new(*state);
}

static void agrees_with_a_sorted_array(void **state)
{
	struct model *m = subject_model(state);

	for (int step = 0; step < 20000; step++) {
		size_t i = shunt_rng_below(&m->rng, POOL);
		uint64_t die = shunt_rng_below(&m->rng, 100);

		if (die < 60 && !m->armed[i].live)
			arm_one(m, i, random_deadline(m));
		else if (die < 90 && m->armed[i].live)
			cancel_one(m, i);
		else if (die < 95)
			check_earliest(m);
		else if (die < 97)
			expire_at(m, m->now_ns + (int64_t)shunt_rng_below(&m->rng, 3 * MS));
		else if (die == 97 && shunt_rng_below(&m->rng, 20) == 0)
			expire_at(m, m->now_ns + (int64_t)shunt_rng_below(&m->rng, 7200000 * MS));
	}
	while (m->live_count > 0)
		expire_at(m, true_earliest(m) > m->now_ns ? true_earliest(m) : m->now_ns);
	check_earliest(m);
	model_free(m);
}

/* Following earliest() alone, as an idle worker does, every timer fires on time, and the detours
 * (a wheel's cascades) are few. */
static void earliest_leads_to_every_deadline(void **state)
{
	struct model *m = subject_model(state);
	size_t rounds = 0;

	for (size_t i = 0; i < POOL; i++)
		arm_one(m, i, random_deadline(m));
	for (size_t i = 0; i < POOL; i += 3)
		cancel_one(m, i);
	while (m->live_count > 0) {
		int64_t bound = m->ops->earliest(m->queue);

		assert_true(bound != SHUNT_NEVER && bound <= true_earliest(m));
		expire_at(m, bound > m->now_ns ? bound : m->now_ns);
		rounds++;
	}
	assert_true(rounds <= 4 * POOL);
	check_earliest(m);
	model_free(m);
}

static void note_fired(void *arg, const struct shunt_timer *timer)
{
	struct model *m = arg;
	size_t i = (size_t)(timer->task - m->task);

	assert_true(m->armed[i].live);
	assert_true(timer->deadline_ns == m->armed[i].deadline_ns);
	assert_true(timer->deadline_ns <= m->now_ns);
	m->armed[i].live = false;
	m->live_count--;
	task_runs(timer->task);
}

/* As a worker does it: some fire, arm again and cancel others, while the rest has yet to fire. */
static void a_part_fires_and_the_rest_stays(void **state)
{
	struct model *m = subject_model(state);

	for (int step = 0; step < 5000; step++) {
		size_t most = 1 + shunt_rng_below(&m->rng, 8), got;

		for (size_t n = 0; n < 4; n++) {
			size_t i = shunt_rng_below(&m->rng, POOL);
			/* Many in one slot of a wheel, and some of these yet to come. */
			int64_t ahead = (int64_t)shunt_rng_below(&m->rng, 3000) - 500;

			if (!m->armed[i].live)
				arm_one(m, i, m->now_ns + ahead);
			else if (n == 3)
				cancel_one(m, i);
		}
		if (shunt_rng_below(&m->rng, 4) == 0)
			m->now_ns += (int64_t)shunt_rng_below(&m->rng, 5000);
		got = m->ops->expire(m->queue, m->now_ns, most, note_fired, m);
		assert_true(got <= most);
		assert_true(got == most || true_earliest(m) > m->now_ns);
		check_earliest(m);
	}
	expire_at(m, m->now_ns + 10000);
	check_earliest(m);
	model_free(m);
}

static void cancelled_timers_leave_nothing(void **state)
{
	struct model *m = subject_model(state);
	size_t peak = 0, base = POOL / 2;
	int64_t before;

	for (size_t i = 0; i < base; i++)
		arm_one(m, i, m->now_ns + 3600000 * MS + (int64_t)i);
	before = held_bytes;
	for (size_t pair = 0; pair < 1000000; pair++) {
		size_t i = base + pair % base;

		arm_one(m, i, m->now_ns + 100 * MS + (int64_t)pair);
		cancel_one(m, i);
		peak = m->ops->count(m->queue) > peak ? m->ops->count(m->queue) : peak;
	}
	assert_true(peak <= 2 * base + 256);
	assert_true(held_bytes <= before + (1 << 18));
	for (size_t i = 0; i < base; i++)
		cancel_one(m, i);
	check_earliest(m); /* nothing live: count() is 0 */
	model_free(m);
}

static void is_next(void *arg, const struct shunt_timer *timer)
{
	struct model *m = arg;

	assert_ptr_equal(timer->task, &m->task[m->live_count++]);
	task_runs(timer->task);
}

/* Those of a wheel's tick, wherever they lay when they were armed. */
static void timers_of_a_tick_fire_in_the_order_of_arming(void **state)
{
	struct model *m = subject_model(state);
	int64_t due_ns = m->now_ns + 40000000 * MS;
	size_t armed = 0;

	if (m->resolution_ns == 0) { /* it promises none */
		model_free(m);
		return;
	}
	due_ns -= due_ns % m->resolution_ns;
	for (int64_t ahead_ns = 40000000 * MS; ahead_ns > 0; ahead_ns /= 3) {
		m->ops->expire(m->queue, due_ns - ahead_ns, SIZE_MAX, is_next, m);
		for (int i = 0; i < 3; i++, armed++) {
			task_blocks(&m->task[armed]);
			struct shunt_timer timer = timer_of(&m->task[armed], due_ns);
			assert_int_equal(m->ops->arm(m->queue, &timer), 0);
		}
	}
	while (m->ops->count(m->queue) > 0)
		assert_int_equal(m->ops->expire(m->queue, due_ns, 1, is_next, m), 1);
	assert_int_equal(m->live_count, armed);
	model_free(m);
}

static void ignore_fired(void *arg, const struct shunt_timer *timer)
{
	(void)arg;
	(void)timer;
}

static void an_empty_queue_is_small(void **state)
{
	int64_t before = held_bytes;
	struct model *m = subject_model(state);
	struct shunt_timer timer;

	task_blocks(&m->task[0]);
	timer = timer_of(&m->task[0], 0);
	for (int i = 0; i < 300000; i++) {
		timer.deadline_ns = m->now_ns + (int64_t)shunt_rng_below(&m->rng, 1000 * MS);
		assert_int_equal(m->ops->arm(m->queue, &timer), 0);
	}
	assert_true(held_bytes - before > 300000 * (int64_t)sizeof(timer));
	assert_int_equal(m->ops->expire(m->queue, m->now_ns + 1000 * MS, SIZE_MAX, ignore_fired,
				 NULL),
		300000);
	assert_int_equal(m->ops->count(m->queue), 0);
	assert_true(m->ops->earliest(m->queue) == SHUNT_NEVER);
	assert_true(held_bytes - before < (2 << 20));
	model_free(m);
	assert_true(held_bytes == before);
}

static void a_failed_allocation_changes_nothing(void **state)
{
	struct model *m = subject_model(state);
	size_t refused = 0;

	for (size_t i = 0; i < POOL; i++) {
		size_t count = m->ops->count(m->queue);
		int64_t earliest = m->ops->earliest(m->queue);
		int64_t deadline_ns = random_deadline(m);
		struct shunt_timer timer;
		int code;

		task_blocks(&m->task[i]);
		timer = timer_of(&m->task[i], deadline_ns);
		refuse = true;
		code = m->ops->arm(m->queue, &timer);
		refuse = false;
		if (code == 0) {
			note_armed(m, i, deadline_ns);
			continue;
		}
		assert_int_equal(code, -ENOMEM);
		assert_int_equal(m->ops->count(m->queue), count);
		assert_true(m->ops->earliest(m->queue) == earliest);
		task_runs(&m->task[i]);
		arm_one(m, i, deadline_ns);
		refused++;
	}
	assert_true(refused > 0);
	expire_at(m, m->now_ns + 7200000 * MS);
	assert_int_equal(m->live_count, 0);
	model_free(m);
}

static void open_can_fail(void **state)
{
	const struct shunt_timers *ops = *state;
	void *queue = NULL;
	int code;

	refuse = true;
	code = ops->open(&queue);
	refuse = false;
	assert_int_equal(code, -ENOMEM);
	assert_null(queue);
}

/* ---------------------------------------------------------------------------------------------- */

static int subject_check(const struct shunt_timers *ops)
{
	void *s = (void *)(uintptr_t)ops;
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_prestate(agrees_with_a_sorted_array, s),
		cmocka_unit_test_prestate(earliest_leads_to_every_deadline, s),
		cmocka_unit_test_prestate(a_part_fires_and_the_rest_stays, s),
		cmocka_unit_test_prestate(timers_of_a_tick_fire_in_the_order_of_arming, s),
		cmocka_unit_test_prestate(cancelled_timers_leave_nothing, s),
		cmocka_unit_test_prestate(an_empty_queue_is_small, s),
		cmocka_unit_test_prestate(a_failed_allocation_changes_nothing, s),
		cmocka_unit_test_prestate(open_can_fail, s),
	};

	return cmocka_run_group_tests_name(ops->name, tests, NULL, NULL);
}

int main(void)
{
	int failed = 0, checked = 0;

	for (const struct shunt_plugin *p = shunt_registry_timers; p->name != NULL; p++) {
		const struct shunt_timers *ops = p->object;

		if (ops == NULL || ops->open == NULL)
			continue;
		failed += subject_check(ops);
		checked++;
	}
	return failed != 0 || checked == 0;
}
