/* SPDX-License-Identifier: MIT */
/*
 * Whatever cannot be had while a scheduler is opened or run, is an error with its reason, and
 * nothing is left behind: each allocation, mapping and thread is refused in turn, on every plug-in
 * of every slot.
 */
#include "core/engine/test/engine_torture.h"
#include "core/test/share.h"

#include <errno.h>
#include <pthread.h>
#include <sys/mman.h>

void *__real_malloc(size_t bytes);
void *__wrap_malloc(size_t bytes);
void *__real_calloc(size_t count, size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes);
void *__real_realloc(void *old, size_t bytes);
void *__wrap_realloc(void *old, size_t bytes);
void *__real_aligned_alloc(size_t alignment, size_t bytes);
void *__wrap_aligned_alloc(size_t alignment, size_t bytes);
int __real_posix_memalign(void **memory, size_t alignment, size_t bytes);
int __wrap_posix_memalign(void **memory, size_t alignment, size_t bytes);
char *__real_strdup(const char *text);
char *__wrap_strdup(const char *text);
void __real_free(void *memory);
void __wrap_free(void *memory);
void *__real_mmap(void *at, size_t bytes, int protection, int flags, int fd, off_t offset);
void *__wrap_mmap(void *at, size_t bytes, int protection, int flags, int fd, off_t offset);
int __real_munmap(void *at, size_t bytes);
int __wrap_munmap(void *at, size_t bytes);
int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*fn)(void *),
	void *arg);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*fn)(void *),
	void *arg);

/* ---- refusals -------------------------------------------------------------------------------- */

static _Atomic long until_refused; /* requests, of which the last is refused; <= 0: none is */
static _Atomic long held;          /* allocations and mappings */

static bool refused(void)
{
	return atomic_fetch_sub(&until_refused, 1) == 1;
}

static void *got(void *memory)
{
	held += memory != NULL;
	return memory;
}

void *__wrap_malloc(size_t bytes)
{
	return refused() ? NULL : got(__real_malloc(bytes));
}

void *__wrap_calloc(size_t count, size_t bytes)
{
	return refused() ? NULL : got(__real_calloc(count, bytes));
}

void *__wrap_realloc(void *old, size_t bytes)
{
	if (refused())
		return NULL;
	void *memory = __real_realloc(old, bytes);
	held += memory && !old;
	return memory;
}

void *__wrap_aligned_alloc(size_t alignment, size_t bytes)
{
	return refused() ? NULL : got(__real_aligned_alloc(alignment, bytes));
}

int __wrap_posix_memalign(void **memory, size_t alignment, size_t bytes)
{
	int rc = refused() ? ENOMEM : __real_posix_memalign(memory, alignment, bytes);
	held += rc == 0;
	return rc;
}

char *__wrap_strdup(const char *text)
{
	return refused() ? NULL : got(__real_strdup(text));
}

void __wrap_free(void *memory)
{
	held -= memory != NULL;
	__real_free(memory);
}

void *__wrap_mmap(void *at, size_t bytes, int protection, int flags, int fd, off_t offset)
{
	if (refused()) {
		errno = ENOMEM;
		return MAP_FAILED;
	}
	void *memory = __real_mmap(at, bytes, protection, flags, fd, offset);
	held += memory != MAP_FAILED;
	return memory;
}

int __wrap_munmap(void *at, size_t bytes)
{
	held--;
	return __real_munmap(at, bytes);
}

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*fn)(void *),
	void *arg)
{
	return refused() ? EAGAIN : __real_pthread_create(thread, attr, fn, arg);
}

/* ---- one scheduler --------------------------------------------------------------------------- */

static void *nap_a_little(void *arg)
{
	shunt_sleep_for(1000);
	return arg;
}

static void *root(void *arg)
{
	for (int i = 0; i < 3; i++) {
		struct shunt_handle task;
		if (!shunt_spawn(&task, nap_a_little, NULL, NULL))
			assert_int_equal(shunt_join(task, NULL), 0);
	}
	return arg;
}

/* Opens it with the n-th request refused. False: fewer than n were made. */
static bool try_one(const char *spec, long n)
{
	struct shunt_error err = {""};
	struct shunt_sched *sched = NULL;
	long before = held;
	until_refused = n;
	int rc = shunt_open(&sched, spec, NULL, &err);
	const char *what = rc ? "opened" : "run";
	if (!rc) {
		rc = shunt_run(sched, root, NULL, NULL, &err);
		shunt_close(sched);
	}
	bool struck = until_refused <= 0;
	until_refused = 0;
	if (rc && !err.text[0])
		fail_msg("%s: could not be %s with request %ld refused (%d), and says not why",
			spec, what, n, rc);
	if (held != before)
		fail_msg("%s: %ld things are left behind with request %ld refused", spec,
			held - before, n);
	return struck;
}

static void try_all(const char *spec)
{
	static size_t composition;
	struct shunt_sched *sched;
	long n = 1;
	if (shunt_open(&sched, spec, NULL, NULL))
		return; /* not on this machine */
	shunt_close(sched);
	composition++;
	while (!share_takes(composition, (size_t)n) || try_one(spec, n))
		n++;
	assert_true(n > 5);
}

static void try_slot(const char *slot, const struct shunt_plugin *list)
{
	for (; list->name; list++) {
		char spec[128];
		if (!list->object)
			continue;
		snprintf(spec, sizeof(spec), "ucontext:workers=2,%s=%s", slot, list->name);
		try_all(spec);
	}
}

static void what_cannot_be_had_is_told(void **state)
{
	(void)state;
	try_all("ucontext:policy=edf");
	try_slot("switch", shunt_registry_switches);
	try_slot("wait", shunt_registry_waits);
	try_slot("timers", shunt_registry_timers);
	try_slot("policy", shunt_registry_policies);
	try_slot("place", shunt_registry_places);
	for (const struct shunt_plugin *p = shunt_registry_backends; p->name; p++) {
		const struct shunt_backend *backend = p->object;
		if (backend && !backend->preset) /* else it is made of what was tried above */
			try_all(p->name);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(what_cannot_be_had_is_told)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
