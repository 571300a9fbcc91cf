/* SPDX-License-Identifier: MIT */
/*
 * A worker: a kernel thread that runs tasks, and the engine it belongs to.
 *
 * Invariants.
 *   - `current` is the running task, or &worker->loop while the worker's own stack runs.
 *   - A worker has no identity but this struct: nothing in the engine asks which thread it is on.
 *   - What another thread may touch is marked shared and tagged; all else is the owner's.
 *   - `limit` is the one test of the hot path. The owner sets it to switches + interval at most;
 *     any thread may set it to 0, which makes the next switch take the slow path. A request that
 *     the owner's own store overwrites is at most `interval` switches late, never lost: the slow
 *     path looks at the inbox after that store.
 */
#ifndef SHUNT_CORE_ENGINE_WORKER_H
#define SHUNT_CORE_ENGINE_WORKER_H

#include "core/backend.h"
#include "core/engine/slots.h"
#include "core/engine/stack.h"
#include "core/fatal.h"
#include "core/io_table.h"
#include "core/lock.h"
#include "core/measure/clock.h"
#include "core/rng.h"

#include <pthread.h>
#include <signal.h>

/*
 * Workers and descriptors begin at multiples of this. A load waits for an earlier store whose
 * address has the same last 12 bits: as malloc placed the two against each other a yield took from
 * 5.5 to 9.1 ns, and changed with the size of anything allocated before.
 */
#define SHUNT_APART ((size_t)4096)

#define SHUNT_INLINE              static inline __attribute__((always_inline))
#define SHUNT_SLOW                __attribute__((noinline, cold))
#define SHUNT_UNLIKELY(condition) __builtin_expect(!!(condition), 0)

struct shunt_engine;
struct shunt_preempter;
struct shunt_sim;
struct shunt_trace;
struct shunt_trace_ring;

/* What a policy is told of its worker. */
struct shunt_env {
	/* what is queued here: the policy steals or shares, with others there */
	bool others_may_take;
	bool fenced;          /* with others there: fence=full (barrier.h) */
	int64_t now_ns;       /* coarse: of the last visit to the slow path, or of the last stamp */
	int64_t ran_ns;       /* in stopping(): how long the task ran since it was last charged */
	struct shunt_rng rng; /* seeded from the run's seed and the worker's index */
	unsigned index, worker_count;
	struct shunt_worker *const *workers; /* all, by index */
	/* [deque:thieves] of the deque that a thief stays attached to; the engine detaches it
	 * before the worker sleeps */
	_Atomic unsigned *attached;
};

/*
 * The switch's swap and swap_post by what the hooks make of their result: a status, left by the
 * resumer as a sign-extended int, which is how every ABI here returns one. With a conversion after
 * the call gcc would not make it a tail call, and a frame of ours would survive the switch.
 */
typedef int shunt_status_swap_fn(void **save, void *load, uintptr_t value);
typedef int shunt_status_swap_post_fn(void **save, void *load, uintptr_t value, shunt_post_fn *post,
	void *arg);

/* A worker's idleness. */
enum { SHUNT_AWAKE, SHUNT_SLEEPS, SHUNT_NAPS };

/* What a thief knows of its stealing (thief.c). */
struct shunt_backoff {
	struct shunt_worker *prey;            /* of the window, and of the base */
	int64_t since_ns;                     /* the window's begin; 0: none is open */
	uint64_t prey_switches, own_switches; /* then */
	uint64_t base;                        /* the prey's switches in a millisecond, alone */
	int64_t base_ns;                      /* when that was measured */
	int64_t nap_ns; /* the last nap that stealing did not pay; 0: it did */
	/* the base was hardly to be believed: the next nap, to measure it again */
	int64_t doubt_ns;
	bool nap_due;
	bool let_in;          /* since the last nap it has had a window that does not count */
	bool wary;            /* take from prey only what has waited since the last look */
	unsigned looks;       /* how many more times it only looks before it tries again */
	unsigned looks_next;  /* how many it will be if that does not pay either */
	uint64_t futile_base; /* the base when it last did not pay */
};

/* How tasks lose the processor before they give way. */
enum shunt_preempt {
	SHUNT_PREEMPT_NONE,
	SHUNT_PREEMPT_CHECKPOINT, /* by what shunt_checkpoint tells them */
	SHUNT_PREEMPT_SIGNAL,     /* by a signal too: preempt.c */
	SHUNT_PREEMPT_COMPILER,   /* at an edge of their code too: edge.c */
};

struct shunt_worker {
	struct shunt_ctx ctx; /* first: the thread-local context is the worker */

	/* Every switch. */
	_Alignas(64) uint64_t switches; /* [worker:switches] shared for reading */
	_Atomic uint64_t limit;         /* [worker:limit] shared: anybody may set it to 0 */
	shunt_status_swap_fn *swap;
	shunt_status_swap_post_fn *swap_post;
	int *errno_at; /* &errno of the worker's thread */
	struct shunt_task *free_tasks;
	uint64_t credits; /* tasks that may be spawned before asking the engine */
	struct shunt_engine *engine;

	/* The policy's own. */
	_Alignas(64) unsigned char policy[SHUNT_POLICY_BYTES];
	void *policy_shared;
	bool keeps_ready; /* what becomes ready here is queued here */
	bool untold;      /* it armed the earliest timer while others slept (timer.c) */
	struct shunt_env env;

	/* Off the hot path. */
	struct shunt_task loop;  /* stands for the worker's own stack: idle, start, end */
	struct shunt_task dying; /* stands for a task that has ended and stands on its stack */
	struct shunt_task *fired, **fired_tail; /* claimed by their timers, to be made ready */
	struct shunt_stack_cache stacks;
	uint64_t next_id, ids_left;
	struct shunt_task *free_full; /* another list (task_pool.c) */
	unsigned free_count;          /* of free_tasks, at most */
	unsigned credits_most;
	unsigned spawn_turn;         /* the next task's home; many workers only */
	shunt_post_fn *pending_post; /* sanitizer builds: what follows the arrival on a stack */
	uint64_t self_picks; /* whoever gave way was picked again: counted as a switch, and none */
	uint64_t blocked, spawned, ended, timers_armed, timers_fired, timers_cancelled;
	uint64_t slow_visits, commits, injected_drained, steals_tried, steals_won, tasks_stolen;
	uint64_t remote_wakes, expired_for_others, sleeps, wait_syscalls;
	void *wait; /* the wait slot's part */
	struct shunt_backoff backoff;
	bool *visits;          /* whose guest it is, by index (guest.c) */
	unsigned visits_count; /* how many are */
	unsigned visits_age;   /* visits of the slow path since it was last of use */
	uint64_t naps;
	int64_t stamp_ns;             /* of the last stamped switch */
	int64_t slice_ns;             /* [worker:slice] of the running task's first */
	int64_t quantum_ns;           /* [worker:slice] of the running task's slice; 0: none */
	int64_t over_ns;              /* how long it had run when it was last found over */
	uint64_t quanta, preemptions; /* checkpoints that said so */
	struct { /* changed by the worker's thread, in a handler too; `asked` by the preempter's */
		uint64_t asked, delivered, late, in_section, elsewhere, vain;
	} preempt;
	struct { /* tasks preempted here that no other worker may run (preempt.c) */
		struct shunt_task *head, *tail; /* [worker:held] the head */
		unsigned passed;                /* picks that took another task */
	} held;
	struct shunt_worker *outer; /* that had the thread before, as a nested run has */
	struct {                    /* ticks.c */
		int thread;         /* its kernel id; 0: no signal may be sent. Under a lock */
		bool was_blocked;   /* the signal, before the run */
		int *flag;          /* [tick:flag] of the thread; NULL: signals are sent */
		/* the preempter's: of the slice last sent one, and when to send the next */
		int64_t slice_ns, retry_ns, next_ns;
	} tick;
	int failed;       /* negative errno that ends the run */
	int64_t visit_ns; /* the last visit to the slow path; 0: no timer was armed then */
	int64_t awake_ns; /* since when it is busy, where visit_ns is not 0 */
	uint64_t visit_switches;
	struct {
		uint64_t operations, at_once, waits, calls, events, unasked, cancels;
	} io; /* engine/io.c */
	int64_t io_looked_ns;
	struct shunt_trace_ring *trace;
	bool trace_waits; /* its last word there is that it waits */
	unsigned sched_delay_countdown;
	pthread_t thread;
	struct shunt_fatal fatal;
	void *signal_stack;
	void *fiber;           /* ThreadSanitizer's fibre of the worker's own stack */
	void *fake_stack;      /* AddressSanitizer's, while a task runs */
	const void *stack_low; /* of the worker's own stack, for AddressSanitizer */
	size_t stack_bytes;

	/* Shared: others look, or hand something over. */
	_Alignas(
		/* [waiters:lock] guards the queue and next_deadline's change */
		64) int timers_lock;
	void *timers;
	_Atomic int64_t next_deadline_ns; /* [worker:deadline] earliest of timers, or SHUNT_NEVER */
	_Alignas(64) _Atomic(struct shunt_task *) inbox; /* [worker:inbox] a stack, newest first */
	_Atomic int idle;         /* [worker:idle] SHUNT_SLEEPS: announced, or asleep */
	_Atomic int64_t watch_ns; /* [worker:watch] of one that sleeps: the deadline it knows of */
	struct shunt_worker *idle_next;
	_Atomic int preempt_asked; /* [worker:preempt] a signal is on its way */
	/* [worker:io-inbox] a stack: those with an operation of this worker to be cancelled, or
	 * done by a pool */
	_Atomic(struct shunt_io_entry *) io_inbox;
	_Atomic int64_t io_waits; /* [worker:io-waits] tasks whose event comes to this worker */
};

_Static_assert(offsetof(struct shunt_worker, engine) - offsetof(struct shunt_worker, switches) < 64,
	"what every switch touches fills one cache line");

struct shunt_engine {
	struct shunt_sched sched; /* first */

	/* Set at open, constant after. */
	struct shunt_switch_ops swap;
	const struct shunt_switch *switch_slot;
	const struct shunt_wait *wait_slot;
	const struct shunt_timers *timers_slot; /* NULL: the wait slot's own */
	const struct shunt_policy *policy;
	const struct shunt_place *place_slot;
	const struct shunt_io *io_slot; /* NULL: none */
	struct shunt_io_sched io;
	void *io_state; /* what the io slot has opened; NULL: it needs nothing */
	void *wait, *place, *policy_shared;
	struct shunt_values own, switch_values, wait_values, policy_values, place_values;
	const struct shunt_hooks *hooks;
	void (*entry)(uintptr_t value); /* first code of every fresh stack (life.c) */
	const char *dispatch;
	bool oversubscribed;
	int64_t tick_ns, spin_ns, slack_ns, search_ns, nap_most_ns;
	bool fenced;        /* fence=full: no asymmetric fence (barrier.h) */
	int64_t quantum_ns; /* the setting; 0: none */
	enum shunt_preempt preempt;
	bool stamped;             /* every switch is: a quantum, or the policy needs the time */
	struct shunt_clock clock; /* of the stamps; made only if there are any */
	unsigned interval;
	uint64_t seed;
	struct shunt_trace *trace;
	struct shunt_hist *sched_delay;
	unsigned sched_delay_every;
	bool probing;              /* trace or sched_delay */
	int sched_delay_lock;      /* [waiters:lock] */
	struct shunt_hist *quanta; /* NULL: off. How long tasks had run that were preempted */
	int quanta_lock;           /* [waiters:lock] */

	struct shunt_worker **workers;
	unsigned worker_count;
	struct shunt_stack_pool stacks;
	bool stacks_open;

	/* Descriptors and ids: guarded by lock. */
	pthread_mutex_t lock;
	struct shunt_task *free_lists; /* of free descriptors, linked by wait_next of their first */
	struct shunt_task_slab *slabs; /* the newest first */
	unsigned slabs_left;           /* of its mapping, behind it */
	uint64_t next_id, descriptors;
	uint64_t credits_given; /* to workers: never more than stacks.capacity */

	/* Idleness: guarded by idle_lock but where tagged. */
	pthread_mutex_t idle_lock;
	struct shunt_worker *idle_list;
	unsigned idle_workers;
	_Alignas(64) _Atomic unsigned idle_count; /* [engine:idle] read at every push */
	_Alignas(64) _Atomic unsigned searching;  /* [engine:searching] */
	int64_t holds;                            /* outside sources announced */
	pthread_cond_t gate;                  /* a worker came to, or will never come to, a gate */
	unsigned expected, started, finished; /* workers: that will come, at either gate */
	_Atomic int64_t external_spawns;      /* [engine:external] */
	_Atomic uint64_t external_stale;
	_Atomic unsigned outside; /* [engine:outside] other threads that may be waking a worker */
	_Atomic int stopping;     /* [engine:stopping] 1: no task is left, or the run failed */
	int run_error;            /* what run returns */
	struct shunt_error *run_err; /* and says */
	bool broken;                 /* a run failed: there will be no other */

	struct shunt_ticker *ticker;
	/* [engine:preempter] NULL: none; constant while workers run, not for other threads. */
	_Atomic(struct shunt_preempter *) preempter;
	int preempter_priority;           /* real-time; 0: none */
	bool preempter_polls;             /* else it sleeps until a slice is over */
	const struct shunt_policy *inner; /* what `wrapped` asks, which is then `policy` */
	struct shunt_policy wrapped;
	struct shunt_sim *sim; /* NULL: the machine's time */
};

/* Does a preempter (ticks.c) look after its workers? */
static inline bool shunt_engine_ticks(const struct shunt_engine *engine)
{
	return engine->preempt >= SHUNT_PREEMPT_SIGNAL;
}

/* How many sections the running task is in. */
static inline uint32_t shunt_preempt_sections(const struct shunt_ctx *ctx)
{
	/* Relaxed: the thread's own [preempt:word]. */
	return __atomic_load_n(&ctx->preempt, __ATOMIC_RELAXED) & ~SHUNT_PREEMPT_UNMARKED;
}

static inline uint64_t shunt_worker_switches(const struct shunt_worker *worker)
{
	/* Relaxed: does it get on? [worker:switches] */
	return __atomic_load_n(&worker->switches, __ATOMIC_RELAXED);
}

static inline int64_t shunt_worker_io_waits(const struct shunt_worker *worker)
{
	/* Relaxed: its own, or ordered by the caller's fence [worker:io-waits]. */
	return atomic_load_explicit(&worker->io_waits, memory_order_relaxed);
}

static inline bool shunt_worker_io_asked(const struct shunt_worker *worker)
{
	/* Relaxed: ordered by the caller's fence [worker:io-inbox]. */
	return atomic_load_explicit(&worker->io_inbox, memory_order_relaxed) != NULL;
}

static inline bool shunt_worker_inbox_empty(const struct shunt_worker *worker)
{
	/* Relaxed: ordered by the caller's fence [worker:inbox]. */
	return !atomic_load_explicit(&worker->inbox, memory_order_relaxed);
}

static inline struct shunt_worker *shunt_worker_of(struct shunt_ctx *ctx)
{
	return (struct shunt_worker *)ctx;
}

static inline struct shunt_engine *shunt_engine_of(struct shunt_sched *sched)
{
	return (struct shunt_engine *)sched;
}

#endif
