/* SPDX-License-Identifier: MIT */
/*
 * openloop: requests arrive when they are meant to, whether or not the system keeps up.
 *
 * A closed loop waits for an answer before it asks again, and so never asks while the system is
 * stuck: the worst latencies are left out (coordinated omission). Here the arrivals are a table,
 * made in set-up from the seed alone (arrivals.h), and every latency counts from the intended
 * arrival in that table. A request is a task; its service is calibrated work, in one piece or in
 * slices between which a quantum may end, with a sleep in the middle if asked for.
 *
 * injection=timer: a generator task sleeps until the next arrival and spawns all that are due. So
 * that a busy worker, whose policy may let the generator wait, does not hide arrivals from that
 * policy, the end of each request, its sleep and the end of each of its slices spawn what is due,
 * too: a chance for the injector. An arrival during a request's service is thus seen at the first
 * decision after it. injection=outside: a kernel thread of its own, beside the scheduler, spawns by the
 * external path; its processor time is not the scheduler's.
 *
 * Series, in ns (slowdown in thousandths): `injection` spawn minus intended arrival; `lag` the part
 * of it that is the generator's fault, that is from the intended arrival, or while requests held all
 * workers from the last chance, to the spawn; `queueing` first run minus intended arrival; `service`
 * end minus first run; `response` end minus intended arrival; `slowdown` response by the table's
 * service time; the last two for each class besides, where there are several.
 *
 * What it does not do: clients that give up, retry or wait. A run whose p99 of lag is more than a
 * tenth of its p99 of response measured its generator, and is invalid (`judge`).
 */
#include "workloads/openloop.h"

#include "core/measure/clock.h"
#include "core/rng.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Between the start of an iteration and time 0 of its table: the generator is in place by then. */
#define LEAD_NS 200000

static const char *const process_names[] = {"poisson", "constant", NULL};
static const char *const law_names[] = {"fixed", "exponential", "bimodal", "extreme", "lognormal",
	"mix", NULL};
static const char *const steer_names[] = {"auto", "policy", "hash", NULL};
static const char *const injection_names[] = {"timer", "outside", NULL};

static void *request_run(void *arg);

/* ---- the injector ---------------------------------------------------------------------------- */

/* Without waiting: whoever finds it taken knows that the due are being spawned. */
static bool take_injector(struct openloop *loop)
{
	/* Acquire pairs with give_injector [openloop:injecting]. */
	return !__atomic_exchange_n(&loop->injecting, 1, __ATOMIC_ACQUIRE);
}

static void give_injector(struct openloop *loop)
{
	/* Release pairs with take_injector [openloop:injecting]. */
	__atomic_store_n(&loop->injecting, 0, __ATOMIC_RELEASE);
}

static int64_t due(const struct openloop *loop)
{
	/* Acquire pairs with the release in inject [openloop:due]: all spawned when it is FOREVER. */
	return __atomic_load_n(&loop->due_ns, __ATOMIC_ACQUIRE);
}

/* The worker of a request, 1 and up, as a network card's hash spreads clients; 0: any. */
static unsigned worker_of(const struct openloop *loop, size_t index)
{
	uint64_t state = loop->seed + index;

	if (!loop->steered)
		return 0;
	return 1 +
	       (unsigned)(((unsigned __int128)shunt_splitmix64(&state) * loop->worker_count) >> 64);
}

/* What a policy may know of a request: its deadline, its service time and its class. */
static struct shunt_attr attr_of(const struct openloop *loop, size_t index)
{
	return (struct shunt_attr){.name = "request",
		.deadline_ns = openloop_intended(loop, index) + loop->deadline_ns,
		.service_ns = (int64_t)loop->table.arrival[index].service_ns,
		.priority = (unsigned)loop->table.arrival[index].class,
		.worker = worker_of(loop, index)};
}

/* One request leaves the system, or the injector is done; the last one wakes the root. */
static void leave(struct openloop *loop)
{
	struct shunt_handle root = loop->root;

	/* Acquire-release pairs with itself and with the load in await [openloop:pending]: the root
	 * sees what all wrote. */
	if (__atomic_sub_fetch(&loop->pending, 1, __ATOMIC_ACQ_REL) == 0)
		shunt_wake(root);
}

static int spawn(struct openloop *loop, size_t index)
{
	struct shunt_attr attr = attr_of(loop, index);
	struct request *request = &loop->request[index];

	return loop->injection == INJECT_OUTSIDE
		       ? shunt_outside_spawn(loop->run, NULL, request_run, request, &attr)
		       : shunt_spawn(NULL, request_run, request, &attr);
}

/* The part of the delay that no request's run explains. With fewer requests in the system than
 * workers, one of these was free. */
static int64_t lag(const struct openloop *loop, int64_t intended_ns, int64_t now_ns,
	uint64_t inside)
{
	/* Relaxed: a time; the lock orders what matters [openloop:chance]. */
	int64_t since = __atomic_load_n(&loop->chance_ns, __ATOMIC_RELAXED);

	if (loop->injection != INJECT_TIMER || inside < loop->worker_count || since < intended_ns)
		since = intended_ns;
	/* Another worker's chance may be later than this reading of the clock. */
	return since < now_ns ? now_ns - since : 0;
}

/* The request at `next` arrives: it becomes a task, or is dropped. Context: the injector. */
static void arrive(struct openloop *loop, int64_t now_ns)
{
	size_t index = loop->next;
	struct request *request = &loop->request[index];
	/* Relaxed: others only take away, so there is no more than this [openloop:pending]. */
	uint64_t inside = (uint64_t)__atomic_load_n(&loop->pending, __ATOMIC_RELAXED) - 1;

	if (inside >= loop->backlog_limit) {
		request->dropped = true;
		return;
	}
	if (inside + 1 > loop->backlog_max)
		loop->backlog_max = inside + 1;
	request->injected_ns = now_ns;
	request->lag_ns = lag(loop, openloop_intended(loop, index), now_ns, inside);
	/* Relaxed: the spawn publishes the request; its own share keeps the count above zero
	 * [openloop:pending]. */
	__atomic_add_fetch(&loop->pending, 1, __ATOMIC_RELAXED);
	loop->rc = spawn(loop, index);
	if (loop->rc)
		leave(loop);
}

/* Spawns all that are due. Context: the injector, which is given back. */
static void inject(struct openloop *loop, int64_t now_ns)
{
	while (loop->next < loop->table.count && !loop->rc &&
		openloop_intended(loop, loop->next) <= now_ns) {
		arrive(loop, now_ns);
		loop->next++;
	}
	bool done = loop->next == loop->table.count || loop->rc;
	int64_t next_due = done ? SHUNT_FOREVER : openloop_intended(loop, loop->next);

	/* Release pairs with due() [openloop:due]. */
	__atomic_store_n(&loop->due_ns, next_due, __ATOMIC_RELEASE);
	give_injector(loop);
}

/* A request gives way, at `now_ns`. Context: its task. */
static void chance(struct openloop *loop, int64_t now_ns)
{
	if (loop->injection != INJECT_TIMER)
		return;
	/* Relaxed: see lag() [openloop:chance]. */
	__atomic_store_n(&loop->chance_ns, now_ns, __ATOMIC_RELAXED);
	if (due(loop) <= now_ns && take_injector(loop))
		inject(loop, now_ns);
}

static void *generate(void *arg)
{
	struct openloop *loop = arg;
	int64_t due_ns;

	int rc = 0;

	while ((due_ns = due(loop)) != SHUNT_FOREVER) {
		int64_t now_ns = shunt_now_ns();

		if (now_ns < due_ns && !rc) {
			rc = shunt_sleep_until(due_ns);
		} else if (take_injector(loop)) {
			loop->rc = rc ? rc : loop->rc;
			inject(loop, now_ns);
		} else {
			shunt_yield();
		}
	}
	leave(loop);
	return NULL;
}

static void generate_outside(struct shunt_run *run, void *arg)
{
	struct openloop *loop = arg;
	int64_t due_ns;

	(void)run;
	while ((due_ns = due(loop)) != SHUNT_FOREVER) {
		shunt_outside_wait_until(due_ns);
		take_injector(loop);
		inject(loop, shunt_now_ns());
	}
	leave(loop);
}

/* ---- a request ------------------------------------------------------------------------------- */

/* Works for so long, giving way where a quantum ends. */
static void serve(struct openloop *loop, int64_t work_ns)
{
	int64_t slice_ns = loop->slice_ns ? loop->slice_ns : work_ns;

	while (work_ns > slice_ns) {
		shunt_work_ns(slice_ns);
		work_ns -= slice_ns;
		/* Before the question: a shorter request may just have arrived. */
		if (loop->injection == INJECT_TIMER)
			chance(loop, shunt_now_ns());
		if (shunt_checkpoint())
			shunt_yield();
	}
	shunt_work_ns(work_ns);
}

static void *request_run(void *arg)
{
	struct request *self = arg;
	struct openloop *loop = self->loop;
	size_t index = (size_t)(self - loop->request);
	int64_t work_ns = (int64_t)loop->table.arrival[index].service_ns;
	int64_t before_ns = loop->block_ns ? work_ns / 2 : 0;

	self->started_ns = shunt_now_ns();
	self->runs++;
	if (loop->stall_ns && index == loop->stall_at)
		shunt_work_ns(loop->stall_ns);
	if (loop->block_ns) {
		serve(loop, before_ns);
		chance(loop, shunt_now_ns());
		shunt_sleep_for(loop->block_ns);
	}
	serve(loop, work_ns - before_ns);
	self->ended_ns = shunt_now_ns();
	chance(loop, self->ended_ns);
	leave(loop);
	return NULL;
}

/* ---- one iteration --------------------------------------------------------------------------- */

static void prepare_iteration(struct openloop *loop)
{
	for (size_t i = 0; i < loop->table.count; i++)
		loop->request[i] = (struct request){.loop = loop};
	loop->root = shunt_self();
	loop->worker_count = shunt_worker_count();
	loop->steered = loop->steer == STEER_HASH ||
			(loop->steer == STEER_AUTO && loop->worker_count > 1 &&
				(shunt_run_caps(loop->run) & SHUNT_PINS));
	loop->next = 0;
	loop->rc = 0;
	loop->backlog_max = 0;
	loop->pending = 1;
	loop->chance_ns = 0;
	loop->start_ns = shunt_now_ns() + LEAD_NS;
	loop->due_ns = openloop_intended(loop, 0);
}

static int start_generator(struct openloop *loop)
{
	/* First in every order, or a policy would make the requests wait twice. */
	struct shunt_attr attr = {.name = "generator", .deadline_ns = 1, .service_ns = 1};

	if (loop->injection == INJECT_OUTSIDE)
		return shunt_outside_start(loop->run, generate_outside, loop);
	return shunt_spawn(NULL, generate, loop, &attr);
}

static void await(struct openloop *loop)
{
	/* Acquire pairs with leave [openloop:pending]. */
	while (__atomic_load_n(&loop->pending, __ATOMIC_ACQUIRE) > 0)
		shunt_park();
}

static int openloop_body(struct shunt_run *run)
{
	struct openloop *loop = shunt_run_state(run);

	prepare_iteration(loop);
	shunt_measure_begin(run);
	uint64_t cpu_ns = shunt_clock_cpu_ns();
	int rc = start_generator(loop);

	if (rc) {
		shunt_run_explain(run, "the generator could not be started: %s", strerror(-rc));
		return rc;
	}
	await(loop);
	loop->end_ns = shunt_now_ns();
	loop->cpu_ns = shunt_clock_cpu_ns() - cpu_ns;
	shunt_measure_end(run);
	loop->cpu_ns -= shunt_outside_join(run);
	if (loop->rc) {
		shunt_run_explain(run, "request %zu of %zu could not be started: %s", loop->next,
			loop->table.count, strerror(-loop->rc));
		return loop->rc;
	}
	openloop_report(loop);
	return 0;
}

static void openloop_verify(struct shunt_run *run)
{
	openloop_check(shunt_run_state(run));
}

/* ---- parameters ------------------------------------------------------------------------------ */

static double real(const struct shunt_run *run, const char *param)
{
	return shunt_value(shunt_run_values(run), param)->real;
}

__attribute__((format(printf, 4, 5))) static int imply(struct shunt_run *run, const char *param,
	struct shunt_error *err, const char *format, ...)
{
	char text[64];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	return shunt_run_imply(run, param, text, err);
}

/* A trace has its own rate and services; what they come to is in the record. */
static int resolve_input(struct shunt_run *run, struct shunt_error *err)
{
	static const char *const own[] = {"rate", "load", "process", "service", "mean", "sigma"};
	struct shunt_arrivals table;

	for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
		if (shunt_run_given(run, own[i]))
			return shunt_fail(err, -EINVAL,
				"%s and input exclude each other: the trace has its own", own[i]);
	size_t most = shunt_run_given(run, "requests") ? (size_t)shunt_run_int(run, "requests") : 0;
	int rc = shunt_arrivals_read(&table, shunt_run_text(run, "input"), most, err);

	if (rc)
		return rc == -ENOMEM ? rc : -EINVAL;
	uint64_t work_ns = shunt_arrivals_work(&table);
	uint64_t span_ns = table.arrival[table.count - 1].at_ns + 1;
	double rate = (double)table.count * 1e9 / (double)span_ns;

	rc = shunt_run_given(run, "requests") ? 0 : imply(run, "requests", err, "%zu", table.count);
	if (!rc)
		rc = imply(run, "rate", err, "%.0f", rate < 1 ? 1 : rate > 1e9 ? 1e9 : rate);
	if (!rc)
		rc = imply(run, "load", err, "%.9g", (double)work_ns / (double)span_ns);
	if (!rc)
		rc = imply(run, "mean", err, "%lluns",
			(unsigned long long)(work_ns / table.count ? work_ns / table.count : 1));
	shunt_arrivals_free(&table);
	return rc;
}

/* Of rate and load, one follows from the other. */
static int resolve_rate(struct shunt_run *run, struct shunt_error *err)
{
	double mean_ns = (double)shunt_run_int(run, "mean"), load = real(run, "load");

	if (shunt_run_given(run, "rate") && shunt_run_given(run, "load"))
		return shunt_fail(err, -EINVAL,
			"rate and load exclude each other: load is rate x mean");
	if (shunt_run_given(run, "rate")) {
		if (shunt_run_int(run, "rate") == 0)
			return shunt_fail(err, -EINVAL, "rate is 0: nothing would ever arrive");
		return imply(run, "load", err, "%.9g",
			(double)shunt_run_int(run, "rate") * mean_ns / 1e9);
	}
	double rate = load * 1e9 / mean_ns + 0.5;

	if (!(rate >= 1 && rate <= 1e9))
		return shunt_fail(err, -EINVAL,
			"load=%g of mean %.0f ns is %.3g requests a second; it must be 1 to 10^9",
			load, mean_ns, rate);
	return imply(run, "rate", err, "%llu", (unsigned long long)rate);
}

static int openloop_resolve(struct shunt_run *run, struct shunt_error *err)
{
	bool lognormal = shunt_run_int(run, "service") == SHUNT_SERVICE_LOGNORMAL;

	if (shunt_run_given(run, "sigma") && !lognormal)
		return shunt_fail(err, -EINVAL, "sigma belongs to service=lognormal");
	int rc = *shunt_run_text(run, "input") ? resolve_input(run, err) : resolve_rate(run, err);

	if (!rc)
		rc = imply(run, "skip", err, "%lld",
			(long long)shunt_run_int(run, "requests") / 10);
	if (!rc)
		rc = imply(run, "stall_at", err, "%lld",
			(long long)shunt_run_int(run, "requests") / 2);
	if (!rc)
		rc = imply(run, "deadline", err, "%lldns",
			(long long)shunt_run_int(run, "mean") * 10);
	if (rc)
		return rc;
	if (shunt_run_int(run, "steer") == STEER_HASH && !(shunt_run_caps(run) & SHUNT_PINS))
		return shunt_fail(err, -ENOTSUP,
			"steer=hash puts each request on a worker, and under this policy or "
			"backend "
			"tasks do not stay where they are put; policy=fifo keeps them");
	if (shunt_run_int(run, "skip") >= shunt_run_int(run, "requests"))
		return shunt_fail(err, -EINVAL, "skip leaves no request to measure");
	if (shunt_run_int(run, "injection") == INJECT_OUTSIDE &&
		!(shunt_run_caps(run) & SHUNT_EXTERNAL_WAKE))
		return shunt_fail(err, -ENOTSUP,
			"injection=outside spawns from a thread beside the scheduler, which this "
			"backend does not take; injection=timer does without");
	return 0;
}

static void openloop_footprint(const struct shunt_run *run, struct shunt_footprint *footprint)
{
	uint64_t requests = (uint64_t)shunt_run_int(run, "requests");
	uint64_t backlog = (uint64_t)shunt_run_int(run, "backlog");

	footprint->tasks = (backlog < requests ? backlog : requests) + 2;
	footprint->bytes = requests * (sizeof(struct request) + sizeof(struct shunt_arrival));
}

static const struct shunt_param openloop_params[] = {
	{"requests", SHUNT_PARAM_COUNT, "10k", 1, 100000000, NULL,
		"requests of one iteration; of a trace, the first so many (all of them unless "
		"set)"},
	{"process", SHUNT_PARAM_CHOICE, "poisson", 0, 0, process_names,
		"how they arrive: independently of each other, or at equal distances"},
	{"load", SHUNT_PARAM_REAL, "0.5", 0, 1024, NULL,
		"offered work in processors: rate x mean; 2 workers can do no more than 2"},
	{"rate", SHUNT_PARAM_COUNT, "0", 0, 1000000000, NULL, "arrivals a second, instead of load"},
	{"service", SHUNT_PARAM_CHOICE, "exponential", 0, 0, law_names,
		"how service times are spread around the mean; bimodal: 50:50 in 1:100; extreme: "
		"99.5:0.5 in 1:1000; mix: five classes as in TPC-C"},
	{"mean", SHUNT_PARAM_DURATION, "10us", 1, SHUNT_SERVICE_MOST_NS, NULL,
		"of the service time; bimodal is 1 and 100 us at 50500ns, extreme 0.5 and 500 us "
		"at 2998ns, mix as published at 19068ns"},
	{"sigma", SHUNT_PARAM_REAL, "1", 0, 8, NULL,
		"of service=lognormal: the deviation of the logarithm"},
	{"slice", SHUNT_PARAM_DURATION, "0", 0, SHUNT_SERVICE_MOST_NS, NULL,
		"work in pieces of this, after each of which a quantum may end; 0: in one piece"},
	{"block", SHUNT_PARAM_DURATION, "0", 0, SHUNT_SERVICE_MOST_NS, NULL,
		"sleep so long in the middle of each request"},
	{"deadline", SHUNT_PARAM_DURATION, "0", 0, SHUNT_SERVICE_MOST_NS, NULL,
		"the response time asked for, which policies may know; 10 x mean unless set"},
	{"injection", SHUNT_PARAM_CHOICE, "timer", 0, 0, injection_names,
		"timer: a task of the scheduler; outside: a thread beside it, on the last CPU"},
	{"steer", SHUNT_PARAM_CHOICE, "auto", 0, 0, steer_names,
		"hash: to a worker by a hash of the request (d-FCFS); policy: wherever the policy "
		"takes it; auto: hash where many workers keep the tasks put on them"},
	{"backlog", SHUNT_PARAM_COUNT, "10k", 1, 100000000, NULL,
		"requests in the system at most; those that arrive beyond are dropped, and "
		"counted"},
	{"skip", SHUNT_PARAM_COUNT, "0", 0, 100000000, NULL,
		"leave the first so many out of series and metrics; a tenth unless set"},
	{"input", SHUNT_PARAM_TEXT, "", 0, 0, NULL,
		"a trace instead of a law: a file of lines `arrival_ns service_ns [class]`"},
	{"stall", SHUNT_PARAM_DURATION, "0", 0, SHUNT_SERVICE_MOST_NS, NULL,
		"an injected fault: one request holds its worker so much longer"},
	{"stall_at", SHUNT_PARAM_COUNT, "0", 0, 100000000, NULL,
		"which request stalls; the middle one unless set"},
	{.name = NULL},
};

/* ---- set-up ---------------------------------------------------------------------------------- */

static int make_table(struct shunt_run *run, struct openloop *loop, struct shunt_error *err)
{
	const struct shunt_arrival_plan plan = {
		.seed = shunt_run_seed(run),
		.count = (size_t)shunt_run_int(run, "requests"),
		.rate = (uint64_t)shunt_run_int(run, "rate"),
		.process = (enum shunt_arrival_process)shunt_run_int(run, "process"),
		.law = (enum shunt_service_law)shunt_run_int(run, "service"),
		.mean_ns = (uint64_t)shunt_run_int(run, "mean"),
		.sigma_q16 = (uint64_t)(real(run, "sigma") * 65536 + 0.5),
	};
	const char *input = shunt_run_text(run, "input");

	if (!*input)
		return shunt_arrivals_make(&loop->table, &plan);
	int rc = shunt_arrivals_read(&loop->table, input, plan.count, err);

	if (!rc && loop->table.count < plan.count)
		rc = shunt_fail(err, -EINVAL, "input '%s' has %zu requests, not %zu", input,
			loop->table.count, plan.count);
	return rc;
}

static void openloop_configure(struct shunt_run *run, struct openloop *loop)
{
	loop->run = run;
	loop->backlog_limit = (uint64_t)shunt_run_int(run, "backlog");
	loop->skip = (uint64_t)shunt_run_int(run, "skip");
	loop->slice_ns = shunt_run_int(run, "slice");
	loop->block_ns = shunt_run_int(run, "block");
	loop->deadline_ns = shunt_run_int(run, "deadline");
	loop->stall_ns = shunt_run_int(run, "stall");
	loop->stall_at = (uint64_t)shunt_run_int(run, "stall_at");
	loop->injection = (enum openloop_injection)shunt_run_int(run, "injection");
	loop->steer = (enum openloop_steer)shunt_run_int(run, "steer");
	loop->seed = shunt_run_seed(run);
}

static int openloop_setup(struct shunt_run *run, struct shunt_error *err)
{
	struct openloop *loop = calloc(1, sizeof(*loop));
	char text[32];

	shunt_run_set_state(run, loop);
	if (!loop)
		return -ENOMEM;
	openloop_configure(run, loop);
	int rc = make_table(run, loop, err);

	if (rc)
		return rc;
	loop->request = calloc(loop->table.count, sizeof(*loop->request));
	if (!loop->request || openloop_gauges_init(loop))
		return shunt_fail(err, -ENOMEM, "no memory for %zu requests", loop->table.count);
	loop->table_hash = shunt_arrivals_hash(&loop->table);
	snprintf(text, sizeof(text), "%016llx", (unsigned long long)loop->table_hash);
	shunt_run_fact(run, "arrivals.hash", text);
	return 0;
}

static void openloop_teardown(struct shunt_run *run)
{
	struct openloop *loop = shunt_run_state(run);

	if (!loop)
		return;
	openloop_gauges_fini(loop);
	shunt_arrivals_free(&loop->table);
	free(loop->request);
	free(loop);
}

const struct shunt_workload shunt_workload_openloop = {
	.name = "openloop",
	.summary = "requests arrive by a table, whether or not the system keeps up: latency under "
		   "load",
	.description =
		"An open loop: requests arrive at times that a table from the seed gives, each "
		"with "
		"a service time, and each is a task. Latency counts from the intended arrival; "
		"queueing, service and slowdown are told apart. The table is the same on every "
		"backend, and its hash is in the record. Arrivals beyond a bounded backlog are "
		"dropped and counted; a run whose generator lagged is invalid and says so.",
	.operation = "one request",
	.cost_metric = "ns_per_request",
	.needs = SHUNT_CAN_BLOCK | SHUNT_TIMED,
	.params = openloop_params,
	.small = "requests=100 mean=5us load=0.5 service=mix"
		 "|requests=50 mean=20us load=0.3 service=bimodal slice=5us block=20us"
		 "|requests=100 mean=5us load=0.5 injection=outside",
	.resolve = openloop_resolve,
	.footprint = openloop_footprint,
	.setup = openloop_setup,
	.body = openloop_body,
	.verify = openloop_verify,
	.judge = openloop_judge,
	.teardown = openloop_teardown,
};
