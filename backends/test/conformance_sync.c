/* SPDX-License-Identifier: MIT */
/* Clauses about mutex, semaphore, condition, channel and wait group, with every deadline form. */
#include "backends/test/conformance.h"

#include <errno.h>
#include <string.h>

enum { WAITERS = 5 };

/* What the waiters of one object did, in order. */
static struct {
	int order[4 * WAITERS];
	int count;
} story;

static void tell(int what)
{
	int at = __atomic_fetch_add(&story.count, 1, __ATOMIC_SEQ_CST);
	if (at < 4 * WAITERS)
		story.order[at] = what;
}

static void *join_all(struct shunt_handle *handle, int count, void *arg)
{
	for (int i = 0; i < count; i++)
		EXPECT_INT(0, shunt_join(handle[i], NULL));
	return arg;
}

/* ---- mutex ----------------------------------------------------------------------------------- */

static struct shunt_mutex mutex;
static int inside, most_inside, total;

static void *add_under_lock(void *arg)
{
	for (int i = 0; i < 50; i++) {
		EXPECT_INT(0, shunt_mutex_lock(&mutex));
		int now = ++inside;
		most_inside = now > most_inside ? now : most_inside;
		int before = total;
		shunt_yield();
		total = before + 1;
		inside--;
		EXPECT_INT(0, shunt_mutex_unlock(&mutex));
	}
	return arg;
}

static void *a_mutex_excludes(void *arg)
{
	struct shunt_handle handle[WAITERS];
	memset(&mutex, 0, sizeof(mutex));
	inside = most_inside = total = 0;
	for (int i = 0; i < WAITERS; i++)
		EXPECT_INT(0, shunt_spawn(&handle[i], add_under_lock, NULL, NULL));
	EXPECT(join_all(handle, WAITERS, arg));
	EXPECT_INT(1, most_inside);
	EXPECT_INT(50 * WAITERS, total);
	return arg;
}

static void *unlock_anothers(void *arg)
{
	EXPECT_INT(-EPERM, shunt_mutex_unlock(&mutex));
	EXPECT(!shunt_mutex_try_lock(&mutex));
	int64_t deadline = shunt_now_ns() + MS / 2;
	EXPECT_INT(-ETIMEDOUT, shunt_mutex_lock_until(&mutex, deadline));
	EXPECT(shunt_now_ns() >= deadline);
	EXPECT_INT(-ETIMEDOUT, shunt_mutex_lock_until(&mutex, 0));
	EXPECT_INT(-EPERM, shunt_mutex_unlock(&mutex));
	return arg;
}

static void *a_mutex_has_an_owner(void *arg)
{
	struct shunt_handle handle;
	memset(&mutex, 0, sizeof(mutex));
	EXPECT_INT(-EPERM, shunt_mutex_unlock(&mutex));
	EXPECT(shunt_mutex_try_lock(&mutex));
	EXPECT(!shunt_mutex_try_lock(&mutex));
	EXPECT_INT(-EDEADLK, shunt_mutex_lock(&mutex));
	EXPECT_INT(-EDEADLK, shunt_mutex_lock_until(&mutex, shunt_now_ns() + MS));
	EXPECT_INT(0, shunt_spawn(&handle, unlock_anothers, &mutex, NULL));
	EXPECT_INT(0, shunt_join(handle, NULL));
	EXPECT_INT(0, shunt_mutex_unlock(&mutex));
	/* Nobody waits any more: the task that gave up is not the owner. */
	EXPECT_INT(0, shunt_mutex_lock_until(&mutex, 0));
	EXPECT_INT(0, shunt_mutex_unlock(&mutex));
	return arg;
}

static void *lock_and_tell(void *arg)
{
	EXPECT_INT(0, shunt_mutex_lock(&mutex));
	tell((int)(intptr_t)arg);
	EXPECT_INT(0, shunt_mutex_unlock(&mutex));
	return arg;
}

static void *a_mutex_is_handed_over_in_order(void *arg)
{
	struct shunt_handle handle[WAITERS];
	memset(&mutex, 0, sizeof(mutex));
	story.count = 0;
	EXPECT_INT(0, shunt_mutex_lock(&mutex));
	for (intptr_t i = 0; i < WAITERS; i++) {
		EXPECT_INT(0, shunt_spawn(&handle[i], lock_and_tell, (void *)i, NULL));
		await_waiters(&mutex.waiters, &mutex.waiters.lock, (int)i + 1);
	}
	EXPECT_INT(0, shunt_mutex_unlock(&mutex));
	/* It is the first waiter's now: nobody overtakes, not even the last owner. */
	EXPECT_INT(0, shunt_mutex_lock(&mutex));
	EXPECT_INT(WAITERS, story.count);
	EXPECT_INT(0, shunt_mutex_unlock(&mutex));
	EXPECT(join_all(handle, WAITERS, arg ? arg : story.order));
	for (int i = 0; i < WAITERS; i++)
		EXPECT_INT(i, story.order[i]);
	return arg;
}

static void *lock_and_end(void *arg)
{
	EXPECT_INT(0, shunt_mutex_lock(&mutex));
	return arg;
}

static void *is_not_the_owner(void *arg)
{
	struct shunt_condition condition = {.waiters = {NULL, NULL, 0}};
	EXPECT(!shunt_mutex_try_lock(&mutex));
	EXPECT_INT(-ETIMEDOUT, shunt_mutex_lock_until(&mutex, 0));
	EXPECT_INT(-EPERM, shunt_condition_wait_until(&condition, &mutex, 0));
	EXPECT_INT(-EPERM, shunt_mutex_unlock(&mutex));
	return arg;
}

static void *an_ended_owner_stays_the_owner(void *arg)
{
	struct shunt_handle owner, next = {NULL, 0};
	memset(&mutex, 0, sizeof(mutex));
	EXPECT_INT(0, shunt_spawn(&owner, lock_and_end, &mutex, NULL));
	EXPECT_INT(0, shunt_join(owner, NULL));
	for (int i = 0; i < 100 && next.task != owner.task; i++) {
		EXPECT_INT(0, shunt_spawn(&next, is_not_the_owner, &mutex, NULL));
		EXPECT_INT(0, shunt_join(next, NULL));
	}
	/* Of several workers the one that has the descriptor may not be the one that spawns. */
	EXPECT(next.task == owner.task || under_test.sched->worker_count > 1);
	return arg;
}

/* ---- semaphore ------------------------------------------------------------------------------- */

static struct shunt_semaphore semaphore;

static void *wait_and_tell(void *arg)
{
	EXPECT_INT(0, shunt_semaphore_wait(&semaphore));
	tell((int)(intptr_t)arg);
	return arg;
}

static void *a_semaphore_counts(void *arg)
{
	shunt_semaphore_init(&semaphore, 2);
	EXPECT(shunt_semaphore_try_wait(&semaphore));
	EXPECT_INT(0, shunt_semaphore_wait(&semaphore));
	EXPECT(!shunt_semaphore_try_wait(&semaphore));
	int64_t deadline = shunt_now_ns() + MS / 2;
	EXPECT_INT(-ETIMEDOUT, shunt_semaphore_wait_until(&semaphore, deadline));
	EXPECT(shunt_now_ns() >= deadline);
	/* The wait that gave up took nothing, neither then nor later. */
	shunt_semaphore_post(&semaphore);
	EXPECT_INT(0, shunt_semaphore_wait_until(&semaphore, 0));
	shunt_semaphore_post(&semaphore);
	shunt_semaphore_post(&semaphore);
	EXPECT(shunt_semaphore_try_wait(&semaphore));
	EXPECT(shunt_semaphore_try_wait(&semaphore));
	EXPECT(!shunt_semaphore_try_wait(&semaphore));
	return arg;
}

static void *a_semaphore_wakes_in_order(void *arg)
{
	struct shunt_handle handle[WAITERS];
	shunt_semaphore_init(&semaphore, 0);
	story.count = 0;
	for (intptr_t i = 0; i < WAITERS; i++) {
		EXPECT_INT(0, shunt_spawn(&handle[i], wait_and_tell, (void *)i, NULL));
		await_waiters(&semaphore.waiters, &semaphore.waiters.lock, (int)i + 1);
	}
	for (int i = 0; i < WAITERS; i++) {
		shunt_semaphore_post(&semaphore);
		/* The unit is the waiter's: it cannot be taken from under it. */
		EXPECT(!shunt_semaphore_try_wait(&semaphore));
		EXPECT_INT(0, shunt_join(handle[i], NULL));
		EXPECT_INT(i + 1, story.count);
		EXPECT_INT(i, story.order[i]);
	}
	return arg;
}

static int posts, taken;

static void *take_with_deadlines(void *arg)
{
	for (int i = 0; i < 100; i++)
		if (!shunt_semaphore_wait_until(&semaphore, shunt_now_ns() + 1000 + i % 32 * 1000))
			count_up(&taken);
	return arg;
}

static void *post_now_and_then(void *arg)
{
	for (int i = 0; i < 200; i++) {
		shunt_semaphore_post(&semaphore);
		count_up(&posts);
		shunt_yield();
		if (i % 16 == 0)
			give_way();
	}
	return arg;
}

static void *no_unit_is_lost_or_doubled(void *arg)
{
	struct shunt_handle handle[WAITERS + 1];
	shunt_semaphore_init(&semaphore, 0);
	posts = taken = 0;
	for (int i = 0; i < WAITERS; i++)
		EXPECT_INT(0, shunt_spawn(&handle[i], take_with_deadlines, NULL, NULL));
	EXPECT_INT(0, shunt_spawn(&handle[WAITERS], post_now_and_then, NULL, NULL));
	for (int i = 0; i <= WAITERS; i++)
		EXPECT_INT(0, shunt_join(handle[i], NULL));
	while (shunt_semaphore_try_wait(&semaphore))
		taken++;
	EXPECT_INT(posts, taken);
	return arg;
}

/* ---- condition ------------------------------------------------------------------------------- */

static struct shunt_condition condition;

static void *wait_for_signal(void *arg)
{
	EXPECT_INT(0, shunt_mutex_lock(&mutex));
	EXPECT_INT(0, shunt_condition_wait(&condition, &mutex));
	tell((int)(intptr_t)arg);
	EXPECT_INT(0, shunt_mutex_unlock(&mutex));
	return arg;
}

static void *a_condition_wakes_one_or_all(void *arg)
{
	struct shunt_handle handle[WAITERS];
	memset(&mutex, 0, sizeof(mutex));
	memset(&condition, 0, sizeof(condition));
	story.count = 0;
	shunt_condition_signal(&condition); /* nobody waits: nothing is kept */
	for (intptr_t i = 0; i < WAITERS; i++) {
		EXPECT_INT(0, shunt_spawn(&handle[i], wait_for_signal, (void *)i, NULL));
		await_waiters(&condition.waiters, &condition.waiters.lock, (int)i + 1);
	}
	for (int i = 0; i < 2; i++) {
		shunt_condition_signal(&condition);
		EXPECT_INT(0, shunt_join(handle[i], NULL));
		EXPECT_INT(i + 1, story.count);
		EXPECT_INT(i, story.order[i]);
	}
	EXPECT_INT(0, shunt_mutex_lock(&mutex));
	shunt_condition_broadcast(&condition);
	give_way();
	EXPECT_INT(2, story.count); /* they need the mutex first */
	EXPECT_INT(0, shunt_mutex_unlock(&mutex));
	EXPECT(join_all(handle + 2, WAITERS - 2, &story));
	EXPECT_INT(WAITERS, story.count);
	return arg;
}

static void *a_condition_wait_owns_its_mutex(void *arg)
{
	memset(&mutex, 0, sizeof(mutex));
	memset(&condition, 0, sizeof(condition));
	EXPECT_INT(-EPERM, shunt_condition_wait(&condition, &mutex));
	EXPECT_INT(-EPERM, shunt_condition_wait_until(&condition, &mutex, 0));
	EXPECT_INT(0, shunt_mutex_lock(&mutex));
	for (int i = 0; i < 3; i++) {
		int64_t deadline = shunt_now_ns() + MS / 2;
		EXPECT_INT(-ETIMEDOUT, shunt_condition_wait_until(&condition, &mutex, deadline));
		EXPECT(shunt_now_ns() >= deadline);
		EXPECT_INT(-EDEADLK, shunt_mutex_lock(&mutex)); /* it is ours */
	}
	EXPECT_INT(0, shunt_mutex_unlock(&mutex));
	EXPECT(condition.waiters.head == NULL);
	return arg;
}

/* ---- channel --------------------------------------------------------------------------------- */

static struct shunt_channel channel;

static void *send_ten(void *arg)
{
	for (intptr_t i = 1; i <= 10; i++)
		EXPECT_INT(0, shunt_channel_send(&channel, (void *)i));
	return arg;
}

/* With capacity 0, 1 and 4 in turn. */
static void *a_channel_keeps_order(void *arg)
{
	for (size_t capacity = 0; capacity <= 4; capacity = capacity ? capacity * 4 : 1) {
		struct shunt_handle sender;
		EXPECT_INT(0, shunt_channel_init(&channel, capacity));
		EXPECT_INT(0, shunt_spawn(&sender, send_ten, NULL, NULL));
		for (intptr_t i = 1; i <= 10; i++) {
			void *value = NULL;
			EXPECT_INT(0, shunt_channel_receive(&channel, &value));
			EXPECT_INT(i, (intptr_t)value);
		}
		EXPECT_INT(0, shunt_join(sender, NULL));
		shunt_channel_fini(&channel);
	}
	return arg;
}

static void *a_channel_wait_gives_up(void *arg)
{
	void *value = &value;
	EXPECT_INT(0, shunt_channel_init(&channel, 1));
	int64_t deadline = shunt_now_ns() + MS / 2;
	EXPECT_INT(-ETIMEDOUT, shunt_channel_receive_until(&channel, &value, deadline));
	EXPECT(shunt_now_ns() >= deadline);
	EXPECT(value == &value);
	EXPECT_INT(0, shunt_channel_send(&channel, &channel));
	deadline = shunt_now_ns() + MS / 2;
	EXPECT_INT(-ETIMEDOUT, shunt_channel_send_until(&channel, &story, deadline));
	EXPECT(shunt_now_ns() >= deadline);
	/* What was not sent does not arrive. */
	EXPECT_INT(0, shunt_channel_receive_until(&channel, &value, 0));
	EXPECT(value == &channel);
	EXPECT_INT(-ETIMEDOUT, shunt_channel_receive_until(&channel, &value, 0));
	shunt_channel_fini(&channel);
	return arg;
}

static void *send_one(void *arg)
{
	return (void *)(intptr_t)shunt_channel_send(&channel, arg);
}

static void *receive_one(void *arg)
{
	void *value;
	(void)arg;
	return (void *)(intptr_t)shunt_channel_receive(&channel, &value);
}

static void *a_closed_channel_is_drained(void *arg)
{
	struct shunt_handle blocked;
	void *value, *result;
	EXPECT_INT(0, shunt_channel_init(&channel, 2));
	EXPECT_INT(0, shunt_channel_send(&channel, &mutex));
	EXPECT_INT(0, shunt_channel_send(&channel, &semaphore));
	EXPECT_INT(0, shunt_spawn(&blocked, send_one, &story, NULL));
	await_waiters(&channel.senders, &channel.senders.lock, 1);
	shunt_channel_close(&channel);
	EXPECT_INT(0, shunt_join(blocked, &result));
	EXPECT_INT(-EPIPE, (intptr_t)result);
	EXPECT_INT(-EPIPE, shunt_channel_send(&channel, &story));
	EXPECT_INT(0, shunt_channel_receive(&channel, &value));
	EXPECT(value == &mutex);
	EXPECT_INT(0, shunt_channel_receive(&channel, &value));
	EXPECT(value == &semaphore);
	EXPECT_INT(-EPIPE, shunt_channel_receive(&channel, &value));
	shunt_channel_fini(&channel);
	return arg;
}

static void *closing_ends_every_receive(void *arg)
{
	struct shunt_handle handle[WAITERS];
	EXPECT_INT(0, shunt_channel_init(&channel, 0));
	for (int i = 0; i < WAITERS; i++)
		EXPECT_INT(0, shunt_spawn(&handle[i], receive_one, NULL, NULL));
	await_waiters(&channel.receivers, &channel.senders.lock, WAITERS);
	shunt_channel_close(&channel);
	for (int i = 0; i < WAITERS; i++) {
		void *result;
		EXPECT_INT(0, shunt_join(handle[i], &result));
		EXPECT_INT(-EPIPE, (intptr_t)result);
	}
	shunt_channel_fini(&channel);
	return arg;
}

/* ---- wait group ------------------------------------------------------------------------------ */

static struct shunt_wait_group group;

static void *finish_later(void *arg)
{
	give_way();
	tell(1);
	shunt_wait_group_done(&group);
	return arg;
}

static void *wait_for_group(void *arg)
{
	EXPECT_INT(0, shunt_wait_group_wait(&group));
	EXPECT(count_now(&story.count) >= WAITERS);
	return arg;
}

static void *a_wait_group_waits(void *arg)
{
	struct shunt_handle handle[WAITERS], waiter[2];
	memset(&group, 0, sizeof(group));
	EXPECT_INT(0, shunt_wait_group_wait(&group)); /* nothing in progress */
	for (int again = 0; again < 2; again++) {
		story.count = 0;
		shunt_wait_group_add(&group, WAITERS + 1);
		for (int i = 0; i < WAITERS; i++)
			EXPECT_INT(0, shunt_spawn(&handle[i], finish_later, NULL, NULL));
		for (int i = 0; i < 2; i++)
			EXPECT_INT(0, shunt_spawn(&waiter[i], wait_for_group, NULL, NULL));
		int64_t deadline = shunt_now_ns() + 2 * MS;
		EXPECT_INT(-ETIMEDOUT, shunt_wait_group_wait_until(&group, deadline));
		EXPECT(shunt_now_ns() >= deadline);
		EXPECT(join_all(handle, WAITERS, &story));
		shunt_wait_group_done(&group);
		EXPECT_INT(0, shunt_wait_group_wait_until(&group, 0));
		EXPECT(join_all(waiter, 2, &story));
	}
	return arg;
}

/* ---- permits and objects --------------------------------------------------------------------- */

static void *stale_wakes_break_nothing(void *arg)
{
	struct shunt_handle waiter;
	shunt_semaphore_init(&semaphore, 0);
	story.count = 0;
	EXPECT_INT(0, shunt_spawn(&waiter, wait_and_tell, (void *)3, NULL));
	await_waiters(&semaphore.waiters, &semaphore.waiters.lock, 1);
	for (int i = 0; i < 5; i++) {
		EXPECT(shunt_wake(waiter));
		give_way();
	}
	EXPECT_INT(0, story.count);
	shunt_semaphore_post(&semaphore);
	EXPECT_INT(0, shunt_join(waiter, NULL));
	EXPECT_INT(1, story.count);
	return arg;
}

#define BLOCKS SHUNT_CAN_BLOCK
#define TIMES  (SHUNT_CAN_BLOCK | SHUNT_TIMED)

const struct clause conformance_sync[] = {
	CLAUSE("a mutex excludes", BLOCKS, a_mutex_excludes),
	CLAUSE("a mutex has an owner", TIMES, a_mutex_has_an_owner),
	CLAUSE("an ended owner stays the owner", TIMES, an_ended_owner_stays_the_owner),
	CLAUSE("a mutex is handed over in order", TIMES, a_mutex_is_handed_over_in_order),
	CLAUSE("a semaphore counts", TIMES, a_semaphore_counts),
	CLAUSE("a semaphore wakes in order", TIMES, a_semaphore_wakes_in_order),
	CLAUSE("no unit of a semaphore is lost or doubled", TIMES, no_unit_is_lost_or_doubled),
	CLAUSE("a condition wakes one or all", TIMES, a_condition_wakes_one_or_all),
	CLAUSE("a condition's wait owns its mutex", TIMES, a_condition_wait_owns_its_mutex),
	CLAUSE("a channel keeps order", BLOCKS, a_channel_keeps_order),
	CLAUSE("a channel's wait gives up at its deadline", TIMES, a_channel_wait_gives_up),
	CLAUSE("a closed channel is drained", TIMES, a_closed_channel_is_drained),
	CLAUSE("closing ends every receive", TIMES, closing_ends_every_receive),
	CLAUSE("a wait group waits", TIMES, a_wait_group_waits),
	CLAUSE("stale wakes break no other wait", TIMES, stale_wakes_break_nothing),
	{.name = NULL},
};
