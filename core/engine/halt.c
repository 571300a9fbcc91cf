/* SPDX-License-Identifier: MIT */
/*
 * The end of a run: all workers are stopped, and run returns the first error.
 */
#include "core/engine/halt.h"

#include "core/engine/wake.h"

#include <stdarg.h>
#include <stdio.h>

bool shunt_halt_has_failed(struct shunt_engine *engine)
{
	/* Relaxed: the lock orders what it tells [engine:stopping]. */
	if (!atomic_load_explicit(&engine->stopping, memory_order_relaxed))
		return false;
	pthread_mutex_lock(&engine->idle_lock);
	bool failed = engine->run_error != 0;
	pthread_mutex_unlock(&engine->idle_lock);
	return failed;
}

void shunt_halt_stop(struct shunt_engine *engine)
{
	/* Release pairs with the acquire of every worker's look [engine:stopping]. */
	atomic_store_explicit(&engine->stopping, 1, memory_order_release);
	for (unsigned i = 0; i < engine->worker_count; i++)
		shunt_wake_poke(engine->workers[i], NULL);
}

void shunt_halt_fail(struct shunt_engine *engine, int error, const char *format, ...)
{
	va_list args;
	pthread_mutex_lock(&engine->idle_lock);
	if (!engine->run_error) {
		engine->run_error = error;
		if (engine->run_err) {
			va_start(args, format);
			vsnprintf(engine->run_err->text, sizeof(engine->run_err->text), format,
				args);
			va_end(args);
		}
	}
	pthread_mutex_unlock(&engine->idle_lock);
	shunt_halt_stop(engine);
}
