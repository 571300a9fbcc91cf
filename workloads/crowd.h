/* SPDX-License-Identifier: MIT */
/*
 * A crowd of tasks: what most workloads start and wait for. Start them all, join them all, and say
 * why when the machine gives fewer than were asked for.
 */
#ifndef SHUNT_WORKLOADS_CROWD_H
#define SHUNT_WORKLOADS_CROWD_H

#include "core/sched.h"
#include "core/step.h"
#include "core/workload.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* The choices of a parameter `form`: what the tasks are. */
enum form { FORM_STACK, FORM_STEP };
static const char *const form_names[] __attribute__((unused)) = {"stack", "step", NULL};
#define FORM_PARAM                                                                                 \
	{                                                                                          \
		"form", SHUNT_PARAM_CHOICE, "stack", 0, 0, form_names,                             \
			"what the tasks are: with a stack each, or step tasks, which have none"    \
	}

/* May be a workload's whole `resolve`. */
static inline int form_check(struct shunt_run *run, struct shunt_error *err)
{
	if (shunt_run_int(run, "form") == FORM_STACK || shunt_run_caps(run) & SHUNT_STEPS)
		return 0;
	return shunt_fail(err, -ENOTSUP,
		"form=step needs a backend with step tasks, as all that are made of the engine; "
		"form=stack does not");
}

/* What the frame of a step task begins with whose result crowd_join adds up. */
struct crowd_frame {
	struct shunt_step step;
	uint64_t result;
};

struct crowd {
	struct shunt_handle *handle;
	uint64_t started;
	enum form form;
};

/* Context: setup. 0, -ENOMEM. */
static inline int crowd_init(struct crowd *crowd, uint64_t tasks)
{
	crowd->started = 0;
	crowd->handle = calloc(tasks, sizeof(*crowd->handle));
	return crowd->handle ? 0 : -ENOMEM;
}

static inline void crowd_fini(struct crowd *crowd)
{
	free(crowd->handle);
	crowd->handle = NULL;
}

/* Explains that the machine refused a task; returns rc. */
static inline int crowd_refused(struct shunt_run *run, uint64_t index, uint64_t tasks, int rc)
{
	shunt_run_explain(run, "task %llu of %llu could not be started: %s",
		(unsigned long long)index + 1, (unsigned long long)tasks, strerror(-rc));
	return rc;
}

/* Starts `tasks` tasks, the i-th with the i-th element of args. On a failure crowd->started says
 * how many there are. Context: task. */
static inline int crowd_start(struct shunt_run *run, struct crowd *crowd, uint64_t tasks,
	shunt_task_fn *fn, void *args, size_t arg_bytes)
{
	for (crowd->started = 0; crowd->started < tasks; crowd->started++) {
		uint64_t i = crowd->started;
		int rc = shunt_spawn(&crowd->handle[i], fn, (char *)args + i * arg_bytes, NULL);
		if (rc)
			return crowd_refused(run, i, tasks, rc);
	}
	return 0;
}

/* The same with step tasks, the i-th on the i-th of the frames. */
static inline int crowd_start_steps(struct shunt_run *run, struct crowd *crowd, uint64_t tasks,
	shunt_step_fn *fn, void *frames, size_t frame_bytes)
{
	crowd->form = FORM_STEP;
	for (crowd->started = 0; crowd->started < tasks; crowd->started++) {
		uint64_t i = crowd->started;
		struct shunt_step *frame = (void *)((char *)frames + i * frame_bytes);
		int rc = shunt_spawn_step(&crowd->handle[i], fn, frame, NULL);
		if (rc)
			return crowd_refused(run, i, tasks, rc);
	}
	return 0;
}

/* Joins those that were started and adds up their results, unless sum is NULL. Context: task;
 * may switch. */
static inline int crowd_join(struct crowd *crowd, uint64_t *sum)
{
	int first = 0;
	if (sum)
		*sum = 0;
	for (uint64_t i = 0; i < crowd->started; i++) {
		void *result = NULL;
		int rc = shunt_join(crowd->handle[i], &result);
		if (!first)
			first = rc;
		if (!sum || !result)
			continue;
		*sum += crowd->form == FORM_STEP ? ((struct crowd_frame *)result)->result
						 : (uintptr_t)result;
	}
	return first;
}

/* The index-th part when `total` is divided among `parts` as evenly as can be, larger ones
 * first. */
static inline uint64_t crowd_share(uint64_t total, uint64_t parts, uint64_t index)
{
	return total / parts + (index < total % parts);
}

/* A series that is sampled; NULL when sampling is off. Context: setup. */
static inline int crowd_series(struct shunt_run *run, const char *name, uint64_t every,
	struct shunt_series **series)
{
	*series = every ? shunt_series(run, name) : NULL;
	return every && !*series ? -ENOMEM : 0;
}

#endif
