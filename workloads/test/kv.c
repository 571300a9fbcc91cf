/* SPDX-License-Identifier: MIT */
/*
 * If this passes, each store behind kv gives back what was put, in order, to many tasks on two
 * workers at once; a value with a wrong byte is seen; and a database leaves no name behind.
 */
#include "workloads/kv.h"

#include "core/backend.h"
#include "core/sched.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { KEYS = 500, BYTES = 40, TASKS = 16, ROUNDS = 50, ENTRIES = 100 };

static const struct kv_engine *engine;
static struct kv_store *store;

static uint64_t sum_of_keys(uint64_t first, uint64_t count)
{
	uint64_t sum = 0;
	for (uint64_t i = 0; i < count; i++)
		sum += kv_key(first + i);
	return sum;
}

/* How many answers were wrong. */
static void *client(void *arg)
{
	uint64_t number = (uint64_t)(uintptr_t)arg, wrong = 0;
	char value[BYTES];
	for (int round = 0; round < ROUNDS; round++) {
		struct kv_sums sums = {0};
		number = (number * 31 + 7) % (KEYS - ENTRIES);
		wrong += engine->put(store, number) != 0;
		wrong += engine->get(store, number, value) != 0;
		wrong += !kv_is_whole(value, BYTES, kv_key(number)) || kv_version(value) == 0;
		shunt_yield();
		wrong += engine->scan(store, number, ENTRIES, &sums) != 0;
		wrong += sums.entries != ENTRIES || sums.keys != sum_of_keys(number, ENTRIES);
	}
	return (void *)(uintptr_t)wrong;
}

static void *clients(void *arg)
{
	struct shunt_handle task[TASKS];
	struct kv_sums all = {0};
	uint64_t wrong = 0;
	void *result;
	for (uintptr_t i = 0; i < TASKS; i++)
		if (shunt_spawn(&task[i], client, (void *)i, NULL))
			wrong++;
	for (int i = 0; i < TASKS; i++) {
		shunt_join(task[i], &result);
		wrong += (uint64_t)(uintptr_t)result;
	}
	wrong += engine->scan(store, 0, KEYS, &all) != 0;
	wrong += all.versions != TASKS * ROUNDS || all.keys != sum_of_keys(0, KEYS);
	/* Beyond the last key there is none. */
	all = (struct kv_sums){0};
	if (engine == &kv_lmdb)
		wrong += engine->scan(store, KEYS - 1, 2, &all) == 0;
	*(uint64_t *)arg = wrong;
	return NULL;
}

static void serves_many(void)
{
	struct shunt_error err = {""};
	struct shunt_sched *sched;
	uint64_t wrong = 1;
	if (engine->open(&store, KEYS, BYTES, &err))
		fail_msg("%s", err.text);
	if (shunt_open(&sched, "ucontext:workers=2,policy=steal", NULL, &err))
		fail_msg("%s", err.text);
	if (shunt_run(sched, clients, &wrong, NULL, &err))
		fail_msg("%s", err.text);
	shunt_close(sched);
	engine->close(store);
	assert_int_equal(wrong, 0);
}

static void an_array_serves_many(void **state)
{
	(void)state;
	engine = &kv_mem;
	serves_many();
}

static int entries_in(const char *folder)
{
	DIR *open = opendir(folder);
	int count = 0;
	while (open && readdir(open))
		count++;
	closedir(open);
	return count - 2;
}

static void a_database_serves_many_and_leaves_nothing(void **state)
{
	(void)state;
	struct shunt_error err = {""};
	char folder[] = "/tmp/shunt-test-kv-XXXXXX";
	engine = &kv_lmdb;
	if (!engine)
		skip();
	assert_non_null(mkdtemp(folder));
	setenv("TMPDIR", folder, 1);
	serves_many();
	assert_int_equal(entries_in(folder), 0);
	assert_int_equal(rmdir(folder), 0);
	assert_int_equal(engine->open(&store, KEYS, BYTES, &err), -ENOENT);
	assert_non_null(strstr(err.text, "set TMPDIR to one that takes new files"));
	unsetenv("TMPDIR");
}

static void a_wrong_byte_is_seen(void **state)
{
	(void)state;
	char value[BYTES];
	kv_write(value, BYTES, kv_key(3), 5);
	assert_true(kv_is_whole(value, BYTES, kv_key(3)));
	assert_int_equal(kv_version(value), 5);
	assert_false(kv_is_whole(value, BYTES, kv_key(4)));
	for (int i = 8; i < BYTES; i++) {
		value[i] ^= 1;
		assert_false(kv_is_whole(value, BYTES, kv_key(3)));
		value[i] ^= 1;
	}
	/* Half of the next version. */
	kv_write(value, BYTES / 2, kv_key(3), 6);
	assert_false(kv_is_whole(value, BYTES, kv_key(3)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_array_serves_many),
		cmocka_unit_test(a_database_serves_many_and_leaves_nothing),
		cmocka_unit_test(a_wrong_byte_is_seen),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
