/* SPDX-License-Identifier: MIT */
/*
 * The stack pool (stack.h).
 *
 * A chunk is one mapping of many strides {guard, stack}, handed out in order; what the pool must
 * know of a stack lies at its top, so that one never taken costs nothing, not even a page. Guards
 * are installed when a stack is first taken. Measured on Linux 6.18: first touch of a page 2 us,
 * mmap and munmap of one stack 4-11 us, a guard by madvise 0.4 us: hence chunks, reuse, and
 * laziness. Where there are many already the next ones are made together, all guards by one system
 * call and all first pages by another: 1.6 us a stack, where one by one, with a fault each, it is
 * 2.1.
 */
#include "core/engine/stack.h"

#include "core/engine/sanitize.h"
#include "core/populate.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define ARCH_SHSTK_STATUS          0x5005 /* arch_prctl, x86-64, Linux 6.6 */
#define PR_GET_SHADOW_STACK_STATUS 74     /* prctl, aarch64 and riscv64, Linux 6.13 */

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102 /* Linux 6.13; missing from older headers */
#endif
#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif
#ifndef SYS_process_madvise
#define SYS_process_madvise 440
#endif

#define ADVICE_OF_NO_KERNEL 0x7ffe /* no kernel knows it */

#define CHUNK_FIRST 64u
#define CHUNK_MOST  4096u
#define CACHE_HALF                                                                                 \
	128u /* stacks a worker sets aside, and gives back to the pool when it has as many more */
#define CACHE_BATCH 8
#define COLOURS     16 /* cache lines over which the tops of stacks are spread */
#define MADE_SHARE  16 /* made ahead: at most one for this many that exist */

_Static_assert(2 * CACHE_HALF <= SHUNT_STACK_SLACK, "reserved stacks can be had");
_Static_assert(SHUNT_STACK_BATCH <= CACHE_HALF && CACHE_BATCH <= CACHE_HALF, "what is taken fits");

struct shunt_stack_chunk {
	struct shunt_stack_chunk *next;
	unsigned char *base;
	size_t count, used; /* stacks mapped; of these, taken at least once: the first ones */
};

#define HEADER_BYTES 64 /* of struct shunt_stack at a stack's top */
_Static_assert(sizeof(struct shunt_stack) <= HEADER_BYTES, "the header fits its place");

const char *shunt_guard_name(enum shunt_guard guard)
{
	static const char *const names[] = {"none", "mprotect", "madvise"};
	return names[guard];
}

/* Does this kernel install guards by madvise? Tried on a page of our own. Who takes an advice that
 * no kernel knows (qemu-user takes any and does nothing) is not believed. */
static bool guard_install_works(void)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	void *probe = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (probe == MAP_FAILED)
		return false;
	bool works = madvise(probe, page, ADVICE_OF_NO_KERNEL) != 0 &&
		     madvise(probe, page, MADV_GUARD_INSTALL) == 0;
	munmap(probe, page);
	return works;
}

static bool advise_range(const struct shunt_stack_pool *pool, size_t count, int advice)
{
	size_t bytes = 0;
	for (size_t i = 0; i < count; i++)
		bytes += pool->range[i].iov_len;
	return syscall(SYS_process_madvise, pool->self_fd, pool->range, count, advice, 0) ==
	       (long)bytes;
}

/* Does one system call touch many pages (Linux 6.13, for the process itself)? Tried on one of
 * our own. */
static void find_many_at_once(struct shunt_stack_pool *pool)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	pool->self_fd = -1;
	if (pool->guard == SHUNT_GUARD_MPROTECT ||
		RUNNING_ON_VALGRIND) /* which have no such call */
		return;
	void *probe = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (probe == MAP_FAILED)
		return;
	pool->self_fd = (int)syscall(SYS_pidfd_open, getpid(), 0);
	pool->range[0] = (struct iovec){probe, page};
	if (pool->self_fd >= 0 && (advise_range(pool, 1, ADVICE_OF_NO_KERNEL) ||
					  !advise_range(pool, 1, MADV_POPULATE_WRITE))) {
		close(pool->self_fd);
		pool->self_fd = -1;
	}
	munmap(probe, page);
}

/* Mappings that this process may still make. */
static uint64_t mappings_left(void)
{
	unsigned long long most = 65530;
	FILE *file = fopen("/proc/sys/vm/max_map_count", "re");
	if (file) {
		if (fscanf(file, "%llu", &most) != 1)
			most = 65530;
		fclose(file);
	}
	unsigned long long used = 0;
	file = fopen("/proc/self/maps", "re");
	if (file) {
		for (int c; (c = fgetc(file)) != EOF;)
			used += c == '\n';
		fclose(file);
	}
	used += 256; /* what libraries and threads may still want */
	return most > used ? most - used : 0;
}

static int choose_guard(struct shunt_stack_pool *pool, const char *guard, struct shunt_error *err)
{
	if (!strcmp(guard, "none")) {
		pool->guard = SHUNT_GUARD_NONE;
	} else if (!strcmp(guard, "mprotect")) {
		pool->guard = SHUNT_GUARD_MPROTECT;
	} else if (guard_install_works()) {
		pool->guard = SHUNT_GUARD_INSTALL;
	} else if (!strcmp(guard, "madvise")) {
		return shunt_fail(err, -ENOSYS,
			"stack.guard=madvise needs Linux 6.13 or later; use "
			"stack.guard=mprotect, or auto to choose");
	} else {
		pool->guard = SHUNT_GUARD_MPROTECT;
	}
	if (pool->guard == SHUNT_GUARD_MPROTECT) {
		pool->limit = mappings_left() / 2;
		if (!pool->limit) /* which would mean none known */
			pool->limit = 1;
		pool->limit_why =
			"each guarded stack takes two of the vm.max_map_count mappings: "
			"raise it (sysctl -w vm.max_map_count=N), use Linux 6.13 or later, or run "
			"with stack.guard=none";
	}
	return 0;
}

int shunt_stack_pool_init(struct shunt_stack_pool *pool, size_t bytes, const char *guard,
	unsigned workers, struct shunt_error *err)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	*pool = (struct shunt_stack_pool){
		.slack = workers > 1 ? workers * (uint64_t)SHUNT_STACK_SLACK : 0};
	int rc = choose_guard(pool, guard, err);
	if (rc)
		return rc;
	pool->bytes = (bytes + page - 1) / page * page;
	/* Four pages: a frame of less than 16 KiB cannot step over the guard. */
	pool->guard_bytes = pool->guard == SHUNT_GUARD_NONE ? 0 : 4 * page;
	pool->usable = pool->bytes - HEADER_BYTES;
	pool->stride = pool->bytes + pool->guard_bytes;
	find_many_at_once(pool);
	pthread_mutex_init(&pool->lock, NULL);
	return 0;
}

static struct shunt_stack *stack_at(const struct shunt_stack_pool *pool,
	const struct shunt_stack_chunk *chunk, size_t index)
{
	return (struct shunt_stack *)(chunk->base + (index + 1) * pool->stride - HEADER_BYTES);
}

void shunt_stack_pool_fini(struct shunt_stack_pool *pool)
{
	while (pool->chunks) {
		struct shunt_stack_chunk *chunk = pool->chunks;
		pool->chunks = chunk->next;
		for (size_t i = 0; i < chunk->used; i++)
			shunt_sanitize_forget(stack_at(pool, chunk, i), pool->usable);
		munmap(chunk->base, chunk->count * pool->stride);
		free(chunk);
	}
	if (pool->self_fd >= 0)
		close(pool->self_fd);
	pthread_mutex_destroy(&pool->lock);
}

/* Maps one more chunk. Context: pool->lock held. */
static int grow(struct shunt_stack_pool *pool)
{
	size_t count = pool->capacity < CHUNK_FIRST ? CHUNK_FIRST : pool->capacity;
	if (count > CHUNK_MOST)
		count = CHUNK_MOST;
	struct shunt_stack_chunk *chunk = calloc(1, sizeof(*chunk));
	if (!chunk)
		return -ENOMEM;
	void *base = mmap(NULL, count * pool->stride, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
	if (base == MAP_FAILED) {
		free(chunk);
		return -ENOMEM;
	}
	/* A huge page would make every small stack cost two megabytes. Advice: may fail. */
	madvise(base, count * pool->stride, MADV_NOHUGEPAGE);
	chunk->base = base;
	chunk->count = count;
	if (pool->newest)
		pool->newest->next = chunk;
	else
		pool->chunks = chunk;
	pool->newest = chunk;
	if (!pool->fresh)
		pool->fresh = chunk;
	pool->capacity += count;
	return 0;
}

int shunt_stack_reserve(struct shunt_stack_pool *pool, uint64_t count)
{
	int rc = 0;
	pthread_mutex_lock(&pool->lock);
	if (pool->limit && pool->reserved + count > pool->limit)
		rc = -EAGAIN;
	while (!rc && pool->reserved + count + pool->slack > pool->capacity)
		rc = grow(pool);
	if (!rc)
		pool->reserved += count;
	pthread_mutex_unlock(&pool->lock);
	return rc;
}

void shunt_stack_unreserve(struct shunt_stack_pool *pool, uint64_t count)
{
	pthread_mutex_lock(&pool->lock);
	pool->reserved -= count;
	pthread_mutex_unlock(&pool->lock);
}

static unsigned char *low_of(const struct shunt_stack_pool *pool, struct shunt_stack *stack)
{
	return (unsigned char *)stack - pool->usable;
}

/* Guards one stack. -1: refused (errno). */
static int guard_one(const struct shunt_stack_pool *pool, struct shunt_stack *stack)
{
	unsigned char *at = low_of(pool, stack) - pool->guard_bytes;
	if (pool->guard == SHUNT_GUARD_INSTALL)
		return madvise(at, pool->guard_bytes, MADV_GUARD_INSTALL);
	if (pool->guard == SHUNT_GUARD_MPROTECT)
		return mprotect(at, pool->guard_bytes, PROT_NONE);
	return 0;
}

/* Guards the chunk's next `count` stacks, and has the kernel find a page for the top of each,
 * so that no task faults for its own. */
static bool guard_many(struct shunt_stack_pool *pool, const struct shunt_stack_chunk *chunk,
	unsigned count)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	for (unsigned i = 0; i < count; i++) {
		unsigned char *low = low_of(pool, stack_at(pool, chunk, chunk->used + i));
		pool->range[i] = (struct iovec){low - pool->guard_bytes, pool->guard_bytes};
	}
	if (pool->guard == SHUNT_GUARD_INSTALL && !advise_range(pool, count, MADV_GUARD_INSTALL))
		return false;
	for (unsigned i = 0; i < count; i++) {
		unsigned char *low = low_of(pool, stack_at(pool, chunk, chunk->used + i));
		pool->range[i] = (struct iovec){low + pool->bytes - page, page};
	}
	advise_range(pool, count, MADV_POPULATE_WRITE); /* refused: they fault */
	return true;
}

/* Stacks to make at once: no more than a small share of what there is, because nobody may want
 * them. */
static unsigned batch_of(const struct shunt_stack_pool *pool, const struct shunt_stack_chunk *chunk)
{
	uint64_t count = pool->self_fd < 0 ? 1 : 1 + pool->made / MADE_SHARE;
	uint64_t left = chunk->count - chunk->used;
	count = count < SHUNT_STACK_BATCH ? count : SHUNT_STACK_BATCH;
	return (unsigned)(count < left ? count : left);
}

static void push(struct shunt_stack_cache *cache, struct shunt_stack *stack)
{
	if (!cache->free)
		cache->last = stack;
	stack->next = cache->free;
	cache->free = stack;
	cache->count++;
}

/* The next stack never taken, guarded; more of them go to the cache. Context: pool->lock held.
 * NULL: none, or refused (errno). */
static struct shunt_stack *take_fresh(struct shunt_stack_pool *pool,
	struct shunt_stack_cache *cache)
{
	struct shunt_stack_chunk *chunk = pool->fresh;
	if (!chunk) {
		errno = ENOMEM;
		return NULL;
	}
	unsigned count = batch_of(pool, chunk);
	if (count == 1 || !guard_many(pool, chunk, count)) {
		count = 1;
		if (guard_one(pool, stack_at(pool, chunk, chunk->used)))
			return NULL;
	}
	struct shunt_stack *stack = NULL;
	for (unsigned i = count; i-- > 0;) {
		stack = stack_at(pool, chunk, chunk->used + i);
		unsigned char *low = low_of(pool, stack);
		unsigned colour = (unsigned)((uintptr_t)low / pool->stride % COLOURS) * 64;
		*stack = (struct shunt_stack){.low = low, .colour = colour};
		shunt_sanitize_made(stack);
		if (i > 0)
			push(cache, stack);
	}
	chunk->used += count;
	pool->made += count;
	if (chunk->used == chunk->count)
		pool->fresh = chunk->next;
	return stack;
}

static struct shunt_stack *pop(struct shunt_stack **list)
{
	struct shunt_stack *stack = *list;
	*list = stack->next;
	return stack;
}

struct shunt_stack *shunt_stack_take(struct shunt_stack_pool *pool, struct shunt_stack_cache *cache)
{
	if (!cache->free && cache->full) {
		cache->free = cache->full;
		cache->last = cache->full_last;
		cache->count = CACHE_HALF;
		cache->full = NULL;
	}
	struct shunt_stack *stack = cache->free;
	if (!stack) {
		pthread_mutex_lock(&pool->lock);
		/* Few at a time: what one worker takes and does not use, others cannot. */
		for (int i = 0; i < CACHE_BATCH && pool->free; i++)
			push(cache, pop(&pool->free));
		stack = cache->free ? NULL : take_fresh(pool, cache);
		bool fresh = stack || !cache->free;
		pthread_mutex_unlock(&pool->lock);
		if (fresh)
			return stack;
	}
	cache->count--;
	return pop(&cache->free);
}

/* Gives a list of stacks that are not used back to the pool. */
static void shed(struct shunt_stack_pool *pool, struct shunt_stack *first, struct shunt_stack *last)
{
	if (!first)
		return;
	pthread_mutex_lock(&pool->lock);
	last->next = pool->free;
	pool->free = first;
	pthread_mutex_unlock(&pool->lock);
}

/* The cache is half full: that half is set aside, whole, and the one set aside before it goes back
 * to the pool. No stack is looked at for that, as each look would be a miss in the cache. */
static __attribute__((noinline)) void set_aside(struct shunt_stack_pool *pool,
	struct shunt_stack_cache *cache)
{
	if (cache->full)
		shed(pool, cache->full, cache->full_last);
	cache->full = cache->free;
	cache->full_last = cache->last;
	cache->free = NULL;
	cache->count = 0;
}

void shunt_stack_give(struct shunt_stack_pool *pool, struct shunt_stack_cache *cache,
	struct shunt_stack *stack)
{
	push(cache, stack);
	if (__builtin_expect(cache->count >= CACHE_HALF, 0))
		set_aside(pool, cache);
}

bool shunt_has_shadow_stack(void)
{
	uint64_t status = 0;
	long failed;
#ifdef SYS_arch_prctl
	failed = syscall(SYS_arch_prctl, ARCH_SHSTK_STATUS, &status);
#else
	failed = prctl(PR_GET_SHADOW_STACK_STATUS, &status, 0, 0, 0);
#endif
	return !failed && (status & 1);
}
