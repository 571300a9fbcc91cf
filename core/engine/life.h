/* SPDX-License-Identifier: MIT */
/* A task's first and last code: life.c. */
#ifndef SHUNT_CORE_ENGINE_LIFE_H
#define SHUNT_CORE_ENGINE_LIFE_H

#include "core/engine/worker.h"

/* First code of every fresh stack. */
void shunt_life_entry(uintptr_t value) __attribute__((noreturn));

/* Runs after the registers of a task that blocks are saved (many workers). */
shunt_post_fn shunt_life_commit;
/* The same with probes: in virtual time the worker then pays for the way here (sim.h). */
shunt_post_fn shunt_life_commit_and_pay;

#endif
