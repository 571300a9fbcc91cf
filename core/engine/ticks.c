/* SPDX-License-Identifier: MIT */
/*
 * Who asks for preemptions, and when: the preempter, a thread that sleeps until the earliest of the
 * running slices ends. Only where a slice is over and another task is ready it sends the worker's
 * thread a signal (tgkill), or sets the thread's flag, which edge.c reads, one at a time. It rests
 * while all workers are idle.
 *
 * With preempter=poll it looks all the time instead of sleeping, while a worker is busy. It is then
 * as prompt as can be, and takes a CPU for that, which the workers do not have.
 *
 * One that sleeps needs a CPU at that moment. On one that a worker uses, the kernel (6.18) lets it
 * run some 7 ms late, with a short slice of its own too. So it takes the lowest real-time priority
 * where it may (root, or RLIMIT_RTPRIO), and the record says which it got.
 *
 * Rejected: a timer in the kernel for each worker, which sends its thread the signal. One that
 * repeats costs a signal a quantum, whether or not another task is ready; one that the handler arms
 * again makes the worker pay for that, 40 us of 55 on a virtual machine whose timer the hypervisor
 * emulates.
 */
#include "core/engine/ticks.h"

#include "core/engine/external.h"

#include <errno.h>
#include <sched.h>
#include <semaphore.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define RETRY_LEAST_NS 5000
#define ALONE_NS       250000 /* a look costs a processor some 10 us */
#define LINGER_NS      200000 /* all idle for so long: to rest and be roused costs 10 us */
#define ANSWERS_MOST   1000

struct shunt_preempter {
	struct shunt_engine *engine;
	pthread_t thread;
	pthread_mutex_t lock; /* guards tick.thread of the workers */
	sem_t bell;
	int64_t idle_since_ns; /* 0: somebody runs */
	_Atomic int rests;     /* [preempter:rests] */
	_Atomic int stop;      /* [preempter:stop] */
};

__thread int shunt_tick_flag;

bool shunt_ticks_sent(const struct shunt_worker *worker)
{
	/* Acquire pairs with the release in shunt_ticks_counted: the flag is down before it is set
	 * again [worker:preempt]. */
	return atomic_load_explicit(&worker->preempt_asked, memory_order_acquire);
}

static bool others_wait(const struct shunt_worker *worker, int64_t now_ns)
{
	/* Relaxed: a guess. */
	int64_t deadline = atomic_load_explicit(&worker->next_deadline_ns, memory_order_relaxed);
	return __atomic_load_n(&worker->held.head, __ATOMIC_RELAXED) ||
	       worker->engine->policy->has_ready(worker) || !shunt_worker_inbox_empty(worker) ||
	       deadline <= now_ns;
}

bool shunt_ticks_due(const struct shunt_worker *worker, int64_t now_ns)
{
	/* Relaxed: a guess; the handler looks again [worker:slice]. */
	int64_t quantum_ns = __atomic_load_n(&worker->quantum_ns, __ATOMIC_RELAXED);
	int64_t slice_ns = __atomic_load_n(&worker->slice_ns, __ATOMIC_RELAXED);
	return quantum_ns && now_ns - slice_ns >= quantum_ns && others_wait(worker, now_ns);
}

static void send(struct shunt_preempter *preempter, struct shunt_worker *worker)
{
	pthread_mutex_lock(&preempter->lock);
	if (worker->tick.thread) {
		/* Relaxed: published by the flag, or of use to us alone [worker:preempt]. */
		atomic_store_explicit(&worker->preempt_asked, 1, memory_order_relaxed);
		worker->preempt.asked++;
		if (worker->tick.flag)
			/* Release pairs with the acquire in answer (edge.c) [tick:flag]. */
			__atomic_store_n(worker->tick.flag, 1, __ATOMIC_RELEASE);
		else
			syscall(SYS_tgkill, getpid(), worker->tick.thread, SHUNT_TICK_SIGNAL);
	}
	pthread_mutex_unlock(&preempter->lock);
}

/* A quarter of a quantum, and twice as long each time that the same slice is still there: its task
 * is in code that is not preempted. */
static void retry_later(struct shunt_worker *worker, int64_t slice_ns, int64_t quantum_ns,
	int64_t now_ns)
{
	bool same = worker->tick.slice_ns == slice_ns;
	int64_t again_ns = same ? worker->tick.retry_ns * 2 : quantum_ns / 4;
	int64_t most_ns = quantum_ns > ALONE_NS ? quantum_ns : ALONE_NS;
	again_ns = again_ns < most_ns ? again_ns : most_ns;
	worker->tick.slice_ns = slice_ns;
	worker->tick.retry_ns = again_ns > RETRY_LEAST_NS ? again_ns : RETRY_LEAST_NS;
	worker->tick.next_ns = now_ns + worker->tick.retry_ns;
}

/* When to look at this worker again, in ns; sends it a signal if that is due. */
static int64_t look_at(struct shunt_preempter *preempter, struct shunt_worker *worker,
	int64_t now_ns)
{
	/* Relaxed: a guess; the handler looks again [worker:slice]. */
	int64_t quantum_ns = __atomic_load_n(&worker->quantum_ns, __ATOMIC_RELAXED);
	int64_t slice_ns = __atomic_load_n(&worker->slice_ns, __ATOMIC_RELAXED);
	int64_t left_ns = slice_ns + quantum_ns - now_ns;
	if (left_ns > 0)
		return left_ns > RETRY_LEAST_NS ? left_ns : RETRY_LEAST_NS;
	if (worker->tick.slice_ns != slice_ns || worker->tick.next_ns <= now_ns) {
		if (!shunt_ticks_sent(worker))
			send(preempter, worker);
		retry_later(worker, slice_ns, quantum_ns, now_ns);
	}
	return worker->tick.next_ns - now_ns;
}

/* When to look at a worker again on which no other task is ready: when its next timer is due. Who
 * makes one ready from elsewhere rings the bell; what the running task makes ready is seen after
 * ALONE_NS. */
static int64_t look_alone(const struct shunt_worker *worker, int64_t now_ns)
{
	/* Relaxed: a guess. */
	int64_t deadline = atomic_load_explicit(&worker->next_deadline_ns, memory_order_relaxed);
	if (deadline < now_ns + RETRY_LEAST_NS)
		return RETRY_LEAST_NS;
	return deadline < now_ns + ALONE_NS ? deadline - now_ns : ALONE_NS;
}

/* When to look again, in ns; 0: all workers are idle. *alone: there is nobody to preempt for. */
static int64_t look(struct shunt_preempter *preempter, int64_t now_ns, bool *alone)
{
	struct shunt_engine *engine = preempter->engine;
	int64_t again_ns = 0;
	*alone = true;
	for (unsigned i = 0; i < engine->worker_count; i++) {
		struct shunt_worker *worker = engine->workers[i];
		/* Relaxed: ordered by rest's fence, or a guess [worker:idle] [worker:slice]. */
		if (atomic_load_explicit(&worker->idle, memory_order_relaxed))
			continue;
		bool others = others_wait(worker, now_ns) &&
			      __atomic_load_n(&worker->quantum_ns, __ATOMIC_RELAXED);
		int64_t wait_ns = others ? look_at(preempter, worker, now_ns)
					 : look_alone(worker, now_ns);
		*alone &= !others;
		if (!again_ns || wait_ns < again_ns)
			again_ns = wait_ns;
	}
	return again_ns;
}

/* Sleeps for so long, or until the bell; 0: until the bell. One that polls only pauses: it looks
 * all the time that a worker is busy. */
static void wait_for(struct shunt_preempter *preempter, int64_t wait_ns)
{
	if (wait_ns && preempter->engine->preempter_polls) {
		shunt_cpu_relax();
		return;
	}
	int64_t until_ns = (int64_t)shunt_clock_monotonic_ns() + wait_ns;
	struct timespec until = {until_ns / 1000000000, until_ns % 1000000000};
	if (wait_ns)
		sem_clockwait(&preempter->bell, CLOCK_MONOTONIC, &until);
	else
		sem_wait(&preempter->bell);
}

/* Until somebody rings the bell. When all are idle that is who goes to run a task; else who makes
 * one ready from elsewhere, or the time is up. */
static void rest(struct shunt_preempter *preempter, int64_t now_ns)
{
	bool alone;
	/* Relaxed: ordered by the fence [preempter:rests]. */
	atomic_store_explicit(&preempter->rests, 1, memory_order_relaxed);
	/* Forbids that workers are looked at before they see it rest; pairs with the ones in
	 * shunt_ticks_need and shunt_wake_poke. */
	shunt_full_fence();
	int64_t wait_ns = look(preempter, now_ns, &alone);
	/* Acquire pairs with the release in shunt_ticks_stop [preempter:stop]. */
	if (alone && !atomic_load_explicit(&preempter->stop, memory_order_acquire))
		wait_for(preempter, wait_ns);
	/* Relaxed: a bell rung for nothing does no harm [preempter:rests]. */
	atomic_store_explicit(&preempter->rests, 0, memory_order_relaxed);
}

/* Beside real-time workers it has one priority more than they, where there is one. */
static void be_prompt(struct shunt_preempter *preempter)
{
	struct sched_param own = {0};
	int policy = sched_getscheduler(0);
	bool real_time = policy == SCHED_FIFO || policy == SCHED_RR;
	prctl(PR_SET_TIMERSLACK, 1UL, 0, 0, 0);
	if (sched_getparam(0, &own))
		return;
	if (own.sched_priority < sched_get_priority_max(SCHED_FIFO))
		own.sched_priority++;
	if (!sched_setscheduler(0, SCHED_FIFO, &own))
		preempter->engine->preempter_priority = own.sched_priority;
	else if (real_time)
		preempter->engine->preempter_priority = own.sched_priority - 1;
}

static void *preempter_main(void *arg)
{
	struct shunt_preempter *preempter = arg;
	pthread_setname_np(pthread_self(), "preempter");
	if (!preempter->engine->preempter_polls)
		be_prompt(preempter);
	/* Acquire pairs with the release in shunt_ticks_stop [preempter:stop]. */
	while (!atomic_load_explicit(&preempter->stop, memory_order_acquire)) {
		bool alone;
		int64_t now_ns = (int64_t)shunt_clock_ns(&preempter->engine->clock);
		int64_t wait_ns = look(preempter, now_ns, &alone);
		if (wait_ns || !preempter->idle_since_ns)
			preempter->idle_since_ns = wait_ns ? 0 : now_ns;
		bool lingers = !wait_ns && now_ns - preempter->idle_since_ns < LINGER_NS;
		if (lingers || !alone)
			wait_for(preempter, lingers ? LINGER_NS : wait_ns);
		else
			rest(preempter, now_ns);
	}
	return NULL;
}

/* ---- the workers' side ----------------------------------------------------------------------- */

void shunt_ticks_ring_at(struct shunt_preempter *preempter)
{
	/* Relaxed: ordered by the caller's fence [preempter:rests]. */
	if (atomic_load_explicit(&preempter->rests, memory_order_relaxed))
		sem_post(&preempter->bell);
}

void shunt_ticks_need(struct shunt_engine *engine)
{
	/* Forbids that the preempter is seen awake before it sees this worker run; pairs with the
	 * one in rest. */
	shunt_full_fence();
	shunt_ticks_ring(engine);
}

void shunt_ticks_counted(struct shunt_worker *worker)
{
	/* Release pairs with the acquire in shunt_ticks_sent; and counting does not come after
	 * it [worker:preempt]. */
	atomic_store_explicit(&worker->preempt_asked, 0, memory_order_release);
}

static void may_be_sent(struct shunt_worker *worker, int thread)
{
	/* Relaxed: constant while workers run [engine:preempter]. */
	struct shunt_preempter *preempter =
		atomic_load_explicit(&worker->engine->preempter, memory_order_relaxed);
	pthread_mutex_lock(&preempter->lock);
	worker->tick.thread = thread;
	pthread_mutex_unlock(&preempter->lock);
}

static void change_mask(int how, sigset_t *before)
{
	sigset_t signal;
	sigemptyset(&signal);
	sigaddset(&signal, SHUNT_TICK_SIGNAL);
	pthread_sigmask(how, &signal, before);
}

void shunt_ticks_unblock(void)
{
	change_mask(SIG_UNBLOCK, NULL);
}

void shunt_ticks_join(struct shunt_worker *worker)
{
	sigset_t before;
	if (worker->engine->preempt == SHUNT_PREEMPT_COMPILER) {
		worker->tick.flag = &shunt_tick_flag;
		may_be_sent(worker, (int)syscall(SYS_gettid));
		return;
	}
	change_mask(SIG_UNBLOCK, &before);
	worker->tick.was_blocked = sigismember(&before, SHUNT_TICK_SIGNAL);
	may_be_sent(worker, (int)syscall(SYS_gettid));
}

void shunt_ticks_leave(struct shunt_worker *worker)
{
	may_be_sent(worker, 0);
	if (worker->tick.flag) {
		/* Relaxed: nobody sets it any more, but for a worker further out [tick:flag]. */
		__atomic_store_n(worker->tick.flag, 0, __ATOMIC_RELAXED);
		return;
	}
	shunt_ticks_unblock(); /* a run that failed may have left a handler for good */
	/* One on its way comes with a system call's return. */
	for (int i = 0; shunt_ticks_sent(worker) && i < ANSWERS_MOST; i++)
		sched_yield();
	if (worker->tick.was_blocked)
		change_mask(SIG_BLOCK, NULL);
}

static int thread_start(struct shunt_preempter *preempter)
{
	sigset_t all, before;
	sigfillset(&all);
	int rc = pthread_sigmask(SIG_SETMASK, &all, &before);
	if (rc)
		return -rc;
	rc = pthread_create(&preempter->thread, NULL, preempter_main, preempter);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return -rc;
}

static void preempter_free(struct shunt_preempter *preempter)
{
	sem_destroy(&preempter->bell);
	pthread_mutex_destroy(&preempter->lock);
	free(preempter);
}

int shunt_ticks_start(struct shunt_engine *engine)
{
	struct shunt_preempter *preempter = calloc(1, sizeof(*preempter));
	if (!preempter)
		return -ENOMEM;
	preempter->engine = engine;
	pthread_mutex_init(&preempter->lock, NULL);
	sem_init(&preempter->bell, 0, 0);
	int rc = thread_start(preempter);
	if (rc)
		preempter_free(preempter);
	else
		/* Release pairs with the acquire in shunt_ticks_ring [engine:preempter]. */
		atomic_store_explicit(&engine->preempter, preempter, memory_order_release);
	return rc;
}

/* Until no thread that is no worker may still ring a bell that it has found. */
static void await_outside(struct shunt_engine *engine)
{
	/* Forbids that these are looked at before they can see that the bell is gone; pairs with
	 * the fence in shunt_wake_poke. */
	shunt_full_fence();
	while (shunt_external_underway(engine))
		sched_yield();
	pthread_mutex_lock(&engine->idle_lock);
	pthread_mutex_unlock(&engine->idle_lock);
}

void shunt_ticks_stop(struct shunt_engine *engine)
{
	/* Relaxed: our own; ordered by the fence in await_outside [engine:preempter]. */
	struct shunt_preempter *preempter =
		atomic_load_explicit(&engine->preempter, memory_order_relaxed);
	if (!preempter)
		return;
	atomic_store_explicit(&engine->preempter, NULL, memory_order_relaxed);
	await_outside(engine);
	/* Release pairs with the acquires in preempter_main and rest [preempter:stop]. */
	atomic_store_explicit(&preempter->stop, 1, memory_order_release);
	sem_post(&preempter->bell);
	pthread_join(preempter->thread, NULL);
	preempter_free(preempter);
}
