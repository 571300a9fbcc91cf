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
#include "workloads/crowd.h"
#include "workloads/numbers.h"
#include "workloads/sum_kernel.h"

#include <stdio.h>
#include <sys/stat.h>

enum { NAMED_TASKS = 26, CHECKED_TASKS = 4 };

struct slice {
	struct sum *sum;
	const int64_t *number;
	size_t count;
	uint64_t rounds;
	uint64_t sample_in; /* rounds until the first sample */
	char name[2];       /* "A", "B", …; empty beyond Z */
	/* Results of the iteration, written by its task. */
	uint64_t total, yields, early;
	int rc;
	int64_t before_ns; /* form=step: a recorded yield, or when the sleep is due */
};

/* form=step: what is alive over a step. A round touches nothing else of its task: one cache
 * line. */
struct frame {
	_Alignas(64) struct shunt_step step;
	struct sum *sum;
	const int64_t *at;
	size_t left;
	uint64_t total, rounds_left, sample_in;
};
_Static_assert(sizeof(struct frame) == 64, "one cache line");

/* One run. */
struct sum {
	struct shunt_run *run;
	struct shunt_numbers numbers;
	uint64_t task_count, chunk, rounds, sample;
	uint64_t walk, walked; /* in how many slices before each iteration; what they came to */
	int64_t pause_ns;
	shunt_sum_fn *kernel;
	struct slice *slice;
	struct frame *frame; /* NULL: tasks with stacks */
	uint64_t *expected;  /* sum of each slice, modulo 2^64 */
	struct crowd crowd;
	struct shunt_series *resume_delay, *completion;
	int64_t start_ns, elapsed_ns;
	bool narrating;
};

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

/* walk=N: adds everything up once, a chunk of each of N slices in turn. */
static uint64_t walk(const struct sum *sum, uint64_t slices)
{
	size_t share = (sum->numbers.count + slices - 1) / slices;
	uint64_t total = 0;
	for (size_t done = 0; done < share; done += sum->chunk)
		for (uint64_t i = 0; i < slices; i++) {
			size_t at = i * share + done;
			size_t end = (i + 1) * share;
			end = end < sum->numbers.count ? end : sum->numbers.count;
			if (at < end)
				total += sum->kernel(sum->numbers.number + at,
					end - at < sum->chunk ? end - at : sum->chunk);
		}
	return total;
}

static int sum_body(struct shunt_run *run)
{
	struct sum *sum = shunt_run_state(run);
	prepare_iteration(sum);
	if (sum->walk)
		sum->walked = walk(sum, sum->walk);
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
		shunt_check_int(run, "walked", (int64_t)expected, (int64_t)sum->walked);
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

/* ---- set-up ---------------------------------------------------------------------------------- */

static bool has_input(const struct shunt_run *run)
{
	return shunt_run_text(run, "input")[0] != '\0';
}

static int imply_tutorial(struct shunt_run *run, struct shunt_error *err)
{
	static const char *const implied[][2] = {{"items", "200"}, {"tasks", "2"}, {"chunk", "100"},
		{"pause", "100ms"}, {"tail", "1"}, {"data", "index"}};
	if (has_input(run))
		return shunt_fail(err, -EINVAL,
			"preset=tutorial has its own numbers: leave input out");
	int rc = 0;
	for (size_t i = 0; !rc && i < sizeof(implied) / sizeof(implied[0]); i++)
		if (!shunt_run_given(run, implied[i][0]))
			rc = shunt_run_imply(run, implied[i][0], implied[i][1], err);
	return rc;
}

static int sum_resolve(struct shunt_run *run, struct shunt_error *err)
{
	int rc = form_check(run, err);
	if (rc)
		return rc;
	if (!strcmp(shunt_run_text(run, "preset"), "tutorial"))
		rc = imply_tutorial(run, err);
	if (rc)
		return rc;
	if (has_input(run) && (shunt_run_given(run, "items") || shunt_run_given(run, "data")))
		return shunt_fail(err, -EINVAL,
			"input=FILE gives the numbers and their count: leave items and data out");
	if (has_input(run))
		rc = shunt_run_imply(run, "data", "file", err);
	else if (!strcmp(shunt_run_text(run, "data"), "file"))
		rc = shunt_fail(err, -EINVAL, "data=file needs input=FILE");
	if (rc)
		return rc;
	if (shunt_run_int(run, "pause") == 0)
		return 0;
	if (!(shunt_run_caps(run) & SHUNT_TIMED))
		return shunt_fail(err, -ENOTSUP,
			"pause > 0 needs tasks that sleep, which this backend does not have; use "
			"pause=0");
	return shunt_run_given(run, "sample") ? 0 : shunt_run_imply(run, "sample", "1", err);
}

static void sum_footprint(const struct shunt_run *run, struct shunt_footprint *footprint)
{
	footprint->tasks = (uint64_t)shunt_run_int(run, "tasks");
	uint64_t numbers = (uint64_t)shunt_run_int(run, "items") * sizeof(int64_t);
	struct stat st;
	/* The text of a file needs up to four times its size beside itself while it is read. */
	if (has_input(run))
		numbers = stat(shunt_run_text(run, "input"), &st) ? 0 : (uint64_t)st.st_size * 5;
	footprint->stackless = shunt_run_int(run, "form") == FORM_STEP;
	footprint->bytes =
		numbers +
		footprint->tasks *
			(sizeof(struct slice) + sizeof(struct shunt_handle) + sizeof(uint64_t) +
				(footprint->stackless ? sizeof(struct frame) : 0));
}

static int make_numbers(struct shunt_run *run, struct sum *sum, struct shunt_error *err)
{
	size_t items = (size_t)shunt_run_int(run, "items");
	if (has_input(run)) {
		int rc = shunt_numbers_from_file(&sum->numbers, shunt_run_text(run, "input"), err);
		if (!rc)
			shunt_run_input(run, shunt_numbers_hash(&sum->numbers));
		return rc;
	}
	int rc = strcmp(shunt_run_text(run, "data"), "index")
			 ? shunt_numbers_from_seed(&sum->numbers, items, shunt_run_seed(run))
			 : shunt_numbers_from_index(&sum->numbers, items);
	return rc ? shunt_fail(err, rc, "no memory for %zu numbers", items) : 0;
}

static void cut_slices(struct shunt_run *run, struct sum *sum)
{
	bool tail = shunt_run_int(run, "tail");
	const int64_t *number = sum->numbers.number;
	for (uint64_t i = 0; i < sum->task_count; i++) {
		struct slice *slice = &sum->slice[i];
		*slice = (struct slice){.sum = sum,
			.number = number,
			.count = crowd_share(sum->numbers.count, sum->task_count, i)};
		if (sum->task_count <= NAMED_TASKS)
			slice->name[0] = (char)('A' + i);
		slice->rounds = tail ? slice->count / sum->chunk + 1
				     : (slice->count + sum->chunk - 1) / sum->chunk;
		sum->rounds += slice->rounds;
		for (size_t k = 0; k < slice->count; k++)
			sum->expected[i] += (uint64_t)number[k];
		number += slice->count;
	}
}

static int sum_setup(struct shunt_run *run, struct shunt_error *err)
{
	struct sum *sum = calloc(1, sizeof(*sum));
	shunt_run_set_state(run, sum);
	if (!sum)
		return -ENOMEM;
	sum->run = run;
	sum->task_count = (uint64_t)shunt_run_int(run, "tasks");
	sum->chunk = (uint64_t)shunt_run_int(run, "chunk");
	sum->pause_ns = shunt_run_int(run, "pause");
	sum->sample = (uint64_t)shunt_run_int(run, "sample");
	sum->walk = (uint64_t)shunt_run_int(run, "walk");
	sum->kernel = strcmp(shunt_run_text(run, "kernel"), "vector") ? shunt_sum_scalar
								      : shunt_sum_vector;
	int rc = make_numbers(run, sum, err);
	if (rc)
		return rc;
	sum->slice = calloc(sum->task_count, sizeof(*sum->slice));
	sum->expected = calloc(sum->task_count, sizeof(*sum->expected));
	sum->completion = shunt_series(run, "completion");
	bool steps = shunt_run_int(run, "form") == FORM_STEP;
	if (steps)
		sum->frame = aligned_alloc(64, sum->task_count * sizeof(*sum->frame));
	if (!sum->slice || !sum->expected || (steps && !sum->frame) || !sum->completion ||
		crowd_init(&sum->crowd, sum->task_count) ||
		crowd_series(run, "resume_delay", sum->sample, &sum->resume_delay))
		return shunt_fail(err, -ENOMEM, "no memory for %llu tasks",
			(unsigned long long)sum->task_count);
	cut_slices(run, sum);
	return 0;
}

static void sum_teardown(struct shunt_run *run)
{
	struct sum *sum = shunt_run_state(run);
	if (!sum)
		return;
	shunt_numbers_free(&sum->numbers);
	crowd_fini(&sum->crowd);
	free(sum->slice);
	free(sum->frame);
	free(sum->expected);
	free(sum);
}

static const char *const presets[] = {"none", "tutorial", NULL};
static const char *const datas[] = {"seed", "index", "file", NULL};
static const char *const kernels[] = {"scalar", "vector", NULL};

static const struct shunt_param sum_params[] = {
	{"items", SHUNT_PARAM_COUNT, "10M", 1, INT64_C(1) << 32, NULL,
		"how many numbers (an input has its own count); more than fit the cache measure "
		"memory, fewer the scheduler"},
	{"tasks", SHUNT_PARAM_COUNT, "100", 1, 100000000, NULL,
		"how many tasks share them; each adds up one contiguous slice"},
	{"chunk", SHUNT_PARAM_COUNT, "100", 1, INT64_C(1) << 32, NULL,
		"numbers added between two yields or sleeps: the grain"},
	{"pause", SHUNT_PARAM_DURATION, "0", 0, INT64_C(3600000000000), NULL,
		"sleep after each chunk; 0: yield"},
	{"tail", SHUNT_PARAM_COUNT, "0", 0, 1, NULL,
		"1: rounds = length / chunk + 1, so that a last, empty round may follow, as in the "
		"tutorial"},
	{"data", SHUNT_PARAM_CHOICE, "seed", 0, 0, datas,
		"seed: random 32-bit integers from the seed; index: number i is i; file: the "
		"input's"},
	{"kernel", SHUNT_PARAM_CHOICE, "scalar", 0, 0, kernels,
		"how a chunk is added up, one number at a time or by vectors; both compiled with "
		"-O2"},
	{"preset", SHUNT_PARAM_CHOICE, "none", 0, 0, presets,
		"tutorial: tasks A and B, 0..199 in chunks of 100, 100 ms pause; what you set "
		"stays"},
	{"input", SHUNT_PARAM_TEXT, "", 0, 0, NULL,
		"sum this file instead: int64 little-endian if it is named .bin or .i64, else "
		"decimal numbers separated by white space"},
	{"sample", SHUNT_PARAM_COUNT, "1024", 0, INT64_C(1) << 40, NULL,
		"record the resume delay of one yield in N (0: none), and of every sleep unless "
		"set"},
	{"walk", SHUNT_PARAM_COUNT, "0", 0, 100000000, NULL,
		"before each iteration, sum everything in N slices, one chunk of each in turn, so "
		"that the cache always starts with the same data; 0: do not"},
	FORM_PARAM,
	{.name = NULL},
};

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
	.params = sum_params,
	.small = "items=1000 tasks=7 chunk=10 sample=3 walk=3|items=200 tasks=3 chunk=33 "
		 "pause=200us tail=1"
		 "|preset=tutorial pause=1ms"
		 "|items=1000 tasks=7 chunk=10 sample=3 form=step|preset=tutorial pause=1ms "
		 "form=step",
	.resolve = sum_resolve,
	.footprint = sum_footprint,
	.setup = sum_setup,
	.body = sum_body,
	.verify = sum_verify,
	.teardown = sum_teardown,
};
