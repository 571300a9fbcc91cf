/* SPDX-License-Identifier: MIT */
/*
 * The watcher: a thread that ends a run from outside.
 *
 * A run may be stuck in a computation that never comes back to any scheduler, so nothing that is to
 * end it may depend on it. Signals are blocked in every thread and read from a signalfd here; the
 * timeout is this thread's poll; a stack overflow or a crash, seen by a signal handler that may do next
 * to nothing, is handed over through an eventfd. Whoever takes the outcome's lock first and finds the
 * run not over has the last word.
 *
 * A second signal, while the first one is still being served, kills the process as usual.
 */
#include "core/harness/run.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define LAST_WORDS_PATIENCE_S 10

struct shunt_watch {
	pthread_t thread;
	int signals, events; /* -1: not open */
	sigset_t set, before;
	uint64_t deadline_ns; /* 0: none */
	char last_words[512]; /* written before the event that announces them */
};

/* Events: stop is 1; last words have this bit. */
#define EVENT_LAST_WORDS (UINT64_C(1) << 32)

/* The watch that a dying thread reports to: handlers have no argument. Set by the thread in
 * shunt_watch_start, before there are tasks; one run at a time has it. */
static struct shunt_watch *dying_watch;

/* In a signal handler. */
static void take_last_words(const char *message)
{
	struct shunt_watch *watch = dying_watch;
	const uint64_t event = EVENT_LAST_WORDS;

	if (!watch)
		return;
	snprintf(watch->last_words, sizeof(watch->last_words), "%s", message);
	/* The watcher ends the process; should it be stuck too, the caller does. */
	if (write(watch->events, &event, sizeof(event)) == sizeof(event))
		sleep(LAST_WORDS_PATIENCE_S);
}

static int remaining_ms(const struct shunt_watch *watch)
{
	if (!watch->deadline_ns)
		return -1;
	uint64_t now = shunt_clock_monotonic_ns();

	if (now >= watch->deadline_ns)
		return 0;
	uint64_t ms = (watch->deadline_ns - now + 999999) / 1000000;

	return ms > INT32_MAX ? INT32_MAX : (int)ms;
}

/* Ends the process, unless the run is over. */
static void abandon(struct shunt_run *run, enum shunt_record_status status, const char *what,
	int signal)
{
	struct shunt_outcome *outcome = &run->outcome;
	struct timespec now;

	pthread_mutex_lock(&run->lock);
	if (run->over) {
		pthread_mutex_unlock(&run->lock);
		return;
	}
	run->over = true;
	clock_gettime(CLOCK_REALTIME, &now);
	outcome->finished_ns = now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
	outcome->elapsed_ns = shunt_clock_monotonic_ns() - run->started_mono_ns;
	outcome->status = status;
	snprintf(outcome->reason, sizeof(outcome->reason), "%s, in %s", what, run->where);
	shunt_interference_read(&outcome->after, "");
	/* From here on the signals do what they always do. */
	pthread_sigmask(SIG_UNBLOCK, &run->watch->set, NULL);
	if (run->request->abandoned)
		run->request->abandoned(run->request->arg, outcome, signal);
	_exit(3);
}

static void got_signal(struct shunt_run *run)
{
	struct signalfd_siginfo info;
	char what[64];

	if (read(run->watch->signals, &info, sizeof(info)) != sizeof(info))
		return;
	snprintf(what, sizeof(what), "SIG%s", sigabbrev_np((int)info.ssi_signo));
	abandon(run, SHUNT_RECORD_INTERRUPTED, what, (int)info.ssi_signo);
}

static void timed_out(struct shunt_run *run)
{
	char what[96], limit[32];

	shunt_param_notation(SHUNT_PARAM_DURATION, (int64_t)run->request->timeout_ns, limit,
		sizeof(limit));
	snprintf(what, sizeof(what), "not done after %s", limit);
	abandon(run, SHUNT_RECORD_TIMEOUT, what, 0);
}

static void *watch_run(void *arg)
{
	struct shunt_run *run = arg;
	struct shunt_watch *watch = run->watch;
	struct pollfd fds[2] = {{.fd = watch->events, .events = POLLIN},
		{.fd = watch->signals, .events = POLLIN}};
	uint64_t event = 0;

	for (;;) {
		int n = poll(fds, 2, remaining_ms(watch));

		if (n > 0 && fds[0].revents && read(watch->events, &event, sizeof(event)) > 0) {
			if (event < EVENT_LAST_WORDS)
				return NULL;
			abandon(run, SHUNT_RECORD_FAILED, watch->last_words, 0);
		}
		if (n > 0 && fds[1].revents)
			got_signal(run);
		if (watch->deadline_ns && remaining_ms(watch) == 0) {
			timed_out(run);
			watch->deadline_ns = 0;
		}
	}
}

static void close_all(struct shunt_watch *watch)
{
	if (watch->signals >= 0)
		close(watch->signals);
	if (watch->events >= 0)
		close(watch->events);
	pthread_sigmask(SIG_SETMASK, &watch->before, NULL);
	free(watch);
}

int shunt_watch_start(struct shunt_run *run)
{
	struct shunt_watch *watch = calloc(1, sizeof(*watch));
	int rc = 0;

	if (!watch)
		return -ENOMEM;
	watch->signals = -1;
	sigemptyset(&watch->set);
	if (run->request->watch_signals) {
		sigaddset(&watch->set, SIGINT);
		sigaddset(&watch->set, SIGTERM);
		sigaddset(&watch->set, SIGHUP);
		sigaddset(&watch->set, SIGXCPU); /* the soft limit: ulimit -t */
	}
	/* Blocked before the scheduler makes threads, which inherit it. */
	pthread_sigmask(SIG_BLOCK, &watch->set, &watch->before);
	watch->events = eventfd(0, EFD_CLOEXEC);
	if (watch->events < 0)
		rc = -errno;
	if (rc == 0 && run->request->watch_signals) {
		watch->signals = signalfd(-1, &watch->set, SFD_CLOEXEC);
		rc = watch->signals < 0 ? -errno : 0;
	}
	if (run->request->timeout_ns)
		watch->deadline_ns = shunt_clock_monotonic_ns() + run->request->timeout_ns;
	run->watch = watch;
	if (rc == 0)
		rc = -pthread_create(&watch->thread, NULL, watch_run, run);
	if (rc) {
		close_all(watch);
		run->watch = NULL;
		return rc;
	}
	dying_watch = watch;
	shunt_on_stack_overflow(take_last_words);
	if (run->request->watch_signals)
		shunt_crash_watch(take_last_words);
	return 0;
}

void shunt_watch_stop(struct shunt_run *run)
{
	const uint64_t stop = 1;

	if (!run->watch)
		return;
	if (run->request->watch_signals)
		shunt_crash_unwatch();
	shunt_on_stack_overflow(NULL);
	dying_watch = NULL;
	if (write(run->watch->events, &stop, sizeof(stop)) != sizeof(stop))
		shunt_panic("the watcher cannot be stopped: %s", strerror(errno));
	pthread_join(run->watch->thread, NULL);
	close_all(run->watch);
	run->watch = NULL;
}
