/* SPDX-License-Identifier: MIT */
/*
 * What a task does that the thread under it does not survive: it runs off its stack, or ends the
 * thread by pthread_exit. A backend has the threads that run its tasks watched, and such an end
 * then has a message that names the task, and a record.
 */
#ifndef SHUNT_CORE_FATAL_H
#define SHUNT_CORE_FATAL_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct shunt_sched;
struct shunt_task;

/* Room for the handler and for the registers that the kernel saves, which are 11 KiB on some. */
#define SHUNT_SIGNAL_STACK_BYTES ((size_t)32 * 1024)

/* A watched thread; memory that outlives it. */
struct shunt_fatal {
	/* Set by the caller. */
	struct shunt_sched *sched;
	size_t stack_bytes; /* of a task's stack, for the message */
	/* Optional: the task in whose guard the address is; NULL: it is in none. In a signal
	 * handler. */
	const struct shunt_task *(*overflown)(const struct shunt_fatal *fatal, uintptr_t at);
	/* The task that the thread runs; NULL: none. */
	const struct shunt_task *(*running)(const struct shunt_fatal *fatal);
	/* Private. */
	struct shunt_fatal *outer;
	stack_t stack_before;
};

/* From the first call with true to as many with false, a fault is looked at. Any thread. */
void shunt_fatal_handle(bool on);

/* The calling thread is watched from now on, its faults on the signal stack given; and no more. The
 * two nest. A thread that ends at once keeps the signal stack, which saves a system call. Sanitizer
 * builds keep their own handlers and stacks. Context: the thread itself. */
void shunt_fatal_watch(struct shunt_fatal *fatal, void *signal_stack);
void shunt_fatal_unwatch(struct shunt_fatal *fatal, bool thread_ends);

#endif
