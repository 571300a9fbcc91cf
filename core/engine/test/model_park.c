/* SPDX-License-Identifier: MIT */
/*
 * In the protocol of idle.c no wake-up is lost, in whatever order its steps meet; and each of its
 * steps is needed: without any one of them an order exists that leaves the sleeper asleep.
 *
 * Two producers publish work, look whether the worker is idle, and wake it if so. The worker looks
 * for work, prepares its sleep, announces that it is idle, has a fence put into each producer,
 * looks again, and sleeps until the count of wakes is another than at prepare. That fence is a
 * moment at which the producer's queue of stores is empty. With fence=full (FULL) producers and
 * worker each have their own. The work is published with a plain store, as into a queue that others
 * may steal from; the lock around the announcement is left out, so that the fence stands alone.
 *
 * SEARCHER: the second producer is a worker on its search instead, of which the first knows that it
 * will find the work or hand the search on. It finds other work, stops searching, and wakes the
 * sleeper. NAPPER: the same; where it finds nothing it looks once more when it has stopped
 * searching, and wakes the sleeper for what it sees, before it naps.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include "core/engine/test/model.h"

#include <cmocka.h>

enum { WORK_0, WORK_1, IDLE, WAKES, SEARCHING };
enum { SLEEPER = 0, PIECES = 2 };
enum { ASYMMETRIC, FULL = 100, SEARCHER = 200, NAPPER = 300, PROTOCOLS = 400 };
enum {
	NO_MISTAKE,
	SLEEPER_NO_FENCE, /* asymmetric: only the one of its own processor */
	PRODUCER_MISTAKE, /* full: no fence; asymmetric: the compiler moves its look forward */
	NO_RECHECK,
	PREPARE_LATE,
	NO_ANNOUNCE,
	MISTAKES,
	HANDS_NOTHING_ON, /* the searcher; the napper: it does not look once more */
	ASKS_EARLY,       /* a producer, whether somebody searches: before its work is seen */
};

static int protocol_of(int mistake)
{
	return mistake / FULL * FULL;
}

/* Registers of the sleeper: how much it has done of each producer's work; the count at prepare. */
enum { DONE_0, DONE_1, COUNT };
/* Registers of a producer: how much it has published; what it saw of the sleeper. */
enum { PUBLISHED, SAW_IDLE };
/* Registers of the searcher: has it begun; has it found something. */
enum { SEARCHED, FOUND_SOME };

enum { LOOK, PREPARE, ANNOUNCE, FENCE, FENCE_0, FENCE_1, RECHECK, COMMIT, RETRACT };

static bool work_waits(const struct model_state *state, const struct model_thread *self)
{
	return model_load(state, self, WORK_0) != self->reg[DONE_0] ||
	       model_load(state, self, WORK_1) != self->reg[DONE_1];
}

/* How much work the second producer has. */
static int pieces_of_1(int protocol)
{
	return protocol >= SEARCHER ? 0 : PIECES;
}

static bool step_sleeper(struct model_state *state, struct model_thread *self, int mistake,
	int protocol)
{
	switch (self->at) {
	case LOOK:
		if (self->reg[DONE_0] == PIECES && self->reg[DONE_1] == pieces_of_1(protocol))
			return false;
		self->at = work_waits(state, self) ? LOOK : PREPARE;
		self->reg[DONE_0] = model_load(state, self, WORK_0);
		self->reg[DONE_1] = model_load(state, self, WORK_1);
		return true;
	case ANNOUNCE:
		if (mistake != NO_ANNOUNCE)
			model_store(self, IDLE, 1);
		self->at = FENCE;
		return true;
	case PREPARE:
		self->reg[COUNT] = model_load(state, self, WAKES);
		self->at = ANNOUNCE;
		return true;
	case FENCE:
		if (!(protocol == FULL && mistake == SLEEPER_NO_FENCE) && !model_drained(self))
			return false;
		self->at = protocol == FULL || mistake == SLEEPER_NO_FENCE ? RECHECK : FENCE_0;
		return true;
	case FENCE_0:
	case FENCE_1:
		if (!model_drained(&state->thread[self->at - FENCE_0 + 1]))
			return false;
		self->at++;
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

enum { PUBLISH, PRODUCER_FENCE, READ_IDLE, ASK, WAKE };

/* Locked: the count goes up at once. */
static bool wake(struct model_state *state, struct model_thread *self, int next)
{
	if (!model_drained(self))
		return false;
	state->memory[WAKES]++;
	self->at = (int8_t)next;
	return true;
}

/* Is there a sleeper, and nobody who will wake it instead? */
static bool sees_sleeper(const struct model_state *state, const struct model_thread *self)
{
	return model_load(state, self, IDLE) && !model_load(state, self, SEARCHING);
}

static bool step_producer(struct model_state *state, struct model_thread *self, int work,
	int mistake, int protocol)
{
	bool moved = mistake == PRODUCER_MISTAKE && protocol != FULL;
	switch (self->at) {
	case PUBLISH:
		if (self->reg[PUBLISHED] == PIECES)
			return false;
		if (moved && !self->reg[SAW_IDLE]) {
			self->reg[SAW_IDLE] = sees_sleeper(state, self) ? 2 : 1;
			return true;
		}
		model_store(self, work, ++self->reg[PUBLISHED]);
		self->at = PRODUCER_FENCE;
		return true;
	case PRODUCER_FENCE:
		if (protocol == FULL && mistake != PRODUCER_MISTAKE && !model_drained(self))
			return false;
		self->at = READ_IDLE;
		return true;
	case READ_IDLE:
		if (moved)
			self->at = self->reg[SAW_IDLE] == 2 ? WAKE : PUBLISH;
		else
			self->at = model_load(state, self, IDLE) ? ASK : PUBLISH;
		self->reg[SAW_IDLE] = 0;
		return true;
	case ASK: /* shunt_wake_notify, which begins with a fence */
		if (mistake != ASKS_EARLY && !model_drained(self))
			return false;
		self->at = model_load(state, self, SEARCHING) ? PUBLISH : WAKE;
		return true;
	default:
		return wake(state, self, PUBLISH);
	}
}

enum { SEARCH, FIND, STOP, LOOK_AGAIN, HAND_ON, HAND_WAKE };

/* What it does once it searches no more. */
static int after_search(const struct model_thread *self, int mistake, int protocol)
{
	if (protocol == NAPPER && !self->reg[FOUND_SOME])
		return mistake == HANDS_NOTHING_ON ? SEARCH : LOOK_AGAIN;
	return protocol == SEARCHER && mistake == HANDS_NOTHING_ON ? SEARCH : HAND_ON;
}

static bool step_searcher(struct model_state *state, struct model_thread *self, int mistake,
	int protocol)
{
	switch (self->at) {
	case SEARCH:
		if (self->reg[SEARCHED] || !model_drained(self))
			return false;
		self->reg[SEARCHED] = 1;
		state->memory[SEARCHING] = 1;
		self->at = FIND;
		return true;
	case FIND:
		self->reg[FOUND_SOME] = protocol == SEARCHER || model_load(state, self, WORK_0);
		self->at = STOP;
		return true;
	case STOP:
		if (!model_drained(self))
			return false;
		state->memory[SEARCHING] = 0;
		self->at = (int8_t)after_search(self, mistake, protocol);
		return true;
	case LOOK_AGAIN:
		self->at = model_load(state, self, WORK_0) ? HAND_ON : SEARCH;
		return true;
	case HAND_ON:
		self->at = model_load(state, self, IDLE) ? HAND_WAKE : SEARCH;
		return true;
	default:
		return wake(state, self, SEARCH);
	}
}

static bool step(struct model_state *state, struct model_thread *self, int which)
{
	int index = (int)(self - state->thread), protocol = protocol_of(which);
	int mistake = which - protocol;
	if (index == SLEEPER)
		return step_sleeper(state, self, mistake, protocol);
	if (index == 2 && protocol >= SEARCHER)
		return step_searcher(state, self, mistake, protocol);
	return step_producer(state, self, index == 1 ? WORK_0 : WORK_1, mistake, protocol);
}

static bool left_asleep(const struct model_state *state, bool ended)
{
	const struct model_thread *sleeper = &state->thread[SLEEPER];
	return ended && (sleeper->reg[DONE_0] != state->memory[WORK_0] ||
				sleeper->reg[DONE_1] != state->memory[WORK_1]);
}

static struct model_search explore(int mistake)
{
	struct model model = {.threads = 3,
		.step = step,
		.broken = left_asleep,
		.mistake = mistake,
		.first = mistake % FULL != NO_MISTAKE};
	struct model_search search = model_explore(&model);
	print_message("mistake %d: %zu states, %zu ends, %zu leave the worker asleep\n", mistake,
		search.states, search.ends, search.broken);
	return search;
}

static void no_wake_is_lost(void **state)
{
	(void)state;
	for (int protocol = ASYMMETRIC; protocol < PROTOCOLS; protocol += FULL) {
		struct model_search search = explore(protocol + NO_MISTAKE);
		assert_true(search.ends > 0);
		assert_int_equal(search.broken, 0);
	}
}

static void every_step_is_needed(void **state)
{
	(void)state;
	for (int protocol = ASYMMETRIC; protocol < PROTOCOLS; protocol += FULL)
		for (int mistake = NO_MISTAKE + 1; mistake < MISTAKES; mistake++)
			assert_true(explore(protocol + mistake).broken > 0);
	assert_true(explore(SEARCHER + HANDS_NOTHING_ON).broken > 0);
	assert_true(explore(NAPPER + HANDS_NOTHING_ON).broken > 0);
	assert_true(explore(NAPPER + ASKS_EARLY).broken > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_wake_is_lost),
		cmocka_unit_test(every_step_is_needed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
