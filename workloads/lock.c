/* SPDX-License-Identifier: MIT */
/*
 * lock: tasks contend for one mutex.
 *
 * Each task takes the mutex `rounds` times, adds one to a counter by a plain load and store, and
 * lets it go. On one worker nobody contends for a mutex whose owner never gives way, so by default
 * the owner yields inside (give=inside); give=outside yields between rounds, give=none does
 * neither, which is the uncontended price on one worker and a stampede on several. hold and outside
 * add computing.
 *
 * What it tells is cost and fairness. Fairness is Jain's index of the rounds that each task has
 * made when the first one is through: 1 if all have made the same, 1/tasks if one made all (Jain,
 * Chiu, Hawe, DEC TR-301, 1984). The series `acquire` is from asking for the mutex to owning it, of
 * one round in `sample`.
 */
#include "workloads/crowd.h"

enum give { GIVE_INSIDE, GIVE_OUTSIDE, GIVE_NONE };
static const char *const give_names[] = {"inside", "outside", "none", NULL};

struct contender {
	_Alignas(64) struct lock *lock;
	uint64_t rounds;
	int rc;
};

struct lock {
	_Alignas(64) struct shunt_mutex mutex;
	uint64_t counter;             /* guarded by the mutex */
	uint64_t inside, most_inside; /* tasks that own the mutex: 1 at most */
	bool first_is_through;
	double fairness;

	_Alignas(64) uint64_t task_count, rounds, sample;
	int64_t hold_ns, outside_ns;
	enum give give;
	struct contender *contender;
	struct crowd crowd;
	struct shunt_series *acquire;
};

/* Jain's index of the rounds made so far. Context: the mutex is owned. */
static double fairness_now(const struct lock *lock)
{
	double sum = 0, squares = 0;
	for (uint64_t i = 0; i < lock->task_count; i++) {
		double rounds = (double)lock->contender[i].rounds;
		sum += rounds;
		squares += rounds * rounds;
	}
	return squares > 0 ? sum * sum / ((double)lock->task_count * squares) : 1;
}

/* What is done while the mutex is owned. */
static void critical(struct contender *self)
{
	struct lock *lock = self->lock;
	lock->inside++;
	if (lock->inside > lock->most_inside)
		lock->most_inside = lock->inside;
	uint64_t before = lock->counter;
	if (lock->hold_ns)
		shunt_work_ns(lock->hold_ns);
	if (lock->give == GIVE_INSIDE)
		shunt_yield();
	lock->counter = before + 1;
	self->rounds++;
	if (__builtin_expect(self->rounds == lock->rounds && !lock->first_is_through, 0)) {
		lock->first_is_through = true;
		lock->fairness = fairness_now(lock);
	}
	lock->inside--;
}

static void *contend(void *arg)
{
	struct contender *self = arg;
	struct lock *lock = self->lock;
	/* The first sample of each task is elsewhere, or they would all be taken in the first
	 * rush. */
	uint64_t index = (uint64_t)(self - lock->contender);
	uint64_t sample_in = lock->sample ? 1 + index % lock->sample : UINT64_MAX;
	for (uint64_t round = 0; round < lock->rounds && !self->rc; round++) {
		bool timed = __builtin_expect(--sample_in == 0, 0);
		int64_t before = timed ? shunt_now_ns() : 0;
		self->rc = shunt_mutex_lock(&lock->mutex);
		if (self->rc)
			break;
		int64_t waited = timed ? shunt_now_ns() - before : 0;
		critical(self);
		self->rc = shunt_mutex_unlock(&lock->mutex);
		if (timed) {
			shunt_series_record(lock->acquire, waited);
			sample_in = lock->sample;
		}
		if (lock->outside_ns)
			shunt_work_ns(lock->outside_ns);
		if (lock->give == GIVE_OUTSIDE)
			shunt_yield();
	}
	return NULL;
}

static int lock_body(struct shunt_run *run)
{
	struct lock *lock = shunt_run_state(run);
	memset(&lock->mutex, 0, sizeof(lock->mutex));
	lock->counter = lock->inside = lock->most_inside = 0;
	lock->first_is_through = false;
	for (uint64_t i = 0; i < lock->task_count; i++)
		lock->contender[i] = (struct contender){.lock = lock};
	shunt_measure_begin(run);
	int rc = crowd_start(run, &lock->crowd, lock->task_count, contend, lock->contender,
		sizeof(*lock->contender));
	int joined = crowd_join(&lock->crowd, NULL);
	shunt_measure_end(run);
	for (uint64_t i = 0; i < lock->task_count && !rc && !joined; i++)
		joined = lock->contender[i].rc;
	return rc ? rc : joined;
}

static void lock_verify(struct shunt_run *run)
{
	const struct lock *lock = shunt_run_state(run);
	uint64_t rounds = lock->task_count * lock->rounds, waits;
	shunt_check_int(run, "counter", (int64_t)rounds, (int64_t)lock->counter);
	shunt_check_int(run, "most_owners_at_once", 1, (int64_t)lock->most_inside);
	shunt_operations(run, rounds);
	shunt_metric(run, "fairness", lock->fairness, "1", "higher");
	if (!shunt_run_counter(run, "sync_waits", &waits))
		shunt_metric(run, "contended", (double)waits / (double)rounds, "1", "none");
}

static void lock_footprint(const struct shunt_run *run, struct shunt_footprint *footprint)
{
	footprint->tasks = (uint64_t)shunt_run_int(run, "tasks");
	footprint->bytes =
		footprint->tasks * (sizeof(struct contender) + sizeof(struct shunt_handle));
}

static int lock_setup(struct shunt_run *run, struct shunt_error *err)
{
	struct lock *lock = aligned_alloc(64, sizeof(*lock));
	shunt_run_set_state(run, lock);
	if (!lock)
		return -ENOMEM;
	memset(lock, 0, sizeof(*lock));
	lock->task_count = (uint64_t)shunt_run_int(run, "tasks");
	lock->rounds = (uint64_t)shunt_run_int(run, "rounds");
	lock->sample = (uint64_t)shunt_run_int(run, "sample");
	lock->hold_ns = shunt_run_int(run, "hold");
	lock->outside_ns = shunt_run_int(run, "outside");
	lock->give = (enum give)shunt_run_int(run, "give");
	lock->contender = aligned_alloc(64, lock->task_count * sizeof(*lock->contender));
	if (!lock->contender || crowd_init(&lock->crowd, lock->task_count) ||
		crowd_series(run, "acquire", lock->sample, &lock->acquire))
		return shunt_fail(err, -ENOMEM, "no memory for %llu tasks",
			(unsigned long long)lock->task_count);
	return 0;
}

static void lock_teardown(struct shunt_run *run)
{
	struct lock *lock = shunt_run_state(run);
	if (!lock)
		return;
	crowd_fini(&lock->crowd);
	free(lock->contender);
	free(lock);
}

static const struct shunt_param lock_params[] = {
	{"tasks", SHUNT_PARAM_COUNT, "10", 1, 1000000, NULL, "tasks that contend"},
	{"rounds", SHUNT_PARAM_COUNT, "10k", 1, INT64_C(1) << 40, NULL,
		"how often each takes the mutex"},
	{"give", SHUNT_PARAM_CHOICE, "inside", 0, 0, give_names,
		"where a task yields: while it owns the mutex, between rounds, or nowhere"},
	{"hold", SHUNT_PARAM_DURATION, "0", 0, 1000000000, NULL,
		"computing while it owns the mutex"},
	{"outside", SHUNT_PARAM_DURATION, "0", 0, 1000000000, NULL, "computing between rounds"},
	{"sample", SHUNT_PARAM_COUNT, "256", 0, INT64_C(1) << 40, NULL,
		"time one acquisition in N of each task (0: none)"},
	{.name = NULL},
};

const struct shunt_workload shunt_workload_lock = {
	.name = "lock",
	.summary = "tasks contend for a mutex: cost and fairness",
	.description =
		"Every task takes the same mutex again and again, and by default yields while it "
		"owns it, so that every acquisition is contended. It measures the cost of a "
		"contended hand-over, the waiting time, and whether all tasks get their share.",
	.operation = "one acquisition",
	.cost_metric = "ns_per_acquisition",
	.needs = SHUNT_CAN_BLOCK,
	.params = lock_params,
	.small = "tasks=4 rounds=20 sample=3|tasks=3 rounds=20 give=none hold=1us"
		 "|tasks=3 rounds=20 give=outside outside=1us sample=0",
	.footprint = lock_footprint,
	.setup = lock_setup,
	.body = lock_body,
	.verify = lock_verify,
	.teardown = lock_teardown,
};
