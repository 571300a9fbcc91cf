/* SPDX-License-Identifier: MIT */
/* Has a run ended, or can nothing ever go on? verdict.c. */
#ifndef SHUNT_CORE_ENGINE_VERDICT_H
#define SHUNT_CORE_ENGINE_VERDICT_H

#include "core/engine/worker.h"

enum shunt_verdict { SHUNT_VERDICT_GO_ON, SHUNT_VERDICT_FINISHED, SHUNT_VERDICT_DEADLOCK };

/* Does every worker sleep or nap, with nothing to come? Context: idle_lock held, a full fence after
 * the caller said that it is idle. */
bool shunt_verdict_all_quiet(struct shunt_engine *engine);

/* Made by a worker that has announced itself and found nothing to do. */
enum shunt_verdict shunt_verdict_judge(struct shunt_worker *worker, int64_t *live);

/* Ends the run with the names of the tasks that are left, and what each waits for. */
void shunt_verdict_fail_deadlock(struct shunt_engine *engine, int64_t live);

#endif
