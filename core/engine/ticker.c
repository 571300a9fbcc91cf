/* SPDX-License-Identifier: MIT */
/*
 * The ticker: keeps timers honest while tasks are busy.
 *
 * A worker looks at its timers every 61 switches; with tasks that run for milliseconds between two
 * switches that would be a second. So a thread of its own looks after the workers: a busy one whose
 * earliest deadline has passed takes the slow path at its next switch.
 *
 * What wakes the thread is not time but processor time: a timer on the CPU clock of the process, which
 * stands still while all tasks sleep, and which the kernel's own tick reads without an interrupt of
 * its own. Every fourth tick of it there is a look. Where that finds a worker with too few switches
 * since the last one to have looked for itself, the next looks come by the clock, a tick apart, until
 * it has. So a timer is late by at most four ticks of processor time (rounded up to the kernel's tick)
 * when tasks begin to compute, by one tick while they go on, and by the running task's slice.
 *
 * The timer's signal goes to this thread alone, which has all signals blocked and takes this one by
 * sigtimedwait: there is no handler, and no other thread's system call ends with EINTR. Nobody else
 * should send the process SIGRTMAX - 4 and wait for it.
 *
 * Rejected: a thread that wakes by the clock while a timer is armed and stops when all is idle. With
 * one task that sleeps 10 ms at a time, rousing it and putting it to sleep again was more than half of
 * all processor time; with a thousand timers of uring-each, its ticks were a sixth.
 */
#include "core/engine/ticker.h"

#include <errno.h>
#include <semaphore.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define COARSE_TICKS 4
#define SIGNAL       (SIGRTMAX - 4) /* qemu-user has no use of the last two */

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

struct shunt_ticker {
	struct shunt_engine *engine;
	pthread_t thread;
	uint64_t *limits; /* of each worker, when last seen */
	timer_t timer;
	sem_t ready; /* the thread has its timer, or has not (rc) */
	int rc;
	_Atomic int on;   /* [ticker:on] the timer runs */
	_Atomic int stop; /* [ticker:stop] */
};

/* Has a worker made so few switches since the last look that it may not have looked for itself? */
static bool switched_little(struct shunt_ticker *ticker, unsigned i)
{
	/* Relaxed: a number, which says how many switches there were when it was set. */
	uint64_t limit =
		atomic_load_explicit(&ticker->engine->workers[i]->limit, memory_order_relaxed);
	uint64_t before = ticker->limits[i];
	if (limit == 0) /* it was asked to look, and has not */
		return true;
	ticker->limits[i] = limit;
	return before == 0 || limit - before < ticker->engine->interval;
}

/* Makes late workers look; true: one would be later still without. */
static bool look(struct shunt_ticker *ticker)
{
	struct shunt_engine *engine = ticker->engine;
	bool own = !engine->timers_slot, needed = false;
	int64_t now = shunt_now_ns();
	for (unsigned i = 0; i < engine->worker_count; i++) {
		struct shunt_worker *worker = engine->workers[i];
		/* Relaxed: seen at the next look is as good; an idle worker wakes by itself. */
		int64_t deadline =
			atomic_load_explicit(&worker->next_deadline_ns, memory_order_relaxed);
		bool idle = atomic_load_explicit(&worker->idle, memory_order_relaxed);
		bool little = switched_little(ticker, i);
		if (idle || (deadline == SHUNT_NEVER && !own))
			continue;
		needed |= little;
		if (own || deadline <= now)
			/* Relaxed: the slow path needs nothing from us [worker:limit]. */
			atomic_store_explicit(&worker->limit, 0, memory_order_relaxed);
	}
	return needed;
}

static int timer_new(struct shunt_ticker *ticker)
{
	struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGNAL};
	event.sigev_notify_thread_id = (pid_t)syscall(SYS_gettid);
	return timer_create(CLOCK_PROCESS_CPUTIME_ID, &event, &ticker->timer) ? -errno : 0;
}

static struct timespec timespec_of(int64_t time_ns)
{
	return (struct timespec){time_ns / 1000000000, time_ns % 1000000000};
}

/* Context: all signals are blocked. */
static void *ticker_main(void *arg)
{
	struct shunt_ticker *ticker = arg;
	struct timespec tick = timespec_of(ticker->engine->tick_ns);
	bool needed = false;
	sigset_t signal;
	sigemptyset(&signal);
	sigaddset(&signal, SIGNAL);
	ticker->rc = timer_new(ticker);
	sem_post(&ticker->ready);
	if (ticker->rc)
		return NULL;
	for (;;) {
		sigtimedwait(&signal, NULL, needed ? &tick : NULL);
		/* Acquire pairs with the release in shunt_ticker_stop [ticker:stop]. */
		if (atomic_load_explicit(&ticker->stop, memory_order_acquire))
			break;
		needed = look(ticker);
	}
	timer_delete(ticker->timer);
	return NULL;
}

void shunt_ticker_need(struct shunt_engine *engine)
{
	struct shunt_ticker *ticker = engine->ticker;
	/* Relaxed: once on it stays on, and to switch it on twice does no harm [ticker:on]. */
	if (!ticker || atomic_load_explicit(&ticker->on, memory_order_relaxed))
		return;
	struct timespec every = timespec_of(COARSE_TICKS * engine->tick_ns);
	struct itimerspec times = {.it_interval = every, .it_value = every};
	timer_settime(ticker->timer, 0, &times, NULL);
	atomic_store_explicit(&ticker->on, 1, memory_order_relaxed);
}

static void ticker_free(struct shunt_ticker *ticker)
{
	sem_destroy(&ticker->ready);
	free(ticker->limits);
	free(ticker);
}

static int thread_start(struct shunt_ticker *ticker)
{
	sigset_t all, before;
	sigfillset(&all);
	/* Without its signals blocked the thread would die of them, and without this call never end. */
	int rc = pthread_kill(pthread_self(), 0);
	if (!rc)
		rc = pthread_sigmask(SIG_SETMASK, &all, &before);
	if (rc)
		return -rc;
	rc = pthread_create(&ticker->thread, NULL, ticker_main, ticker);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (rc)
		return -rc;
	while (sem_wait(&ticker->ready)) /* interrupted */
		;
	if (ticker->rc)
		pthread_join(ticker->thread, NULL);
	return ticker->rc;
}

int shunt_ticker_start(struct shunt_engine *engine)
{
	struct shunt_ticker *ticker = calloc(1, sizeof(*ticker));
	if (!ticker)
		return -ENOMEM;
	ticker->engine = engine;
	ticker->limits = calloc(engine->worker_count, sizeof(*ticker->limits));
	sem_init(&ticker->ready, 0, 0);
	int rc = ticker->limits ? thread_start(ticker) : -ENOMEM;
	if (rc) {
		ticker_free(ticker);
		return rc;
	}
	engine->ticker = ticker;
	return 0;
}

void shunt_ticker_stop(struct shunt_engine *engine)
{
	struct shunt_ticker *ticker = engine->ticker;
	if (!ticker)
		return;
	engine->ticker = NULL;
	/* Release pairs with the acquire in ticker_main [ticker:stop]. */
	atomic_store_explicit(&ticker->stop, 1, memory_order_release);
	pthread_kill(ticker->thread, SIGNAL);
	pthread_join(ticker->thread, NULL);
	ticker_free(ticker);
}
