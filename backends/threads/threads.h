/* SPDX-License-Identifier: MIT */
/* What the files of the backend `threads` share; threads.c tells the idea. */
#ifndef SHUNT_BACKENDS_THREADS_THREADS_H
#define SHUNT_BACKENDS_THREADS_THREADS_H

#include "core/backend.h"
#include "core/cpus.h"
#include "core/descriptors.h"
#include "core/fatal.h"
#include "core/io_table.h"

#include <pthread.h>
#include <setjmp.h>

/* A task and the word that its thread sleeps on. */
struct thread_task {
	struct shunt_task task;
	_Atomic uint32_t posted; /* [thread:posted] 1: claimed, go on */
	bool for_ever; /* its wait has no deadline; written before the commit, read after a claim */
	int64_t ready_ns;            /* for sched_delay; 0: not sampled */
	unsigned worker;             /* as in its attributes */
	uintptr_t first_frame;       /* of its thread */
	unsigned char *signal_stack; /* the descriptor's, for ever */
	struct shunt_fatal fatal;
};

struct thread_counts {
	uint64_t spawned, ended, blocked, timers_armed, timers_fired, futex_calls, sampled;
	uint64_t io_operations, io_calls;
};

/* A thread, on its own stack. */
struct thread {
	struct shunt_ctx ctx;
	struct thread_counts count;
	bool sigpipe_blocked;
	jmp_buf out; /* first frame: for those that a deadlock ends */
};

struct threads {
	struct shunt_sched sched;
	struct shunt_io_sched io;
	struct shunt_values values;
	pthread_attr_t attr;
	struct shunt_cpus cpus; /* that this process may use */
	int64_t slack_ns;
	unsigned delay_every;
	struct shunt_hist *delay;       /* NULL: off */
	_Atomic int64_t active;         /* [threads:active] see the head comment */
	_Atomic uint32_t failed;        /* [threads:failed] a deadlock ends all threads */
	_Atomic uint64_t outside_wakes; /* [threads:outside] */

	pthread_mutex_t lock;   /* guards what follows */
	pthread_cond_t changed; /* task_count or holds fell to 0 */
	struct shunt_descriptors descriptors;
	struct shunt_threads_chunk *chunks; /* of signal stacks */
	struct shunt_ctx total;             /* counts of threads that have ended */
	struct thread_counts total_count;
	uint64_t task_count, next_id;
	int64_t holds;
	struct shunt_error *err; /* of the run in progress */
	int failure;
};

static inline struct threads *shunt_threads_of(const struct shunt_ctx *ctx)
{
	return (struct threads *)ctx->sched;
}

static inline struct thread *shunt_thread_of(struct shunt_ctx *ctx)
{
	return (struct thread *)ctx;
}

static inline struct thread_task *shunt_thread_task_of(struct shunt_task *task)
{
	return (struct thread_task *)task;
}

/* ---- threads/active.c: who could still end a wait, and the end when nobody could ------------- */

void shunt_threads_count_in(struct threads *threads);
/* Context: threads->lock held if `locked`. */
void shunt_threads_count_out(struct threads *threads, bool locked);
/* Ends the calling thread's task if a deadlock has ended the run. */
void shunt_threads_leave_if_failed(struct shunt_ctx *ctx);

/* ---- threads/wait.c: how a task waits, and how its wait is ended ----------------------------- */

/* Lets a claimed task go on, or a waiting one look whether the run has failed. Any thread. */
void shunt_threads_post(struct thread_task *task);
/* Ends the sample of a task that runs again, if one was begun. */
void shunt_threads_sample_delay(struct threads *threads, struct thread_task *self);
/* As the hooks in core/backend.h. */
int shunt_threads_block(struct shunt_ctx *ctx, int64_t deadline_ns);
int shunt_threads_park(struct shunt_ctx *ctx, int64_t deadline_ns);
void shunt_threads_ready(struct shunt_ctx *ctx, struct shunt_task *task);
bool shunt_threads_wake(struct shunt_sched *sched, struct shunt_handle handle);

/* ---- threads/life.c: a task's thread, from its start to its end ------------------------------ */

extern const struct shunt_hooks shunt_threads_hooks;

/* 0, or a positive errno: the C library refuses stack.size. */
int shunt_threads_set_attributes(const struct threads *threads, pthread_attr_t *attr);
/* Who starts a task: the run, its root, which is number 0 also when others were there before it; a
 * task; a thread beside the scheduler, whose own CPUs are nothing to the task. */
enum shunt_threads_from { SHUNT_THREADS_ROOT, SHUNT_THREADS_TASK, SHUNT_THREADS_OUTSIDE };
/* Starts a task's thread; 0 or a negative errno, and then nothing was started. `sample`: its delay
 * until it runs. Any thread. */
int shunt_threads_start(struct threads *threads, struct shunt_handle *handle, shunt_task_fn *fn,
	void *arg, const struct shunt_attr *attr, enum shunt_threads_from from, bool sample);

/* ---- threads/overflow.c: a task that runs off its stack, or ends its thread ------------------ */

/* Gives a descriptor the stack for its threads' signals, if it has none. False: no memory. Context:
 * the lock is held. */
bool shunt_threads_give_signal_stack(struct threads *threads, struct thread_task *self);
void shunt_threads_free_signal_stacks(struct threads *threads);
/* The calling thread, which begins at `frame`, is watched until shunt_fatal_unwatch. */
void shunt_threads_watch(struct threads *threads, struct thread_task *self, const void *frame);

/* ---- threads/io.c: input and output ---------------------------------------------------------- */

extern const struct shunt_io_ops shunt_threads_io;
/* Handles its signal while a run is on. */
void shunt_threads_io_handle(bool on);

/* ---- threads/limit.c ------------------------------------------------------------------------- */

/* As task_limit in core/backend.h: how many threads this machine gives a process now. */
uint64_t shunt_threads_task_limit(const struct shunt_sched *sched, struct shunt_error *reason);

#endif
