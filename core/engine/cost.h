/* SPDX-License-Identifier: MIT */
/*
 * What a scheduler's acts take in virtual time: a table from a file.
 *
 * Each cost is a distribution, given as quantiles and drawn from by a uniform number; between two
 * quantiles it is linear. All is integer arithmetic, so a draw is the same on every machine.
 */
#ifndef SHUNT_CORE_ENGINE_COST_H
#define SHUNT_CORE_ENGINE_COST_H

#include <stdint.h>

struct shunt_costs;
struct shunt_error;

enum shunt_cost {
	/* Those up to SHUNT_COST_READY also take the lock of a shared queue. */
	SHUNT_COST_SWITCH, /* from a task to the next, with its place in the queue */
	SHUNT_COST_STEP,   /* the same to a task without a stack */
	SHUNT_COST_SPAWN,  /* a task is made and queued */
	SHUNT_COST_READY,  /* a waiting task is claimed and queued */
	SHUNT_COST_QUEUE,  /* how long the lock of a shared queue is held */
	SHUNT_COST_STEAL,  /* a steal that took a task, on the thief's side */
	SHUNT_COST_LOOK,   /* a victim without work, with the looks at its inbox and deadline */
	SHUNT_COST_WAKE,   /* from the wake of a sleeping worker until it runs */
	SHUNT_COST_CALL,   /* that wake on the side of who makes it */
	SHUNT_COST_LATE,   /* how late a worker's sleep until a deadline ends */
	SHUNT_COSTS,
};

/* Picoseconds in a nanosecond: costs are kept in ps, because a switch takes a few ns. */
#define SHUNT_COST_PS 1000

/* Makes the table of a text; `name`, for complaints: where it stands. 0, or a negative errno with
 * the line and the remedy. */
int shunt_costs_parse(struct shunt_costs **costs, const char *name, const char *text,
	struct shunt_error *err);
/* The same of the text in the file `path`. */
int shunt_costs_read(struct shunt_costs **costs, const char *path, struct shunt_error *err);
void shunt_costs_free(struct shunt_costs *costs);

/* One cost in ps. `random`: 64 uniform bits. */
int64_t shunt_costs_draw(const struct shunt_costs *costs, enum shunt_cost cost, uint64_t random);

/* Of the file's bytes. */
uint64_t shunt_costs_hash(const struct shunt_costs *costs);
/* What its line `of` says: the machine and the composition that were measured. */
const char *shunt_costs_of(const struct shunt_costs *costs);

#endif
