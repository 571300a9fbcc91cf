/* SPDX-License-Identifier: MIT */
/*
 * The stack pool: address space in chunks, a guard below every stack, the hottest reused first.
 *
 * Reserving and using are two steps. Whoever creates a task first reserves the right to a stack;
 * only then can the call say no, because the machine has no more. A task takes its stack when it
 * first runs: tasks that run to their end one after the other share one stack, still in cache.
 */
#ifndef SHUNT_CORE_ENGINE_STACK_H
#define SHUNT_CORE_ENGINE_STACK_H

#include "core/param.h"

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#define SHUNT_STACK_SLACK 264 /* the most a worker's cache holds */
#define SHUNT_STACK_BATCH 64  /* the most that are made together */

enum shunt_guard {
	SHUNT_GUARD_NONE,
	SHUNT_GUARD_MPROTECT, /* two mappings a stack: vm.max_map_count is the limit */
	SHUNT_GUARD_INSTALL,  /* MADV_GUARD_INSTALL, Linux 6.13: no mapping */
};

/* Lies at the top of the stack itself, in the page that every task touches anyway. */
struct shunt_stack {
	struct shunt_stack *next; /* in a free list */
	unsigned char *low;       /* lowest usable byte; the guard ends here */
	void *fiber;              /* ThreadSanitizer's fibre, made once a stack */
	void *fake_stack;         /* AddressSanitizer's, of the suspended task */
	unsigned lives;           /* ThreadSanitizer: tasks that began here on this fibre */
	unsigned known;           /* Valgrind's number of it */
	unsigned colour;          /* bytes of its top left free: tops are spread in the cache */
};

struct shunt_stack_chunk;

struct shunt_stack_pool {
	/* Constant after init. */
	size_t bytes;  /* of a stack, as asked for, in whole pages */
	size_t usable; /* of these: all but struct shunt_stack */
	size_t guard_bytes, stride;
	enum shunt_guard guard;
	uint64_t limit; /* stacks that may be reserved; 0: none known */
	const char *limit_why;
	uint64_t slack; /* stacks that other workers' caches may hold back */
	int self_fd;    /* this process, for process_madvise; -1: that does not do what is needed */

	pthread_mutex_t lock;                      /* guards all below */
	struct shunt_stack_chunk *chunks, *newest; /* in order of mapping */
	struct shunt_stack_chunk *fresh;           /* the first with stacks never taken */
	struct shunt_stack *free;
	uint64_t capacity; /* stacks in chunks */
	uint64_t reserved; /* promised to tasks */
	uint64_t made;     /* of the capacity, guarded and handed out once */
	struct iovec range[SHUNT_STACK_BATCH];
};

/* A worker's own stacks: no lock. */
struct shunt_stack_cache {
	struct shunt_stack *free, *last;      /* the hottest first */
	struct shunt_stack *full, *full_last; /* set aside: as many as that may hold, or none */
	unsigned count;                       /* of free */
};

/* Parses nothing: the caller gives resolved values. guard "auto" probes. 0 or negative errno. */
int shunt_stack_pool_init(struct shunt_stack_pool *pool, size_t bytes, const char *guard,
	unsigned workers, struct shunt_error *err);
void shunt_stack_pool_fini(struct shunt_stack_pool *pool);

/* Promises `count` stacks more. 0, -ENOMEM: no address space; -EAGAIN: beyond pool->limit. */
int shunt_stack_reserve(struct shunt_stack_pool *pool, uint64_t count);

void shunt_stack_unreserve(struct shunt_stack_pool *pool, uint64_t count);

/* A reserved stack, guarded; NULL: the kernel refused the guard (errno). Context: the cache's
 * owner. */
struct shunt_stack *shunt_stack_take(struct shunt_stack_pool *pool,
	struct shunt_stack_cache *cache);
/* Puts a stack back. The caller may still be running on it until it next switches: nobody else
 * takes from the cache. */
void shunt_stack_give(struct shunt_stack_pool *pool, struct shunt_stack_cache *cache,
	struct shunt_stack *stack);

const char *shunt_guard_name(enum shunt_guard guard);

/* Has the process a shadow stack? Neither the assembly switches nor a switch out of a signal's
 * handler take it along. */
bool shunt_has_shadow_stack(void);

#endif
