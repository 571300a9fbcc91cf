/* SPDX-License-Identifier: MIT */
/*
 * If this passes, no wait slot loses a wake between workers that sleep without a deadline, or from
 * threads that are no workers, however the two fall together. Time-boxed by SHUNT_TORTURE_MS;
 * the seed is printed, and SHUNT_SEED repeats it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "backends/wait/test/harness.h"

#include <pthread.h>
#include <sched.h>
#include <unistd.h>

/* What has not come by then is taken for lost, on a machine however busy. */
#define PATIENCE_NS (30000 * MS)

static void own_fired(void *arg, const struct shunt_timer *timer)
{
	(void)arg;
	(void)timer;
}

static void sleep_ms(int64_t ms)
{
	usleep((useconds_t)ms * 1000);
}

/*
 * A ball goes back and forth between two workers that sleep without a deadline; a third thread, no
 * worker, wakes both at random. A lost wake-up ends the game, and the referee sees that the ball no
 * longer moves.
 */
struct court {
	struct harness *h;
	void *slot[2];
	pthread_barrier_t ready;
	atomic_int ball; /* whose turn, 0 or 1 */
	atomic_bool over;
	atomic_ulong hits, calls;
	int failed;
	uint64_t seed;
};

struct player {
	struct court *court;
	int index;
};

/* Mostly shorter than falling asleep takes, now and then long enough for the other to sleep. */
static void dawdle(struct shunt_rng *rng)
{
	uint64_t most = shunt_rng_below(rng, 16) == 0 ? 60000 : 300;

	for (uint64_t i = shunt_rng_below(rng, most); i > 0; i--)
		__asm__ volatile("" ::: "memory");
}

static void *play(void *arg)
{
	struct player *p = arg;
	struct court *c = p->court;
	const struct shunt_wait *ops = c->h->ops;
	void *slot = harness_start(c->h, (unsigned)p->index, NULL);
	struct shunt_rng rng;

	shunt_rng_init(&rng, c->seed + (uint64_t)p->index);
	c->slot[p->index] = slot;
	pthread_barrier_wait(&c->ready);
	while (!atomic_load(&c->over)) {
		if (atomic_load(&c->ball) == p->index) {
			dawdle(&rng);
			atomic_fetch_add(&c->hits, 1);
			atomic_store(&c->ball, !p->index);
			ops->wake(c->slot[!p->index], slot);
			continue;
		}
		dawdle(&rng);
		if (ops->poll != NULL && shunt_rng_below(&rng, 2) == 0)
			ops->poll(slot);
		prepare(ops, slot);
		full_fence();
		if (atomic_load(&c->ball) == p->index || atomic_load(&c->over))
			continue;
		dawdle(&rng); /* here is where a wake must not be lost */
		if (ops->commit(slot, SHUNT_NEVER) != 0)
			c->failed = 1;
	}
	pthread_barrier_wait(&c->ready); /* nobody wakes a slot that has stopped */
	pthread_barrier_wait(&c->ready);
	atomic_fetch_add(&c->calls, ops->syscalls(slot));
	ops->stop(slot);
	return NULL;
}

/* Wakes the players at random for a while; then leaves them alone, and the game must go on. */
static void referee(struct court *c, int64_t box_ms)
{
	int64_t end = now_ns() + box_ms * MS;
	unsigned long hits;

	while (now_ns() < end) {
		hits = atomic_load(&c->hits);
		if (hits % 4 == 0)
			c->h->ops->wake(c->slot[hits / 4 % 2], NULL);
		sleep_ms(hits % 4 == 1 ? 30 : 3);
	}
	for (int look = 0; look < 10; look++) {
		hits = atomic_load(&c->hits);
		end = now_ns() + PATIENCE_NS;
		while (atomic_load(&c->hits) == hits) {
			if (now_ns() > end)
				fail_msg("a wake was lost after %lu hits", hits);
			sleep_ms(1);
		}
		sleep_ms(10);
	}
}

static void no_wake_is_lost_between_two_workers(void **state)
{
	struct court c = {.h = harness_open(*state)};
	struct player player[2] = {{&c, 0}, {&c, 1}};
	pthread_t thread[2];

	c.seed = harness_seed(c.h);
	pthread_barrier_init(&c.ready, NULL, 3);
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, play, &player[i]), 0);
	pthread_barrier_wait(&c.ready);
	referee(&c, c.h->torture_ms);
	atomic_store(&c.over, true);
	for (int i = 0; i < 2; i++)
		c.h->ops->wake(c.slot[i], NULL);
	pthread_barrier_wait(&c.ready);
	pthread_barrier_wait(&c.ready);
	for (int i = 0; i < 2; i++)
		pthread_join(thread[i], NULL);
	pthread_barrier_destroy(&c.ready);
	print_message("%lu hits, %lu system calls\n", atomic_load(&c.hits), atomic_load(&c.calls));
	assert_int_equal(c.failed, 0);
	assert_true(c.h->ops->spins || atomic_load(&c.calls) > 0); /* they did sleep */
	assert_true(atomic_load(&c.hits) > 0);
	harness_close(c.h);
}

/* Threads that are no workers hand over work and wake; the worker has no deadline either. */
struct inbox {
	struct harness *h;
	void *slot;
	atomic_ulong sent, taken;
	atomic_int senders; /* at work */
	atomic_ulong lost;  /* what had been sent when a wake was lost */
	uint64_t seed;
	int64_t end_ns;
};

/* Every other time a sender waits until its work is taken: nobody else comes to wake the worker for
 * it, if it is the only one. */
static bool wait_until_taken(struct inbox *in, unsigned long sent)
{
	int64_t begin = now_ns();

	while (atomic_load(&in->taken) < sent && now_ns() - begin < PATIENCE_NS)
		sched_yield();
	return atomic_load(&in->taken) >= sent;
}

static void *send_work(void *arg)
{
	struct inbox *in = arg;
	struct shunt_rng rng;

	shunt_rng_init(&rng, in->seed + (uint64_t)(uintptr_t)&rng);
	do { /* once at least, however late a busy machine starts this thread */
		unsigned long sent = atomic_fetch_add(&in->sent, 1) + 1;

		in->h->ops->wake(in->slot, NULL);
		dawdle(&rng);
		if (shunt_rng_below(&rng, 2) == 0 && !wait_until_taken(in, sent))
			atomic_store(&in->lost, sent);
	} while (now_ns() < in->end_ns && atomic_load(&in->lost) == 0);
	atomic_fetch_sub(&in->senders, 1);
	in->h->ops->wake(in->slot, NULL);
	return NULL;
}

static void take_work_from(void **state, int sender_count)
{
	struct inbox in = {.h = harness_open(*state), .senders = sender_count};
	const struct shunt_wait *ops = in.h->ops;
	struct shunt_rng rng;
	pthread_t thread[2];

	in.slot = harness_start(in.h, 0, NULL);
	in.seed = harness_seed(in.h);
	shunt_rng_init(&rng, in.seed);
	in.end_ns = now_ns() + in.h->torture_ms * MS / 8;
	for (int i = 0; i < sender_count; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, send_work, &in), 0);
	while (atomic_load(&in.senders) > 0) {
		unsigned long taken = atomic_load(&in.taken);

		if (atomic_load(&in.sent) != taken) {
			atomic_store(&in.taken, atomic_load(&in.sent));
			continue;
		}
		prepare(ops, in.slot);
		full_fence();
		if (atomic_load(&in.sent) != taken || atomic_load(&in.senders) == 0)
			continue;
		dawdle(&rng); /* here is where a wake must not be lost */
		assert_int_equal(ops->commit(in.slot, SHUNT_NEVER), 0);
	}
	for (int i = 0; i < sender_count; i++)
		pthread_join(thread[i], NULL);
	assert_int_equal(atomic_load(&in.lost), 0);
	assert_true(atomic_load(&in.sent) > 0);
	ops->stop(in.slot);
	harness_close(in.h);
}

static void no_wake_from_outside_is_lost(void **state)
{
	take_work_from(state, 1);
}

static void no_wake_from_two_outside_is_lost(void **state)
{
	take_work_from(state, 2);
}

/* ---------------------------------------------------------------------------------------------- */

static int check(struct subject *s)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_prestate(no_wake_is_lost_between_two_workers, s),
		cmocka_unit_test_prestate(no_wake_from_outside_is_lost, s),
		cmocka_unit_test_prestate(no_wake_from_two_outside_is_lost, s),
	};

	return cmocka_run_group_tests_name(s->title, tests, NULL, NULL);
}

int main(int argc, char **argv)
{
	return each_subject(argc > 1 ? argv[1] : NULL, check);
}
