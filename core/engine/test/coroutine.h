/* SPDX-License-Identifier: MIT */
/* What coroutine.cc needs of C: coroutine_run.c. */
#ifndef SHUNT_ENGINE_TEST_COROUTINE_H
#define SHUNT_ENGINE_TEST_COROUTINE_H

#ifdef __cplusplus
extern "C" {
#endif

#include "core/step.h"

/* Runs root on several compositions; each time its result must point to `expected`. A program's
 * status. */
int coroutine_test(shunt_task_fn *root, long expected);

#ifdef __cplusplus
}
#endif

#endif
