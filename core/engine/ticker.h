/* SPDX-License-Identifier: MIT */
/* The ticker: ticker.c. */
#ifndef SHUNT_CORE_ENGINE_TICKER_H
#define SHUNT_CORE_ENGINE_TICKER_H

#include "core/engine/worker.h"

int shunt_ticker_start(struct shunt_engine *engine);

void shunt_ticker_stop(struct shunt_engine *engine);

/* A timer is armed: from the first one on it ticks. Any worker. */
void shunt_ticker_need(struct shunt_engine *engine);

#endif
