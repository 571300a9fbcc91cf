/* SPDX-License-Identifier: MIT */
/*
 * spawn_join: tasks are created, run and joined, with a bounded number alive at once.
 *
 * The root starts a batch of `alive` empty tasks, joins them all, and starts the next: the cost of
 * a task's whole life without anything in it. With the batch as large as a cache level its stacks
 * decide; with alive=1 only the first stack is ever used.
 *
 * The series `start_delay` is the time from the call of spawn to the task's first instruction, of
 * about one task in `sample`.
 */
#include "workloads/crowd.h"

/* The argument of a timed task, or its frame. */
struct timed {
	struct crowd_frame frame;
	struct shunt_series *series;
	uint64_t number;
	int64_t spawned_ns;
};

struct spawn_join {
	uint64_t task_count, alive, batches_per_sample;
	struct shunt_handle *handle;
	struct shunt_series *start_delay;
	struct timed timed;        /* of the batch that is alive */
	struct crowd_frame *frame; /* form=step: of a batch */
	uint64_t joined, sum;
};

static void *empty_task(void *arg)
{
	return arg;
}

static void *timed_task(void *arg)
{
	const struct timed *timed = arg;
	shunt_series_record(timed->series, shunt_now_ns() - timed->spawned_ns);
	return (void *)(uintptr_t)timed->number;
}

static int empty_step(struct shunt_step *step)
{
	(void)step;
	return SHUNT_STEP_DONE;
}

static int timed_step(struct shunt_step *step)
{
	timed_task(step);
	return SHUNT_STEP_DONE;
}

/* Starts `count` tasks numbered from `first`, the timed_index-th of them timed. Returns how many
 * were started; *rc says why not all. */
static uint64_t start_batch(struct spawn_join *state, uint64_t first, uint64_t count,
	uint64_t timed_index, int *rc)
{
	uint64_t i = 0;
	for (; i < count; i++) {
		shunt_task_fn *fn = empty_task;
		void *arg = (void *)(uintptr_t)(first + i);
		if (__builtin_expect(i == timed_index, 0)) {
			state->timed = (struct timed){.series = state->start_delay,
				.number = first + i,
				.spawned_ns = shunt_now_ns()};
			fn = timed_task;
			arg = &state->timed;
		}
		*rc = shunt_spawn(&state->handle[i], fn, arg, NULL);
		if (*rc)
			break;
	}
	return i;
}

static int join_batch(struct spawn_join *state, uint64_t count)
{
	for (uint64_t i = 0; i < count; i++) {
		void *result;
		int rc = shunt_join(state->handle[i], &result);
		if (rc)
			return rc;
		state->sum += (uintptr_t)result;
	}
	state->joined += count;
	return 0;
}

/* The same two with step tasks; a task's number is in its frame, which is its result. */
static uint64_t start_steps(struct spawn_join *state, uint64_t first, uint64_t count,
	uint64_t timed_index, int *rc)
{
	uint64_t i = 0;
	for (; i < count; i++) {
		struct crowd_frame *frame = &state->frame[i];
		shunt_step_fn *fn = empty_step;
		if (__builtin_expect(i == timed_index, 0)) {
			state->timed = (struct timed){.series = state->start_delay,
				.spawned_ns = shunt_now_ns()};
			frame = &state->timed.frame;
			fn = timed_step;
		}
		frame->result = first + i;
		*rc = shunt_spawn_step(&state->handle[i], fn, &frame->step, NULL);
		if (*rc)
			break;
	}
	return i;
}

static int join_steps(struct spawn_join *state, uint64_t count)
{
	for (uint64_t i = 0; i < count; i++) {
		void *result;
		int rc = shunt_join(state->handle[i], &result);
		if (rc)
			return rc;
		state->sum += ((struct crowd_frame *)result)->result;
	}
	state->joined += count;
	return 0;
}

/* Which task of a batch is timed: another one each time, so that all places have their share. */
static uint64_t timed_index(const struct spawn_join *state, uint64_t batch, uint64_t count)
{
	if (!state->start_delay || batch % state->batches_per_sample)
		return UINT64_MAX;
	return batch / state->batches_per_sample % count;
}

static int spawn_join_body(struct shunt_run *run)
{
	struct spawn_join *state = shunt_run_state(run);
	int rc = 0;
	state->joined = state->sum = 0;
	shunt_measure_begin(run);
	for (uint64_t next = 0, batch = 0; next < state->task_count && !rc; batch++) {
		uint64_t left = state->task_count - next;
		uint64_t count = left < state->alive ? left : state->alive;
		uint64_t started = (state->frame ? start_steps : start_batch)(state, next + 1,
			count, timed_index(state, batch, count), &rc);
		if (rc)
			crowd_refused(run, next + started, state->task_count, rc);
		int joined = (state->frame ? join_steps : join_batch)(state, started);
		rc = rc ? rc : joined;
		next += started;
	}
	shunt_measure_end(run);
	return rc;
}

static void spawn_join_verify(struct shunt_run *run)
{
	const struct spawn_join *state = shunt_run_state(run);
	/* Each task returned its number, 1 … n: half the product of n and n + 1, modulo 2^64. */
	uint64_t n = state->task_count;
	uint64_t expected = n % 2 ? (n + 1) / 2 * n : n / 2 * (n + 1);
	shunt_check_int(run, "tasks_joined", (int64_t)n, (int64_t)state->joined);
	shunt_check_int(run, "sum_of_results", (int64_t)expected, (int64_t)state->sum);
	shunt_operations(run, n);
}

static void spawn_join_footprint(const struct shunt_run *run, struct shunt_footprint *footprint)
{
	uint64_t tasks = (uint64_t)shunt_run_int(run, "tasks");
	uint64_t alive = (uint64_t)shunt_run_int(run, "alive");
	footprint->tasks = tasks < alive ? tasks : alive;
	footprint->stackless = shunt_run_int(run, "form") == FORM_STEP;
	footprint->bytes = alive * (sizeof(struct shunt_handle) +
					   (footprint->stackless ? sizeof(struct crowd_frame) : 0));
}

static int spawn_join_setup(struct shunt_run *run, struct shunt_error *err)
{
	struct spawn_join *state = calloc(1, sizeof(*state));
	shunt_run_set_state(run, state);
	if (!state)
		return -ENOMEM;
	state->task_count = (uint64_t)shunt_run_int(run, "tasks");
	state->alive = (uint64_t)shunt_run_int(run, "alive");
	uint64_t sample = (uint64_t)shunt_run_int(run, "sample");
	state->batches_per_sample = sample > state->alive ? sample / state->alive : 1;
	state->handle = calloc(state->alive, sizeof(*state->handle));
	bool steps = shunt_run_int(run, "form") == FORM_STEP;
	if (steps)
		state->frame = calloc(state->alive, sizeof(*state->frame));
	if (!state->handle || (steps && !state->frame) ||
		crowd_series(run, "start_delay", sample, &state->start_delay))
		return shunt_fail(err, -ENOMEM, "no memory for %llu handles",
			(unsigned long long)state->alive);
	return 0;
}

static void spawn_join_teardown(struct shunt_run *run)
{
	struct spawn_join *state = shunt_run_state(run);
	if (!state)
		return;
	free(state->handle);
	free(state->frame);
	free(state);
}

static const struct shunt_param spawn_join_params[] = {
	{"tasks", SHUNT_PARAM_COUNT, "100k", 1, INT64_C(1) << 40, NULL,
		"tasks created, run and joined in total"},
	{"alive", SHUNT_PARAM_COUNT, "1000", 1, 100000000, NULL,
		"tasks alive at once: a batch is started, then joined"},
	{"sample", SHUNT_PARAM_COUNT, "1024", 0, INT64_C(1) << 40, NULL,
		"time the start of one task in N, at most one per batch (0: none)"},
	FORM_PARAM,
	{.name = NULL},
};

const struct shunt_workload shunt_workload_spawn_join = {
	.name = "spawn_join",
	.summary = "tasks are created, run and joined",
	.description = "Batches of empty tasks are started and joined: what a task's whole life "
		       "costs, its "
		       "stack included, with a bounded number alive at once.",
	.operation = "one task created, run and joined",
	.cost_metric = "ns_per_task",
	.params = spawn_join_params,
	.small = "tasks=100 alive=7 sample=3|tasks=20 alive=30 sample=0"
		 "|tasks=100 alive=7 sample=3 form=step",
	.resolve = form_check,
	.footprint = spawn_join_footprint,
	.setup = spawn_join_setup,
	.body = spawn_join_body,
	.verify = spawn_join_verify,
	.teardown = spawn_join_teardown,
};
