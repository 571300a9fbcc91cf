/* SPDX-License-Identifier: MIT */
/*
 * Input and output that block the task's own thread: the system call, and nothing else.
 *
 * Only a signal ends a call that blocks: a close sends one to the thread in it, and a timer of the
 * thread's own sends one at the deadline. It may come just before the call, which then blocks all
 * the same; so it is sent again until the task has left. No other way ends every kind of call: not
 * closing the descriptor, and shutdown(2) only those of sockets.
 */
#include "backends/threads/threads.h"

#include "core/io_table.h"
#include "core/lock.h"

#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* Ignored unless handled, and by default nobody's. */
#define SIGNAL   SIGURG
#define AGAIN_NS 1000000

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

static void interrupts(int signal)
{
	(void)signal; /* that it came is enough: the call returns EINTR */
}

void shunt_threads_io_handle(bool on)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	static struct sigaction before;
	static unsigned runs; /* of all schedulers of this process */
	struct sigaction action = {.sa_handler = interrupts}; /* without SA_RESTART */

	pthread_mutex_lock(&lock);
	if (on && runs++ == 0)
		sigaction(SIGNAL, &action, &before);
	if (!on && --runs == 0)
		sigaction(SIGNAL, &before, NULL);
	pthread_mutex_unlock(&lock);
}

/* ---- deadlines ------------------------------------------------------------------------------- */

static int timer_start(timer_t *timer, int64_t deadline_ns)
{
	struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGNAL};
	struct itimerspec at = {.it_interval = {0, AGAIN_NS}};

	if (deadline_ns < 1)
		deadline_ns = 1;
	at.it_value = (struct timespec){deadline_ns / 1000000000, deadline_ns % 1000000000};
	event.sigev_notify_thread_id = (pid_t)syscall(SYS_gettid);
	if (timer_create(CLOCK_MONOTONIC, &event, timer))
		return -errno;
	timer_settime(*timer, TIMER_ABSTIME, &at, NULL);
	return 0;
}

/* ---- operations ------------------------------------------------------------------------------ */

static void block_sigpipe(struct thread *thread)
{
	sigset_t set;

	if (thread->sigpipe_blocked)
		return;
	sigemptyset(&set);
	sigaddset(&set, SIGPIPE);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	thread->sigpipe_blocked = true;
}

/* Says which thread is in the operation; 0: none. False: the descriptor is being closed. */
static bool set_thread(struct shunt_io_entry *entry, enum shunt_io_side side, uintptr_t thread)
{
	shunt_spin_lock(&entry->lock, true);
	bool open = !entry->closing;
	entry->side[side].thread = open ? thread : 0;
	shunt_spin_unlock(&entry->lock, true);
	return open;
}

/* Until the call is done, its deadline has passed, or the descriptor is being closed. */
static int64_t call(struct thread *thread, struct shunt_io_entry *entry, struct shunt_io_op *op,
	int64_t deadline_ns)
{
	enum shunt_io_side side = shunt_io_side_of(op);

	for (;;) {
		if (!set_thread(entry, side, (uintptr_t)pthread_self()))
			return -ECANCELED;
		thread->count.io_calls++;
		int64_t result = shunt_io_call(op);

		if (result != -EINTR)
			return result;
		shunt_threads_leave_if_failed(&thread->ctx);
		if (deadline_ns != SHUNT_FOREVER && shunt_now_ns() >= deadline_ns)
			return -ETIMEDOUT;
	}
}

static int64_t perform(struct shunt_ctx *ctx, struct shunt_io_entry *entry, struct shunt_io_op *op,
	int64_t deadline_ns)
{
	struct thread *thread = shunt_thread_of(ctx);
	bool timed = deadline_ns != SHUNT_FOREVER;
	timer_t timer;
	int before = errno, rc = timed ? timer_start(&timer, deadline_ns) : 0;
	int64_t result = rc;

	block_sigpipe(thread);
	thread->count.io_operations++;
	if (!rc)
		result = call(thread, entry, op, deadline_ns);
	set_thread(entry, shunt_io_side_of(op), 0);
	if (timed && !rc)
		timer_delete(timer);
	errno = before;
	return result;
}

/* Sends its signal to whoever is in an operation. True: nobody is. */
static bool all_left(struct shunt_io_entry *entry)
{
	bool left = true;

	shunt_spin_lock(&entry->lock, true);
	for (unsigned side = 0; side < SHUNT_IO_SIDES; side++)
		if (entry->side[side].thread) {
			left = false;
			/* It lives: it must take the lock to leave. */
			pthread_kill((pthread_t)entry->side[side].thread, SIGNAL);
		}
	shunt_spin_unlock(&entry->lock, true);
	return left;
}

static void interrupt(struct shunt_ctx *ctx, struct shunt_io_entry *entry)
{
	static const struct timespec pause = {0, AGAIN_NS / 10};
	int before = errno;

	(void)ctx;
	while (!all_left(entry))
		nanosleep(&pause, NULL);
	errno = before;
}

const struct shunt_io_ops shunt_threads_io = {.perform = perform, .interrupt = interrupt};
