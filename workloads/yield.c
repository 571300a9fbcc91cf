/* SPDX-License-Identifier: MIT */
/*
 * yield: tasks do nothing but give way to each other.
 *
 * The price of one trip through the scheduler: pick, switch, account. With two tasks and a fair
 * policy every yield is a switch. A policy may give a task to itself, as it does where each worker
 * has one task: that is no switch, and the metric switches_per_yield shows how many there were.
 *
 * How a switch returns matters more than what it saves, and this workload can show it. sites=2
 * lets odd tasks yield from a second place in the program: a switch that ends in `ret` is then
 * mispredicted every time. depth=1..4 puts that many C frames above the call: after a switch that
 * ends in a jump, the processor's return stack is out of step, and each of these frames pays. With
 * form=step they are as many steps of which one calls the next: all are called again for each
 * yield, as they are in any language whose coroutines have no stack.
 *
 * The series `turnaround` is the time from a yield to the same task's next run, of one yield in
 * `sample`; the loop between two samples contains nothing but the calls.
 */
#include "workloads/crowd.h"

struct yielder {
	struct yield *yield;
	uint64_t yields;
};

/* form=step: a step between the task's loop and the yield. */
struct level {
	struct shunt_step step;
	unsigned below; /* how many there are behind this one */
};

/* form=step: what is alive over a step. */
struct frame {
	struct crowd_frame crowd;
	const struct yielder *yielder;
	uint64_t left, until_sample;
	int64_t before_ns;
	struct level level[]; /* `depth` of them */
};

struct yield {
	uint64_t task_count, switches, sample;
	struct yielder *yielder;
	struct crowd crowd;
	struct shunt_series *turnaround;
	uint64_t yields_made;
	unsigned sites, depth;
	char *frames; /* a struct frame each; NULL: tasks with stacks */
	size_t frame_bytes;
};

#define NOT_INLINED __attribute__((noinline))

/* A frame that does something after its callee returns, so that it is a frame. */
#define FRAME(name, callee)                                                                        \
	static NOT_INLINED void name(void)                                                         \
	{                                                                                          \
		callee();                                                                          \
		__asm__ volatile("" ::: "memory");                                                 \
	}
FRAME(depth_1, shunt_yield)
FRAME(depth_2, depth_1)
FRAME(depth_3, depth_2)
FRAME(depth_4, depth_3)

/* The loop of one task, per depth and site: a call site each. The text of the asm differs, or the
 * compiler would fold equal functions into one. */
#define SITE(site, depth, give_way)                                                                \
	static NOT_INLINED void loop_##site##_##depth(uint64_t count)                              \
	{                                                                                          \
		for (uint64_t i = 0; i < count; i++) {                                             \
			give_way();                                                                \
			__asm__ volatile("# site " #site " depth " #depth ::: "memory");           \
		}                                                                                  \
	}
#define SITES(depth, give_way) SITE(1, depth, give_way) SITE(2, depth, give_way)
SITES(0, shunt_yield)
SITES(1, depth_1)
SITES(2, depth_2)
SITES(3, depth_3)
SITES(4, depth_4)

typedef void yield_loop(uint64_t count);
static yield_loop *const loops[2][5] = {
	{loop_1_0, loop_1_1, loop_1_2, loop_1_3, loop_1_4},
	{loop_2_0, loop_2_1, loop_2_2, loop_2_3, loop_2_4},
};

static void *yielder_run(void *arg)
{
	const struct yielder *self = arg;
	const struct yield *yield = self->yield;
	uint64_t index = (uint64_t)(self - yield->yielder), left = self->yields;
	yield_loop *loop = loops[index % yield->sites][yield->depth];
	while (yield->turnaround && left >= yield->sample) {
		int64_t before = shunt_now_ns();
		loop(1);
		shunt_series_record(yield->turnaround, shunt_now_ns() - before);
		loop(yield->sample - 1);
		left -= yield->sample;
	}
	loop(left);
	return (void *)(uintptr_t)self->yields;
}

/* The same as a step task. */

static int level_step(struct shunt_step *step)
{
	struct level *self = (struct level *)step;
	SHUNT_STEP_BEGIN(step);
	if (self->below)
		SHUNT_STEP_CALL(step, &self[1].step);
	else
		SHUNT_STEP_GIVE_WAY(step);
	SHUNT_STEP_END(step);
}

static inline __attribute__((always_inline)) int yielder_steps(struct shunt_step *step, bool deep)
{
	struct frame *self = (struct frame *)step;
	const struct yield *yield = self->yielder->yield;
	SHUNT_STEP_BEGIN(step);
	self->left = self->yielder->yields;
	self->until_sample = yield->turnaround ? 0 : UINT64_MAX;
	for (; self->left; self->left--, self->until_sample--) {
		if (__builtin_expect(self->until_sample == 0 && self->left >= yield->sample, 0)) {
			self->until_sample = yield->sample;
			self->before_ns = shunt_now_ns();
			if (deep)
				SHUNT_STEP_CALL(step, &self->level[0].step);
			else
				SHUNT_STEP_GIVE_WAY(step);
			shunt_series_record(yield->turnaround, shunt_now_ns() - self->before_ns);
		} else if (deep) {
			SHUNT_STEP_CALL(step, &self->level[0].step);
		} else {
			SHUNT_STEP_GIVE_WAY(step);
		}
	}
	self->crowd.result = self->yielder->yields;
	SHUNT_STEP_END(step);
}

static int yielder_step(struct shunt_step *step)
{
	return yielder_steps(step, false);
}

static int yielder_deep(struct shunt_step *step)
{
	return yielder_steps(step, true);
}

static int yield_body(struct shunt_run *run)
{
	struct yield *yield = shunt_run_state(run);
	shunt_measure_begin(run);
	int rc = yield->frames ? crowd_start_steps(run, &yield->crowd, yield->task_count,
					 yield->depth ? yielder_deep : yielder_step, yield->frames,
					 yield->frame_bytes)
			       : crowd_start(run, &yield->crowd, yield->task_count, yielder_run,
					 yield->yielder, sizeof(*yield->yielder));
	int joined = crowd_join(&yield->crowd, &yield->yields_made);
	shunt_measure_end(run);
	return rc ? rc : joined;
}

static void yield_verify(struct shunt_run *run)
{
	const struct yield *yield = shunt_run_state(run);
	uint64_t switches;
	shunt_check_int(run, "yields", (int64_t)yield->switches, (int64_t)yield->yields_made);
	shunt_operations(run, yield->switches);
	if (!shunt_run_counter(run, "switches", &switches))
		shunt_metric(run, "switches_per_yield", (double)switches / (double)yield->switches,
			"1", "none");
}

static int yield_resolve(struct shunt_run *run, struct shunt_error *err)
{
	if (shunt_run_int(run, "sites") != 1 && shunt_run_int(run, "form") == FORM_STEP)
		return shunt_fail(err, -EINVAL,
			"sites=2 is about the return of a switch, which form=step does not make: "
			"leave one of them out");
	return form_check(run, err);
}

static size_t frame_bytes(const struct shunt_run *run)
{
	return shunt_run_int(run, "form") == FORM_STEP
		       ? sizeof(struct frame) +
				 (size_t)shunt_run_int(run, "depth") * sizeof(struct level)
		       : 0;
}

static void make_frames(struct yield *yield)
{
	for (uint64_t i = 0; i < yield->task_count; i++) {
		struct frame *frame = (struct frame *)(yield->frames + i * yield->frame_bytes);
		frame->yielder = &yield->yielder[i];
		for (unsigned k = 0; k < yield->depth; k++)
			frame->level[k] = (struct level){{.fn = level_step}, yield->depth - 1 - k};
	}
}

static void yield_footprint(const struct shunt_run *run, struct shunt_footprint *footprint)
{
	footprint->tasks = (uint64_t)shunt_run_int(run, "tasks");
	footprint->stackless = shunt_run_int(run, "form") == FORM_STEP;
	footprint->bytes =
		footprint->tasks *
		(sizeof(struct yielder) + sizeof(struct shunt_handle) + frame_bytes(run));
}

static int yield_setup(struct shunt_run *run, struct shunt_error *err)
{
	struct yield *yield = calloc(1, sizeof(*yield));
	shunt_run_set_state(run, yield);
	if (!yield)
		return -ENOMEM;
	yield->task_count = (uint64_t)shunt_run_int(run, "tasks");
	yield->switches = (uint64_t)shunt_run_int(run, "switches");
	yield->sample = (uint64_t)shunt_run_int(run, "sample");
	yield->sites = (unsigned)shunt_run_int(run, "sites");
	yield->depth = (unsigned)shunt_run_int(run, "depth");
	yield->yielder = calloc(yield->task_count, sizeof(*yield->yielder));
	yield->frame_bytes = frame_bytes(run);
	if (yield->frame_bytes)
		yield->frames = calloc(yield->task_count, yield->frame_bytes);
	if (!yield->yielder || (yield->frame_bytes && !yield->frames) ||
		crowd_init(&yield->crowd, yield->task_count) ||
		crowd_series(run, "turnaround", yield->sample, &yield->turnaround))
		return shunt_fail(err, -ENOMEM, "no memory for %llu tasks",
			(unsigned long long)yield->task_count);
	for (uint64_t i = 0; i < yield->task_count; i++)
		yield->yielder[i] =
			(struct yielder){yield, crowd_share(yield->switches, yield->task_count, i)};
	if (yield->frames)
		make_frames(yield);
	return 0;
}

static void yield_teardown(struct shunt_run *run)
{
	struct yield *yield = shunt_run_state(run);
	if (!yield)
		return;
	crowd_fini(&yield->crowd);
	free(yield->yielder);
	free(yield->frames);
	free(yield);
}

static const struct shunt_param yield_params[] = {
	{"tasks", SHUNT_PARAM_COUNT, "2", 1, 10000000, NULL,
		"tasks that take turns; more stacks than fit the cache cost more per switch"},
	{"switches", SHUNT_PARAM_COUNT, "1M", 1, INT64_C(1) << 40, NULL, "yields in total"},
	{"sites", SHUNT_PARAM_COUNT, "1", 1, 2, NULL,
		"2: odd tasks yield from another place in the program, which upsets return "
		"prediction"},
	{"depth", SHUNT_PARAM_COUNT, "0", 0, 4, NULL,
		"C frames between the task's loop and the yield: each may mispredict its return "
		"after a switch; form=step: steps, each of which is called again"},
	{"sample", SHUNT_PARAM_COUNT, "1024", 0, INT64_C(1) << 40, NULL,
		"time one yield in N (0: none)"},
	FORM_PARAM,
	{.name = NULL},
};

const struct shunt_workload shunt_workload_yield = {
	.name = "yield",
	.summary = "tasks yield to each other",
	.description = "Tasks that do nothing but yield: the cost of one trip through the "
		       "scheduler. sites=2 "
		       "and depth=1..4 make the surroundings of the call harder for return "
		       "prediction, as they "
		       "are in real programs. form=step: the same with tasks that have no stack.",
	.operation = "one yield",
	.cost_metric = "ns_per_switch",
	.needs = SHUNT_CAN_BLOCK,
	.params = yield_params,
	.small = "switches=1001 sample=10|tasks=3 switches=100 sites=2 depth=4 sample=0"
		 "|tasks=3 switches=1001 sample=10 form=step"
		 "|tasks=3 switches=1001 sample=10 form=step depth=4",
	.resolve = yield_resolve,
	.footprint = yield_footprint,
	.setup = yield_setup,
	.body = yield_body,
	.verify = yield_verify,
	.teardown = yield_teardown,
};
