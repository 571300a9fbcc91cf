/* SPDX-License-Identifier: MIT */
/*
 * The engine's lifecycle: open resolves a composition into mechanisms, run starts the workers and
 * waits for the last task, close gives everything back.
 */
#include "core/engine/engine.h"

#include "core/engine/barrier.h"
#include "core/engine/compose.h"
#include "core/engine/halt.h"
#include "core/engine/hooks.h"
#include "core/engine/io.h"
#include "core/engine/io_event.h"
#include "core/engine/life.h"
#include "core/engine/loop.h"
#include "core/engine/preempt.h"
#include "core/engine/probe.h"
#include "core/engine/sim.h"
#include "core/engine/task_pool.h"
#include "core/engine/ticker.h"
#include "core/engine/ticks.h"
#include "core/engine/timer.h"
#include "core/measure/trace.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WORKERS_MOST 1024

/* ---- open ------------------------------------------------------------------------------------ */

/* "all" is 0: as many as the placement offers. */
static int parse_workers(const char *text, unsigned *count, struct shunt_error *err)
{
	char *end;
	if (!strcmp(text, "all")) {
		*count = 0;
		return 0;
	}
	errno = 0;
	unsigned long value = strtoul(text, &end, 10);
	if (*end || end == text || *text == '-' || *text == '+')
		return shunt_fail(err, -EINVAL, "workers=%s: expected a count, or all", text);
	if (errno || value < 1 || value > WORKERS_MOST)
		return shunt_fail(err, -ERANGE, "workers=%s: must be from 1 to %d, or all", text,
			WORKERS_MOST);
	*count = (unsigned)value;
	return 0;
}

static int probe_slots(const struct shunt_engine *engine, struct shunt_error *err)
{
	int rc = engine->switch_slot->probe ? engine->switch_slot->probe(err) : 0;
	if (!rc && engine->wait_slot->probe)
		rc = engine->wait_slot->probe(err);
	if (!rc && engine->place_slot->probe)
		rc = engine->place_slot->probe(err);
	return rc ? rc : shunt_engine_io_check(engine, err);
}

/* fence=auto: what the kernel can. */
static int choose_fence(struct shunt_engine *engine, struct shunt_error *err)
{
	const char *fence = shunt_value_text(&engine->own, "fence");
	int rc = strcmp(fence, "full") ? shunt_barrier_register() : 0;
	engine->fenced = rc || !strcmp(fence, "full");
	if (rc && !strcmp(fence, "asymmetric"))
		return shunt_fail(err, rc,
			"fence=asymmetric: the kernel refuses membarrier (%s); use fence=full",
			strerror(-rc));
	return 0;
}

static int open_stacks(struct shunt_engine *engine, unsigned workers, struct shunt_error *err)
{
	const struct shunt_values *own = &engine->own;
	int rc = shunt_stack_pool_init(&engine->stacks, (size_t)shunt_value_int(own, "stack.size"),
		shunt_value_text(own, "stack.guard"), workers, err);
	engine->stacks_open = !rc;
	return rc;
}

/* All workers on one thread, which none may bind, and where a search takes no time and so never
 * ends. */
static int make_virtual(struct shunt_engine *engine, struct shunt_error *err)
{
	static const char *const none[] = {"tick", "search", "wait.spin"};
	struct shunt_values *own = &engine->own;
	if (engine->place_slot->binding)
		return shunt_fail(err, -EINVAL,
			"wait=%s with place=%s: its workers are no threads that could be bound; "
			"leave place out, or say place=none",
			engine->wait_slot->name, engine->place_slot->name);
	for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
		if (shunt_value(own, none[i])->given && shunt_value_int(own, none[i]))
			return shunt_fail(err, -EINVAL,
				"wait=%s with %s: an idle worker does not look around in virtual "
				"time; leave %s out, or say %s=0",
				engine->wait_slot->name, none[i], none[i], none[i]);
		int rc = shunt_values_set(own, "engine", none[i], "0", err);
		if (rc)
			return rc;
	}
	return 0;
}

static int open_slots(struct shunt_engine *engine, struct shunt_error *err)
{
	unsigned count;
	int rc = engine->wait_slot->virtual_time ? make_virtual(engine, err) : 0;
	if (rc)
		return rc;
	rc = parse_workers(shunt_value_text(&engine->own, "workers"), &count, err);
	if (!rc)
		rc = probe_slots(engine, err);
	if (!rc)
		rc = choose_fence(engine, err);
	if (!rc)
		rc = engine->switch_slot->resolve(&engine->switch_values, &engine->swap, err);
	if (!rc)
		rc = engine->place_slot->open(&engine->place, &engine->place_values, &count,
			&engine->oversubscribed, err);
	if (rc)
		return rc;
	engine->worker_count = engine->sched.worker_count = count;
	const char *mt = shunt_value_text(&engine->own, "mt");
	if (engine->wait_slot->virtual_time)
		engine->oversubscribed = false;
	if (count > 1 && !strcmp(mt, "0"))
		return shunt_fail(err, -EINVAL, "mt=0 with workers=%u: several workers need mt=1",
			count);
	engine->sched.many = count > 1 || !strcmp(mt, "1");
	struct shunt_wait_config wait = {.values = &engine->wait_values,
		.worker_count = count,
		.fired = shunt_timer_fired,
		.event = shunt_engine_io_event};
	if (engine->wait_slot->open)
		rc = engine->wait_slot->open(&engine->wait, &wait, err);
	if (rc)
		return rc;
	if (engine->wait_slot->virtual_time)
		engine->sim = engine->wait;
	else
		engine->slack_ns = shunt_value_int(&engine->own, "wait.slack");
	if (engine->policy->open)
		rc = engine->policy->open(&engine->policy_shared, &engine->policy_values, count);
	if (rc)
		return shunt_fail(err, rc, "policy '%s' could not be opened: %s",
			engine->policy->name, strerror(-rc));
	rc = shunt_engine_io_open(engine);
	return rc ? shunt_fail(err, rc, "io=%s could not be opened: %s", engine->io_slot->name,
			    strerror(-rc))
		  : open_stacks(engine, count, err);
}

static int worker_new(struct shunt_engine *engine, unsigned index)
{
	struct shunt_worker *worker =
		aligned_alloc(SHUNT_APART, (sizeof(*worker) + SHUNT_APART - 1) & -SHUNT_APART);
	if (!worker)
		return -ENOMEM;
	memset(worker, 0, sizeof(*worker));
	engine->workers[index] = worker;
	worker->engine = engine;
	worker->swap = (shunt_status_swap_fn *)(void (*)(void))engine->swap.swap;
	worker->swap_post = (shunt_status_swap_post_fn *)(void (*)(void))engine->swap.swap_post;
	worker->policy_shared = engine->policy_shared;
	worker->env.others_may_take = engine->worker_count > 1 &&
				      (engine->policy->steals || engine->policy->shared);
	worker->keeps_ready = engine->policy->steals || engine->policy->shared;
	worker->env.fenced = engine->worker_count > 1 && engine->fenced;
	worker->credits_most = shunt_task_pool_credits_most(engine);
	worker->next_deadline_ns = worker->watch_ns = SHUNT_NEVER;
	worker->fired_tail = &worker->fired;
	worker->env.index = index;
	worker->env.worker_count = engine->worker_count;
	worker->env.workers = engine->workers;
	uint64_t seed = engine->seed + index;
	shunt_rng_init(&worker->env.rng, shunt_splitmix64(&seed));
	worker->ctx = (struct shunt_ctx){.hooks = engine->hooks,
		.sched = &engine->sched,
		.many = engine->sched.many,
		.index = index,
		.time = engine->sim ? shunt_sim_time(engine->sim) : NULL,
		.preempt = SHUNT_PREEMPT_UNMARKED};
	if (engine->sched.many && !worker->env.fenced)
		worker->ctx.host = (index + 1) * SHUNT_JOINER_HOST_ONE;
	worker->loop.sched = worker->dying.sched = &engine->sched;
	worker->visits = calloc(engine->worker_count, sizeof(*worker->visits));
	int rc = worker->visits ? 0 : -ENOMEM;
	if (!rc && engine->timers_slot)
		rc = engine->timers_slot->open(&worker->timers);
	if (!rc && engine->policy->worker_init)
		rc = engine->policy->worker_init(worker, &engine->policy_values);
	return rc;
}

static unsigned resolved_caps(const struct shunt_engine *engine)
{
	unsigned caps = SHUNT_CAN_BLOCK | SHUNT_TIMED | SHUNT_EXTERNAL_WAKE | SHUNT_DEADLOCK |
			SHUNT_STEPS;
#ifndef SHUNT_SANITIZED
	caps |= SHUNT_PARTS;
#endif
	if (!engine->sched.many)
		caps |= SHUNT_DIRECT_TRANSFER;
	if (engine->io_slot)
		caps |= engine->io_slot->files_only ? SHUNT_CAN_FILES
						    : SHUNT_CAN_FILES | SHUNT_CAN_IO;
	if (engine->preempt == SHUNT_PREEMPT_SIGNAL)
		caps |= SHUNT_PREEMPTS;
	if (engine->preempt == SHUNT_PREEMPT_COMPILER)
		caps |= SHUNT_AT_EDGES;
	if (engine->preempt != SHUNT_PREEMPT_NONE &&
		(engine->quantum_ns || engine->policy->quantum))
		caps |= SHUNT_QUANTA;
	if (engine->policy->fifo && !engine->quantum_ns)
		caps |= SHUNT_FIFO;
	bool stay = !engine->policy->steals && !engine->policy->shared;
	/* Whoever decides by how long tasks ran decides otherwise on another day. */
	if (engine->worker_count == 1)
		caps |= SHUNT_PINS |
			(engine->quantum_ns || engine->policy->needs_time ? 0
									  : SHUNT_DETERMINISTIC);
	else
		caps |= SHUNT_PARALLEL | (stay ? SHUNT_PINS : SHUNT_MIGRATES);
	if (engine->sim) {
		caps &= ~(unsigned)(SHUNT_EXTERNAL_WAKE | SHUNT_PARTS);
		caps |= SHUNT_VIRTUAL_TIME | SHUNT_DETERMINISTIC;
	}
	return caps;
}

static void adopt_config(struct shunt_engine *engine, const struct shunt_config *config)
{
	engine->seed = config->seed;
	engine->trace = config->trace;
	engine->sched_delay = config->sched_delay;
	engine->sched_delay_every = config->sched_delay_every ? config->sched_delay_every : 1;
	engine->quanta = config->quanta;
	engine->probing = engine->trace || engine->sched_delay ||
			  (engine->sim && shunt_sim_charges(engine->sim));
	if (engine->trace && (engine->policy->steals || engine->policy->shared))
		shunt_trace_share(engine->trace);
	engine->tick_ns = shunt_value_int(&engine->own, "tick");
	engine->spin_ns = shunt_value_int(&engine->own, "wait.spin");
	engine->search_ns = shunt_value_int(&engine->own, "search");
	engine->nap_most_ns = shunt_value_int(&engine->own, "nap");
	engine->interval = (unsigned)shunt_value_int(&engine->own, "interval");
	engine->dispatch = shunt_value_text(&engine->own, "dispatch");
	engine->quantum_ns = shunt_value_int(&engine->own, "quantum");
	engine->stamped = engine->quantum_ns || engine->policy->needs_time ||
			  engine->policy->quantum;
	if (engine->inner)
		engine->dispatch = "vtable";
	if (engine->sim)
		engine->clock = (struct shunt_clock){.source = SHUNT_CLOCK_TOLD,
			.told = &shunt_sim_time(engine->sim)->now_ns};
	else if (engine->stamped)
		shunt_clock_init(&engine->clock, true, 0);
	if (engine->sim && engine->trace)
		shunt_trace_clock(engine->trace, &engine->clock);
	engine->hooks = shunt_hooks_choose(engine->policy, !strcmp(engine->dispatch, "inline"),
		engine->sched.many, engine->probing, engine->stamped);
	engine->sched.caps = resolved_caps(engine);
	engine->entry = shunt_life_entry;
}

/* Numbers begin with the root's 0 in every run; tasks spawned from outside before it come after. */
static void reset_ids(struct shunt_engine *engine)
{
	pthread_mutex_lock(&engine->lock);
	engine->next_id = 1;
	pthread_mutex_unlock(&engine->lock);
	for (unsigned i = 0; i < engine->worker_count; i++)
		engine->workers[i]->ids_left = 0;
}

int shunt_engine_open(struct shunt_sched **sched, const struct shunt_backend *backend,
	const struct shunt_config *config, struct shunt_error *err)
{
	struct shunt_engine *engine = calloc(1, sizeof(*engine));
	if (!engine)
		return shunt_fail(err, -ENOMEM, "out of memory for the scheduler");
	engine->sched.backend = backend;
	pthread_mutex_init(&engine->lock, NULL);
	pthread_mutex_init(&engine->idle_lock, NULL);
	pthread_cond_init(&engine->gate, NULL);
	int rc = shunt_compose(engine, backend, config, err);
	if (!rc)
		rc = open_slots(engine, err);
	if (!rc)
		rc = shunt_preempt_open(engine, err);
	if (!rc) {
		adopt_config(engine, config);
		engine->workers = calloc(engine->worker_count, sizeof(*engine->workers));
		rc = engine->workers ? 0 : -ENOMEM;
		for (unsigned i = 0; !rc && i < engine->worker_count; i++)
			rc = worker_new(engine, i);
		if (rc)
			shunt_fail(err, rc, "out of memory for %u workers", engine->worker_count);
	}
	if (rc) {
		shunt_engine_close(&engine->sched);
		return rc;
	}
	reset_ids(engine);
	*sched = &engine->sched;
	return 0;
}

/* ---- run ------------------------------------------------------------------------------------- */

static void *thread_main(void *arg)
{
	const struct shunt_worker *worker = arg;
	struct shunt_error err;
	char name[16];
	snprintf(name, sizeof(name), "worker%u", worker->env.index);
	pthread_setname_np(pthread_self(), name);
	shunt_loop_main(arg, &err);
	return NULL;
}

/* Fewer workers than planned will come to the gates. */
static void expect(struct shunt_engine *engine, unsigned workers)
{
	pthread_mutex_lock(&engine->idle_lock);
	engine->expected = workers;
	pthread_cond_broadcast(&engine->gate);
	pthread_mutex_unlock(&engine->idle_lock);
}

/* Starts workers 1…; returns how many workers run, with the caller. */
static unsigned start_threads(struct shunt_engine *engine)
{
	expect(engine, engine->worker_count);
	if (engine->sim) {
		int rc = shunt_sim_begin(engine, shunt_loop_main);
		if (rc)
			shunt_halt_fail(engine, rc,
				"out of memory for the stacks of %u simulated workers: use fewer "
				"workers, or a smaller stack.size",
				engine->worker_count);
		return rc ? 0 : engine->worker_count;
	}
	for (unsigned i = 1; i < engine->worker_count; i++) {
		int rc = pthread_create(&engine->workers[i]->thread, NULL, thread_main,
			engine->workers[i]);
		if (rc) {
			shunt_halt_fail(engine, -rc,
				"the kernel refused worker thread %u of %u (%s): "
				"use fewer workers, or raise the limit on processes (ulimit -u)",
				i + 1, engine->worker_count, strerror(rc));
			expect(engine, i);
			return i;
		}
	}
	return engine->worker_count;
}

static void reset_for_run(struct shunt_engine *engine, struct shunt_error *err)
{
	pthread_mutex_lock(
		&engine->idle_lock); /* a thread outside may ask whether a run has failed */
	engine->run_error = 0;
	engine->run_err = err;
	engine->idle_list = NULL;
	engine->idle_workers = 0;
	engine->idle_count = 0;
	engine->stopping = 0;
	engine->started = engine->finished = 0;
	pthread_mutex_unlock(&engine->idle_lock);
	shunt_engine_io_reset(engine);
	for (unsigned i = 0; i < engine->worker_count; i++) {
		engine->workers[i]->limit = 0;
		engine->workers[i]->idle = 0;
	}
}

/* Spawned before any worker runs, as by worker 0. */
static int spawn_root(struct shunt_engine *engine, struct shunt_root *root)
{
	struct shunt_worker *first = engine->workers[0];
	if (engine->trace && !first->trace)
		first->trace = shunt_trace_ring(engine->trace, 0);
	shunt_probe_worker(first, true);
	struct shunt_ctx *outer = shunt_ctx_set(&first->ctx);
	first->next_id = 0;
	first->ids_left = 1;
	first->ctx.current = &first->loop;
	int rc = engine->hooks->spawn(&first->ctx, NULL, shunt_root_main, root, &shunt_root_attr);
	shunt_ctx_set(outer);
	shunt_probe_worker(first, false);
	return rc;
}

int shunt_engine_run(struct shunt_sched *sched, shunt_task_fn *fn, void *arg, void **result,
	struct shunt_error *err)
{
	struct shunt_engine *engine = shunt_engine_of(sched);
	if (engine->broken)
		return shunt_fail(err, -EBUSY, "an earlier run of this scheduler failed");
	struct shunt_root root = {fn, arg, NULL};
	reset_for_run(engine, err);
	int rc = engine->tick_ns ? shunt_ticker_start(engine) : 0;
	if (rc)
		shunt_halt_fail(engine, rc,
			"the kernel refused the ticker's thread or timer (%s); use tick=0",
			strerror(-rc));
	if (!rc && (rc = shunt_preempt_start(engine)))
		shunt_halt_fail(engine, rc,
			"the kernel refused the thread or the handler that preempt (%s); use "
			"preempt=checkpoint",
			strerror(-rc));
	unsigned started = 1;
	if (!rc && (rc = spawn_root(engine, &root)))
		shunt_halt_fail(engine, rc, "the root task could not be spawned: %s",
			strerror(-rc));
	if (!rc) {
		started = start_threads(engine);
		struct shunt_error start_error;
		if (started)
			shunt_loop_main(engine->workers[0], &start_error);
	}
	if (engine->sim)
		shunt_sim_end(engine);
	for (unsigned i = 1; !engine->sim && i < started; i++)
		pthread_join(engine->workers[i]->thread, NULL);
	shunt_ticks_stop(engine);
	shunt_ticker_stop(engine);
	reset_ids(engine);
	engine->broken = engine->run_error != 0;
	if (!engine->run_error && result)
		*result = root.result;
	return engine->run_error;
}

/* ---- close ----------------------------------------------------------------------------------- */

static void worker_free(struct shunt_engine *engine, struct shunt_worker *worker)
{
	if (!worker)
		return;
	if (engine->policy->worker_fini)
		engine->policy->worker_fini(worker);
	if (worker->timers)
		engine->timers_slot->close(worker->timers);
	free(worker->visits);
	free(worker);
}

void shunt_engine_close(struct shunt_sched *sched)
{
	struct shunt_engine *engine = shunt_engine_of(sched);
	for (unsigned i = 0; engine->workers && i < engine->worker_count; i++)
		worker_free(engine, engine->workers[i]);
	free(engine->workers);
	shunt_engine_io_close(engine);
	if (engine->stacks_open)
		shunt_stack_pool_fini(&engine->stacks);
	if (engine->policy_shared)
		engine->policy->close(engine->policy_shared);
	if (engine->wait)
		engine->wait_slot->close(engine->wait);
	if (engine->place)
		engine->place_slot->close(engine->place);
	shunt_task_pool_fini(engine);
	shunt_compose_fini(engine);
	pthread_mutex_destroy(&engine->lock);
	pthread_mutex_destroy(&engine->idle_lock);
	pthread_cond_destroy(&engine->gate);
	free(engine);
}
