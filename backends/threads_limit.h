/* SPDX-License-Identifier: MIT */
/* How many threads this machine gives a process now: the task_limit of `threads`. */
#ifndef SHUNT_BACKENDS_THREADS_LIMIT_H
#define SHUNT_BACKENDS_THREADS_LIMIT_H

#include "core/backend.h"

/* As task_limit in core/backend.h. */
uint64_t shunt_threads_task_limit(const struct shunt_sched *sched, struct shunt_error *reason);

#endif
