/* SPDX-License-Identifier: MIT */
/* Clauses about step tasks (core/step.h), alone and among tasks with stacks. */
#include "backends/test/conformance.h"

#include "core/step.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { TASKS = 20, ROUNDS = 50 };

/* In a step EXPECT returns what the scheduler would refuse: the clause has failed before that. */
#define CHECK(condition)                                                                           \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			conformance_note(__FILE__, __LINE__, #condition, 1, 0);                    \
			return SHUNT_STEP_DONE;                                                    \
		}                                                                                  \
	} while (0)

#define CHECK_INT(expected, actual)                                                                \
	do {                                                                                       \
		long long expected_ = (long long)(expected), actual_ = (long long)(actual);        \
		if (expected_ != actual_) {                                                        \
			conformance_note(__FILE__, __LINE__, #actual, expected_, actual_);         \
			return SHUNT_STEP_DONE;                                                    \
		}                                                                                  \
	} while (0)

/* The frame of most clauses. */
struct frame {
	struct shunt_step step;
	struct shunt_handle other;
	int64_t deadline_ns;
	int left, rc, seen;
	int *counter;
	void *value;
};

#define SELF(step) struct frame *self = (struct frame *)(step)

static struct frame frames[TASKS];

/* Starts `count` step tasks on frames[], joins them, and returns its argument. */
static void *run_frames(shunt_step_fn *fn, int count, void *arg)
{
	struct shunt_handle handle[TASKS];
	for (int i = 0; i < count; i++)
		EXPECT_INT(0, shunt_spawn_step(&handle[i], fn, &frames[i].step, NULL));
	for (int i = 0; i < count; i++)
		EXPECT_INT(0, shunt_join(handle[i], NULL));
	return arg;
}

/* ---- life ------------------------------------------------------------------------------------ */

static int give_way_and_count(struct shunt_step *step)
{
	SELF(step);
	SHUNT_STEP_BEGIN(step);
	for (self->left = ROUNDS; self->left; self->left--) {
		count_up(self->counter);
		self->seen++;
		SHUNT_STEP_GIVE_WAY(step);
	}
	SHUNT_STEP_END(step);
}

static void *count_with_a_stack(void *counter)
{
	for (int i = 0; i < ROUNDS; i++) {
		count_up(counter);
		shunt_yield();
	}
	return counter;
}

static void *steps_are_called_until_they_are_done(void *arg)
{
	int counter = 0;
	for (int i = 0; i < TASKS; i++)
		frames[i] = (struct frame){.counter = &counter};
	EXPECT(run_frames(give_way_and_count, TASKS, arg));
	EXPECT_INT(TASKS * ROUNDS, counter);
	for (int i = 0; i < TASKS; i++)
		EXPECT_INT(ROUNDS, frames[i].seen);
	return arg;
}

static void *steps_and_stacks_take_turns(void *arg)
{
	struct shunt_handle with[TASKS];
	int counter = 0;
	for (int i = 0; i < TASKS; i++)
		frames[i] = (struct frame){.counter = &counter};
	for (int i = 0; i < TASKS; i++)
		EXPECT_INT(0, shunt_spawn(&with[i], count_with_a_stack, &counter, NULL));
	EXPECT(run_frames(give_way_and_count, TASKS, arg));
	for (int i = 0; i < TASKS; i++)
		EXPECT_INT(0, shunt_join(with[i], NULL));
	EXPECT_INT(2 * TASKS * ROUNDS, counter);
	return arg;
}

static int end_at_once(struct shunt_step *step)
{
	(void)step;
	return SHUNT_STEP_DONE;
}

static void *the_frame_is_the_result(void *arg)
{
	struct shunt_handle handle;
	for (int i = 0; i < TASKS; i++) {
		void *result = NULL;
		EXPECT_INT(0, shunt_spawn_step(&handle, end_at_once, &frames[i].step, NULL));
		EXPECT_INT(0, shunt_join(handle, &result));
		EXPECT(result == &frames[i]);
		EXPECT_INT(-ESRCH, shunt_join(handle, NULL));
	}
	return arg;
}

static void *a_step_needs_function_and_frame(void *arg)
{
	struct shunt_handle handle;
	struct shunt_attr far = {.worker = shunt_worker_count() + 1};
	EXPECT_INT(-EINVAL, shunt_spawn_step(&handle, NULL, &frames[0].step, NULL));
	EXPECT_INT(-EINVAL, shunt_spawn_step(&handle, end_at_once, NULL, NULL));
	EXPECT_INT(-EINVAL, shunt_spawn_step(&handle, end_at_once, &frames[0].step, &far));
	return arg;
}

static void *there_are_no_steps(void *arg)
{
	if (!(under_test.caps & SHUNT_STEPS))
		EXPECT_INT(-ENOTSUP, shunt_spawn_step(NULL, end_at_once, &frames[0].step, NULL));
	return arg;
}

static int spawn_and_join(struct shunt_step *step)
{
	SELF(step);
	struct frame *child = self + 1;
	void *result = NULL;
	SHUNT_STEP_BEGIN(step);
	CHECK_INT(0, shunt_spawn_step(&self->other, give_way_and_count, &child->step, NULL));
	SHUNT_STEP_AWAIT(step, self->rc, shunt_join_poll(self->other, SHUNT_FOREVER, &result));
	CHECK_INT(0, self->rc);
	CHECK(result == child);
	CHECK_INT(ROUNDS, child->seen);
	CHECK_INT(0, shunt_spawn(&self->other, count_with_a_stack, self->counter, NULL));
	SHUNT_STEP_AWAIT(step, self->rc, shunt_join_poll(self->other, SHUNT_FOREVER, &result));
	CHECK_INT(0, self->rc);
	CHECK(result == self->counter);
	SHUNT_STEP_AWAIT(step, self->rc, shunt_join_poll(self->other, SHUNT_FOREVER, NULL));
	CHECK_INT(-ESRCH, self->rc);
	SHUNT_STEP_AWAIT(step, self->rc, shunt_join_poll(shunt_self(), SHUNT_FOREVER, NULL));
	CHECK_INT(-EDEADLK, self->rc);
	SHUNT_STEP_END(step);
}

static void *steps_spawn_and_join(void *arg)
{
	int counter = 0;
	frames[0] = frames[1] = (struct frame){.counter = &counter};
	EXPECT(run_frames(spawn_and_join, 1, arg));
	EXPECT_INT(2 * ROUNDS, counter);
	return arg;
}

static void *sleep_long(void *flag)
{
	while (!count_now(flag))
		give_way();
	return flag;
}

static int join_for_a_while(struct shunt_step *step)
{
	SELF(step);
	void *result = NULL;
	SHUNT_STEP_BEGIN(step);
	self->deadline_ns = shunt_now_ns() + MS / 2;
	SHUNT_STEP_AWAIT(step, self->rc, shunt_join_poll(self->other, self->deadline_ns, &result));
	CHECK_INT(-ETIMEDOUT, self->rc);
	CHECK(shunt_now_ns() >= self->deadline_ns);
	count_up(self->counter);
	SHUNT_STEP_AWAIT(step, self->rc,
		shunt_join_poll(self->other, shunt_now_ns() + 60000 * MS, &result));
	CHECK_INT(0, self->rc);
	CHECK(result == self->counter);
	SHUNT_STEP_END(step);
}

static void *a_steps_join_gives_up_at_its_deadline(void *arg)
{
	int flag = 0;
	frames[0] = (struct frame){.counter = &flag};
	EXPECT_INT(0, shunt_spawn(&frames[0].other, sleep_long, &flag, NULL));
	return run_frames(join_for_a_while, 1, arg);
}

static int free_itself(struct shunt_step *step)
{
	SELF(step);
	int *counter = self->counter;
	free(self);
	count_up(counter);
	return SHUNT_STEP_DONE;
}

static void *the_last_step_may_free_the_frame(void *arg)
{
	int counter = 0;
	for (int i = 0; i < TASKS; i++) {
		struct frame *frame = calloc(1, sizeof(*frame));
		EXPECT(frame != NULL);
		frame->counter = &counter;
		EXPECT_INT(0, shunt_spawn_step(NULL, free_itself, &frame->step, NULL));
	}
	while (count_now(&counter) < TASKS)
		give_way();
	return arg;
}

static int keep_errno(struct shunt_step *step)
{
	SELF(step);
	SHUNT_STEP_BEGIN(step);
	for (self->left = ROUNDS; self->left; self->left--) {
		errno = self->seen;
		SHUNT_STEP_GIVE_WAY(step);
		CHECK_INT(self->seen, errno);
		SHUNT_STEP_AWAIT(step, self->rc, shunt_sleep_poll(shunt_now_ns() + 1000));
		CHECK_INT(self->seen, errno);
	}
	SHUNT_STEP_END(step);
}

/* The steps' own root has a stack, on which a compiler may keep the address of errno
 * (conformance_life.c). */
static void *a_steps_errno_is_its_own(void *arg)
{
	for (int i = 0; i < TASKS; i++)
		frames[i] = (struct frame){.seen = i + 1};
	return run_frames(keep_errno, TASKS, arg);
}

static int tell_where(struct shunt_step *step)
{
	SELF(step);
	CHECK(shunt_in_task());
	CHECK(shunt_worker_index() < shunt_worker_count());
	CHECK(shunt_task_id() > 0);
	shunt_checkpoint();
	CHECK(!strcmp(shunt_self().task->name, "here"));
	return self->left-- ? SHUNT_STEP_YIELD : SHUNT_STEP_DONE;
}

static void *a_step_can_tell_where_it_is(void *arg)
{
	struct shunt_attr attr = {.name = "here", .priority = 3};
	struct shunt_handle handle;
	frames[0] = (struct frame){.left = ROUNDS};
	EXPECT_INT(0, shunt_spawn_step(&handle, tell_where, &frames[0].step, &attr));
	EXPECT_INT(0, shunt_join(handle, NULL));
	return arg;
}

/* ---- time and permits ------------------------------------------------------------------------ */

static int sleep_a_few_times(struct shunt_step *step)
{
	SELF(step);
	SHUNT_STEP_BEGIN(step);
	for (self->left = 5; self->left; self->left--) {
		self->deadline_ns = shunt_now_ns() + (self->left - 1) * MS / 4;
		SHUNT_STEP_AWAIT(step, self->rc, shunt_sleep_poll(self->deadline_ns));
		CHECK_INT(0, self->rc);
		CHECK(shunt_now_ns() >= self->deadline_ns);
	}
	SHUNT_STEP_END(step);
}

static void *no_steps_sleep_ends_early(void *arg)
{
	for (int i = 0; i < TASKS; i++)
		frames[i] = (struct frame){.left = 0};
	return run_frames(sleep_a_few_times, TASKS, arg);
}

static int park_for_permits(struct shunt_step *step)
{
	SELF(step);
	SHUNT_STEP_BEGIN(step);
	/* Left before the park. */
	shunt_wake(shunt_self());
	SHUNT_STEP_AWAIT(step, self->rc, shunt_park_poll(SHUNT_FOREVER));
	CHECK_INT(0, self->rc);
	do {
		self->deadline_ns = shunt_now_ns() + MS / 4;
		SHUNT_STEP_AWAIT(step, self->rc, shunt_park_poll(self->deadline_ns));
	} while (self->rc == 0);
	CHECK_INT(-ETIMEDOUT, self->rc);
	CHECK(shunt_now_ns() >= self->deadline_ns);
	count_up(&self->seen);
	while (!count_now(self->counter))
		SHUNT_STEP_AWAIT(step, self->rc, shunt_park_poll(SHUNT_FOREVER));
	SHUNT_STEP_END(step);
}

static void *wakes_end_steps_parks(void *arg)
{
	struct shunt_handle handle[TASKS];
	int told = 0;
	for (int i = 0; i < TASKS; i++) {
		frames[i] = (struct frame){.counter = &told};
		EXPECT_INT(0,
			shunt_spawn_step(&handle[i], park_for_permits, &frames[i].step, NULL));
	}
	for (int i = 0; i < TASKS; i++)
		while (!count_now(&frames[i].seen))
			give_way();
	count_up(&told);
	for (int i = 0; i < TASKS; i++)
		EXPECT(shunt_wake(handle[i]));
	for (int i = 0; i < TASKS; i++) {
		EXPECT_INT(0, shunt_join(handle[i], NULL));
		EXPECT(!shunt_wake(handle[i]));
	}
	return arg;
}

static int wait_to_be_handed_over(struct shunt_step *step)
{
	SELF(step);
	SHUNT_STEP_BEGIN(step);
	count_up(&self->seen);
	while (!count_now(self->counter))
		SHUNT_STEP_AWAIT(step, self->rc, shunt_park_poll(SHUNT_FOREVER));
	shunt_wake(self->other);
	SHUNT_STEP_END(step);
}

static void *control_is_transferred_to_a_step(void *arg)
{
	struct shunt_handle handle;
	int flag = 0;
	frames[0] = (struct frame){.counter = &flag, .other = shunt_self()};
	EXPECT_INT(0, shunt_spawn_step(&handle, wait_to_be_handed_over, &frames[0].step, NULL));
	while (!count_now(&frames[0].seen))
		give_way();
	count_up(&flag);
	EXPECT_INT(0, shunt_transfer(handle));
	EXPECT_INT(0, shunt_join(handle, NULL));
	return arg;
}

/* ---- sync objects ---------------------------------------------------------------------------- */

static struct shunt_mutex mutex;
static struct shunt_semaphore semaphore;
static struct shunt_condition condition;
static struct shunt_channel channel;
static struct shunt_wait_group group;
static int inside, total;

static int add_under_lock(struct shunt_step *step)
{
	SELF(step);
	SHUNT_STEP_BEGIN(step);
	for (self->left = ROUNDS; self->left; self->left--) {
		SHUNT_STEP_AWAIT(step, self->rc, shunt_mutex_lock_poll(&mutex, SHUNT_FOREVER));
		CHECK_INT(0, self->rc);
		CHECK_INT(1, ++inside);
		self->seen = total;
		SHUNT_STEP_AWAIT(step, self->rc, shunt_mutex_lock_poll(&mutex, SHUNT_FOREVER));
		CHECK_INT(-EDEADLK, self->rc);
		SHUNT_STEP_GIVE_WAY(step);
		total = self->seen + 1;
		inside--;
		CHECK_INT(0, shunt_mutex_unlock(&mutex));
	}
	SHUNT_STEP_END(step);
}

static void *add_with_a_stack(void *arg)
{
	for (int i = 0; i < ROUNDS; i++) {
		EXPECT_INT(0, shunt_mutex_lock(&mutex));
		EXPECT_INT(1, ++inside);
		int before = total;
		shunt_yield();
		total = before + 1;
		inside--;
		EXPECT_INT(0, shunt_mutex_unlock(&mutex));
	}
	return arg;
}

static void *a_mutex_excludes_steps_and_stacks(void *arg)
{
	struct shunt_handle with[5];
	memset(&mutex, 0, sizeof(mutex));
	inside = total = 0;
	for (int i = 0; i < 5; i++)
		frames[i] = (struct frame){.left = 0};
	for (int i = 0; i < 5; i++)
		EXPECT_INT(0, shunt_spawn(&with[i], add_with_a_stack, NULL, NULL));
	EXPECT(run_frames(add_under_lock, 5, arg));
	for (int i = 0; i < 5; i++)
		EXPECT_INT(0, shunt_join(with[i], NULL));
	EXPECT_INT(10 * ROUNDS, total);
	return arg;
}

static int give_up(struct shunt_step *step)
{
	SELF(step);
	void *value;
	SHUNT_STEP_BEGIN(step);
	self->deadline_ns = shunt_now_ns() + MS / 2;
	SHUNT_STEP_AWAIT(step, self->rc, shunt_mutex_lock_poll(&mutex, self->deadline_ns));
	CHECK_INT(-ETIMEDOUT, self->rc);
	CHECK(shunt_now_ns() >= self->deadline_ns);
	SHUNT_STEP_AWAIT(step, self->rc, shunt_semaphore_wait_poll(&semaphore, 0));
	CHECK_INT(-ETIMEDOUT, self->rc);
	SHUNT_STEP_AWAIT(step, self->rc, shunt_wait_group_wait_poll(&group, 0));
	CHECK_INT(-ETIMEDOUT, self->rc);
	SHUNT_STEP_AWAIT(step, self->rc, shunt_channel_receive_poll(&channel, &value, 0));
	CHECK_INT(-ETIMEDOUT, self->rc);
	SHUNT_STEP_AWAIT(step, self->rc, shunt_channel_send_poll(&channel, NULL, 0));
	CHECK_INT(-ETIMEDOUT, self->rc);
	SHUNT_STEP_AWAIT(step, self->rc, shunt_condition_wait_poll(&condition, &mutex, 0));
	CHECK_INT(-EPERM, self->rc);
	count_up(&self->seen);
	while (!count_now(self->counter))
		SHUNT_STEP_GIVE_WAY(step);
	/* The mutex is free by now, and owned again after a wait that nobody ended. */
	SHUNT_STEP_AWAIT(step, self->rc, shunt_mutex_lock_poll(&mutex, SHUNT_FOREVER));
	CHECK_INT(0, self->rc);
	self->deadline_ns = shunt_now_ns() + MS / 2;
	SHUNT_STEP_AWAIT(step, self->rc,
		shunt_condition_wait_poll(&condition, &mutex, self->deadline_ns));
	CHECK_INT(-ETIMEDOUT, self->rc);
	CHECK(shunt_now_ns() >= self->deadline_ns);
	CHECK_INT(0, shunt_mutex_unlock(&mutex));
	SHUNT_STEP_END(step);
}

static void *steps_waits_give_up_at_their_deadline(void *arg)
{
	struct shunt_handle handle;
	int flag = 0;
	memset(&mutex, 0, sizeof(mutex));
	memset(&condition, 0, sizeof(condition));
	memset(&group, 0, sizeof(group));
	shunt_semaphore_init(&semaphore, 0);
	EXPECT_INT(0, shunt_channel_init(&channel, 0));
	shunt_wait_group_add(&group, 1);
	EXPECT_INT(0, shunt_mutex_lock(&mutex));
	frames[0] = (struct frame){.counter = &flag};
	EXPECT_INT(0, shunt_spawn_step(&handle, give_up, &frames[0].step, NULL));
	while (!count_now(&frames[0].seen))
		give_way();
	/* They have taken nothing, and nobody waits any more. */
	EXPECT(!mutex.waiters.head && !semaphore.waiters.head && !group.waiters.head);
	EXPECT(!channel.senders.head && !channel.receivers.head);
	EXPECT_INT(0, shunt_mutex_unlock(&mutex));
	shunt_semaphore_post(&semaphore);
	EXPECT(shunt_semaphore_try_wait(&semaphore));
	shunt_wait_group_done(&group);
	count_up(&flag);
	EXPECT_INT(0, shunt_join(handle, NULL));
	shunt_channel_fini(&channel);
	return arg;
}

static int take_units(struct shunt_step *step)
{
	SELF(step);
	SHUNT_STEP_BEGIN(step);
	for (self->left = ROUNDS; self->left; self->left--) {
		SHUNT_STEP_AWAIT(step, self->rc,
			shunt_semaphore_wait_poll(&semaphore, SHUNT_FOREVER));
		CHECK_INT(0, self->rc);
		count_up(self->counter);
	}
	SHUNT_STEP_END(step);
}

static int post_units(struct shunt_step *step)
{
	SELF(step);
	SHUNT_STEP_BEGIN(step);
	for (self->left = TASKS / 2 * ROUNDS; self->left; self->left--) {
		shunt_semaphore_post(&semaphore);
		if (self->left % 7 == 0)
			SHUNT_STEP_GIVE_WAY(step);
	}
	SHUNT_STEP_END(step);
}

static void *a_semaphore_counts_for_steps(void *arg)
{
	struct shunt_handle poster, taker[TASKS / 2];
	int taken = 0;
	shunt_semaphore_init(&semaphore, 0);
	for (int i = 0; i < TASKS / 2; i++) {
		frames[i] = (struct frame){.counter = &taken};
		EXPECT_INT(0, shunt_spawn_step(&taker[i], take_units, &frames[i].step, NULL));
	}
	EXPECT_INT(0, shunt_spawn_step(&poster, post_units, &frames[TASKS - 1].step, NULL));
	EXPECT_INT(0, shunt_join(poster, NULL));
	for (int i = 0; i < TASKS / 2; i++)
		EXPECT_INT(0, shunt_join(taker[i], NULL));
	EXPECT_INT(TASKS / 2 * ROUNDS, taken);
	EXPECT(!shunt_semaphore_try_wait(&semaphore));
	return arg;
}

/* A turn for each of two: the other one's signal ends the wait. */
static int turn;

static int take_turns(struct shunt_step *step)
{
	SELF(step);
	SHUNT_STEP_BEGIN(step);
	for (self->left = ROUNDS; self->left; self->left--) {
		SHUNT_STEP_AWAIT(step, self->rc, shunt_mutex_lock_poll(&mutex, SHUNT_FOREVER));
		while (turn != self->seen) {
			SHUNT_STEP_AWAIT(step, self->rc,
				shunt_condition_wait_poll(&condition, &mutex, SHUNT_FOREVER));
			CHECK_INT(0, self->rc);
		}
		turn = (turn + 1) % 3;
		shunt_condition_broadcast(&condition);
		CHECK_INT(0, shunt_mutex_unlock(&mutex));
	}
	SHUNT_STEP_END(step);
}

static void *a_condition_passes_turns_between_steps(void *arg)
{
	struct shunt_handle handle[2];
	memset(&mutex, 0, sizeof(mutex));
	memset(&condition, 0, sizeof(condition));
	turn = 0;
	for (int i = 0; i < 2; i++) {
		frames[i] = (struct frame){.seen = i};
		EXPECT_INT(0, shunt_spawn_step(&handle[i], take_turns, &frames[i].step, NULL));
	}
	/* The third is a task with a stack. */
	for (int i = 0; i < ROUNDS; i++) {
		EXPECT_INT(0, shunt_mutex_lock(&mutex));
		while (turn != 2)
			EXPECT_INT(0, shunt_condition_wait(&condition, &mutex));
		turn = 0;
		shunt_condition_broadcast(&condition);
		EXPECT_INT(0, shunt_mutex_unlock(&mutex));
	}
	for (int i = 0; i < 2; i++)
		EXPECT_INT(0, shunt_join(handle[i], NULL));
	return arg;
}

static int send_numbers(struct shunt_step *step)
{
	SELF(step);
	SHUNT_STEP_BEGIN(step);
	for (self->left = ROUNDS; self->left; self->left--) {
		SHUNT_STEP_AWAIT(step, self->rc,
			shunt_channel_send_poll(&channel, (void *)(intptr_t)self->left,
				SHUNT_FOREVER));
		CHECK_INT(0, self->rc);
	}
	SHUNT_STEP_END(step);
}

static int receive_numbers(struct shunt_step *step)
{
	SELF(step);
	void *value = NULL;
	SHUNT_STEP_BEGIN(step);
	for (;;) {
		SHUNT_STEP_AWAIT(step, self->rc,
			shunt_channel_receive_poll(&channel, &value, SHUNT_FOREVER));
		if (self->rc)
			break;
		self->seen += (int)(intptr_t)value;
	}
	CHECK_INT(-EPIPE, self->rc);
	SHUNT_STEP_END(step);
}

static void *channels_of(size_t capacity, void *arg)
{
	struct shunt_handle sender[5], receiver[3];
	int sum = 0;
	EXPECT_INT(0, shunt_channel_init(&channel, capacity));
	for (int i = 0; i < 5; i++)
		EXPECT_INT(0, shunt_spawn_step(&sender[i], send_numbers, &frames[i].step, NULL));
	for (int i = 0; i < 3; i++) {
		frames[5 + i] = (struct frame){.seen = 0};
		EXPECT_INT(0,
			shunt_spawn_step(&receiver[i], receive_numbers, &frames[5 + i].step, NULL));
	}
	for (int i = 0; i < 5; i++)
		EXPECT_INT(0, shunt_join(sender[i], NULL));
	shunt_channel_close(&channel);
	for (int i = 0; i < 3; i++) {
		EXPECT_INT(0, shunt_join(receiver[i], NULL));
		sum += frames[5 + i].seen;
	}
	EXPECT_INT(5 * ROUNDS * (ROUNDS + 1) / 2, sum);
	shunt_channel_fini(&channel);
	return arg;
}

static void *channels_carry_values_between_steps(void *arg)
{
	EXPECT(channels_of(0, arg));
	EXPECT(channels_of(3, arg));
	return arg;
}

static int wait_for_the_group(struct shunt_step *step)
{
	SELF(step);
	SHUNT_STEP_BEGIN(step);
	SHUNT_STEP_AWAIT(step, self->rc, shunt_wait_group_wait_poll(&group, SHUNT_FOREVER));
	CHECK_INT(0, self->rc);
	CHECK_INT(TASKS, count_now(self->counter));
	SHUNT_STEP_END(step);
}

static void *a_wait_group_releases_steps(void *arg)
{
	struct shunt_handle handle[5];
	int done = 0;
	memset(&group, 0, sizeof(group));
	shunt_wait_group_add(&group, TASKS);
	for (int i = 0; i < 5; i++) {
		frames[i] = (struct frame){.counter = &done};
		EXPECT_INT(0,
			shunt_spawn_step(&handle[i], wait_for_the_group, &frames[i].step, NULL));
	}
	for (int i = 0; i < TASKS; i++) {
		shunt_yield();
		count_up(&done);
		shunt_wait_group_done(&group);
	}
	for (int i = 0; i < 5; i++)
		EXPECT_INT(0, shunt_join(handle[i], NULL));
	return arg;
}

/* ---- deadlock -------------------------------------------------------------------------------- */

static int wait_for_ever(struct shunt_step *step)
{
	SELF(step);
	SHUNT_STEP_BEGIN(step);
	SHUNT_STEP_AWAIT(step, self->rc, shunt_semaphore_wait_poll(&semaphore, SHUNT_FOREVER));
	SHUNT_STEP_END(step);
}

static void *steps_that_nothing_can_wake(void *arg)
{
	struct shunt_attr attr = {.name = "lonely"};
	shunt_semaphore_init(&semaphore, 0);
	EXPECT_INT(0, shunt_spawn_step(NULL, wait_for_ever, &frames[0].step, &attr));
	return arg;
}

#define STEPS (SHUNT_STEPS | SHUNT_CAN_BLOCK)
#define TIMED (STEPS | SHUNT_TIMED)

const struct clause conformance_step[] = {
	CLAUSE("what has no step tasks says so", 0, there_are_no_steps),
	CLAUSE("steps are called until they are done", STEPS, steps_are_called_until_they_are_done),
	CLAUSE("steps and stacks take turns", STEPS, steps_and_stacks_take_turns),
	CLAUSE("a step task's result is its frame", STEPS, the_frame_is_the_result),
	CLAUSE("a step task needs function and frame", STEPS, a_step_needs_function_and_frame),
	CLAUSE("steps spawn and join", STEPS, steps_spawn_and_join),
	CLAUSE("a step's join gives up at its deadline", TIMED,
		a_steps_join_gives_up_at_its_deadline),
	CLAUSE("the last step may free the frame", TIMED, the_last_step_may_free_the_frame),
	CLAUSE("a step task's errno is its own", TIMED, a_steps_errno_is_its_own),
	CLAUSE("a step can tell where it is", STEPS, a_step_can_tell_where_it_is),
	CLAUSE("no step's sleep ends early", TIMED, no_steps_sleep_ends_early),
	CLAUSE("wakes and deadlines end steps' parks", TIMED, wakes_end_steps_parks),
	CLAUSE("control is transferred to a step", TIMED, control_is_transferred_to_a_step),
	CLAUSE("a mutex excludes steps and stacks", STEPS, a_mutex_excludes_steps_and_stacks),
	CLAUSE("steps' waits give up at their deadline", TIMED,
		steps_waits_give_up_at_their_deadline),
	CLAUSE("a semaphore counts for steps", STEPS, a_semaphore_counts_for_steps),
	CLAUSE("a condition passes turns between steps", STEPS,
		a_condition_passes_turns_between_steps),
	CLAUSE("channels carry values between steps", STEPS, channels_carry_values_between_steps),
	CLAUSE("a wait group releases steps", STEPS, a_wait_group_releases_steps),
	CLAUSE("a deadlock of steps is named, with the line", STEPS | SHUNT_DEADLOCK,
		steps_that_nothing_can_wake, .outcome = -EDEADLK,
		.explained = "'lonely', step task 1 in semaphore at line",
		.explained_too = "deadlock: 1 task waits"),
	{.name = NULL},
};
