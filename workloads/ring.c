/* SPDX-License-Identifier: MIT */
/*
 * ring: tasks in a ring pass one token; each hop wakes the next task and blocks the one before.
 *
 * One task at a time has something to do, so a hop is one wake-up plus one switch, with as many
 * stacks touched in turn as there are tasks: nothing to run in parallel, and a scheduler that
 * spreads the tasks over workers pays for it. `over` names the mechanism that carries the token.
 *
 * The series `lap` is the time of a round trip of the token; about one hop in `sample` is sampled.
 */
#include "workloads/baton.h"

struct member {
	struct ring *ring;
	uint64_t index, rounds;
	uint64_t wrong; /* tokens that were not the next number */
};

/* form=step: what is alive over a step. */
struct frame {
	struct crowd_frame crowd;
	struct member *member;
	uint64_t round, lap_in;
	int64_t since_ns;
	int rc;
};

struct ring {
	uint64_t task_count, hops, laps_per_sample;
	enum baton_over over;
	struct baton_place *place;
	struct member *member;
	struct frame *frame; /* NULL: tasks with stacks */
	struct crowd crowd;
	struct shunt_series *lap;
	struct shunt_wait_group ready; /* members that are not at their place yet */
	uint64_t hops_made;
};

/* Member 0 sees every lap. Starts or ends the timing of one; returns in how many laps to come
 * again. */
static uint64_t time_lap(struct ring *ring, int64_t *since_ns)
{
	int64_t now = shunt_now_ns(), since = *since_ns;
	if (since)
		shunt_series_record(ring->lap, now - since);
	bool pause = since && ring->laps_per_sample > 1;
	*since_ns = pause ? 0 : now;
	return pause ? ring->laps_per_sample - 1 : 1;
}

BATON_INLINE void *member_run(struct member *member, enum baton_over over)
{
	struct ring *ring = member->ring;
	struct baton_place *mine = &ring->place[member->index];
	struct baton_place *next = &ring->place[(member->index + 1) % ring->task_count];
	uint64_t round = 0, lap_in = ring->lap && member->index == 0 ? 1 : UINT64_MAX;
	int64_t since_ns = 0;
	mine->member = shunt_self();
	shunt_wait_group_done(&ring->ready);
	for (; round < member->rounds; round++) {
		uint64_t token = baton_await(mine, over);
		if (__builtin_expect(token != round * ring->task_count + member->index, 0)) {
			if (token == BATON_STOP)
				break;
			member->wrong++;
		}
		if (__builtin_expect(--lap_in == 0, 0))
			lap_in = time_lap(ring, &since_ns);
		if (__builtin_expect(token + 1 < ring->hops, 1))
			baton_pass(next, over, token + 1);
	}
	return (void *)(uintptr_t)round;
}

static void *member_semaphore(void *arg)
{
	return member_run(arg, BATON_SEMAPHORE);
}

static void *member_park(void *arg)
{
	return member_run(arg, BATON_PARK);
}

static void *member_channel(void *arg)
{
	return member_run(arg, BATON_CHANNEL);
}

/* The same as a step task. */
BATON_INLINE int member_step(struct shunt_step *step, enum baton_over over)
{
	struct frame *self = (struct frame *)step;
	struct member *member = self->member;
	struct ring *ring = member->ring;
	struct baton_place *mine = &ring->place[member->index];
	void *value = NULL;
	SHUNT_STEP_BEGIN(step);
	self->round = 0;
	self->since_ns = 0;
	self->lap_in = ring->lap && member->index == 0 ? 1 : UINT64_MAX;
	mine->member = shunt_self();
	shunt_wait_group_done(&ring->ready);
	for (; self->round < member->rounds; self->round++) {
		if (over == BATON_CHANNEL) {
			SHUNT_STEP_AWAIT(step, self->rc,
				shunt_channel_receive_poll(mine->channel, &value, SHUNT_FOREVER));
			mine->value = (uintptr_t)value;
		} else if (over == BATON_SEMAPHORE) {
			SHUNT_STEP_AWAIT(step, self->rc,
				shunt_semaphore_wait_poll(&mine->semaphore, SHUNT_FOREVER));
		} else {
			while (!baton_taken(mine))
				SHUNT_STEP_AWAIT(step, self->rc, shunt_park_poll(SHUNT_FOREVER));
		}
		uint64_t token = mine->value;
		if (__builtin_expect(token != self->round * ring->task_count + member->index, 0)) {
			if (token == BATON_STOP)
				break;
			member->wrong++;
		}
		if (__builtin_expect(--self->lap_in == 0, 0))
			self->lap_in = time_lap(ring, &self->since_ns);
		if (__builtin_expect(token + 1 < ring->hops, 1))
			baton_pass(&ring->place[(member->index + 1) % ring->task_count], over,
				token + 1);
	}
	self->crowd.result = self->round;
	SHUNT_STEP_END(step);
}

static int step_semaphore(struct shunt_step *step)
{
	return member_step(step, BATON_SEMAPHORE);
}

static int step_park(struct shunt_step *step)
{
	return member_step(step, BATON_PARK);
}

static int step_channel(struct shunt_step *step)
{
	return member_step(step, BATON_CHANNEL);
}

static int start_members(struct shunt_run *run, struct ring *ring)
{
	static shunt_task_fn *const members[] = {member_semaphore, member_park, member_channel};
	static shunt_step_fn *const steps[] = {step_semaphore, step_park, step_channel};
	for (uint64_t i = 0; ring->frame && i < ring->task_count; i++)
		ring->frame[i].member = &ring->member[i];
	if (ring->frame)
		return crowd_start_steps(run, &ring->crowd, ring->task_count, steps[ring->over],
			ring->frame, sizeof(*ring->frame));
	return crowd_start(run, &ring->crowd, ring->task_count, members[ring->over], ring->member,
		sizeof(*ring->member));
}

static void pass(struct ring *ring, uint64_t to, uint64_t value)
{
	if (ring->over == BATON_CHANNEL)
		baton_pass(&ring->place[to], BATON_CHANNEL, value);
	else if (ring->over == BATON_PARK)
		baton_pass(&ring->place[to], BATON_PARK, value);
	else
		baton_pass(&ring->place[to], BATON_SEMAPHORE, value);
}

static int ring_body(struct shunt_run *run)
{
	struct ring *ring = shunt_run_state(run);
	for (uint64_t i = 0; i < ring->task_count; i++)
		ring->member[i].wrong = 0;
	shunt_wait_group_add(&ring->ready, (int64_t)ring->task_count);
	int rc = start_members(run, ring);
	if (rc) /* those that could not be started will not report */
		shunt_wait_group_add(&ring->ready,
			(int64_t)ring->crowd.started - (int64_t)ring->task_count);
	shunt_wait_group_wait(&ring->ready);
	shunt_measure_begin(run);
	if (!rc)
		pass(ring, 0, 0);
	for (uint64_t i = 0; rc && i < ring->crowd.started; i++)
		pass(ring, i, BATON_STOP);
	int joined = crowd_join(&ring->crowd, &ring->hops_made);
	shunt_measure_end(run);
	return rc ? rc : joined;
}

static void ring_verify(struct shunt_run *run)
{
	const struct ring *ring = shunt_run_state(run);
	uint64_t wrong = 0;
	for (uint64_t i = 0; i < ring->task_count; i++)
		wrong += ring->member[i].wrong;
	shunt_check_int(run, "hops", (int64_t)ring->hops, (int64_t)ring->hops_made);
	shunt_check_int(run, "tokens_out_of_sequence", 0, (int64_t)wrong);
	shunt_operations(run, ring->hops);
}

static void ring_footprint(const struct shunt_run *run, struct shunt_footprint *footprint)
{
	footprint->tasks = (uint64_t)shunt_run_int(run, "tasks");
	footprint->stackless = shunt_run_int(run, "form") == FORM_STEP;
	footprint->bytes =
		footprint->tasks *
		(sizeof(struct baton_place) + sizeof(struct member) + sizeof(struct shunt_handle) +
			(footprint->stackless ? sizeof(struct frame) : 0));
}

static int ring_setup(struct shunt_run *run, struct shunt_error *err)
{
	struct ring *ring = calloc(1, sizeof(*ring));
	shunt_run_set_state(run, ring);
	if (!ring)
		return -ENOMEM;
	uint64_t sample = (uint64_t)shunt_run_int(run, "sample");
	ring->task_count = (uint64_t)shunt_run_int(run, "tasks");
	ring->hops = (uint64_t)shunt_run_int(run, "hops");
	ring->over = (enum baton_over)shunt_run_int(run, "over");
	ring->laps_per_sample = sample > ring->task_count ? sample / ring->task_count : 1;
	ring->member = calloc(ring->task_count, sizeof(*ring->member));
	bool steps = shunt_run_int(run, "form") == FORM_STEP;
	if (steps)
		ring->frame = calloc(ring->task_count, sizeof(*ring->frame));
	if (!ring->member || (steps && !ring->frame) ||
		crowd_init(&ring->crowd, ring->task_count) ||
		baton_init(&ring->place, ring->task_count, ring->over) ||
		crowd_series(run, "lap", sample, &ring->lap))
		return shunt_fail(err, -ENOMEM, "no memory for a ring of %llu",
			(unsigned long long)ring->task_count);
	for (uint64_t i = 0; i < ring->task_count; i++)
		ring->member[i] = (struct member){.ring = ring,
			.index = i,
			.rounds = crowd_share(ring->hops, ring->task_count, i)};
	return 0;
}

static void ring_teardown(struct shunt_run *run)
{
	struct ring *ring = shunt_run_state(run);
	if (!ring)
		return;
	baton_fini(ring->place, ring->task_count, ring->over);
	crowd_fini(&ring->crowd);
	free(ring->member);
	free(ring->frame);
	free(ring);
}

static const struct shunt_param ring_params[] = {
	{"tasks", SHUNT_PARAM_COUNT, "1000", 2, 10000000, NULL,
		"tasks in the ring; more stacks than fit the cache cost more per hop"},
	{"hops", SHUNT_PARAM_COUNT, "100k", 1, INT64_C(1) << 40, NULL,
		"hops of the token in total"},
	{"over", SHUNT_PARAM_CHOICE, "semaphore", 0, 0, baton_names,
		"what carries the token: a semaphore each, wake and park, or a channel of one "
		"each"},
	{"sample", SHUNT_PARAM_COUNT, "1024", 0, INT64_C(1) << 40, NULL,
		"time one lap in about N hops (0: none)"},
	FORM_PARAM,
	{.name = NULL},
};

const struct shunt_workload shunt_workload_ring = {
	.name = "ring",
	.summary = "tasks in a ring pass a token",
	.description = "A token goes round a ring of blocked tasks; each hop wakes the next task "
		       "and blocks the last. It measures one wake-up plus one switch, with many "
		       "stacks touched in turn; a second worker gains nothing.",
	.operation = "one hop of the token",
	.cost_metric = "ns_per_hop",
	.needs = SHUNT_CAN_BLOCK,
	.params = ring_params,
	.small = "tasks=5 hops=103 sample=1|tasks=3 hops=50 over=park|tasks=4 hops=41 over=channel"
		 "|tasks=5 hops=103 sample=1 form=step|tasks=3 hops=50 over=park form=step"
		 "|tasks=4 hops=41 over=channel form=step",
	.resolve = form_check,
	.footprint = ring_footprint,
	.setup = ring_setup,
	.body = ring_body,
	.verify = ring_verify,
	.teardown = ring_teardown,
};
