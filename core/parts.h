/* SPDX-License-Identifier: MIT */
/*
 * The parts of a switch, each by itself: what a workload may measure of the engine's inside.
 *
 * A cost taken as the difference of two whole switches explains nothing: such differences
 * add up to the whole whatever they mean. A part measured here never had the whole around it, so
 * that what the parts leave over of a whole is a finding. A processor does several things at once:
 * the parts may come to more than the whole.
 */
#ifndef SHUNT_CORE_PARTS_H
#define SHUNT_CORE_PARTS_H

#include "core/param.h"

#include <stdint.h>

enum shunt_part_kind {
	SHUNT_PART_CALL,    /* through the task API into the scheduler's hook, and back */
	SHUNT_PART_SWAP,    /* one bare swap of the composition's switch */
	SHUNT_PART_QUEUE,   /* one task taken from a plain queue and one put into it */
	SHUNT_PART_ACCOUNT, /* the test of the hot path, errno and the running task exchanged */
	SHUNT_PART_LOOK, /* a switch's share of the regular look at timers, inbox and wait slot */
	SHUNT_PART_MASK, /* the system call with which a context keeps a signal mask of its own */
};

struct shunt_part;

/**
 * Makes a part ready on the running task's scheduler.
 *
 * @sites: of a swap: 1 both ways from the same call, 2 from one call each, as tasks do.
 * Returns 0; -ENOTSUP without SHUNT_PARTS among the scheduler's capabilities (a complete backend; a
 * sanitizer build, where nobody would know of a bare swap); -ENOMEM. Context: task.
 */
int shunt_part_open(struct shunt_part **part, enum shunt_part_kind kind, unsigned sites,
	struct shunt_error *err);

/**
 * Does it `operations` times; a swap's are even, a look's are a multiple of the interval, rounded
 * up. Returns how often it was done, as the part itself counts it. Context: the task that opened
 * it, which is not switched away from.
 */
uint64_t shunt_part_run(struct shunt_part *part, uint64_t operations);

void shunt_part_close(struct shunt_part *part);

#endif
