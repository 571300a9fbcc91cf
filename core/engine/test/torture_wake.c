/* SPDX-License-Identifier: MIT */
/*
 * A wake that meets a worker on its way to sleep is not lost.
 *
 * Two tasks on different workers wake each other in turn, and a thread that is no worker wakes a
 * third. The caller works for a random time before it parks or calls again, so that a wake comes at
 * any moment of a worker's way from its last task to sleep. There are no timers and no
 * other wakes: one that is lost leaves everybody asleep, and ends in a reported deadlock or in the
 * test's time limit.
 *
 * Where workers take each other's tasks, a task starts another and computes until that has run:
 * only the other worker can run it, asleep, on its way there, or napping because so small a task
 * does not pay.
 */
#include "core/engine/test/engine_torture.h"

#include <pthread.h>

#define ROUNDS     TORTURE_SCALE(1000)
#define BESIDE     TORTURE_SCALE(200)
#define DELAY_MOST 20000 /* ns: about what it takes to wake a worker */

static const char *const wake_specs[] = {
	"asm:workers=2,policy=fifo",
	"asm:workers=2,policy=fifo,wait=epoll",
	"asm:workers=2,policy=steal",
	"asm:workers=2,policy=steal,nap=0",
	"asm:workers=2,policy=steal,nap=0,fence=full",
	"asm:workers=2,policy=steal,policy.lifo_slot=3,nap=0",
	"asm:workers=2,policy=shared",
};
#define WAKE_SPECS (sizeof(wake_specs) / sizeof(wake_specs[0]))

struct player {
	uint64_t seed;
	struct shunt_handle other;
	_Atomic long heard; /* how often the other has called */
	struct player *opponent;
};

static struct shunt_wait_group gate;

/* Of every scale: falling asleep takes a hundredth of what it takes to be woken. */
static void delay(struct shunt_rng *rng)
{
	uint64_t most = DELAY_MOST >> shunt_rng_below(rng, 6);
	int64_t until = shunt_now_ns() + (int64_t)shunt_rng_below(rng, most);
	while (shunt_now_ns() < until)
		;
}

static void await(struct player *player, long n)
{
	while (player->heard < n)
		shunt_park();
}

static void *play(void *arg)
{
	struct player *player = arg;
	struct shunt_rng rng;
	shunt_rng_init(&rng, player->seed);
	assert_int_equal(shunt_wait_group_wait(&gate), 0);
	for (long i = 1; i <= ROUNDS; i++) {
		player->opponent->heard = i;
		shunt_wake(player->other);
		delay(&rng);
		await(player, i);
	}
	return NULL;
}

/* Answers and parks at once: the caller, which never sleeps, calls again while its worker tries
 * to. */
static void *answer(void *arg)
{
	struct player *player = arg;
	for (long i = 1; i <= ROUNDS; i++) {
		await(player, i);
		player->opponent->heard = i;
	}
	return NULL;
}

/* Calls the answering task from a thread that is not a worker. */
static void *call(void *arg)
{
	struct player *player = arg;
	struct shunt_rng rng;
	shunt_rng_init(&rng, player->seed);
	for (long i = 1; i <= ROUNDS; i++) {
		player->opponent->heard = i;
		shunt_wake(player->other);
		for (unsigned tries = 1; player->heard < i; tries++)
			if (tries % 1024 == 0)
				sched_yield();
		delay(&rng);
	}
	return NULL;
}

static void play_inside(struct shunt_rng *rng)
{
	struct player side[2] = {{.seed = shunt_rng_next(rng), .opponent = &side[1]},
		{.seed = shunt_rng_next(rng), .opponent = &side[0]}};
	struct shunt_handle task[2];
	gate = (struct shunt_wait_group){.count = 1};
	for (int i = 0; i < 2; i++)
		assert_int_equal(shunt_spawn(&task[i], play, &side[i], NULL), 0);
	side[0].other = task[1];
	side[1].other = task[0];
	shunt_wait_group_done(&gate);
	for (int i = 0; i < 2; i++)
		assert_int_equal(shunt_join(task[i], NULL), 0);
}

static void play_outside(struct shunt_rng *rng)
{
	struct player side[2] = {{.seed = shunt_rng_next(rng), .opponent = &side[1]},
		{.seed = shunt_rng_next(rng), .opponent = &side[0]}};
	struct shunt_sched *sched = shunt_self().task->sched;
	struct shunt_handle task;
	pthread_t thread;
	shunt_hold(sched);
	assert_int_equal(shunt_spawn(&task, answer, &side[0], NULL), 0);
	side[1].other = task;
	assert_int_equal(pthread_create(&thread, NULL, call, &side[1]), 0);
	assert_int_equal(shunt_join(task, NULL), 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
	shunt_release(sched);
}

static void *raise_flag(void *flag)
{
	/* Release pairs with the acquire in play_beside [beside:flag]. */
	__atomic_store_n((int *)flag, 1, __ATOMIC_RELEASE);
	return NULL;
}

static void play_beside(struct shunt_rng *rng)
{
	if (!(shunt_self().task->sched->caps & SHUNT_MIGRATES))
		return;
	for (int i = 0; i < BESIDE; i++) {
		int flag = 0; /* [beside:flag] */
		struct shunt_handle task;
		assert_int_equal(shunt_spawn(&task, raise_flag, &flag, NULL), 0);
		/* Acquire pairs with the release in raise_flag [beside:flag]. */
		for (unsigned tries = 1; !__atomic_load_n(&flag, __ATOMIC_ACQUIRE); tries++)
			if (tries % 1024 == 0)
				sched_yield();
		assert_int_equal(shunt_join(task, NULL), 0);
		delay(rng);
	}
}

static void *root(void *arg)
{
	struct shunt_rng rng;
	shunt_rng_init(&rng, *(uint64_t *)arg);
	int64_t until = shunt_now_ns() + torture_slice_ns();
	do {
		play_inside(&rng);
		play_outside(&rng);
		play_beside(&rng);
	} while (shunt_now_ns() < until);
	return NULL;
}

static void no_wake_is_lost(void **state)
{
	(void)state;
	torture_all(wake_specs, WAKE_SPECS, torture_seed(), root);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(no_wake_is_lost)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
