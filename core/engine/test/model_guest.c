/* SPDX-License-Identifier: MIT */
/*
 * No change of a host's word is lost, whether it makes it with plain stores or its guests do, in
 * whatever order their steps meet; and each step of a visit, and of looking for guests, is needed
 * for that.
 *
 * All add one to the same word, the host three times, each of two guests on two visits; at the end
 * it is the number of additions. The steps are those of own_begin and own_end (core/join.c) and of
 * engine/guest.c, one access each; the fence that a guest has put into the host is a moment at
 * which the host's queue of stores is empty.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include "core/engine/test/model.h"

#include <cmocka.h>

enum { WORD, INSIDE, GUESTS, HOST_ADDS = 3, VISITS = 2, VISITORS = 2 };
enum {
	NO_MISTAKE,
	HOST_LOOKS_FIRST,
	HOST_LOOKS_FOR_NONE,
	HOST_IS_NEVER_INSIDE,
	HOST_OUT_EARLY,
	HOST_PLAIN_WITH_GUESTS,
	GUEST_NO_FENCE,
	GUEST_FENCE_BEFORE_COUNT,
	GUEST_NO_WAIT,
	GUEST_WAITS_BEFORE_FENCE,
	GUEST_LEAVES_EARLY,
	MISTAKES
};

/* Registers. */
enum { DONE, SAW, FOUND };

static void go(struct model_thread *self, int at)
{
	self->at = (int8_t)at;
}

/* Locked: adds one if the word is still what was found. */
static bool cas(struct model_state *state, struct model_thread *self, int done, int failed)
{
	if (!model_drained(self))
		return false;
	if (state->memory[WORD] == self->reg[FOUND]) {
		state->memory[WORD]++;
		go(self, done);
	} else {
		go(self, failed);
	}
	self->reg[FOUND] = 0;
	return true;
}

enum { NEXT, ENTER, LOOK, READ, WRITE, OUT, MEET, MEET_READ, MEET_CAS, HOST_DONE };

static int8_t guests(const struct model_state *state, const struct model_thread *self, int mistake)
{
	return mistake == HOST_LOOKS_FOR_NONE ? 0 : model_load(state, self, GUESTS);
}

static bool step_host(struct model_state *state, struct model_thread *self, int mistake)
{
	bool early = mistake == HOST_OUT_EARLY;
	switch (self->at) {
	case NEXT:
		if (self->reg[DONE] == HOST_ADDS)
			return false;
		self->reg[SAW] = guests(state, self, mistake); /* the mistaken look */
		go(self, ENTER);
		return true;
	case ENTER:
		if (mistake != HOST_IS_NEVER_INSIDE)
			model_store(self, INSIDE, 1);
		if (mistake != HOST_LOOKS_FIRST)
			self->reg[SAW] = 0;
		go(self, LOOK);
		return true;
	case LOOK:
		if (mistake != HOST_LOOKS_FIRST)
			self->reg[SAW] = guests(state, self, mistake);
		go(self, self->reg[SAW] ? MEET : READ);
		self->reg[SAW] = 0;
		return true;
	case READ:
		self->reg[FOUND] = model_load(state, self, WORD);
		go(self, early ? OUT : WRITE);
		return true;
	case WRITE:
		model_store(self, WORD, self->reg[FOUND] + 1);
		self->reg[FOUND] = 0;
		go(self, early ? HOST_DONE : OUT);
		return true;
	case OUT:
		model_store(self, INSIDE, 0);
		go(self, early ? WRITE : HOST_DONE);
		return true;
	case MEET: /* it has guests */
		model_store(self, INSIDE, 0);
		go(self, MEET_READ);
		return true;
	case MEET_READ:
		self->reg[FOUND] = model_load(state, self, WORD);
		go(self, mistake == HOST_PLAIN_WITH_GUESTS ? WRITE : MEET_CAS);
		return true;
	case MEET_CAS:
		return cas(state, self, HOST_DONE, MEET_READ);
	default:
		self->reg[DONE]++;
		go(self, NEXT);
		return true;
	}
}

enum { COUNT, FENCE, WAIT, GUEST_READ, GUEST_CAS, LEAVE };

/* Locked. */
static bool count_guest(struct model_state *state, const struct model_thread *self, int by)
{
	if (!model_drained(self))
		return false;
	state->memory[GUESTS] = (int8_t)(state->memory[GUESTS] + by);
	return true;
}

static bool fence(const struct model_state *state, int mistake)
{
	return mistake == GUEST_NO_FENCE || model_drained(state->thread);
}

static bool outside(const struct model_state *state, const struct model_thread *self, int mistake)
{
	return mistake == GUEST_NO_WAIT || !model_load(state, self, INSIDE);
}

static bool step_arrive(struct model_state *state, struct model_thread *self, int mistake)
{
	bool swapped = mistake == GUEST_FENCE_BEFORE_COUNT;
	bool waits_first = mistake == GUEST_WAITS_BEFORE_FENCE;
	switch (self->at) {
	case COUNT:
		if (self->reg[DONE] == VISITS)
			return false;
		if (swapped ? !fence(state, mistake) : !count_guest(state, self, 1))
			return false;
		break;
	case FENCE:
		if (swapped           ? !count_guest(state, self, 1)
			: waits_first ? !outside(state, self, mistake)
				      : !fence(state, mistake))
			return false;
		break;
	default:
		if (waits_first ? !fence(state, mistake) : !outside(state, self, mistake))
			return false;
		if (mistake == GUEST_LEAVES_EARLY && !count_guest(state, self, -1))
			return false;
	}
	go(self, self->at + 1);
	return true;
}

static bool step_guest(struct model_state *state, struct model_thread *self, int mistake)
{
	switch (self->at) {
	case GUEST_READ:
		self->reg[FOUND] = model_load(state, self, WORD);
		go(self, GUEST_CAS);
		return true;
	case GUEST_CAS:
		return cas(state, self, LEAVE, GUEST_READ);
	case LEAVE:
		if (mistake != GUEST_LEAVES_EARLY && !count_guest(state, self, -1))
			return false;
		self->reg[DONE]++;
		go(self, COUNT);
		return true;
	default:
		return step_arrive(state, self, mistake);
	}
}

static bool step(struct model_state *state, struct model_thread *self, int mistake)
{
	return self == state->thread ? step_host(state, self, mistake)
				     : step_guest(state, self, mistake);
}

/* In the end an addition is missing, be it that somebody waits for ever. */
static bool lost(const struct model_state *state, bool ended)
{
	return ended && state->memory[WORD] != HOST_ADDS + VISITORS * VISITS;
}

static struct model_search explore(int mistake)
{
	struct model model = {.threads = 1 + VISITORS,
		.step = step,
		.broken = lost,
		.mistake = mistake,
		.first = mistake != NO_MISTAKE};
	struct model_search search = model_explore(&model);
	print_message("mistake %d: %zu states, %zu ends, %zu broken\n", mistake, search.states,
		search.ends, search.broken);
	return search;
}

static void no_change_is_lost(void **state)
{
	(void)state;
	struct model_search search = explore(NO_MISTAKE);
	assert_true(search.ends > 0);
	assert_int_equal(search.broken, 0);
}

static void every_step_is_needed(void **state)
{
	(void)state;
	for (int mistake = HOST_LOOKS_FIRST; mistake < MISTAKES; mistake++)
		assert_true(explore(mistake).broken > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_change_is_lost),
		cmocka_unit_test(every_step_is_needed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
