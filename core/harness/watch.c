/* SPDX-License-Identifier: MIT */
/*
 * The watcher: a thread that ends a run from outside.
 *
 * A run may be stuck in a computation that never comes back to any scheduler, so nothing that is to
 * end it may depend on it. Signals are blocked in every thread and read from a signalfd here; the
 * timeout is this thread's poll. A pipe's closed end, which no filter refuses, says that the run is
 * over, or that a handler has seen a stack overflow or a crash. Whoever takes the outcome's lock
 * first and finds the run not over has the last word.
 *
 * Before the run is prepared nobody knows what to write into its record. So a signal or the timeout
 * is noted and the preparation goes on for GRACE_NS, at whose end the run ends with a record; a
 * preparation that takes longer is stuck, and the process ends without one.
 *
 * A signal that was ignored at the start stays ignored (nohup, jobs in the background). A second
 * signal, while the first one is still being served, kills the process as usual.
 */
#include "core/harness/run.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define LAST_WORDS_PATIENCE_NS UINT64_C(10000000000)
#define GRACE_NS               UINT64_C(2000000000)

struct shunt_watch {
	pthread_t thread;
	int signals;  /* -1: not open */
	int alive[2]; /* a pipe: the end for reading, and the other, whose closing is the event */
	sigset_t set, before;
	uint64_t deadline_ns; /* 0: none */
	_Atomic int dying; /* [watch:dying] last_words is taken, and written before the closing */
	char last_words[512];
};

/* The watch that a dying thread reports to: handlers have no argument. Set by the thread in
 * shunt_watch_start, before there are tasks; one run at a time has it. */
static struct shunt_watch *dying_watch;

/* In a signal handler. */
static void take_last_words(const char *message)
{
	struct shunt_watch *watch = dying_watch;
	uint64_t until = shunt_clock_monotonic_ns() + LAST_WORDS_PATIENCE_NS;

	/* The watcher itself cannot wait for the watcher. */
	if (!watch || pthread_equal(pthread_self(), watch->thread))
		return;
	/* Acquire-release: the first one writes, and whoever finds it taken waits [watch:dying]. */
	if (!atomic_exchange_explicit(&watch->dying, 1, memory_order_acq_rel)) {
		snprintf(watch->last_words, sizeof(watch->last_words), "%s", message);
		/* Release pairs with the acquire in watch_run [watch:dying]. */
		atomic_store_explicit(&watch->dying, 2, memory_order_release);
		close(watch->alive[1]);
	}
	/* The watcher ends the process; should it be stuck too, the caller does. */
	while (shunt_clock_monotonic_ns() < until)
		sleep(1);
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
	outcome->elapsed_ns = shunt_clock_monotonic_ns() - run->started.ns;
	outcome->status = status;
	outcome->incomplete = !run->prepared;
	snprintf(outcome->reason, sizeof(outcome->reason), "%s, in %s", what, run->where);
	shunt_interference_read(&outcome->after, "");
	/* From here on the signals do what they always do. */
	pthread_sigmask(SIG_UNBLOCK, &run->watch->set, NULL);
	if (run->request->abandoned)
		run->request->abandoned(run->request->arg, outcome, signal);
	_exit(3);
}

/* Ends the run, at once or when it is prepared. Context: the watcher. */
static void end_run(struct shunt_run *run, enum shunt_record_status status, const char *what,
	int signal)
{
	struct shunt_early_end *early = &run->early;

	pthread_mutex_lock(&run->lock);
	bool waits = !run->prepared && !early->what[0];

	if (waits) {
		early->status = status;
		early->signal = signal;
		snprintf(early->what, sizeof(early->what), "%s", what);
		run->watch->deadline_ns = shunt_clock_monotonic_ns() + GRACE_NS;
		pthread_sigmask(SIG_UNBLOCK, &run->watch->set, NULL);
	}
	pthread_mutex_unlock(&run->lock);
	if (waits)
		return;
	if (early->what[0])
		abandon(run, early->status, early->what, early->signal);
	else
		abandon(run, status, what, signal);
}

void shunt_watch_prepared(struct shunt_run *run)
{
	pthread_mutex_lock(&run->lock);
	run->prepared = true;
	bool ends = run->early.what[0] != '\0';
	pthread_mutex_unlock(&run->lock);
	if (ends)
		abandon(run, run->early.status, run->early.what, run->early.signal);
}

/* A call that the watcher cannot do without: no signal and no timeout would end the run any
 * more. */
static void *blind(struct shunt_run *run, const char *call, int error)
{
	char what[96];

	snprintf(what, sizeof(what), "the run can no longer be watched: %s: %s", call,
		strerror(error));
	end_run(run, SHUNT_RECORD_FAILED, what, 0);
	return NULL;
}

static void got_signal(struct shunt_run *run, const struct signalfd_siginfo *info)
{
	char what[64];

	snprintf(what, sizeof(what), "SIG%s", sigabbrev_np((int)info->ssi_signo));
	end_run(run, SHUNT_RECORD_INTERRUPTED, what, (int)info->ssi_signo);
}

static void timed_out(struct shunt_run *run)
{
	char what[96], limit[32];

	shunt_param_notation(SHUNT_PARAM_DURATION, (int64_t)run->request->timeout_ns, limit,
		sizeof(limit));
	snprintf(what, sizeof(what), "not done after %s", limit);
	run->watch->deadline_ns = 0;
	end_run(run, SHUNT_RECORD_TIMEOUT, what, 0);
}

static void *watch_run(void *arg)
{
	struct shunt_run *run = arg;
	struct shunt_watch *watch = run->watch;
	struct pollfd fds[2] = {{.fd = watch->alive[0]}, {.fd = watch->signals, .events = POLLIN}};
	struct signalfd_siginfo info;

	pthread_setname_np(pthread_self(), "watch");
	for (;;) {
		int n = poll(fds, 2, remaining_ms(watch));

		if (n < 0 && errno != EINTR)
			return blind(run, "poll", errno);
		if (n > 0 && fds[0].revents) {
			/* Acquire pairs with the release in take_last_words [watch:dying]. */
			if (atomic_load_explicit(&watch->dying, memory_order_acquire) == 2)
				abandon(run, SHUNT_RECORD_FAILED, watch->last_words, 0);
			return NULL;
		}
		if (n > 0 && fds[1].revents) {
			ssize_t got = read(watch->signals, &info, sizeof(info));

			if (got < 0 && errno != EINTR)
				return blind(run, "read", errno);
			if (got == sizeof(info))
				got_signal(run, &info);
		}
		if (watch->deadline_ns && remaining_ms(watch) == 0)
			timed_out(run);
	}
}

static void close_one(int fd)
{
	if (fd >= 0)
		close(fd);
}

static void close_all(struct shunt_watch *watch)
{
	close_one(watch->signals);
	close_one(watch->alive[0]);
	close_one(watch->alive[1]);
	pthread_sigmask(SIG_SETMASK, &watch->before, NULL);
	free(watch);
}

/* ---- start and stop -------------------------------------------------------------------------- */

/* The signals that end a run: those that nobody had this process ignore. SIGXCPU is the soft limit
 * of processor time (ulimit -t). */
static void choose_signals(sigset_t *set)
{
	static const int ends[] = {SIGINT, SIGTERM, SIGHUP, SIGXCPU};
	struct sigaction now;

	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++)
		if (sigaction(ends[i], NULL, &now) || now.sa_handler != SIG_IGN)
			sigaddset(set, ends[i]);
}

/* What the thread will need, tried here, where a refusal can still be told. The name of the call
 * that was refused, or NULL. */
static const char *open_all(struct shunt_watch *watch, bool signals)
{
	sigemptyset(&watch->set);
	if (signals)
		choose_signals(&watch->set);
	/* Blocked before the scheduler makes threads, which inherit it. */
	errno = pthread_sigmask(SIG_BLOCK, &watch->set, &watch->before);
	if (errno)
		return "rt_sigprocmask";
	if (pipe2(watch->alive, O_CLOEXEC))
		return "pipe2";
	if (signals) {
		watch->signals = signalfd(-1, &watch->set, SFD_CLOEXEC);
		if (watch->signals < 0)
			return "signalfd";
	}
	struct pollfd one = {.fd = watch->alive[0]};

	return poll(&one, 1, 0) < 0 && errno != EINTR ? "poll" : NULL;
}

/* The thread takes no signal but those of a crash of its own: a storm of others would starve it. */
static int start_thread(struct shunt_run *run)
{
	static const int of_crashes[] = {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL};
	sigset_t all, before;

	sigfillset(&all);
	for (size_t i = 0; i < sizeof(of_crashes) / sizeof(of_crashes[0]); i++)
		sigdelset(&all, of_crashes[i]);
	pthread_sigmask(SIG_BLOCK, &all, &before);
	int rc = pthread_create(&run->watch->thread, NULL, watch_run, run);

	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return rc;
}

int shunt_watch_start(struct shunt_run *run, struct shunt_error *err)
{
	struct shunt_watch *watch = calloc(1, sizeof(*watch));

	if (!watch)
		return shunt_fail(err, -ENOMEM, "out of memory for the watcher");
	watch->signals = watch->alive[0] = watch->alive[1] = -1;
	const char *refused = open_all(watch, run->request->watch_signals);

	if (run->request->timeout_ns)
		watch->deadline_ns = run->started.ns + run->request->timeout_ns;
	run->watch = watch;
	if (!refused) {
		errno = start_thread(run);
		refused = errno ? "pthread_create" : NULL;
	}
	if (refused) {
		int rc = shunt_fail(err, -errno, "the run cannot be watched: %s: %s", refused,
			strerror(errno));
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
	if (!run->watch)
		return;
	if (run->request->watch_signals)
		shunt_crash_unwatch();
	shunt_on_stack_overflow(NULL);
	dying_watch = NULL;
	close(run->watch->alive[1]);
	run->watch->alive[1] = -1;
	pthread_join(run->watch->thread, NULL);
	close_all(run->watch);
	run->watch = NULL;
}
