/* SPDX-License-Identifier: MIT */
/*
 * The conformance suite: one clause of the task API's contract at a time, on every scheduler.
 *
 * A clause is a root task. It may fail on any thread and any stack, so it does not use cmocka's
 * assertions, which jump: EXPECT notes the first failure and returns from the task.
 */
#ifndef SHUNT_BACKENDS_TEST_CONFORMANCE_H
#define SHUNT_BACKENDS_TEST_CONFORMANCE_H

#include "core/backend.h"
#include "core/lock.h"

struct clause {
	const char *name; /* what holds if it passes */
	unsigned needs;   /* enum shunt_cap bits; without them it is not tried */
	shunt_task_fn *root;
	bool (*after)(void);   /* Optional: looked at when the run is over */
	int outcome;           /* what the run must return */
	const char *explained; /* Optional: a word that its error must contain, and … */
	const char *explained_too;
};

#define CLAUSE(text, caps, function, ...)                                                          \
	{                                                                                          \
		.name = text, .needs = caps, .root = function, __VA_ARGS__                         \
	}

/* Each list ends with a NULL name. */
extern const struct clause conformance_life[], conformance_park[], conformance_sync[],
	conformance_outside[], conformance_place[], conformance_step[], conformance_step_sync[],
	conformance_io[], conformance_io_races[], conformance_io_files[];

/* The scheduler under test, as the clause's tasks may want to know it. */
struct under_test {
	const char *spec;
	struct shunt_sched *sched;
	unsigned caps;
};
extern struct under_test under_test;

/* Notes the first failure of the clause. Context: any thread. */
void conformance_note(const char *file, int line, const char *what, long long expected,
	long long actual);

#define EXPECT(condition)                                                                          \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			conformance_note(__FILE__, __LINE__, #condition, 1, 0);                    \
			return NULL;                                                               \
		}                                                                                  \
	} while (0)

#define EXPECT_INT(expected, actual)                                                               \
	do {                                                                                       \
		long long expected_ = (long long)(expected), actual_ = (long long)(actual);        \
		if (expected_ != actual_) {                                                        \
			conformance_note(__FILE__, __LINE__, #actual, expected_, actual_);         \
			return NULL;                                                               \
		}                                                                                  \
	} while (0)

#define MS INT64_C(1000000)

/* Waits a little, so that others run whatever the policy. Context: task of a TIMED scheduler. */
static inline void give_way(void)
{
	shunt_sleep_for(50000);
}

/* Shared counters of tasks that may run in parallel. Relaxed: they order nothing; joins do. */
static inline int count_up(int *counter)
{
	return __atomic_add_fetch(counter, 1, __ATOMIC_SEQ_CST);
}

static inline int count_now(int *counter)
{
	return __atomic_load_n(counter, __ATOMIC_SEQ_CST);
}

/* Returns when `count` tasks wait on the object. Context: as give_way. */
static inline void await_waiters(struct shunt_waiters *waiters, int *lock, int count)
{
	for (;;) {
		int found = 0;
		shunt_spin_lock(lock, under_test.sched->many);
		for (struct shunt_task *task = waiters->head; task; task = task->wait_next)
			found++;
		shunt_spin_unlock(lock, under_test.sched->many);
		if (found == count)
			return;
		give_way();
	}
}

#endif
