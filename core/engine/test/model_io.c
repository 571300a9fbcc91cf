/* SPDX-License-Identifier: MIT */
/*
 * However a submitted operation, its deadline and a close meet, its task returns once, after the
 * kernel has done with its buffer; a descriptor that an accept made is the caller's; the descriptor
 * is closed only when its operation has been left; and each step of the protocol is needed for
 * that.
 *
 * The threads are the worker that owns the ring and runs the task at first; another one, where the
 * timer ends the wait and the task goes on; the one that closes; and the kernel, where a peer may
 * complete the operation at any time. The steps are those of engine/io.c and of the sleep in
 * engine/idle.c. A section under the entry's lock is one step; the flags of idleness are plain
 * stores and loads.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#define MODEL_THREADS 4
#include "core/engine/test/model.h"

#include <cmocka.h>

/* In memory: what is not under the lock. */
enum { WORD, INBOX, IDLE, WAKE };
/* The entry, under its lock; the kernel's part of the operation; and what came of it all. */
enum { KERNEL, FLAGS, WAITER, CLOSER, RESULT, RETURNED, CLOSED, DOUBLE };

enum { CLOSING = 1, LEFT = 2, SUBMITTED = 4, CANCEL = 8, CAME = 16, MADE = 32 };
enum { WORD_FIRST = 1, WORD_ENDED, WORD_SECOND, WORD_ENDED_AGAIN };
enum { KERNEL_HAS = 1, KERNEL_DONE, KERNEL_CANCELLED, KERNEL_REAPED };
enum { GOT_DESCRIPTOR = 1, GOT_CANCELLED, GOT_TIMEOUT };

enum {
	NO_MISTAKE,
	SUBMITS_INTO_CLOSING,
	WAIT_IGNORES_WHAT_CAME,
	RETURNS_AT_DEADLINE,
	DEADLINE_BEATS_RESULT,
	NO_CANCEL_AT_DEADLINE,
	OWNER_LEFT_ASLEEP,
	OWNER_NO_FENCE,
	OWNER_NO_RECHECK,
	ASKS_TWICE,
	CLOSES_AT_ONCE,
	LEAVES_SILENTLY,
	MISTAKES
};

static struct {
	bool completes, expires, closes;
} scene;

static void go(struct model_thread *self, int at)
{
	self->at = (int8_t)at;
}

/* Tests and changes of the entry are made in one step, with the queue of stores empty. */
static bool has(const struct model_state *state, int flag)
{
	return state->taken[FLAGS] & flag;
}

static void set(struct model_state *state, int flag, bool on)
{
	int flags = state->taken[FLAGS] & ~flag;
	state->taken[FLAGS] = (int8_t)(on ? flags | flag : flags);
}

/* ---- the task, wherever it runs -------------------------------------------------------------- */

/* Takes the result and leaves the side; whoever closes is told. */
static void finish(struct model_state *state, int mistake, bool expired)
{
	bool done = state->taken[RESULT] == KERNEL_DONE;
	int got = done ? GOT_DESCRIPTOR : expired ? GOT_TIMEOUT : GOT_CANCELLED;
	if (mistake == DEADLINE_BEATS_RESULT && expired)
		got = GOT_TIMEOUT;
	set(state, SUBMITTED | CAME, false);
	state->taken[RETURNED] = (int8_t)got;
	set(state, LEFT, true);
	if (state->taken[CLOSER] == 1 && mistake != LEAVES_SILENTLY)
		state->taken[CLOSER] = 2;
}

/* Has a side cancelled: pushes it for the owner, unless it is in that list. */
static void push(struct model_state *state, struct model_thread *self, int mistake, int next,
	int nothing)
{
	bool pushed = mistake == ASKS_TWICE || !state->memory[INBOX];
	if (pushed && state->memory[INBOX])
		state->taken[DOUBLE] = 1;
	state->memory[INBOX] = 1;
	go(self, pushed ? next : nothing);
}

static void poke(struct model_state *state, struct model_thread *self, int mistake, int next)
{
	if (model_load(state, self, IDLE) && mistake != OWNER_LEFT_ASLEEP)
		model_store(self, WAKE, 1);
	go(self, next);
}

/* ---- the owner ------------------------------------------------------------------------------- */

enum { SUBMIT, BEGIN, WAIT, LOOK, CANCEL_SIDES, COLLECT, ANNOUNCE, FENCE, RECHECK, SLEEP, RUN };

/* The kernel's event: ends the wait, if it is still on. True: the task goes on here. */
static bool event(struct model_state *state)
{
	int8_t ticket = state->taken[WAITER];
	bool mine = ticket && state->memory[WORD] == ticket;
	state->taken[RESULT] = state->taken[KERNEL];
	state->taken[KERNEL] = KERNEL_REAPED;
	state->taken[WAITER] = 0;
	set(state, CAME, true);
	if (mine)
		state->memory[WORD]++;
	return mine && ticket == WORD_FIRST;
}

static void step_submit(struct model_state *state, struct model_thread *self, int mistake)
{
	switch (self->at) {
	case SUBMIT:
		if (has(state, CLOSING) && mistake != SUBMITS_INTO_CLOSING) {
			finish(state, NO_MISTAKE, false);
			go(self, LOOK);
			return;
		}
		set(state, SUBMITTED, true);
		set(state, CANCEL, false);
		break;
	case BEGIN:
		state->taken[KERNEL] = KERNEL_HAS;
		break;
	default:
		state->taken[WAITER] = state->memory[WORD] = WORD_FIRST;
	}
	go(self, self->at + 1);
}

static bool is_complete(const struct model_state *state)
{
	return state->taken[KERNEL] == KERNEL_DONE || state->taken[KERNEL] == KERNEL_CANCELLED;
}

static bool step_sleep(struct model_state *state, struct model_thread *self, int mistake)
{
	switch (self->at) {
	case ANNOUNCE:
		model_store(self, IDLE, 1);
		break;
	case FENCE:
		if (mistake != OWNER_NO_FENCE && !model_drained(self))
			return false;
		break;
	case RECHECK:
		if (mistake != OWNER_NO_RECHECK && model_load(state, self, INBOX)) {
			model_store(self, IDLE, 0);
			go(self, LOOK);
			return true;
		}
		break;
	default:
		if (!model_drained(self) || (!state->memory[WAKE] && !is_complete(state)))
			return false;
		state->memory[WAKE] = state->memory[IDLE] = 0;
		go(self, LOOK);
		return true;
	}
	go(self, self->at + 1);
	return true;
}

static bool step_owner(struct model_state *state, struct model_thread *self, int mistake)
{
	bool ran;
	if (self->at >= ANNOUNCE && self->at <= SLEEP)
		return step_sleep(state, self, mistake);
	if (!model_drained(self))
		return false;
	switch (self->at) {
	case LOOK:
		go(self, state->memory[INBOX] ? CANCEL_SIDES : COLLECT);
		state->memory[INBOX] = 0;
		return true;
	case CANCEL_SIDES:
		if (has(state, SUBMITTED) && has(state, CANCEL) &&
			state->taken[KERNEL] == KERNEL_HAS)
			state->taken[KERNEL] = KERNEL_CANCELLED;
		set(state, CANCEL, false);
		go(self, COLLECT);
		return true;
	case COLLECT:
		ran = is_complete(state) && event(state);
		go(self, ran ? RUN : ANNOUNCE);
		return true;
	case RUN:
		finish(state, mistake, false);
		go(self, LOOK);
		return true;
	default:
		step_submit(state, self, mistake);
		return true;
	}
}

/* ---- where the timer ends the wait ----------------------------------------------------------- */

enum { FIRE, WITHDRAW, ASK_CANCEL, PUSH, POKE, WAIT_AGAIN, AGAIN, EXPIRED };

static void step_expired(struct model_state *state, struct model_thread *self, int mistake)
{
	switch (self->at) {
	case WITHDRAW:
		state->taken[WAITER] = 0;
		if (has(state, CAME) || mistake == RETURNS_AT_DEADLINE) {
			finish(state, mistake, true);
			go(self, EXPIRED);
			return;
		}
		break;
	case ASK_CANCEL:
		set(state, CANCEL, has(state, SUBMITTED));
		if (mistake == NO_CANCEL_AT_DEADLINE) {
			go(self, WAIT_AGAIN);
			return;
		}
		break;
	case PUSH:
		push(state, self, mistake, POKE, WAIT_AGAIN);
		return;
	case POKE:
		poke(state, self, mistake, WAIT_AGAIN);
		return;
	default: /* WAIT_AGAIN */
		if (has(state, CAME) && mistake != WAIT_IGNORES_WHAT_CAME) {
			finish(state, mistake, true);
			go(self, EXPIRED);
			return;
		}
		state->taken[WAITER] = state->memory[WORD] = WORD_SECOND;
	}
	go(self, self->at + 1);
}

static bool step_timer(struct model_state *state, struct model_thread *self, int mistake)
{
	if (!scene.expires || self->at == EXPIRED || !model_drained(self))
		return false;
	if (self->at == FIRE) {
		if (state->memory[WORD] != WORD_FIRST)
			return false;
		state->memory[WORD] = WORD_ENDED;
		go(self, WITHDRAW);
		return true;
	}
	if (self->at == AGAIN) {
		if (state->memory[WORD] != WORD_ENDED_AGAIN)
			return false;
		finish(state, mistake, true);
		go(self, EXPIRED);
		return true;
	}
	step_expired(state, self, mistake);
	return true;
}

/* ---- close, and the kernel ------------------------------------------------------------------- */

enum { MARK, INTERRUPT, CLOSE_PUSH, CLOSE_POKE, AWAIT, AWAITED, CLOSE, CLOSE_DONE };

static bool step_closer(struct model_state *state, struct model_thread *self, int mistake)
{
	if (!scene.closes || self->at == CLOSE_DONE || !model_drained(self))
		return false;
	switch (self->at) {
	case MARK:
		set(state, CLOSING, true);
		break;
	case INTERRUPT:
		set(state, CANCEL, has(state, SUBMITTED));
		go(self, has(state, SUBMITTED) ? CLOSE_PUSH : AWAIT);
		return true;
	case CLOSE_PUSH:
		push(state, self, mistake, CLOSE_POKE, AWAIT);
		return true;
	case CLOSE_POKE:
		poke(state, self, mistake, AWAIT);
		return true;
	case AWAIT:
		state->taken[CLOSER] = !has(state, LEFT) && mistake != CLOSES_AT_ONCE;
		go(self, state->taken[CLOSER] ? AWAITED : CLOSE);
		return true;
	case AWAITED:
		if (state->taken[CLOSER] != 2)
			return false;
		break;
	default:
		state->taken[CLOSED] = 1;
	}
	go(self, self->at + 1);
	return true;
}

/* A connection comes, and the accept makes a descriptor of it. */
static bool step_kernel(struct model_state *state)
{
	if (!scene.completes || state->taken[KERNEL] != KERNEL_HAS)
		return false;
	state->taken[KERNEL] = KERNEL_DONE;
	set(state, MADE, true);
	return true;
}

static bool step(struct model_state *state, struct model_thread *self, int mistake)
{
	switch (self - state->thread) {
	case 0:
		return step_owner(state, self, mistake);
	case 1:
		return step_timer(state, self, mistake);
	case 2:
		return step_closer(state, self, mistake);
	default:
		return step_kernel(state);
	}
}

/* ---- what must hold -------------------------------------------------------------------------- */

static bool broken(const struct model_state *state, bool ended)
{
	bool with_kernel = state->taken[KERNEL] && state->taken[KERNEL] != KERNEL_REAPED;
	if (with_kernel && (state->taken[RETURNED] || state->taken[CLOSED]))
		return true;
	if (state->taken[DOUBLE] || (state->taken[CLOSED] && !has(state, LEFT)))
		return true;
	if (!ended)
		return false;
	return !state->taken[RETURNED] || (scene.closes && !state->taken[CLOSED]) ||
	       (has(state, MADE) && state->taken[RETURNED] != GOT_DESCRIPTOR);
}

/* In every scene in which something ends the operation. */
static size_t explore(int mistake)
{
	struct model model = {.threads = 4,
		.step = step,
		.broken = broken,
		.mistake = mistake,
		.first = mistake != NO_MISTAKE};
	size_t sum = 0;
	for (int i = 1; i < 8; i++) {
		scene.completes = i & 1;
		scene.expires = i & 2;
		scene.closes = i & 4;
		struct model_search search = model_explore(&model);
		assert_true(search.ends > 0);
		print_message("mistake %d, scene %d: %zu states, %zu ends, %zu broken\n", mistake,
			i, search.states, search.ends, search.broken);
		sum += search.broken;
	}
	return sum;
}

static void every_operation_ends_well(void **state)
{
	(void)state;
	assert_int_equal(explore(NO_MISTAKE), 0);
}

static void every_step_is_needed(void **state)
{
	(void)state;
	for (int mistake = SUBMITS_INTO_CLOSING; mistake < MISTAKES; mistake++)
		assert_true(explore(mistake) > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_operation_ends_well),
		cmocka_unit_test(every_step_is_needed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
