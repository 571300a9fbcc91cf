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
 * the nanosecond.
 *
 * With a cost table (cost.h) the engine's probes charge for its acts: the worker owes their time,
 * and pays at its next switch, work or sleep. Others see an act when it begins, not when it is
 * paid. The lock of a shared queue is a server: who comes while it is held waits its turn. What is
 * not modelled: caches, memory, frequency.
 *
 * The order depends on nothing but the program and the seed. `hash` folds each event in: the time,
 * the worker, and the task that it runs.
 */
#include "core/engine/sim.h"

#include "core/engine/sanitize.h"
#include "core/engine/sim_heap.h"

#include <errno.h>
#include <stdlib.h>

/* Any but 0, which stands for "never" in places. */
#define EPOCH_NS 1000000000
/* What SHUNT_TIME_LOOKS looks at one time take: a program that waits by looking gets on, and one
 * that looks now and then pays nothing. */
#define LOOKS_NS 1000

struct coroutine {
	struct shunt_sim_seat seat; /* first */
	struct shunt_sim *sim;
	struct shunt_worker *worker;
	void *sp;                  /* while others run */
	struct shunt_stack *stack; /* of its loop; NULL: the thread's own */
	shunt_sim_main_fn *main;
	int64_t owed_ps;   /* for acts that were charged */
	int64_t asleep_ns; /* when its sleep has really begun */
	uint64_t random[SHUNT_COSTS];
	int errno_there;
	bool sleeps, notified;
};

struct shunt_sim {
	struct shunt_time time; /* first */
	struct coroutine *of;   /* by worker index */
	struct shunt_sim_heap heap;
	unsigned count, gone;
	struct shunt_ctx *outer; /* of the thread, before it was worker 0 */
	bool begun;
	uint64_t hash, events;
	struct shunt_costs *costs; /* NULL: nothing costs */
	int64_t queue_free_ns;     /* when the shared queue's lock is free again */
};

/* ---- taking turns ---------------------------------------------------------------------------- */

static void wait_until(struct coroutine *self, int64_t until_ns)
{
	shunt_sim_heap_add(&self->sim->heap, &self->seat, until_ns);
}

/* When the next one runs; SHUNT_NEVER: all sleep. */
static int64_t next_ns(const struct shunt_sim *sim)
{
	return sim->heap.count ? sim->heap.seat[0]->until_ns : SHUNT_NEVER;
}

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
	SHUNT_ASSERT(sim->heap.count); /* or all sleep for ever: the verdict ends such a run */
	struct coroutine *next = (struct coroutine *)shunt_sim_heap_take(&sim->heap);
	if (sim->time.now_ns != next->seat.until_ns)
		sim->time.looks = 0;
	sim->time.now_ns = next->seat.until_ns;
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

/* ---- what acts cost -------------------------------------------------------------------------- */

static int64_t draw_ps(struct coroutine *self, enum shunt_cost cost)
{
	return shunt_costs_draw(self->sim->costs, cost, shunt_splitmix64(&self->random[cost]));
}

static int64_t draw_ns(struct coroutine *self, enum shunt_cost cost)
{
	return self->sim->costs ? draw_ps(self, cost) / SHUNT_COST_PS : 0;
}

/* What it owes in whole nanoseconds; the rest stays. */
static int64_t settle(struct coroutine *self)
{
	int64_t owed_ns = self->owed_ps / SHUNT_COST_PS;
	self->owed_ps -= owed_ns * SHUNT_COST_PS;
	return owed_ns;
}

/* The lock is taken when it is free, by those that want it in the order of their acts. */
static void queue_up(struct coroutine *self)
{
	struct shunt_sim *sim = self->sim;
	int64_t there_ns = sim->time.now_ns + self->owed_ps / SHUNT_COST_PS;
	if (sim->queue_free_ns > there_ns)
		self->owed_ps += (sim->queue_free_ns - there_ns) * SHUNT_COST_PS;
	self->owed_ps += draw_ps(self, SHUNT_COST_QUEUE);
	sim->queue_free_ns = sim->time.now_ns + self->owed_ps / SHUNT_COST_PS;
}

bool shunt_sim_charges(const struct shunt_sim *sim)
{
	return sim->costs;
}

void shunt_sim_charge(struct shunt_worker *worker, enum shunt_cost cost)
{
	const struct shunt_sim *sim = worker->engine->sim;
	struct coroutine *self = coroutine_of(worker);
	if (!sim->costs || !sim->begun) /* the root is made before anybody runs */
		return;
	self->owed_ps += draw_ps(self, cost);
	if (cost <= SHUNT_COST_READY && worker->engine->policy->shared)
		queue_up(self);
	if (self->owed_ps >= SHUNT_COST_PS)
		/* Relaxed: our own; it pays at its next switch. */
		atomic_store_explicit(&worker->limit, 0, memory_order_relaxed);
}

/* ---- what takes time ------------------------------------------------------------------------- */

static void work(struct shunt_ctx *ctx, int64_t duration_ns)
{
	struct shunt_worker *worker = shunt_worker_of(ctx);
	struct coroutine *self = coroutine_of(worker);
	int64_t now_ns = self->sim->time.now_ns + settle(self);
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
	SHUNT_ASSERT(self->sim->heap.count);
	wait_until(self, next_ns(self->sim));
	give_way(self);
}

/* Will anything happen at a later time? */
static bool awaits(const struct shunt_worker *worker)
{
	/* Relaxed: one thread. */
	return worker->engine->sim->heap.count ||
	       atomic_load_explicit(&worker->next_deadline_ns, memory_order_relaxed) != SHUNT_NEVER;
}

void shunt_sim_visit(struct shunt_worker *worker)
{
	struct coroutine *self = coroutine_of(worker);
	struct shunt_sim *sim = self->sim;
	/* A task that waits by giving way: its visits are looks at the clock. */
	if (awaits(worker) && ++sim->time.looks >= SHUNT_TIME_LOOKS)
		looked(&worker->ctx);
	if (sim->count > 1 && !stands(worker->ctx.current))
		return; /* a waker would wait for it with a lock taken; life.c comes by again */
	int64_t until_ns = sim->time.now_ns + settle(self);
	if (until_ns == sim->time.now_ns && next_ns(sim) > until_ns)
		return;
	wait_until(self, until_ns);
	give_way(self);
}

/* Ends its sleep at that time, if nothing ends it before. */
static void rise_at(struct coroutine *self, int64_t until_ns)
{
	if (until_ns < self->asleep_ns)
		until_ns = self->asleep_ns;
	if (self->seat.at == SHUNT_SIM_NOWHERE || until_ns < self->seat.until_ns)
		wait_until(self, until_ns);
}

void shunt_sim_sleep(struct shunt_worker *worker, int64_t deadline_ns)
{
	struct coroutine *self = coroutine_of(worker);
	if (!self->notified && deadline_ns > self->sim->time.now_ns) {
		self->asleep_ns = self->sim->time.now_ns + settle(self);
		self->sleeps = true;
		if (deadline_ns != SHUNT_NEVER)
			rise_at(self, deadline_ns + draw_ns(self, SHUNT_COST_LATE));
		give_way(self);
		self->sleeps = false;
	}
	self->notified = false;
}

void shunt_sim_wake(struct shunt_worker *target, struct shunt_worker *from)
{
	struct coroutine *self = coroutine_of(target);
	if (self->notified)
		return;
	self->notified = true;
	if (!self->sleeps)
		return;
	if (from)
		shunt_sim_charge(from, SHUNT_COST_CALL);
	rise_at(self, self->sim->time.now_ns + draw_ns(self, SHUNT_COST_WAKE));
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
				shunt_sim_wake(engine->workers[i], NULL);
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
	uint64_t seed = engine->seed;
	for (unsigned i = 0; i < sim->count; i++) {
		sim->of[i] = (struct coroutine){.seat.at = SHUNT_SIM_NOWHERE,
			.sim = sim,
			.worker = engine->workers[i],
			.main = main};
		for (unsigned cost = 0; cost < SHUNT_COSTS; cost++)
			sim->of[i].random[cost] = shunt_splitmix64(&seed);
	}
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
		wait_until(&sim->of[0], next_ns(sim));
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

const struct shunt_costs *shunt_sim_costs(const struct shunt_sim *sim)
{
	return sim->costs;
}

int shunt_sim_new(struct shunt_sim **made, unsigned worker_count, struct shunt_costs *costs)
{
	struct shunt_sim *sim = calloc(1, sizeof(*sim));
	if (!sim)
		return -ENOMEM;
	sim->time = (struct shunt_time){.now_ns = EPOCH_NS,
		.work = work,
		.looked = looked,
		.await = await};
	sim->costs = costs;
	sim->count = worker_count;
	sim->of = calloc(worker_count, sizeof(*sim->of));
	sim->heap.seat = calloc(worker_count, sizeof(struct shunt_sim_seat *));
	if (!sim->of || !sim->heap.seat) {
		sim->costs = NULL;
		shunt_sim_free(sim);
		return -ENOMEM;
	}
	*made = sim;
	return 0;
}

void shunt_sim_free(struct shunt_sim *sim)
{
	shunt_costs_free(sim->costs);
	free(sim->heap.seat);
	free(sim->of);
	free(sim);
}
