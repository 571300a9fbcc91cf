/* SPDX-License-Identifier: MIT */
/*
 * One preemption by a signal, against its floor: a bare signal that only returns, and one switch.
 *
 * Two tasks take turns. Each computes until its slice is over, then sends its own thread the signal
 * of preempt=signal from code that may be preempted, so that the handler switches to the other one,
 * where an earlier handler returns. The time is from just before the system call to that return: a
 * signal's way in, a switch, a signal's way out. The floor makes the same system call with a
 * handler that does nothing, and a swap. Both are medians, because other programs interrupt either.
 *
 * It does not measure how late a signal from another thread comes: the experiment
 * preempt_timeliness does.
 */
#include "core/backend.h"
#include "core/bench/bench.h"
#include "core/bench/floor.h"
#include "core/bench/record.h"
#include "core/bench/switches.h"
#include "core/engine/ticks.h"
#include "core/measure/clock.h"
#include "core/measure/hist.h"

#include <errno.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SLICE_NS     8000 /* longer than the quantum of SHUNT_BENCH_PREEMPTS */
#define SAMPLES_MOST 100000
#define TRIES_MOST   100 /* for one sample */

static struct {
	uint64_t wanted, tried;
	int64_t sent_ns; /* by `sender` */
	uintptr_t sender;
	struct shunt_hist hist;
} it;

#ifdef __x86_64__
/* The system call itself must lie in preemptible code. */
static SHUNT_PREEMPTIBLE void send_signal(long process, long thread, long signal)
{
	long result = SYS_tgkill;
	__asm__ volatile("syscall"
			 : "+a"(result)
			 : "D"(process), "S"(thread), "d"(signal)
			 : "rcx", "r11", "memory");
}
#else
static void send_signal(long process, long thread, long signal)
{
	syscall(SYS_tgkill, process, thread, signal);
}
#endif

static int64_t now_ns(void)
{
	return (int64_t)shunt_clock_monotonic_ns();
}

static bool is_done(void)
{
	return it.hist.count >= it.wanted || it.tried > it.wanted * TRIES_MOST;
}

static void *takes_turns(void *arg)
{
	uintptr_t self = (uintptr_t)arg;
	long process = getpid(), thread = syscall(SYS_gettid);
	for (int64_t since_ns = now_ns(); !is_done(); since_ns = now_ns()) {
		while (now_ns() - since_ns < SLICE_NS)
			;
		it.tried++;
		it.sender = self;
		it.sent_ns = now_ns();
		send_signal(process, thread, SHUNT_TICK_SIGNAL);
		int64_t took_ns = now_ns() - it.sent_ns;
		if (it.sender != self)
			shunt_hist_record(&it.hist, took_ns);
	}
	return NULL;
}

static void *root(void *arg)
{
	struct shunt_handle task[2];
	for (uintptr_t i = 0; i < 2; i++)
		SHUNT_ASSERT(!shunt_spawn(&task[i], takes_turns, (void *)i, NULL));
	for (int i = 0; i < 2; i++)
		shunt_join(task[i], NULL);
	return arg;
}

static void only_returns(int signal)
{
	(void)signal;
}

/* The median of so many bare signals; negative: an errno. */
static double bare_signal_ns(uint64_t count)
{
	struct sigaction action = {.sa_handler = only_returns, .sa_flags = SA_RESTART}, before;
	struct shunt_hist hist;
	long process = getpid(), thread = syscall(SYS_gettid);
	if (shunt_hist_init(&hist))
		return -ENOMEM;
	sigemptyset(&action.sa_mask);
	sigaction(SHUNT_TICK_SIGNAL, &action, &before);
	for (uint64_t i = 0; i < count; i++) {
		int64_t sent_ns = now_ns();
		send_signal(process, thread, SHUNT_TICK_SIGNAL);
		shunt_hist_record(&hist, now_ns() - sent_ns);
	}
	sigaction(SHUNT_TICK_SIGNAL, &before, NULL);
	double median_ns = (double)shunt_hist_quantile(&hist, SHUNT_HIST_PPM / 2);
	shunt_hist_fini(&hist);
	return median_ns;
}

static int measure(struct shunt_sched *sched, uint64_t operations,
	struct shunt_bench_result *result, struct shunt_error *err)
{
	struct shunt_switch_ops ops;
	uint64_t cpu_ns = shunt_clock_cpu_ns();
	int rc = shunt_run(sched, root, NULL, NULL, err);
	if (rc)
		return rc;
	if (it.hist.count < it.wanted)
		return shunt_fail(err, -EIO, "%llu of %llu signals preempted",
			(unsigned long long)it.hist.count, (unsigned long long)it.wanted);
	double median_ns = (double)shunt_hist_quantile(&it.hist, SHUNT_HIST_PPM / 2);
	result->made = it.hist.count;
	result->cpu_ns = (double)(shunt_clock_cpu_ns() - cpu_ns);
	result->ns = median_ns * (double)operations;
	result->wall_ns = median_ns * (double)it.hist.count;
	if (!shunt_bench_switch_of(sched, &ops))
		return 0;
	double signal_ns = bare_signal_ns(it.wanted), swap_ns = shunt_floor_swap(&ops, 10000) / 1e4;
	if (signal_ns > 0 && swap_ns > 0)
		result->floor_ns = (signal_ns + swap_ns) * (double)operations;
	return 0;
}

static int run_preempt(const void *arg, uint64_t operations, struct shunt_bench_result *result,
	struct shunt_error *err)
{
	struct shunt_sched *sched;
	shunt_bench_tell(arg, "primitive.preempt", "ns_per_operation");
	int rc = shunt_open(&sched, arg, NULL, err);
	if (rc)
		return rc;
	it.wanted = operations < SAMPLES_MOST ? operations : SAMPLES_MOST;
	it.tried = 0;
	rc = shunt_hist_init(&it.hist);
	if (!rc)
		rc = measure(sched, operations, result, err);
	shunt_hist_fini(&it.hist);
	shunt_bench_tell_check((int64_t)it.wanted, (int64_t)(rc ? 0 : it.wanted));
	shunt_bench_tell_sched(sched);
	shunt_close(sched);
	return rc;
}

void shunt_bench_add_preempt(void)
{
	static const char spec[] = SHUNT_BENCH_PREEMPTS;
	struct shunt_sched *sched;
	if (shunt_open(&sched, spec, NULL, NULL))
		return;
	shunt_close(sched);
	shunt_bench_add("preempt/" SHUNT_BENCH_PREEMPTS, run_preempt, spec);
}
