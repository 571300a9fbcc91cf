/* SPDX-License-Identifier: MIT */
/*
 * A thread's part of core/fatal.h.
 *
 * Its handler needs a stack of its own, which belongs to the descriptor: address space, of which
 * nothing is touched until a fault. The C library puts the guard at the low end of a thread's
 * stack, and all above it can be read and written: a fault between there and the thread's first
 * frame is in the guard.
 */
#include "backends/threads/threads.h"

#include <stdlib.h>
#include <sys/mman.h>

enum { CHUNK_STACKS = 64 };
#define CHUNK_BYTES (CHUNK_STACKS * SHUNT_SIGNAL_STACK_BYTES)

struct shunt_threads_chunk {
	struct shunt_threads_chunk *next;
	unsigned char *low;
	unsigned used;
};

static struct shunt_threads_chunk *add_chunk(struct threads *threads)
{
	struct shunt_threads_chunk *chunk = calloc(1, sizeof(*chunk));
	void *low = mmap(NULL, CHUNK_BYTES, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (!chunk || low == MAP_FAILED) {
		if (low != MAP_FAILED)
			munmap(low, CHUNK_BYTES);
		free(chunk);
		return NULL;
	}
	chunk->low = low;
	chunk->next = threads->chunks;
	return threads->chunks = chunk;
}

bool shunt_threads_give_signal_stack(struct threads *threads, struct thread_task *self)
{
	struct shunt_threads_chunk *chunk = threads->chunks;
	if (self->signal_stack)
		return true;
	if (!chunk || chunk->used == CHUNK_STACKS)
		chunk = add_chunk(threads);
	if (chunk)
		self->signal_stack = chunk->low + chunk->used++ * SHUNT_SIGNAL_STACK_BYTES;
	return chunk != NULL;
}

void shunt_threads_free_signal_stacks(struct threads *threads)
{
	while (threads->chunks) {
		struct shunt_threads_chunk *chunk = threads->chunks;
		threads->chunks = chunk->next;
		munmap(chunk->low, CHUNK_BYTES);
		free(chunk);
	}
}

static const struct thread_task *self_of(const struct shunt_fatal *fatal)
{
	return (const void *)((const char *)fatal - offsetof(struct thread_task, fatal));
}

static const struct shunt_task *overflown(const struct shunt_fatal *fatal, uintptr_t at)
{
	const struct thread_task *self = self_of(fatal);
	return at < self->first_frame && at >= self->first_frame - fatal->stack_bytes ? &self->task
										      : NULL;
}

static const struct shunt_task *running(const struct shunt_fatal *fatal)
{
	return &self_of(fatal)->task;
}

void shunt_threads_watch(struct threads *threads, struct thread_task *self, const void *frame)
{
	self->first_frame = (uintptr_t)frame;
	self->fatal = (struct shunt_fatal){.sched = &threads->sched,
		.stack_bytes = (size_t)shunt_value_int(&threads->values, "stack.size"),
		.overflown = overflown,
		.running = running};
	shunt_fatal_watch(&self->fatal, self->signal_stack);
}
