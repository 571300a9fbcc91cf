/* SPDX-License-Identifier: MIT */
/* The set-up of a chunked sum: presets, the numbers, and each task's slice of them. */
#include "workloads/chunked_sum.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { NAMED_TASKS = 26 };

static shunt_sum_fn *const kernels[] = {shunt_sum_overlap, shunt_sum_scalar};
static const char *const kernel_names[] = {"overlap", "scalar", NULL};

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

int chunked_sum_resolve(struct shunt_run *run, struct shunt_error *err)
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

void chunked_sum_footprint(const struct shunt_run *run, struct shunt_footprint *footprint)
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

int chunked_sum_setup(struct shunt_run *run, struct shunt_error *err)
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
	sum->kernel = kernels[shunt_run_int(run, "kernel")];
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

void chunked_sum_teardown(struct shunt_run *run)
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

const struct shunt_param chunked_sum_params[] = {
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
	{"kernel", SHUNT_PARAM_CHOICE, "overlap", 0, 0, kernel_names,
		"how a chunk is added up: overlap does not wait for the memory, so that what a "
		"task costs shows; scalar adds one number at a time"},
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
		"that the cache always starts with the same data; floor_ns_per_chunk is what a "
		"chunk costs so, without tasks; 0: do not"},
	FORM_PARAM,
	{.name = NULL},
};
