/* SPDX-License-Identifier: MIT */
/* Timer slack of a worker's thread: slack.c. */
#ifndef SHUNT_CORE_ENGINE_SLACK_H
#define SHUNT_CORE_ENGINE_SLACK_H

#include "core/param.h"

#include <stdint.h>

/* Sets the calling thread's timer slack; 0 leaves it alone. *before_ns is for
 * shunt_slack_restore. 0, -EOPNOTSUPP (a real-time thread), or what the kernel answers. */
int shunt_slack_set(int64_t slack_ns, int64_t *before_ns, struct shunt_error *err);

/* Puts back what the thread had. */
void shunt_slack_restore(int64_t before_ns);

#endif
