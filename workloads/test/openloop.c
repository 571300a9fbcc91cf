/* SPDX-License-Identifier: MIT */
/*
 * If this passes, openloop hides no latency, bounds its backlog, calls a run invalid whose
 * generator outside lagged, and knows the exact latencies of its table.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "backends/test/specs.h"
#include "core/harness.h"
#include "workloads/openloop.h"

#include <errno.h>
#include <math.h>
#include <sched.h>
#include <unistd.h>

enum { SETTINGS_MOST = 12 };

static const struct shunt_workload *openloop(void)
{
	for (const struct shunt_plugin *p = shunt_registry_workloads; p->name; p++)
		if (!strcmp(p->name, "openloop"))
			return p->object;
	fail_msg("no workload openloop");
	return NULL;
}

/* One iteration; the run is freed by the caller. NULL: a usage error, as err says. */
static struct shunt_run *run(const char *spec, const char *work, struct shunt_error *err)
{
	static struct shunt_setting settings[SETTINGS_MOST];
	static char text[256];
	static struct shunt_request request;
	struct shunt_run *made;
	char *save = NULL;
	size_t count = 0;
	snprintf(text, sizeof(text), "%s", work);
	for (char *word = strtok_r(text, " ", &save); word; word = strtok_r(NULL, " ", &save)) {
		char *equals = strchr(word, '=');
		assert_true(equals && count < SETTINGS_MOST);
		*equals = '\0';
		settings[count++] = (struct shunt_setting){word, equals + 1, true};
	}
	request = (struct shunt_request){.spec = spec,
		.workload = openloop(),
		.params = settings,
		.param_count = count,
		.seed = 5,
		.iterations = 1};
	if (shunt_run_prepare(&made, &request, err))
		return NULL;
	shunt_run_execute(made);
	return made;
}

/* Right answers; on a busy machine perhaps invalid, which leaves all series. */
static struct shunt_run *run_well(const char *spec, const char *work)
{
	struct shunt_error err = {""};
	struct shunt_run *made = run(spec, work, &err);
	if (!made)
		fail_msg("%s openloop %s: %s", spec, work, err.text);
	const struct shunt_outcome *outcome = shunt_run_outcome(made);
	if (outcome->status != SHUNT_RECORD_OK && strncmp(outcome->reason, "invalid: ", 9))
		fail_msg("%s openloop %s: %s", spec, work, outcome->reason);
	return made;
}

static const struct shunt_hist *series(const struct shunt_run *made, const char *name)
{
	const struct shunt_outcome *outcome = shunt_run_outcome(made);
	for (size_t i = 0; i < outcome->series_count; i++)
		if (!strcmp(outcome->series[i].name, name))
			return &outcome->series[i].hist;
	fail_msg("no series %s", name);
	return NULL;
}

static double p99(const struct shunt_run *made, const char *name)
{
	const struct shunt_hist *hist = series(made, name);
	assert_true(shunt_hist_quantile_known(hist, 990000));
	return (double)shunt_hist_quantile(hist, 990000);
}

static const char *fact(const struct shunt_run *made, const char *name)
{
	const struct shunt_outcome *outcome = shunt_run_outcome(made);
	for (size_t i = 0; i < outcome->fact_count; i++)
		if (!strcmp(outcome->facts[i].key, name))
			return outcome->facts[i].value;
	return NULL;
}

/* ---- coordinated omission -------------------------------------------------------------------- */

/* 2 in 5 requests are meant to arrive while a worker does not move for 200 ms. Whoever starts the
 * clock when it gets round to a request never sees it. */
static void a_stall_shows_from_the_intended_start_alone(void **state)
{
	(void)state;
	struct shunt_run *made = run_well(specs_base(),
		"requests=5000 mean=20us load=0.2 stall=200ms stall_at=2000 backlog=100k skip=0");
	assert_true(p99(made, "response") > 150e6);
	assert_true(p99(made, "queueing") > 150e6);
	assert_true(p99(made, "service") < 0.2 * p99(made, "response"));
	assert_true(series(made, "service")->max > 190000000); /* one request was stalled */
	assert_true(series(made, "response")->count == 5000);
	shunt_run_free(made);
}

static void a_stall_shows_with_a_generator_outside(void **state)
{
	(void)state;
	struct shunt_run *made = run_well(specs_base(),
		"requests=5000 mean=20us load=0.2 stall=200ms stall_at=2000 backlog=100k skip=0 "
		"injection=outside");
	assert_true(p99(made, "response") > 150e6);
	assert_true(p99(made, "service") < 0.2 * p99(made, "response"));
	assert_non_null(fact(made, "outside.cpu"));
	shunt_run_free(made);
}

/* ---- more than can be done ------------------------------------------------------------------- */

static void arrivals_beyond_the_backlog_are_dropped_and_told(void **state)
{
	(void)state;
	struct shunt_run *made =
		run_well(specs_base(), "requests=2000 mean=20us load=4 backlog=50 skip=0");
	double dropped = shunt_run_median(made, "dropped");
	assert_true(dropped > 500);
	assert_true(shunt_run_median(made, "backlog_max") <= 50);
	assert_int_equal(atoi(fact(made, "requests.dropped")), (int)dropped);
	assert_true(series(made, "response")->count == 2000 - (uint64_t)dropped);
	assert_true(shunt_run_outcome(made)->footprint.tasks == 52);
	/* At capacity, and not above: what was done cannot have taken less time than its work. */
	assert_true(shunt_run_median(made, "utilisation") < 1.01);
	shunt_run_free(made);
}

static void nothing_is_dropped_below(void **state)
{
	(void)state;
	struct shunt_run *made = run_well(specs_base(), "requests=500 mean=20us load=0.1");
	assert_true(shunt_run_median(made, "dropped") == 0);
	assert_string_equal(fact(made, "requests.dropped"), "0");
	assert_true(series(made, "response")->count == 450); /* a tenth is skipped */
	shunt_run_free(made);
}

/* ---- a generator that does not keep up ------------------------------------------------------- */

/* Every request is made to have lagged for as long as it took. */
static void lag_all(struct openloop *loop)
{
	for (size_t i = 0; i < loop->table.count; i++)
		loop->request[i].lag_ns = loop->request[i].ended_ns - openloop_intended(loop, i);
	openloop_report(loop);
}

static int lagging_body(struct shunt_run *run)
{
	int rc = openloop()->body(run);
	if (!rc)
		lag_all(shunt_run_state(run));
	return rc;
}

/* Outside it has a CPU for itself; a task of the scheduler is as late as the scheduler makes it. */
static void a_lag_makes_a_run_invalid_whose_generator_is_outside(void **state)
{
	static struct shunt_workload lagging;
	static const char *const injections[] = {"outside", "timer"};
	(void)state;
	lagging = *openloop();
	lagging.body = lagging_body;
	for (int i = 0; i < 2; i++) {
		struct shunt_setting settings[] = {{"injection", injections[i], true},
			{"requests", "400", true}, {"mean", "10us", true}, {"load", "0.3", true},
			{"skip", "0", true}};
		const struct shunt_request request = {.spec = specs_base(),
			.workload = &lagging,
			.params = settings,
			.param_count = 5,
			.seed = 5,
			.iterations = 1};
		struct shunt_error err = {""};
		struct shunt_run *made;
		if (shunt_run_prepare(&made, &request, &err))
			fail_msg("%s", err.text);
		shunt_run_execute(made);
		const struct shunt_outcome *outcome = shunt_run_outcome(made);
		assert_int_equal(outcome->status, i ? SHUNT_RECORD_OK : SHUNT_RECORD_SKIPPED);
		assert_int_equal(!strncmp(outcome->reason, "invalid: the generator lagged", 29),
			!i);
		assert_true(outcome->check_count > 0 && outcome->iteration_count == 1);
		assert_true(shunt_run_median(made, "lag_p99_ns") > 0);
		shunt_run_free(made);
	}
}

/* ---- the exact latencies of a table ---------------------------------------------------------- */

/* By hand: a linear search for the server that is free first, and sorting for the median. */
static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

struct exactly {
	double mean, median;
};

static struct exactly exactly(const struct openloop *loop, unsigned queue_count)
{
	double free_at[8] = {0}, sum = 0, *took = calloc(loop->table.count, sizeof(*took));
	assert_non_null(took);
	for (size_t i = 0; i < loop->table.count; i++) {
		const struct shunt_arrival *arrival = &loop->table.arrival[i];
		unsigned first = queue_count > 1 ? loop->request[i].worker - 1 : 0;
		for (unsigned s = 1; queue_count == 1 && s < loop->worker_count; s++)
			first = free_at[s] < free_at[first] ? s : first;
		double at = (double)arrival->at_ns;
		double start = at > free_at[first] ? at : free_at[first];
		free_at[first] = start + (double)arrival->service_ns;
		took[i] = free_at[first] - at;
		sum += took[i];
	}
	qsort(took, loop->table.count, sizeof(*took), by_size);
	struct exactly found = {sum / (double)loop->table.count, took[(loop->table.count - 1) / 2]};
	free(took);
	return found;
}

static struct exactly expected;
static unsigned queues_expected;

static void exact_verify(struct shunt_run *run)
{
	const struct openloop *loop = shunt_run_state(run);
	openloop()->verify(run);
	if (queues_expected)
		expected = exactly(loop, queues_expected);
}

static void check_exact(const char *spec, struct shunt_setting *settings, size_t count,
	unsigned queue_count)
{
	static struct shunt_workload watched;
	struct shunt_error err = {""};
	struct shunt_run *made;
	watched = *openloop();
	watched.verify = exact_verify;
	queues_expected = queue_count;
	const struct shunt_request request = {.spec = spec,
		.workload = &watched,
		.params = settings,
		.param_count = count,
		.seed = 7,
		.iterations = 1};
	if (shunt_run_prepare(&made, &request, &err))
		fail_msg("%s: %s", spec, err.text);
	shunt_run_execute(made);
	double mean = shunt_run_median(made, "exact_response_mean_ns");
	double median = shunt_run_median(made, "exact_response_p50_ns");
	bool absent = isnan(mean);
	if (absent != (queue_count == 0))
		fail_msg("%s: the exact mean is %g", spec, mean);
	/* A histogram keeps three digits. */
	if (queue_count && (fabs(mean - expected.mean) > 2e-3 * expected.mean ||
				   fabs(median - expected.median) > 2e-3 * expected.median))
		fail_msg("%s: mean %g, median %g; they are %g and %g", spec, mean, median,
			expected.mean, expected.median);
	shunt_run_free(made);
}

static void a_fifo_run_has_the_exact_latencies_of_its_table(void **state)
{
	static const struct {
		const char *options, *key, *value;
		unsigned queue_count; /* 0: not known */
	} cases[] = {{"", "slice", "0", 1}, {"", "slice", "2us", 1}, {"", "block", "5us", 0},
		{",quantum=5us", "slice", "0", 0}, {",policy=lifo", "slice", "0", 0},
		{",policy=shared,workers=5", "slice", "0", 1},
		{",policy=fifo,workers=3", "slice", "0", 3},
		{",policy=fifo,workers=3", "steer", "policy", 0}};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char spec[96];
		struct shunt_setting settings[] = {{"requests", "800", true}, {"mean", "5us", true},
			{"load", "0.8", true}, {"skip", "0", true},
			{cases[i].key, cases[i].value, true}};
		snprintf(spec, sizeof(spec), "%s:place=none%s", specs_base(), cases[i].options);
		check_exact(spec, settings, 5, cases[i].queue_count);
	}
}

/* ---- blocking, slices, classes --------------------------------------------------------------- */

static void a_blocking_request_leaves_its_worker(void **state)
{
	(void)state;
	struct shunt_run *made = run_well(specs_base(),
		"requests=400 mean=20us load=0.1 block=5ms skip=0 deadline=1s");
	const struct shunt_hist *service = series(made, "service");
	assert_true(service->min >= 5000000);
	/* From first run to end they overlap, however slow the machine is. */
	assert_true((double)service->sum > 3 * shunt_run_median(made, "wall_ns"));
	shunt_run_free(made);
}

static void classes_are_told_apart(void **state)
{
	const struct shunt_arrival_plan plan = {.seed = 5,
		.count = 500,
		.rate = 5000,
		.law = SHUNT_SERVICE_BIMODAL,
		.mean_ns = 50500};
	struct shunt_arrivals table;
	uint64_t longer = 0;
	(void)state;
	assert_int_equal(shunt_arrivals_make(&table, &plan), 0);
	for (size_t i = 0; i < table.count; i++)
		longer += table.arrival[i].class;
	shunt_arrivals_free(&table);
	struct shunt_run *made = run_well(specs_base(),
		"requests=500 mean=50500ns rate=5000 service=bimodal skip=0");
	assert_true(series(made, "response.class0")->count == 500 - longer);
	assert_true(series(made, "response.class1")->count == longer);
	/* All wait alike, and the short ones have a hundredth of the service. */
	assert_true(shunt_hist_mean(series(made, "slowdown.class0")) >
		    2 * shunt_hist_mean(series(made, "slowdown.class1")));
	shunt_run_free(made);
}

static void only_what_is_asked_for_is_kept_in_full(void **state)
{
	static const struct {
		const char *asked;
		size_t count;
	} cases[] = {{"none", 0}, {"response", 1}, {"slowdown", 1}, {"all", 6}};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char work[96];
		snprintf(work, sizeof(work), "requests=400 mean=5us load=0.3 skip=0 series=%s",
			cases[i].asked);
		struct shunt_run *made = run_well(specs_base(), work);
		assert_int_equal(shunt_run_outcome(made)->series_count, cases[i].count);
		if (cases[i].count == 1)
			assert_true(series(made, cases[i].asked)->count == 400);
		assert_true(shunt_run_median(made, "response_p99_ns") > 0);
		shunt_run_free(made);
	}
}

/* ---- what a request costs -------------------------------------------------------------------- */

static const char *kernel_scheduled(void)
{
	for (const struct shunt_plugin *p = shunt_registry_backends; p->name; p++) {
		struct shunt_sched *sched;
		if (!p->object || shunt_open(&sched, p->name, NULL, NULL))
			continue;
		bool found = sched->caps & SHUNT_KERNEL_TASKS;
		shunt_close(sched);
		if (found)
			return p->name;
	}
	return NULL;
}

static void be_on_one_cpu(cpu_set_t *before)
{
	cpu_set_t one;
	int cpu = 0;
	assert_int_equal(sched_getaffinity(0, sizeof(*before), before), 0);
	while (!CPU_ISSET(cpu, before))
		cpu++;
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	assert_int_equal(sched_setaffinity(0, sizeof(one), &one), 0);
}

/* All requests at once on one CPU, where the kernel deals out turns of some ms: each is there for
 * most of the run, which is not its service. */
static void a_request_is_not_charged_with_the_turns_of_others(void **state)
{
	const char *backend = kernel_scheduled();
	cpu_set_t before;
	(void)state;
	if (!backend)
		skip();
	be_on_one_cpu(&before);
	struct shunt_run *made = run_well(backend,
		"requests=20 service=fixed mean=5ms load=1000 process=constant skip=0");
	assert_int_equal(sched_setaffinity(0, sizeof(before), &before), 0);
	double wall = shunt_hist_mean(series(made, "service"));
	double overhead = shunt_run_median(made, "overhead_ns");
	if (wall < 15e6) {
		shunt_run_free(made);
		skip(); /* the kernel ran them one after the other */
	}
	/* The clocks may be off by a few ms in all. */
	if (!(overhead > -1e6))
		fail_msg("%g ns of overhead; a request was there for %g", overhead, wall);
	shunt_run_free(made);
}

/* ---- traces ---------------------------------------------------------------------------------- */

/* 200 requests of 5 us, 10 us apart: a load of a half. */
static void a_trace_is_run_at_the_load_asked_for(void **state)
{
	static const double loads[] = {0, 0.1, 0.25};
	char path[] = "/tmp/shunt-trace-XXXXXX", work[96];
	FILE *file = fdopen(mkstemp(path), "w");
	(void)state;
	assert_non_null(file);
	for (int i = 0; i < 200; i++)
		fprintf(file, "%d 5000\n", 1000000 + i * 10000);
	assert_int_equal(fclose(file), 0);
	for (size_t i = 0; i < sizeof(loads) / sizeof(loads[0]); i++) {
		int used = snprintf(work, sizeof(work), "input=%s", path);
		if (loads[i] > 0)
			snprintf(work + used, sizeof(work) - (size_t)used, " load=%g", loads[i]);
		struct shunt_run *made = run_well(specs_base(), work);
		double offered = shunt_run_median(made, "offered_load");
		double wanted = loads[i] > 0 ? loads[i] : 0.5025;
		if (fabs(offered - wanted) > 1e-3 * wanted)
			fail_msg("the load is %g, not %g", offered, wanted);
		shunt_run_free(made);
	}
	unlink(path);
}

/* Where each worker keeps its own tasks, requests are spread over the workers; elsewhere not. */
static void requests_are_steered_where_tasks_stay(void **state)
{
	static const struct {
		const char *policy, *steer, *steered; /* NULL: skipped */
	} cases[] = {{"fifo", "auto", "hash"}, {"fifo", "policy", "policy"},
		{"shared", "auto", "policy"}, {"shared", "hash", NULL}, {"fifo", "hash", "hash"}};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char spec[64], work[64];
		struct shunt_error err = {""};
		snprintf(spec, sizeof(spec), "%s:workers=2,policy=%s", specs_base(),
			cases[i].policy);
		snprintf(work, sizeof(work), "requests=200 mean=5us load=0.5 steer=%s",
			cases[i].steer);
		struct shunt_run *made = run(spec, work, &err);
		if (!made)
			fail_msg("%s: %s", spec, err.text);
		const char *steered = fact(made, "requests.steered");
		if (!steered != !cases[i].steered || (steered && strcmp(steered, cases[i].steered)))
			fail_msg("%s %s: steered by %s (%s)", spec, work,
				steered ? steered : "nothing", shunt_run_outcome(made)->reason);
		shunt_run_free(made);
	}
}

enum { STALLED_RUN = 400, STALL_NS = 200000000 };

static uint32_t put_on[STALLED_RUN];
static double took_ns[STALLED_RUN];
static int64_t arrived_ns[STALLED_RUN];

static void stalled_verify(struct shunt_run *run)
{
	const struct openloop *loop = shunt_run_state(run);
	openloop()->verify(run);
	for (size_t i = 0; i < STALLED_RUN; i++) {
		put_on[i] = loop->request[i].worker;
		arrived_ns[i] = openloop_intended(loop, i);
		took_ns[i] = (double)(loop->request[i].ended_ns - arrived_ns[i]);
	}
}

/* A request every millisecond, in turn on two workers, and one holds its worker for 200 ms: the
 * median response of those that arrive for the other worker meanwhile. */
static double beside_a_stall(size_t stall_at)
{
	static struct shunt_workload stalled;
	char at[16], spec[64];
	struct shunt_setting settings[] = {{"requests", "400", true}, {"mean", "20us", true},
		{"load", "0.02", true}, {"process", "constant", true}, {"stall", "200ms", true},
		{"stall_at", at, true}};
	struct shunt_error err = {""};
	struct shunt_run *made;
	double beside[STALLED_RUN];
	size_t count = 0;
	snprintf(at, sizeof(at), "%zu", stall_at);
	snprintf(spec, sizeof(spec), "%s:place=none,policy=fifo,workers=2", specs_base());
	stalled = *openloop();
	stalled.verify = stalled_verify;
	const struct shunt_request request = {.spec = spec,
		.workload = &stalled,
		.params = settings,
		.param_count = 6,
		.seed = 7,
		.iterations = 1};
	if (shunt_run_prepare(&made, &request, &err))
		fail_msg("%s", err.text);
	shunt_run_execute(made);
	shunt_run_free(made);
	for (size_t i = stall_at + 1; i < STALLED_RUN; i++)
		if (put_on[i] != put_on[stall_at] &&
			arrived_ns[i] < arrived_ns[stall_at] + STALL_NS)
			beside[count++] = took_ns[i];
	assert_true(count > 20);
	qsort(beside, count, sizeof(*beside), by_size);
	return beside[count / 2];
}

/* Neither worker's requests wait for the other worker: each has its own generator. */
static void a_stall_holds_up_only_the_requests_of_its_worker(void **state)
{
	size_t stall_at[2] = {50, 50};
	(void)state;
	beside_a_stall(50);
	while (put_on[stall_at[1]] == put_on[stall_at[0]])
		stall_at[1]++;
	for (int i = 0; i < 2; i++) {
		double took = beside_a_stall(stall_at[i]);
		for (int more = 0; more < 4 && took > STALL_NS / 4; more++) /* a busy machine */
			took = beside_a_stall(stall_at[i]);
		if (took > STALL_NS / 4)
			fail_msg("worker %u stalled: the median of the other's is %g ms",
				put_on[stall_at[i]], took / 1e6);
	}
}

static const char *spinning_wait(void)
{
	for (const struct shunt_plugin *p = shunt_registry_waits; p->name; p++)
		if (p->object && ((const struct shunt_wait *)p->object)->spins)
			return p->name;
	return NULL;
}

/* How many times too often two spinning workers announce in a run that they wait. */
static double announce_too_often(const char *spec)
{
	struct shunt_run *made = run_well(spec, "requests=1000 mean=20us load=0.4");
	const struct shunt_outcome *outcome = shunt_run_outcome(made);
	double most = 2 * shunt_run_median(made, "wall_ns") / 1e6 + 4, made_of_it = NAN;
	for (size_t i = 0; i < outcome->counter_count; i++)
		if (!strcmp(outcome->counters[i].name, "worker_sleeps"))
			made_of_it = (double)outcome->counters[i].value / most;
	shunt_run_free(made);
	return made_of_it;
}

/* To announce that it waits costs a worker a fence in all others, tens of microseconds that its
 * next request would wait: one that spins anyhow looks around for a millisecond first. What is
 * counted goes on after what is timed, which takes long on a busy machine: the best of several. */
static void spinning_workers_seldom_announce_that_they_wait(void **state)
{
	char spec[64];
	double too_often = 2;
	(void)state;
	if (!spinning_wait())
		skip();
	snprintf(spec, sizeof(spec), "%s:workers=2,policy=shared,wait=%s", specs_base(),
		spinning_wait());
	for (int attempt = 0; attempt < 8 && too_often > 1; attempt++)
		too_often = announce_too_often(spec);
	if (!(too_often <= 1))
		fail_msg("%g times as many waits as there was time for", too_often);
}

/* ---- usage errors ---------------------------------------------------------------------------- */

static void what_contradicts_itself_is_refused(void **state)
{
	static const struct {
		const char *work, *word;
	} wrong[] = {
		{"rate=10 load=0.5", "rate and load"},
		{"sigma=2", "lognormal"},
		{"load=0", "1 to 10^9"},
		{"rate=0", "rate is 0"},
		{"requests=300k rate=1", "78 hours"},
		{"requests=300k load=1 mean=1s", "78 hours"},
		{"requests=10 skip=10", "skip"},
		{"input=/no/such/file", "/no/such/file"},
		{"input=/dev/null rate=1", "exclude"},
		{"input=/dev/null load=1", "not a regular file"},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct shunt_error err = {""};
		assert_null(run(specs_base(), wrong[i].work, &err));
		if (!strstr(err.text, wrong[i].word))
			fail_msg("%s: '%s' should name %s", wrong[i].work, err.text, wrong[i].word);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_stall_shows_from_the_intended_start_alone),
		cmocka_unit_test(a_stall_shows_with_a_generator_outside),
		cmocka_unit_test(arrivals_beyond_the_backlog_are_dropped_and_told),
		cmocka_unit_test(nothing_is_dropped_below),
		cmocka_unit_test(a_lag_makes_a_run_invalid_whose_generator_is_outside),
		cmocka_unit_test(a_fifo_run_has_the_exact_latencies_of_its_table),
		cmocka_unit_test(a_blocking_request_leaves_its_worker),
		cmocka_unit_test(classes_are_told_apart),
		cmocka_unit_test(only_what_is_asked_for_is_kept_in_full),
		cmocka_unit_test(a_request_is_not_charged_with_the_turns_of_others),
		cmocka_unit_test(a_trace_is_run_at_the_load_asked_for),
		cmocka_unit_test(requests_are_steered_where_tasks_stay),
		cmocka_unit_test(a_stall_holds_up_only_the_requests_of_its_worker),
		cmocka_unit_test(spinning_workers_seldom_announce_that_they_wait),
		cmocka_unit_test(what_contradicts_itself_is_refused),
	};
	return _cmocka_run_group_tests("openloop", tests, sizeof(tests) / sizeof(tests[0]), NULL,
		NULL);
}
