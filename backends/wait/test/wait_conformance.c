/* SPDX-License-Identifier: MIT */
/*
 * If this passes, every wait slot of the registry, with every value of its choices, keeps its
 * contract: a wake at any time ends the coming or present sleep, a sleep without one lasts until
 * its deadline and not much longer, nothing is lost between threads that have no timeout to save
 * them, looking costs no system call, and closing leaves no descriptor behind. A slot with timers
 * of its own fires each live one once, never early, and no cancelled one.
 *
 * Time is judged by CLOCK_MONOTONIC alone. A slot that this machine refuses is skipped, with its
 * own reason.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "backends/wait/test/harness.h"
#include "core/registry.h"

#include <dirent.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/time.h>
#include <unistd.h>

#define MS INT64_C(1000000)

/* ---- one worker ------------------------------------------------------------------------------ */

static void sleep_ms(int64_t ms)
{
	usleep((useconds_t)ms * 1000);
}

struct alarm_clock {
	struct harness *h;
	void *target;
	int64_t after_ms;
	int64_t rung_ns;
};

static void *ring_later(void *arg)
{
	struct alarm_clock *a = arg;

	sleep_ms(a->after_ms);
	a->rung_ns = now_ns();
	a->h->ops->wake(a->target, NULL);
	return NULL;
}

static void ring_in_other_thread(struct alarm_clock *a, pthread_t *thread)
{
	assert_int_equal(pthread_create(thread, NULL, ring_later, a), 0);
}

static void a_wake_before_the_sleep_ends_it(void **state)
{
	struct harness *h = harness_open(*state);
	void *slot = harness_start(h, 0, NULL);
	struct alarm_clock a = {.h = h, .target = slot};

	for (int when = 0; when < 3; when++) {
		int64_t begin = now_ns();
		pthread_t thread;

		if (when > 0)
			h->ops->prepare(slot);
		ring_in_other_thread(&a, &thread);
		pthread_join(thread, NULL);
		if (when == 0)
			h->ops->prepare(slot);
		if (when == 2 && h->ops->poll != NULL)
			h->ops->poll(slot);
		assert_int_equal(h->ops->commit(slot, begin + 10000 * MS), 0);
		assert_true(now_ns() - begin < 5000 * MS);
	}
	h->ops->stop(slot);
	harness_close(h);
}

static void a_wake_ends_the_sleep(void **state)
{
	struct harness *h = harness_open(*state);
	void *slot = harness_start(h, 0, NULL);

	for (int round = 0; round < 3; round++) {
		struct alarm_clock a = {.h = h, .target = slot, .after_ms = 10};
		int64_t begin = now_ns();
		pthread_t thread;

		ring_in_other_thread(&a, &thread);
		do {
			h->ops->prepare(slot);
			assert_int_equal(h->ops->commit(slot, begin + 10000 * MS), 0);
		} while (now_ns() - begin < 5 * MS); /* spurious returns are allowed */
		assert_true(now_ns() - begin < 5000 * MS);
		pthread_join(thread, NULL);
	}
	h->ops->stop(slot);
	harness_close(h);
}

static void a_sleep_lasts_until_its_deadline(void **state)
{
	struct harness *h = harness_open(*state);
	void *slot = harness_start(h, 0, NULL);
	struct shunt_rng rng;

	shunt_rng_init(&rng, 7);
	for (int round = 0; round < 60; round++) {
		int64_t deadline = now_ns() + (int64_t)shunt_rng_below(&rng, 4 * MS);
		int returns = 0;

		do {
			h->ops->prepare(slot);
			assert_int_equal(h->ops->commit(slot, deadline), 0);
			returns++;
		} while (now_ns() < deadline);
		/* A slot that returned early each time would be a busy loop. */
		if (!h->ops->spins)
			assert_in_range(returns, 1, 8);
		assert_true(now_ns() - deadline < 1000 * MS);
	}
	h->ops->stop(slot);
	harness_close(h);
}

static void a_deadline_in_the_past_is_no_sleep(void **state)
{
	static const int64_t past[] = {INT64_MIN, -1, 0, 1, 999999999};
	struct harness *h = harness_open(*state);
	void *slot = harness_start(h, 0, NULL);
	int64_t begin = now_ns();

	for (size_t i = 0; i < sizeof(past) / sizeof(past[0]); i++) {
		h->ops->prepare(slot);
		assert_int_equal(h->ops->commit(slot, past[i]), 0);
	}
	h->ops->prepare(slot);
	assert_int_equal(h->ops->commit(slot, begin), 0);
	assert_true(now_ns() - begin < 1000 * MS);
	h->ops->stop(slot);
	harness_close(h);
}

static void an_aborted_sleep_leaves_the_next_one_whole(void **state)
{
	struct harness *h = harness_open(*state);
	void *slot = harness_start(h, 0, NULL);
	int64_t deadline;
	int returns = 0;

	for (int i = 0; i < 100; i++) {
		h->ops->prepare(slot);
		h->ops->abort(slot);
	}
	deadline = now_ns() + 5 * MS;
	do {
		h->ops->prepare(slot);
		assert_int_equal(h->ops->commit(slot, deadline), 0);
		returns++;
	} while (now_ns() < deadline);
	if (!h->ops->spins)
		assert_in_range(returns, 1, 8);
	h->ops->stop(slot);
	harness_close(h);
}

static void looking_and_waking_the_awake_cost_no_system_call(void **state)
{
	struct harness *h = harness_open(*state);
	void *slot = harness_start(h, 0, NULL);
	uint64_t before;

	assert_non_null(h->ops->syscalls);
	h->ops->wake(slot, slot);
	h->ops->prepare(slot);
	assert_int_equal(h->ops->commit(slot, 0), 0);
	before = h->ops->syscalls(slot);
	for (int i = 0; i < 1000; i++) {
		if (h->ops->poll != NULL)
			h->ops->poll(slot);
		h->ops->prepare(slot);
		h->ops->abort(slot);
		h->ops->wake(slot, NULL);
	}
	assert_int_equal(h->ops->syscalls(slot) - before, 0);
	h->ops->stop(slot);
	harness_close(h);
}

static void on_signal(int number)
{
	(void)number;
}

/* A profiler's signals interrupt sleeps all the time. */
static void a_storm_of_signals_ends_no_run(void **state)
{
	struct harness *h = harness_open(*state);
	struct sigaction action = {.sa_handler = on_signal}, before;
	struct itimerval often = {{0, 150}, {0, 150}}, never = {{0, 0}, {0, 0}};
	void *slot = harness_start(h, 0, NULL);

	assert_int_equal(sigaction(SIGALRM, &action, &before), 0);
	setitimer(ITIMER_REAL, &often, NULL);
	for (int round = 0; round < 20; round++) {
		int64_t deadline = now_ns() + 3 * MS;

		do {
			h->ops->prepare(slot);
			assert_int_equal(h->ops->commit(slot, deadline), 0);
		} while (now_ns() < deadline);
		assert_true(now_ns() - deadline < 1000 * MS);
	}
	setitimer(ITIMER_REAL, &never, NULL);
	sigaction(SIGALRM, &before, NULL);
	h->ops->stop(slot);
	harness_close(h);
}

static void the_slack_is_set_and_put_back(void **state)
{
	struct subject *s = *state;
	struct harness *h = harness_open_with(s, 12345);
	int before = prctl(PR_GET_TIMERSLACK, 0, 0, 0, 0);
	void *slot = harness_start(h, 0, NULL);

	assert_int_equal(prctl(PR_GET_TIMERSLACK, 0, 0, 0, 0), 12345);
	h->ops->stop(slot);
	assert_int_equal(prctl(PR_GET_TIMERSLACK, 0, 0, 0, 0), before);
	harness_close(h);
	h = harness_open_with(s, 0); /* 0 would mean "the default" to the kernel */
	slot = harness_start(h, 0, NULL);
	assert_int_equal(prctl(PR_GET_TIMERSLACK, 0, 0, 0, 0), 1);
	h->ops->stop(slot);
	harness_close(h);
}

static int open_descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int count = 0;

	assert_non_null(dir);
	while (readdir(dir) != NULL)
		count++;
	closedir(dir);
	return count;
}

static void closing_leaves_no_descriptor(void **state)
{
	int before = open_descriptors();

	for (int round = 0; round < 3; round++) {
		struct harness *h = harness_open(*state);
		void *slot = harness_start(h, 0, NULL);

		h->ops->prepare(slot);
		assert_int_equal(h->ops->commit(slot, now_ns() + MS), 0);
		h->ops->stop(slot);
		harness_close(h);
	}
	assert_int_equal(open_descriptors(), before);
}

static void count_fact(void *sink, const char *name, const char *value, const char *source)
{
	assert_true(name[0] != '\0' && value[0] != '\0' && source[0] != '\0');
	++*(int *)sink;
}

static void facts_are_told(void **state)
{
	struct harness *h = harness_open(*state);
	void *slot = harness_start(h, 0, NULL);
	int told = 0;

	if (h->ops->facts != NULL) {
		h->ops->facts(h->wait, count_fact, &told);
		assert_true(told > 0);
	}
	h->ops->stop(slot);
	harness_close(h);
}

/* ---- timers of its own ----------------------------------------------------------------------- */

#define OWN_TIMERS 20000 /* more than any ring of ours holds */

struct own {
	struct shunt_task *task;
	int64_t *deadline_ns;
	unsigned char *armed;
	size_t fired_count;
	bool early, stale, wrong;
};

static void own_fired(void *arg, const struct shunt_timer *timer)
{
	struct own *own = arg;
	size_t i = (size_t)(timer->task - own->task);

	own->early |= now_ns() < own->deadline_ns[i];
	own->wrong |= timer->deadline_ns != own->deadline_ns[i];
	own->stale |= !own->armed[i];
	own->armed[i] = 0;
	own->fired_count++;
	task_runs(timer->task);
}

static struct own *own_new(size_t count)
{
	struct own *own = calloc(1, sizeof(*own));

	own->task = aligned_alloc(_Alignof(struct shunt_task), count * sizeof(*own->task));
	own->deadline_ns = calloc(count, sizeof(*own->deadline_ns));
	own->armed = calloc(count, 1);
	assert_true(own->task != NULL && own->deadline_ns != NULL && own->armed != NULL);
	memset(own->task, 0, count * sizeof(*own->task));
	return own;
}

static void own_free(struct own *own)
{
	free(own->task);
	free(own->deadline_ns);
	free(own->armed);
	free(own);
}

static void own_arm(struct harness *h, void *slot, struct own *own, size_t i, int64_t deadline_ns)
{
	struct shunt_timer timer;

	task_blocks(&own->task[i]);
	timer = timer_of(&own->task[i], deadline_ns);
	own->deadline_ns[i] = deadline_ns;
	own->armed[i] = 1;
	assert_int_equal(h->ops->arm(slot, &timer), 0);
}

static void own_cancel(struct harness *h, void *slot, struct own *own, size_t i)
{
	struct shunt_timer timer = timer_of(&own->task[i], own->deadline_ns[i]);

	task_runs(&own->task[i]);
	own->armed[i] = 0;
	h->ops->cancelled(slot, &timer);
}

static void own_wait_for(struct harness *h, void *slot, struct own *own, size_t count)
{
	int64_t begin = now_ns();

	while (own->fired_count < count && now_ns() - begin < 10000 * MS) {
		h->ops->poll(slot);
		if (own->fired_count >= count)
			break;
		h->ops->prepare(slot);
		assert_int_equal(h->ops->commit(slot, begin + 10000 * MS), 0);
		h->ops->poll(slot);
	}
	assert_int_equal(own->fired_count, count);
	assert_false(own->early);
	assert_false(own->wrong);
	assert_false(own->stale);
}

static void own_timers_fire_once_and_never_early(void **state)
{
	struct harness *h = harness_open(*state);
	struct own *own;
	struct shunt_rng rng;
	void *slot;

	own = own_new(OWN_TIMERS);
	slot = harness_start(h, 0, own);
	shunt_rng_init(&rng, harness_seed(h));
	for (size_t i = 0; i < OWN_TIMERS; i++)
		own_arm(h, slot, own, i, now_ns() + (int64_t)shunt_rng_below(&rng, 50 * MS) - MS);
	own_wait_for(h, slot, own, OWN_TIMERS);
	assert_int_equal(h->ops->in_flight(slot), 0);
	h->ops->stop(slot);
	own_free(own);
	harness_close(h);
}

static void cancelled_own_timers_never_fire(void **state)
{
	struct harness *h = harness_open(*state);
	struct own *own;
	struct shunt_rng rng;
	size_t live = 0;
	int64_t end;
	void *slot;

	own = own_new(OWN_TIMERS);
	slot = harness_start(h, 0, own);
	shunt_rng_init(&rng, harness_seed(h));
	for (size_t i = 0; i < OWN_TIMERS; i++) {
		/* Every other one far ahead, and those are all cancelled. */
		bool far = i % 2 != 0;

		own_arm(h, slot, own, i, now_ns() + (far ? 3600000 * MS
			: 20 * MS + (int64_t)shunt_rng_below(&rng, 40 * MS)));
		if (i >= 100 && (far || shunt_rng_below(&rng, 2) == 0)) {
			size_t victim = i - 1 - shunt_rng_below(&rng, 50);

			if (own->armed[victim] && own->deadline_ns[victim] > now_ns() + 5 * MS)
				own_cancel(h, slot, own, victim);
		}
	}
	for (size_t i = 1; i < OWN_TIMERS; i += 2)
		if (own->armed[i])
			own_cancel(h, slot, own, i);
	for (size_t i = 0; i < OWN_TIMERS; i++)
		live += own->armed[i];
	own_wait_for(h, slot, own, own->fired_count + live);
	/* The far ones were taken back too: nothing stays in flight until its hour comes. */
	end = now_ns() + 5000 * MS;
	while (h->ops->in_flight(slot) > 0 && now_ns() < end) {
		h->ops->prepare(slot);
		assert_int_equal(h->ops->commit(slot, now_ns() + 10 * MS), 0);
		h->ops->poll(slot);
	}
	assert_int_equal(h->ops->in_flight(slot), 0);
	own_wait_for(h, slot, own, own->fired_count);
	h->ops->stop(slot);
	own_free(own);
	harness_close(h);
}

/* ---- several threads ------------------------------------------------------------------------- */

/*
 * A ball goes to and fro between two workers that sleep without a deadline; a third thread, no
 * worker, wakes both at random. A wake lost ends the game, and the referee sees that it stands.
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
		ops->prepare(slot);
		full_fence();
		if (atomic_load(&c->ball) == p->index || atomic_load(&c->over)) {
			ops->abort(slot);
			continue;
		}
		if (ops->commit(slot, SHUNT_NEVER) != 0)
			c->failed = 1;
	}
	pthread_barrier_wait(&c->ready); /* nobody wakes a slot that has stopped */
	pthread_barrier_wait(&c->ready);
	atomic_fetch_add(&c->calls, ops->syscalls(slot));
	ops->stop(slot);
	return NULL;
}

static void referee(struct court *c, int64_t box_ms)
{
	int64_t end = now_ns() + box_ms * MS, moved_ns = now_ns();
	unsigned long seen = 0;

	while (now_ns() < end) {
		unsigned long hits = atomic_load(&c->hits);

		if (hits != seen)
			moved_ns = now_ns();
		seen = hits;
		if (now_ns() - moved_ns > 5000 * MS)
			fail_msg("a wake was lost after %lu hits", hits);
		sleep_ms(3);
		if (hits % 4 == 0)
			c->h->ops->wake(c->slot[hits / 4 % 2], NULL);
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
	assert_true(c.h->ops->spins || atomic_load(&c.calls) > 10); /* they did sleep */
	assert_true(atomic_load(&c.hits) > 10);
	harness_close(c.h);
}

/* Threads that are no workers hand over work and wake; the worker has no deadline either. */
struct inbox {
	struct harness *h;
	void *slot;
	atomic_ulong sent, taken;
	uint64_t seed;
	int64_t end_ns;
};

static void *send_work(void *arg)
{
	struct inbox *in = arg;
	struct shunt_rng rng;

	shunt_rng_init(&rng, in->seed + (uint64_t)(uintptr_t)&rng);
	while (now_ns() < in->end_ns) {
		atomic_fetch_add(&in->sent, 1);
		in->h->ops->wake(in->slot, NULL);
		dawdle(&rng);
		if (shunt_rng_below(&rng, 64) == 0) {
			/* Wait until it is taken, so that the worker really goes to sleep. */
			unsigned long sent = atomic_load(&in->sent);
			int64_t begin = now_ns();

			while (atomic_load(&in->taken) < sent && now_ns() - begin < 5000 * MS)
				sched_yield();
			if (atomic_load(&in->taken) < sent)
				fail_msg("a wake from outside was lost after %lu", sent);
		}
	}
	return NULL;
}

static void no_wake_from_outside_is_lost(void **state)
{
	struct inbox in = {.h = harness_open(*state)};
	const struct shunt_wait *ops = in.h->ops;
	pthread_t thread[2];
	unsigned long taken = 0;

	in.slot = harness_start(in.h, 0, NULL);
	in.seed = harness_seed(in.h);
	in.end_ns = now_ns() + in.h->torture_ms * MS / 4;
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, send_work, &in), 0);
	while (now_ns() < in.end_ns) {
		unsigned long sent = atomic_load(&in.sent);

		if (sent != taken) {
			taken = sent;
			atomic_store(&in.taken, taken);
			continue;
		}
		ops->prepare(in.slot);
		full_fence();
		if (atomic_load(&in.sent) != taken)
			ops->abort(in.slot);
		else
			assert_int_equal(ops->commit(in.slot, in.end_ns), 0);
	}
	atomic_store(&in.taken, ULONG_MAX);
	for (int i = 0; i < 2; i++)
		pthread_join(thread[i], NULL);
	assert_true(taken > 10);
	ops->stop(in.slot);
	harness_close(in.h);
}

/* ---------------------------------------------------------------------------------------------- */

static int check(struct subject *s)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_prestate(a_wake_before_the_sleep_ends_it, s),
		cmocka_unit_test_prestate(a_wake_ends_the_sleep, s),
		cmocka_unit_test_prestate(a_sleep_lasts_until_its_deadline, s),
		cmocka_unit_test_prestate(a_deadline_in_the_past_is_no_sleep, s),
		cmocka_unit_test_prestate(an_aborted_sleep_leaves_the_next_one_whole, s),
		cmocka_unit_test_prestate(looking_and_waking_the_awake_cost_no_system_call, s),
		cmocka_unit_test_prestate(a_storm_of_signals_ends_no_run, s),
		cmocka_unit_test_prestate(the_slack_is_set_and_put_back, s),
		cmocka_unit_test_prestate(closing_leaves_no_descriptor, s),
		cmocka_unit_test_prestate(facts_are_told, s),
		cmocka_unit_test_prestate(no_wake_is_lost_between_two_workers, s),
		cmocka_unit_test_prestate(no_wake_from_outside_is_lost, s),
	};
	const struct CMUnitTest own_tests[] = {
		cmocka_unit_test_prestate(own_timers_fire_once_and_never_early, s),
		cmocka_unit_test_prestate(cancelled_own_timers_never_fire, s),
	};
	int failed = cmocka_run_group_tests_name(s->title, tests, NULL, NULL);

	if (s->ops->own_timers)
		failed += cmocka_run_group_tests_name(s->title, own_tests, NULL, NULL);
	return failed;
}

int main(int argc, char **argv)
{
	int failed = 0, checked = 0;

	for (const struct shunt_plugin *p = shunt_registry_waits; p->name != NULL; p++) {
		const struct shunt_wait *ops = p->object;
		struct shunt_error why;
		struct subject s;

		/* One slot alone: its name as an argument. A slot without open() is a marker. */
		if (ops == NULL || ops->open == NULL || (argc > 1 && strcmp(argv[1], p->name) != 0))
			continue;
		if (ops->probe != NULL && ops->probe(&why) != 0) {
			print_message("%s: skipped: %s\n", p->name, why.text);
			continue;
		}
		for (size_t variant = 0; subject_init(&s, ops, variant); variant++) {
			if (variant == 0 || !subject_refused(&s)) {
				failed += check(&s);
				checked++;
			}
			subject_fini(&s);
		}
	}
	return failed != 0 || checked == 0;
}
