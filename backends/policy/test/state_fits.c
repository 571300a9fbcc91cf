/* SPDX-License-Identifier: MIT */
/* If this compiles, a policy's STATE_BYTES fit into a worker and its TASK_BYTES into a task; it
 * must not with one too many of either. */
#include "core/engine/policy.h"

struct state {
	unsigned char byte[STATE_BYTES];
};

struct part {
	unsigned char byte[TASK_BYTES];
};

unsigned char *state_of(struct shunt_worker *worker);
unsigned char *state_of(struct shunt_worker *worker)
{
	return shunt_policy_state(worker, struct state)->byte;
}

void count(struct shunt_task *task);
void count(struct shunt_task *task)
{
	struct part part = shunt_policy_task(task, struct part);
	part.byte[0]++;
	shunt_policy_set_task(task, part);
}
