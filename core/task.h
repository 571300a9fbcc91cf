/* SPDX-License-Identifier: MIT */
/*
 * The task descriptor and its one word.
 *
 * Every wait in shunt is one protocol on one 64-bit word {epoch, generation, permit, state}:
 *
 *   - A task that will wait makes a new epoch and says so (prepare), tells whoever is to end the
 *     wait the *ticket* {epoch, generation}, and then blocks.
 *   - Whoever ends it claims: compare-and-swap from (blocked, ticket). Of a waker and a timer
 *     exactly one wins; the other sees another epoch or state and does nothing. Descriptors are
 *     type-stable, so a late claim is harmless for ever. Generations are never reused; epochs come
 *     round after 2^32 waits of one task, and only a cancelled timer keeps a ticket for that long:
 *     it would have to come due during the one wait in four milliards that has the same.
 *   - With many workers a task is claimable before its registers are saved (PARKING, BLOCKING). A
 *     claim then only leaves word (WOKEN, LATE); the code that runs after the switch, on the next
 *     stack (commit), finds it and makes the task ready itself. So no task is ever resumed twice.
 *   - With one worker (`many` false) nothing else touches the word: plain loads and stores.
 *
 * The user's permit is a bit of its own, taken only by park: a stale shunt_wake can end a park
 * spuriously, but no wait of a sync object, a join or a sleep.
 *
 *   FREE ─spawn→ RUNNABLE ─prepare→ PARKING|BLOCKING ─commit→ PARKED|BLOCKED ─claim→ RUNNABLE
 *                RUNNABLE ─end→ ENDED ─joined→ FREE (next generation)
 */
#ifndef SHUNT_CORE_TASK_H
#define SHUNT_CORE_TASK_H

#include "core/sched.h"

#include <errno.h>
#include <stdatomic.h>

#ifdef SHUNT_PLUGIN_BUILD /* marks a plug-in that knows what is below (core/plugin.h) */
const char shunt_plugin_locked __attribute__((weak, visibility("hidden"))) = 1;
#endif

struct shunt_stack;
struct shunt_step;

enum shunt_task_state {
	SHUNT_TASK_FREE,
	SHUNT_TASK_RUNNABLE, /* running or ready */
	SHUNT_TASK_PARKING,  /* in a park that a wake may end; registers not saved yet */
	SHUNT_TASK_PARKED,
	SHUNT_TASK_BLOCKING, /* in a wait that only its ticket ends; registers not saved yet */
	SHUNT_TASK_BLOCKED,
	SHUNT_TASK_WOKEN, /* claimed while PARKING or BLOCKING */
	SHUNT_TASK_LATE,  /* the same, by its timer */
	SHUNT_TASK_ENDED,
};

#define SHUNT_WORD_STATE      UINT64_C(0x0000000f)
#define SHUNT_WORD_PERMIT     UINT64_C(0x00000010)
#define SHUNT_WORD_GENERATION UINT64_C(0xffffffe0)
#define SHUNT_WORD_EPOCH      (UINT64_MAX << 32)
#define SHUNT_WORD_TICKET     (SHUNT_WORD_EPOCH | SHUNT_WORD_GENERATION)
#define SHUNT_GENERATION_ONE  UINT64_C(0x20)
/* Of a descriptor's first task. No task has 0: a ticket is never 0, and {task, 0} is not a
 * handle. */
#define SHUNT_GENERATION_FIRST SHUNT_GENERATION_ONE
#define SHUNT_EPOCH_ONE        (UINT64_C(1) << 32)

/* What a step task does (step.h). Owned by the worker that runs it. */
enum {
	SHUNT_STEP_RUNS = 1, /* ready, or in a step */
	SHUNT_STEP_POLLS,    /* in a `_poll` call, which may register a wait */
	SHUNT_STEP_WAITS,    /* has registered one, and must return SHUNT_STEP_WAIT */
	SHUNT_STEP_BACK,     /* has returned it; the same call comes next, and ends the wait */
};

/* What a task waits for, for reports; a sleep is what only its timer ends. */
enum shunt_wait_what {
	SHUNT_WAIT_SOMETHING,
	SHUNT_WAIT_SLEEP,
	SHUNT_WAIT_JOIN,
	SHUNT_WAIT_MUTEX,
	SHUNT_WAIT_SEMAPHORE,
	SHUNT_WAIT_CONDITION,
	SHUNT_WAIT_SEND,
	SHUNT_WAIT_RECEIVE,
	SHUNT_WAIT_GROUP,
	SHUNT_WAIT_CLOSE,
	SHUNT_WAIT_IO, /* and the SHUNT_IO_ code of the operation (io_op.h) */
};
/* "a wait", "sleep", "channel send", … */
const char *shunt_wait_name(enum shunt_wait_what what);

/*
 * The joiner: the task that joins, with TIMED added if it may give up; or one of the others beside
 * the generation that it belongs to, so that an old handle's joiner finds another value. DETACHED
 * also stands for a task that somebody has taken. A descriptor's address leaves these bits free.
 * NONE and ENDED may name a host, a worker's index plus one above the generation: whose word it is
 * (join.c).
 */
#define SHUNT_JOINER_NONE     ((uintptr_t)1)
#define SHUNT_JOINER_DETACHED ((uintptr_t)2)
#define SHUNT_JOINER_ENDED    ((uintptr_t)3)
#define SHUNT_JOINER_TIMED    ((uintptr_t)4)
#define SHUNT_JOINER_KIND     ((uintptr_t)7)
#define SHUNT_JOINER_HOST     (UINTPTR_MAX << 32)
#define SHUNT_JOINER_HOST_ONE ((uintptr_t)1 << 32)

/*
 * Two and a half cache lines, because a million suspended tasks are a million of these. What is
 * never needed together shares a place, and says so. Every other one begins in the middle of a
 * line, so each half line holds what is touched together.
 */
struct shunt_task {
	/* Every switch touches these. Owned by the worker that runs or holds it. */
	_Alignas(32) struct shunt_task *next; /* in a run queue, an inbox or a free list */
	void *sp;                             /* what a swap loads; NULL: has not run yet */
	uintptr_t value; /* what its next resumer leaves: 0, or -ETIMEDOUT as a wait's result */
	int saved_errno;
	uint8_t wait_what; /* a SHUNT_WAIT_ */
	uint8_t step;      /* a SHUNT_STEP_ of those above; 0: it has a stack */
	bool timed;        /* it armed a timer that has not fired */
	bool listed;       /* it is in a sync object's list, whose lock guards this */

	/* Every wait touches these. */
	_Atomic uint64_t word; /* [task:word] */
	union {
		struct shunt_stack *stack; /* NULL before the first run */
		struct shunt_step *frame;  /* of a step task, whose sp stays NULL */
	};
	struct shunt_worker *worker; /* on which it last gave way, and armed its timer */
	uintptr_t joiner;            /* [task:joiner] see SHUNT_JOINER_ */

	/* Its beginning and its end. */
	struct shunt_sched *sched; /* constant */
	uint64_t id;
	const char *name;
	union {
		shunt_task_fn *fn;    /* until it is called */
		uint64_t wait_ticket; /* of the wait on a sync object or the join in progress */
		void *result;         /* once it has returned */
	};

	/* Its wait: a task waits for one thing at a time. Guarded by the object's lock. */
	union {
		void *arg; /* until fn is called */
		struct shunt_task *wait_next;
	};
	struct shunt_task *wait_prev;
	void *wait_value; /* handed over with the wake */
	int wait_result;  /* of a wait on a sync object that can end in more than one way */
	int join_lock;    /* [waiters:lock] of a joiner that may give up */

	union {
		void **join_result; /* while it joins: where it wants the result */
		int64_t ready_ns; /* while it is ready, under a probe: since when; 0: not sampled */
	};
	int64_t key; /* the policy's own: made of the attributes at the spawn, then changed by it */
	struct shunt_task *injected_next;
	_Atomic uint32_t injected; /* [task:injected] in an inbox already */
	uint16_t home;             /* index of its worker where tasks stay, whose inbox it has */
	uint16_t polled;           /* of a step task: what its last poll was about (poll.c) */
};

_Static_assert(sizeof(struct shunt_task) == 160, "two and a half cache lines");

/* ---- memory orders --------------------------------------------------------------------------- */

static inline uint64_t shunt_word_load(const struct shunt_task *task, bool many)
{
	/* Acquire pairs with [task:word] release of whoever changed it last. */
	return atomic_load_explicit(&task->word,
		many ? memory_order_acquire : memory_order_relaxed);
}

static inline void shunt_word_store(struct shunt_task *task, uint64_t word)
{
	/* Relaxed: there is one worker; or the task has ended, and who still looks at its word by
	 * an old handle does nothing with what it finds. */
	atomic_store_explicit(&task->word, word, memory_order_relaxed);
}

static inline bool shunt_word_cas(struct shunt_task *task, uint64_t *expected, uint64_t desired)
{
	/* Acquire-release pairs with itself [task:word]: a claim sees all that the task did before
	 * it blocked, and the task sees all that its claimer did before the claim. */
	return atomic_compare_exchange_weak_explicit(&task->word, expected, desired,
		memory_order_acq_rel, memory_order_acquire);
}

static inline uint64_t shunt_word_state(uint64_t word)
{
	return word & SHUNT_WORD_STATE;
}

static inline uint64_t shunt_word_with_state(uint64_t word, enum shunt_task_state state)
{
	return (word & ~SHUNT_WORD_STATE) | (uint64_t)state;
}

/* ---- the protocol ----------------------------------------------------------------------------*/

/* A new wait of the running task. Returns its ticket. Context: the task itself. */
static inline uint64_t shunt_task_prepare(struct shunt_task *task, bool many)
{
	uint64_t word = shunt_word_load(task, many);
	if (!many) {
		word += SHUNT_EPOCH_ONE + (SHUNT_TASK_BLOCKED - SHUNT_TASK_RUNNABLE);
		shunt_word_store(task, word);
		return word & SHUNT_WORD_TICKET;
	}
	uint64_t next;
	do
		next = word + SHUNT_EPOCH_ONE + (SHUNT_TASK_BLOCKING - SHUNT_TASK_RUNNABLE);
	while (!shunt_word_cas(task, &word, next));
	return next & SHUNT_WORD_TICKET;
}

/* The same for a park. False: there was a permit, now taken; do not block. */
static inline bool shunt_task_prepare_park(struct shunt_task *task, bool many)
{
	uint64_t word = shunt_word_load(task, many);
	if (!many) {
		bool permit = word & SHUNT_WORD_PERMIT;
		shunt_word_store(task, permit ? word & ~SHUNT_WORD_PERMIT
					      : word + SHUNT_EPOCH_ONE +
							(SHUNT_TASK_PARKED - SHUNT_TASK_RUNNABLE));
		return !permit;
	}
	for (;;) {
		uint64_t next = word & SHUNT_WORD_PERMIT
					? word & ~SHUNT_WORD_PERMIT
					: word + SHUNT_EPOCH_ONE +
						  (SHUNT_TASK_PARKING - SHUNT_TASK_RUNNABLE);
		if (shunt_word_cas(task, &word, next))
			return shunt_word_state(next) == SHUNT_TASK_PARKING;
	}
}

/* Takes back a wait that was prepared but will not block (its timer could not be armed). False:
 * it was claimed meanwhile (many workers); the wait is over, and *value holds its result. */
static inline bool shunt_task_unprepare(struct shunt_task *task, bool many, int *value)
{
	uint64_t word = shunt_word_load(task, many);
	for (;;) {
		uint64_t state = shunt_word_state(word);
		uint64_t next = shunt_word_with_state(word, SHUNT_TASK_RUNNABLE);
		if (!many)
			shunt_word_store(task, next);
		else if (!shunt_word_cas(task, &word, next))
			continue;
		*value = state == SHUNT_TASK_LATE ? -ETIMEDOUT : 0;
		return state != SHUNT_TASK_WOKEN && state != SHUNT_TASK_LATE;
	}
}

enum shunt_claim {
	SHUNT_CLAIM_STALE,  /* not in that wait any more; nothing done */
	SHUNT_CLAIM_MINE,   /* claimed: the caller must make the task ready */
	SHUNT_CLAIM_LEFT,   /* claimed before its registers were saved: commit will make it ready */
	SHUNT_CLAIM_PERMIT, /* (wake only) not parked: the permit was left */
};

/* Ends the wait that `ticket` names, as its waker (value 0) or its timer (-ETIMEDOUT). */
static inline enum shunt_claim shunt_task_claim(struct shunt_task *task, uint64_t ticket, int value,
	bool many)
{
	uint64_t word = shunt_word_load(task, many);
	for (;;) {
		uint64_t state = shunt_word_state(word);
		if ((word & SHUNT_WORD_TICKET) != ticket || state < SHUNT_TASK_PARKING ||
			state > SHUNT_TASK_BLOCKED)
			return SHUNT_CLAIM_STALE;
		if (!many) {
			shunt_word_store(task, shunt_word_with_state(word, SHUNT_TASK_RUNNABLE));
			task->value = (uintptr_t)(intptr_t)value;
			return SHUNT_CLAIM_MINE;
		}
		bool saved = state == SHUNT_TASK_PARKED || state == SHUNT_TASK_BLOCKED;
		uint64_t next = shunt_word_with_state(word, saved   ? SHUNT_TASK_RUNNABLE
							    : value ? SHUNT_TASK_LATE
								    : SHUNT_TASK_WOKEN);
		if (!shunt_word_cas(task, &word, next))
			continue;
		if (saved)
			task->value = (uintptr_t)(intptr_t)value;
		return saved ? SHUNT_CLAIM_MINE : SHUNT_CLAIM_LEFT;
	}
}

/* shunt_wake's claim: ends a park of that generation, else leaves the permit. */
static inline enum shunt_claim shunt_task_claim_park(struct shunt_task *task, uint64_t generation,
	bool many)
{
	uint64_t word = shunt_word_load(task, many);
	for (;;) {
		uint64_t state = shunt_word_state(word);
		if ((word & SHUNT_WORD_GENERATION) != generation || state == SHUNT_TASK_FREE ||
			state == SHUNT_TASK_ENDED)
			return SHUNT_CLAIM_STALE;
		uint64_t next = state == SHUNT_TASK_PARKED
					? shunt_word_with_state(word, SHUNT_TASK_RUNNABLE)
				: state == SHUNT_TASK_PARKING
					? shunt_word_with_state(word, SHUNT_TASK_WOKEN)
					: word | SHUNT_WORD_PERMIT;
		if (!many)
			shunt_word_store(task, next);
		else if (!shunt_word_cas(task, &word, next))
			continue;
		if (state == SHUNT_TASK_PARKED)
			task->value = 0;
		return state == SHUNT_TASK_PARKED    ? SHUNT_CLAIM_MINE
		       : state == SHUNT_TASK_PARKING ? SHUNT_CLAIM_LEFT
						     : SHUNT_CLAIM_PERMIT;
	}
}

/* After the registers are saved (many workers only): true: the task was claimed meanwhile and is
 * now RUNNABLE with its value set; the caller must make it ready. */
static inline bool shunt_task_commit(struct shunt_task *task)
{
	uint64_t word = shunt_word_load(task, true);
	for (;;) {
		uint64_t state = shunt_word_state(word);
		uint64_t next = state == SHUNT_TASK_PARKING    ? SHUNT_TASK_PARKED
				: state == SHUNT_TASK_BLOCKING ? SHUNT_TASK_BLOCKED
							       : SHUNT_TASK_RUNNABLE;
		if (!shunt_word_cas(task, &word, shunt_word_with_state(word, next)))
			continue;
		if (next != SHUNT_TASK_RUNNABLE)
			return false;
		task->value = state == SHUNT_TASK_LATE ? (uintptr_t)(intptr_t)-ETIMEDOUT : 0;
		return true;
	}
}

/* What a wait that its timer has ended comes to: a sleep is not cut short by it. Every wait with a
 * deadline says what it is (wait_what). */
static inline int shunt_task_timeout(const struct shunt_task *task)
{
	return task->wait_what == SHUNT_WAIT_SLEEP ? 0 : -ETIMEDOUT;
}

/* The stack that a task has; NULL: none yet, or it is a step task. */
static inline struct shunt_stack *shunt_task_stack(const struct shunt_task *task)
{
	return task->step ? NULL : task->stack;
}

/* The handle's generation bits of a live descriptor. */
static inline uint64_t shunt_task_generation(const struct shunt_task *task)
{
	/* Relaxed: the caller holds the task alive, the generation does not change under it. */
	return atomic_load_explicit(&task->word, memory_order_relaxed) & SHUNT_WORD_GENERATION;
}

#endif
