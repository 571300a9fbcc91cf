/* SPDX-License-Identifier: MIT */
/* Input and output of the engine's tasks: io.c. */
#ifndef SHUNT_CORE_ENGINE_IO_H
#define SHUNT_CORE_ENGINE_IO_H

#include "core/engine/worker.h"

/* Does the io slot, if there is one, go with the wait slot? 0, or -EINVAL and the ones it goes
 * with. */
int shunt_engine_io_check(const struct shunt_engine *engine, struct shunt_error *err);

/* 0, -ENOMEM, or why the slot could not be opened; close() is due either way. */
int shunt_engine_io_open(struct shunt_engine *engine);
void shunt_engine_io_close(struct shunt_engine *engine);

/* No operation is on any more, nor comes; what was is taken back or done. Context: the worker, when
 * no worker runs tasks any more and all wait slots are still open. */
void shunt_engine_io_settle(struct shunt_worker *worker);

/* A run begins: no wait slot watches anything yet. */
void shunt_engine_io_reset(struct shunt_engine *engine);

/* Keeps SIGPIPE from the calling thread, if tasks have I/O here and it was not kept from it before:
 * then true, and unguard takes that back. */
bool shunt_engine_io_guard(const struct shunt_engine *engine);
void shunt_engine_io_unguard(void);

#endif
