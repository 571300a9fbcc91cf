/* SPDX-License-Identifier: MIT */
/*
 * The ticker: keeps timers honest when tasks become slow.
 *
 * A worker looks at its timers every few switches, so few that they take about a tick (visit.c):
 * with tasks that run, or block in the kernel, for longer, at every switch. What it cannot know is
 * that the next 61 switches take long where the last 61 did not. So a thread looks after the
 * workers: one that is busy though its earliest deadline has passed takes the slow path at its next
 * switch.
 *
 * A worker that visits its slow path with timers armed starts it, by a timer in the kernel that
 * wakes the thread 8 ticks later; the last worker to go to sleep stops that timer. The thread then
 * looks every 8 ticks while a worker is busy, every tick while one does not get to its slow path,
 * and rests when all are idle. So when tasks become slow, a timer is late by at most 8 ticks and
 * the running task's turn. A worker that wakes, runs tasks for some ten microseconds and sleeps
 * again pays nothing. One that runs for longer pays two system calls, some 3 us on a virtual
 * machine, but no wake of the thread.
 *
 * The timer's signal goes to this thread alone, which has all signals blocked and takes this one by
 * sigtimedwait: there is no handler, and no other thread's system call ends with EINTR. Nobody else
 * should send the process SIGRTMAX - 4 and wait for it.
 *
 * Rejected: a thread that wakes by the clock while a timer is armed and stops when all is idle.
 * With one task that sleeps 10 ms at a time, rousing it and putting it to sleep again was more than
 * half of all processor time; with a thousand timers of uring-each, its ticks were a sixth. One
 * wake each time that a worker sleeps, because nobody stops the timer, cost as much as the worker's
 * own: with 20 tasks that sleep 10 ms at a time, half of all processor time. Rejected: a timer on
 * the processor time of the process. It stands still while tasks block in the kernel, and while it
 * runs the kernel reports processor times that are up to 4 ms old.
 */
#include "core/engine/ticker.h"

#include <errno.h>
#include <semaphore.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define COARSE_TICKS 8
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
	_Atomic int on;   /* [ticker:on] a mode */
	_Atomic int stop; /* [ticker:stop] */
};

/* Has a worker not looked for itself since the last look? */
static bool stands(struct shunt_ticker *ticker, unsigned i)
{
	/* Relaxed: a number, which every visit to the slow path changes. */
	uint64_t limit =
		atomic_load_explicit(&ticker->engine->workers[i]->limit, memory_order_relaxed);
	bool same = limit == ticker->limits[i] || limit == 0;
	ticker->limits[i] = limit;
	return same;
}

enum mode { OFF, STARTED, LOOKING }; /* nothing runs; the timer; the thread looks by the clock */

enum state { RESTING, BUSY, LATE };

/* Makes late workers look. */
static enum state look(struct shunt_ticker *ticker)
{
	struct shunt_engine *engine = ticker->engine;
	bool own = !engine->timers_slot;
	enum state state = RESTING;
	int64_t now = shunt_now_ns();
	for (unsigned i = 0; i < engine->worker_count; i++) {
		struct shunt_worker *worker = engine->workers[i];
		/* Relaxed: seen at the next look is as good; an idle worker wakes by itself. */
		int64_t deadline =
			atomic_load_explicit(&worker->next_deadline_ns, memory_order_relaxed);
		bool idle = atomic_load_explicit(&worker->idle, memory_order_relaxed);
		bool late = stands(ticker, i) && (own || deadline <= now);
		if (idle || (deadline == SHUNT_NEVER && !own))
			continue;
		if (state != LATE)
			state = late ? LATE : BUSY;
		if (own || deadline <= now)
			/* Relaxed: the slow path needs nothing from us [worker:limit]. */
			atomic_store_explicit(&worker->limit, 0, memory_order_relaxed);
	}
	return state;
}

/* Looks again once workers see it off: one that has become busy meanwhile may have seen it on. */
static enum state rest(struct shunt_ticker *ticker)
{
	/* Relaxed: ordered by the fence [ticker:on]. */
	atomic_store_explicit(&ticker->on, OFF, memory_order_relaxed);
	/* Forbids that workers are looked at before they see it off; one that is not seen busy yet
	 * sees it off at its next visit. */
	shunt_full_fence();
	return look(ticker);
}

static int timer_new(struct shunt_ticker *ticker)
{
	struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGNAL};
	event.sigev_notify_thread_id = (pid_t)syscall(SYS_gettid);
	return timer_create(CLOCK_MONOTONIC, &event, &ticker->timer) ? -errno : 0;
}

static struct timespec timespec_of(int64_t time_ns)
{
	return (struct timespec){time_ns / 1000000000, time_ns % 1000000000};
}

/* Context: all signals are blocked. */
static void *ticker_main(void *arg)
{
	struct shunt_ticker *ticker = arg;
	struct timespec waits[] = {[BUSY] = timespec_of(COARSE_TICKS * ticker->engine->tick_ns),
		[LATE] = timespec_of(ticker->engine->tick_ns)};
	enum state state = RESTING;
	sigset_t signal;
	sigemptyset(&signal);
	sigaddset(&signal, SIGNAL);
	pthread_setname_np(pthread_self(), "ticker");
	ticker->rc = timer_new(ticker);
	sem_post(&ticker->ready);
	if (ticker->rc)
		return NULL;
	for (;;) {
		sigtimedwait(&signal, NULL, state == RESTING ? NULL : &waits[state]);
		/* Acquire pairs with the release in shunt_ticker_stop [ticker:stop]. */
		if (atomic_load_explicit(&ticker->stop, memory_order_acquire))
			break;
		state = look(ticker);
		if (state == RESTING)
			state = rest(ticker);
		if (state != RESTING)
			/* Relaxed: to start it as well does no harm [ticker:on]. */
			atomic_store_explicit(&ticker->on, LOOKING, memory_order_relaxed);
	}
	timer_delete(ticker->timer);
	return NULL;
}

void shunt_ticker_need(struct shunt_engine *engine)
{
	struct shunt_ticker *ticker = engine->ticker;
	/* Relaxed: to start it twice does no harm [ticker:on]. */
	if (!ticker || atomic_load_explicit(&ticker->on, memory_order_relaxed))
		return;
	struct itimerspec once = {.it_value = timespec_of(COARSE_TICKS * engine->tick_ns)};
	pthread_mutex_lock(&engine->idle_lock);
	/* Relaxed: who stops it holds the lock, too [ticker:on]. */
	atomic_store_explicit(&ticker->on, STARTED, memory_order_relaxed);
	timer_settime(ticker->timer, 0, &once, NULL);
	pthread_mutex_unlock(&engine->idle_lock);
}

void shunt_ticker_rest(struct shunt_engine *engine)
{
	static const struct itimerspec never;
	struct shunt_ticker *ticker = engine->ticker;
	int started = STARTED;
	/* Relaxed: a hint [ticker:on]. */
	if (!ticker || atomic_load_explicit(&ticker->on, memory_order_relaxed) != STARTED)
		return;
	pthread_mutex_lock(&engine->idle_lock);
	/* Relaxed: who starts it holds the lock, too [ticker:on]. */
	if (engine->idle_workers == engine->worker_count &&
		atomic_compare_exchange_strong_explicit(&ticker->on, &started, OFF,
			memory_order_relaxed, memory_order_relaxed))
		timer_settime(ticker->timer, 0, &never, NULL);
	pthread_mutex_unlock(&engine->idle_lock);
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
	/* Without its signals blocked the thread would die of them, and without this call never
	 * end. */
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
