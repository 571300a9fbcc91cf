/* SPDX-License-Identifier: MIT */
/* If this passes, a counter is what the kernel counted, or is absent with a reason and a remedy. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/measure/perf.h"

#include <errno.h>
#include <linux/perf_event.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
	CYCLES,
	INSTRUCTIONS,
	BRANCH_MISSES,
	CACHE_MISSES,
	TASK_CLOCK,
	SWITCHES,
	MIGRATIONS,
	FAULTS
};

/* ---- a kernel with a PMU, which refuses when it is to ---------------------------------------- */

static struct {
	bool on;
	int refusal; /* errno of an event of this type and config, from its `after`th opening on */
	unsigned type, config, after;
	uint64_t running_ns;
	unsigned opened, seen, enabled, disabled;
	bool wrong; /* an attribute is not what it should be */
} fake;

long __real_syscall(long number, ...);
long __wrap_syscall(long number, ...);
int __wrap_ioctl(int fd, unsigned long request, ...);
int __real_ioctl(int fd, unsigned long request, ...);

/* A file that is read as an event: a count of 100 * type + 10 * config + 1. */
static int open_fake(const struct perf_event_attr *attr, int leader, unsigned long flags)
{
	uint64_t held[3] = {100 * attr->type + 10 * attr->config + 1, 1000, fake.running_ns};
	bool hardware = attr->type == PERF_TYPE_HARDWARE;

	fake.wrong |= attr->exclude_kernel != hardware || !attr->inherit ||
		      attr->disabled != (leader < 0) || flags != PERF_FLAG_FD_CLOEXEC;
	if (fake.refusal && attr->type == fake.type && attr->config == fake.config &&
		++fake.seen > fake.after) {
		errno = fake.refusal;
		return -1;
	}
	int fd = memfd_create("event", MFD_CLOEXEC);
	assert_int_equal(pwrite(fd, held, sizeof(held), 0), sizeof(held));
	fake.opened++;
	return fd;
}

long __wrap_syscall(long number, ...)
{
	va_list args;
	long arg[6];

	va_start(args, number);
	for (size_t i = 0; i < 6; i++)
		arg[i] = va_arg(args, long);
	va_end(args);
	if (number == SYS_perf_event_open && fake.on)
		return open_fake((const struct perf_event_attr *)arg[0], (int)arg[3],
			(unsigned long)arg[4]);
	return __real_syscall(number, arg[0], arg[1], arg[2], arg[3], arg[4], arg[5]);
}

int __wrap_ioctl(int fd, unsigned long request, ...)
{
	va_list args;

	va_start(args, request);
	unsigned long arg = va_arg(args, unsigned long);
	va_end(args);
	if (!fake.on)
		return __real_ioctl(fd, request, arg);
	fake.enabled += request == PERF_EVENT_IOC_ENABLE;
	fake.disabled += request == PERF_EVENT_IOC_DISABLE;
	return 0;
}

static struct shunt_perf_counts count_faked(int refusal, unsigned type, unsigned config,
	unsigned after, uint64_t running_ns)
{
	struct shunt_perf_counts counts;
	int first_free = dup(0);

	close(first_free);
	memset(&fake, 0, sizeof(fake));
	fake.on = true;
	fake.refusal = refusal;
	fake.type = type;
	fake.config = config;
	fake.after = after;
	fake.running_ns = running_ns;
	struct shunt_perf *perf = shunt_perf_start();

	assert_non_null(perf);
	shunt_perf_stop(perf, &counts);
	fake.on = false;
	assert_false(fake.wrong);
	assert_int_equal(fake.enabled, fake.disabled);
	int free_now = dup(0);

	close(free_now);
	assert_int_equal(free_now, first_free);
	return counts;
}

/* ---- a thread that is there already ---------------------------------------------------------- */

static struct {
	pthread_t thread;
	sem_t go, done;
} worker;

enum { PAGES = 64 };

static void *work(void *arg)
{
	(void)arg;
	pthread_setname_np(pthread_self(), "worker7");
	sem_post(&worker.done);
	sem_wait(&worker.go);
	size_t bytes = PAGES * (size_t)sysconf(_SC_PAGESIZE);
	char *memory =
		mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	madvise(memory, bytes, MADV_NOHUGEPAGE);
	for (size_t i = 0; i < PAGES; i++)
		*(volatile char *)(memory + i * bytes / PAGES) = 1;
	munmap(memory, bytes);
	sem_post(&worker.done);
	sem_wait(&worker.go);
	return NULL;
}

static int start_worker(void **state)
{
	(void)state;
	sem_init(&worker.go, 0, 0);
	sem_init(&worker.done, 0, 0);
	if (pthread_create(&worker.thread, NULL, work, NULL))
		return -1;
	sem_wait(&worker.done);
	return 0;
}

static int end_worker(void **state)
{
	(void)state;
	sem_post(&worker.go);
	sem_post(&worker.go);
	return pthread_join(worker.thread, NULL);
}

static const struct shunt_perf_thread *named(const struct shunt_perf_counts *counts,
	const char *name)
{
	for (size_t i = 0; i < counts->thread_count; i++)
		if (strcmp(counts->threads[i].name, name) == 0)
			return &counts->threads[i];
	return NULL;
}

/* ---- tests ----------------------------------------------------------------------------------- */

static void has_remedy(const char *why)
{
	assert_true(why[0] == 'E');
	assert_non_null(strchr(why, ':'));
}

/* By this machine's kernel: whatever it can, or its reason. */
static void the_kernel_counts_or_says_why_not(void **state)
{
	struct shunt_perf_counts counts;
	struct shunt_perf *perf = shunt_perf_start();

	(void)state;
	assert_non_null(perf);
	sem_post(&worker.go);
	sem_wait(&worker.done);
	shunt_perf_stop(perf, &counts);
	const struct shunt_perf_thread *its = named(&counts, "worker7");

	for (unsigned group = 0; group < SHUNT_PERF_GROUPS; group++)
		if (*counts.group_why[group] && strncmp(counts.group_why[group], "the ", 4) != 0)
			has_remedy(counts.group_why[group]);
	if (counts.have[CYCLES]) {
		assert_non_null(its);
		assert_true(its->count[CYCLES] > 0 && its->count[INSTRUCTIONS] > PAGES);
	}
	if (counts.have[TASK_CLOCK]) {
		assert_non_null(its);
		assert_non_null(named(&counts, "main"));
		assert_true(its->count[TASK_CLOCK] > 0);
		assert_in_range(its->count[FAULTS], PAGES, 8 * PAGES); /* TSan has its own */
		assert_true(its->count[SWITCHES] > 0);
	}
	free(counts.threads);
}

static void threads_have_groups_of_their_own(void **state)
{
	struct shunt_perf_counts counts = count_faked(0, 0, 0, 0, 600);

	(void)state;
	assert_in_range(counts.thread_count, 2, 4); /* a sanitizer has some */
	assert_int_equal(fake.opened, counts.thread_count * SHUNT_PERF_EVENTS);
	assert_int_equal(fake.enabled, counts.thread_count * SHUNT_PERF_GROUPS);
	for (size_t i = 0; i < counts.thread_count; i++) {
		assert_int_equal(counts.threads[i].enabled_ns, 1000);
		assert_int_equal(counts.threads[i].running_ns, 600); /* and no count is scaled */
		assert_int_equal(counts.threads[i].count[CYCLES], 1);
		assert_int_equal(counts.threads[i].count[CACHE_MISSES],
			10 * PERF_COUNT_HW_CACHE_MISSES + 1);
	}
	for (unsigned i = 0; i < SHUNT_PERF_EVENTS; i++)
		assert_true(counts.have[i]);
	free(counts.threads);
}

static void an_event_that_is_not_there_is_absent_alone(void **state)
{
	struct shunt_perf_counts counts =
		count_faked(ENOENT, PERF_TYPE_HARDWARE, PERF_COUNT_HW_CACHE_MISSES, 0, 1000);

	(void)state;
	assert_true(counts.have[CYCLES] && counts.have[FAULTS]);
	assert_false(counts.have[CACHE_MISSES]);
	has_remedy(counts.event_why[CACHE_MISSES]);
	assert_string_equal(counts.group_why[SHUNT_PERF_HARDWARE], "");
	free(counts.threads);
}

static void a_refused_group_names_the_setting(void **state)
{
	struct shunt_perf_counts counts =
		count_faked(EACCES, PERF_TYPE_HARDWARE, PERF_COUNT_HW_CPU_CYCLES, 0, 1000);

	(void)state;
	assert_non_null(strstr(counts.group_why[SHUNT_PERF_HARDWARE],
		"sysctl kernel.perf_event_paranoid=2"));
	assert_false(counts.have[CYCLES] || counts.have[CACHE_MISSES]);
	assert_true(counts.have[TASK_CLOCK]);
	free(counts.threads);
}

/* Counts of some threads would pass for those of all. */
static void a_group_that_fails_on_one_thread_is_absent(void **state)
{
	struct shunt_perf_counts counts =
		count_faked(EMFILE, PERF_TYPE_HARDWARE, PERF_COUNT_HW_BRANCH_MISSES, 1, 1000);

	(void)state;
	assert_non_null(strstr(counts.group_why[SHUNT_PERF_HARDWARE], "ulimit -n"));
	assert_false(counts.have[CYCLES] || counts.have[BRANCH_MISSES]);
	assert_true(counts.have[MIGRATIONS]);
	free(counts.threads);
}

static void a_group_that_never_ran_is_not_zero(void **state)
{
	struct shunt_perf_counts counts = count_faked(0, 0, 0, 0, 0);

	(void)state;
	assert_non_null(strstr(counts.group_why[SHUNT_PERF_HARDWARE], "no free counters"));
	assert_false(counts.have[CYCLES]);
	assert_true(counts.have[TASK_CLOCK]);
	free(counts.threads);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_kernel_counts_or_says_why_not),
		cmocka_unit_test(threads_have_groups_of_their_own),
		cmocka_unit_test(an_event_that_is_not_there_is_absent_alone),
		cmocka_unit_test(a_refused_group_names_the_setting),
		cmocka_unit_test(a_group_that_fails_on_one_thread_is_absent),
		cmocka_unit_test(a_group_that_never_ran_is_not_zero),
	};

	return cmocka_run_group_tests(tests, start_worker, end_worker);
}
