/* SPDX-License-Identifier: MIT */
/*
 * If this passes, uring-each hands timers over in batches and collects them without a call, and the
 * ring slots lose no timer and fire none early whatever the kernel does to them: storms of EINTR,
 * EAGAIN and EBUSY, a submission ring that is full, a completion ring that overflows, results lost
 * when memory runs out, timeouts refused one by one, messages refused; and a ring or an allocation
 * that cannot be had is an error that leaves nothing behind.
 *
 * Faults are put in between the slots and liburing, and between uring-each and its ring, by --wrap.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "backends/wait/ring_slot.h"
#include "backends/wait/test/harness.h"

#include <errno.h>
#include <linux/io_uring.h>
#include <pthread.h>
#include <unistd.h>

/* What is not done by then is taken for lost, on a machine however busy. */
#define PATIENCE_NS  (60000 * MS)
#define LEAD_MOST_NS (10000 * MS)

#define DEFER_TASKRUN (1u << 13) /* IORING_SETUP_, which older headers lack */

struct io_uring;

int __real_io_uring_queue_init_params(unsigned entries, struct io_uring *ring,
	struct io_uring_params *params);
int __wrap_io_uring_queue_init_params(unsigned entries, struct io_uring *ring,
	struct io_uring_params *params);
void __real_io_uring_queue_exit(struct io_uring *ring);
void __wrap_io_uring_queue_exit(struct io_uring *ring);
int __real_io_uring_enter2(unsigned fd, unsigned submit, unsigned wait, unsigned flags, void *arg,
	size_t bytes);
int __wrap_io_uring_enter2(unsigned fd, unsigned submit, unsigned wait, unsigned flags, void *arg,
	size_t bytes);
unsigned __real_shunt_ring_take(struct shunt_ring *ring, struct shunt_ring_result *result,
	unsigned room);
unsigned __wrap_shunt_ring_take(struct shunt_ring *ring, struct shunt_ring_result *result,
	unsigned room);
void *__real_malloc(size_t bytes);
void *__wrap_malloc(size_t bytes);
void *__real_calloc(size_t count, size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes);
void *__real_realloc(void *old, size_t bytes);
void *__wrap_realloc(void *old, size_t bytes);
void *__real_aligned_alloc(size_t alignment, size_t bytes);
void *__wrap_aligned_alloc(size_t alignment, size_t bytes);

/* ---- faults ---------------------------------------------------------------------------------- */

static __thread struct {
	struct shunt_rng rng;
	unsigned percent;                /* of the calls or results that are hit */
	int enter_error;                 /* instead of entering */
	bool lose;                       /* results vanish, and the kernel says so */
	int result_error;                /* instead of -ETIME, before its time */
	int setup_countdown;             /* the n-th ring cannot be had */
	unsigned sq_entries, cq_entries; /* of every ring, if not 0 */
	bool plain;                      /* as on a kernel without COOP_TASKRUN and DEFER_TASKRUN */
	int memory_countdown;            /* the n-th allocation fails */
	unsigned hits;
	bool losing;
	bool watch_close;
	unsigned polls_closed; /* operations left in rings that were closed */
	uint64_t overflows;    /* of the subject whose rings were closed last */
} fault;

static bool strikes(void)
{
	bool hit = shunt_rng_below(&fault.rng, 100) < fault.percent;

	fault.hits += hit;
	return hit;
}

int __wrap_io_uring_queue_init_params(unsigned entries, struct io_uring *ring,
	struct io_uring_params *params)
{
	if (fault.setup_countdown > 0 && --fault.setup_countdown == 0)
		return -ENOMEM;
	if (fault.plain && params->flags & (IORING_SETUP_COOP_TASKRUN | DEFER_TASKRUN))
		return -EINVAL;
	if (fault.cq_entries)
		params->cq_entries = fault.cq_entries;
	return __real_io_uring_queue_init_params(fault.sq_entries ? fault.sq_entries : entries,
		ring, params);
}

int __wrap_io_uring_enter2(unsigned fd, unsigned submit, unsigned wait, unsigned flags, void *arg,
	size_t bytes)
{
	int code;

	if (fault.enter_error != 0 && strikes())
		return fault.enter_error;
	code = __real_io_uring_enter2(fd, submit, wait, flags, arg, bytes);
	if (fault.losing) {
		fault.losing = false;
		return -EBADR;
	}
	return code;
}

unsigned __wrap_shunt_ring_take(struct shunt_ring *ring, struct shunt_ring_result *result,
	unsigned room)
{
	unsigned count = __real_shunt_ring_take(ring, result, room), kept = 0;

	for (unsigned i = 0; i < count; i++) {
		bool timer = SHUNT_RING_TAG(result[i].user_data) == SHUNT_RING_TIMER;

		if (fault.lose && timer && strikes()) {
			fault.losing = true;
			continue;
		}
		if (fault.result_error != 0 && timer && strikes())
			result[i].code = fault.result_error;
		result[kept++] = result[i];
	}
	return kept;
}

/* Operations that wait for a descriptor in one of our rings, as the kernel tells it. */
static unsigned polls_left(void)
{
	unsigned count = 0;

	for (int fd = 0; fd < 64; fd++) {
		char path[64], line[256];
		FILE *file;

		snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
		file = fopen(path, "re");
		for (bool polls = false; file && fgets(line, sizeof(line), file);) {
			polls = line[0] == ' ' ? polls : strncmp(line, "PollList:", 9) == 0;
			count += polls && strstr(line, "op=") != NULL;
		}
		if (file)
			fclose(file);
	}
	return count;
}

void __wrap_io_uring_queue_exit(struct io_uring *ring)
{
	fault.polls_closed += fault.watch_close ? polls_left() : 0;
	__real_io_uring_queue_exit(ring);
}

static bool no_memory(void)
{
	return fault.memory_countdown > 0 && --fault.memory_countdown == 0;
}

void *__wrap_malloc(size_t bytes)
{
	return no_memory() ? NULL : __real_malloc(bytes);
}

void *__wrap_calloc(size_t count, size_t bytes)
{
	return no_memory() ? NULL : __real_calloc(count, bytes);
}

void *__wrap_realloc(void *old, size_t bytes)
{
	return no_memory() ? NULL : __real_realloc(old, bytes);
}

void *__wrap_aligned_alloc(size_t alignment, size_t bytes)
{
	return no_memory() ? NULL : __real_aligned_alloc(alignment, bytes);
}

static int no_more_faults(void **state)
{
	(void)state;
	memset(&fault, 0, sizeof(fault));
	return 0;
}

/* ---- timers under faults --------------------------------------------------------------------- */

struct own {
	size_t count, fired;
	struct shunt_task *task;
	int64_t *deadline_ns;
	bool wrong;
};

static void own_fired(void *arg, const struct shunt_timer *timer)
{
	struct own *own = arg;
	size_t i = (size_t)(timer->task - own->task);

	own->wrong |= now_ns() < own->deadline_ns[i] || timer->deadline_ns != own->deadline_ns[i];
	own->fired++;
	task_runs(timer->task); /* fired twice, it would not be live the second time */
}

static const struct shunt_wait *slot_named(const char *name)
{
	for (const struct shunt_plugin *p = shunt_registry_waits; p->name != NULL; p++)
		if (strcmp(p->name, name) == 0)
			return p->object;
	return NULL;
}

static void set(struct subject *s, const char *key, const char *value)
{
	assert_int_equal(shunt_values_set(&s->values, s->ops->name, key, value, NULL), 0);
}

static struct own own_new(size_t count)
{
	struct own own = {.count = count};

	own.task = aligned_alloc(_Alignof(struct shunt_task), count * sizeof(*own.task));
	own.deadline_ns = calloc(count, sizeof(*own.deadline_ns));
	assert_true(own.task != NULL && own.deadline_ns != NULL);
	memset(own.task, 0, count * sizeof(*own.task));
	return own;
}

static void count_overflows(void *sink, const char *name, const char *value, const char *source)
{
	const char *dot = strrchr(name, '.');

	(void)sink, (void)source;
	if (strcmp(dot ? dot : name, ".overflows") == 0)
		fault.overflows = strtoull(value, NULL, 10);
}

/* Arms `count` timers within spread_ns on a slot of this subject, the first due in lead_ns, and
 * sees every one fire once. */
static void all_fire_after(struct subject *s, size_t count, int64_t spread_ns, int64_t lead_ns)
{
	int enter_error = fault.enter_error;
	fault.enter_error = 0; /* the trials of open() are not what is tried here */
	struct harness *h = harness_open(s);
	struct own own = own_new(count);
	void *slot = harness_start(h, 0, &own);
	int64_t begin = now_ns(), base = begin + lead_ns;

	shunt_rng_init(&fault.rng, harness_seed(h));
	fault.enter_error = enter_error;
	for (size_t i = 0; i < count; i++) {
		struct shunt_timer timer;

		own.deadline_ns[i] =
			base + (int64_t)shunt_rng_below(&fault.rng, (uint64_t)spread_ns);
		task_blocks(&own.task[i]);
		timer = timer_of(&own.task[i], own.deadline_ns[i]);
		assert_int_equal(h->ops->arm(slot, &timer), 0);
	}
	while (own.fired < count && now_ns() - begin < PATIENCE_NS) {
		h->ops->poll(slot);
		prepare(h->ops, slot);
		assert_int_equal(h->ops->commit(slot, now_ns() + 50 * MS), 0);
	}
	assert_int_equal(own.fired, count);
	assert_false(own.wrong);
	prepare(h->ops, slot); /* from then on the number is what the engine judges by */
	assert_int_equal(h->ops->in_flight(slot), 0);
	h->ops->stop(slot);
	h->ops->facts(h->wait, count_overflows, NULL);
	harness_close(h);
	free(own.task);
	free(own.deadline_ns);
}

static void all_fire(struct subject *s, size_t count, int64_t spread_ns)
{
	all_fire_after(s, count, spread_ns, 20 * MS);
}

/* Until faults have hit more than `least` times: timers that a busy machine lets come due before
 * they are handed on never get to where the faults are. */
static void all_fire_hit(struct subject *s, size_t count, unsigned least)
{
	fault.hits = 0;
	for (int64_t lead_ns = 20 * MS; lead_ns < LEAD_MOST_NS && fault.hits <= least; lead_ns *= 3)
		all_fire_after(s, count, 20 * MS, lead_ns);
	assert_true(fault.hits > least);
}

static void init_each(struct subject *s)
{
	assert_true(subject_init(s, slot_named("uring-each"), 0));
}

/* Arms a few, has them handed over, and collects them when they are due; calls[0] for the one,
 * calls[1] for the other. False: they were due before they could be handed over. */
static bool hand_over_and_collect(uint64_t calls[2])
{
	enum { SOME = 50 }; /* fewer than a look takes */
	struct own own = own_new(SOME);
	struct harness *h;
	struct subject s;
	void *slot;
	bool in_time;

	init_each(&s);
	h = harness_open(&s);
	slot = harness_start(h, 0, &own);
	uint64_t before = h->ops->syscalls(slot);
	int64_t due_ns = now_ns() + 100 * MS, end_ns = due_ns + PATIENCE_NS;
	for (size_t i = 0; i < SOME; i++) {
		own.deadline_ns[i] = due_ns;
		task_blocks(&own.task[i]);
		struct shunt_timer timer = timer_of(&own.task[i], due_ns);
		assert_int_equal(h->ops->arm(slot, &timer), 0);
	}
	for (int look = 0; look < 3; look++)
		h->ops->poll(slot);
	in_time = own.fired == 0 && now_ns() < due_ns;
	calls[0] = h->ops->syscalls(slot) - before;
	while (own.fired < SOME && now_ns() < end_ns) {
		usleep(now_ns() < due_ns ? 200000 : 1000);
		h->ops->poll(slot);
	}
	calls[1] = h->ops->syscalls(slot) - before - calls[0];
	assert_int_equal(own.fired, SOME);
	assert_false(own.wrong);
	h->ops->stop(slot);
	harness_close(h);
	subject_fini(&s);
	free(own.task);
	free(own.deadline_ns);
	return in_time;
}

/* Once in several attempts: an interrupt that a busy machine delays may fall into the look
 * itself. */
static void timers_go_in_together_and_come_back_without_a_call(void **state)
{
	(void)state;
	for (size_t n = 0; n < 2; n++) {
		uint64_t calls[2] = {0, 0};
		bool in_time = false;

		fault.plain = n > 0;
		for (int i = 0; i < 10 && !(in_time && calls[0] == 1 && calls[1] == 0); i++)
			in_time = hand_over_and_collect(calls);
		assert_true(in_time);
		assert_int_equal(calls[0], 1);
		assert_int_equal(calls[1], 0);
	}
}

static void storms_of_errors_lose_nothing(void **state)
{
	static const int errors[] = {-EINTR, -EAGAIN, -EBUSY};
	struct subject s;

	(void)state;
	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
		init_each(&s);
		fault.sq_entries = 16;
		fault.enter_error = errors[i];
		fault.percent = 60;
		all_fire_hit(&s, 2000, 20);
		fault.enter_error = 0;
		subject_fini(&s);
	}
}

static void a_full_submission_ring_is_submitted(void **state)
{
	struct subject s;

	(void)state;
	init_each(&s);
	fault.sq_entries = 8;
	all_fire(&s, 5000, 10 * MS);
	subject_fini(&s);
}

static void an_overflowing_completion_ring_is_flushed(void **state)
{
	uint64_t overflows = 0;
	struct subject s;

	(void)state;
	for (int64_t lead_ns = 20 * MS; lead_ns < LEAD_MOST_NS && overflows == 0; lead_ns *= 3)
		for (int plain = 0; plain < 2; plain++) {
			init_each(&s);
			fault.sq_entries = 8;
			fault.cq_entries = 16;
			fault.plain = plain;
			all_fire_after(&s, 5000, 1, lead_ns);
			overflows += fault.overflows;
			subject_fini(&s);
		}
	assert_true(overflows > 0);
}

static void lost_results_are_made_good(void **state)
{
	struct subject s;

	(void)state;
	init_each(&s);
	fault.lose = true;
	fault.percent = 10;
	all_fire_hit(&s, 3000, 2);
	subject_fini(&s);
}

/* After a loss the kernel still has what was armed before, and a table that has shrunk meanwhile
 * has no place for it. */
static void late_results_of_a_lost_round_find_no_place(void **state)
{
	enum { MANY = 20000 }; /* more than an empty table keeps room for */
	struct own own = own_new(MANY);
	struct harness *h;
	struct subject s;
	void *slot;

	(void)state;
	init_each(&s);
	h = harness_open(&s);
	slot = harness_start(h, 0, &own);
	int64_t due_ns = now_ns() + 500 * MS;
	for (size_t i = 0; i < MANY; i++) {
		own.deadline_ns[i] = due_ns;
		task_blocks(&own.task[i]);
		struct shunt_timer timer = timer_of(&own.task[i], due_ns);
		assert_int_equal(h->ops->arm(slot, &timer), 0);
	}
	fault.losing = true;
	prepare(h->ops, slot);
	assert_int_equal(h->ops->commit(slot, now_ns()), 0);
	assert_false(fault.losing);
	for (size_t i = 0; i < MANY; i++) {
		struct shunt_timer timer = timer_of(&own.task[i], due_ns);
		task_runs(&own.task[i]);
		h->ops->cancelled(slot, &timer);
	}
	own.count = own.fired; /* if it was late already, these have fired */
	prepare(h->ops, slot);
	h->ops->poll(slot); /* all are dropped, and the table shrinks */
	while (now_ns() < due_ns + 50 * MS) {
		prepare(h->ops, slot);
		assert_int_equal(h->ops->commit(slot, due_ns + 50 * MS), 0);
		h->ops->poll(slot);
	}
	assert_int_equal(own.fired, own.count);
	assert_int_equal(h->ops->in_flight(slot), 0);
	h->ops->stop(slot);
	harness_close(h);
	subject_fini(&s);
	free(own.task);
	free(own.deadline_ns);
}

static void a_refused_timeout_is_armed_again(void **state)
{
	struct subject s;

	(void)state;
	init_each(&s);
	fault.result_error = -ENOMEM;
	fault.percent = 30;
	all_fire_hit(&s, 3000, 20);
	subject_fini(&s);
}

/* ---- the nearest deadline under faults ------------------------------------------------------- */

static void a_deadline_survives_storms(void **state)
{
	static const int errors[] = {-EINTR, -EAGAIN, -EBUSY};

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		struct subject s;
		struct harness *h;
		void *slot;

		assert_true(subject_init(&s, slot_named("uring"), 0));
		h = harness_open(&s);
		slot = harness_start(h, 0, NULL);
		shunt_rng_init(&fault.rng, harness_seed(h));
		fault.enter_error = errors[i];
		fault.percent = 60;
		for (int round = 0; round < 20; round++) {
			int64_t deadline = now_ns() + MS;

			do {
				prepare(h->ops, slot);
				assert_int_equal(h->ops->commit(slot, deadline), 0);
			} while (now_ns() < deadline);
			assert_true(now_ns() - deadline < PATIENCE_NS);
		}
		fault.enter_error = 0;
		h->ops->stop(slot);
		harness_close(h);
		subject_fini(&s);
	}
}

static void an_error_that_stays_ends_the_sleep(void **state)
{
	struct subject s;
	struct harness *h;
	void *slot;

	(void)state;
	assert_true(subject_init(&s, slot_named("uring"), 0));
	h = harness_open(&s);
	slot = harness_start(h, 0, NULL);
	fault.enter_error = -EBADF;
	fault.percent = 100;
	prepare(h->ops, slot);
	assert_int_equal(h->ops->commit(slot, now_ns() + MS), -EBADF);
	fault.enter_error = 0;
	h->ops->stop(slot);
	harness_close(h);
	subject_fini(&s);
}

/* A message goes to a ring that is closed already: the kernel refuses, and the eventfd wakes the
 * sleeper instead. The sender need not act, or it learns of the refusal late. */
struct sleeper {
	struct harness *h;
	void *slot;
	_Atomic bool awake;
	pthread_barrier_t started;
};

static void *sleep_long(void *arg)
{
	struct sleeper *s = arg;
	int64_t begin = now_ns();

	s->slot = harness_start(s->h, 1, NULL);
	pthread_barrier_wait(&s->started);
	while (now_ns() - begin < PATIENCE_NS && !atomic_load(&s->awake)) {
		prepare(s->h->ops, s->slot);
		assert_int_equal(s->h->ops->commit(s->slot, begin + PATIENCE_NS), 0);
		atomic_store(&s->awake, true);
	}
	pthread_barrier_wait(&s->started); /* nobody wakes a slot that has stopped */
	s->h->ops->stop(s->slot);
	return now_ns() - begin < PATIENCE_NS / 2 ? NULL : arg;
}

static void refuse_a_message(bool late_refusal)
{
	struct sleeper sleeper;
	struct shunt_ring_slot *target;
	struct subject s;
	pthread_t thread;
	void *slot, *late;

	assert_true(subject_init(&s, slot_named("uring"), 0));
	set(&s, "wake", "msgring");
	sleeper.h = harness_open(&s);
	atomic_store(&sleeper.awake, false);
	pthread_barrier_init(&sleeper.started, NULL, 2);
	slot = harness_start(sleeper.h, 0, NULL);
	assert_int_equal(pthread_create(&thread, NULL, sleep_long, &sleeper), 0);
	pthread_barrier_wait(&sleeper.started);
	usleep(20000);
	target = sleeper.slot;
	atomic_store(&target->bell->ring_fd, target->bell->event_fd); /* no ring at all */
	if (late_refusal)
		assert_true(shunt_ring_slot_result(slot,
			&(struct shunt_ring_result){SHUNT_RING_DATA(SHUNT_RING_FAILED, 1),
				-ENOMEM}));
	else
		sleeper.h->ops->wake(target, slot);
	while (!atomic_load(&sleeper.awake))
		usleep(1000);
	pthread_barrier_wait(&sleeper.started);
	pthread_join(thread, &late);
	assert_null(late);
	sleeper.h->ops->stop(slot);
	harness_close(sleeper.h);
	pthread_barrier_destroy(&sleeper.started);
	subject_fini(&s);
}

static void a_refused_message_is_rung_instead(void **state)
{
	(void)state;
	refuse_a_message(false);
	refuse_a_message(true);
}

/* The kernel takes them back after the ring is closed, and they have addresses in the slot. */
static void no_read_outlives_its_slot(void **state)
{
	(void)state;
	for (size_t i = 0; i < 4; i++) {
		struct subject s;
		struct harness *h;
		void *slot;

		assert_true(subject_init(&s, slot_named(i < 2 ? "uring" : "uring-each"), 0));
		fault.plain = i % 2;
		h = harness_open(&s);
		slot = harness_start(h, 0, NULL);
		prepare(h->ops, slot);
		assert_int_equal(h->ops->commit(slot, now_ns() + MS), 0);
		if (polls_left() == 0)
			skip(); /* this kernel does not tell */
		fault.watch_close = true;
		h->ops->stop(slot);
		fault.watch_close = false;
		assert_int_equal(fault.polls_closed, 0);
		harness_close(h);
		subject_fini(&s);
	}
}

/* ---- what cannot be had ---------------------------------------------------------------------- */

/* Opens and starts the slot; the n-th allocation or ring is refused. Did all go well even so? */
static bool open_with_refusal(const struct shunt_wait *ops, int memory, int setup)
{
	struct shunt_wait_config config = {.worker_count = 1, .fired = own_fired};
	struct shunt_error err = {""};
	void *wait = NULL, *slot = NULL;
	struct subject s;
	int code;

	assert_true(subject_init(&s, ops, 0));
	config.values = &s.values;
	fault.memory_countdown = memory;
	fault.setup_countdown = setup;
	code = ops->open != NULL ? ops->open(&wait, &config, &err) : 0;
	if (code == 0) {
		code = ops->start(wait, 0, NULL, &slot, &err);
		fault.memory_countdown = fault.setup_countdown = 0;
		if (code == 0)
			ops->stop(slot);
		if (ops->close != NULL)
			ops->close(wait);
	}
	fault.memory_countdown = fault.setup_countdown = 0;
	subject_fini(&s);
	assert_true(code == 0 || code == -ENOMEM || code == -EOPNOTSUPP);
	assert_true((code == 0) == (err.text[0] == '\0'));
	return code == 0;
}

static void a_refusal_leaves_nothing_behind(void **state)
{
	int before = open_descriptors(), refused = 0;

	(void)state;
	for (const struct shunt_plugin *p = shunt_registry_waits; p->name != NULL; p++) {
		const struct shunt_wait *ops = p->object;

		if (ops == NULL)
			continue;
		for (int n = 1; !open_with_refusal(ops, n, 0); n++) {
			assert_int_equal(open_descriptors(), before);
			refused++;
		}
		if (strncmp(p->name, "uring", 5) != 0)
			continue;
		assert_false(open_with_refusal(ops, 0, 1));
		assert_false(open_with_refusal(ops, 0, 2));
		assert_true(open_with_refusal(ops, 0, 3));
		assert_int_equal(open_descriptors(), before);
	}
	assert_true(refused > 6);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(timers_go_in_together_and_come_back_without_a_call,
			no_more_faults),
		cmocka_unit_test_teardown(storms_of_errors_lose_nothing, no_more_faults),
		cmocka_unit_test_teardown(a_full_submission_ring_is_submitted, no_more_faults),
		cmocka_unit_test_teardown(an_overflowing_completion_ring_is_flushed,
			no_more_faults),
		cmocka_unit_test_teardown(lost_results_are_made_good, no_more_faults),
		cmocka_unit_test_teardown(late_results_of_a_lost_round_find_no_place,
			no_more_faults),
		cmocka_unit_test_teardown(a_refused_timeout_is_armed_again, no_more_faults),
		cmocka_unit_test_teardown(a_deadline_survives_storms, no_more_faults),
		cmocka_unit_test_teardown(an_error_that_stays_ends_the_sleep, no_more_faults),
		cmocka_unit_test_teardown(a_refused_message_is_rung_instead, no_more_faults),
		cmocka_unit_test_teardown(no_read_outlives_its_slot, no_more_faults),
		cmocka_unit_test_teardown(a_refusal_leaves_nothing_behind, no_more_faults),
	};
	struct shunt_error why;

	if (slot_named("uring") == NULL || slot_named("uring")->probe(&why) != 0) {
		print_message("no io_uring here\n");
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
