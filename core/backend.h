/* SPDX-License-Identifier: MIT */
/*
 * What a backend implements. A backend is a scheduler that workloads run on: a named composition
 * of the engine's slots (backends/presets.c), or a complete implementation of its own
 * (backends/null.c is the annotated template).
 *
 * core/sched.c and core/sync/ implement the whole task API on the few hooks below and on the task
 * word (task.h), so that sync objects, join and the rules about permits are the same everywhere.
 */
#ifndef SHUNT_CORE_BACKEND_H
#define SHUNT_CORE_BACKEND_H

#include "core/embed.h"
#include "core/param.h"
#include "core/sched.h"
#include "core/task.h"
#include "core/workload.h"

struct shunt_ctx;
struct shunt_trace;

/*
 * The hot hooks, called in a task on the thread that runs it. A hook of the engine does all its
 * work before the swap and ends in a sibling call to it.
 */
struct shunt_hooks {
	/* Required. Makes a task in state RUNNABLE, joiner NONE, or DETACHED if handle is NULL. */
	int (*spawn)(struct shunt_ctx *ctx, struct shunt_handle *handle, shunt_task_fn *fn,
		void *arg, const struct shunt_attr *attr);
	/* Required. Lets others run. */
	void (*yield)(struct shunt_ctx *ctx);
	/* Required if CAN_BLOCK or TIMED. A park in full: takes the permit or blocks until claimed
	 * or the deadline. Returns 0, -ETIMEDOUT, or -ENOMEM if the timer could not be armed. */
	int (*park)(struct shunt_ctx *ctx, int64_t deadline_ns);
	/* Required likewise. Blocks the running task, which has prepared its wait, until claimed or
	 * the deadline. Same results, but that a sleep (wait_what) ends with 0: nothing of the
	 * caller is then left above the switch. */
	int (*block)(struct shunt_ctx *ctx, int64_t deadline_ns);
	/* Required likewise. `task`, claimed (SHUNT_CLAIM_MINE) by the caller, may run again. */
	void (*ready)(struct shunt_ctx *ctx, struct shunt_task *task);
	/* Optional: wake and park in one swap. NULL: core wakes, then parks. Returns as park. */
	int (*transfer)(struct shunt_ctx *ctx, struct shunt_task *task, uint64_t generation);
	/* Required. Gives the descriptor of an ended task back (next generation). */
	void (*release)(struct shunt_ctx *ctx, struct shunt_task *task);
	/* Required where ctx->host is not 0. Makes ctx a guest of that worker: until the running
	 * task next leaves it, ctx may change by compare-and-swap the words that name it
	 * (join.c). */
	void (*visit)(struct shunt_ctx *ctx, unsigned worker_index);
	/* Optional: may a quantum end here? NULL: never. */
	bool (*checkpoint)(struct shunt_ctx *ctx);
	/* Optional: spawn for a step task (step.h), whose frame has its function. NULL: there are
	 * none (SHUNT_STEPS). In a step `block` and `park` then register the wait of a poll and
	 * return SHUNT_STEP_WAIT, and what cannot be done there panics. */
	int (*spawn_step)(struct shunt_ctx *ctx, struct shunt_handle *handle,
		struct shunt_step *frame, const struct shunt_attr *attr);
	/* The engine's own: runs step tasks, first the current one, until none is to run
	 * (hooks.h). */
	void (*steps)(struct shunt_ctx *ctx);
};

#define SHUNT_TIME_LOOKS 1000

/* The time of a scheduler whose tasks do not live by the machine's (engine/sim.h). */
struct shunt_time {
	int64_t now_ns; /* the running worker's */
	unsigned looks; /* at it, since it changed */
	/* The running task works for so long. May switch to other workers, never to a task of the
	 * same one. */
	void (*work)(struct shunt_ctx *ctx, int64_t duration_ns);
	/* SHUNT_TIME_LOOKS looks at one time: who looks that often waits for a later one. */
	void (*looked)(struct shunt_ctx *ctx);
	/* The caller cannot go on before another worker does: that one's turn, and time, comes. */
	void (*await)(struct shunt_ctx *ctx);
};

/* What a thread that runs tasks has at hand: the first member of a worker. One per worker (or per
 * kernel thread), found through a thread-local pointer that no task switch changes. */
struct shunt_ctx {
	const struct shunt_hooks
		*hooks; /* constant while the thread runs tasks, and while it runs steps */
	struct shunt_task *current; /* the running task; NULL in the scheduler itself */
	struct shunt_sched *sched;  /* constant */
	bool many;                  /* others may touch tasks at the same time: use atomics */
	unsigned index;             /* worker index */
	/* Whose word a joiner is (join.c). */
	int inside;      /* [host:inside] this worker changes one of its own with plain stores */
	unsigned guests; /* [host:guests] other workers that may change them too now */
	uintptr_t host;  /* what marks its own; 0: none are. Constant */
	struct {
		uint64_t wakes, wakes_stale, permits, parks, sleeps, blocks, joins, yields;
		uint64_t transfers_direct, transfers_plain;
	} count;                 /* written by this thread alone */
	struct shunt_time *time; /* NULL: the machine's. Constant */
	/* How many sections the running task is in, and SHUNT_PREEMPT_UNMARKED unless a preemption
	 * could not be made: 0 says that one is to be made up for. Changed by the ctx's thread and
	 * by a signal's handler on it. */
	uint32_t preempt; /* [preempt:word] */
};

#define SHUNT_PREEMPT_UNMARKED (UINT32_C(1) << 31)

/* One setting of a spec, as the user or a preset wrote it: "stack.size", "64k". */
struct shunt_setting {
	const char *key, *value;
	bool by_user; /* else by the preset */
};

struct shunt_config {
	const char *backend;                  /* the name in the spec */
	const struct shunt_setting *settings; /* later ones override earlier ones */
	size_t setting_count;
	uint64_t seed;                  /* for policies and victims */
	struct shunt_trace *trace;      /* NULL: none. Chooses the probe variant of the hooks */
	struct shunt_hist *sched_delay; /* NULL: off. ready -> running, sampled */
	unsigned sched_delay_every;     /* one in this many */
	/* NULL: off. How long tasks had run at a time that were preempted, for the quantum */
	struct shunt_hist *quanta;
};

typedef void shunt_counter_fn(void *sink, const char *name, uint64_t value);

struct shunt_backend {
	const char *name;
	const char *summary;
	const char *preset; /* the composition's settings, "switch=asm wait=futex …"; NULL
					     for a complete backend */
	const struct shunt_param *params; /* of a complete backend. Optional */
	/* Optional: can this machine run it? Else a negative errno, and why. */
	int (*probe)(struct shunt_error *why);
	/* Allocates a scheduler and resolves its composition: sets caps, many. Starts no thread. */
	int (*open)(struct shunt_sched **sched, const struct shunt_backend *backend,
		const struct shunt_config *config, struct shunt_error *err);
	/* Runs root(arg) as task 0 on the calling thread's watch; returns when it and every other
	 * task has ended, and no hold is left. 0; -EDEADLK: every remaining task waits and nothing
	 * can wake it (err names them); another negative errno: what the machine refused. May be
	 * called again, by any thread; core sees to it that one run is on at a time. After a
	 * failure only close may follow; its tasks may be left where they stood. */
	int (*run)(struct shunt_sched *sched, shunt_task_fn *root, void *arg, void **result,
		struct shunt_error *err);
	void (*close)(struct shunt_sched *sched);

	/* From threads that are not running this scheduler's tasks. Required if EXTERNAL_WAKE. */
	bool (*wake)(struct shunt_sched *sched, struct shunt_handle handle);
	int (*spawn)(struct shunt_sched *sched, struct shunt_handle *handle, shunt_task_fn *fn,
		void *arg, const struct shunt_attr *attr);
	/* Announces (+1) or withdraws (-1) an outside source of work: run does not return and no
	 * deadlock is called while there is one. */
	void (*hold)(struct shunt_sched *sched, int delta);

	/* Every counter, summed over workers (after run); with several workers also what each of
	 * them did, as "worker0.switches", for those counts that tell how the work was spread. */
	void (*counters)(const struct shunt_sched *sched, shunt_counter_fn *counter, void *sink);
	/* Every resolved setting as key and value in base units: the composition of the record. */
	void (*composition)(const struct shunt_sched *sched,
		void (*setting)(void *sink, const char *key, const char *value), void *sink);
	/* Optional: facts for the manifest and caveats for the report ("guard", "wait.flags"). */
	void (*facts)(const struct shunt_sched *sched,
		void (*fact)(void *sink, const char *name, const char *value, const char *source),
		void *sink);
	/* Optional: how many tasks of the given kind fit on this machine now; 0: no known limit.
	 * The reason names the limit and the remedy. */
	uint64_t (*task_limit)(const struct shunt_sched *sched, struct shunt_error *reason);
	/* Optional, for a backend on another runtime: the loop of the primitive that shunt-bench
	 * calls by that name, written against the runtime itself, with the same settings. Sets
	 * *made, at least `operations`; 0: it has no such loop, or could not run it. Returns
	 * nanoseconds. Context: no run is on. */
	double (*native)(struct shunt_sched *sched, const char *primitive, uint64_t operations,
		uint64_t *made);
};

/* Core's part of every scheduler; the first member of a backend's own. */
struct shunt_sched {
	const struct shunt_backend *backend;
	unsigned caps; /* enum shunt_cap of the resolved composition */
	unsigned worker_count;
	bool many;
	int running;               /* [sched:running] 1: a run is on, and another is refused */
	struct shunt_io_sched *io; /* with SHUNT_CAN_FILES (io_table.h). Constant */
};

/* ---- for backends ---------------------------------------------------------------------------- */

/* The calling thread's context. Out of line and never inlined, because compilers keep a
 * thread-local's address across a call that may come back on another thread. */
struct shunt_ctx *shunt_ctx_get(void);
/* Sets it, returning the previous one, which the backend restores when it is done. */
struct shunt_ctx *shunt_ctx_set(struct shunt_ctx *ctx);

/* The end of a task, on another stack (engine) or as its thread's last act: publishes the result
 * and wakes or releases by way of ctx->hooks. The task is not touched afterwards. */
void shunt_task_end(struct shunt_ctx *ctx, struct shunt_task *task);

/* Fills the fields that are the same for every backend; the word must be FREE. `host` is the
 * spawning ctx's, 0 if there is none. */
void shunt_task_init(struct shunt_task *task, shunt_task_fn *fn, void *arg,
	const struct shunt_attr *attr, bool detached, uintptr_t host, uint64_t id);

/* May a task be put where its attributes say? 0, -EINVAL, -ENOTSUP: as shunt_spawn. attr may be
 * NULL. */
int shunt_check_attr(const struct shunt_sched *sched, const struct shunt_attr *attr);

/* What a run's root task is spawned with: shunt_root_main and this, which keeps the result. */
struct shunt_root {
	shunt_task_fn *fn;
	void *arg, *result;
};
shunt_task_fn shunt_root_main; /* its arg is the struct; returns NULL */
extern const struct shunt_attr shunt_root_attr;

/* A stack overflow, or a thread that ends under its task (core/fatal.h), is reported on standard
 * error, then passed to this callback (perhaps on a signal stack; NULL: none), then ends the
 * process with status 3. For the command line, to write a record. */
void shunt_on_stack_overflow(void (*callback)(const char *message));

/* Prints "shunt: …" to standard error and aborts: a programming error, named. */
_Noreturn void shunt_panic(const char *format, ...) __attribute__((format(printf, 1, 2)));
#define SHUNT_ASSERT(condition)                                                                    \
	((condition) ? (void)0                                                                     \
		     : shunt_panic("%s:%d: assertion failed: %s", __FILE__, __LINE__, #condition))

#endif
