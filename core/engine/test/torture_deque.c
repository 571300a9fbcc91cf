/* SPDX-License-Identifier: MIT */
/*
 * Of the deque every element is taken once, by its owner or by a thief, and no thief sees less of
 * it than its pusher wrote, be it that it only looks.
 *
 * The owner pushes and takes bursts of a few, so that the last element is fought for all the time;
 * thieves attach, steal some, detach, and come again. With and without fence=full; and the queue
 * that all take from at the top, where thieves take several at once. model_deque.c explores all
 * orders of a few steps; this runs the compiled code on the machine's own memory order.
 */
#include "core/engine/deque.h"

#include "core/engine/test/engine_torture.h"

#include <pthread.h>
#include <string.h>

#define THIEVES  2
#define BATCH    8
#define ELEMENTS (uint64_t) TORTURE_SCALE(200000)

struct element {
	uint64_t number;   /* written before the push; read by whoever takes it */
	_Atomic int times; /* [element:times] relaxed: how often it was taken */
};

struct arena {
	struct shunt_deque deque;
	struct element *element; /* of this round */
	bool full, oldest_first;
	_Atomic int stop;                      /* [arena:stop] */
	_Atomic uint64_t stolen, doubled, odd; /* [arena:sums] relaxed */
};

struct thief {
	struct arena *arena;
	uint64_t seed;
};

static void taken(struct arena *arena, struct element *element, uint64_t magic)
{
	/* Relaxed: sums, read after the threads have ended. */
	if (atomic_fetch_add_explicit(&element->times, 1, memory_order_relaxed))
		atomic_fetch_add_explicit(&arena->doubled, 1, memory_order_relaxed);
	if (element->number % 1000 != magic)
		atomic_fetch_add_explicit(&arena->odd, 1, memory_order_relaxed);
}

static void *steal(void *arg)
{
	struct thief *thief = arg;
	struct arena *arena = thief->arena;
	struct shunt_rng rng;
	_Atomic unsigned *attached = NULL; /* [deque:thieves] */
	void *batch[BATCH];
	uint64_t stolen = 0;
	shunt_rng_init(&rng, thief->seed);
	/* Acquire pairs with the release in fight [arena:stop]. */
	while (!atomic_load_explicit(&arena->stop, memory_order_acquire)) {
		if (!arena->oldest_first)
			shunt_deque_attach(&arena->deque, &attached, arena->full);
		for (uint64_t tries = shunt_rng_below(&rng, 20000); tries; tries--) {
			bool lost = false;
			size_t count = 0;
			const struct element *oldest = shunt_deque_oldest(&arena->deque);
			if (oldest && oldest->number % 1000 != 7)
				/* Relaxed: a sum. */
				atomic_fetch_add_explicit(&arena->odd, 1, memory_order_relaxed);
			if (arena->oldest_first)
				count = shunt_deque_steal_half(&arena->deque, batch, BATCH);
			else
				count = (batch[0] = shunt_deque_steal(&arena->deque, &lost)) !=
					NULL;
			for (size_t i = 0; i < count; i++)
				taken(arena, batch[i], 7);
			stolen += count;
		}
		shunt_deque_detach(&attached);
		for (uint64_t pause = shunt_rng_below(&rng, 200); pause; pause--)
			shunt_cpu_relax();
	}
	/* Relaxed: a sum. */
	atomic_fetch_add_explicit(&arena->stolen, stolen, memory_order_relaxed);
	return NULL;
}

/* Pushes each element once, and takes; how many the owner took. */
static uint64_t fight(struct arena *arena, struct shunt_rng *rng)
{
	uint64_t pushed = 0, own = 0;
	while (pushed < ELEMENTS) {
		/* Mostly few, as owner and thieves meet at the last element; sometimes enough to
		 * make it grow. */
		uint64_t most = shunt_rng_below(rng, 64) ? 3 : 2000;
		for (uint64_t burst = shunt_rng_below(rng, most); burst && pushed < ELEMENTS;
			burst--) {
			arena->element[pushed].number = pushed * 1000 + 7;
			assert_int_equal(shunt_deque_push(&arena->deque, &arena->element[pushed++]),
				0);
		}
		for (uint64_t burst = shunt_rng_below(rng, most + 1); burst; burst--) {
			struct element *one = arena->oldest_first
						      ? shunt_deque_take_oldest(&arena->deque, true)
						      : shunt_deque_take(&arena->deque);
			if (!one)
				break;
			taken(arena, one, 7);
			own++;
		}
	}
	return own;
}

/* All that was pushed was taken, here or there, or is left. */
static void account(struct arena *arena, uint64_t own)
{
	uint64_t left = (uint64_t)shunt_deque_count(&arena->deque);
	print_message("%llu taken, %llu stolen, %llu left\n", (unsigned long long)own,
		(unsigned long long)arena->stolen, (unsigned long long)left);
	assert_int_equal(arena->doubled, 0);
	assert_int_equal(arena->odd, 0);
	assert_int_equal(own + arena->stolen + left, ELEMENTS);
}

static void one_round(struct arena *arena, struct shunt_rng *rng)
{
	struct thief thief[THIEVES];
	pthread_t thread[THIEVES];
	memset(arena->element, 0, ELEMENTS * sizeof(*arena->element));
	arena->stolen = 0;
	arena->stop = 0;
	assert_int_equal(shunt_deque_init(&arena->deque, arena->full && !arena->oldest_first), 0);
	for (int i = 0; i < THIEVES; i++) {
		thief[i] = (struct thief){arena, shunt_rng_next(rng)};
		assert_int_equal(pthread_create(&thread[i], NULL, steal, &thief[i]), 0);
	}
	uint64_t own = fight(arena, rng);
	/* Release pairs with the acquire in steal [arena:stop]. */
	atomic_store_explicit(&arena->stop, 1, memory_order_release);
	for (int i = 0; i < THIEVES; i++)
		assert_int_equal(pthread_join(thread[i], NULL), 0);
	account(arena, own);
	shunt_deque_fini(&arena->deque);
}

static void each_is_taken_once(bool full, bool oldest_first)
{
	struct arena arena = {.full = full, .oldest_first = oldest_first};
	struct shunt_rng rng;
	int64_t until = shunt_now_ns() + torture_slice_ns();
	shunt_rng_init(&rng, torture_seed());
	arena.element = calloc(ELEMENTS, sizeof(*arena.element));
	assert_non_null(arena.element);
	if (shunt_barrier_register())
		arena.full = true;
	do
		one_round(&arena, &rng);
	while (shunt_now_ns() < until);
	free(arena.element);
}

static void with_asymmetric_fences(void **state)
{
	(void)state;
	each_is_taken_once(false, false);
}

static void with_full_fences(void **state)
{
	(void)state;
	each_is_taken_once(true, false);
}

static void oldest_first(void **state)
{
	(void)state;
	each_is_taken_once(true, true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(with_asymmetric_fences),
		cmocka_unit_test(with_full_fences),
		cmocka_unit_test(oldest_first),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
