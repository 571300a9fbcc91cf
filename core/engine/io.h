/* SPDX-License-Identifier: MIT */
/* Input and output of the engine's tasks: io.c. */
#ifndef SHUNT_CORE_ENGINE_IO_H
#define SHUNT_CORE_ENGINE_IO_H

#include "core/engine/worker.h"

/* Does the io slot, if there is one, go with the wait slot? 0, or -EINVAL and the ones it goes
 * with. */
int shunt_engine_io_check(const struct shunt_engine *engine, struct shunt_error *err);

/* 0 or -ENOMEM. */
int shunt_engine_io_open(struct shunt_engine *engine);

/* A run begins: no wait slot watches anything yet. */
void shunt_engine_io_reset(struct shunt_engine *engine);

/* Keeps SIGPIPE from the calling thread, if tasks have I/O here and it was not kept from it before:
 * then true, and unguard takes that back. */
bool shunt_engine_io_guard(const struct shunt_engine *engine);
void shunt_engine_io_unguard(void);

/* What a wait slot calls for an event; arg is the worker that collects. */
shunt_event_fn shunt_engine_io_event;

/* Cancels the operations of this worker that others asked it to. Context: the worker. */
void shunt_engine_io_cancel_asked(struct shunt_worker *worker);

/* Looks for events, unless it has just done so. Context: the worker; tasks wait for some. */
void shunt_engine_io_collect(struct shunt_worker *worker, int64_t now_ns);

#endif
