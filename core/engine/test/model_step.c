/* SPDX-License-Identifier: MIT */
/*
 * A step task that is claimed before its step has returned is called again once, and not before;
 * and each rule of that protocol is needed: without any one of them an order exists that calls it
 * early, twice or never, or spoils what it keeps.
 *
 * The step registers a wait, gives its ticket to a waker and to a timer, writes to its frame and
 * returns. Then its worker commits the wait (step.c, shunt_hook_step_leave). Waker and timer each
 * claim by one compare-and-swap. Whoever makes the task ready calls its next step at once, which is
 * the earliest that any worker could.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include "core/engine/test/model.h"

#include <cmocka.h>

enum { WORD, TICKET, TIMER, FRAME };
enum { RUNNABLE, BLOCKING, BLOCKED, CLAIMED }; /* of the word; CLAIMED is WOKEN or LATE */
enum { CALLS, SPOILT }; /* the account: next steps, and those called wrongly */
enum { OWNER };

enum {
	NO_MISTAKE,
	READY_AT_ONCE,   /* a claim of a step that has not returned makes it ready */
	COMMITS_EARLY,   /* the wait is committed where it is registered */
	COMMITS_BLINDLY, /* without a look at the word */
	COMMITS_PLAINLY, /* a load and a store, no compare-and-swap */
	TOUCHES_LATE,    /* the worker writes to the task behind the commit */
	GIVES_EARLY,     /* the ticket, before the wait is prepared */
	CLAIMS_PLAINLY,
	MISTAKES,
};

enum { PREPARE, GIVE, ARM, WRITE, COMMIT, COMMIT_STORE, TOUCH, CALL, OVER };

/* The next step: has the last one returned, and is all there that it wrote? */
static bool call(struct model_state *state, struct model_thread *self)
{
	state->taken[CALLS]++;
	if (state->thread[OWNER].at < COMMIT || model_load(state, self, FRAME) != 1)
		state->taken[SPOILT] = 1;
	model_store(self, FRAME, 2);
	self->at = OVER;
	return true;
}

/* Locked: the word changes at once. */
static bool commit(struct model_state *state, struct model_thread *self, int mistake)
{
	if (!model_drained(self))
		return false;
	self->reg[0] = state->memory[WORD];
	if (mistake == COMMITS_PLAINLY) {
		self->at = COMMIT_STORE;
		return true;
	}
	bool claimed = self->reg[0] == CLAIMED && mistake != COMMITS_BLINDLY;
	if (mistake != COMMITS_EARLY)
		state->memory[WORD] = claimed ? RUNNABLE : BLOCKED;
	self->at = claimed ? CALL : mistake == TOUCHES_LATE ? TOUCH : OVER;
	return true;
}

static bool step_owner(struct model_state *state, struct model_thread *self, int mistake)
{
	switch (self->at) {
	case PREPARE:
		if (!model_drained(self))
			return false;
		if (mistake == GIVES_EARLY && !model_load(state, self, TICKET)) {
			model_store(self, TICKET, 1);
			return true;
		}
		state->memory[WORD] = mistake == COMMITS_EARLY ? BLOCKED : BLOCKING;
		self->at = GIVE;
		return true;
	case GIVE:
		model_store(self, TICKET, 1);
		self->at = ARM;
		return true;
	case ARM:
		if (mistake != GIVES_EARLY) /* which one claim is to show */
			model_store(self, TIMER, 1);
		self->at = WRITE;
		return true;
	case WRITE:
		model_store(self, FRAME, 1);
		self->at = COMMIT;
		return true;
	case COMMIT:
		return commit(state, self, mistake);
	case COMMIT_STORE:
		model_store(self, WORD, self->reg[0] == CLAIMED ? RUNNABLE : BLOCKED);
		self->at = self->reg[0] == CLAIMED ? CALL : OVER;
		return true;
	case TOUCH:
		model_store(self, FRAME, 1);
		self->at = OVER;
		return true;
	case CALL:
		return call(state, self);
	default:
		return false;
	}
}

enum { AWAIT, CLAIM_STORE };

/* What a claim makes of the word that it found, and what its claimer does next. */
static int claimed(struct model_thread *self, int word, int mistake)
{
	bool ready = word == BLOCKED || (word == BLOCKING && mistake == READY_AT_ONCE);
	self->at = ready ? CALL : OVER;
	return ready ? RUNNABLE : word == BLOCKING ? CLAIMED : word;
}

static bool step_claimer(struct model_state *state, struct model_thread *self, int mistake,
	int given)
{
	switch (self->at) {
	case AWAIT:
		if (!model_load(state, self, given) || !model_drained(self))
			return false;
		self->reg[0] = state->memory[WORD];
		if (mistake == CLAIMS_PLAINLY)
			self->at = CLAIM_STORE;
		else
			state->memory[WORD] = (int8_t)claimed(self, self->reg[0], mistake);
		return true;
	case CLAIM_STORE:
		model_store(self, WORD, claimed(self, self->reg[0], mistake));
		return true;
	case CALL:
		return call(state, self);
	default:
		return false;
	}
}

static bool step(struct model_state *state, struct model_thread *self, int mistake)
{
	int index = (int)(self - state->thread);
	if (index == OWNER)
		return step_owner(state, self, mistake);
	return step_claimer(state, self, mistake, index == 1 ? TICKET : TIMER);
}

static bool called_wrongly(const struct model_state *state, bool ended)
{
	return state->taken[SPOILT] || state->taken[CALLS] > 1 ||
	       (ended && (state->taken[CALLS] != 1 || state->memory[FRAME] != 2));
}

static struct model_search explore(int mistake)
{
	struct model model = {.threads = 3,
		.step = step,
		.broken = called_wrongly,
		.mistake = mistake,
		.first = mistake != NO_MISTAKE};
	struct model_search search = model_explore(&model);
	print_message("mistake %d: %zu states, %zu ends, %zu wrong\n", mistake, search.states,
		search.ends, search.broken);
	return search;
}

static void it_is_called_again_once(void **state)
{
	(void)state;
	struct model_search search = explore(NO_MISTAKE);
	assert_true(search.ends > 0);
	assert_int_equal(search.broken, 0);
}

static void every_rule_is_needed(void **state)
{
	(void)state;
	for (int mistake = NO_MISTAKE + 1; mistake < MISTAKES; mistake++)
		assert_true(explore(mistake).broken > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_is_called_again_once),
		cmocka_unit_test(every_rule_is_needed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
