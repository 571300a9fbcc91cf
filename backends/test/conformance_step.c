/* SPDX-License-Identifier: MIT */
/* Clauses about the life of step tasks (core/step.h), alone and among tasks with stacks. */
#include "backends/test/conformance_step.h"

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
	{.name = NULL},
};
