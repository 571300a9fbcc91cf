/* SPDX-License-Identifier: MIT */
/*
 * In the protocol of idle.c no wake-up is lost, in whatever order its steps meet; and each of its
 * steps is needed: without any one of them an order exists that leaves the sleeper asleep.
 *
 * Two producers publish work, fence, look whether the worker is idle, and wake it if so. The worker
 * looks for work, announces that it is idle, prepares its sleep, fences, looks again, and sleeps until
 * the count of wakes is another than at prepare. The work is published with a plain store, as into a
 * queue that others may steal from; the lock around the announcement is left out, so that the fence
 * stands alone.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include "core/engine/test/model.h"

#include <cmocka.h>

enum { WORK_0, WORK_1, IDLE, WAKES };
enum { SLEEPER = 0, PIECES = 2 };
enum { NO_MISTAKE, PRODUCER_NO_FENCE, SLEEPER_NO_FENCE, NO_RECHECK, PREPARE_LATE, NO_ANNOUNCE };

/* Registers of the sleeper: how much it has done of each producer's work; the count at prepare. */
enum { DONE_0, DONE_1, COUNT };
/* Registers of a producer: how much it has published; what it saw of the sleeper. */
enum { PUBLISHED, SAW_IDLE };

enum { LOOK, ANNOUNCE, PREPARE, FENCE, RECHECK, COMMIT, RETRACT };

static bool work_waits(const struct model_state *state, const struct model_thread *self)
{
	return model_load(state, self, WORK_0) != self->reg[DONE_0] ||
	       model_load(state, self, WORK_1) != self->reg[DONE_1];
}

static bool step_sleeper(struct model_state *state, struct model_thread *self, int mistake)
{
	switch (self->at) {
	case LOOK:
		if (self->reg[DONE_0] == PIECES && self->reg[DONE_1] == PIECES)
			return false;
		self->at = work_waits(state, self) ? LOOK : ANNOUNCE;
		self->reg[DONE_0] = model_load(state, self, WORK_0);
		self->reg[DONE_1] = model_load(state, self, WORK_1);
		return true;
	case ANNOUNCE:
		if (mistake != NO_ANNOUNCE)
			model_store(self, IDLE, 1);
		self->at = PREPARE;
		return true;
	case PREPARE:
		self->reg[COUNT] = model_load(state, self, WAKES);
		self->at = FENCE;
		return true;
	case FENCE:
		if (mistake != SLEEPER_NO_FENCE && !model_drained(self))
			return false;
		self->at = RECHECK;
		return true;
	case RECHECK:
		self->at = mistake != NO_RECHECK && work_waits(state, self) ? RETRACT : COMMIT;
		return true;
	case COMMIT:
		if (mistake == PREPARE_LATE && self->reg[COUNT] >= 0) {
			self->reg[COUNT] = (int8_t)(-1 - model_load(state, self, WAKES));
			return true;
		}
		if (model_load(state, self, WAKES) ==
			(mistake == PREPARE_LATE ? -1 - self->reg[COUNT] : self->reg[COUNT]))
			return false; /* asleep */
		self->at = RETRACT;
		return true;
	default:
		model_store(self, IDLE, 0);
		self->reg[COUNT] = 0;
		self->at = LOOK;
		return true;
	}
}

enum { PUBLISH, PRODUCER_FENCE, READ_IDLE, WAKE };

static bool step_producer(struct model_state *state, struct model_thread *self, int work,
	int mistake)
{
	switch (self->at) {
	case PUBLISH:
		if (self->reg[PUBLISHED] == PIECES)
			return false;
		model_store(self, work, ++self->reg[PUBLISHED]);
		self->at = PRODUCER_FENCE;
		return true;
	case PRODUCER_FENCE:
		if (mistake != PRODUCER_NO_FENCE && !model_drained(self))
			return false;
		self->at = READ_IDLE;
		return true;
	case READ_IDLE:
		self->at = model_load(state, self, IDLE) ? WAKE : PUBLISH;
		return true;
	default: /* locked: the count goes up at once */
		if (!model_drained(self))
			return false;
		state->memory[WAKES]++;
		self->at = PUBLISH;
		return true;
	}
}

static bool step(struct model_state *state, struct model_thread *self, int mistake)
{
	int index = (int)(self - state->thread);
	return index == SLEEPER ? step_sleeper(state, self, mistake)
				: step_producer(state, self, index == 1 ? WORK_0 : WORK_1, mistake);
}

static bool left_asleep(const struct model_state *state, bool ended)
{
	const struct model_thread *sleeper = &state->thread[SLEEPER];
	return ended && (sleeper->reg[DONE_0] != PIECES || sleeper->reg[DONE_1] != PIECES);
}

static struct model_search explore(int mistake)
{
	struct model model = {.threads = 3,
		.step = step,
		.broken = left_asleep,
		.mistake = mistake};
	struct model_search search = model_explore(&model);
	print_message("mistake %d: %zu states, %zu ends, %zu leave the worker asleep\n", mistake,
		search.states, search.ends, search.broken);
	return search;
}

static void no_wake_is_lost(void **state)
{
	(void)state;
	struct model_search search = explore(NO_MISTAKE);
	assert_true(search.ends > 0);
	assert_int_equal(search.broken, 0);
}

static void every_step_is_needed(void **state)
{
	(void)state;
	for (int mistake = PRODUCER_NO_FENCE; mistake <= NO_ANNOUNCE; mistake++)
		assert_true(explore(mistake).broken > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_wake_is_lost),
		cmocka_unit_test(every_step_is_needed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
