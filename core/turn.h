/* SPDX-License-Identifier: MIT */
/* How a wait that spins lets others get on: turn.c. */
#ifndef SHUNT_CORE_TURN_H
#define SHUNT_CORE_TURN_H

/* Whoever is waited for gets on: another thread of the kernel's, or in virtual time another worker.
 * Context: any; in a task it does not switch to another one of the same worker. */
void shunt_let_others(void);

#endif
