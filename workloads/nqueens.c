/* SPDX-License-Identifier: MIT */
/*
 * nqueens: in how many ways n queens stand on an n x n board without attacking each other.
 *
 * Each task places a queen in one row and spawns a task per free square of the next, down to row
 * `depth`; below that it searches by itself. The subtrees differ in size, and their sizes cannot be
 * told in advance: fork-join with real, irregular work in the leaves. The counts are OEIS A000170.
 *
 * The series `completion` is how long each search below row `depth` took, a clock reading against
 * some 30 us of work at the defaults: 1,030 searches, 37 ms in all on one worker, 73,712 solutions.
 */
#include "workloads/crowd.h"

enum { MOST = 18, LAST_ROWS = 8 };

static const uint64_t solutions[MOST + 1] = {1, 1, 0, 0, 2, 10, 4, 40, 92, 352, 724, 2680, 14200,
	73712, 365596, 2279184, 14772512, 95815104, 666090624};

struct nqueens {
	unsigned n, depth;
	uint32_t all; /* a bit per column */
	struct shunt_series *completion;
	uint64_t tasks, found;
	int rc; /* [nqueens:rc] the first refusal of a task */
};

/* A partial board: which squares of the next row are attacked, by column and by diagonal. */
struct board {
	struct nqueens *nqueens;
	uint32_t columns, left, right;
	unsigned row;
};

static void refuse(struct nqueens *nqueens, int rc)
{
	int none = 0;
	/* Relaxed: all tasks are joined before anybody reads it [nqueens:rc]. */
	__atomic_compare_exchange_n(&nqueens->rc, &none, rc, false, __ATOMIC_RELAXED,
		__ATOMIC_RELAXED);
}

/* The last rows, in less than a microsecond. */
static SHUNT_SHORT uint64_t finish(uint32_t all, uint32_t columns, uint32_t left, uint32_t right)
{
	if (columns == all)
		return 1;
	uint64_t found = 0;
	for (uint32_t free = all & ~(columns | left | right); free; free &= free - 1) {
		uint32_t square = free & -free;
		found += finish(all, columns | square, (left | square) << 1, (right | square) >> 1);
	}
	return found;
}

static uint64_t search(uint32_t all, uint32_t columns, uint32_t left, uint32_t right, unsigned rows)
{
	if (rows <= LAST_ROWS)
		return finish(all, columns, left, right);
	uint64_t found = 0;
	for (uint32_t free = all & ~(columns | left | right); free; free &= free - 1) {
		uint32_t square = free & -free;
		found += search(all, columns | square, (left | square) << 1, (right | square) >> 1,
			rows - 1);
	}
	return found;
}

static struct board place(const struct board *board, uint32_t square)
{
	return (struct board){board->nqueens, board->columns | square, (board->left | square) << 1,
		(board->right | square) >> 1, board->row + 1};
}

static void *nqueens_task(void *arg)
{
	const struct board *board = arg;
	struct nqueens *nqueens = board->nqueens;
	struct board child[MOST];
	struct shunt_handle handle[MOST];
	unsigned started = 0;
	uint64_t found = 0;
	if (board->row >= nqueens->depth || board->columns == nqueens->all) {
		int64_t before = shunt_now_ns();
		found = search(nqueens->all, board->columns, board->left, board->right,
			nqueens->n - board->row);
		shunt_series_record(nqueens->completion, shunt_now_ns() - before);
		return (void *)(uintptr_t)found;
	}
	uint32_t free = nqueens->all & ~(board->columns | board->left | board->right);
	for (; free; free &= free - 1) {
		child[started] = place(board, free & -free);
		int rc = shunt_spawn(&handle[started], nqueens_task, &child[started], NULL);
		if (rc) {
			refuse(nqueens, rc);
			break;
		}
		started++;
	}
	for (unsigned i = 0; i < started; i++) {
		void *result = NULL;
		int rc = shunt_join(handle[i], &result);
		if (rc)
			refuse(nqueens, rc);
		found += (uintptr_t)result;
	}
	return (void *)(uintptr_t)found;
}

/* How many tasks there will be: the boards with up to `depth` queens. */
static uint64_t count_tasks(uint32_t all, const struct board *board, unsigned depth)
{
	uint64_t count = 1;
	if (board->row >= depth)
		return count;
	for (uint32_t free = all & ~(board->columns | board->left | board->right); free;
		free &= free - 1) {
		struct board child = place(board, free & -free);
		count += count_tasks(all, &child, depth);
	}
	return count;
}

static uint32_t all_columns(unsigned n)
{
	return (UINT32_C(1) << n) - 1;
}

static int nqueens_body(struct shunt_run *run)
{
	struct nqueens *nqueens = shunt_run_state(run);
	struct board empty = {.nqueens = nqueens};
	struct shunt_handle handle;
	void *result = NULL;
	nqueens->rc = 0;
	shunt_measure_begin(run);
	int rc = shunt_spawn(&handle, nqueens_task, &empty, NULL);
	if (!rc)
		rc = shunt_join(handle, &result);
	shunt_measure_end(run);
	nqueens->found = (uintptr_t)result;
	if (!rc)
		rc = nqueens->rc;
	if (rc)
		shunt_run_explain(run, "a task could not be started or joined: %s", strerror(-rc));
	return rc;
}

static void nqueens_verify(struct shunt_run *run)
{
	const struct nqueens *nqueens = shunt_run_state(run);
	shunt_check_int(run, "solutions", (int64_t)solutions[nqueens->n], (int64_t)nqueens->found);
	shunt_operations(run, nqueens->tasks);
}

static void nqueens_footprint(const struct shunt_run *run, struct shunt_footprint *footprint)
{
	struct board empty = {.row = 0};
	uint32_t all = all_columns((unsigned)shunt_run_int(run, "n"));
	footprint->tasks = count_tasks(all, &empty, (unsigned)shunt_run_int(run, "depth"));
	footprint->bytes = 0;
}

static int nqueens_setup(struct shunt_run *run, struct shunt_error *err)
{
	struct nqueens *nqueens = calloc(1, sizeof(*nqueens));
	struct board empty = {.row = 0};
	shunt_run_set_state(run, nqueens);
	if (!nqueens)
		return -ENOMEM;
	nqueens->n = (unsigned)shunt_run_int(run, "n");
	nqueens->depth = (unsigned)shunt_run_int(run, "depth");
	nqueens->all = all_columns(nqueens->n);
	nqueens->tasks = count_tasks(nqueens->all, &empty, nqueens->depth);
	if (crowd_series(run, "completion", 1, &nqueens->completion))
		return shunt_fail(err, -ENOMEM, "no memory for a series");
	return 0;
}

static void nqueens_teardown(struct shunt_run *run)
{
	free(shunt_run_state(run));
}

static const struct shunt_param nqueens_params[] = {
	{"n", SHUNT_PARAM_COUNT, "13", 1, MOST, NULL,
		"the board's side, and the number of queens; one more is five times the work; "
		"10 ends before a second worker has started"},
	{"depth", SHUNT_PARAM_COUNT, "3", 0, 6, NULL,
		"rows whose squares are tasks; below, a task searches by itself: the grain"},
	{.name = NULL},
};

const struct shunt_workload shunt_workload_nqueens = {
	.name = "nqueens",
	.summary = "counts the ways to place n queens, by fork-join",
	.description = "A task per square in the first rows of the board, a plain search below: "
		       "fork-join with "
		       "irregular work in the leaves, for load balance and grain.",
	.operation = "one task",
	.cost_metric = "ns_per_task",
	.params = nqueens_params,
	.small = "n=6 depth=2|n=5 depth=6|n=1",
	.footprint = nqueens_footprint,
	.setup = nqueens_setup,
	.body = nqueens_body,
	.verify = nqueens_verify,
	.teardown = nqueens_teardown,
};
