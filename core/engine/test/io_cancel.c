/* SPDX-License-Identifier: MIT */
/*
 * What one descriptor's operation leaves behind is neither lost nor taken for another's: a cancel
 * that comes as the ring's owner is about to nap is made at once; an event of a closed descriptor
 * does nothing to the one that has its entry; a connection that an accept takes while the run fails
 * is closed, and so is what a pool opens then.
 */
#include "core/engine/test/engine_torture.h"
#include "core/engine/halt.h"
#include "core/engine/io_event.h"
#include "core/engine/wake.h"
#include "core/engine/worker.h"
#include "core/io.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static struct shunt_engine *engine;

static int open_sockets(struct shunt_fd *end)
{
	int number[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, number), 0);
	int rc = shunt_io_adopt(number[0], &end[0]);
	return rc ? rc : shunt_io_adopt(number[1], &end[1]);
}

struct reader {
	struct shunt_fd fd;
	int64_t result;
	unsigned worker;
	char c;
	_Atomic bool begun;
};

static void *reads(void *arg)
{
	struct reader *reader = arg;
	reader->worker = shunt_worker_index();
	reader->begun = true;
	reader->result = shunt_io_read(reader->fd, &reader->c, 1, SHUNT_IO_CURRENT);
	return arg;
}

/* Opens the composition; false: this machine does not have it. */
static bool can_open(const char *spec, struct shunt_sched **sched)
{
	if (shunt_open(sched, spec, NULL, NULL))
		return false;
	engine = shunt_engine_of(*sched);
	return true;
}

static void run(struct shunt_sched *sched, shunt_task_fn *root, int expected)
{
	struct shunt_error err = {""};
	int rc = shunt_run(sched, root, NULL, NULL, &err);
	if (rc != expected)
		fail_msg("run returns %d: %s", rc, err.text);
	shunt_close(sched);
}

/* ---- a nap ----------------------------------------------------------------------------------- */

#define NAP_NS INT64_C(60000000000)

static struct shunt_policy spy_policy;
static struct shunt_task *(*real_pick)(struct shunt_worker *worker, struct shunt_task *current);
static struct shunt_worker *_Atomic owner; /* of the ring that has the operation */
static _Atomic bool at_the_brink;

/* The owner has just looked at what it is asked to cancel, and is about to nap. */
static struct shunt_task *pick_at_the_brink(struct shunt_worker *worker, struct shunt_task *current)
{
	struct shunt_task *task = real_pick(worker, current);
	if (task || worker != owner || at_the_brink)
		return task;
	worker->backoff.nap_ns = NAP_NS;
	worker->backoff.nap_due = true;
	at_the_brink = true;
	for (int64_t until = shunt_now_ns() + NAP_NS / 4;
		!shunt_worker_io_asked(worker) && shunt_now_ns() < until;)
		sched_yield();
	return NULL;
}

static void *cancels_before_a_nap(void *arg)
{
	struct shunt_fd end[2];
	struct shunt_handle task;
	assert_int_equal(open_sockets(end), 0);
	struct reader reader = {.fd = end[0]};
	assert_int_equal(shunt_spawn(&task, reads, &reader, NULL), 0);
	while (!reader.begun) /* only a thief can run it */
		sched_yield();
	struct shunt_worker *thief = engine->workers[reader.worker];
	while (!shunt_worker_io_waits(thief))
		sched_yield();
	owner = thief;
	shunt_wake_poke(thief, NULL);
	while (!at_the_brink)
		sched_yield();
	int64_t begin = shunt_now_ns();
	assert_int_equal(shunt_io_close(end[0]), 0);
	assert_true(shunt_now_ns() - begin < NAP_NS / 2);
	thief->backoff.nap_ns = 0;
	assert_int_equal(shunt_join(task, NULL), 0);
	assert_int_equal(reader.result, -ECANCELED);
	assert_int_equal(shunt_io_close(end[1]), 0);
	return arg;
}

static void a_cancel_is_seen_before_a_nap(void **state)
{
	struct shunt_sched *sched;
	(void)state;
	if (!can_open("ucontext:workers=2,policy=steal,wait=uring,io=uring", &sched))
		skip();
	spy_policy = *engine->policy;
	real_pick = spy_policy.pick;
	spy_policy.pick = pick_at_the_brink;
	engine->policy = &spy_policy;
	owner = NULL;
	at_the_brink = false;
	run(sched, cancels_before_a_nap, 0);
	assert_true(at_the_brink);
}

/* ---- another descriptor's event -------------------------------------------------------------- */

static struct shunt_wait spy_wait;
static const struct shunt_wait *real_wait;
static uint64_t told; /* what the slot was given for the last descriptor, or operation */

static int watch_and_tell(void *slot, int fd, uint64_t data)
{
	told = data;
	return real_wait->watch(slot, fd, data);
}

static int submit_and_tell(void *slot, const struct shunt_io_op *op, uint64_t data)
{
	told = data;
	return real_wait->submit(slot, op, data);
}

static void *an_event_comes_late(void *arg)
{
	struct shunt_worker *worker = engine->workers[0];
	struct reader reader[2];
	struct shunt_handle task[2];
	struct shunt_fd end[2];
	uint64_t stale = 0;
	for (int round = 0; round < 2; round++) {
		assert_int_equal(open_sockets(end), 0);
		/* Both, so that one of them has the entry of the round before. */
		for (int i = 0; i < 2; i++) {
			reader[i] = (struct reader){.fd = end[i]};
			assert_int_equal(shunt_spawn(&task[i], reads, &reader[i], NULL), 0);
		}
		shunt_sleep_for(1000000);
		uint64_t waits = worker->io.waits;
		if (round)
			shunt_engine_io_event(worker, stale, 1);
		shunt_sleep_for(1000000);
		assert_int_equal(worker->io.waits, waits); /* nobody tried again */
		stale = told;
		for (int i = 0; i < 2; i++)
			assert_int_equal(shunt_io_write(end[i], &"ab"[i], 1, SHUNT_IO_CURRENT), 1);
		for (int i = 0; i < 2; i++) {
			assert_int_equal(shunt_join(task[i], NULL), 0);
			assert_int_equal(reader[i].result, 1);
			assert_int_equal(reader[i].c, "ba"[i]);
			assert_int_equal(shunt_io_close(end[i]), 0);
		}
	}
	assert_int_not_equal(stale, 0);
	return arg;
}

static void an_event_is_one_descriptors(void **state)
{
	static const char *const specs[] = {"ucontext:wait=epoll,io=epoll",
		"ucontext:wait=uring,io=uring"};
	(void)state;
	for (size_t i = 0; i < sizeof(specs) / sizeof(specs[0]); i++) {
		struct shunt_sched *sched;
		if (!can_open(specs[i], &sched))
			continue;
		real_wait = engine->wait_slot;
		spy_wait = *real_wait;
		spy_wait.watch = real_wait->watch ? watch_and_tell : NULL;
		spy_wait.submit = real_wait->submit ? submit_and_tell : NULL;
		engine->wait_slot = &spy_wait;
		run(sched, an_event_comes_late, 0);
	}
}

/* ---- an accept in a run that fails ----------------------------------------------------------- */

static struct sockaddr_un address = {.sun_family = AF_UNIX};

static int listen_there(void)
{
	int number = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	snprintf(address.sun_path + 1, sizeof(address.sun_path) - 1, "shunt-cancel-%d",
		(int)getpid());
	assert_int_equal(bind(number, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(number, 1), 0);
	return number;
}

static void *accepts(void *arg)
{
	struct shunt_fd accepted;
	shunt_io_accept(*(struct shunt_fd *)arg, &accepted);
	fail_msg("an accept returned in a run that has failed");
	return arg;
}

static int client;

static void *fails_beside_an_accept(void *arg)
{
	static struct shunt_fd listener;
	assert_int_equal(shunt_io_adopt(listen_there(), &listener), 0);
	assert_int_equal(shunt_spawn(NULL, accepts, &listener, NULL), 0);
	shunt_sleep_for(1000000); /* the kernel has it */
	client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(client, (struct sockaddr *)&address, sizeof(address)), 0);
	shunt_halt_fail(engine, -EIO, "the test says so");
	return arg;
}

static unsigned descriptors(void)
{
	DIR *folder = opendir("/proc/self/fd");
	unsigned count = 0;
	assert_non_null(folder);
	while (readdir(folder))
		count++;
	closedir(folder);
	return count;
}

static void a_late_connection_is_closed(void **state)
{
	static const char *const specs[] = {"ucontext:wait=epoll,io=epoll",
		"ucontext:wait=uring,io=uring"};
	(void)state;
	for (size_t i = 0; i < sizeof(specs) / sizeof(specs[0]); i++) {
		unsigned before = descriptors();
		struct shunt_sched *sched;
		if (!can_open(specs[i], &sched))
			continue;
		run(sched, fails_beside_an_accept, -EIO);
		close(client);
		assert_int_equal(descriptors(), before);
	}
}

/* ---- a pool's operations in a run that fails ------------------------------------------------- */

static void *opens(void *arg)
{
	struct shunt_fd file;
	shunt_io_open("/proc/self/exe", O_RDONLY, 0, &file);
	shunt_park();
	return arg;
}

/* Some are open by then, some being opened, and some wait for a thread. */
static void *fails_beside_opens(void *arg)
{
	for (int i = 0; i < 40; i++)
		assert_int_equal(shunt_spawn(NULL, opens, NULL, NULL), 0);
	for (int i = 0; i < 3; i++)
		shunt_yield();
	shunt_halt_fail(engine, -EIO, "the test says so");
	return arg;
}

static void a_pool_leaves_nothing_open(void **state)
{
	static const char *const specs[] = {"ucontext:io=pool", "ucontext:workers=2,io=pool",
		"ucontext:workers=2,policy=steal,wait=epoll,io=pool"};
	(void)state;
	for (int i = 0; i < 60; i++) {
		unsigned before = descriptors();
		struct shunt_sched *sched;
		assert_true(can_open(specs[i % 3], &sched));
		run(sched, fails_beside_opens, -EIO);
		assert_int_equal(descriptors(), before);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_cancel_is_seen_before_a_nap),
		cmocka_unit_test(an_event_is_one_descriptors),
		cmocka_unit_test(a_late_connection_is_closed),
		cmocka_unit_test(a_pool_leaves_nothing_open),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
