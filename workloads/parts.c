/* SPDX-License-Identifier: MIT */
/*
 * parts: one part of a switch by itself (core/parts.h).
 *
 * The whole is what `yield` costs. Measured apart, the parts say what it is made of without being
 * differences of wholes, and what they leave over is left over. It does not measure what happens
 * between them: a part that waits for memory may hide behind another.
 */
#include "core/parts.h"
#include "core/sched.h"
#include "core/workload.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static const char *const part_names[] = {[SHUNT_PART_CALL] = "call",
	[SHUNT_PART_SWAP] = "swap",
	[SHUNT_PART_QUEUE] = "queue",
	[SHUNT_PART_ACCOUNT] = "account",
	[SHUNT_PART_LOOK] = "look",
	[SHUNT_PART_MASK] = "mask",
	NULL};

struct parts {
	uint64_t operations, made;
	double ns;
};

static int parts_body(struct shunt_run *run)
{
	struct parts *parts = shunt_run_state(run);
	struct shunt_error err = {""};
	struct shunt_part *part;
	int rc = shunt_part_open(&part, (enum shunt_part_kind)shunt_run_int(run, "part"),
		(unsigned)shunt_run_int(run, "sites"), &err);
	if (rc) {
		shunt_run_explain(run, "%s", err.text);
		return rc;
	}
	shunt_part_run(part, parts->operations / 100 + 1);
	shunt_measure_begin(run);
	int64_t start = shunt_now_ns();
	parts->made = shunt_part_run(part, parts->operations);
	parts->ns = (double)(shunt_now_ns() - start);
	shunt_measure_end(run);
	shunt_part_close(part);
	return 0;
}

/* A part may come in lumps: it does what was asked, and at most one lump more. */
static void parts_verify(struct shunt_run *run)
{
	const struct parts *parts = shunt_run_state(run);
	char name[32];
	int64_t over = (int64_t)(parts->made - parts->operations), lump = 1;
	switch ((enum shunt_part_kind)shunt_run_int(run, "part")) {
	case SHUNT_PART_SWAP:
		lump = 2;
		break;
	case SHUNT_PART_LOOK:
		lump = 1000000; /* the most that `interval` can be */
		break;
	default:
		break;
	}
	shunt_check_true(run, "operations", over >= 0 && over < lump);
	shunt_operations(run, parts->made);
	snprintf(name, sizeof(name), "ns_per_%s", shunt_run_text(run, "part"));
	shunt_metric(run, name, parts->ns / (double)parts->made, "ns", "lower");
}

static void parts_footprint(const struct shunt_run *run, struct shunt_footprint *footprint)
{
	(void)run;
	*footprint = (struct shunt_footprint){.tasks = 1, .bytes = 32768};
}

static int parts_setup(struct shunt_run *run, struct shunt_error *err)
{
	struct parts *parts = calloc(1, sizeof(*parts));
	shunt_run_set_state(run, parts);
	if (!parts)
		return shunt_fail(err, -ENOMEM, "no memory");
	parts->operations = (uint64_t)shunt_run_int(run, "operations");
	return 0;
}

static void parts_teardown(struct shunt_run *run)
{
	free(shunt_run_state(run));
}

static const struct shunt_param parts_params[] = {
	{"part", SHUNT_PARAM_CHOICE, "swap", 0, 0, part_names,
		"call: into the scheduler and back; swap: a bare swap; queue: one task out, one "
		"in; account: the hot path's test, errno, the running task; look: a switch's share "
		"of the regular look at timers and inbox; mask: the signal mask's system call"},
	{"operations", SHUNT_PARAM_COUNT, "1M", 1, INT64_C(1) << 40, NULL, "how often"},
	{"sites", SHUNT_PARAM_COUNT, "2", 1, 2, NULL,
		"of a swap: 1: both ways from the same place in the program"},
	{.name = NULL},
};

const struct shunt_workload shunt_workload_parts = {
	.name = "parts",
	.summary = "the parts of a switch, each by itself",
	.description = "One part of a switch, over and over: what a yield is made of, measured "
		       "without the yield around it.",
	.operation = "one part",
	.cost_metric = "ns_per_part",
	.needs = SHUNT_CAN_BLOCK | SHUNT_PARTS,
	.params = parts_params,
	.small = "part=call operations=100|part=swap operations=101 sites=1|"
		 "part=swap operations=10k|part=queue operations=100|"
		 "part=account operations=1000|part=look operations=500|part=mask operations=100",
	.footprint = parts_footprint,
	.setup = parts_setup,
	.body = parts_body,
	.verify = parts_verify,
	.teardown = parts_teardown,
};
