/* SPDX-License-Identifier: MIT */
/*
 * suspended: a population of tasks that are all alive and waiting at once.
 *
 * Servers hold far more tasks than they run. This workload starts them all, waits until every one
 * is waiting, reads how much the process's resident memory has grown since before the first
 * iteration (rss_bytes_per_task: stack or frame, descriptor, timer; without the kernel's page
 * tables), then ends them all: `wait=park` by waking them, `wait=sleep` by letting them sleep on to
 * the end of their period, `wait=timeout` by waking them out of a timed park, whose timer is
 * cancelled.
 *
 * Each keeps `state` bytes over its wait, on its stack or in its frame, and looks at them again.
 *
 * The wall time includes the reading of the memory, and the sleep; start_ns_per_task and
 * end_ns_per_task do not. The series `wake_delay` is the time from a wake (park, timeout) or a
 * deadline (sleep) to the task's next instruction.
 */
#include "workloads/crowd.h"

#include <stdio.h>
#include <unistd.h>

enum wait_kind { WAIT_PARK, WAIT_SLEEP, WAIT_TIMEOUT };
static const char *const wait_names[] = {"park", "sleep", "timeout", NULL};

struct sleeper {
	struct suspended *suspended;
	uint64_t index;
	int64_t woken_ns; /* of a task that is sampled; 0: none */
};

/* form=step: counted as memory of the task. */
struct frame {
	struct shunt_step step;
	struct sleeper *sleeper;
	int64_t due_ns;
	unsigned char state[];
};

#define TIMEOUT_NS INT64_C(3600000000000) /* of a park that is woken before */

struct suspended {
	uint64_t task_count, sample, state;
	int64_t period_ns;
	enum wait_kind wait;
	struct sleeper *sleeper;
	char *frames; /* a struct frame each; NULL: tasks with stacks */
	size_t frame_bytes;
	struct crowd crowd;
	struct shunt_wait_group arriving; /* tasks that do not wait yet */
	int released; /* [suspended:released] the population was counted; tasks may end */
	uint64_t ended, alive_at_once; /* [suspended:ended] tasks that have ended */
	uint64_t early;                /* [suspended:early] wakes before their deadline */
	uint64_t spoilt;               /* [suspended:spoilt] bytes of state that were others */
	int rc;                        /* [suspended:rc] the first refusal of a timer */
	struct shunt_series *wake_delay;
	int64_t rss_before, rss_after;
	int64_t start_ns, end_ns; /* how long it took to start them all, and to end them */
};

/* Resident memory in bytes, or -1: from smaps_rollup, which is exact, or statm where that is
 * missing. */
static int64_t resident_bytes(void)
{
	FILE *file = fopen("/proc/self/smaps_rollup", "r");
	char line[256];
	long long kib = -1, pages = -1;
	while (file && kib < 0 && fgets(line, sizeof(line), file))
		sscanf(line, "Rss: %lld kB", &kib);
	if (file)
		fclose(file);
	if (kib >= 0)
		return kib * 1024;
	file = fopen("/proc/self/statm", "r");
	if (file && fscanf(file, "%*d %lld", &pages) != 1)
		pages = -1;
	if (file)
		fclose(file);
	return pages < 0 ? -1 : pages * sysconf(_SC_PAGESIZE);
}

static bool released(struct suspended *suspended)
{
	/* Acquire pairs with the release in release_all [suspended:released]. */
	return __atomic_load_n(&suspended->released, __ATOMIC_ACQUIRE);
}

static void release_all(struct suspended *suspended)
{
	/* Release pairs with the acquire in released() [suspended:released]. */
	__atomic_store_n(&suspended->released, 1, __ATOMIC_RELEASE);
	if (suspended->wait == WAIT_SLEEP)
		return;
	for (uint64_t i = 0; i < suspended->crowd.started; i++)
		shunt_wake(suspended->crowd.handle[i]);
}

/* The task whose timer is refused ends at once: it would only ask again. */
static bool refused(struct suspended *suspended, int rc)
{
	int none = 0;
	if (!rc || rc == -ETIMEDOUT)
		return false;
	/* Relaxed: all tasks are joined before anybody reads it [suspended:rc]. */
	__atomic_compare_exchange_n(&suspended->rc, &none, rc, false, __ATOMIC_RELAXED,
		__ATOMIC_RELAXED);
	return true;
}

static void wait_parked(struct sleeper *self, int64_t deadline_ns)
{
	while (!released(self->suspended))
		if (refused(self->suspended, shunt_park_until(deadline_ns)))
			return;
	if (self->woken_ns)
		shunt_series_record(self->suspended->wake_delay, shunt_now_ns() - self->woken_ns);
}

static void note_sleep(struct sleeper *self, int64_t due_ns)
{
	struct suspended *suspended = self->suspended;
	int64_t late = shunt_now_ns() - due_ns;
	if (late < 0)
		/* Relaxed: read after all tasks are joined [suspended:early]. */
		__atomic_fetch_add(&suspended->early, 1, __ATOMIC_RELAXED);
	if (suspended->sample && self->index % suspended->sample == 0)
		shunt_series_record(suspended->wake_delay, late);
}

static void wait_asleep(struct sleeper *self)
{
	struct suspended *suspended = self->suspended;
	while (!released(suspended)) {
		int64_t due = shunt_now_ns() + suspended->period_ns;
		if (refused(suspended, shunt_sleep_until(due)))
			return;
		note_sleep(self, due);
	}
}

static unsigned char state_at(const struct sleeper *self, uint64_t index)
{
	return (unsigned char)(self->index + index * 7);
}

/* From the highest address down, page by page: on a stack the guard then stops what is too much. */
static void fill_state(const struct sleeper *self, volatile unsigned char *state)
{
	for (uint64_t i = self->suspended->state; i-- > 0;)
		state[i] = state_at(self, i);
}

static void check_state(const struct sleeper *self, const unsigned char *state)
{
	uint64_t spoilt = 0;
	for (uint64_t i = 0; i < self->suspended->state; i++)
		spoilt += state[i] != state_at(self, i);
	if (spoilt)
		/* Relaxed: read after all tasks are joined [suspended:spoilt]. */
		__atomic_fetch_add(&self->suspended->spoilt, spoilt, __ATOMIC_RELAXED);
}

static void note_end(struct suspended *suspended)
{
	/* Relaxed: a count, compared with nothing else [suspended:ended]. */
	__atomic_fetch_add(&suspended->ended, 1, __ATOMIC_RELAXED);
}

/* The same as a step task. */
static int sleeper_step(struct shunt_step *step)
{
	struct frame *frame = (struct frame *)step;
	struct sleeper *self = frame->sleeper;
	struct suspended *suspended = self->suspended;
	int rc;
	SHUNT_STEP_BEGIN(step);
	fill_state(self, frame->state);
	shunt_wait_group_done(&suspended->arriving);
	frame->due_ns = suspended->wait == WAIT_PARK ? SHUNT_FOREVER : shunt_now_ns() + TIMEOUT_NS;
	while (!released(suspended)) {
		if (suspended->wait == WAIT_SLEEP) {
			frame->due_ns = shunt_now_ns() + suspended->period_ns;
			SHUNT_STEP_AWAIT(step, rc, shunt_sleep_poll(frame->due_ns));
		} else {
			SHUNT_STEP_AWAIT(step, rc, shunt_park_poll(frame->due_ns));
		}
		if (refused(suspended, rc))
			break;
		if (suspended->wait == WAIT_SLEEP)
			note_sleep(self, frame->due_ns);
	}
	if (self->woken_ns)
		shunt_series_record(suspended->wake_delay, shunt_now_ns() - self->woken_ns);
	check_state(self, frame->state);
	note_end(suspended);
	SHUNT_STEP_END(step);
}

static void *sleeper_run(void *arg)
{
	struct sleeper *self = arg;
	struct suspended *suspended = self->suspended;
	unsigned char *state = __builtin_alloca(suspended->state);
	fill_state(self, state);
	shunt_wait_group_done(&suspended->arriving);
	if (suspended->wait == WAIT_SLEEP)
		wait_asleep(self);
	else
		wait_parked(self,
			suspended->wait == WAIT_PARK ? SHUNT_FOREVER : shunt_now_ns() + TIMEOUT_NS);
	check_state(self, state);
	note_end(suspended);
	return NULL;
}

/* The time of a wake is written before any wake, so that a task can read it; the delay of a late
 * one includes the wakes before it, which is what its waiter sees. */
static void stamp_sampled(struct suspended *suspended)
{
	int64_t now = shunt_now_ns();
	for (uint64_t i = 0; suspended->sample && i < suspended->task_count; i += suspended->sample)
		suspended->sleeper[i].woken_ns = now;
}

static int suspended_body(struct shunt_run *run)
{
	struct suspended *suspended = shunt_run_state(run);
	suspended->released = 0;
	suspended->ended = suspended->early = suspended->spoilt = 0;
	suspended->rc = 0;
	for (uint64_t i = 0; i < suspended->task_count; i++)
		suspended->sleeper[i].woken_ns = 0;
	shunt_wait_group_add(&suspended->arriving, (int64_t)suspended->task_count);
	shunt_measure_begin(run);
	int64_t begin_ns = shunt_now_ns();
	for (uint64_t i = 0; suspended->frames && i < suspended->task_count; i++)
		((struct frame *)(suspended->frames + i * suspended->frame_bytes))->sleeper =
			&suspended->sleeper[i];
	int rc = suspended->frames
			 ? crowd_start_steps(run, &suspended->crowd, suspended->task_count,
				   sleeper_step, suspended->frames, suspended->frame_bytes)
			 : crowd_start(run, &suspended->crowd, suspended->task_count, sleeper_run,
				   suspended->sleeper, sizeof(*suspended->sleeper));
	if (rc)
		shunt_wait_group_add(&suspended->arriving,
			(int64_t)suspended->crowd.started - (int64_t)suspended->task_count);
	shunt_wait_group_wait(&suspended->arriving);
	/* Relaxed: no task ends before it is released [suspended:ended]. */
	suspended->alive_at_once =
		suspended->crowd.started - __atomic_load_n(&suspended->ended, __ATOMIC_RELAXED);
	suspended->start_ns = shunt_now_ns() - begin_ns;
	suspended->rss_after = resident_bytes();
	begin_ns = shunt_now_ns();
	stamp_sampled(suspended);
	release_all(suspended);
	int joined = crowd_join(&suspended->crowd, NULL);
	suspended->end_ns = shunt_now_ns() - begin_ns;
	shunt_measure_end(run);
	if (!rc && suspended->rc) {
		rc = suspended->rc;
		shunt_run_explain(run, "a timer could not be armed: %s", strerror(-rc));
	}
	return rc ? rc : joined;
}

static void suspended_verify(struct shunt_run *run)
{
	const struct suspended *suspended = shunt_run_state(run);
	int64_t tasks = (int64_t)suspended->task_count;
	shunt_check_int(run, "tasks_alive_at_once", tasks, (int64_t)suspended->alive_at_once);
	shunt_check_int(run, "tasks_ended", tasks, (int64_t)suspended->ended);
	shunt_check_int(run, "wakes_before_their_deadline", 0, (int64_t)suspended->early);
	shunt_check_int(run, "bytes_of_state_spoilt", 0, (int64_t)suspended->spoilt);
	shunt_operations(run, suspended->task_count);
	shunt_metric(run, "start_ns_per_task", (double)suspended->start_ns / (double)tasks, "ns",
		"lower");
	if (suspended->wait != WAIT_SLEEP)
		shunt_metric(run, "end_ns_per_task", (double)suspended->end_ns / (double)tasks,
			"ns", "lower");
	if (suspended->rss_before >= 0 && suspended->rss_after >= 0)
		shunt_metric(run, "rss_bytes_per_task",
			(double)(suspended->rss_after - suspended->rss_before) / (double)tasks,
			"bytes", "lower");
}

static int suspended_resolve(struct shunt_run *run, struct shunt_error *err)
{
	bool timed = shunt_run_int(run, "wait") != WAIT_PARK;
	if (timed && !(shunt_run_caps(run) & SHUNT_TIMED))
		return shunt_fail(err, -ENOTSUP,
			"wait=%s needs a backend with timers; wait=park does not",
			shunt_run_text(run, "wait"));
	return form_check(run, err);
}

/* Whole words, so that each frame is aligned. */
static size_t frame_bytes(const struct shunt_run *run)
{
	size_t state = (size_t)shunt_run_int(run, "state") + sizeof(int64_t) - 1;
	return shunt_run_int(run, "form") == FORM_STEP
		       ? sizeof(struct frame) + state / sizeof(int64_t) * sizeof(int64_t)
		       : 0;
}

static void suspended_footprint(const struct shunt_run *run, struct shunt_footprint *footprint)
{
	footprint->tasks = (uint64_t)shunt_run_int(run, "tasks");
	footprint->stackless = shunt_run_int(run, "form") == FORM_STEP;
	footprint->bytes =
		footprint->tasks *
		(sizeof(struct sleeper) + sizeof(struct shunt_handle) + frame_bytes(run));
}

static int suspended_setup(struct shunt_run *run, struct shunt_error *err)
{
	struct suspended *suspended = calloc(1, sizeof(*suspended));
	shunt_run_set_state(run, suspended);
	if (!suspended)
		return -ENOMEM;
	suspended->task_count = (uint64_t)shunt_run_int(run, "tasks");
	suspended->sample = (uint64_t)shunt_run_int(run, "sample");
	suspended->period_ns = shunt_run_int(run, "period");
	suspended->wait = (enum wait_kind)shunt_run_int(run, "wait");
	suspended->sleeper = calloc(suspended->task_count, sizeof(*suspended->sleeper));
	suspended->state = (uint64_t)shunt_run_int(run, "state");
	suspended->frame_bytes = frame_bytes(run);
	if (suspended->frame_bytes)
		suspended->frames = calloc(suspended->task_count, suspended->frame_bytes);
	if (!suspended->sleeper || (suspended->frame_bytes && !suspended->frames) ||
		crowd_init(&suspended->crowd, suspended->task_count) ||
		crowd_series(run, "wake_delay", suspended->sample, &suspended->wake_delay))
		return shunt_fail(err, -ENOMEM, "no memory for %llu tasks",
			(unsigned long long)suspended->task_count);
	/* Written, so that our own memory is resident before the count begins. */
	memset(suspended->crowd.handle, 0xff, suspended->task_count * sizeof(struct shunt_handle));
	for (uint64_t i = 0; i < suspended->task_count; i++)
		suspended->sleeper[i] = (struct sleeper){.suspended = suspended, .index = i};
	suspended->rss_before = resident_bytes();
	return 0;
}

static void suspended_teardown(struct shunt_run *run)
{
	struct suspended *suspended = shunt_run_state(run);
	if (!suspended)
		return;
	crowd_fini(&suspended->crowd);
	free(suspended->sleeper);
	free(suspended->frames);
	free(suspended);
}

static const struct shunt_param suspended_params[] = {
	{"tasks", SHUNT_PARAM_COUNT, "10k", 1, 100000000, NULL,
		"tasks that are alive and wait at once"},
	{"wait", SHUNT_PARAM_CHOICE, "park", 0, 0, wait_names,
		"how they wait: parked; asleep, a timer each; or parked with a timeout that is "
		"cancelled"},
	{"period", SHUNT_PARAM_DURATION, "1s", 1, INT64_C(3600000000000), NULL,
		"wait=sleep: how long each sleeps, again and again until all are alive"},
	{"sample", SHUNT_PARAM_COUNT, "16", 0, INT64_C(1) << 40, NULL,
		"time the wake of one task in N (0: none)"},
	{"state", SHUNT_PARAM_SIZE, "0", 0, 16384, NULL,
		"bytes that each task keeps over its wait"},
	FORM_PARAM,
	{.name = NULL},
};

const struct shunt_workload shunt_workload_suspended = {
	.name = "suspended",
	.summary = "a population of tasks, all alive and waiting at once",
	.description = "Starts tasks until all are alive and waiting, reads the growth of resident "
		       "memory, and ends them. It measures the memory of a suspended task, and the "
		       "cost of starting and ending as many as the machine can hold.",
	.operation = "one task started, suspended, woken and joined",
	.cost_metric = "ns_per_task",
	.needs = SHUNT_CAN_BLOCK,
	.params = suspended_params,
	.small = "tasks=20 sample=1 state=999|tasks=20 wait=sleep period=1ms|tasks=20 wait=timeout"
		 "|tasks=20 sample=1 form=step state=999|tasks=20 wait=sleep period=1ms form=step"
		 "|tasks=20 wait=timeout form=step",
	.resolve = suspended_resolve,
	.footprint = suspended_footprint,
	.setup = suspended_setup,
	.body = suspended_body,
	.verify = suspended_verify,
	.teardown = suspended_teardown,
};
