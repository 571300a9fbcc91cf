/* SPDX-License-Identifier: MIT */
/*
 * The floors of `uring` and `uring-each`: what N periodic timers cost on io_uring without tasks,
 * queues that can be exchanged, cancellation or a second thread.
 *
 *   shunt-timers-floor heap N    a heap of deadlines over a ring that waits for the nearest one
 *   shunt-timers-floor each N    N absolute IORING_OP_TIMEOUTs, submitted in batches
 *   [periods=20] [period_us=10000] [grid_ns=0] [skip=0] [all] as further arguments, in this order
 *
 * With a grid, `each` rounds deadlines up to its multiples, so that many timers share an interrupt;
 * lateness still counts from the deadline before that. The first `skip` wakes of each timer are
 * left out of the lateness.
 *
 * Each timer sleeps `period` from the moment its last sleep ended, as a task in a loop would, the
 * clock read once for its end and once for its next deadline. Prints one line of CSV: floor,
 * timers, CPU ns a timer, lateness p50, p99 and p99.9 in ns, system calls, and wakes before their
 * deadline, of which there must be none. With `all` it prints instead, for floor_driver.py, wall
 * and CPU ns and the same counts, then every lateness (three significant digits) and how many had
 * it. Written on liburing alone, so that it owes nothing to what it is the floor of.
 */
#include <errno.h>
#include <liburing.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#define BATCH 1024

struct floor_run {
	struct io_uring ring;
	uint32_t count, alive, periods, skip;
	int64_t period_ns, grid_ns;
	uint32_t *left;       /* periods to go, of each timer */
	int64_t *deadline_ns; /* of each timer */
	int32_t *lateness_ns; /* of each wake */
	size_t wakes, noted, early, calls;
};

static int64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static int64_t cpu_ns(void)
{
	struct rusage use;

	getrusage(RUSAGE_SELF, &use);
	return ((int64_t)use.ru_utime.tv_sec + use.ru_stime.tv_sec) * 1000000000 +
	       ((int64_t)use.ru_utime.tv_usec + use.ru_stime.tv_usec) * 1000;
}

static struct __kernel_timespec timespec_of(int64_t time_ns)
{
	return (struct __kernel_timespec){time_ns / 1000000000, time_ns % 1000000000};
}

/* One wake of timer i: notes its lateness. False: it has slept its last period. */
static bool wake_timer(struct floor_run *run, uint32_t i)
{
	int64_t late_ns = now_ns() - run->deadline_ns[i];

	run->early += late_ns < 0;
	run->wakes++;
	if (run->periods - run->left[i] >= run->skip)
		run->lateness_ns[run->noted++] = late_ns < INT32_MAX ? (int32_t)late_ns : INT32_MAX;
	if (--run->left[i] == 0) {
		run->alive--;
		return false;
	}
	run->deadline_ns[i] = now_ns() + run->period_ns;
	return true;
}

/* ---- a heap over one timeout ----------------------------------------------------------------- */

struct item {
	int64_t deadline_ns;
	uint32_t timer;
};

static void push(struct item *heap, size_t *count, struct item item)
{
	size_t i = (*count)++;

	for (; i > 0 && heap[(i - 1) / 4].deadline_ns > item.deadline_ns; i = (i - 1) / 4)
		heap[i] = heap[(i - 1) / 4];
	heap[i] = item;
}

static struct item pop(struct item *heap, size_t *count)
{
	struct item top = heap[0], last = heap[--*count];
	size_t i = 0;

	for (size_t child = 1; child < *count; child = 4 * i + 1) {
		size_t end = child + 4 < *count ? child + 4 : *count;

		for (size_t c = child + 1; c < end; c++)
			if (heap[c].deadline_ns < heap[child].deadline_ns)
				child = c;
		if (heap[child].deadline_ns >= last.deadline_ns)
			break;
		heap[i] = heap[child];
		i = child;
	}
	heap[i] = last;
	return top;
}

static void run_heap(struct floor_run *run)
{
	struct item *heap = malloc(run->count * sizeof(*heap));
	size_t count = 0;

	if (heap == NULL)
		exit(1);
	for (uint32_t i = 0; i < run->count; i++) {
		run->deadline_ns[i] = now_ns() + run->period_ns;
		push(heap, &count, (struct item){run->deadline_ns[i], i});
	}
	while (run->alive > 0) {
		int64_t now = now_ns(), wait_ns = heap[0].deadline_ns - now;

		while (count > 0 && heap[0].deadline_ns <= now) {
			struct item due = pop(heap, &count);

			if (wake_timer(run, due.timer))
				push(heap, &count,
					(struct item){run->deadline_ns[due.timer], due.timer});
		}
		if (count > 0 && wait_ns > 0) {
			struct __kernel_timespec timeout = timespec_of(wait_ns);
			struct io_uring_cqe *cqe;

			run->calls++;
			io_uring_wait_cqe_timeout(&run->ring, &cqe, &timeout);
		}
	}
	free(heap);
}

/* ---- one timeout each ------------------------------------------------------------------------ */

static void add_timeout(struct floor_run *run, struct __kernel_timespec *time, uint32_t i)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&run->ring);
	size_t place;

	if (sqe == NULL) {
		run->calls++;
		io_uring_submit(&run->ring);
		sqe = io_uring_get_sqe(&run->ring);
	}
	place = (size_t)(sqe - run->ring.sq.sqes);
	time[place] =
		timespec_of((run->deadline_ns[i] + run->grid_ns - 1) / run->grid_ns * run->grid_ns);
	io_uring_prep_timeout(sqe, &time[place], 0, IORING_TIMEOUT_ABS);
	io_uring_sqe_set_data64(sqe, i);
}

static void run_each(struct floor_run *run)
{
	static struct __kernel_timespec time[BATCH];

	for (uint32_t i = 0; i < run->count; i++) {
		run->deadline_ns[i] = now_ns() + run->period_ns;
		add_timeout(run, time, i);
	}
	while (run->alive > 0) {
		struct io_uring_cqe *cqe;
		unsigned head, seen = 0;

		run->calls++;
		if (io_uring_submit_and_wait(&run->ring, 1) < 0 && errno != EINTR)
			continue;
		io_uring_for_each_cqe(&run->ring, head, cqe)
		{
			uint32_t i = (uint32_t)cqe->user_data;

			seen++;
			if (wake_timer(run, i))
				add_timeout(run, time, i);
		}
		io_uring_cq_advance(&run->ring, seen);
	}
}

/* ---------------------------------------------------------------------------------------------- */

static int ascending(const void *a, const void *b)
{
	int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;

	return (x > y) - (x < y);
}

static void report(const char *name, struct floor_run *run, int64_t spent_ns)
{
	size_t n = run->noted;

	printf("%s,%u,%.1f,%d,%d,%d,%zu,%zu\n", name, run->count,
		(double)spent_ns / (double)run->wakes, run->lateness_ns[n / 2],
		run->lateness_ns[n * 99 / 100], run->lateness_ns[n * 999 / 1000], run->calls,
		run->early);
}

/* As core/measure/hist.h would keep it: eleven bits. */
static int32_t rounded(int32_t value)
{
	int shift = value >= 2048 ? 21 - __builtin_clz((unsigned)value) : 0;

	return value >> shift << shift;
}

static void report_all(struct floor_run *run, int64_t wall_ns, int64_t spent_ns)
{
	printf("%lld %lld %zu %zu %zu\n", (long long)wall_ns, (long long)spent_ns, run->wakes,
		run->early, run->calls);
	for (size_t i = 0, next; i < run->noted; i = next) {
		int32_t value = rounded(run->lateness_ns[i]);

		for (next = i + 1; next < run->noted && rounded(run->lateness_ns[next]) == value;)
			next++;
		printf("%d %zu\n", value, next - i);
	}
}

int main(int argc, char **argv)
{
	struct io_uring_params params = {.flags = IORING_SETUP_CQSIZE | IORING_SETUP_SINGLE_ISSUER |
						  IORING_SETUP_DEFER_TASKRUN,
		.cq_entries = 8 * BATCH};
	bool each = argc > 1 && strcmp(argv[1], "each") == 0;
	struct floor_run run = {.count = argc > 2 ? (uint32_t)atoi(argv[2]) : 0};
	int64_t spent_ns, wall_ns;

	if (run.count == 0 || (!each && strcmp(argv[1], "heap") != 0)) {
		fprintf(stderr,
			"usage: %s heap|each TIMERS [PERIODS [PERIOD_US [GRID_NS [SKIP [all]]]]]\n",
			argv[0]);
		return 2;
	}
	run.periods = argc > 3 ? (uint32_t)atoi(argv[3]) : 20;
	run.period_ns = (argc > 4 ? atoll(argv[4]) : 10000) * 1000;
	run.grid_ns = argc > 5 && atoll(argv[5]) > 0 ? atoll(argv[5]) : 1;
	run.skip = argc > 6 ? (uint32_t)atoi(argv[6]) : 0;
	run.alive = run.count;
	run.left = malloc(run.count * sizeof(*run.left));
	run.deadline_ns = malloc(run.count * sizeof(*run.deadline_ns));
	run.lateness_ns = malloc((size_t)run.count * run.periods * sizeof(*run.lateness_ns));
	if (run.left == NULL || run.deadline_ns == NULL || run.lateness_ns == NULL)
		return 1;
	for (uint32_t i = 0; i < run.count; i++)
		run.left[i] = run.periods;
	/* First touch is not what is measured. */
	memset(run.deadline_ns, 0, run.count * sizeof(*run.deadline_ns));
	memset(run.lateness_ns, 0, (size_t)run.count * run.periods * sizeof(*run.lateness_ns));
	if (io_uring_queue_init_params(BATCH, &run.ring, &params) != 0) {
		fprintf(stderr, "no io_uring with DEFER_TASKRUN here\n");
		return 77;
	}
	wall_ns = now_ns();
	spent_ns = cpu_ns();
	if (each)
		run_each(&run);
	else
		run_heap(&run);
	spent_ns = cpu_ns() - spent_ns;
	wall_ns = now_ns() - wall_ns;
	qsort(run.lateness_ns, run.noted, sizeof(*run.lateness_ns), ascending);
	if (argc > 7)
		report_all(&run, wall_ns, spent_ns);
	else
		report(argv[1], &run, spent_ns);
	io_uring_queue_exit(&run.ring);
	free(run.left);
	free(run.deadline_ns);
	free(run.lateness_ns);
	return run.early == 0 ? 0 : 1;
}
