/* SPDX-License-Identifier: MIT */
/*
 * handoff: control is passed from task to task by name.
 *
 * What makes a coroutine more than a generator is that it can hand control to any other, not only
 * back to its caller (Moura and Ierusalimschy, "Revisiting Coroutines", TOPLAS 2009). Three ways to
 * take turns in a fixed order:
 *
 *   symmetric   each task transfers directly to the next: one swap where the backend can
 *   asymmetric  each task transfers back to a driver, which resumes the next: two swaps
 *   queued      each task wakes the next and parks: one switch, by way of the run queue
 *
 * An operation is one turn taken. The sequence of turns is checked. The series `cycle` is the time
 * from a task's turn to its next one, of about one turn in `sample`.
 */
#include "workloads/crowd.h"

enum handoff_mode { SYMMETRIC, ASYMMETRIC, QUEUED };
static const char *const mode_names[] = {"symmetric", "asymmetric", "queued", NULL};

enum { NOBODY = -1, DRIVER = -2 };

struct player {
	struct handoff *handoff;
	int64_t index;
	uint64_t turns;
	uint64_t wrong;
};

struct handoff {
	int64_t turn;  /* [handoff:turn] whose turn it is; a player's index or one of the above */
	bool stop;     /* set before turn is given; the player ends instead of playing */
	uint64_t step; /* turns taken; only the player whose turn it is touches it */
	uint64_t task_count, transfers, cycles_per_sample;
	enum handoff_mode mode;
	struct player *player;
	struct crowd crowd;
	struct shunt_handle driver;
	struct shunt_series *cycle;
	uint64_t turns_taken;
};

static void give_turn(struct handoff *handoff, int64_t to)
{
	/* Release pairs with the acquire in await_turn [handoff:turn]. */
	__atomic_store_n(&handoff->turn, to, __ATOMIC_RELEASE);
}

/* A park may end without cause, so the turn is looked at again. */
static inline void await_turn(struct handoff *handoff, int64_t index)
{
	/* Acquire pairs with the release in give_turn [handoff:turn]. */
	while (__builtin_expect(__atomic_load_n(&handoff->turn, __ATOMIC_ACQUIRE) != index, 0))
		shunt_park();
}

/* Gives up the turn, and returns when somebody else has run; if `last` it does not wait for
 * that. */
static inline void pass_turn(struct handoff *handoff, int64_t to, struct shunt_handle handle,
	bool last)
{
	give_turn(handoff, to);
	if (!last && handoff->mode != QUEUED) {
		shunt_transfer(handle);
		return;
	}
	shunt_wake(handle);
	if (!last)
		shunt_park();
}

static uint64_t time_cycle(struct handoff *handoff, int64_t *since_ns)
{
	int64_t now = shunt_now_ns(), since = *since_ns;
	if (since)
		shunt_series_record(handoff->cycle, now - since);
	bool pause = since && handoff->cycles_per_sample > 1;
	*since_ns = pause ? 0 : now;
	return pause ? handoff->cycles_per_sample - 1 : 1;
}

static void *player_run(void *arg)
{
	struct player *self = arg;
	struct handoff *handoff = self->handoff;
	int64_t next = (self->index + 1) % (int64_t)handoff->task_count, since_ns = 0;
	bool driven = handoff->mode == ASYMMETRIC;
	uint64_t turn = 0, expected = (uint64_t)self->index;
	uint64_t sample_in = handoff->cycle && self->index == 0 ? 1 : UINT64_MAX;
	if (self->turns) /* the first turn is given when all handles are there */
		await_turn(handoff, self->index);
	struct shunt_handle heir = driven ? handoff->driver : handoff->crowd.handle[next];
	for (; turn < self->turns; turn++, expected += handoff->task_count) {
		await_turn(handoff, self->index);
		if (handoff->stop)
			break;
		self->wrong += handoff->step++ != expected;
		if (__builtin_expect(--sample_in == 0, 0))
			sample_in = time_cycle(handoff, &since_ns);
		int64_t to = driven ? DRIVER : expected + 1 < handoff->transfers ? next : NOBODY;
		pass_turn(handoff, to, heir, turn + 1 == self->turns);
	}
	return (void *)(uintptr_t)turn;
}

/* The caller of generators: resumes each in turn. Runs in the root task. */
static void drive(struct handoff *handoff)
{
	uint64_t next = 0;
	for (uint64_t i = 0; i < handoff->transfers; i++) {
		pass_turn(handoff, (int64_t)next, handoff->crowd.handle[next], false);
		await_turn(handoff, DRIVER);
		next = next + 1 == handoff->task_count ? 0 : next + 1;
	}
}

/* Ends players that wait for a turn that will not come. */
static void dismiss(struct handoff *handoff)
{
	handoff->stop = true;
	for (uint64_t i = 0; i < handoff->crowd.started; i++) {
		give_turn(handoff, (int64_t)i);
		shunt_wake(handoff->crowd.handle[i]);
		shunt_join(handoff->crowd.handle[i], NULL);
	}
	handoff->crowd.started = 0;
}

static int handoff_body(struct shunt_run *run)
{
	struct handoff *handoff = shunt_run_state(run);
	handoff->step = 0;
	handoff->driver = shunt_self();
	give_turn(handoff, NOBODY);
	for (uint64_t i = 0; i < handoff->task_count; i++)
		handoff->player[i].wrong = 0;
	int rc = crowd_start(run, &handoff->crowd, handoff->task_count, player_run, handoff->player,
		sizeof(*handoff->player));
	if (rc)
		dismiss(handoff);
	shunt_measure_begin(run);
	if (!rc && handoff->mode == ASYMMETRIC) {
		drive(handoff);
	} else if (!rc) {
		give_turn(handoff, 0);
		shunt_wake(handoff->crowd.handle[0]);
	}
	int joined = crowd_join(&handoff->crowd, &handoff->turns_taken);
	shunt_measure_end(run);
	return rc ? rc : joined;
}

static void handoff_verify(struct shunt_run *run)
{
	const struct handoff *handoff = shunt_run_state(run);
	uint64_t wrong = 0;
	for (uint64_t i = 0; i < handoff->task_count; i++)
		wrong += handoff->player[i].wrong;
	shunt_check_int(run, "turns", (int64_t)handoff->transfers, (int64_t)handoff->turns_taken);
	shunt_check_int(run, "turns_out_of_sequence", 0, (int64_t)wrong);
	shunt_operations(run, handoff->transfers);
}

static void handoff_footprint(const struct shunt_run *run, struct shunt_footprint *footprint)
{
	footprint->tasks = (uint64_t)shunt_run_int(run, "tasks");
	footprint->bytes = footprint->tasks * (sizeof(struct player) + sizeof(struct shunt_handle));
}

static int handoff_setup(struct shunt_run *run, struct shunt_error *err)
{
	struct handoff *handoff = calloc(1, sizeof(*handoff));
	shunt_run_set_state(run, handoff);
	if (!handoff)
		return -ENOMEM;
	uint64_t sample = (uint64_t)shunt_run_int(run, "sample");
	handoff->task_count = (uint64_t)shunt_run_int(run, "tasks");
	handoff->transfers = (uint64_t)shunt_run_int(run, "transfers");
	handoff->mode = (enum handoff_mode)shunt_run_int(run, "mode");
	handoff->cycles_per_sample = sample > handoff->task_count ? sample / handoff->task_count
								  : 1;
	handoff->player = calloc(handoff->task_count, sizeof(*handoff->player));
	if (!handoff->player || crowd_init(&handoff->crowd, handoff->task_count) ||
		crowd_series(run, "cycle", sample, &handoff->cycle))
		return shunt_fail(err, -ENOMEM, "no memory for %llu tasks",
			(unsigned long long)handoff->task_count);
	for (uint64_t i = 0; i < handoff->task_count; i++)
		handoff->player[i] = (struct player){.handoff = handoff,
			.index = (int64_t)i,
			.turns = crowd_share(handoff->transfers, handoff->task_count, i)};
	return 0;
}

static void handoff_teardown(struct shunt_run *run)
{
	struct handoff *handoff = shunt_run_state(run);
	if (!handoff)
		return;
	crowd_fini(&handoff->crowd);
	free(handoff->player);
	free(handoff);
}

static const struct shunt_param handoff_params[] = {
	{"tasks", SHUNT_PARAM_COUNT, "2", 2, 1000000, NULL, "tasks that take turns"},
	{"transfers", SHUNT_PARAM_COUNT, "1M", 1, INT64_C(1) << 40, NULL, "turns in total"},
	{"mode", SHUNT_PARAM_CHOICE, "symmetric", 0, 0, mode_names,
		"direct transfer to the next; back through a driver; or wake and park, through the "
		"run queue"},
	{"sample", SHUNT_PARAM_COUNT, "1024", 0, INT64_C(1) << 40, NULL,
		"time one cycle in about N turns (0: none)"},
	{.name = NULL},
};

const struct shunt_workload shunt_workload_handoff = {
	.name = "handoff",
	.summary = "tasks hand control to each other by name",
	.description = "Tasks take turns in a fixed order by symmetric transfer, through a driver "
		       "as generators do, or by wake and park. It measures the gain of naming the "
		       "successor: one swap instead of two, and no run queue.",
	.operation = "one turn handed over",
	.cost_metric = "ns_per_transfer",
	.needs = SHUNT_CAN_BLOCK,
	.params = handoff_params,
	.small = "transfers=101 sample=1|tasks=3 transfers=100 mode=asymmetric"
		 "|tasks=4 transfers=50 mode=queued",
	.footprint = handoff_footprint,
	.setup = handoff_setup,
	.body = handoff_body,
	.verify = handoff_verify,
	.teardown = handoff_teardown,
};
