/* SPDX-License-Identifier: MIT */
/* What timer queues and wait slots ask of a task. */
#ifndef SHUNT_CORE_ENGINE_TASK_H
#define SHUNT_CORE_ENGINE_TASK_H

#include "core/backend.h"
#include "core/engine/slots.h"

/* Is an entry's task still in the wait it was armed for? Any thread; "yes" may be out of date when
 * the caller reads it, "no" is for ever. */
static inline bool shunt_timer_is_live(const struct shunt_timer *timer)
{
	uint64_t word = shunt_word_load(timer->task, true);
	uint64_t state = shunt_word_state(word);
	return (word & SHUNT_WORD_TICKET) == timer->ticket && state >= SHUNT_TASK_PARKING &&
	       state <= SHUNT_TASK_BLOCKED;
}

#endif
