/* SPDX-License-Identifier: MIT */
/*
 * virtual: no worker really waits. All of them take turns on one thread, in virtual time: a sleep
 * takes none of the machine's, and work (shunt_work_ns) is a number.
 *
 * With it the engine's own policies, queues and timers run on as many workers as one likes, and the
 * same seed gives the same run to the nanosecond. The simulator is the engine's
 * (core/engine/sim.c).
 */
#include "core/engine/sim.h"
#include "core/engine/slots.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const struct shunt_param virtual_params[] = {
	{.name = "cost",
		.type = SHUNT_PARAM_TEXT,
		.fallback = "zero",
		.help = "what the scheduler's own acts take: zero; reference: what was measured "
			"for experiments/reference.costs; or a file that `lab calibrate` wrote"},
	{.name = NULL},
};

static const char reference[] =
#include "backends/wait/reference_costs.inc"
	;

/* NULL: nothing takes time. */
static int read_costs(struct shunt_costs **costs, const char *name, struct shunt_error *err)
{
	*costs = NULL;
	if (!strcmp(name, "zero"))
		return 0;
	return strcmp(name, "reference") ? shunt_costs_read(costs, name, err)
					 : shunt_costs_parse(costs, name, reference, err);
}

static int virtual_open(void **wait, const struct shunt_wait_config *config,
	struct shunt_error *err)
{
	struct shunt_costs *costs;
	struct shunt_sim *sim;
	int rc = read_costs(&costs, shunt_value_text(config->values, "cost"), err);
	if (rc)
		return rc;
	rc = shunt_sim_new(&sim, config->worker_count, costs);
	if (rc) {
		shunt_costs_free(costs);
		return shunt_fail(err, rc, "out of memory for %u simulated workers",
			config->worker_count);
	}
	*wait = sim;
	return 0;
}

static void virtual_close(void *wait)
{
	shunt_sim_free(wait);
}

static int virtual_start(void *wait, unsigned worker_index, void *worker, void **slot,
	struct shunt_error *err)
{
	(void)wait, (void)worker_index, (void)err;
	*slot = worker;
	return 0;
}

static void virtual_stop(void *slot)
{
	(void)slot;
}

static int virtual_commit(void *slot, int64_t deadline_ns)
{
	shunt_sim_sleep(slot, deadline_ns);
	return 0;
}

static void virtual_wake(void *target, void *from)
{
	shunt_sim_wake(target, from);
}

static uint64_t virtual_syscalls(const void *slot)
{
	(void)slot;
	return 0;
}

static void virtual_facts(const void *wait, shunt_fact_fn *fact, void *sink)
{
	const struct shunt_sim *sim = wait;
	char text[32];
	fact(sink, "time", "virtual", "engine");
	const struct shunt_costs *costs = shunt_sim_costs(sim);
	fact(sink, "sim.cost", costs ? shunt_costs_of(costs) : "zero", "engine");
	if (costs) {
		snprintf(text, sizeof(text), "%016" PRIx64, shunt_costs_hash(costs));
		fact(sink, "sim.cost_hash", text, "engine");
	}
	snprintf(text, sizeof(text), "%" PRIu64, shunt_sim_events(sim));
	fact(sink, "sim.events", text, "engine");
	snprintf(text, sizeof(text), "%016" PRIx64, shunt_sim_hash(sim));
	fact(sink, "sim.hash", text, "engine");
}

const struct shunt_wait shunt_wait_virtual = {
	.name = "virtual",
	.summary = "virtual time: all workers take turns on one thread, and no wait takes long",
	.params = virtual_params,
	.open = virtual_open,
	.close = virtual_close,
	.start = virtual_start,
	.stop = virtual_stop,
	.commit = virtual_commit,
	.wake = virtual_wake,
	.facts = virtual_facts,
	.syscalls = virtual_syscalls,
	.virtual_time = true,
};
