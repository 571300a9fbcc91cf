/* SPDX-License-Identifier: MIT */
/* What the clauses about step tasks share. */
#ifndef SHUNT_BACKENDS_TEST_CONFORMANCE_STEP_H
#define SHUNT_BACKENDS_TEST_CONFORMANCE_STEP_H

#include "backends/test/conformance.h"

#include "core/step.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { TASKS = 20, ROUNDS = 50 };

/* In a step EXPECT returns what the scheduler would refuse: the clause has failed before that. */
#define CHECK(condition)                                                                           \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			conformance_note(__FILE__, __LINE__, #condition, 1, 0);                    \
			return SHUNT_STEP_DONE;                                                    \
		}                                                                                  \
	} while (0)

#define CHECK_INT(expected, actual)                                                                \
	do {                                                                                       \
		long long expected_ = (long long)(expected), actual_ = (long long)(actual);        \
		if (expected_ != actual_) {                                                        \
			conformance_note(__FILE__, __LINE__, #actual, expected_, actual_);         \
			return SHUNT_STEP_DONE;                                                    \
		}                                                                                  \
	} while (0)

/* The frame of most clauses. */
struct frame {
	struct shunt_step step;
	struct shunt_handle other;
	int64_t deadline_ns;
	int left, rc, seen;
	int *counter;
	void *value;
};

#define SELF(step) struct frame *self = (struct frame *)(step)

static struct frame frames[TASKS];

/* Starts `count` step tasks on frames[], joins them, and returns its argument. */
static inline void *run_frames(shunt_step_fn *fn, int count, void *arg)
{
	struct shunt_handle handle[TASKS];
	for (int i = 0; i < count; i++)
		EXPECT_INT(0, shunt_spawn_step(&handle[i], fn, &frames[i].step, NULL));
	for (int i = 0; i < count; i++)
		EXPECT_INT(0, shunt_join(handle[i], NULL));
	return arg;
}

#define STEPS (SHUNT_STEPS | SHUNT_CAN_BLOCK)
#define TIMED (STEPS | SHUNT_TIMED)

#endif
