/* SPDX-License-Identifier: MIT */
/*
 * pool: a few threads make the system calls, which may block them as long as the disk likes.
 *
 * The way to read and write files without holding up a worker where the kernel has nothing better,
 * and it goes with every wait slot. For files alone: a call that waits for a peer would keep its
 * thread for ever, and four of them all. A call in progress cannot be taken back; one that no
 * thread has begun can. As many threads as libuv's pool has, and as there: operations begin in the
 * order in which they came.
 *
 * It loses to every other io where the file is in the page cache: two switches between threads for
 * a copy of some KiB.
 */
#include "core/engine/slots.h"
#include "core/io_op.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

#define THREADS 4

struct pool {
	struct shunt_io_config config;
	pthread_mutex_t lock; /* guards all that follows but `thread` */
	pthread_cond_t work, idle;
	struct shunt_io_op *head, **tail; /* not begun */
	unsigned busy;
	bool ends;
	unsigned started;
	pthread_t thread[THREADS];
};

/* NULL: the pool ends. Context: the lock is held. */
static struct shunt_io_op *take(struct pool *pool)
{
	while (!pool->head && !pool->ends)
		pthread_cond_wait(&pool->work, &pool->lock);
	struct shunt_io_op *op = pool->head;

	if (!op)
		return NULL;
	pool->head = op->next;
	if (!pool->head)
		pool->tail = &pool->head;
	pool->busy++;
	return op;
}

/* The task may go on, and take the operation with it, as soon as its end is told. */
static void perform(const struct pool *pool, struct shunt_io_op *op)
{
	uint64_t data = op->data;
	int64_t result;

	do
		result = shunt_io_call(op);
	while (result == -EINTR);
	pool->config.done(pool->config.arg, data, result);
}

static void *serve(void *arg)
{
	struct pool *pool = arg;
	struct shunt_io_op *op;

	pthread_mutex_lock(&pool->lock);
	while ((op = take(pool))) {
		pthread_mutex_unlock(&pool->lock);
		perform(pool, op);
		pthread_mutex_lock(&pool->lock);
		if (--pool->busy == 0)
			pthread_cond_broadcast(&pool->idle);
	}
	pthread_mutex_unlock(&pool->lock);
	return NULL;
}

/* ---- operations ------------------------------------------------------------------------------ */

static int64_t pool_begin(struct shunt_io_at *at, struct shunt_io_op *op)
{
	struct pool *pool = at->io;

	op->data = at->data;
	op->next = NULL;
	pthread_mutex_lock(&pool->lock);
	*pool->tail = op;
	pool->tail = &op->next;
	pthread_cond_signal(&pool->work);
	pthread_mutex_unlock(&pool->lock);
	at->syscalls++; /* the operation's own, wherever it is made */
	return SHUNT_IO_WAITS;
}

static void pool_cancel(void *io, uint64_t data)
{
	struct pool *pool = io;
	bool found = false;

	pthread_mutex_lock(&pool->lock);
	for (struct shunt_io_op **at = &pool->head; *at && !found;) {
		found = (*at)->data == data;
		if (!found) {
			at = &(*at)->next;
			continue;
		}
		*at = (*at)->next;
		if (!*at)
			pool->tail = at;
	}
	pthread_mutex_unlock(&pool->lock);
	if (found)
		pool->config.done(pool->config.arg, data, -ECANCELED);
}

static void pool_settle(void *io)
{
	struct pool *pool = io;
	struct shunt_io_op *op;

	pthread_mutex_lock(&pool->lock);
	while ((op = pool->head)) {
		pool->head = op->next;
		pool->config.done(pool->config.arg, op->data, -ECANCELED);
	}
	pool->tail = &pool->head;
	while (pool->busy)
		pthread_cond_wait(&pool->idle, &pool->lock);
	pthread_mutex_unlock(&pool->lock);
}

/* ---- life ------------------------------------------------------------------------------------ */

static void pool_close(void *io)
{
	struct pool *pool = io;

	pthread_mutex_lock(&pool->lock);
	pool->ends = true;
	pthread_cond_broadcast(&pool->work);
	pthread_mutex_unlock(&pool->lock);
	for (unsigned i = 0; i < pool->started; i++)
		pthread_join(pool->thread[i], NULL);
	pthread_cond_destroy(&pool->idle);
	pthread_cond_destroy(&pool->work);
	pthread_mutex_destroy(&pool->lock);
	free(pool);
}

/* The process's signals are for other threads. */
static int start(struct pool *pool)
{
	sigset_t all, before;
	int rc = 0;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	while (!rc && pool->started < THREADS) {
		rc = pthread_create(&pool->thread[pool->started], NULL, serve, pool);
		pool->started += !rc;
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return -rc;
}

static int pool_open(void **io, const struct shunt_io_config *config)
{
	struct pool *pool = calloc(1, sizeof(*pool));

	if (!pool)
		return -ENOMEM;
	pool->config = *config;
	pool->tail = &pool->head;
	pthread_mutex_init(&pool->lock, NULL);
	pthread_cond_init(&pool->work, NULL);
	pthread_cond_init(&pool->idle, NULL);
	int rc = start(pool);

	if (rc) {
		pool_close(pool);
		return rc;
	}
	*io = pool;
	return 0;
}

const struct shunt_io shunt_io_pool = {
	.name = "pool",
	.summary = "four threads make the calls; files alone, with every wait slot",
	.submits = true,
	.begin = pool_begin,
	.files_only = true,
	.open = pool_open,
	.close = pool_close,
	.cancel = pool_cancel,
	.settle = pool_settle,
};
