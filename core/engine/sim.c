/* SPDX-License-Identifier: MIT */
/*
 * Virtual time.
 *
 * The engine runs as it is: its loops, queues, inboxes, timers and steals. Only who runs when is
 * decided here. Every worker is a coroutine of one thread, and there is one clock. A worker leaves
 * where it works for a while (shunt_work_ns), where it sleeps (the wait slot), and at a visit to
 * its slow path if another is to run at the same time. Then the clock goes on to the earliest time
 * at which a worker is to run, and that one runs; of two at one time the one that waited longer.
 * What a worker does between two such places takes no time, and no other worker sees it half done:
 * no lock is ever found taken. A task that waits by looking at the clock, or by giving way again
 * and again, is the exception: a thousand looks at one time take a microsecond.
 *
 * So one worker with FCFS is Lindley's recursion, and c workers with a shared queue are M/M/c, to
 * the nanosecond. What is not modelled: the cost of a switch, a spawn, a wake or a steal; caches,
 * memory, frequency.
 *
 * The order depends on nothing but the program and the seed. `hash` folds each event in: the time,
 * the worker, and the task that it runs.
 */
#include "core/engine/sim.h"

#include "core/engine/sanitize.h"

#include <errno.h>
#include <stdlib.h>

/* Any but 0, which stands for "never" in places. */
#define EPOCH_NS 1000000000
#define NOWHERE  SIZE_MAX
/* What SHUNT_TIME_LOOKS looks at one time take: a program that waits by looking gets on, and one
 * that looks now and then pays nothing. */
#define LOOKS_NS 1000

struct coroutine {
	struct shunt_sim *sim;
	struct shunt_worker *worker;
	void *sp;                  /* while others run */
	struct shunt_stack *stack; /* of its loop; NULL: the thread's own */
	shunt_sim_main_fn *main;
	int64_t until_ns; /* when it runs next, if it is in the heap */
	uint64_t turn;    /* of those at one time, who is first */
	size_t at;        /* in the heap, or NOWHERE */
	int errno_there;
	bool sleeps, notified;
};

struct shunt_sim {
	struct shunt_time time; /* first */
	struct coroutine *of;   /* by worker index */
	struct coroutine **heap;
	size_t waiting; /* in the heap */
	unsigned count, gone;
	struct shunt_ctx *outer; /* of the thread, before it was worker 0 */
	bool begun;
	uint64_t turns, hash, events;
};

/* ---- who is next: a binary heap -------------------------------------------------------------- */

static bool before(const struct coroutine *a, const struct coroutine *b)
{
	return a->until_ns != b->until_ns ? a->until_ns < b->until_ns : a->turn < b->turn;
}

static void put(struct shunt_sim *sim, struct coroutine *one, size_t at)
{
	sim->heap[at] = one;
	one->at = at;
}

static void sift_up(struct shunt_sim *sim, struct coroutine *one, size_t at)
{
	for (; at && before(one, sim->heap[(at - 1) / 2]); at = (at - 1) / 2)
		put(sim, sim->heap[(at - 1) / 2], at);
	put(sim, one, at);
}

static void sift_down(struct shunt_sim *sim, struct coroutine *one, size_t at)
{
	for (size_t child; (child = 2 * at + 1) < sim->waiting; at = child) {
		if (child + 1 < sim->waiting && before(sim->heap[child + 1], sim->heap[child]))
			child++;
		if (!before(sim->heap[child], one))
			break;
		put(sim, sim->heap[child], at);
	}
	put(sim, one, at);
}

static void wait_until(struct coroutine *self, int64_t until_ns)
{
	struct shunt_sim *sim = self->sim;
	self->until_ns = until_ns;
	self->turn = sim->turns++;
	sift_up(sim, self, self->at == NOWHERE ? sim->waiting++ : self->at);
}

static struct coroutine *take_first(struct shunt_sim *sim)
{
	SHUNT_ASSERT(sim->waiting); /* or all sleep for ever: the verdict ends such a run */
	struct coroutine *first = sim->heap[0];
	struct coroutine *last = sim->heap[--sim->waiting];
	if (last != first)
		sift_down(sim, last, 0);
	first->at = NOWHERE;
	return first;
}

/* ---- taking turns ---------------------------------------------------------------------------- */

static void note(struct shunt_sim *sim, const struct shunt_worker *worker)
{
	uint64_t x = sim->hash ^ (uint64_t)sim->time.now_ns ^ ((uint64_t)worker->env.index << 48) ^
		     (worker->ctx.current->id << 20);
	sim->hash = shunt_splitmix64(&x);
	sim->events++;
}

#ifdef SHUNT_SANITIZED
/* On whose stack the worker stands: a step runs on that of the loop. */
static struct shunt_task *standing(struct shunt_worker *worker)
{
	struct shunt_task *current = worker->ctx.current;
	return current->step ? &worker->loop : current;
}

__attribute__((no_sanitize("address", "thread"))) static void arrive(void *arg)
{
	struct coroutine *self = arg;
	shunt_sanitize_arrive_on(self->worker, standing(self->worker));
}

__attribute__((no_sanitize("address", "thread"))) static void swap(struct coroutine *self,
	struct coroutine *next)
{
	shunt_sanitize_leave(self->worker, standing(self->worker), next->worker,
		standing(next->worker), false);
	self->worker->engine->swap.swap_post(&self->sp, next->sp, (uintptr_t)next, arrive, next);
}
#else
static void swap(struct coroutine *self, struct coroutine *next)
{
	self->worker->engine->swap.swap(&self->sp, next->sp, (uintptr_t)next);
}
#endif

/* The one that is next runs, which may be self. */
static void give_way(struct coroutine *self)
{
	struct shunt_sim *sim = self->sim;
	struct coroutine *next = take_first(sim);
	if (sim->time.now_ns != next->until_ns)
		sim->time.looks = 0;
	sim->time.now_ns = next->until_ns;
	note(sim, next->worker);
	if (next == self)
		return;
	self->errno_there = errno;
	shunt_ctx_set(&next->worker->ctx);
	swap(self, next);
	errno = self->errno_there;
}

static struct coroutine *coroutine_of(const struct shunt_worker *worker)
{
	return &worker->engine->sim->of[worker->env.index];
}

/* A timer of this worker's may be due: it looks at its next switch. */
static void look_at_timers(struct shunt_worker *worker)
{
	/* Relaxed: one thread. */
	if (atomic_load_explicit(&worker->next_deadline_ns, memory_order_relaxed) <=
		worker->engine->sim->time.now_ns)
		atomic_store_explicit(&worker->limit, 0, memory_order_relaxed);
}

static void work(struct shunt_ctx *ctx, int64_t duration_ns)
{
	struct shunt_worker *worker = shunt_worker_of(ctx);
	struct coroutine *self = coroutine_of(worker);
	int64_t now_ns = self->sim->time.now_ns;
	wait_until(self, duration_ns < INT64_MAX - now_ns ? now_ns + duration_ns : INT64_MAX);
	give_way(self);
	look_at_timers(worker);
}

/* Is it between two waits, and not half-way into one, which others must not see? */
static bool stands(const struct shunt_task *task)
{
	uint64_t state = shunt_word_state(shunt_word_load(task, false));
	return state == SHUNT_TASK_FREE || state == SHUNT_TASK_RUNNABLE;
}

static void looked(struct shunt_ctx *ctx)
{
	struct shunt_worker *worker = shunt_worker_of(ctx);
	ctx->time->looks = 0;
	if (ctx->current != &worker->loop && stands(ctx->current))
		work(ctx, LOOKS_NS);
}

static void await(struct shunt_ctx *ctx)
{
	struct coroutine *self = coroutine_of(shunt_worker_of(ctx));
	SHUNT_ASSERT(self->sim->waiting);
	wait_until(self, self->sim->heap[0]->until_ns);
	give_way(self);
}

/* Will anything happen at a later time? */
static bool awaits(const struct shunt_worker *worker)
{
	/* Relaxed: one thread. */
	return worker->engine->sim->waiting ||
	       atomic_load_explicit(&worker->next_deadline_ns, memory_order_relaxed) != SHUNT_NEVER;
}

void shunt_sim_visit(struct shunt_worker *worker)
{
	struct coroutine *self = coroutine_of(worker);
	struct shunt_sim *sim = self->sim;
	/* A task that waits by giving way: its visits are looks at the clock. */
	if (awaits(worker) && ++sim->time.looks >= SHUNT_TIME_LOOKS)
		looked(&worker->ctx);
	if (!sim->waiting || sim->heap[0]->until_ns > sim->time.now_ns ||
		!stands(worker->ctx.current))
		return;
	wait_until(self, sim->time.now_ns);
	give_way(self);
}

void shunt_sim_sleep(struct shunt_worker *worker, int64_t deadline_ns)
{
	struct coroutine *self = coroutine_of(worker);
	if (!self->notified && deadline_ns > self->sim->time.now_ns) {
		self->sleeps = true;
		if (deadline_ns != SHUNT_NEVER)
			wait_until(self, deadline_ns);
		give_way(self);
		self->sleeps = false;
	}
	self->notified = false;
}

void shunt_sim_wake(struct shunt_worker *target)
{
	struct coroutine *self = coroutine_of(target);
	if (self->notified)
		return;
	self->notified = true;
	if (self->sleeps)
		wait_until(self, self->sim->time.now_ns);
}

/* ---- begin and end --------------------------------------------------------------------------- */

void shunt_sim_gate(struct shunt_worker *worker, unsigned *came)
{
	struct shunt_engine *engine = worker->engine;
	if (++*came < engine->expected)
		while (*came < engine->expected)
			shunt_sim_sleep(worker, SHUNT_NEVER);
	else
		for (unsigned i = 0; i < engine->worker_count; i++)
			if (engine->sim->of[i].sleeps)
				shunt_sim_wake(engine->workers[i]);
}

static void entry(uintptr_t value)
{
	struct coroutine *self = (struct coroutine *)value;
	struct shunt_error err;
	self->main(self->worker, &err);
	self->sim->gone++;
	give_way(self);
	shunt_panic("a worker that had ended was resumed");
}

static void drop_stacks(struct shunt_engine *engine)
{
	struct shunt_sim *sim = engine->sim;
	for (unsigned i = 1; i < sim->count; i++) {
		struct shunt_worker *worker = engine->workers[i];
		if (sim->of[i].stack)
			shunt_stack_give(&engine->stacks, &worker->stacks, sim->of[i].stack);
		sim->of[i].stack = worker->loop.stack = NULL;
	}
	shunt_stack_unreserve(&engine->stacks, sim->count - 1);
}

static int make(struct shunt_engine *engine, struct coroutine *self)
{
	struct shunt_worker *worker = self->worker;
	struct shunt_stack *stack = shunt_stack_take(&engine->stacks, &worker->stacks);
	if (!stack)
		return -errno;
	shunt_sanitize_stack(stack, engine->stacks.usable);
	self->stack = worker->loop.stack = stack;
	worker->ctx.current = &worker->loop;
	self->sp = engine->swap.make(stack->low, engine->stacks.usable, entry);
	return 0;
}

int shunt_sim_begin(struct shunt_engine *engine, shunt_sim_main_fn *main)
{
	struct shunt_sim *sim = engine->sim;
	int rc = shunt_stack_reserve(&engine->stacks, sim->count - 1);
	if (rc)
		return rc;
	sim->gone = 0;
	sim->outer = shunt_ctx_get();
	for (unsigned i = 0; i < sim->count; i++)
		sim->of[i] = (struct coroutine){.sim = sim,
			.worker = engine->workers[i],
			.main = main,
			.at = NOWHERE};
	for (unsigned i = 1; !rc && i < sim->count; i++)
		rc = make(engine, &sim->of[i]);
	if (rc) {
		drop_stacks(engine);
		return rc;
	}
	for (unsigned i = 1; i < sim->count; i++)
		wait_until(&sim->of[i], sim->time.now_ns);
	sim->begun = true;
	return 0;
}

void shunt_sim_end(struct shunt_engine *engine)
{
	struct shunt_sim *sim = engine->sim;
	if (!sim->begun)
		return;
	sim->begun = false;
	while (sim->gone < sim->count - 1) {
		wait_until(&sim->of[0], sim->time.now_ns);
		give_way(&sim->of[0]);
	}
	shunt_ctx_set(sim->outer);
	drop_stacks(engine);
}

struct shunt_time *shunt_sim_time(struct shunt_sim *sim)
{
	return &sim->time;
}

uint64_t shunt_sim_hash(const struct shunt_sim *sim)
{
	return sim->hash;
}

uint64_t shunt_sim_events(const struct shunt_sim *sim)
{
	return sim->events;
}

int shunt_sim_new(struct shunt_sim **made, unsigned worker_count)
{
	struct shunt_sim *sim = calloc(1, sizeof(*sim));
	if (!sim)
		return -ENOMEM;
	sim->time = (struct shunt_time){.now_ns = EPOCH_NS,
		.work = work,
		.looked = looked,
		.await = await};
	sim->count = worker_count;
	sim->of = calloc(worker_count, sizeof(*sim->of));
	sim->heap = calloc(worker_count, sizeof(struct coroutine *));
	if (!sim->of || !sim->heap) {
		shunt_sim_free(sim);
		return -ENOMEM;
	}
	*made = sim;
	return 0;
}

void shunt_sim_free(struct shunt_sim *sim)
{
	free(sim->heap);
	free(sim->of);
	free(sim);
}
