/* SPDX-License-Identifier: MIT */
/*
 * Of the deque every element is taken exactly once, in whatever order its owner's and two thieves'
 * steps meet; and each locked step, and each step of attaching, is needed for that.
 *
 * The owner pushes two elements, takes two, pushes a third and takes again; each thief attaches,
 * tries and detaches, twice. The steps are those of engine/deque.h, one access each; the fence that
 * a thief has put into the owner is a moment at which the owner's queue of stores is empty.
 * FULL_FENCES is fence=full: no attaching, the owner always reckons with thieves. Growing is not in
 * the model: the buffer has a slot for each element.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include "core/engine/test/model.h"

#include <cmocka.h>

enum { TOP, BOTTOM, ELEMENT_0, ELEMENTS = 3, THIEVES = ELEMENT_0 + ELEMENTS, TRIES = 2 };
enum {
	NO_MISTAKE,
	FULL_FENCES, /* none either */
	TAKE_NO_EXCHANGE,
	TAKE_NO_CAS,
	STEAL_NO_CAS,
	TAKE_LOOKS_FOR_THIEVES_FIRST,
	TAKE_LOOKS_FOR_NO_THIEVES,
	ATTACH_NO_FENCE,
	ATTACH_AFTER_FENCE,
	DETACH_EARLY,
	MISTAKES
};

/* Registers. */
enum { B, T, FOUND, TASK, PUSHED };

/* What the owner does, in order. */
enum { PUSH = 1, TAKE };
static const int8_t owner_does[] = {PUSH, PUSH, TAKE, TAKE, PUSH, TAKE, 0};

enum {
	NEXT,
	PUSH_ELEMENT,
	PUSH_BOTTOM,
	TAKE_LOOK,
	TAKE_ANNOUNCE,
	TAKE_THIEVES,
	TAKE_ALONE,
	TAKE_CLAIM,
	TAKE_TOP,
	TAKE_GET,
	TAKE_LAST,
	TAKE_RESTORE
};

static void go(struct model_thread *self, int at)
{
	self->at = (int8_t)at;
}

static void have(struct model_state *state, int element)
{
	state->taken[element]++;
}

/* Locked; the caller has seen that the queue of stores is empty. */
static bool cas_top(struct model_state *state, int from)
{
	if (state->memory[TOP] != from)
		return false;
	state->memory[TOP]++;
	return true;
}

static bool step_push(struct model_state *state, struct model_thread *self)
{
	self->reg[B] = model_load(state, self, BOTTOM);
	if (self->at == PUSH_ELEMENT) {
		model_store(self, ELEMENT_0 + self->reg[B], ++self->reg[PUSHED]);
		go(self, PUSH_BOTTOM);
	} else {
		model_store(self, BOTTOM, self->reg[B] + 1);
		go(self, NEXT);
	}
	return true;
}

/* The last element, against the thieves. */
static bool step_take_last(struct model_state *state, struct model_thread *self, int mistake)
{
	if (mistake == TAKE_NO_CAS) {
		model_store(self, TOP, self->reg[T] + 1);
		have(state, self->reg[FOUND]);
	} else if (!model_drained(self)) {
		return false;
	} else if (cas_top(state, self->reg[T])) {
		have(state, self->reg[FOUND]);
	}
	go(self, TAKE_RESTORE);
	return true;
}

static int8_t thieves(const struct model_state *state, const struct model_thread *self, int mistake)
{
	if (mistake == TAKE_LOOKS_FOR_NO_THIEVES)
		return 0;
	return mistake == FULL_FENCES || model_load(state, self, THIEVES);
}

static bool step_take(struct model_state *state, struct model_thread *self, int mistake)
{
	switch (self->at) {
	case TAKE_LOOK:
		self->reg[B] = (int8_t)(model_load(state, self, BOTTOM) - 1);
		self->reg[FOUND] = thieves(state, self, mistake); /* the mistaken look */
		go(self, self->reg[B] + 1 == model_load(state, self, TOP) ? NEXT : TAKE_ANNOUNCE);
		return true;
	case TAKE_ANNOUNCE:
		model_store(self, BOTTOM, self->reg[B]);
		go(self, TAKE_THIEVES);
		return true;
	case TAKE_THIEVES:
		if (mistake != TAKE_LOOKS_FOR_THIEVES_FIRST)
			self->reg[FOUND] = thieves(state, self, mistake);
		go(self, self->reg[FOUND] ? TAKE_CLAIM : TAKE_ALONE);
		return true;
	case TAKE_ALONE:
		self->reg[T] = model_load(state, self, TOP);
		self->reg[FOUND] = model_load(state, self, ELEMENT_0 + self->reg[B]);
		if (self->reg[T] <= self->reg[B])
			have(state, self->reg[FOUND]);
		go(self, self->reg[T] <= self->reg[B] ? NEXT : TAKE_RESTORE);
		return true;
	case TAKE_CLAIM:
		if (mistake == TAKE_NO_EXCHANGE)
			model_store(self, BOTTOM, self->reg[B]);
		else if (!model_drained(self))
			return false;
		else
			state->memory[BOTTOM] = self->reg[B];
		go(self, TAKE_TOP);
		return true;
	case TAKE_TOP:
		self->reg[T] = model_load(state, self, TOP);
		go(self, self->reg[T] > self->reg[B] ? TAKE_RESTORE : TAKE_GET);
		return true;
	case TAKE_GET:
		self->reg[FOUND] = model_load(state, self, ELEMENT_0 + self->reg[B]);
		if (self->reg[T] != self->reg[B])
			have(state, self->reg[FOUND]);
		go(self, self->reg[T] == self->reg[B] ? TAKE_LAST : NEXT);
		return true;
	case TAKE_LAST:
		return step_take_last(state, self, mistake);
	default:
		model_store(self, BOTTOM, self->reg[B] + 1);
		go(self, NEXT);
		return true;
	}
}

static bool step_owner(struct model_state *state, struct model_thread *self, int mistake)
{
	if (self->at == NEXT) {
		int what = owner_does[self->reg[TASK]];
		if (!what)
			return false;
		self->reg[TASK]++;
		self->reg[B] = self->reg[T] = self->reg[FOUND] = 0;
		go(self, what == PUSH ? PUSH_ELEMENT : TAKE_LOOK);
		return true;
	}
	return self->at <= PUSH_BOTTOM ? step_push(state, self) : step_take(state, self, mistake);
}

enum { ATTACH, FENCE, STEAL_TOP, STEAL_BOTTOM, STEAL_GET, STEAL_CLAIM, DETACH };

/* Locked. */
static bool count_thief(struct model_state *state, const struct model_thread *self, int by)
{
	if (!model_drained(self))
		return false;
	state->memory[THIEVES] = (int8_t)(state->memory[THIEVES] + by);
	return true;
}

static bool step_attach(struct model_state *state, struct model_thread *self, int mistake)
{
	bool fence = (self->at == FENCE) != (mistake == ATTACH_AFTER_FENCE);
	if (self->at == ATTACH && self->reg[TASK] == TRIES)
		return false;
	if (fence && mistake != ATTACH_NO_FENCE && !model_drained(state->thread))
		return false;
	if (!fence && !count_thief(state, self, 1))
		return false;
	self->reg[TASK] = (int8_t)(self->reg[TASK] + (self->at == ATTACH));
	go(self, self->at == ATTACH ? FENCE : STEAL_TOP);
	return true;
}

static bool step_steal_claim(struct model_state *state, struct model_thread *self, int mistake)
{
	if (mistake == STEAL_NO_CAS) {
		model_store(self, TOP, self->reg[T] + 1);
		have(state, self->reg[FOUND]);
	} else if (!model_drained(self)) {
		return false;
	} else if (cas_top(state, self->reg[T])) {
		have(state, self->reg[FOUND]);
	}
	go(self, mistake == DETACH_EARLY ? ATTACH : DETACH);
	return true;
}

static bool step_thief(struct model_state *state, struct model_thread *self, int mistake)
{
	switch (self->at) {
	case ATTACH:
	case FENCE:
		return step_attach(state, self, mistake);
	case STEAL_TOP:
		if (mistake == DETACH_EARLY && !count_thief(state, self, -1))
			return false;
		self->reg[T] = model_load(state, self, TOP);
		go(self, STEAL_BOTTOM);
		return true;
	case STEAL_BOTTOM:
		go(self, self->reg[T] < model_load(state, self, BOTTOM) ? STEAL_GET
			 : mistake == DETACH_EARLY                      ? ATTACH
									: DETACH);
		return true;
	case STEAL_GET:
		self->reg[FOUND] = model_load(state, self, ELEMENT_0 + self->reg[T]);
		go(self, STEAL_CLAIM);
		return true;
	case STEAL_CLAIM:
		return step_steal_claim(state, self, mistake);
	default:
		if (!count_thief(state, self, -1))
			return false;
		self->reg[T] = self->reg[FOUND] = 0;
		go(self, ATTACH);
		return true;
	}
}

static bool step(struct model_state *state, struct model_thread *self, int mistake)
{
	return self == state->thread ? step_owner(state, self, mistake)
				     : step_thief(state, self, mistake);
}

/* Nothing taken twice, or that was never there; in the end nothing lost. */
static bool lost_or_doubled(const struct model_state *state, bool ended)
{
	int8_t count[MODEL_VARIABLES];
	memcpy(count, state->taken, sizeof(count));
	if (ended)
		for (int i = state->memory[TOP]; i < state->memory[BOTTOM]; i++)
			count[state->memory[ELEMENT_0 + i]]++;
	bool broken = count[0] != 0;
	for (int element = 1; element <= ELEMENTS; element++)
		broken = broken || count[element] > 1 || (ended && count[element] != 1);
	return broken;
}

static struct model_search explore(int mistake)
{
	struct model model = {.threads = 3,
		.step = step,
		.broken = lost_or_doubled,
		.mistake = mistake,
		.first = mistake > FULL_FENCES};
	struct model_search search = model_explore(&model);
	print_message("mistake %d: %zu states, %zu ends, %zu broken\n", mistake, search.states,
		search.ends, search.broken);
	return search;
}

static void every_element_is_taken_once(void **state)
{
	(void)state;
	for (int mistake = NO_MISTAKE; mistake <= FULL_FENCES; mistake++) {
		struct model_search search = explore(mistake);
		assert_true(search.ends > 0);
		assert_int_equal(search.broken, 0);
	}
}

static void every_step_is_needed(void **state)
{
	(void)state;
	for (int mistake = TAKE_NO_EXCHANGE; mistake < MISTAKES; mistake++)
		assert_true(explore(mistake).broken > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_element_is_taken_once),
		cmocka_unit_test(every_step_is_needed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
