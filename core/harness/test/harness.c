/* SPDX-License-Identifier: MIT */
/* If this passes, a run is measured, checked and told as harness.h says, whatever becomes of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/engine/sanitize.h"
#include "core/harness/run.h"
#include "core/measure/test/machine_files.h"
#include "core/registry.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- a clock of the day that may be set while a run is on ------------------------------------ */

static _Atomic int64_t set_back_s;

int __real_clock_gettime(clockid_t clock, struct timespec *now);
int __wrap_clock_gettime(clockid_t clock, struct timespec *now);

int __wrap_clock_gettime(clockid_t clock, struct timespec *now)
{
	int rc = __real_clock_gettime(clock, now);
	if (clock == CLOCK_REALTIME)
		now->tv_sec -= set_back_s;
	return rc;
}

/* ---- a backend that calls the root and keeps counters ---------------------------------------- */

static struct {
	unsigned caps;
	int open_code, run_code;
	uint64_t task_limit;
	int opened, closed, ran;
} fake;

static int fake_open(struct shunt_sched **sched, const struct shunt_backend *backend,
	const struct shunt_config *config, struct shunt_error *err)
{
	static struct shunt_sched one;

	(void)config;
	if (fake.open_code)
		return shunt_fail(err, fake.open_code, "the door is shut");
	one = (struct shunt_sched){.backend = backend,
		.caps = strcmp(backend->name, "able") == 0 ? SHUNT_CAN_BLOCK | SHUNT_TIMED
							   : fake.caps,
		.worker_count = 1};
	fake.opened++;
	*sched = &one;
	return 0;
}

static int fake_run(struct shunt_sched *sched, shunt_task_fn *fn, void *arg, void **result,
	struct shunt_error *err)
{
	(void)sched, (void)result;
	fake.ran++;
	fn(arg);
	return fake.run_code ? shunt_fail(err, fake.run_code,
				       "2 tasks wait: 'left' in lock, 'right' in join")
			     : 0;
}

static void fake_close(struct shunt_sched *sched)
{
	fake.closed += sched != NULL;
}

static void fake_counters(const struct shunt_sched *sched, shunt_counter_fn *counter, void *sink)
{
	(void)sched;
	/* Each run adds its own number, so that growth differs from one to the next. */
	counter(sink, "switches", (uint64_t)fake.ran * (uint64_t)(fake.ran + 1) / 2);
	counter(sink, "stacks_peak", 40 + (uint64_t)fake.ran);
}

static void fake_composition(const struct shunt_sched *sched,
	void (*setting)(void *, const char *, const char *), void *sink)
{
	(void)sched;
	setting(sink, "wait", "none");
}

static uint64_t fake_limit(const struct shunt_sched *sched, struct shunt_error *reason)
{
	(void)sched;
	shunt_fail(reason, 0, "there are %d chairs; buy more", (int)fake.task_limit);
	return fake.task_limit;
}

#define FAKE(which)                                                                                \
	{                                                                                          \
		.name = which, .open = fake_open, .run = fake_run, .close = fake_close,            \
		.counters = fake_counters, .composition = fake_composition,                        \
		.task_limit = fake_limit                                                           \
	}
static const struct shunt_backend fake_backend = FAKE("fake"), able_backend = FAKE("able");

struct shunt_plugin shunt_registry_backends[] = {
	{"fake", &fake_backend, NULL, NULL, NULL},
	{"able", &able_backend, NULL, NULL, NULL},
	{"gone", NULL, "not built: libgone not found", NULL, NULL},
	{NULL, NULL, NULL, NULL, NULL},
};
/* The engine that is linked in wants lists too. */
struct shunt_plugin shunt_registry_switches[] = {{NULL, NULL, NULL, NULL, NULL}};
struct shunt_plugin shunt_registry_waits[] = {{NULL, NULL, NULL, NULL, NULL}};
struct shunt_plugin shunt_registry_timers[] = {{NULL, NULL, NULL, NULL, NULL}};
struct shunt_plugin shunt_registry_policies[] = {{NULL, NULL, NULL, NULL, NULL}};
struct shunt_plugin shunt_registry_workloads[] = {{NULL, NULL, NULL, NULL, NULL}};
const struct shunt_texts shunt_registry_texts[] = {{NULL, NULL}};
struct shunt_plugin shunt_registry_places[] = {{NULL, NULL, NULL, NULL, NULL}};
struct shunt_plugin shunt_registry_ios[] = {{NULL, NULL, NULL, NULL, NULL}};

/* ---- a workload whose every hook does what the test says ------------------------------------- */

static struct {
	int body_code, resolve_code, setup_code;
	bool wrong, unchecked, no_operations, hang, set_clock, parallel, narrow, uses_memory;
	int signal; /* sent to this process from body */
	uint64_t need_tasks, need_bytes;
	int bodies, setups, teardowns, narrations;
	int64_t part_ns; /* from before the part that is timed to after it */
	struct shunt_series *series;
} play;

static const struct shunt_param params[] = {
	{.name = "size", .type = SHUNT_PARAM_COUNT, .fallback = "3", .min = 1, .max = 100},
	{.name = "twice", .type = SHUNT_PARAM_COUNT, .fallback = "0", .max = 1000},
	{.name = NULL},
};

static int resolve(struct shunt_run *run, struct shunt_error *err)
{
	char text[32];

	if (play.resolve_code)
		return shunt_fail(err, play.resolve_code, "size and shape do not fit");
	snprintf(text, sizeof(text), "%d", 2 * (int)shunt_run_int(run, "size"));
	return shunt_run_imply(run, "twice", text, err);
}

static void footprint(const struct shunt_run *run, struct shunt_footprint *need)
{
	(void)run;
	need->tasks = play.need_tasks;
	need->bytes = play.need_bytes;
}

static int setup(struct shunt_run *run, struct shunt_error *err)
{
	play.setups++;
	if (play.setup_code)
		return shunt_fail(err, play.setup_code, "no sand for the castle");
	play.series = shunt_series(run, "lateness");
	assert_ptr_equal(shunt_series(run, "lateness"), play.series);
	return 0;
}

static void *record_many(void *arg)
{
	struct shunt_sched sched = {.worker_count = 8};
	struct shunt_ctx ctx = {.sched = &sched, .index = (unsigned)(uintptr_t)arg};
	struct shunt_ctx *before = shunt_ctx_set(&ctx);

	for (int i = 0; i < 10000; i++)
		shunt_series_record(play.series, 100);
	shunt_ctx_set(before);
	return NULL;
}

static void record_from_threads(void)
{
	pthread_t thread[8];

	for (uintptr_t i = 0; i < 8; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, record_many, (void *)(i % 5)), 0);
	for (int i = 0; i < 8; i++)
		pthread_join(thread[i], NULL);
}

enum { BLOCKS = 8192, BLOCK_BYTES = 1024 };

static void use_memory(void)
{
	static char *block[BLOCKS];

	for (int i = 0; i < BLOCKS; i++) {
		block[i] = malloc(BLOCK_BYTES);
		assert_non_null(block[i]);
		memset(block[i], 1, BLOCK_BYTES);
	}
	for (int i = 0; i < BLOCKS; i++)
		free(block[i]);
}

static int body(struct shunt_run *run)
{
	play.bodies++;
	if (play.signal)
		kill(getpid(), play.signal);
	if (play.set_clock)
		set_back_s = 3600;
	while (play.hang)
		;
	int64_t begin = shunt_now_ns();
	if (play.narrow)
		shunt_measure_begin(run);
	usleep(2000);
	if (play.narrow) {
		shunt_measure_end(run);
		play.part_ns = shunt_now_ns() - begin;
		usleep(50000);
	}
	if (play.uses_memory)
		use_memory();
	if (play.parallel)
		record_from_threads();
	else
		shunt_series_record(play.series, 1000 * play.bodies);
	shunt_metric(run, "weight", 10.0 * play.bodies, "bytes", "lower");
	shunt_narrate(run, "body %d of %s", play.bodies, "the play");
	if (play.body_code > 0)
		shunt_run_explain(run, "the wall fell down");
	return play.body_code;
}

static void verify(struct shunt_run *run)
{
	uint64_t growth = 0;

	assert_int_equal(shunt_run_counter(run, "switches", &growth), 0);
	assert_int_equal(growth, fake.ran);
	assert_int_equal(shunt_run_counter(run, "nothing", &growth), -ENOENT);
	if (!play.no_operations)
		shunt_operations(run, 100);
	if (!play.unchecked) {
		shunt_check_true(run, "stands", true);
		shunt_check_int(run, "sum", 4950, play.wrong && play.bodies == 3 ? 4951 : 4950);
	}
}

static void teardown(struct shunt_run *run)
{
	(void)run;
	play.teardowns++;
}

static struct shunt_workload workload = {.name = "castle",
	.operation = "one stone",
	.cost_metric = "ns_per_stone",
	.params = params,
	.resolve = resolve,
	.footprint = footprint,
	.setup = setup,
	.body = body,
	.verify = verify,
	.teardown = teardown};

static char told[512];

static void line(void *arg, const char *text)
{
	(void)arg;
	play.narrations++;
	snprintf(told, sizeof(told), "%s", text);
}

static struct shunt_request request;
static struct shunt_run *run;
static const struct shunt_outcome *outcome;
static struct shunt_error err;

static int set_up(void **state)
{
	(void)state;
	memset(&fake, 0, sizeof(fake));
	memset(&play, 0, sizeof(play));
	memset(&err, 0, sizeof(err));
	told[0] = '\0';
	workload.needs = 0;
	request = (struct shunt_request){.spec = "fake",
		.workload = &workload,
		.seed = 5,
		.warmup = 1,
		.iterations = 3,
		.line = line};
	run = NULL;
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	if (run)
		shunt_run_free(run);
	assert_int_equal(fake.opened, fake.closed);
	assert_int_equal(play.setups, play.teardowns);
	return 0;
}

static void execute(void)
{
	if (shunt_run_prepare(&run, &request, &err) != 0)
		fail_msg("%s", err.text);
	shunt_run_execute(run);
	outcome = shunt_run_outcome(run);
}

static void ends(enum shunt_record_status status, const char *reason)
{
	execute();
	assert_string_equal(outcome->reason, reason);
	assert_int_equal(outcome->status, status);
	assert_int_equal(outcome->metric_count, 0);
}

static const struct shunt_outcome_metric *metric(const char *name)
{
	for (size_t i = 0; i < outcome->metric_count; i++)
		if (strcmp(outcome->metrics[i].name, name) == 0)
			return &outcome->metrics[i];
	fail_msg("no metric %s", name);
	return NULL;
}

/* ---- runs that end well ---------------------------------------------------------------------- */

#ifndef SHUNT_SANITIZED
/* 2,048 pages, which the warm-up has touched. */
static void a_later_iteration_finds_its_memory(void **state)
{
	(void)state;
	play.uses_memory = true;
	execute();
	assert_int_equal(outcome->status, SHUNT_RECORD_OK);
	assert_in_range(outcome->usage.minor_faults, 0, 500);
}
#endif

static void medians_of_the_measured_iterations(void **state)
{
	(void)state;
	execute();
	assert_string_equal(outcome->reason, "");
	assert_int_equal(outcome->status, SHUNT_RECORD_OK);
	assert_int_equal(play.bodies, 4);
	assert_int_equal(outcome->iteration_count, 3);
	assert_int_equal(outcome->warmup_done, 1);
	/* Bodies 2, 3 and 4 were measured. */
	assert_true(metric("weight")->value == 30);
	assert_true(metric("weight")->low == 20 && metric("weight")->high == 40);
	assert_true(metric("wall_ns")->value >= 2e6);
	assert_true(metric("ns_per_stone")->value >= 2e4);
	assert_true(metric("ns_per_stone")->value == metric("wall_ns")->value / 100);
	assert_true(metric("ops_per_s")->value <= 50000);
	assert_true(metric("cpu_ns")->value < metric("wall_ns")->value);
	assert_in_range(outcome->cold_wall_ns, 2000000, UINT64_MAX);
	for (int i = 0; i < 3; i++)
		assert_int_equal(outcome->iterations[i].ops, 100);
	assert_int_equal(outcome->counted.ops, 100);
	assert_int_equal(outcome->counted.wall_ns, outcome->cold_wall_ns);
	for (int i = 0; i < SHUNT_PERF_GROUPS; i++)
		assert_null(strstr(outcome->counts.group_why[i], "warm-up"));
}

static void the_processor_is_not_counted_in_measured_iterations(void **state)
{
	(void)state;
	request.warmup = 0;
	execute();
	assert_int_equal(outcome->status, SHUNT_RECORD_OK);
	assert_int_equal(outcome->counts.thread_count, 0);
	for (int i = 0; i < SHUNT_PERF_GROUPS; i++)
		assert_non_null(strstr(outcome->counts.group_why[i], "--warmup 1"));
}

static void the_median_of_two_is_between_them(void **state)
{
	(void)state;
	request.iterations = 2;
	execute();
	assert_true(metric("weight")->value == 25);
	assert_true(metric("weight")->low == 20 && metric("weight")->high == 30);
}

static void series_without_warm_up(void **state)
{
	(void)state;
	execute();
	assert_int_equal(outcome->series_count, 1);
	assert_string_equal(outcome->series[0].name, "lateness");
	assert_int_equal(outcome->series[0].hist.count, 3);
	assert_int_equal(outcome->series[0].hist.min, 2000);
	assert_int_equal(outcome->series[0].hist.max, 4000);
}

static void series_from_many_threads(void **state)
{
	(void)state;
	fake.caps = SHUNT_PARALLEL;
	play.parallel = true;
	execute();
	assert_string_equal(outcome->reason, "");
	assert_int_equal(outcome->series[0].hist.count, 3 * 8 * 10000);
}

static void counters_of_the_last_iteration(void **state)
{
	(void)state;
	execute();
	assert_int_equal(outcome->counter_count, 2);
	assert_string_equal(outcome->counters[0].name, "switches");
	assert_int_equal(outcome->counters[0].value, 4);
	assert_int_equal(outcome->counters[1].value, 44);
}

static void what_was_run(void **state)
{
	const struct shunt_setting size = {.key = "size", .value = "7"};

	(void)state;
	request.params = &size;
	request.param_count = 1;
	play.need_tasks = 12;
	execute();
	assert_string_equal(outcome->backend_name, "fake");
	assert_int_equal(shunt_run_int(run, "size"), 7);
	assert_int_equal(shunt_run_int(run, "twice"), 14);
	assert_true(shunt_run_given(run, "size"));
	assert_false(shunt_run_given(run, "twice"));
	assert_int_equal(outcome->composition_count, 1);
	assert_string_equal(outcome->composition[0].key, "wait");
	assert_int_equal(outcome->footprint.tasks, 12);
	assert_int_equal(outcome->check_count, 2);
	assert_string_equal(outcome->checks[1].actual, "4950");
}

static void narrated_once(void **state)
{
	(void)state;
	request.narrate = true;
	execute();
	assert_int_equal(play.narrations, 1);
	assert_string_equal(told, "body 2 of the play");
}

static void a_part_of_body_is_timed(void **state)
{
	(void)state;
	play.narrow = true;
	request.iterations = 1;
	execute();
	/* Two clocks, of which one was calibrated by the other. */
	assert_in_range(outcome->iterations[0].wall_ns, 2000000, play.part_ns + play.part_ns / 100);
}

/* ---- runs that do not ------------------------------------------------------------------------ */

static void wrong_answer(void **state)
{
	(void)state;
	play.wrong = true;
	ends(SHUNT_RECORD_FAILED,
		"wrong answer in iteration 2 of 3: sum should be 4950 and is 4951");
	assert_true(outcome->check_failed);
	assert_int_equal(outcome->iteration_count, 1);
	assert_false(outcome->checks[1].ok);
}

static void body_fails(void **state)
{
	(void)state;
	play.body_code = -ENOMEM;
	ends(SHUNT_RECORD_FAILED, "warm-up iteration 1 of 1: Cannot allocate memory");
}

static void body_explains(void **state)
{
	(void)state;
	play.body_code = 1;
	ends(SHUNT_RECORD_FAILED, "warm-up iteration 1 of 1: the wall fell down");
}

static void no_check(void **state)
{
	(void)state;
	play.unchecked = true;
	ends(SHUNT_RECORD_FAILED,
		"warm-up iteration 1 of 1: the workload did not check its answer");
}

static void no_operations(void **state)
{
	(void)state;
	play.no_operations = true;
	ends(SHUNT_RECORD_FAILED,
		"warm-up iteration 1 of 1: the workload did not count its operations");
}

static void deadlock(void **state)
{
	(void)state;
	fake.run_code = -EDEADLK;
	ends(SHUNT_RECORD_FAILED, "deadlock in warm-up iteration 1 of 1: 2 tasks wait: 'left' in "
				  "lock, 'right' in join");
	assert_false(outcome->check_failed);
}

static void setup_fails(void **state)
{
	(void)state;
	play.setup_code = -ENOENT;
	ends(SHUNT_RECORD_FAILED, "no sand for the castle");
	assert_int_equal(play.bodies, 0);
}

static void needs_more_than_the_backend_has(void **state)
{
	(void)state;
	workload.needs = SHUNT_TIMED | SHUNT_CAN_BLOCK;
	fake.caps = SHUNT_CAN_BLOCK;
	ends(SHUNT_RECORD_SKIPPED, "workload 'castle' needs sleeps and deadlines, which backend "
				   "'fake' does not have; these do: able");
	assert_int_equal(play.setups, 0);
}

static void needs_more_memory_than_there_is(void **state)
{
	(void)state;
	play.need_tasks = 3;
	play.need_bytes = UINT64_C(1) << 50;
	execute();
	assert_int_equal(outcome->status, SHUNT_RECORD_SKIPPED);
	assert_ptr_equal(strstr(outcome->reason,
				 "needs at least 1048576.0 GiB (3 tasks, 1048576.0 GiB of data), "
				 "and "),
		outcome->reason);
	assert_int_equal(play.setups, 0);
}

/* The group that has the limit may have others below it, which have used of it too. */
static void what_others_use_of_a_limit_is_not_left(void **state)
{
	const char *where = "";
	assert_int_equal(make_root(state), 0);
	put("/proc/meminfo", "MemAvailable: 1000000 kB\n");
	put("/proc/self/cgroup", "0::/shared/mine\n");
	put("/sys/fs/cgroup/shared/memory.max", "100000000\n");
	put("/sys/fs/cgroup/shared/memory.current", "90000000\n");
	put("/sys/fs/cgroup/shared/memory.stat", "anon 80000000\ninactive_file 3000000\n");
	put("/sys/fs/cgroup/shared/mine/memory.max", "max\n");
	put("/sys/fs/cgroup/shared/mine/memory.current", "1000000\n");
	put("/sys/fs/cgroup/shared/mine/memory.stat", "anon 1000000\ninactive_file 0\n");
	assert_int_equal(shunt_memory_left(root, &where), 13000000);
	assert_non_null(strstr(where, "control group"));
	assert_int_equal(remove_root(state), 0);
}

static void needs_more_tasks_than_fit(void **state)
{
	(void)state;
	play.need_tasks = 101;
	fake.task_limit = 100;
	ends(SHUNT_RECORD_SKIPPED, "needs 101 tasks at once, and 100 fit here: there are 100 "
				   "chairs; buy more");
}

static void refused_by_the_workload(void **state)
{
	(void)state;
	play.resolve_code = -ENOTSUP;
	ends(SHUNT_RECORD_SKIPPED, "size and shape do not fit");
}

static void a_backend_that_cannot_be_opened(void **state)
{
	(void)state;
	fake.open_code = -EPERM;
	ends(SHUNT_RECORD_SKIPPED, "the door is shut");
	shunt_run_free(run);
	fake.open_code = -ENOMEM;
	ends(SHUNT_RECORD_FAILED, "the door is shut");
}

static void a_backend_that_is_not_built(void **state)
{
	(void)state;
	request.spec = "gone:x=1";
	ends(SHUNT_RECORD_SKIPPED, "backend 'gone' is not built: libgone not found");
	assert_string_equal(outcome->backend_name, "gone");
}

static void asked_wrongly(void **state)
{
	struct shunt_setting setting = {.key = "sise", .value = "7"};

	(void)state;
	request.params = &setting;
	request.param_count = 1;
	assert_int_equal(shunt_run_prepare(&run, &request, &err), -ENOENT);
	assert_string_equal(err.text,
		"workload 'castle' has no parameter 'sise'; did you mean 'size'? It takes size, "
		"twice");
	request.param_count = 0;
	request.spec = "fakr";
	assert_int_equal(shunt_run_prepare(&run, &request, &err), -ENOENT);
	request.spec = "fake";
	play.resolve_code = -EINVAL;
	assert_int_equal(shunt_run_prepare(&run, &request, &err), -EINVAL);
	assert_string_equal(err.text, "size and shape do not fit");
	fake.open_code = -ERANGE;
	assert_int_equal(shunt_run_prepare(&run, &request, &err), -ERANGE);
	run = NULL;
}

/* ---- runs that cannot come back: each in a process of its own -------------------------------- */

enum { AS_EXPECTED = 42 };

static void abandoned(void *arg, const struct shunt_outcome *end, int signal)
{
	const char *expected = arg;

	if (strcmp(end->reason, expected) != 0) {
		fprintf(stderr, "%s\n", end->reason);
		_exit(1);
	}
	_exit(AS_EXPECTED + signal);
}

static int exit_of_abandoned(const char *reason)
{
	int status;
	pid_t child = fork();

	if (child == 0) {
		request.abandoned = abandoned;
		request.arg = (void *)reason;
		execute();
		_exit(2);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* A busy machine may not get as far as the first iteration in the shortest of them. */
static void timeout_in_a_computation(void **state)
{
	static const struct {
		uint64_t timeout_ns;
		const char *reason;
	} patience[] = {{50000000, "not done after 50ms, in warm-up iteration 1 of 1"},
		{1000000000, "not done after 1s, in warm-up iteration 1 of 1"},
		{10000000000, "not done after 10s, in warm-up iteration 1 of 1"}};
	int code = 0;

	(void)state;
	play.hang = true;
	for (int i = 0; i < 3 && code != AS_EXPECTED; i++) {
		request.timeout_ns = patience[i].timeout_ns;
		code = exit_of_abandoned(patience[i].reason);
	}
	assert_int_equal(code, AS_EXPECTED);
}

static void interrupted_in_a_computation(void **state)
{
	(void)state;
	play.hang = true;
	play.signal = SIGINT;
	request.watch_signals = true;
	assert_int_equal(exit_of_abandoned("SIGINT, in warm-up iteration 1 of 1"),
		AS_EXPECTED + SIGINT);
	play.signal = SIGTERM;
	assert_int_equal(exit_of_abandoned("SIGTERM, in warm-up iteration 1 of 1"),
		AS_EXPECTED + SIGTERM);
}

static void elapsed(void *arg, const struct shunt_outcome *end, int signal)
{
	const uint64_t least = 50000000, most = UINT64_C(3000000000000);

	(void)arg, (void)signal;
	_exit(end->elapsed_ns >= least && end->elapsed_ns < most ? AS_EXPECTED : 1);
}

static void the_clock_is_set_back_meanwhile(void **state)
{
	int status;
	pid_t child = fork();

	(void)state;
	if (child == 0) {
		request.timeout_ns = 50000000;
		request.abandoned = elapsed;
		play.hang = play.set_clock = true;
		execute();
		_exit(2);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), AS_EXPECTED);
}

static void a_timeout_that_is_not_reached(void **state)
{
	(void)state;
	request.timeout_ns = UINT64_C(3600000000000);
	request.watch_signals = true;
	execute();
	assert_int_equal(outcome->status, SHUNT_RECORD_OK);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(medians_of_the_measured_iterations),
#ifndef SHUNT_SANITIZED
		TEST(a_later_iteration_finds_its_memory),
#endif
		TEST(the_processor_is_not_counted_in_measured_iterations),
		TEST(the_median_of_two_is_between_them),
		TEST(series_without_warm_up),
		TEST(series_from_many_threads),
		TEST(counters_of_the_last_iteration),
		TEST(what_was_run),
		TEST(narrated_once),
		TEST(a_part_of_body_is_timed),
		TEST(wrong_answer),
		TEST(body_fails),
		TEST(body_explains),
		TEST(no_check),
		TEST(no_operations),
		TEST(deadlock),
		TEST(setup_fails),
		TEST(needs_more_than_the_backend_has),
		TEST(needs_more_memory_than_there_is),
		TEST(what_others_use_of_a_limit_is_not_left),
		TEST(needs_more_tasks_than_fit),
		TEST(refused_by_the_workload),
		TEST(a_backend_that_cannot_be_opened),
		TEST(a_backend_that_is_not_built),
		TEST(asked_wrongly),
		TEST(timeout_in_a_computation),
		TEST(interrupted_in_a_computation),
		TEST(the_clock_is_set_back_meanwhile),
		TEST(a_timeout_that_is_not_reached),
	};
	/* Of a job in the background these may be ignored, and a run leaves them so. */
	signal(SIGINT, SIG_DFL);
	signal(SIGHUP, SIG_DFL);

	return cmocka_run_group_tests(tests, NULL, NULL);
}
