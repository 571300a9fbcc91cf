/* SPDX-License-Identifier: MIT */
/*
 * chunked_sum: N tasks each add up their slice of an array, chunk by chunk, and give way after each
 * chunk: they yield (pause=0) or sleep (pause=100ms).
 *
 * The idea is the usual first lesson about coroutines: two of them each add up half a list in
 * chunks of 100 and sleep 0.1 s after each chunk (preset=tutorial, with the lesson's trailing empty
 * round). At scale it is the simplest program with real work between switches: the chunk is the
 * grain, and small chunks show what a scheduler costs, large ones what it leaves to the memory.
 *
 * Two series: resume_delay, from when a task was due (or yielded) to when it ran again, and
 * completion, from the start of the iteration to the end of each task. Yields are sampled, one in
 * `sample`, because two readings of the clock cost more than a yield: at the default that is well
 * below 1 % of the time. Sleeps are all recorded.
 */
#include "workloads/chunked_sum.h"

#include <stdio.h>

enum { CHECKED_TASKS = 4 };

/* ---- the tasks ------------------------------------------------------------------------------- */

static void narrate_chunk(const struct slice *slice, const char *verb, size_t at)
{
	if (slice->sum->narrating)
		shunt_narrate(slice->sum->run, "%s %s at %zu  (%.3f s)",
			slice->name[0] ? slice->name : "task", verb, at,
			(double)(shunt_now_ns() - slice->sum->start_ns) * 1e-9);
}

static void yield_recorded(const struct sum *sum)
{
	int64_t before = shunt_now_ns();
	shunt_yield();
	shunt_series_record(sum->resume_delay, shunt_now_ns() - before);
}

static void sleep_recorded(struct slice *slice, bool record)
{
	int64_t due = shunt_now_ns() + slice->sum->pause_ns;
	slice->rc = shunt_sleep_until(due);
	int64_t late = shunt_now_ns() - due;
	slice->early += !slice->rc && late < 0;
	if (record)
		shunt_series_record(slice->sum->resume_delay, late);
}

/* The common case. Nothing in the loop is looked up again after a yield: the processor looks only
 * so many instructions ahead, and the next chunk's first loads must be among them. */
static uint64_t sum_yielding(struct slice *slice)
{
	const struct sum *sum = slice->sum;
	const int64_t *at = slice->number;
	size_t left = slice->count, chunk = sum->chunk;
	shunt_sum_fn *kernel = sum->kernel;
	uint64_t total = 0, round = 0, rounds = slice->rounds, sample_in = slice->sample_in;
	for (; round < rounds; round++) {
		size_t count = left < chunk ? left : chunk;
		total += kernel(at, count);
		at += count;
		left -= count;
		if (__builtin_expect(--sample_in == 0, 0)) {
			sample_in = sum->sample;
			yield_recorded(sum);
		} else {
			shunt_yield();
		}
	}
	slice->yields = round;
	return total;
}

static uint64_t sum_sleeping_or_told(struct slice *slice)
{
	const struct sum *sum = slice->sum;
	uint64_t total = 0, round = 0, sample_in = slice->sample_in;
	for (; round < slice->rounds && !slice->rc; round++) {
		size_t at = round * sum->chunk;
		size_t count = slice->count - at < sum->chunk ? slice->count - at : sum->chunk;
		narrate_chunk(slice, "start", at);
		total += sum->kernel(slice->number + at, count);
		narrate_chunk(slice, "stops", at + count);
		bool record = __builtin_expect(--sample_in == 0, 0);
		if (record)
			sample_in = sum->sample;
		if (sum->pause_ns)
			sleep_recorded(slice, record);
		else if (record)
			yield_recorded(sum);
		else
			shunt_yield();
	}
	slice->yields = round;
	return total;
}

static void end_slice(struct slice *slice, uint64_t total)
{
	slice->total = total;
	shunt_series_record(slice->sum->completion, shunt_now_ns() - slice->sum->start_ns);
}

static void *sum_slice(void *arg)
{
	struct slice *slice = arg;
	const struct sum *sum = slice->sum;
	bool plain = !sum->pause_ns && !sum->narrating;
	uint64_t total = plain ? sum_yielding(slice) : sum_sleeping_or_told(slice);
	end_slice(slice, total);
	return (void *)(uintptr_t)total;
}

static struct slice *slice_of(const struct frame *self)
{
	return &self->sum->slice[self - self->sum->frame];
}

/* One round of a step task. True: its resumption is to be recorded. */
static inline bool sum_chunk(struct frame *self)
{
	const struct sum *sum = self->sum;
	size_t count = self->left < sum->chunk ? self->left : sum->chunk;
	if (__builtin_expect(sum->narrating, 0))
		narrate_chunk(slice_of(self), "start", (size_t)(self->at - slice_of(self)->number));
	self->total += sum->kernel(self->at, count);
	self->at += count;
	self->left -= count;
	if (__builtin_expect(sum->narrating, 0))
		narrate_chunk(slice_of(self), "stops", (size_t)(self->at - slice_of(self)->number));
	bool record = __builtin_expect(--self->sample_in == 0, 0);
	if (record)
		self->sample_in = sum->sample;
	return record;
}

/* True: the task is to end. */
static bool note_sleep(const struct frame *self, struct slice *slice)
{
	int64_t late = shunt_now_ns() - slice->before_ns;
	slice->early += !slice->rc && late < 0;
	if (self->sample_in == self->sum->sample)
		shunt_series_record(self->sum->resume_delay, late);
	return slice->rc;
}

/* The same as sum_slice as a step task. */
static int sum_step(struct shunt_step *step)
{
	struct frame *self = (struct frame *)step;
	const struct sum *sum = self->sum;
	SHUNT_STEP_BEGIN(step);
	for (; self->rounds_left; self->rounds_left--) {
		bool record = sum_chunk(self);
		if (sum->pause_ns) {
			slice_of(self)->before_ns = shunt_now_ns() + sum->pause_ns;
			SHUNT_STEP_AWAIT(step, slice_of(self)->rc,
				shunt_sleep_poll(slice_of(self)->before_ns));
			if (note_sleep(self, slice_of(self)))
				break;
		} else if (record) {
			slice_of(self)->before_ns = shunt_now_ns();
			SHUNT_STEP_GIVE_WAY(step);
			shunt_series_record(sum->resume_delay,
				shunt_now_ns() - slice_of(self)->before_ns);
		} else {
			SHUNT_STEP_GIVE_WAY(step);
		}
	}
	slice_of(self)->yields = slice_of(self)->rounds - self->rounds_left;
	end_slice(slice_of(self), self->total);
	SHUNT_STEP_END(step);
}

/* Samples are counted through the tasks in turn, so that short tasks are sampled too. */
static void prepare_iteration(struct sum *sum)
{
	uint64_t rounds_before = 0;
	for (uint64_t i = 0; i < sum->task_count; i++) {
		struct slice *slice = &sum->slice[i];
		slice->total = slice->yields = slice->early = 0;
		slice->rc = 0;
		slice->sample_in = sum->sample ? sum->sample - rounds_before % sum->sample
					       : UINT64_MAX;
		rounds_before += slice->rounds;
	}
	sum->narrating = shunt_narrating(sum->run) && !shunt_run_warming_up(sum->run);
}

static int start_tasks(struct sum *sum)
{
	for (sum->crowd.started = 0; sum->crowd.started < sum->task_count; sum->crowd.started++) {
		struct slice *slice = &sum->slice[sum->crowd.started];
		struct shunt_attr attr = {.name = slice->name[0] ? slice->name : NULL};
		struct shunt_handle *handle = &sum->crowd.handle[sum->crowd.started];
		struct frame *frame = sum->frame ? &sum->frame[sum->crowd.started] : NULL;
		if (frame)
			*frame = (struct frame){.sum = sum,
				.at = slice->number,
				.left = slice->count,
				.rounds_left = slice->rounds,
				.sample_in = slice->sample_in};
		int rc = frame ? shunt_spawn_step(handle, sum_step, &frame->step, &attr)
			       : shunt_spawn(handle, sum_slice, slice, &attr);
		if (rc)
			return crowd_refused(sum->run, sum->crowd.started, sum->task_count, rc);
	}
	return 0;
}

/* Joins every task; its result must be the sum that it noted itself, or (a step task) its frame. */
static int join_tasks(struct sum *sum)
{
	int first = 0;
	for (uint64_t i = 0; i < sum->crowd.started; i++) {
		void *result = NULL;
		int rc = shunt_join(sum->crowd.handle[i], &result);
		if (!rc)
			rc = sum->slice[i].rc;
		uintptr_t expected = sum->frame ? (uintptr_t)&sum->frame[i]
						: (uintptr_t)sum->slice[i].total;
		if (!rc && (uintptr_t)result != expected)
			rc = -EPROTO;
		if (rc && !first) {
			first = rc;
			shunt_run_explain(sum->run, "task %llu: %s", (unsigned long long)i,
				rc == -EPROTO ? "join gave another result than the task returned"
					      : strerror(-rc));
		}
	}
	return first;
}

static int sum_body(struct shunt_run *run)
{
	struct sum *sum = shunt_run_state(run);
	prepare_iteration(sum);
	if (sum->walk) {
		sum->walk_ns = -shunt_now_ns();
		sum->walked = shunt_sum_walk(sum->kernel, sum->numbers.number, sum->numbers.count,
			sum->chunk, sum->walk);
		sum->walk_ns += shunt_now_ns();
	}
	shunt_measure_begin(run);
	sum->start_ns = shunt_now_ns();
	int started = start_tasks(sum);
	int joined = join_tasks(sum);
	sum->elapsed_ns = shunt_now_ns() - sum->start_ns;
	shunt_measure_end(run);
	return started ? started : joined;
}

/* ---- the answer ------------------------------------------------------------------------------ */

static void check_each(struct shunt_run *run, const struct sum *sum)
{
	for (uint64_t i = 0; i < sum->task_count; i++) {
		char name[16];
		snprintf(name, sizeof(name), "sum_%s", sum->slice[i].name);
		shunt_check_int(run, name, (int64_t)sum->expected[i], (int64_t)sum->slice[i].total);
		if (sum->narrating)
			shunt_narrate(run, "%s result %lld", sum->slice[i].name,
				(long long)sum->slice[i].total);
	}
}

/* What a chunk costs without a task; shunt-bench looks for a metric of that name. */
static void report_walk(struct shunt_run *run, const struct sum *sum, uint64_t expected)
{
	double chunks = (double)sum->numbers.count / (double)sum->chunk;
	shunt_check_int(run, "walked", (int64_t)expected, (int64_t)sum->walked);
	shunt_metric(run, "floor_ns_per_chunk", (double)sum->walk_ns / chunks, "ns", "lower");
}

static void sum_verify(struct shunt_run *run)
{
	const struct sum *sum = shunt_run_state(run);
	uint64_t expected = 0, total = 0, right_sums = 0, right_yields = 0, early = 0;
	for (uint64_t i = 0; i < sum->task_count; i++) {
		const struct slice *slice = &sum->slice[i];
		expected += sum->expected[i];
		total += slice->total;
		right_sums += slice->total == sum->expected[i];
		right_yields += slice->yields == slice->rounds;
		early += slice->early;
	}
	if (sum->task_count <= CHECKED_TASKS)
		check_each(run, sum);
	shunt_check_int(run, "total", (int64_t)expected, (int64_t)total);
	if (sum->walk)
		report_walk(run, sum, expected);
	shunt_check_int(run, "tasks_with_the_right_sum", (int64_t)sum->task_count,
		(int64_t)right_sums);
	shunt_check_int(run, "tasks_with_the_right_yields", (int64_t)sum->task_count,
		(int64_t)right_yields);
	if (sum->pause_ns)
		shunt_check_int(run, "wakes_before_their_deadline", 0, (int64_t)early);
	shunt_operations(run, sum->rounds);
	shunt_metric(run, "elements", (double)sum->numbers.count, "1", "none");
	if (sum->elapsed_ns > 0)
		shunt_metric(run, "elements_per_s",
			(double)sum->numbers.count * 1e9 / (double)sum->elapsed_ns, "1/s",
			"higher");
}

const struct shunt_workload shunt_workload_chunked_sum = {
	.name = "chunked_sum",
	.summary = "tasks add up slices of an array and yield or sleep after each chunk",
	.description = "N tasks each add up their slice of an array chunk by chunk, and yield or "
		       "sleep after each chunk. preset=tutorial is the classic first coroutine "
		       "program (two tasks, results 4950 and 14950); input=FILE adds up real "
		       "numbers. With many small chunks it measures the scheduler's cost per chunk "
		       "of real work; with a pause, how late sleepers wake.",
	.operation = "one chunk summed",
	.cost_metric = "ns_per_chunk",
	.params = chunked_sum_params,
	.bench = "kernel=overlap items=1M tasks=1k sample=0 walk=1k"
		 "|kernel=scalar items=1M tasks=1k sample=0 walk=1k",
	.small = "items=1000 tasks=7 chunk=10 sample=3 walk=3 kernel=scalar|items=200 tasks=3 "
		 "chunk=33 "
		 "pause=200us tail=1"
		 "|preset=tutorial pause=1ms"
		 "|items=1000 tasks=7 chunk=10 sample=3 form=step|preset=tutorial pause=1ms "
		 "form=step",
	.resolve = chunked_sum_resolve,
	.footprint = chunked_sum_footprint,
	.setup = chunked_sum_setup,
	.body = sum_body,
	.verify = sum_verify,
	.teardown = chunked_sum_teardown,
};
