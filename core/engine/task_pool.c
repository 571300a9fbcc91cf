/* SPDX-License-Identifier: MIT */
/*
 * Task descriptors: type-stable memory, reused last in first out.
 *
 * Tasks spawned on one worker, or outside, and released on another would pile up there. So a worker
 * keeps its free ones in lists of a slab's length, the one in use and a full one, and exchanges
 * whole lists with the engine (Bonwick, Adams: Magazines and Vmem, USENIX 2001). No descriptor is
 * looked at for that: to walk along a list to cut it cost 2 ns a task where a thousand are alive,
 * and another 4 for the disorder that the cuts left behind.
 *
 * Slabs are never freed before the scheduler is closed, so that a handle of an ended task can be
 * looked at for ever; the generation in the task's word tells that it is another. A generation that
 * is used up (134 million tasks in one descriptor) retires the descriptor.
 *
 * Credits are promises of a stack (stack.h): a worker holds a few, spends one a spawn and gets it
 * back when the task ends, so that the pool's lock is not on the path of a spawn.
 */
#include "core/engine/task_pool.h"

#include <sys/mman.h>

#define SLAB_TASKS    306u /* just less than twelve pages */
#define SLAB_BYTES    49152u
#define REGION_SLABS  128u /* three huge pages, without a remainder */
#define HUGE_BYTES    ((size_t)2 << 20)
#define CREDITS_BATCH 64u
#define CREDITS_MOST  1024u
#define IDS_BATCH     1024u

struct shunt_task_slab {
	struct shunt_task_slab *next;
	size_t mapped; /* bytes of the mapping that begins here; 0: it is part of another slab's */
	_Alignas(64) struct shunt_task tasks[SLAB_TASKS]; /* two of them are five lines */
};

_Static_assert(sizeof(struct shunt_task_slab) <= SLAB_BYTES && SLAB_BYTES % SHUNT_APART == 0 &&
		       REGION_SLABS * SLAB_BYTES % HUGE_BYTES == 0,
	"slabs fill a mapping");

/* Gives the engine a list. Context: engine->lock held. */
static void put_list(struct shunt_engine *engine, struct shunt_task *list)
{
	list->wait_next = engine->free_lists; /* of a free task it is of no other use */
	engine->free_lists = list;
}

/* Maps memory for one slab, with its pages. */
static struct shunt_task_slab *map_one(void)
{
	struct shunt_task_slab *slab = mmap(NULL, SLAB_BYTES, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (slab == MAP_FAILED)
		return NULL;
	slab->mapped = SLAB_BYTES;
	return slab;
}

/* Maps memory for many, in huge pages: at a million tasks a switch would miss the TLB for the
 * descriptor, too. */
static struct shunt_task_slab *map_region(struct shunt_engine *engine)
{
	const size_t bytes = (size_t)REGION_SLABS * SLAB_BYTES;
	unsigned char *all = mmap(NULL, bytes + HUGE_BYTES, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (all == MAP_FAILED)
		return NULL;
	size_t before = -(uintptr_t)all % HUGE_BYTES;
	if (before)
		munmap(all, before);
	munmap(all + before + bytes, HUGE_BYTES - before);
	madvise(all + before, bytes, MADV_HUGEPAGE); /* advice: may fail */
	struct shunt_task_slab *slab = (void *)(all + before);
	slab->mapped = bytes;
	engine->slabs_left = REGION_SLABS - 1;
	return slab;
}

/* Memory for the next slab, all zero but for what it says of its mapping. NULL: none. */
static struct shunt_task_slab *slab_memory(struct shunt_engine *engine)
{
	if (engine->slabs_left) {
		engine->slabs_left--;
		return (void *)((unsigned char *)engine->slabs + SLAB_BYTES);
	}
	bool many = engine->descriptors >= REGION_SLABS / 2 * SLAB_TASKS;
	return many ? map_region(engine) : map_one();
}

/* Adds a slab to the engine's lists. Context: engine->lock held. */
static int grow(struct shunt_engine *engine)
{
	if (engine->policy->reserve &&
		engine->policy->reserve(engine->policy_shared, engine->descriptors + SLAB_TASKS))
		return -ENOMEM;
	struct shunt_task_slab *slab = slab_memory(engine);
	if (!slab)
		return -ENOMEM;
	engine->descriptors += SLAB_TASKS;
	for (unsigned i = 0; i < SLAB_TASKS; i++) {
		slab->tasks[i].sched = &engine->sched;
		slab->tasks[i].home = (uint16_t)(i % engine->worker_count);
		slab->tasks[i].word = SHUNT_GENERATION_FIRST | SHUNT_TASK_FREE;
		slab->tasks[i].next = i + 1 < SLAB_TASKS ? &slab->tasks[i + 1] : NULL;
	}
	put_list(engine, slab->tasks);
	slab->next = engine->slabs;
	engine->slabs = slab;
	return 0;
}

/* With many workers a batch that does not fit is tried again as a single one. */
static int reserve(struct shunt_engine *engine, uint64_t *credits)
{
	uint64_t batch = CREDITS_BATCH;
	int rc = shunt_stack_reserve(&engine->stacks, batch);
	if (rc) {
		batch = 1;
		rc = shunt_stack_reserve(&engine->stacks, batch);
	}
	if (!rc)
		*credits += batch;
	return rc;
}

int shunt_task_pool_refill(struct shunt_worker *worker, bool stack)
{
	struct shunt_engine *engine = worker->engine;
	/* Relaxed: a spawn that races with the end of a failed run may still succeed; harmless. */
	if (atomic_load_explicit(&engine->stopping, memory_order_relaxed))
		return -ECANCELED;
	if (stack && !worker->credits) {
		int rc = reserve(engine, &worker->credits);
		if (rc)
			return rc;
	}
	if (worker->free_tasks)
		return 0;
	/* An upper bound: a list that lost some to spawns from outside is shorter. */
	worker->free_count = SLAB_TASKS;
	worker->free_tasks = worker->free_full;
	worker->free_full = NULL;
	if (worker->free_tasks)
		return 0;
	pthread_mutex_lock(&engine->lock);
	int rc = engine->free_lists ? 0 : grow(engine);
	if (!rc) {
		worker->free_tasks = engine->free_lists;
		engine->free_lists = worker->free_tasks->wait_next;
	}
	pthread_mutex_unlock(&engine->lock);
	return rc;
}

/* The list in use is full: another one begins, and the one that was full before is the engine's. */
static __attribute__((noinline, cold)) void set_aside(struct shunt_worker *worker)
{
	struct shunt_engine *engine = worker->engine;
	if (worker->free_full) {
		pthread_mutex_lock(&engine->lock);
		put_list(engine, worker->free_full);
		pthread_mutex_unlock(&engine->lock);
	}
	worker->free_full = worker->free_tasks;
	worker->free_tasks = NULL;
	worker->free_count = 1;
}

unsigned shunt_task_pool_credits_most(const struct shunt_engine *engine)
{
	return engine->stacks.limit ? CREDITS_MOST / 4 : CREDITS_MOST;
}

void shunt_task_pool_shed_credits(struct shunt_worker *worker)
{
	shunt_stack_unreserve(&worker->engine->stacks, CREDITS_BATCH);
	worker->credits -= CREDITS_BATCH;
}

int shunt_task_pool_take_outside(struct shunt_engine *engine, struct shunt_task **task)
{
	int rc = shunt_stack_reserve(&engine->stacks, 1);
	if (rc)
		return rc;
	pthread_mutex_lock(&engine->lock);
	rc = engine->free_lists ? 0 : grow(engine);
	if (!rc) {
		*task = engine->free_lists;
		engine->free_lists = (*task)->wait_next;
		if ((*task)->next)
			put_list(engine, (*task)->next);
		(*task)->id = engine->next_id++;
	}
	pthread_mutex_unlock(&engine->lock);
	if (rc)
		shunt_stack_unreserve(&engine->stacks, 1);
	return rc;
}

void shunt_task_pool_refill_ids(struct shunt_worker *worker)
{
	struct shunt_engine *engine = worker->engine;
	pthread_mutex_lock(&engine->lock);
	worker->next_id = engine->next_id;
	worker->ids_left = IDS_BATCH;
	engine->next_id += IDS_BATCH;
	pthread_mutex_unlock(&engine->lock);
}

void shunt_task_pool_release(struct shunt_ctx *ctx, struct shunt_task *task)
{
	struct shunt_worker *worker = shunt_worker_of(ctx);
	uint64_t word = shunt_word_load(task, ctx->many);
	uint64_t generation = (word + SHUNT_GENERATION_ONE) & SHUNT_WORD_GENERATION;
	uint64_t next = (word & SHUNT_WORD_EPOCH) | generation | SHUNT_TASK_FREE;
	/* A wake may set the permit of an ended task in no state: plain exchange is enough even
	 * with many workers, because every other change of the word starts from a state that this
	 * is not. */
	shunt_word_store(task, next);
	if (__builtin_expect(generation == 0, 0))
		return;
	if (__builtin_expect(worker->free_count++ == SLAB_TASKS, 0))
		set_aside(worker);
	task->next = worker->free_tasks;
	worker->free_tasks = task;
}

void shunt_task_pool_each(struct shunt_engine *engine,
	void (*visit)(void *arg, const struct shunt_task *task), void *arg)
{
	for (struct shunt_task_slab *slab = engine->slabs; slab; slab = slab->next)
		for (unsigned i = 0; i < SLAB_TASKS; i++)
			if (shunt_word_state(shunt_word_load(&slab->tasks[i], true)) !=
				SHUNT_TASK_FREE)
				visit(arg, &slab->tasks[i]);
}

void shunt_task_pool_fini(struct shunt_engine *engine)
{
	while (engine->slabs) {
		struct shunt_task_slab *slab = engine->slabs;
		/* The newest are in front: the first of a mapping comes last. */
		engine->slabs = slab->next;
		if (slab->mapped)
			munmap(slab, slab->mapped);
	}
}
