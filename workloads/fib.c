/* SPDX-License-Identifier: MIT */
/*
 * fib: the Fibonacci number by two recursive calls, one of them a task.
 *
 * fib(n) spawns fib(n - 1), computes fib(n - 2) itself, and joins: the classic of fork-join
 * runtimes (Frigo, Leiserson, Randall, "The implementation of the Cilk-5 multithreaded language",
 * PLDI 1998), in which there is nothing but spawns and joins. `cutoff` makes small calls plain
 * recursion, so that the grain can be chosen. The tree is very uneven, one branch being 1.6 times
 * the other at every level, so on many workers it needs balancing all the time.
 *
 * The series `completion` is how long a subtree took, of every task at one level of the recursion
 * (n - 8, or the cutoff if that is higher): a few dozen samples an iteration, outside the hot
 * tasks.
 */
#include "workloads/crowd.h"

enum { SAMPLED_BELOW = 8, LEAF_BELOW = 14 };

struct fib {
	uint64_t n, cutoff, sampled;
	struct shunt_series *completion;
	uint64_t result, tasks;
	int rc; /* [fib:rc] the first refusal of a task */
};

struct call {
	struct fib *fib;
	uint64_t n;
};

static void refuse(struct fib *fib, int rc)
{
	int none = 0;
	/* Relaxed: all tasks are joined before anybody reads it [fib:rc]. */
	__atomic_compare_exchange_n(&fib->rc, &none, rc, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
}

static SHUNT_SHORT uint64_t leaf(uint64_t n)
{
	return n < 2 ? n : leaf(n - 1) + leaf(n - 2);
}

static uint64_t plain(uint64_t n)
{
	return n < LEAF_BELOW ? leaf(n) : plain(n - 1) + plain(n - 2);
}

static void *fib_task(void *arg);

static uint64_t fib_call(struct fib *fib, uint64_t n)
{
	if (n < 2)
		return n;
	if (n < fib->cutoff)
		return plain(n);
	struct call child = {fib, n - 1};
	struct shunt_handle handle;
	void *left = NULL;
	int rc = shunt_spawn(&handle, fib_task, &child, NULL);
	if (rc) {
		refuse(fib, rc);
		return 0;
	}
	uint64_t right = fib_call(fib, n - 2);
	rc = shunt_join(handle, &left);
	if (rc)
		refuse(fib, rc);
	return (uintptr_t)left + right;
}

static void *fib_task(void *arg)
{
	const struct call *call = arg;
	struct fib *fib = call->fib;
	if (__builtin_expect(call->n != fib->sampled, 1))
		return (void *)(uintptr_t)fib_call(fib, call->n);
	int64_t before = shunt_now_ns();
	uint64_t result = fib_call(fib, call->n);
	shunt_series_record(fib->completion, shunt_now_ns() - before);
	return (void *)(uintptr_t)result;
}

static int fib_body(struct shunt_run *run)
{
	struct fib *fib = shunt_run_state(run);
	struct call root = {fib, fib->n};
	struct shunt_handle handle;
	void *result = NULL;
	fib->rc = 0;
	shunt_measure_begin(run);
	int rc = shunt_spawn(&handle, fib_task, &root, NULL);
	if (!rc)
		rc = shunt_join(handle, &result);
	shunt_measure_end(run);
	fib->result = (uintptr_t)result;
	if (!rc)
		rc = fib->rc;
	if (rc)
		shunt_run_explain(run, "a task could not be started or joined: %s", strerror(-rc));
	return rc;
}

static uint64_t fibonacci(uint64_t n)
{
	uint64_t a = 0, b = 1;
	while (n--) {
		uint64_t next = a + b;
		a = b;
		b = next;
	}
	return a;
}

/* Tasks of fib(n): calls that spawn, and the root. T(n) = 1 + T(n - 1) + T(n - 2) from the
 * cutoff. */
static uint64_t task_count(uint64_t n, uint64_t cutoff)
{
	uint64_t spawning = cutoff < 2 ? 2 : cutoff, a = 0, b = 0; /* spawns of n - 2 and n - 1 */
	for (uint64_t i = spawning; i <= n; i++) {
		uint64_t next = 1 + a + b;
		a = b;
		b = next;
	}
	return b + 1;
}

static void fib_verify(struct shunt_run *run)
{
	const struct fib *fib = shunt_run_state(run);
	uint64_t spawned;
	shunt_check_int(run, "fibonacci", (int64_t)fibonacci(fib->n), (int64_t)fib->result);
	/* The root of the run is spawned too. */
	if (!shunt_run_counter(run, "spawns", &spawned) && spawned)
		shunt_check_true(run, "tasks_spawned",
			spawned == fib->tasks || spawned == fib->tasks + 1);
	shunt_operations(run, fib->tasks);
}

static void fib_footprint(const struct shunt_run *run, struct shunt_footprint *footprint)
{
	/* In the worst order all that is spawned is alive at once. */
	footprint->tasks = task_count((uint64_t)shunt_run_int(run, "n"),
		(uint64_t)shunt_run_int(run, "cutoff"));
	footprint->bytes = 0;
}

static int fib_setup(struct shunt_run *run, struct shunt_error *err)
{
	struct fib *fib = calloc(1, sizeof(*fib));
	shunt_run_set_state(run, fib);
	if (!fib)
		return -ENOMEM;
	fib->n = (uint64_t)shunt_run_int(run, "n");
	fib->cutoff = (uint64_t)shunt_run_int(run, "cutoff");
	fib->tasks = task_count(fib->n, fib->cutoff);
	uint64_t level = fib->n > SAMPLED_BELOW ? fib->n - SAMPLED_BELOW : 0;
	fib->sampled = level > fib->cutoff ? level : fib->cutoff < fib->n ? fib->cutoff : fib->n;
	if (crowd_series(run, "completion", 1, &fib->completion))
		return shunt_fail(err, -ENOMEM, "no memory for a series");
	return 0;
}

static void fib_teardown(struct shunt_run *run)
{
	free(shunt_run_state(run));
}

static const struct shunt_param fib_params[] = {
	{"n", SHUNT_PARAM_COUNT, "20", 0, 60, NULL,
		"which Fibonacci number; the work is the number"},
	{"cutoff", SHUNT_PARAM_COUNT, "2", 2, 60, NULL,
		"calls with a smaller n are plain recursion: the grain"},
	{.name = NULL},
};

const struct shunt_workload shunt_workload_fib = {
	.name = "fib",
	.summary = "Fibonacci by recursive fork-join",
	.description =
		"Every call spawns one branch as a task, computes the other and joins. Nothing but "
		"spawns and joins, in an uneven tree: the overhead of fork-join, and on many "
		"workers "
		"how well it is balanced.",
	.operation = "one task spawned and joined",
	.cost_metric = "ns_per_task",
	.params = fib_params,
	.small = "n=9|n=12 cutoff=6",
	.footprint = fib_footprint,
	.setup = fib_setup,
	.body = fib_body,
	.verify = fib_verify,
	.teardown = fib_teardown,
};
