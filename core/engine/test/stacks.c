/* SPDX-License-Identifier: MIT */
/*
 * Stacks are guarded, reused, limited by the machine with a reason, and a refusal loses nothing.
 *
 * mmap and pthread_create are wrapped by the linker, so that they can be made to fail.
 */
#include "core/backend.h"
#include "core/engine/sanitize.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/engine/test/run_on.h"

#ifndef SYS_process_madvise
#define SYS_process_madvise 440
#endif

static long mmaps_left = -1; /* -1: never fails */
static long threads_left = -1;
static long batches_left = -1, batches; /* calls of process_madvise for more than one range */

void *__real_mmap(void *at, size_t bytes, int protection, int flags, int fd, off_t offset);
void *__wrap_mmap(void *at, size_t bytes, int protection, int flags, int fd, off_t offset);
int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*fn)(void *),
	void *arg);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*fn)(void *),
	void *arg);

void *__wrap_mmap(void *at, size_t bytes, int protection, int flags, int fd, off_t offset)
{
	if (mmaps_left == 0 && flags & MAP_STACK) {
		errno = ENOMEM;
		return MAP_FAILED;
	}
	mmaps_left -= mmaps_left > 0 && flags & MAP_STACK;
	return __real_mmap(at, bytes, protection, flags, fd, offset);
}

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*fn)(void *),
	void *arg)
{
	if (threads_left == 0)
		return EAGAIN;
	threads_left -= threads_left > 0;
	return __real_pthread_create(thread, attr, fn, arg);
}

long __real_syscall(long number, ...);
long __wrap_syscall(long number, ...);

/* Six words for every call: those that a call does not have are whatever is there. */
__attribute__((no_sanitize("address"))) long __wrap_syscall(long number, ...)
{
	long word[6];
	va_list words;
	va_start(words, number);
	for (int i = 0; i < 6; i++)
		word[i] = va_arg(words, long);
	va_end(words);
	if (number == SYS_process_madvise && word[2] > 1) {
		batches++;
		if (batches_left == 0) {
			errno = EPERM;
			return -1;
		}
		batches_left -= batches_left > 0;
	}
	return __real_syscall(number, word[0], word[1], word[2], word[3], word[4], word[5]);
}

/* ---- the pool -------------------------------------------------------------------------------- */

static void guard_faults(const char *mode)
{
	struct shunt_stack_pool pool;
	struct shunt_stack_cache cache = {.count = 0};
	int rc = shunt_stack_pool_init(&pool, 65536, mode, 1, &err);
	if (rc == -ENOSYS) {
		print_message("%s: %s\n", mode, err.text);
		return;
	}
	assert_int_equal(rc, 0);
	assert_int_equal(shunt_stack_reserve(&pool, 2), 0);
	struct shunt_stack *stack = shunt_stack_take(&pool, &cache);
	assert_non_null(stack);
	stack->low[0] = stack->low[pool.usable - 1] = 1;
	pid_t child = fork();
	if (child == 0) {
		signal(SIGSEGV, SIG_DFL);
		((volatile unsigned char *)stack->low)[-1] = 1;
		_exit(0);
	}
	int status;
	assert_int_equal(waitpid(child, &status, 0), child);
#ifdef SHUNT_SANITIZED
	assert_true(!WIFEXITED(status) || WEXITSTATUS(status) != 0);
#else
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
#endif
	/* The last given is the first taken: it is in cache. */
	shunt_stack_give(&pool, &cache, stack);
	assert_ptr_equal(shunt_stack_take(&pool, &cache), stack);
	shunt_stack_pool_fini(&pool);
}

static void every_guard_faults(void **state)
{
	(void)state;
	guard_faults("auto");
	guard_faults("madvise");
	guard_faults("mprotect");
}

/* Takes `count` stacks that none has had. All are different, usable and, but for guard=none,
 * guarded. */
static void takes_fresh(const char *mode, unsigned count)
{
	struct shunt_stack_pool pool;
	struct shunt_stack_cache cache = {.count = 0};
	assert_int_equal(shunt_stack_pool_init(&pool, 16384, mode, 1, &err), 0);
	assert_int_equal(shunt_stack_reserve(&pool, count), 0);
	int ends[2];
	assert_int_equal(pipe(ends), 0);
	for (unsigned i = 0; i < count; i++) {
		struct shunt_stack *stack = shunt_stack_take(&pool, &cache);
		assert_non_null(stack);
		assert_int_equal(stack->low[0], 0); /* no other's */
		stack->low[0] = stack->low[pool.usable - 1] = 1;
		/* The kernel reads the byte below: EFAULT says that it is guarded. */
		ssize_t wrote = write(ends[1], stack->low - 1, 1);
		assert_true(pool.guard == SHUNT_GUARD_NONE || (wrote < 0 && errno == EFAULT));
	}
	close(ends[0]);
	close(ends[1]);
	assert_true(cache.count < SHUNT_STACK_BATCH);
	shunt_stack_pool_fini(&pool);
}

static void many_are_made_at_once(void **state)
{
	enum { COUNT = 1000 };
	(void)state;
	batches = 0;
	takes_fresh("auto", COUNT);
	if (batches == 0)
		print_message("this kernel makes them one by one\n");
	else
		assert_true(batches < COUNT / 4);
	/* Refused, at first or in the midst of it, they are made one by one. */
	for (batches_left = 0; batches_left < 10; batches_left += 3) {
		long before = batches_left;
		takes_fresh("auto", COUNT);
		batches_left = before;
	}
	batches_left = -1;
	takes_fresh("mprotect", COUNT);
}

static void what_is_reserved_can_be_taken(void **state)
{
	(void)state;
	struct shunt_stack_pool pool;
	struct shunt_stack_cache one = {.count = 0}, other = {.count = 0};
	assert_int_equal(shunt_stack_pool_init(&pool, 16384, "none", 2, &err), 0);
	assert_int_equal(shunt_stack_reserve(&pool, 1000), 0);
	struct shunt_stack *taken[1000];
	/* The worst of the other's caches: full to its limit. */
	for (int i = 0; i < 200; i++)
		assert_non_null(taken[i] = shunt_stack_take(&pool, &other));
	for (int i = 0; i < 200; i++)
		shunt_stack_give(&pool, &other, taken[i]);
	for (int i = 0; i < 1000; i++)
		assert_non_null(taken[i] = shunt_stack_take(&pool, &one));
	for (int i = 0; i < 1000; i++)
		shunt_stack_give(&pool, &one, taken[i]);
	assert_true(one.count <= SHUNT_STACK_SLACK);
	shunt_stack_pool_fini(&pool);
}

static void *nothing(void *arg)
{
	return arg;
}

#ifdef SHUNT_TSAN
#define LIVES 80000 /* more than it can note on one fibre */
#else
#define LIVES 3000
#endif

/* Each ends on the stack that the one before ended on, and leaves it for the root. */
static void *one_after_the_other(void *arg)
{
	for (long i = 0; i < LIVES; i++) {
		assert_int_equal(shunt_spawn(NULL, nothing, NULL, NULL), 0);
		shunt_yield();
	}
	return arg;
}

static void a_stack_outlives_any_number_of_tasks(void **state)
{
	(void)state;
	assert_int_equal(run_on("ucontext", one_after_the_other, NULL), 0);
	assert_int_equal(run_on("ucontext:workers=2,policy=shared", one_after_the_other, NULL), 0);
}

#ifdef SHUNT_ASAN
static void *tell_where(void *arg)
{
	char here = 0;
	*(uintptr_t *)arg = (uintptr_t)&here;
	shunt_yield();
	return arg;
}

static void *have_two_tell(void *arg)
{
	uintptr_t *where = arg;
	struct shunt_handle task[2];
	for (int i = 0; i < 2; i++)
		assert_int_equal(shunt_spawn(&task[i], tell_where, &where[i], NULL), 0);
	for (int i = 0; i < 2; i++)
		assert_int_equal(shunt_join(task[i], NULL), 0);
	return arg;
}
#endif

/* A task never returns from its last functions, so AddressSanitizer goes on forbidding what lies
 * between their variables; the kernel may give that memory to a thread next. */
static void a_stack_given_back_is_forgotten(void **state)
{
	(void)state;
#ifndef SHUNT_ASAN
	skip();
#else
	static const char *const specs[] = {"asm", "asm:mt=1", "asm:policy=steal,workers=2",
		"ucontext"};
	for (size_t i = 0; i < sizeof(specs) / sizeof(specs[0]); i++) {
		uintptr_t where[2];
		assert_int_equal(run_on(specs[i], have_two_tell, where), 0);
		for (int task = 0; task < 2; task++) {
			char *page = (char *)(where[task] & ~(uintptr_t)4095);
			assert_null(__asan_region_is_poisoned(page - 8192, 8192 + 4096));
		}
	}
#endif
}

/* ---- many tasks, and refusals ---------------------------------------------------------------- */

static void *wait_for_gate(void *arg)
{
	assert_int_equal(shunt_wait_group_wait(arg), 0);
	return arg;
}

struct crowd {
	long want, got;
	int refusal;
};

/* Spawns until `want` tasks are alive, all on stacks of their own, or one is refused. */
static void *gather(void *arg)
{
	struct crowd *crowd = arg;
	struct shunt_wait_group gate = {.count = 1};
	struct shunt_handle *task = calloc((size_t)crowd->want, sizeof(*task));
	assert_non_null(task);
	for (crowd->got = 0; crowd->got < crowd->want; crowd->got++) {
		crowd->refusal = shunt_spawn(&task[crowd->got], wait_for_gate, &gate, NULL);
		if (crowd->refusal)
			break;
	}
	shunt_yield();
	mmaps_left = -1;
	shunt_wait_group_done(&gate);
	for (long i = 0; i < crowd->got; i++) {
		void *result = NULL;
		assert_int_equal(shunt_join(task[i], &result), 0);
		assert_ptr_equal(result, &gate);
	}
	free(task);
	return NULL;
}

static void a_hundred_thousand_live(void **state)
{
	(void)state;
#ifdef SHUNT_TSAN
	skip(); /* its fibres are limited to some thousands */
#endif
	struct crowd crowd = {.want = 100000};
	assert_int_equal(run_on("ucontext:stack.size=16k,stack.guard=none", gather, &crowd), 0);
	assert_int_equal(crowd.got, 100000);
}

static void mappings_run_out_with_a_reason(void **state)
{
	(void)state;
#ifdef SHUNT_TSAN
	skip();
#endif
	struct crowd crowd = {.want = 100000};
	assert_int_equal(run_on("ucontext:stack.size=16k,stack.guard=mprotect", gather, &crowd), 0);
	if (crowd.got == crowd.want)
		return; /* vm.max_map_count is raised here */
	assert_int_equal(crowd.refusal, -EAGAIN);
	assert_true(crowd.got > 1000);

	struct shunt_sched *sched;
	assert_int_equal(shunt_open(&sched, "ucontext:stack.guard=mprotect", NULL, &err), 0);
	struct shunt_error why = {""};
	uint64_t limit = sched->backend->task_limit(sched, &why);
	assert_true(limit > 1000 && limit < 100000);
	assert_non_null(strstr(why.text, "vm.max_map_count"));
	shunt_close(sched);
}

static void no_memory_for_stacks_is_refused_at_spawn(void **state)
{
	(void)state;
	for (long chunks = 1; chunks < 5; chunks++) {
		struct crowd crowd = {.want = 5000};
		mmaps_left = chunks;
		assert_int_equal(run_on("ucontext:stack.guard=none", gather, &crowd), 0);
		assert_int_equal(crowd.refusal, -ENOMEM);
		assert_true(crowd.got > 0 && crowd.got < crowd.want);
	}
	struct crowd crowd = {.want = 10};
	mmaps_left = 0;
	assert_int_equal(run_on("ucontext:stack.guard=none", gather, &crowd), -ENOMEM);
	assert_non_null(strstr(err.text, "root task"));
	mmaps_left = -1;
}

static void no_thread_for_a_worker_ends_the_run(void **state)
{
	(void)state;
	for (threads_left = 0; threads_left < 3; threads_left++) {
		long before = threads_left;
		assert_int_equal(run_on("ucontext:workers=4,policy=fifo,tick=0", nothing, NULL),
			-EAGAIN);
		assert_non_null(strstr(err.text, "worker thread"));
		threads_left = before;
	}
	threads_left = 0;
	assert_int_equal(run_on("ucontext", nothing, NULL), -EAGAIN);
	assert_non_null(strstr(err.text, "tick=0"));
	assert_int_equal(run_on("ucontext:tick=0", nothing, NULL), 0);
	threads_left = -1;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_guard_faults),
		cmocka_unit_test(many_are_made_at_once),
		cmocka_unit_test(what_is_reserved_can_be_taken),
		cmocka_unit_test(a_stack_given_back_is_forgotten),
		cmocka_unit_test(a_stack_outlives_any_number_of_tasks),
		cmocka_unit_test(a_hundred_thousand_live),
		cmocka_unit_test(mappings_run_out_with_a_reason),
		cmocka_unit_test(no_memory_for_stacks_is_refused_at_spawn),
		cmocka_unit_test(no_thread_for_a_worker_ends_the_run),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
