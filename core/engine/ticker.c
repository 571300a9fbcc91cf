/* SPDX-License-Identifier: MIT */
/*
 * The ticker: keeps timers honest while tasks are busy.
 *
 * A worker looks at its timers every 61 switches; with tasks that run for milliseconds between two
 * switches that would be a second. So a thread of its own wakes every `tick`, and where a busy
 * worker's earliest deadline has passed, makes that worker's next switch take the slow path. It
 * sleeps for good while no worker is busy with timers armed.
 */
#include "core/engine/worker.h"

#include <linux/futex.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* Ticks without need before it sleeps for good. Few: a tick costs some 20 us of processor time on a
 * virtual machine, and with one task that sleeps 10 ms at a time 20 of them were five sixths of all. */
#define QUIET_TICKS 1

struct shunt_ticker {
	struct shunt_engine *engine;
	pthread_t thread;
	_Atomic int asleep;     /* [ticker:asleep] the futex word */
	_Atomic int stop;       /* [ticker:stop] */
	_Atomic int own_timers; /* relaxed: once set, stays */
};

/* Makes late workers look; false: no busy worker has a timer armed. */
static bool tick(struct shunt_ticker *ticker)
{
	struct shunt_engine *engine = ticker->engine;
	/* Relaxed: a hint that stays once set. */
	bool own = atomic_load_explicit(&ticker->own_timers, memory_order_relaxed);
	bool needed = false;
	int64_t now = shunt_now_ns();
	for (unsigned i = 0; i < engine->worker_count; i++) {
		struct shunt_worker *worker = engine->workers[i];
		/* Relaxed: seen one tick later is as good; an idle worker wakes by itself. */
		int64_t deadline =
			atomic_load_explicit(&worker->next_deadline_ns, memory_order_relaxed);
		bool idle = atomic_load_explicit(&worker->idle, memory_order_relaxed);
		if (idle || (deadline == SHUNT_NEVER && !own))
			continue;
		needed = true;
		if (own || deadline <= now)
			/* Relaxed: the slow path needs nothing from us [worker:limit]. */
			atomic_store_explicit(&worker->limit, 0, memory_order_relaxed);
	}
	return needed;
}

static void sleep_for_good(struct shunt_ticker *ticker)
{
	/* Sequentially consistent, as is the fence in shunt_ticker_need: forbids that both we miss
	 * the new deadline and its worker misses that we sleep [ticker:asleep]. */
	atomic_store_explicit(&ticker->asleep, 1, memory_order_seq_cst);
	shunt_full_fence();
	if (!tick(ticker) && !atomic_load_explicit(&ticker->stop, memory_order_acquire))
		syscall(SYS_futex, &ticker->asleep, FUTEX_WAIT_PRIVATE, 1, NULL, NULL, 0);
	/* Relaxed: only a hint to those who would wake us. */
	atomic_store_explicit(&ticker->asleep, 0, memory_order_relaxed);
}

static void *ticker_main(void *arg)
{
	struct shunt_ticker *ticker = arg;
	struct timespec pause = {.tv_sec = ticker->engine->tick_ns / 1000000000,
		.tv_nsec = ticker->engine->tick_ns % 1000000000};
	unsigned quiet = QUIET_TICKS + 1;
	/* Acquire pairs with the release in shunt_ticker_stop [ticker:stop]. */
	while (!atomic_load_explicit(&ticker->stop, memory_order_acquire)) {
		quiet = tick(ticker) ? 0 : quiet + 1;
		if (quiet <= QUIET_TICKS) {
			clock_nanosleep(CLOCK_MONOTONIC, 0, &pause, NULL);
		} else {
			sleep_for_good(ticker);
			quiet = 0;
		}
	}
	return NULL;
}

static void rouse(struct shunt_ticker *ticker)
{
	/* Relaxed: the kernel orders it for the sleeper. */
	atomic_store_explicit(&ticker->asleep, 0, memory_order_relaxed);
	syscall(SYS_futex, &ticker->asleep, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

void shunt_ticker_need(struct shunt_engine *engine)
{
	struct shunt_ticker *ticker = engine->ticker;
	if (!ticker)
		return;
	/* Sequentially consistent: pairs with sleep_for_good. */
	shunt_full_fence();
	/* Relaxed: ordered by the fence [ticker:asleep]. */
	if (atomic_load_explicit(&ticker->asleep, memory_order_relaxed))
		rouse(ticker);
}

void shunt_ticker_own_timers(struct shunt_engine *engine)
{
	struct shunt_ticker *ticker = engine->ticker;
	/* Relaxed: the worst of a race is that the ticker is needed twice. */
	if (!atomic_load_explicit(&ticker->own_timers, memory_order_relaxed)) {
		atomic_store_explicit(&ticker->own_timers, 1, memory_order_relaxed);
		shunt_ticker_need(engine);
	}
}

int shunt_ticker_start(struct shunt_engine *engine)
{
	struct shunt_ticker *ticker = calloc(1, sizeof(*ticker));
	if (!ticker)
		return -ENOMEM;
	ticker->engine = engine;
	int rc = pthread_create(&ticker->thread, NULL, ticker_main, ticker);
	if (rc) {
		free(ticker);
		return -rc;
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
	/* Sequentially consistent: forbids that rouse's clearing of asleep is seen before stop is, and
	 * undone by a ticker that has not seen stop; pairs with sleep_for_good [ticker:asleep]. */
	shunt_full_fence();
	rouse(ticker);
	pthread_join(ticker->thread, NULL);
	free(ticker);
}
