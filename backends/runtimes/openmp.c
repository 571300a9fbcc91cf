/* SPDX-License-Identifier: MIT */
/*
 * openmp: every task is an explicit task of OpenMP, in one parallel region a run.
 *
 * OpenMP has fork and join: a task waits for its children (taskwait), and for nothing else. So
 * tasks do not park, sleep or wait on sync objects (no SHUNT_CAN_BLOCK). A join of a child is a
 * taskwait, which waits for its siblings too. taskyield does nothing in libgomp, so a yield returns
 * at once here, as the task API allows without SHUNT_CAN_BLOCK.
 *
 * spawn_join costs more than the loop without shunt: a handle, a result and a join for each task
 * are about 55 ns, where a team of one thread needs 16 ns to call a function.
 *
 * libgomp runs a task inside its spawn when the team has one thread, or 64 tasks a thread wait.
 *
 * The wait policy and the binding are read from the environment when the library is loaded
 * (OMP_WAIT_POLICY, OMP_PROC_BIND, OMP_PLACES). The composition has them in `runtime`, and so a
 * record tells one from another.
 *
 * What it does not do: run under a sanitizer, which knows nothing of libgomp's barriers.
 */
#include "backends/runtimes/adapter.h"

#include <errno.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct counted {
	_Alignas(64) uint64_t executed; /* written by its thread alone */
};

struct team {
	struct shunt_adapter *adapter;
	int thread_count;
	struct counted *threads;
};

static int openmp_spawn(void *state, struct shunt_adapted *task)
{
	struct team *team = state;
#pragma omp task firstprivate(team, task)
	{
		team->threads[omp_get_thread_num()].executed++;
		shunt_adapter_main(task);
	}
	return 0;
}

static void openmp_yield(void *state)
{
	(void)state;
#pragma omp taskyield
}

/* A join: the child has ended when all children have. */
static void openmp_wait(void *state, struct shunt_adapted *task, int64_t deadline_ns)
{
	(void)state;
	(void)deadline_ns;
#pragma omp taskwait
	if (shunt_adapter_commit(task))
		return;
	fprintf(stderr, "shunt: a task of OpenMP waits for its own children alone; this one waits "
			"for something else\n");
	abort();
}

/* Who claims a task that waits finds it in its taskwait, before the commit. */
static void openmp_post(struct shunt_adapted *task)
{
	(void)task;
}

/* The region's barrier ends the run. */
static void openmp_over(void *state)
{
	(void)state;
}

static int openmp_run(void *state, struct shunt_adapted *root, struct shunt_error *err)
{
	struct team *team = state;
	int got = 0;
#pragma omp parallel num_threads(team->thread_count) default(none) shared(team, root, got)
	{
		void *before = shunt_adapter_enter(team->adapter, (unsigned)omp_get_thread_num());
#pragma omp single
		{
			got = omp_get_num_threads();
			openmp_spawn(team, root);
		}
		shunt_adapter_leave(before);
	}
	return got == team->thread_count
		       ? 0
		       : shunt_fail(err, -EAGAIN,
				 "OpenMP gave %d threads, not %d: see OMP_THREAD_LIMIT", got,
				 team->thread_count);
}

/* ---- the same loop without shunt ------------------------------------------------------------- */

static double native_spawn_join(const struct team *team, uint64_t operations, uint64_t *made)
{
	enum { ALIVE = 1000 };
	static uint64_t ran[ALIVE];
	double seconds = 0;
	uint64_t sum = 0;
#pragma omp parallel num_threads(team->thread_count)
#pragma omp single
	{
		double start = omp_get_wtime();
		while (sum < operations) {
			for (int i = 0; i < ALIVE; i++) {
#pragma omp task firstprivate(i)
				ran[i] = 1;
			}
#pragma omp taskwait
			for (int i = 0; i < ALIVE; i++)
				sum += ran[i];
		}
		seconds = omp_get_wtime() - start;
	}
	*made = sum;
	return seconds * 1e9;
}

static double openmp_native(void *state, const char *primitive, uint64_t operations, uint64_t *made)
{
	return strcmp(primitive, "spawn_join_1000") ? 0
						    : native_spawn_join(state, operations, made);
}

/* ---- settings -------------------------------------------------------------------------------- */

static const struct shunt_param openmp_params[] = {
	{.name = "workers",
		.type = SHUNT_PARAM_COUNT,
		.fallback = "0",
		.min = 0,
		.max = 1024,
		.help = "threads of the team; 0: OpenMP's default, OMP_NUM_THREADS or one a CPU"},
	{.name = NULL},
};

static void openmp_close(void *state)
{
	struct team *team = state;
	free(team->threads);
	free(team);
}

static int openmp_open(void **state, struct shunt_adapter *adapter,
	const struct shunt_values *values, unsigned *worker_count, unsigned *caps,
	struct shunt_error *err)
{
	int asked = (int)shunt_value_int(values, "workers");
	struct team *team = calloc(1, sizeof(*team));
	if (!team)
		return shunt_fail(err, -ENOMEM, "out of memory for the team");
	team->adapter = adapter;
	team->thread_count = asked ? asked : omp_get_max_threads();
	size_t bytes = (size_t)team->thread_count * sizeof(*team->threads);
	team->threads = aligned_alloc(64, bytes);
	if (!team->threads) {
		free(team);
		return shunt_fail(err, -ENOMEM, "out of memory for the team");
	}
	memset(team->threads, 0, bytes);
	*worker_count = (unsigned)team->thread_count;
	if (team->thread_count > 1)
		*caps |= SHUNT_PARALLEL;
	*state = team;
	return 0;
}

static uint64_t openmp_created(const void *state)
{
	const struct team *team = state;
	uint64_t sum = 0;
	for (int i = 0; i < team->thread_count; i++)
		sum += team->threads[i].executed;
	return sum;
}

/* Which OpenMP, and what it read from the environment. */
static const char *openmp_version(void)
{
	static const char *const names[] = {"OMP_WAIT_POLICY", "OMP_PROC_BIND", "OMP_PLACES"};
	static char text[200];
	int used = snprintf(text, sizeof(text), "OpenMP %d", _OPENMP);
#ifdef __clang__
	used += snprintf(text + used, sizeof(text) - (size_t)used, " libomp");
#else
	used += snprintf(text + used, sizeof(text) - (size_t)used, " libgomp of gcc %d.%d",
		__GNUC__, __GNUC_MINOR__);
#endif
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		const char *value = getenv(names[i]);
		if (value)
			used += snprintf(text + used, sizeof(text) - (size_t)used, " %s=%.40s",
				names[i], value);
	}
	return text;
}

const struct shunt_runtime shunt_runtime = {
	.name = "openmp",
	.summary = "tasks of OpenMP: fork and join alone",
	.params = openmp_params,
	.version = openmp_version,
	.open = openmp_open,
	.close = openmp_close,
	.run = openmp_run,
	.over = openmp_over,
	.spawn = openmp_spawn,
	.yield = openmp_yield,
	.wait = openmp_wait,
	.post = openmp_post,
	.created = openmp_created,
	.native = openmp_native,
};
