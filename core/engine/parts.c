/* SPDX-License-Identifier: MIT */
/*
 * The parts of a switch (core/parts.h): the very code of the hot hooks, a piece at a time.
 *
 * Each loop has a barrier that makes the compiler forget what it knows of memory, because the
 * pieces meet in a program that way: behind a switch. Where a piece leaves a count behind (turns
 * handed over, switches, looks, tasks that changed), the loop tells that one.
 */
#include "core/parts.h"

#include "core/engine/policy.h"
#include "core/sched.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>

#define STACK_BYTES 16384
#define FORGET()    __asm__ volatile("" ::: "memory")

struct shunt_part {
	enum shunt_part_kind kind;
	unsigned sites;
	struct shunt_worker *worker;
	const struct shunt_switch_ops *ops;
	void *sp[2]; /* of the two sides of a swap */
	void *stack;
	struct shunt_queue queue;
	struct shunt_task task[2];
};

/* ---- call ------------------------------------------------------------------------------------ */

/* The cheapest hook there is: asking it costs what reaching any costs. */
static uint64_t run_call(uint64_t operations)
{
	uint64_t made = 0;
	for (uint64_t i = 0; i < operations; i++, made++) {
		shunt_checkpoint();
		FORGET();
	}
	return made;
}

/* ---- swap ------------------------------------------------------------------------------------ */

/*
 * Two copies of the same loop: were they one, there would be one call site. The value that a swap
 * hands over counts the turns, one by each side. Its text differs, or they would be folded.
 */
#define SIDE(NAME)                                                                                 \
	static __attribute__((noinline)) uintptr_t NAME(shunt_swap_fn *swap, void **save,          \
		void **load, uintptr_t value, uint64_t turns)                                      \
	{                                                                                          \
		for (uint64_t i = 0; i < turns; i++) {                                             \
			value = swap(save, *load, value + 1);                                      \
			__asm__ volatile("# " #NAME ::: "memory");                                 \
		}                                                                                  \
		return value;                                                                      \
	}
SIDE(first_side)
SIDE(second_side)

/* The other side goes on for ever; it is left where it stands when the part is closed. */
static void other_side(uintptr_t value)
{
	struct shunt_part *part = (struct shunt_part *)value;
	shunt_swap_fn *swap = part->ops->swap;
	value = swap(&part->sp[1], part->sp[0], 0); /* has come up; what follows is measured */
	if (part->sites == 1)
		first_side(swap, &part->sp[1], &part->sp[0], value, UINT64_MAX);
	else
		second_side(swap, &part->sp[1], &part->sp[0], value, UINT64_MAX);
	abort();
}

static int open_swap(struct shunt_part *part, struct shunt_error *err)
{
	part->stack = aligned_alloc(64, STACK_BYTES);
	if (!part->stack)
		return shunt_fail(err, -ENOMEM, "no memory for a stack");
	part->sp[1] = part->ops->make(part->stack, STACK_BYTES, other_side);
	part->ops->swap(&part->sp[0], part->sp[1], (uintptr_t)part);
	return 0;
}

static uint64_t run_swap(struct shunt_part *part, uint64_t operations)
{
	return first_side(part->ops->swap, &part->sp[0], &part->sp[1], 0, (operations + 1) / 2);
}

/* ---- queue ----------------------------------------------------------------------------------- */

/* What a yield of two tasks does to a plain queue: takes the other, puts the running one. */
static uint64_t run_queue(struct shunt_part *part, uint64_t operations)
{
	struct shunt_task *current = &part->task[0];
	uint64_t made = 0;
	shunt_queue_push(&part->queue, &part->task[1]);
	for (uint64_t i = 0; i < operations; i++) {
		struct shunt_task *next = shunt_queue_pop(&part->queue);
		shunt_queue_push(&part->queue, current);
		made += next != current;
		current = next;
		FORGET();
	}
	shunt_queue_pop(&part->queue);
	return made;
}

/* ---- account --------------------------------------------------------------------------------- */

static uint64_t run_account(struct shunt_part *part, uint64_t operations)
{
	struct shunt_worker *worker = part->worker;
	struct shunt_task *self = worker->ctx.current, *current = self;
	uint64_t before = worker->switches, due = 0, made;
	for (uint64_t i = 0; i < operations; i++) {
		struct shunt_task *next = &part->task[i & 1];
		due += shunt_due(worker);
		shunt_switch_account(worker, current, next);
		current = next;
		FORGET();
	}
	shunt_switch_account(worker, current, self);
	made = worker->switches - before;
	worker->switches = before;         /* they were none */
	__asm__ volatile("" : : "r"(due)); /* the test is made, not acted on */
	return made;
}

/* ---- look ------------------------------------------------------------------------------------ */

static uint64_t run_look(struct shunt_part *part, uint64_t operations)
{
	struct shunt_worker *worker = part->worker;
	uint64_t interval = worker->engine->interval, before = worker->slow_visits;
	for (uint64_t i = 0; i < operations; i += interval)
		shunt_service(worker);
	return (worker->slow_visits - before) * interval;
}

/* ---- mask ------------------------------------------------------------------------------------ */

/* What swapcontext does: sets the next context's mask, keeps the running one's. */
static uint64_t run_mask(uint64_t operations)
{
	sigset_t mask, kept;
	uint64_t made = 0;
	pthread_sigmask(SIG_SETMASK, NULL, &mask);
	for (uint64_t i = 0; i < operations; i++)
		made += pthread_sigmask(SIG_SETMASK, &mask, &kept) == 0;
	return made;
}

/* ---- all ------------------------------------------------------------------------------------- */

int shunt_part_open(struct shunt_part **made, enum shunt_part_kind kind, unsigned sites,
	struct shunt_error *err)
{
	struct shunt_ctx *ctx = shunt_ctx_get();
	if (!(ctx->sched->caps & SHUNT_PARTS))
		return shunt_fail(err, -ENOTSUP, "%s is not made of parts",
			ctx->sched->backend->name);
	struct shunt_part *part = aligned_alloc(64, (sizeof(*part) + 63) / 64 * 64);
	if (!part)
		return shunt_fail(err, -ENOMEM, "no memory for a part");
	*part = (struct shunt_part){.kind = kind, .sites = sites, .worker = shunt_worker_of(ctx)};
	part->ops = &part->worker->engine->swap;
	int rc = kind == SHUNT_PART_SWAP ? open_swap(part, err) : 0;
	if (rc)
		shunt_part_close(part);
	else
		*made = part;
	return rc;
}

uint64_t shunt_part_run(struct shunt_part *part, uint64_t operations)
{
	switch (part->kind) {
	case SHUNT_PART_CALL:
		return run_call(operations);
	case SHUNT_PART_SWAP:
		return run_swap(part, operations);
	case SHUNT_PART_QUEUE:
		return run_queue(part, operations);
	case SHUNT_PART_ACCOUNT:
		return run_account(part, operations);
	case SHUNT_PART_LOOK:
		return run_look(part, operations);
	case SHUNT_PART_MASK:
		return run_mask(operations);
	}
	return 0;
}

void shunt_part_close(struct shunt_part *part)
{
	free(part->stack);
	free(part);
}
