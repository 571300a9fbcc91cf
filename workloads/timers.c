/* SPDX-License-Identifier: MIT */
/*
 * timers: many tasks sleep, and how late each wakes is written down.
 *
 * Every task sleeps `sleeps` times for `period`, or for a random time around it (mode=random, drawn
 * from the seed). A wake before its deadline fails the run. In servers most timers never fire: with
 * cancel=0.99, 99 in 100 of the waits are requests with a timeout, answered at once by a server
 * task, so that the timer is armed and cancelled. busy=N adds tasks that compute and yield all the
 * time, which must not starve the timers.
 *
 * The series `lateness` is from the deadline to the sleeper's next instruction: of every sleep and
 * every timeout that fired, because against a timer its recording (some 35 ns with the reading of
 * the clock, which the check needs anyway) is small; `sample` thins it out, `skip` leaves out the
 * first sleeps of each task, which all start in one burst.
 */
#include "workloads/crowd.h"

#include "core/measure/clock.h"
#include "core/rng.h"

#include <stdio.h>

#define BUSY_SLICE_NS 10000 /* how long a busy task computes before it yields */

enum timers_mode { FIXED, RANDOM };
static const char *const mode_names[] = {"fixed", "random", NULL};

/* One cache line. No count is more than `sleeps`, which fits 32 bits. */
struct sleeper {
	_Alignas(64) struct timers *timers;
	struct shunt_handle self;
	uint64_t random;   /* splitmix64's state */
	uint32_t asked;    /* requests made */
	uint32_t answered; /* [timers:answered] of these, by the server */
	uint32_t done, early, cancelled;
	int rc;
};
_Static_assert(sizeof(struct sleeper) == 64, "one cache line");

/* form=step: what is alive over a step. */
struct frame {
	struct shunt_step step;
	struct sleeper *sleeper;
	int64_t due_ns;
	int rc;
};

struct timers {
	uint64_t task_count, sleeps, busy_count, sample, skip, seed;
	int64_t period_ns, spread_ns;
	enum timers_mode mode;
	uint64_t cancel_below; /* a wait is a request if its 53 random bits are below this */
	struct sleeper *sleeper;
	struct frame *frame; /* NULL: tasks with stacks */
	struct crowd crowd, busy;
	struct shunt_channel requests;
	struct shunt_series *lateness;
	uint64_t left; /* [timers:left] sleepers that have not ended */
	uint64_t cpu_ns;
};

/* ---- tasks ----------------------------------------------------------------------------------- */

static void note_wake(struct sleeper *self, uint64_t index, int64_t due_ns)
{
	const struct timers *timers = self->timers;
	/* A reading of the clock waits for loads that were begun; this one is not waited for. */
	__builtin_prefetch(self, 1);
	int64_t late = shunt_now_ns() - due_ns;
	self->early += late < 0;
	if (timers->lateness && index >= timers->skip &&
		(timers->sample == 1 || index % timers->sample == 0))
		shunt_series_record(timers->lateness, late);
}

static bool answered(const struct sleeper *self)
{
	/* Acquire pairs with the release in serve [timers:answered]. */
	return __atomic_load_n(&self->answered, __ATOMIC_ACQUIRE) == self->asked;
}

/* A request with a timeout. If the timeout fires first, waits for the answer all the same, so that
 * requests and answers stay in step. */
static void request(struct sleeper *self, uint64_t index, int64_t due_ns)
{
	int rc = 0;
	self->asked++;
	self->rc = shunt_channel_send(&self->timers->requests, self);
	while (!self->rc && !rc && !answered(self)) {
		rc = shunt_park_until(due_ns);
		if (rc == -ENOMEM)
			self->rc = rc;
	}
	if (rc == -ETIMEDOUT)
		note_wake(self, index, due_ns);
	else
		self->cancelled++;
	while (!self->rc && !answered(self))
		shunt_park();
}

static void *serve(void *arg)
{
	struct timers *timers = arg;
	void *value;
	while (shunt_channel_receive(&timers->requests, &value) == 0) {
		struct sleeper *asker = value;
		/* Read before the answer: the asker may be gone after it. */
		struct shunt_handle handle = asker->self;
		/* Release pairs with the acquire in answered() [timers:answered]. */
		__atomic_fetch_add(&asker->answered, 1, __ATOMIC_RELEASE);
		shunt_wake(handle);
	}
	return NULL;
}

static int64_t next_duration(struct sleeper *self)
{
	const struct timers *timers = self->timers;
	if (timers->mode == FIXED)
		return timers->period_ns;
	uint64_t width = 2 * (uint64_t)timers->spread_ns + 1;
	uint64_t draw = shunt_splitmix64(&self->random);
	return timers->period_ns - timers->spread_ns +
	       (int64_t)(((unsigned __int128)draw * width) >> 64);
}

static bool next_is_request(struct sleeper *self)
{
	return self->timers->cancel_below &&
	       shunt_splitmix64(&self->random) >> 11 < self->timers->cancel_below;
}

static void count_out_one(const struct sleeper *self)
{
	/* Relaxed: only tells the busy tasks to end [timers:left]. */
	__atomic_fetch_sub(&self->timers->left, 1, __ATOMIC_RELAXED);
}

/* The same as sleeper_run with request, as a step task. */
static int sleeper_step(struct shunt_step *step)
{
	struct frame *frame = (struct frame *)step;
	struct sleeper *self = frame->sleeper;
	const struct timers *timers = self->timers;
	SHUNT_STEP_BEGIN(step);
	self->self = shunt_self();
	for (; self->done < timers->sleeps && !self->rc; self->done++) {
		frame->due_ns = shunt_now_ns() + next_duration(self);
		if (!next_is_request(self)) {
			SHUNT_STEP_AWAIT(step, self->rc, shunt_sleep_poll(frame->due_ns));
			note_wake(self, self->done, frame->due_ns);
			continue;
		}
		self->asked++;
		SHUNT_STEP_AWAIT(step, self->rc,
			shunt_channel_send_poll(&self->timers->requests, self, SHUNT_FOREVER));
		for (frame->rc = 0; !self->rc && !frame->rc && !answered(self);) {
			SHUNT_STEP_AWAIT(step, frame->rc, shunt_park_poll(frame->due_ns));
			if (frame->rc == -ENOMEM)
				self->rc = frame->rc;
		}
		if (frame->rc == -ETIMEDOUT)
			note_wake(self, self->done, frame->due_ns);
		else
			self->cancelled++;
		while (!self->rc && !answered(self))
			SHUNT_STEP_AWAIT(step, frame->rc, shunt_park_poll(SHUNT_FOREVER));
	}
	count_out_one(self);
	SHUNT_STEP_END(step);
}

static void *sleeper_run(void *arg)
{
	struct sleeper *self = arg;
	const struct timers *timers = self->timers;
	self->self = shunt_self();
	for (; self->done < timers->sleeps && !self->rc; self->done++) {
		int64_t due = shunt_now_ns() + next_duration(self);
		if (next_is_request(self)) {
			request(self, self->done, due);
		} else {
			self->rc = shunt_sleep_until(due);
			note_wake(self, self->done, due);
		}
	}
	count_out_one(self);
	return NULL;
}

static void *busy_run(void *arg)
{
	struct timers *timers = arg;
	/* Relaxed: see above [timers:left]. */
	while (__atomic_load_n(&timers->left, __ATOMIC_RELAXED)) {
		shunt_work_ns(BUSY_SLICE_NS);
		shunt_yield();
	}
	return NULL;
}

/* ---- one iteration --------------------------------------------------------------------------- */

static void prepare_iteration(struct timers *timers)
{
	for (uint64_t i = 0; i < timers->task_count; i++)
		timers->sleeper[i] = (struct sleeper){.timers = timers,
			.random = timers->seed + i * UINT64_C(0x632be59bd9b4e019)};
	timers->left = timers->task_count;
	timers->requests.closed = false;
}

/* Sleepers that were not started will not count themselves out. */
static void count_out(struct timers *timers)
{
	/* Relaxed: see sleeper_run [timers:left]. */
	__atomic_fetch_sub(&timers->left, timers->task_count - timers->crowd.started,
		__ATOMIC_RELAXED);
}

static int run_tasks(struct shunt_run *run, struct timers *timers)
{
	struct shunt_handle server;
	int rc = shunt_spawn(&server, serve, timers, NULL);
	if (rc)
		return crowd_refused(run, 0, timers->task_count + 1, rc);
	rc = crowd_start(run, &timers->busy, timers->busy_count, busy_run, timers, 0);
	timers->crowd.started = 0;
	for (uint64_t i = 0; timers->frame && i < timers->task_count; i++)
		timers->frame[i].sleeper = &timers->sleeper[i];
	if (!rc && timers->frame)
		rc = crowd_start_steps(run, &timers->crowd, timers->task_count, sleeper_step,
			timers->frame, sizeof(*timers->frame));
	else if (!rc)
		rc = crowd_start(run, &timers->crowd, timers->task_count, sleeper_run,
			timers->sleeper, sizeof(*timers->sleeper));
	count_out(timers);
	int joined = crowd_join(&timers->crowd, NULL);
	crowd_join(&timers->busy, NULL);
	shunt_channel_close(&timers->requests);
	shunt_join(server, NULL);
	return rc ? rc : joined;
}

static int timers_body(struct shunt_run *run)
{
	struct timers *timers = shunt_run_state(run);
	prepare_iteration(timers);
	shunt_measure_begin(run);
	uint64_t cpu_ns = shunt_clock_cpu_ns();
	int rc = run_tasks(run, timers);
	timers->cpu_ns = shunt_clock_cpu_ns() - cpu_ns;
	shunt_measure_end(run);
	for (uint64_t i = 0; i < timers->task_count && !rc; i++) {
		rc = timers->sleeper[i].rc;
		if (rc)
			shunt_run_explain(run, "a timer could not be armed: %s", strerror(-rc));
	}
	return rc;
}

static void timers_verify(struct shunt_run *run)
{
	const struct timers *timers = shunt_run_state(run);
	uint64_t waits = timers->task_count * timers->sleeps, syscalls;
	uint64_t done = 0, early = 0, asked = 0, got = 0, cancelled = 0;
	for (uint64_t i = 0; i < timers->task_count; i++) {
		done += timers->sleeper[i].done;
		early += timers->sleeper[i].early;
		asked += timers->sleeper[i].asked;
		got += timers->sleeper[i].answered;
		cancelled += timers->sleeper[i].cancelled;
	}
	shunt_check_int(run, "waits", (int64_t)waits, (int64_t)done);
	shunt_check_int(run, "wakes_before_their_deadline", 0, (int64_t)early);
	shunt_check_int(run, "answers", (int64_t)asked, (int64_t)got);
	shunt_operations(run, waits);
	if (asked)
		shunt_metric(run, "cancelled_of_requests", (double)cancelled / (double)asked, "1",
			"none");
	shunt_metric(run, "cpu_ns_per_timer", (double)timers->cpu_ns / (double)waits, "ns",
		"lower");
	if (!shunt_run_counter(run, "wait_syscalls", &syscalls))
		shunt_metric(run, "syscalls_per_timer", (double)syscalls / (double)waits, "1",
			"lower");
}

/* ---- set-up ---------------------------------------------------------------------------------- */

/* A spread implies mode=random, and mode=random a spread of half the period. */
static int timers_resolve(struct shunt_run *run, struct shunt_error *err)
{
	bool random = shunt_run_int(run, "mode") == RANDOM, spread = shunt_run_given(run, "spread");
	int64_t period_ns = shunt_run_int(run, "period");
	char half[32];
	int rc = form_check(run, err);
	if (rc)
		return rc;
	if (shunt_run_int(run, "spread") > period_ns)
		return shunt_fail(err, -EINVAL,
			"spread is more than period: a sleep cannot be negative");
	if (spread && !random && shunt_run_given(run, "mode"))
		return shunt_fail(err, -EINVAL, "spread belongs to mode=random");
	if (spread && !random)
		return shunt_run_imply(run, "mode", "random", err);
	if (!random || spread)
		return 0;
	snprintf(half, sizeof(half), "%lldns", (long long)(period_ns / 2));
	return shunt_run_imply(run, "spread", half, err);
}

static void timers_footprint(const struct shunt_run *run, struct shunt_footprint *footprint)
{
	uint64_t sleepers = (uint64_t)shunt_run_int(run, "tasks");
	footprint->tasks = sleepers + (uint64_t)shunt_run_int(run, "busy") + 1;
	footprint->stackless = shunt_run_int(run, "form") == FORM_STEP;
	footprint->bytes =
		footprint->tasks * (sizeof(struct sleeper) + sizeof(struct shunt_handle)) +
		sleepers * (sizeof(void *) + (footprint->stackless ? sizeof(struct frame) : 0));
}

static void timers_configure(struct shunt_run *run, struct timers *timers)
{
	timers->task_count = (uint64_t)shunt_run_int(run, "tasks");
	timers->sleeps = (uint64_t)shunt_run_int(run, "sleeps");
	timers->period_ns = shunt_run_int(run, "period");
	timers->spread_ns = shunt_run_int(run, "spread");
	timers->mode = (enum timers_mode)shunt_run_int(run, "mode");
	timers->busy_count = (uint64_t)shunt_run_int(run, "busy");
	timers->sample = (uint64_t)shunt_run_int(run, "sample");
	timers->skip = (uint64_t)shunt_run_int(run, "skip");
	timers->seed = shunt_run_seed(run);
	double cancel = shunt_value(shunt_run_values(run), "cancel")->real;
	timers->cancel_below = (uint64_t)(cancel * 0x1.0p53);
}

static int timers_setup(struct shunt_run *run, struct shunt_error *err)
{
	struct timers *timers = calloc(1, sizeof(*timers));
	shunt_run_set_state(run, timers);
	if (!timers)
		return -ENOMEM;
	timers_configure(run, timers);
	timers->sleeper = aligned_alloc(64, timers->task_count * sizeof(*timers->sleeper));
	bool steps = shunt_run_int(run, "form") == FORM_STEP;
	if (steps)
		timers->frame = calloc(timers->task_count, sizeof(*timers->frame));
	if (!timers->sleeper || (steps && !timers->frame) ||
		crowd_init(&timers->crowd, timers->task_count) ||
		crowd_init(&timers->busy, timers->busy_count + 1) ||
		shunt_channel_init(&timers->requests,
			timers->cancel_below ? timers->task_count : 1) ||
		crowd_series(run, "lateness", timers->sample, &timers->lateness))
		return shunt_fail(err, -ENOMEM, "no memory for %llu tasks",
			(unsigned long long)timers->task_count);
	return 0;
}

static void timers_teardown(struct shunt_run *run)
{
	struct timers *timers = shunt_run_state(run);
	if (!timers)
		return;
	shunt_channel_fini(&timers->requests);
	crowd_fini(&timers->busy);
	crowd_fini(&timers->crowd);
	free(timers->sleeper);
	free(timers->frame);
	free(timers);
}

static const struct shunt_param timers_params[] = {
	{"tasks", SHUNT_PARAM_COUNT, "1000", 1, 100000000, NULL,
		"sleeping tasks; 10k x 20 sleeps of 10 ms is the usual comparison"},
	{"sleeps", SHUNT_PARAM_COUNT, "20", 1, UINT32_MAX, NULL, "waits of each task"},
	{"period", SHUNT_PARAM_DURATION, "10ms", 0, INT64_C(3600000000000), NULL,
		"how long a wait lasts"},
	{"mode", SHUNT_PARAM_CHOICE, "fixed", 0, 0, mode_names,
		"fixed: every wait lasts `period`; random: uniform in period +- spread, from the "
		"seed"},
	{"spread", SHUNT_PARAM_DURATION, "auto", 0, INT64_C(3600000000000), NULL,
		"of mode=random, which it implies; auto: half the period"},
	{"cancel", SHUNT_PARAM_REAL, "0", 0, 1, NULL,
		"the fraction of waits that are requests, whose timeout is cancelled by the "
		"answer"},
	{"busy", SHUNT_PARAM_COUNT, "0", 0, 100000, NULL,
		"tasks that compute and yield all the time, beside the sleepers"},
	{"sample", SHUNT_PARAM_COUNT, "1", 0, INT64_C(1) << 32, NULL,
		"record the lateness of every N-th wait of each task (0: none)"},
	{"skip", SHUNT_PARAM_COUNT, "0", 0, INT64_C(1) << 32, NULL,
		"leave the first waits of each task out of the series: they all start in one "
		"burst"},
	FORM_PARAM,
	{.name = NULL},
};

const struct shunt_workload shunt_workload_timers = {
	.name = "timers",
	.summary = "tasks sleep: how late is each wake-up",
	.description =
		"Many tasks sleep again and again, for a fixed or a random time; the lateness of "
		"every wake is recorded, and none may come early. cancel=F turns a fraction of the "
		"waits into requests whose timeout is armed and cancelled, as in servers; busy=N "
		"keeps the run queue full meanwhile. To compare with a program that starts its "
		"sleepers cold, run --warmup 0: the first touch of every stack then counts and "
		"delays the first wakes. skip=2 leaves those wakes out of the lateness.",
	.operation = "one timed wait",
	.cost_metric = "ns_per_wait",
	.needs = SHUNT_CAN_BLOCK | SHUNT_TIMED,
	.params = timers_params,
	.small = "tasks=10 sleeps=3 period=500us|tasks=10 sleeps=4 period=500us spread=400us "
		 "cancel=0.5"
		 "|tasks=5 sleeps=2 period=1ms busy=2"
		 "|tasks=10 sleeps=4 period=500us spread=400us cancel=0.5 form=step",
	.resolve = timers_resolve,
	.footprint = timers_footprint,
	.setup = timers_setup,
	.body = timers_body,
	.verify = timers_verify,
	.teardown = timers_teardown,
};
