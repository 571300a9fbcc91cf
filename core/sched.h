/* SPDX-License-Identifier: MIT */
/*
 * The task API: what a workload calls, the same on every backend.
 *
 * A scheduler runs tasks: units of work with their own stacks, cooperative, each running until it
 * yields, sleeps, parks, waits or ends. Tasks without a stack are in core/step.h. Calls marked
 * "Context: task" act on the calling task; made outside a task they are a programming error that
 * ends the process with a message naming the call. Calls marked "may switch" may return on another
 * kernel thread where the backend has many workers: keep no address of a thread-local across them
 * (errno is kept per task).
 *
 * Times are nanoseconds on CLOCK_MONOTONIC (virtual where the backend says so); a deadline of
 * SHUNT_FOREVER never comes. No wait ends before its deadline.
 */
#ifndef SHUNT_CORE_SCHED_H
#define SHUNT_CORE_SCHED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SHUNT_FOREVER INT64_MAX

struct shunt_sched;
struct shunt_task;
struct shunt_error;

/* What a task runs. The result goes to whoever joins it. */
typedef void *shunt_task_fn(void *arg);

/*
 * Names one task for ever: the descriptor lives in memory that is reused only for descriptors, and
 * the generation tells its tasks apart. A handle may outlive its task, not its scheduler.
 */
struct shunt_handle {
	struct shunt_task *task;
	uint64_t generation;
};

/* What is known of a task when it is spawned; read then and not kept. Zero is a valid one. What the
 * policy has no use for is ignored: `edf` reads the deadline, `srpt` the service, `prio` the
 * class. */
struct shunt_attr {
	const char *name;    /* for reports; not copied, must outlive the task; NULL: none */
	int64_t deadline_ns; /* when it should have ended, on CLOCK_MONOTONIC; 0: no deadline */
	int64_t service_ns;  /* processor time that it is expected to need; 0: unknown */
	unsigned priority;   /* its class: 0, the default, is the most urgent, 63 the least */
	/* 0: any worker. n: the task belongs to worker n - 1 and runs there alone, where the
	 * backend pins tasks (SHUNT_PINS): not under a policy that steals or shares. */
	unsigned worker;
};

/* ---- a task's life --------------------------------------------------------------------------- */

/*
 * Starts a task that will run fn(arg). *handle (may be NULL: then it is detached at once) must be
 * joined or detached. attr may be NULL. 0; -ENOMEM, -EAGAIN: no memory, or a limit of the machine
 * reached (nothing was started); -ECANCELED: the run is ending; -EINVAL: attr names a worker that
 * does not exist; -ENOTSUP: it names one, and this backend does not pin tasks. Context: task; does
 * not switch (but `null` runs fn at once).
 */
int shunt_spawn(struct shunt_handle *handle, shunt_task_fn *fn, void *arg,
	const struct shunt_attr *attr);

/*
 * Waits until the task has ended, fetches its result (result may be NULL) and releases it.
 * 0; -ESRCH: already joined or detached; -EBUSY: another task is joining it; -EDEADLK: itself;
 * -EXDEV: a task of another scheduler.
 * Context: task; may switch.
 */
int shunt_join(struct shunt_handle handle, void **result);
/* The same, giving up at the deadline with -ETIMEDOUT: the task is then still joinable. */
int shunt_join_until(struct shunt_handle handle, int64_t deadline_ns, void **result);

/* Lets a task end unjoined. 0, -ESRCH, -EBUSY as above. Context: task. */
int shunt_detach(struct shunt_handle handle);

/* The calling task. Context: task. */
struct shunt_handle shunt_self(void);

/* The calling task's number within its run: 0 the root, then in order of spawning (with many
 * workers: unique, roughly in order). Context: task. */
uint64_t shunt_task_id(void);

/* ---- giving way ------------------------------------------------------------------------------ */

/* Lets the other ready tasks run, as the policy decides. Context: task; may switch. */
void shunt_yield(void);

/*
 * Wakes `handle` and parks the caller, in one direct swap where the other is parked and can be
 * claimed. Returns as shunt_park does; a stale handle parks the caller all the same.
 * Context: task; may switch.
 */
int shunt_transfer(struct shunt_handle handle);

/*
 * Should the caller give way here, by shunt_yield? True when it has used up its quantum since it
 * was last resumed (the setting's or the policy's) and another task is ready, or when the policy
 * has a more urgent one; false for ever on backends that the kernel preempts, and with
 * preempt=none. With preempt=signal or compiler it is true where a preemption could not be made and
 * still is due. Collects what came from outside and the timers that are due. One load where there
 * is no quantum and nothing to collect. Context: task; does not switch.
 */
bool shunt_checkpoint(void);

/*
 * Code that a signal may take the processor from, in the middle (preempt=signal): a function so
 * marked, and what the compiler inlines into it. It computes on its own variables, and on memory
 * that no other task of the run changes; what it calls is not preempted unless it is marked too.
 * Not for a function that libc calls back, nor for one that runs under a lock of libc's.
 */
#define SHUNT_PREEMPTIBLE __attribute__((noinline, section("shunt_preemptible")))

/*
 * A function that preempt=compiler does not ask in: for one that is called often and takes
 * about a microsecond, with what it calls, because a call at each of its edges would take longer
 * than they do.
 */
#if defined(__clang__)
#define SHUNT_SHORT __attribute__((no_sanitize("coverage")))
#elif defined(__GNUC__) && __GNUC__ >= 12
#define SHUNT_SHORT __attribute__((no_sanitize_coverage))
#else
#define SHUNT_SHORT
#endif

/*
 * Neither a signal nor an edge preempts the caller between the two, which nest; the outer
 * shunt_preempt_on gives way at once where a preemption was due meanwhile. In between the task may
 * not give way, wait or end. Context: any, and without effect outside a task; off does not switch,
 * on may.
 */
void shunt_preempt_off(void);
void shunt_preempt_on(void);

/* ---- time ------------------------------------------------------------------------------------ */

int64_t shunt_now_ns(void); /* Context: any. */

/* Sleeps; permits do not shorten it. 0, or -ENOMEM if the timer could not be armed.
 * Context: task; may switch. */
int shunt_sleep_until(int64_t deadline_ns);
int shunt_sleep_for(int64_t duration_ns);

/*
 * Computes for about `duration_ns` of processor time, by calibrated arithmetic that touches no
 * memory; the calibration is made once, outside measured time. Context: any.
 */
void shunt_work_ns(int64_t duration_ns);

/* ---- parking --------------------------------------------------------------------------------- */

/*
 * Waits for a permit and takes it: one left by an earlier shunt_wake, else the next one. May also
 * return without: check your condition again. 0, or -ETIMEDOUT at the deadline (the permit, if it
 * came later, stays). Context: task; may switch.
 */
int shunt_park(void);
int shunt_park_until(int64_t deadline_ns);

/*
 * Gives the task its permit (at most one is kept) and ends its park. On a task that has ended, or
 * in any other wait, it harms nothing. True if the task had not ended. (Advisory when called from
 * outside the task's scheduler: true then means accepted.)
 * Context: any thread, inside or outside a task; does not switch.
 */
bool shunt_wake(struct shunt_handle handle);

/* ---- where am I ------------------------------------------------------------------------------ */

/* The worker that runs the caller, 0 …; it may be another after every call that may switch.
 * Context: task. */
unsigned shunt_worker_index(void);
unsigned shunt_worker_count(void); /* Context: task. */
bool shunt_in_task(void);          /* Context: any. */

/* ---- synchronisation: core/sync/, built once, on every backend ------------------------------
 *
 * Context of all: task, of one scheduler only. Waits are first in, first out, and ownership is
 * handed over directly: a woken task has what it waited for. `_until` forms return -ETIMEDOUT at
 * the deadline and have then taken nothing. Objects are the caller's memory, zero is a valid
 * initial state unless an _init is given. None may be waited on when it goes; whoever had to wait
 * on it may take it away on return: who ended that wait touches it no more.
 */

struct shunt_waiters { /* private */
	struct shunt_task *head, *tail;
	int lock; /* [waiters:lock] */
};

/* One whose owner has ended stays locked. */
struct shunt_mutex {
	struct shunt_waiters waiters;
	struct shunt_handle owner; /* its task is NULL: free */
};
/* 0; -EDEADLK when the caller owns it already. */
int shunt_mutex_lock(struct shunt_mutex *mutex);
int shunt_mutex_lock_until(struct shunt_mutex *mutex, int64_t deadline_ns);
bool shunt_mutex_try_lock(struct shunt_mutex *mutex);
int shunt_mutex_unlock(struct shunt_mutex *mutex); /* -EPERM: the caller does not own it. */

struct shunt_semaphore {
	struct shunt_waiters waiters;
	int64_t count;
};
void shunt_semaphore_init(struct shunt_semaphore *semaphore, int64_t count);
int shunt_semaphore_wait(struct shunt_semaphore *semaphore);
int shunt_semaphore_wait_until(struct shunt_semaphore *semaphore, int64_t deadline_ns);
bool shunt_semaphore_try_wait(struct shunt_semaphore *semaphore);
void shunt_semaphore_post(struct shunt_semaphore *semaphore);

struct shunt_condition {
	struct shunt_waiters waiters;
};
/* Gives up the mutex, waits for a signal, and owns the mutex again on return, also at the
 * deadline. 0, -ETIMEDOUT, -EPERM: the caller does not own the mutex. */
int shunt_condition_wait(struct shunt_condition *condition, struct shunt_mutex *mutex);
int shunt_condition_wait_until(struct shunt_condition *condition, struct shunt_mutex *mutex,
	int64_t deadline_ns);
void shunt_condition_signal(struct shunt_condition *condition);
void shunt_condition_broadcast(struct shunt_condition *condition);

/* A bounded channel of pointers; capacity 0 is a rendezvous. */
struct shunt_channel {
	struct shunt_waiters senders, receivers; /* senders.lock guards all */
	void **ring;
	size_t capacity, head, count;
	bool closed;
};
int shunt_channel_init(struct shunt_channel *channel, size_t capacity); /* 0, -ENOMEM */
void shunt_channel_fini(struct shunt_channel *channel);
/* 0; -EPIPE: closed (a receiver gets what was sent before first). */
int shunt_channel_send(struct shunt_channel *channel, void *value);
int shunt_channel_send_until(struct shunt_channel *channel, void *value, int64_t deadline_ns);
int shunt_channel_receive(struct shunt_channel *channel, void **value);
int shunt_channel_receive_until(struct shunt_channel *channel, void **value, int64_t deadline_ns);
void shunt_channel_close(struct shunt_channel *channel); /* ends every wait with -EPIPE */

/* Counts work in progress; wait returns when the count is zero. */
struct shunt_wait_group {
	struct shunt_waiters waiters;
	int64_t count;
};
void shunt_wait_group_add(struct shunt_wait_group *group, int64_t delta); /* < 0 total: panic */
void shunt_wait_group_done(struct shunt_wait_group *group);
int shunt_wait_group_wait(struct shunt_wait_group *group);
int shunt_wait_group_wait_until(struct shunt_wait_group *group, int64_t deadline_ns);

#ifdef __cplusplus
}
#endif

#endif
