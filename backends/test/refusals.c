/* SPDX-License-Identifier: MIT */
/* If this passes, a machine that is full refuses a task and nothing else, and says what to do. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "backends/test/specs.h"

#include <errno.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/* Room for some threads with their arenas, and for some thousand stacks. */
enum { TASKS_MOST = 20000, ROOM_BYTES = 512 << 20, NOT_ENFORCED = 77 };

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif

static struct specs specs;

/* Exit statuses of the child, so that the parent can tell what went wrong. */
enum {
	FINE,
	NO_OPEN = 10,
	NO_REASON,
	HANDLE_TOUCHED,
	NONE_STARTED,
	NOT_JOINED,
	STILL_REFUSED,
	RUN_FAILED
};

static struct shunt_handle handle[TASKS_MOST];
static int told;

static void *park_until_told(void *arg)
{
	while (!__atomic_load_n(&told, __ATOMIC_SEQ_CST))
		shunt_park();
	return arg;
}

static void *nothing(void *arg)
{
	return arg;
}

static int fill_and_empty(void)
{
	int count = 0, rc = 0;
	for (; count < TASKS_MOST; count++) {
		struct shunt_handle before = {NULL, 4711};
		handle[count] = before;
		rc = shunt_spawn(&handle[count], park_until_told, NULL, NULL);
		if (rc && (handle[count].task || handle[count].generation != 4711))
			return HANDLE_TOUCHED;
		if (rc)
			break;
	}
	if (count == TASKS_MOST)
		return NOT_ENFORCED;
	if (rc != -ENOMEM && rc != -EAGAIN)
		return NO_REASON;
	if (count == 0)
		return NONE_STARTED;
	__atomic_store_n(&told, 1, __ATOMIC_SEQ_CST);
	for (int i = 0; i < count; i++)
		shunt_wake(handle[i]);
	for (int i = 0; i < count; i++)
		if (shunt_join(handle[i], NULL))
			return NOT_JOINED;
	/* There is room again, perhaps not at once where the kernel reaps threads. */
	for (int i = 0; i < 1000; i++) {
		struct shunt_handle one;
		rc = shunt_spawn(&one, nothing, NULL, NULL);
		if (!rc)
			return shunt_join(one, NULL) ? NOT_JOINED : FINE;
		shunt_sleep_for(1000000);
	}
	return STILL_REFUSED;
}

static void *root(void *arg)
{
	int outcome = fill_and_empty();
	__atomic_store_n(&told, 1, __ATOMIC_SEQ_CST);
	for (int i = 0; outcome == NOT_ENFORCED && i < TASKS_MOST; i++)
		shunt_wake(handle[i]), shunt_join(handle[i], NULL);
	*(int *)arg = outcome;
	return NULL;
}

/* Address space in use, in bytes. */
static size_t size_now(void)
{
	size_t pages = 0;
	FILE *file = fopen("/proc/self/statm", "r");
	if (!file || fscanf(file, "%zu", &pages) != 1)
		pages = 0;
	if (file)
		fclose(file);
	return pages * (size_t)sysconf(_SC_PAGESIZE);
}

static int in_little_room(const char *spec)
{
	struct shunt_sched *sched;
	struct shunt_error err = {""};
	int outcome = RUN_FAILED;
	if (shunt_open(&sched, spec, NULL, &err))
		return NO_OPEN;
	struct rlimit limit = {size_now() + ROOM_BYTES, RLIM_INFINITY};
	setrlimit(RLIMIT_AS, &limit);
	int rc = shunt_run(sched, root, &outcome, NULL, &err);
	if (rc)
		fprintf(stderr, "%s: %s\n", spec, err.text);
	shunt_close(sched);
	return rc ? RUN_FAILED : outcome;
}

static void a_full_machine_refuses_one_task(void **state)
{
	const char *spec = *state;
	struct shunt_sched *sched;
	struct shunt_error err = {""};
	int status;
#ifdef SANITIZED
	skip(); /* their shadows are address space too */
#endif
	if (specs_open(&sched, spec, &err)) {
		print_message("%s\n", err.text);
		skip();
	}
	bool able = sched->caps & SHUNT_CAN_BLOCK;
	shunt_close(sched);
	if (!able)
		skip();
	fflush(NULL);
	pid_t child = fork();
	if (child == 0)
		_exit(in_little_room(spec));
	assert_int_equal(waitpid(child, &status, 0), child);
	if (!WIFEXITED(status))
		fail_msg("%s: ended by signal %d", spec, WTERMSIG(status));
	if (WEXITSTATUS(status) == NOT_ENFORCED)
		skip(); /* an emulator that does not limit address space */
	assert_int_equal(WEXITSTATUS(status), FINE);
}

/* What a limit says must be a reason with a remedy in it. */
static void limits_come_with_a_remedy(void **state)
{
	(void)state;
	for (size_t i = 0; i < specs.count; i++) {
		struct shunt_sched *sched;
		struct shunt_error err, why = {""};
		if (specs_open(&sched, specs.text[i], &err))
			continue;
		uint64_t limit =
			sched->backend->task_limit ? sched->backend->task_limit(sched, &why) : 0;
		shunt_close(sched);
		if (limit && (strlen(why.text) < 20 || !strpbrk(why.text, ";:")))
			fail_msg("%s: a limit of %llu because of '%s'", specs.text[i],
				(unsigned long long)limit, why.text);
	}
}

int main(void)
{
	static struct CMUnitTest tests[SPECS_MOST];
	size_t count = 0;
	specs_make(&specs);
	for (const struct shunt_plugin *p = shunt_registry_backends; p->name; p++)
		if (p->object)
			tests[count++] = (struct CMUnitTest){.name = p->name,
				.test_func = a_full_machine_refuses_one_task,
				.initial_state = (void *)(uintptr_t)p->name};
	tests[count++] = (struct CMUnitTest)cmocka_unit_test(limits_come_with_a_remedy);
	return _cmocka_run_group_tests("refusals", tests, count, NULL, NULL);
}
