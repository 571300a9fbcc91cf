/* SPDX-License-Identifier: MIT */
/* If this compiles, a policy's state of STATE_BYTES fits into a worker; it must not with one too many. */
#include "core/engine/policy.h"

struct state {
	unsigned char byte[STATE_BYTES];
};

unsigned char *state_of(struct shunt_worker *worker);
unsigned char *state_of(struct shunt_worker *worker)
{
	return shunt_policy_state(worker, struct state)->byte;
}
