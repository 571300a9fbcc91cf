/* SPDX-License-Identifier: MIT */
/*
 * wakeup: a task on worker 0 wakes one on worker 1, again and again, with a pause in between.
 *
 * What one wake-up across workers takes, and what it burns, by the mechanism on which the worker
 * sleeps. The waker spends its pause (random, from the seed, between half and one and a half of
 * `pause`) at work, so that its own worker never sleeps and no timer is armed; by the end
 * of it the other worker is asleep, if its wait sleeps at all. pause=0 is a hot wake: the other
 * worker is on its way to sleep.
 *
 * The series `wake_latency` is from the waker's reading of the clock, before it wakes, to the woken
 * task's own. CPU is counted by thread: of the waker its calls to wake alone, of the other worker
 * all, what it burns in the pause included. The waker's calls are timed by CLOCK_THREAD_CPUTIME_ID,
 * whose own cost is taken off. `asleep_share` and `syscalls_per_wake` tell whether the worker did
 * sleep.
 */
#include "workloads/crowd.h"

#include "core/measure/clock.h"
#include "core/rng.h"

#define STOP          UINT64_MAX /* called: there will be no wakes */
#define PAUSE_STEP_NS 100        /* of work, between two looks at the clock */

struct wakeup {
	uint64_t wakes, seed, clock_cost_ns;
	int64_t pause_ns;
	struct crowd crowd;
	struct shunt_handle sleeper;
	struct shunt_series *latency;
	struct shunt_semaphore seated; /* posted by the sleeper when it can be woken */

	/* Written by the waker, read by the sleeper. */
	_Alignas(64) uint64_t called; /* [wake:called] wakes sent */
	int64_t sent_ns;              /* when the last one was */
	/* The other way. */
	_Alignas(64) uint64_t heard; /* [wake:heard] wakes that arrived */
	uint64_t wrong;              /* wakes that were not the next one */

	uint64_t waker_cpu_ns, sleeper_cpu_ns;
	unsigned worker[2];
};

static uint64_t called(const struct wakeup *wake)
{
	/* Acquire pairs with the release in send [wake:called]. */
	return __atomic_load_n(&wake->called, __ATOMIC_ACQUIRE);
}

static void *sleeper_run(void *arg)
{
	struct wakeup *wake = arg;
	uint64_t before = shunt_clock_thread_cpu_ns(), seen = 0;
	wake->sleeper = shunt_self();
	wake->worker[1] = shunt_worker_index();
	shunt_semaphore_post(&wake->seated);
	while (seen < wake->wakes) {
		uint64_t number;
		while ((number = called(wake)) == seen)
			shunt_park();
		if (number == STOP)
			break;
		shunt_series_record(wake->latency, shunt_now_ns() - wake->sent_ns);
		wake->wrong += number != ++seen;
		/* Release pairs with the acquire in send [wake:heard]. */
		__atomic_store_n(&wake->heard, seen, __ATOMIC_RELEASE);
	}
	wake->sleeper_cpu_ns = shunt_clock_thread_cpu_ns() - before;
	return NULL;
}

/* One wake, and until it has arrived. */
static void send(struct wakeup *wake, uint64_t number)
{
	uint64_t before = shunt_clock_thread_cpu_ns();
	wake->sent_ns = shunt_now_ns();
	/* Release pairs with the acquire in called() [wake:called]. */
	__atomic_store_n(&wake->called, number, __ATOMIC_RELEASE);
	shunt_wake(wake->sleeper);
	uint64_t spent = shunt_clock_thread_cpu_ns() - before;
	wake->waker_cpu_ns += spent > wake->clock_cost_ns ? spent - wake->clock_cost_ns : 0;
	/* Acquire pairs with the release in sleeper_run [wake:heard]. A reading of the clock
	 * between two looks leaves the line to the other. */
	while (__atomic_load_n(&wake->heard, __ATOMIC_ACQUIRE) != number)
		(void)shunt_now_ns();
}

static void *waker_run(void *arg)
{
	struct wakeup *wake = arg;
	struct shunt_rng rng;
	shunt_rng_init(&rng, wake->seed);
	wake->worker[0] = shunt_worker_index();
	shunt_semaphore_wait(&wake->seated);
	for (uint64_t i = 1; i <= wake->wakes; i++) {
		int64_t pause = wake->pause_ns / 2;
		pause += (int64_t)shunt_rng_below(&rng, (uint64_t)wake->pause_ns + 1);
		int64_t until = shunt_now_ns() + pause;
		while (wake->pause_ns && shunt_now_ns() < until)
			shunt_work_ns(PAUSE_STEP_NS);
		send(wake, i);
	}
	return NULL;
}

/* There is no waker: the sleeper, if there is one, may go. */
static void dismiss(struct wakeup *wake)
{
	/* Release pairs with the acquire in called() [wake:called]. */
	__atomic_store_n(&wake->called, STOP, __ATOMIC_RELEASE);
	if (wake->crowd.started)
		shunt_wake(wake->crowd.handle[0]);
	crowd_join(&wake->crowd, NULL);
}

static int wakeup_body(struct shunt_run *run)
{
	static shunt_task_fn *const fns[] = {waker_run, sleeper_run};
	struct wakeup *wake = shunt_run_state(run);
	wake->called = wake->heard = wake->wrong = 0;
	wake->waker_cpu_ns = wake->sleeper_cpu_ns = 0;
	shunt_semaphore_init(&wake->seated, 0);
	shunt_measure_begin(run);
	/* The sleeper first: without a waker there is nobody to wait for it. */
	for (wake->crowd.started = 0; wake->crowd.started < 2; wake->crowd.started++) {
		unsigned which = wake->crowd.started ? 0 : 1;
		struct shunt_attr attr = {.worker = which + 1};
		int rc = shunt_spawn(&wake->crowd.handle[wake->crowd.started], fns[which], wake,
			&attr);
		if (rc) {
			dismiss(wake);
			return crowd_refused(run, wake->crowd.started, 2, rc);
		}
	}
	int rc = crowd_join(&wake->crowd, NULL);
	shunt_measure_end(run);
	return rc;
}

static void wakeup_verify(struct shunt_run *run)
{
	const struct wakeup *wake = shunt_run_state(run);
	double wakes = (double)wake->wakes;
	uint64_t growth;
	shunt_check_int(run, "wakes", (int64_t)wake->wakes, (int64_t)wake->heard);
	shunt_check_int(run, "wakes_out_of_order", 0, (int64_t)wake->wrong);
	shunt_check_int(run, "worker_of_waker", 0, wake->worker[0]);
	shunt_check_int(run, "worker_of_sleeper", 1, wake->worker[1]);
	shunt_operations(run, wake->wakes);
	shunt_metric(run, "waker_cpu_ns_per_wake", (double)wake->waker_cpu_ns / wakes, "ns",
		"lower");
	shunt_metric(run, "sleeper_cpu_ns_per_wake", (double)wake->sleeper_cpu_ns / wakes, "ns",
		"lower");
	shunt_metric(run, "cpu_ns_per_wake",
		(double)(wake->waker_cpu_ns + wake->sleeper_cpu_ns) / wakes, "ns", "lower");
	if (shunt_run_counter(run, "worker_sleeps", &growth) == 0)
		shunt_metric(run, "asleep_share", (double)growth / wakes, "1", "none");
	if (shunt_run_counter(run, "wait_syscalls", &growth) == 0)
		shunt_metric(run, "syscalls_per_wake", (double)growth / wakes, "1", "lower");
}

static void wakeup_footprint(const struct shunt_run *run, struct shunt_footprint *footprint)
{
	(void)run;
	footprint->tasks = 2;
	footprint->bytes = sizeof(struct wakeup);
}

/* What two readings of the thread's clock cost. */
static uint64_t clock_cost_ns(void)
{
	uint64_t least = UINT64_MAX;
	for (int i = 0; i < 200; i++) {
		uint64_t before = shunt_clock_thread_cpu_ns();
		uint64_t cost = shunt_clock_thread_cpu_ns() - before;
		least = cost < least ? cost : least;
	}
	return least;
}

static int wakeup_setup(struct shunt_run *run, struct shunt_error *err)
{
	struct wakeup *wake = aligned_alloc(64, sizeof(*wake));
	shunt_run_set_state(run, wake);
	if (!wake)
		return -ENOMEM;
	memset(wake, 0, sizeof(*wake));
	wake->wakes = (uint64_t)shunt_run_int(run, "wakes");
	wake->pause_ns = shunt_run_int(run, "pause");
	wake->seed = shunt_run_seed(run);
	wake->clock_cost_ns = clock_cost_ns();
	shunt_work_ns(1); /* calibrated: not in the first pause */
	wake->latency = shunt_series(run, "wake_latency");
	if (!wake->latency || crowd_init(&wake->crowd, 2))
		return shunt_fail(err, -ENOMEM, "no memory for two tasks");
	return 0;
}

static void wakeup_teardown(struct shunt_run *run)
{
	struct wakeup *wake = shunt_run_state(run);
	if (!wake)
		return;
	crowd_fini(&wake->crowd);
	free(wake);
}

static const struct shunt_param wakeup_params[] = {
	{"wakes", SHUNT_PARAM_COUNT, "5k", 1, INT64_C(1) << 32, NULL, "number of wakes"},
	{"pause", SHUNT_PARAM_DURATION, "100us", 0, INT64_C(10000000000), NULL,
		"mean time before each wake, in which the other worker falls asleep; 0: none, a "
		"hot "
		"wake"},
	{.name = NULL},
};

const struct shunt_workload shunt_workload_wakeup = {
	.name = "wakeup",
	.summary = "a task wakes a task on another, sleeping worker",
	.description =
		"A task on worker 0 wakes a task on worker 1 after a random pause, in which that "
		"worker falls asleep. It measures the latency of a wake-up across workers and its "
		"CPU time, by futex, eventfd, a message between rings, or spinning: compare "
		"wait=futex, epoll, uring and spin with policy=fifo and workers=2.",
	.operation = "one wake",
	.cost_metric = "ns_per_wake",
	.needs = SHUNT_CAN_BLOCK | SHUNT_PARALLEL | SHUNT_PINS,
	.params = wakeup_params,
	.small = "wakes=50 pause=20us|wakes=200 pause=0",
	.footprint = wakeup_footprint,
	.setup = wakeup_setup,
	.body = wakeup_body,
	.verify = wakeup_verify,
	.teardown = wakeup_teardown,
};
