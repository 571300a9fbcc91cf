/* SPDX-License-Identifier: MIT */
/* Clauses about step tasks that wait for each other and for tasks with stacks. */
#include "backends/test/conformance_step.h"

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

const struct clause conformance_step_sync[] = {
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
