/* SPDX-License-Identifier: MIT */
/*
 * skynet: a tree of tasks, `width` children each, whose leaves return their numbers.
 *
 * A million leaves ten at a time is a known test of runtimes (Alexander Temerev's skynet, 2016; the
 * answer is 499999500000). What it tells is mostly policy: run the newest task first, and the
 * joiner that a child wakes next, and the tree is walked depth first in a few stacks; run the
 * oldest first and nearly all leaves are alive at once, each with its own.
 *
 * With form=step an inner task keeps its children's frames and handles in a block from the heap,
 * which it frees when they are joined; with a stack they lie on that.
 *
 * The series `start_delay` is the time from the spawn of a leaf to its first instruction, of about
 * one leaf in `sample`.
 */
#include "workloads/crowd.h"

struct skynet {
	uint64_t leaves, width, parents_per_sample;
	bool steps;
	struct shunt_series *start_delay;
	uint64_t sum;
	int rc; /* [skynet:rc] the first refusal of a task */
};

struct node {
	struct skynet *skynet;
	uint64_t first, size; /* the leaves below it */
	int64_t spawned_ns;   /* of a timed leaf; else 0 */
};

/* form=step: what is alive over a step. */
struct frame {
	struct crowd_frame crowd;
	struct node node;
	struct frame *child; /* of an inner task, and behind them their handles */
	uint32_t started, joined;
};

static void refuse(struct skynet *skynet, int rc)
{
	int none = 0;
	/* Relaxed: the tree is joined before anybody reads it [skynet:rc]. */
	__atomic_compare_exchange_n(&skynet->rc, &none, rc, false, __ATOMIC_RELAXED,
		__ATOMIC_RELAXED);
}

/* The spawn time of a child: now if it is a leaf that is to be timed, else 0. */
static int64_t spawn_time(const struct skynet *skynet, uint64_t child, uint64_t child_size)
{
	if (child_size != 1 || !skynet->start_delay)
		return 0;
	uint64_t parent = child / skynet->width;
	return parent % skynet->parents_per_sample == 0 && child == parent * skynet->width
		       ? shunt_now_ns()
		       : 0;
}

static struct node child_of(const struct node *node, uint64_t index)
{
	struct skynet *skynet = node->skynet;
	uint64_t size = node->size / skynet->width, first = node->first + index * size;
	return (struct node){skynet, first, size, index == 0 ? spawn_time(skynet, first, size) : 0};
}

/* What a leaf does; returns its number. */
static uint64_t skynet_leaf(const struct node *node)
{
	if (__builtin_expect(node->spawned_ns != 0, 0))
		shunt_series_record(node->skynet->start_delay, shunt_now_ns() - node->spawned_ns);
	return node->first;
}

static void *skynet_node(void *arg);

static uint64_t skynet_children(const struct node *node)
{
	struct skynet *skynet = node->skynet;
	uint64_t width = skynet->width, sum = 0, started = 0;
	/* Sized to the width, because with a page touched per task what it touches is what
	 * counts. */
	struct node *child = __builtin_alloca(width * sizeof(*child));
	struct shunt_handle *handle = __builtin_alloca(width * sizeof(*handle));
	for (uint64_t i = 0; i < width; i++) {
		child[i] = child_of(node, i);
		int rc = shunt_spawn(&handle[i], skynet_node, &child[i], NULL);
		if (rc) {
			refuse(skynet, rc);
			break;
		}
		started++;
	}
	for (uint64_t i = 0; i < started; i++) {
		void *result = NULL;
		int rc = shunt_join(handle[i], &result);
		if (rc)
			refuse(skynet, rc);
		sum += (uintptr_t)result;
	}
	return sum;
}

static void *skynet_node(void *arg)
{
	const struct node *node = arg;
	return (void *)(uintptr_t)(node->size > 1 ? skynet_children(node) : skynet_leaf(node));
}

static struct shunt_handle *handle_of(const struct frame *self, uint64_t index)
{
	return (struct shunt_handle *)(self->child + self->node.skynet->width) + index;
}

static int skynet_step(struct shunt_step *step);

static void start_children(struct frame *self)
{
	struct skynet *skynet = self->node.skynet;
	size_t bytes = skynet->width * (sizeof(*self->child) + sizeof(struct shunt_handle));
	int rc = (self->child = malloc(bytes)) ? 0 : -ENOMEM;
	for (self->started = 0; self->started < skynet->width && !rc; self->started += !rc) {
		struct frame *child = &self->child[self->started];
		child->node = child_of(&self->node, self->started);
		rc = shunt_spawn_step(handle_of(self, self->started), skynet_step,
			&child->crowd.step, NULL);
	}
	if (rc)
		refuse(skynet, rc);
}

/* The same as skynet_node as a step task. */
static int skynet_step(struct shunt_step *step)
{
	struct frame *self = (struct frame *)step;
	int rc;
	SHUNT_STEP_BEGIN(step);
	if (self->node.size == 1) {
		self->crowd.result = skynet_leaf(&self->node);
		return SHUNT_STEP_DONE;
	}
	self->crowd.result = 0;
	start_children(self);
	for (self->joined = 0; self->joined < self->started; self->joined++) {
		SHUNT_STEP_AWAIT(step, rc,
			shunt_join_poll(*handle_of(self, self->joined), SHUNT_FOREVER, NULL));
		if (rc)
			refuse(self->node.skynet, rc);
		self->crowd.result += self->child[self->joined].crowd.result;
	}
	free(self->child);
	SHUNT_STEP_END(step);
}

static int skynet_body(struct shunt_run *run)
{
	struct skynet *skynet = shunt_run_state(run);
	struct frame root = {.node = {skynet, 0, skynet->leaves, 0}};
	struct shunt_handle handle;
	void *result = NULL;
	skynet->rc = 0;
	shunt_measure_begin(run);
	int rc = skynet->steps ? shunt_spawn_step(&handle, skynet_step, &root.crowd.step, NULL)
			       : shunt_spawn(&handle, skynet_node, &root.node, NULL);
	if (!rc)
		rc = shunt_join(handle, &result);
	shunt_measure_end(run);
	skynet->sum = skynet->steps ? root.crowd.result : (uintptr_t)result;
	if (!rc)
		rc = skynet->rc;
	if (rc)
		shunt_run_explain(run, "a task of the tree could not be started: %s",
			strerror(-rc));
	return rc;
}

static void skynet_verify(struct shunt_run *run)
{
	const struct skynet *skynet = shunt_run_state(run);
	uint64_t n = skynet->leaves;
	uint64_t expected = n % 2 ? (n - 1) / 2 * n : n / 2 * (n - 1);
	shunt_check_int(run, "sum_of_leaves", (int64_t)expected, (int64_t)skynet->sum);
	shunt_operations(run, n);
}

static int skynet_resolve(struct shunt_run *run, struct shunt_error *err)
{
	uint64_t leaves = (uint64_t)shunt_run_int(run, "leaves");
	uint64_t width = (uint64_t)shunt_run_int(run, "width");
	uint64_t power = 1;
	while (power < leaves)
		power *= width;
	if (power == leaves)
		return form_check(run, err);
	return shunt_fail(err, -EINVAL,
		"leaves=%llu is not a power of width=%llu; the nearest are %llu and %llu",
		(unsigned long long)leaves, (unsigned long long)width,
		(unsigned long long)(power / width), (unsigned long long)power);
}

static void skynet_footprint(const struct shunt_run *run, struct shunt_footprint *footprint)
{
	/* In the worst order all leaves and all that spawned them: leaves * width / (width - 1). */
	uint64_t leaves = (uint64_t)shunt_run_int(run, "leaves");
	footprint->tasks = leaves + leaves / ((uint64_t)shunt_run_int(run, "width") - 1) + 1;
	footprint->stackless = shunt_run_int(run, "form") == FORM_STEP;
	footprint->bytes = footprint->stackless * footprint->tasks *
			   (sizeof(struct frame) + sizeof(struct shunt_handle));
}

static int skynet_setup(struct shunt_run *run, struct shunt_error *err)
{
	struct skynet *skynet = calloc(1, sizeof(*skynet));
	shunt_run_set_state(run, skynet);
	if (!skynet)
		return -ENOMEM;
	uint64_t sample = (uint64_t)shunt_run_int(run, "sample");
	skynet->leaves = (uint64_t)shunt_run_int(run, "leaves");
	skynet->width = (uint64_t)shunt_run_int(run, "width");
	skynet->steps = shunt_run_int(run, "form") == FORM_STEP;
	skynet->parents_per_sample = sample > skynet->width ? sample / skynet->width : 1;
	if (crowd_series(run, "start_delay", sample, &skynet->start_delay))
		return shunt_fail(err, -ENOMEM, "no memory for a series");
	return 0;
}

static void skynet_teardown(struct shunt_run *run)
{
	free(shunt_run_state(run));
}

static const struct shunt_param skynet_params[] = {
	{"leaves", SHUNT_PARAM_COUNT, "100k", 1, 1000000000, NULL,
		"leaves of the tree, a power of the width; 1M is the known test"},
	{"width", SHUNT_PARAM_COUNT, "10", 2, 64, NULL, "children of each inner task"},
	{"sample", SHUNT_PARAM_COUNT, "1024", 0, INT64_C(1) << 40, NULL,
		"time the start of about one leaf in N (0: none)"},
	FORM_PARAM,
	{.name = NULL},
};

const struct shunt_workload shunt_workload_skynet = {
	.name = "skynet",
	.summary = "a tree of tasks adds up the numbers of its leaves",
	.description = "Every inner task spawns `width` children and adds up their results. It "
		       "shows how a policy treats a fan-out: depth-first needs a handful of "
		       "stacks, breadth-first one for nearly every leaf.",
	.operation = "one leaf",
	.cost_metric = "ns_per_leaf",
	.params = skynet_params,
	.small = "leaves=64 width=4 sample=4|leaves=10 sample=0|leaves=64 width=4 sample=4 "
		 "form=step",
	.resolve = skynet_resolve,
	.footprint = skynet_footprint,
	.setup = skynet_setup,
	.body = skynet_body,
	.verify = skynet_verify,
	.teardown = skynet_teardown,
};
