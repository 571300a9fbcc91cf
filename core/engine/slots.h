/* SPDX-License-Identifier: MIT */
/*
 * The engine's slots: the contracts of the exchangeable mechanisms.
 *
 * A plug-in is one file with one exported const struct of a type below, and one CMake line. The
 * engine calls it through the *resolved* form that resolve() or open() fills in, so that a
 * parameter chooses code once, at open, and never in a hot path.
 *
 * Every function returns 0 or a negative errno unless it says otherwise; a field marked Optional
 * may be NULL and says what then happens.
 */
#ifndef SHUNT_CORE_ENGINE_SLOTS_H
#define SHUNT_CORE_ENGINE_SLOTS_H

#include "core/param.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct shunt_attr;
struct shunt_task;
struct shunt_worker;
struct shunt_hooks;
struct shunt_io_op;

/* One fact that a plug-in adds to the manifest of the machine. Text is owned by the caller of
 * the collector until it returns. */
typedef void shunt_fact_fn(void *sink, const char *name, const char *value, const char *source);

/* ------------------------------------------------------------------------------------------- */
/* switch: how the processor leaves one stack and takes up another                              */

/* Runs on the resumed context's stack before it goes on; must not block, allocate or switch. */
typedef void shunt_post_fn(void *arg);

/* First code of a fresh context. `value` is what its first resumer left. Must not return. */
typedef void shunt_entry_fn(uintptr_t value);

/*
 * Saves the running context's callee-saved state on its own stack, stores its stack pointer in
 * *save, takes up the context saved as `load`, and returns `value` there. Only the stack pointer
 * crosses into C; the saved frame's layout is the switch's own.
 */
typedef uintptr_t shunt_swap_fn(void **save, void *load, uintptr_t value);

/* The same, with post(arg) called on the new stack after *save is stored and before the new
 * context goes on: what publishes the old context can run only then. Also before a first entry. */
typedef uintptr_t shunt_swap_post_fn(void **save, void *load, uintptr_t value, shunt_post_fn *post,
	void *arg);

struct shunt_switch_ops {
	shunt_swap_fn *swap;
	shunt_swap_post_fn *swap_post;
	/* Builds a fresh context in [low, low + bytes) that will call entry(value); returns what a
	 * swap takes as `load`. The stack is 16-byte aligned at both ends. The FP control words of
	 * the calling thread become the new context's where the switch saves them. */
	void *(*make)(void *low, size_t bytes, shunt_entry_fn *entry);
	/* Optional: puts the FP control words back to those of the thread that resolved the switch,
	 * for a stack that goes from an ended task to a new one without a swap. NULL: none
	 * saved. */
	void (*reset_fp)(const void *fp_words);
	_Alignas(16) unsigned char fp_words[32]; /* what resolve() noted for it */
	const char *fp;      /* "full", "mxcsr" or "none": the FP control words it saves */
	const char *fp_load; /* "compare" or "always": see switch.fp_load; NULL: no such choice */
	bool saves_signal_mask; /* one system call a switch */
	bool unwindable;        /* a debugger can walk from inside a task to its entry */
	size_t stack_overhead;  /* bytes of the stack that make() keeps for itself */
};

struct shunt_switch {
	const char *name;
	const char *summary;
	const struct shunt_param *params; /* Optional */
	/* Optional: can this machine run it? Else a negative errno and why. NULL: always. */
	int (*probe)(struct shunt_error *why);
	int (*resolve)(const struct shunt_values *values, struct shunt_switch_ops *ops,
		struct shunt_error *err);
};

/* ------------------------------------------------------------------------------------------- */
/* timers: a queue of deadlines, one per worker                                                 */

#define SHUNT_NEVER INT64_MAX

/*
 * An armed deadline, held by value. It wakes `task` if that is still in the block that `ticket`
 * names (shunt_timer_is_live in engine/task.h). A cancel leaves the entry in place as a
 * tombstone: a remote worker can then cancel without touching the queue, and nothing has to be
 * found. Queues drop tombstones when they meet them and compact when these outnumber the rest.
 */
struct shunt_timer {
	int64_t deadline_ns; /* CLOCK_MONOTONIC */
	struct shunt_task *task;
	uint64_t ticket;
};

/* Called for a due entry. The callee decides whether it is still live. Must not arm timers. */
typedef void shunt_fired_fn(void *arg, const struct shunt_timer *timer);

struct shunt_timers {
	const char *name;
	const char *summary;
	/* All but cancelled() are called with the queue's lock held (many workers) or by its only
	 * worker. Empty queues hold no more than a fixed small amount of memory. */
	int (*open)(void **queue);
	void (*close)(void *queue);
	int (*arm)(void *queue, const struct shunt_timer *timer); /* -ENOMEM: nothing changed */
	/* One armed entry has become a tombstone. May compact. */
	void (*cancelled)(void *queue);
	/* Removes entries due at now_ns, in deadline order as far as the queue's resolution tells,
	 * and calls fired for each that is live, until none is left or `most` were called. Never
	 * one before its deadline. Returns how many it called. */
	size_t (*expire)(void *queue, int64_t now_ns, size_t most, shunt_fired_fn *fired,
		void *arg);
	/* The earliest deadline, or one before it (a wheel's next cascade); SHUNT_NEVER if none.
	 * Drops tombstones it meets at the front. */
	int64_t (*earliest)(void *queue);
	size_t (*count)(const void *queue); /* entries held, tombstones included */
};

/* ------------------------------------------------------------------------------------------- */
/* wait: how a worker sleeps, until when, and how it is woken; may bring its own timers          */

/* What came for the slot io: `data` is what watch() or submit() was given; value: of a watched
 * descriptor SHUNT_EVENT_ bits, of an operation its result. */
typedef void shunt_event_fn(void *arg, uint64_t data, int64_t value);
enum {
	SHUNT_EVENT_IN = 1,
	SHUNT_EVENT_OUT = 2,
	SHUNT_EVENT_END = 4, /* the peer has ended it, or an error, or urgent data */
};

struct shunt_wait_config {
	const struct shunt_values *values;
	unsigned worker_count;
	shunt_fired_fn *fired; /* for slots with their own timers */
	shunt_event_fn *event; /* for slots that watch or submit */
};

struct shunt_wait {
	const char *name;
	const char *summary;
	const struct shunt_param *params;      /* Optional */
	bool own_timers;                       /* brings arm(); the timers slot must be `own` */
	bool spins;                            /* commit() burns its CPU: caveat in the report */
	int (*probe)(struct shunt_error *why); /* Optional */

	/* One per scheduler, on the opening thread. Optional, both or none: `wait` is then NULL. */
	int (*open)(void **wait, const struct shunt_wait_config *config, struct shunt_error *err);
	void (*close)(void *wait);

	/* One per worker, on the worker's own thread, whose timer slack is set; *slot is passed to
	 * all that follows. `arg` is passed to fired. */
	int (*start)(void *wait, unsigned worker_index, void *arg, void **slot,
		struct shunt_error *err);
	void (*stop)(void *slot);

	/* Collects what has happened without blocking and, with own timers, fires what is due.
	 * Called every few dozen switches: no system call when nothing is pending. Optional. */
	void (*poll)(void *slot);

	/* The sleep, in two halves. After prepare() every wake() ends the coming commit() at once.
	 * The engine then issues a full fence, rechecks all its queues, and calls commit() if it
	 * found nothing. commit() returns at a wake, at deadline_ns (never judged early by more
	 * than the engine can recheck: the engine reads the clock itself), or spuriously. */
	void (*prepare)(void *slot); /* Optional */
	/* 0, or a negative errno that ends the run: the kernel refused to let it sleep. */
	int (*commit)(void *slot, int64_t deadline_ns);

	/* Ends the sleep of `target` (a slot), now or at its next commit(). `from` is the caller's
	 * own slot, NULL from a thread that is no worker. Any thread; cheap when it does not
	 * sleep. */
	void (*wake)(void *target, void *from);

	/* Own timers only. Owner's thread only; cancelled() from any, with task and ticket
	 * alone. */
	int (*arm)(void *slot, const struct shunt_timer *timer);
	void (*cancelled)(void *slot, const struct shunt_timer *timer);
	size_t (*in_flight)(const void *slot); /* timers armed and not yet reaped */

	/* Optional: what was probed and used (set-up flags, features). */
	void (*facts)(const void *wait, shunt_fact_fn *fact, void *sink);
	/* Required. System calls made by this slot since start. */
	uint64_t (*syscalls)(const void *slot);

	/* What the slot io rides on: all optional. collect() and commit() hand events to
	 * config.event, with start()'s arg, on the worker's thread. */

	/* Watches a descriptor, both ways, edge-triggered: what is ready now is told too. -EPERM:
	 * it is of a kind that never has to wait. Owner's thread; unwatch() from any. After that an
	 * event may still come that was under way. */
	int (*watch)(void *slot, int fd, uint64_t data);
	void (*unwatch)(void *slot, int fd);
	/* Begins an operation, which has one event, its result; cancel() hastens it. `op` lives
	 * until then. -EAGAIN, -EBUSY: no room for the moment. Owner's thread. stop() waits for
	 * what is still on. `data` leaves the top byte free. */
	int (*submit)(void *slot, const struct shunt_io_op *op, uint64_t data);
	void (*cancel)(void *slot, uint64_t data);
	/* Looks for events without blocking; may make a system call. */
	void (*collect)(void *slot);

	/* What open() makes is a struct shunt_sim (engine/sim.h): all workers are coroutines of one
	 * thread, and its time is theirs. */
	bool virtual_time;
};

/* ------------------------------------------------------------------------------------------- */
/* io: how a task's input and output are made                                                    */

/* Not a result: the task must wait for the event of its descriptor, or of its operation. */
#define SHUNT_IO_WAITS INT64_MIN

/* Where an operation is made. */
struct shunt_io_at {
	const struct shunt_wait *wait; /* of the worker that runs the task, */
	void *slot;                    /* and its part */
	uint64_t data;                 /* of the operation, for submit() */
	uint64_t syscalls;             /* made by begin(): it adds them */
	void *io;                      /* what open() made */
};

/* What a slot that performs operations itself calls for each, once: its result. Any thread. `data`
 * is what begin() found in shunt_io_at; the operation may be gone when it returns. */
typedef void shunt_done_fn(void *arg, uint64_t data, int64_t result);

struct shunt_io_config {
	shunt_done_fn *done;
	void *arg;
};

struct shunt_io {
	const char *name;
	const char *summary;
	/* One of two ways. watches: descriptors are O_NONBLOCK; one on which an operation has to
	 * wait is watched by the wait slot, and begin() is called again after an event. submits:
	 * begin() hands the operation over, and the event, or done(), has its result. */
	bool watches, submits;
	/* Begins, or goes on with, an operation in a task. Its result, a negative errno, or
	 * SHUNT_IO_WAITS. May not block for as long as the peer likes. */
	int64_t (*begin)(struct shunt_io_at *at, struct shunt_io_op *op);

	/* Descriptors of regular files, folders and block devices alone. */
	bool files_only;
	/* Optional, all or none, and with submits: the slot performs operations itself, beside any
	 * wait slot in real time. One per scheduler, on the opening thread. */
	int (*open)(void **io, const struct shunt_io_config *config);
	void (*close)(void *io);
	/* Has the operation end soon, if it can: done() is called all the same. Any worker. */
	void (*cancel)(void *io, uint64_t data);
	/* Returns when done() has been called for all. Context: no operation is begun any more. */
	void (*settle)(void *io);
};

/* ------------------------------------------------------------------------------------------- */
/* policy: which ready task runs next, and where                                                */

/* Why a task is enqueued: a cause, and where it came from. */
enum shunt_why {
	SHUNT_WHY_NEW,     /* spawned */
	SHUNT_WHY_WAKE,    /* unblocked by a task */
	SHUNT_WHY_YIELD,   /* gave way */
	SHUNT_WHY_TIMER,   /* its deadline passed */
	SHUNT_WHY_MIGRATE, /* stolen, and not run at once */
	SHUNT_WHY_CAUSE = 0x0f,
	SHUNT_FROM_LOCAL = 0x00,    /* this worker */
	SHUNT_FROM_REMOTE = 0x10,   /* another worker */
	SHUNT_FROM_EXTERNAL = 0x20, /* a thread that is no worker */
};

/* Bytes a policy may keep in each worker (shunt_policy_state), cache-line aligned. */
#define SHUNT_POLICY_BYTES 256

/* Bytes a policy may keep in each task (shunt_policy_task): the place of the task's key. */
#define SHUNT_POLICY_TASK_BYTES 8

/* Tasks that one steal takes at most. */
#define SHUNT_STEAL_MOST 32

/*
 * Of a worker a policy reads its own state (shunt_policy_state, policy_shared), env, ctx.current
 * (the running task) and ctx.many (other threads look at the state), and writes its own state. The
 * functions of engine/policy.h give it the rest, and those of engine/deque.h a queue for thieves.
 * Of a task it has next, sp as a hint for prefetching, and the key. `hygiene.py policies` holds
 * each policy to that.
 *
 * Each hook runs on the worker's thread unless it says otherwise. With many workers only the owner
 * calls enqueue and pick of a worker; what others hand over arrives through the worker's inbox,
 * already drained by the engine.
 */
struct shunt_policy {
	const char *name;
	const char *summary;
	const struct shunt_param *params; /* Optional */
	bool steals;                      /* has steal() */
	bool shared; /* the queues are all workers': each may take what has_ready says it may */
	/* policy.seed draws the schedule, by policy.strategy, policy.depth and policy.steps: what
	 * `shunt explore` varies. */
	bool drawn;
	bool fifo; /* each queue is first in, first out, whatever becomes ready (SHUNT_FIFO) */
	/* stopping() is called, with env.now_ns and env.ran_ns fresh: a clock reading at every
	 * switch, 10-24 ns, which the record tells. */
	bool needs_time;

	/* Optional: changes *policy, which is this one, to a SHUNT_POLICY_VARIANT of the same file
	 * where these values need other hooks. -EINVAL: they exclude each other. */
	int (*variant)(const struct shunt_values *values, const struct shunt_policy **policy,
		struct shunt_error *err);
	/* Optional: once per scheduler, before and after all workers. *shared reaches each worker
	 * as worker->policy_shared. */
	int (*open)(void **shared, const struct shunt_values *values, unsigned worker_count);
	void (*close)(void *shared);
	/* Optional: prepares worker->policy (zeroed). NULL: zero is the empty state. */
	int (*worker_init)(struct shunt_worker *worker, const struct shunt_values *values);
	void (*worker_fini)(struct shunt_worker *worker);

	/* Optional (SHUNT_POLICY_KEYED): what task->key is at the spawn, from any thread; attr may
	 * be NULL. The policy alone changes it afterwards, as a number or as the bytes of
	 * shunt_policy_task, which are zero for a key of 0. NULL: the key is the last task's. */
	int64_t (*key)(const struct shunt_attr *attr);
	/* Optional: up to `tasks` tasks may live from now on; called before the first new one
	 * lives. The time to make room in what open() made. 0, or -ENOMEM: their spawn is refused.
	 * One call at a time; the other hooks may run meanwhile. */
	int (*reserve)(void *shared, uint64_t tasks);

	/* Required. Takes a ready task. May not fail: queues are intrusive or grow beforehand. */
	void (*enqueue)(struct shunt_worker *worker, struct shunt_task *task, unsigned why);
	/* Required. Removes and returns the task to run next; NULL: none. For a yield `current` is
	 * the running task, not enqueued yet: returning it means that it goes on. NULL: the last
	 * one blocked or ended, or there was none. */
	struct shunt_task *(*pick)(struct shunt_worker *worker, struct shunt_task *current);
	/* Required. Is anything queued that this worker could pick? Any thread; may be stale, but
	 * must see what was enqueued before the caller's last full fence. */
	bool (*has_ready)(const struct shunt_worker *worker);

	/* Where `steals`: moves up to SHUNT_STEAL_MOST ready tasks of `victim` to `taken`, and
	 * returns how many. The thief runs the first at once; the engine enqueues the others there.
	 * wary: only what has waited since the last such call. */
	unsigned (*steal)(struct shunt_worker *thief, struct shunt_worker *victim, bool wary,
		struct shunt_task **taken);
	/* Optional: the next worker to try, for attempt 0, 1, …; NULL ends the search, the thief
	 * itself is passed over. Work may be anywhere: all others come up in each search. NULL
	 * hook: they do in a random rotation. */
	struct shunt_worker *(*victim)(struct shunt_worker *thief, unsigned attempt);
	/* Optional, and called where switches are stamped: needs_time, or a quantum. The task
	 * stops, or is looked at, after env.ran_ns since it began to run or the last such call. It
	 * comes before pick, for the policy to charge the task. */
	void (*stopping)(struct shunt_worker *worker, struct shunt_task *task);
	/* Optional: how long the task may run before shunt_checkpoint asks it to give way to any
	 * other that is ready; > 0, or 0: no limit. Asked once a slice, when it begins; every
	 * switch is stamped for it. The setting `quantum` holds too where it is shorter. NULL: it
	 * alone holds. */
	int64_t (*quantum)(struct shunt_worker *worker, const struct shunt_task *task);
	/* Optional: is a task ready that should run instead of `current`? Asked by shunt_checkpoint
	 * when something may have become ready. NULL: never, before its quantum is over. */
	bool (*preempts)(struct shunt_worker *worker, const struct shunt_task *current);

	/* The hot hooks with this policy inlined; filled by SHUNT_POLICY (engine/hooks.h). */
	const struct shunt_hooks *inlined[2][2]; /* many workers; stamped switches */
};

/* ------------------------------------------------------------------------------------------- */
/* place: which CPUs each worker runs on                                                        */

struct shunt_place {
	const char *name;
	const char *summary;
	const struct shunt_param *params; /* Optional */
	/* Optional: the parameter that a bare number list is: place=0+2 then means this plug-in
	 * with that value. At most one placement has it. */
	const char *numbers_are;
	int (*probe)(struct shunt_error *why); /* Optional */
	/* Plans worker_count workers (0: as many as this placement offers; *worker_count is set).
	 * More workers than it offers are allowed, and reported by `oversubscribed`. */
	int (*open)(void **plan, const struct shunt_values *values, unsigned *worker_count,
		bool *oversubscribed, struct shunt_error *err);
	void (*close)(void *plan);
	/* On the worker's thread: binds it, and verifies that the kernel agreed. */
	int (*bind)(void *plan, unsigned worker_index, struct shunt_error *err);
	void (*unbind)(void *plan, unsigned worker_index);
	/* "0", "0-1": the CPUs of a worker, for the record. */
	void (*describe)(void *plan, unsigned worker_index, char *text, size_t bytes);
	/* Optional: how the workers of the last run were bound, and how that was verified, for the
	 * record. NULL: they were not. */
	const char *(*binding)(void *plan);
	/* Optional: 0 = same core … larger = further; for near-first stealing. NULL: all alike. */
	unsigned (*distance)(void *plan, unsigned a, unsigned b);
	/* Optional: topology XML and the like for the manifest. */
	void (*facts)(shunt_fact_fn *fact, void *sink);
};

#endif
