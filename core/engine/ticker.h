/* SPDX-License-Identifier: MIT */
/* The ticker: ticker.c. */
#ifndef SHUNT_CORE_ENGINE_TICKER_H
#define SHUNT_CORE_ENGINE_TICKER_H

#include "core/engine/worker.h"

int shunt_ticker_start(struct shunt_engine *engine);

void shunt_ticker_stop(struct shunt_engine *engine);

/* A worker is busy, its timers are armed, and it will not visit its slow path for some switches:
 * the ticker looks after it, if there is one. Any worker. */
void shunt_ticker_need(struct shunt_engine *engine);

/* A worker that is on the idle list goes to sleep: if it is the last, the ticker may rest. */
void shunt_ticker_rest(struct shunt_engine *engine);

#endif
