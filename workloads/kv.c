/* SPDX-License-Identifier: MIT */
/*
 * kv: a key-value service under an open loop, with a real store behind it.
 *
 * Requests arrive by a table from the seed (openloop.h), each a task: most GET or PUT one key, some
 * SCAN many in order, and so take a hundred times as long. What they do is real work on a real
 * store (kv.h), and each answer is checked. The table's service times, `get`, `put` and `scan`, are
 * what policies are told, what a slowdown is relative to, and what `load` counts with; what the
 * work really took is `service_get_ns` and so on. With service=fake the work is calibrated and
 * takes just these times: what the difference shows is the store's.
 *
 * The classes are 0 GET, 1 PUT, 2 SCAN. A SCAN may give way every `slice` entries, where a quantum
 * has ended.
 */
#include "workloads/kv.h"

#include "workloads/openloop.h"

#include "core/rng.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum kv_class { GET, PUT, SCAN, KV_CLASSES };

enum kv_service { SERVICE_AUTO, SERVICE_REAL, SERVICE_FAKE };

static const char *const class_names[KV_CLASSES] = {"get", "put", "scan"};
static const char *const engine_names[] = {"mem", "lmdb", NULL};
static const char *const service_names[] = {"auto", "real", "fake", NULL};
static const char *const steer_names[] = {"auto", "policy", "hash", NULL};
static const char *const injection_names[] = {"timer", "outside", NULL};
static const char *const keep_names[] = {"all", "response", "slowdown", "none", NULL};

struct kv {
	struct openloop loop; /* first: a request knows its loop */
	const struct kv_engine *engine;
	struct kv_store *store;
	uint64_t keys, entries, slice;
	size_t bytes;
	uint64_t *number;   /* of each request: the key, or the first one */
	bool *wrong;        /* each written by its request */
	uint64_t puts;      /* since the store was made */
	struct kv_sums all; /* of the whole store, after an iteration */
	int all_rc;
};

/* ---- a request ------------------------------------------------------------------------------- */

static bool get_is_wrong(const struct kv *kv, uint64_t number)
{
	char value[KV_VALUE_MOST];

	return kv->engine->get(kv->store, number, value) != 0 ||
	       !kv_is_whole(value, kv->bytes, kv_key(number));
}

/* The sum of the keys of `count` numbers from `first` on. */
static uint64_t sum_of_keys(uint64_t first, uint64_t count)
{
	return count * (kv_key(first) + kv_key(first + count - 1)) / 2;
}

static bool scan_is_wrong(struct request *request, const struct kv *kv, uint64_t first)
{
	uint64_t piece = kv->slice ? kv->slice : kv->entries;
	struct kv_sums sums = {0};

	for (uint64_t done = 0; done < kv->entries; done += piece) {
		uint64_t left = kv->entries - done;

		if (done)
			openloop_checkpoint(request);
		if (kv->engine->scan(kv->store, first + done, left < piece ? left : piece, &sums))
			return true;
	}
	return sums.entries != kv->entries || sums.keys != sum_of_keys(first, kv->entries);
}

static void serve(struct request *request)
{
	struct kv *kv = (struct kv *)request->loop;
	size_t index = (size_t)(request - kv->loop.request);
	uint64_t number = kv->number[index];

	switch (kv->loop.table.arrival[index].class) {
	case GET:
		kv->wrong[index] = get_is_wrong(kv, number);
		break;
	case PUT:
		kv->wrong[index] = kv->engine->put(kv->store, number) != 0;
		break;
	default:
		kv->wrong[index] = scan_is_wrong(request, kv, number);
	}
}

/* ---- set-up ---------------------------------------------------------------------------------- */

static double real(const struct shunt_run *run, const char *param)
{
	return shunt_value(shunt_run_values(run), param)->real;
}

static double mean_ns(const struct shunt_run *run)
{
	double put = real(run, "puts"), scan = real(run, "scans");

	return (double)shunt_run_int(run, "get") * (1 - put - scan) +
	       (double)shunt_run_int(run, "put") * put + (double)shunt_run_int(run, "scan") * scan;
}

static int resolve_load(struct shunt_run *run, struct shunt_error *err)
{
	double load = real(run, "load"), rate;
	char text[32];

	if (real(run, "puts") + real(run, "scans") > 1)
		return shunt_fail(err, -EINVAL,
			"puts=%g and scans=%g are more than all requests: their sum is at most 1",
			real(run, "puts"), real(run, "scans"));
	if (shunt_run_given(run, "rate")) {
		if (shunt_run_given(run, "load"))
			return shunt_fail(err, -EINVAL,
				"rate and load exclude each other: load is rate x mean service");
		snprintf(text, sizeof(text), "%.9g",
			(double)shunt_run_int(run, "rate") * mean_ns(run) / 1e9);
		return shunt_run_imply(run, "load", text, err);
	}
	rate = load * 1e9 / mean_ns(run) + 0.5;
	if (!(rate >= 1 && rate <= 1e9))
		return shunt_fail(err, -EINVAL,
			"load=%g of mean %.0f ns is %.3g requests a second; it must be 1 to 10^9",
			load, mean_ns(run), rate);
	snprintf(text, sizeof(text), "%.0f", rate - 0.5 < 1 ? 1 : rate - 0.5);
	return shunt_run_imply(run, "rate", text, err);
}

/* Real work takes no virtual time. */
static int resolve_service(struct shunt_run *run, struct shunt_error *err)
{
	bool in_virtual_time = shunt_run_caps(run) & SHUNT_VIRTUAL_TIME;

	if (shunt_run_int(run, "service") == SERVICE_REAL && in_virtual_time)
		return shunt_fail(err, -ENOTSUP,
			"service=real is work on a real store, which takes no virtual time; "
			"service=fake takes what the table says");
	return shunt_run_imply(run, "service", in_virtual_time ? "fake" : "real", err);
}

/* NULL: not built. */
static const struct kv_engine *engine_of(const struct shunt_run *run)
{
	return strcmp(shunt_run_text(run, "engine"), "lmdb") == 0 ? &kv_lmdb : &kv_mem;
}

/* What requests are said to take, unless told: what they took elsewhere. */
static int resolve_times(struct shunt_run *run, struct shunt_error *err)
{
	const struct kv_engine *engine = engine_of(run);
	double times[KV_CLASSES] = {[GET] = engine->get_ns,
		[PUT] = engine->put_ns,
		[SCAN] = engine->get_ns + engine->entry_ns * (double)shunt_run_int(run, "entries")};
	char text[32];
	int rc = 0;

	for (unsigned c = 0; c < KV_CLASSES && !rc; c++) {
		const char *name = class_names[c];

		if (shunt_run_given(run, name) && shunt_run_int(run, name) == 0)
			return shunt_fail(err, -EINVAL,
				"%s=0: slowdowns are relative to it, so it is at least 1ns", name);
		snprintf(text, sizeof(text), "%.0fns", times[c]);
		rc = shunt_run_imply(run, name, text, err);
	}
	return rc;
}

static int kv_resolve(struct shunt_run *run, struct shunt_error *err)
{
	if (!engine_of(run))
		return shunt_fail(err, -ENOSYS,
			"engine=lmdb was not built: lmdb not found (Debian package liblmdb-dev)");
	if (shunt_run_int(run, "entries") > shunt_run_int(run, "keys"))
		return shunt_fail(err, -EINVAL, "entries=%lld: a scan reads at most all %lld keys",
			(long long)shunt_run_int(run, "entries"),
			(long long)shunt_run_int(run, "keys"));
	int rc = resolve_times(run, err);

	if (!rc)
		rc = resolve_load(run, err);
	if (!rc)
		rc = resolve_service(run, err);
	return rc ? rc : openloop_resolve_rest(run, (int64_t)mean_ns(run), err);
}

static void kv_footprint(const struct shunt_run *run, struct shunt_footprint *footprint)
{
	uint64_t requests = (uint64_t)shunt_run_int(run, "requests");
	uint64_t backlog = (uint64_t)shunt_run_int(run, "backlog");

	footprint->tasks = (backlog < requests ? backlog : requests) + 2;
	footprint->bytes = requests * (sizeof(struct request) + sizeof(struct shunt_arrival) + 9) +
			   (uint64_t)shunt_run_int(run, "keys") *
				   ((uint64_t)shunt_run_int(run, "value") + 128);
}

/* The class of each arrival, its service time, and its key: one draw each, whatever the class. */
static void draw_requests(const struct shunt_run *run, struct kv *kv)
{
	uint64_t puts = (uint64_t)(real(run, "puts") * 0x1p32),
		 scans = (uint64_t)(real(run, "scans") * 0x1p32);
	struct shunt_rng rng;

	shunt_rng_init(&rng, shunt_run_seed(run) ^ UINT64_C(0x6b76));
	for (size_t i = 0; i < kv->loop.table.count; i++) {
		struct shunt_arrival *arrival = &kv->loop.table.arrival[i];
		uint64_t which = shunt_rng_next(&rng) >> 32, key = shunt_rng_next(&rng);
		unsigned class = which < scans ? SCAN : which < scans + puts ? PUT : GET;
		uint64_t most = kv->keys - (class == SCAN ? kv->entries - 1 : 0);

		arrival->class = class;
		arrival->service_ns = (uint64_t)shunt_run_int(run, class_names[class]);
		kv->number[i] = (uint64_t)(((unsigned __int128)key * most) >> 64);
	}
	kv->loop.table.classes = KV_CLASSES;
}

static int make_table(const struct shunt_run *run, struct kv *kv, struct shunt_error *err)
{
	const struct shunt_arrival_plan plan = {
		.seed = shunt_run_seed(run),
		.count = (size_t)shunt_run_int(run, "requests"),
		.rate = (uint64_t)shunt_run_int(run, "rate"),
		.process = SHUNT_POISSON,
		.law = SHUNT_SERVICE_FIXED,
		.mean_ns = 1,
	};
	int rc = shunt_arrivals_make(&kv->loop.table, &plan);

	if (rc == -ERANGE)
		return shunt_fail(err, -EINVAL,
			"%zu requests at a rate of %llu a second would arrive for more than 78 "
			"hours; ask for fewer requests or a higher rate",
			plan.count, (unsigned long long)plan.rate);
	if (rc)
		return rc;
	kv->number = calloc(plan.count, sizeof(*kv->number));
	kv->wrong = calloc(plan.count, sizeof(*kv->wrong));
	if (!kv->number || !kv->wrong)
		return shunt_fail(err, -ENOMEM, "no memory for %zu requests", plan.count);
	draw_requests(run, kv);
	return 0;
}

static int kv_setup(struct shunt_run *run, struct shunt_error *err)
{
	struct kv *kv = aligned_alloc(64, (sizeof(*kv) + 63) / 64 * 64);

	shunt_run_set_state(run, kv);
	if (!kv)
		return -ENOMEM;
	*kv = (struct kv){.engine = engine_of(run),
		.keys = (uint64_t)shunt_run_int(run, "keys"),
		.entries = (uint64_t)shunt_run_int(run, "entries"),
		.slice = (uint64_t)shunt_run_int(run, "slice"),
		.bytes = (size_t)shunt_run_int(run, "value")};
	int rc = make_table(run, kv, err);

	if (!rc)
		rc = openloop_begin(run, &kv->loop, err);
	if (rc || shunt_run_int(run, "service") == SERVICE_FAKE)
		return rc;
	kv->loop.work = serve;
	return kv->engine->open(&kv->store, kv->keys, kv->bytes, err);
}

static void kv_teardown(struct shunt_run *run)
{
	struct kv *kv = shunt_run_state(run);

	if (!kv)
		return;
	if (kv->store)
		kv->engine->close(kv->store);
	openloop_end(&kv->loop);
	free(kv->number);
	free(kv->wrong);
	free(kv);
}

/* ---- one iteration --------------------------------------------------------------------------- */

/* What the work of each class took, on average, of those that are measured. */
static void report_services(const struct kv *kv)
{
	int64_t served_ns[KV_CLASSES] = {0}, count[KV_CLASSES] = {0};
	char name[32];

	for (size_t i = kv->loop.skip; i < kv->loop.table.count; i++) {
		unsigned class = (unsigned)kv->loop.table.arrival[i].class;

		if (kv->loop.request[i].dropped)
			continue;
		served_ns[class] += kv->loop.request[i].served_ns;
		count[class]++;
	}
	for (unsigned c = 0; c < KV_CLASSES; c++) {
		if (!count[c])
			continue;
		snprintf(name, sizeof(name), "service_%s_ns", class_names[c]);
		shunt_metric(kv->loop.run, name, (double)served_ns[c] / (double)count[c], "ns",
			"lower");
	}
}

static int kv_body(struct shunt_run *run)
{
	struct kv *kv = shunt_run_state(run);

	memset(kv->wrong, 0, kv->loop.table.count * sizeof(*kv->wrong));
	int rc = openloop_iterate(&kv->loop);

	if (rc)
		return rc;
	for (size_t i = 0; i < kv->loop.table.count; i++)
		kv->puts += kv->loop.table.arrival[i].class == PUT && !kv->loop.request[i].dropped;
	if (kv->store) {
		kv->all = (struct kv_sums){0};
		kv->all_rc = kv->engine->scan(kv->store, 0, kv->keys, &kv->all);
	}
	/* Where signals preempt, a request does not know when others had its turn. */
	if (!(shunt_run_caps(run) & (SHUNT_PREEMPTS | SHUNT_AT_EDGES)))
		report_services(kv);
	return 0;
}

/* Each PUT has left the next version, of one key or another. */
static void kv_verify(struct shunt_run *run)
{
	const struct kv *kv = shunt_run_state(run);
	int64_t wrong = 0;

	openloop_check(&kv->loop);
	if (!kv->store)
		return;
	for (size_t i = 0; i < kv->loop.table.count; i++)
		wrong += kv->wrong[i];
	shunt_check_int(run, "wrong_answers", 0, wrong);
	shunt_check_int(run, "last_scan", 0, kv->all_rc);
	shunt_check_int(run, "keys", (int64_t)sum_of_keys(0, kv->keys), (int64_t)kv->all.keys);
	shunt_check_int(run, "versions", (int64_t)kv->puts, (int64_t)kv->all.versions);
}

static const struct shunt_param kv_params[] = {
	{"requests", SHUNT_PARAM_COUNT, "10k", 1, 100000000, NULL, "requests per iteration"},
	{"load", SHUNT_PARAM_REAL, "0.5", 0, 1024, NULL,
		"offered load in CPUs, rate x mean of get, put and scan"},
	{"rate", SHUNT_PARAM_COUNT, "0", 0, 1000000000, NULL,
		"arrivals per second, instead of load"},
	{"puts", SHUNT_PARAM_REAL, "0", 0, 1, NULL, "share of the requests that write a key"},
	{"scans", SHUNT_PARAM_REAL, "0.005", 0, 1, NULL,
		"share of those that read many; the rest reads one"},
	{"engine", SHUNT_PARAM_CHOICE, "mem", 0, 0, engine_names,
		"mem: a sorted array; lmdb: a database in a file without a name in $TMPDIR"},
	{"keys", SHUNT_PARAM_COUNT, "100k", 1, 100000000, NULL, "keys in the store"},
	{"value", SHUNT_PARAM_SIZE, "64", 8, KV_VALUE_MOST, NULL, "bytes of a value"},
	{"entries", SHUNT_PARAM_COUNT, "5000", 1, 100000000, NULL, "keys that a scan reads"},
	{"slice", SHUNT_PARAM_COUNT, "0", 0, 100000000, NULL,
		"keys of a scan after which a quantum may end; 0: none does"},
	{"service", SHUNT_PARAM_CHOICE, "auto", 0, 0, service_names,
		"real: work on the store; fake: calibrated work of the times below, the only one "
		"in virtual time"},
	{"get", SHUNT_PARAM_DURATION, "auto", 0, SHUNT_SERVICE_MOST_NS, NULL,
		"what a GET is said to take: to policies, in slowdowns, in load; auto: what it "
		"took "
		"with this engine where that was measured"},
	{"put", SHUNT_PARAM_DURATION, "auto", 0, SHUNT_SERVICE_MOST_NS, NULL, "the same of a PUT"},
	{"scan", SHUNT_PARAM_DURATION, "auto", 0, SHUNT_SERVICE_MOST_NS, NULL,
		"the same of a SCAN"},
	{"deadline", SHUNT_PARAM_DURATION, "auto", 0, SHUNT_SERVICE_MOST_NS, NULL,
		"response-time objective, which policies may use; auto: 10 x mean"},
	{"injection", SHUNT_PARAM_CHOICE, "timer", 0, 0, injection_names,
		"who starts requests, as in openloop: timer or outside"},
	{"steer", SHUNT_PARAM_CHOICE, "auto", 0, 0, steer_names,
		"which worker a request is put on, as in openloop"},
	{"backlog", SHUNT_PARAM_COUNT, "10k", 1, 100000000, NULL,
		"most requests in the system at once; further arrivals are dropped and counted"},
	{"skip", SHUNT_PARAM_COUNT, "auto", 0, 100000000, NULL,
		"first requests to leave out of series and metrics; auto: a tenth"},
	{"series", SHUNT_PARAM_CHOICE, "all", 0, 0, keep_names,
		"which latencies the record holds in full; means and quantiles are metrics in any "
		"case"},
	{.name = NULL},
};

const struct shunt_workload shunt_workload_kv = {
	.name = "kv",
	.summary = "a key-value service: short reads beside long scans of a real store, under load",
	.description =
		"An open loop, as openloop is, whose requests are real work: GET, PUT and SCAN of "
		"a "
		"store in memory or of a database. Every value read and every scan's sum is "
		"checked, and after each iteration the versions of all keys. The classes are 0 "
		"GET, 1 PUT, 2 SCAN; service_get_ns and so on say what the work took, and get, put "
		"and scan what policies and slowdowns go by.",
	.operation = "one request",
	.cost_metric = "ns_per_request",
	.needs = SHUNT_CAN_BLOCK | SHUNT_TIMED,
	.params = kv_params,
	.small = "requests=200 keys=1000 entries=100 slice=25 puts=0.3 scans=0.1 load=0.3"
		 "|requests=100 keys=1000 entries=100 puts=0.3 scans=0.1 load=0.3 "
		 "injection=outside"
		 "|requests=100 keys=100 entries=10 scans=0.1 load=0.3 service=fake",
	.resolve = kv_resolve,
	.footprint = kv_footprint,
	.setup = kv_setup,
	.body = kv_body,
	.verify = kv_verify,
	.judge = openloop_judge,
	.teardown = kv_teardown,
};
