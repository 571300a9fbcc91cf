/* SPDX-License-Identifier: MIT */
/*
 * If this passes, `files` says so when the disk is full, notices a block that was not written, and
 * leaves nothing behind in any of these.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/harness.h"
#include "core/registry.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BLOCKS 16 /* of the file: setup writes each by one call */

static _Atomic long calls, fails_at, lost_at;

ssize_t __real_pwrite(int fd, const void *buffer, size_t bytes, off_t at);
ssize_t __wrap_pwrite(int fd, const void *buffer, size_t bytes, off_t at);

ssize_t __wrap_pwrite(int fd, const void *buffer, size_t bytes, off_t at)
{
	long call = ++calls;

	if (fails_at && call >= fails_at) {
		errno = ENOSPC;
		return -1;
	}
	return call == lost_at ? (ssize_t)bytes : __real_pwrite(fd, buffer, bytes, at);
}

static const struct shunt_workload *files(void)
{
	for (const struct shunt_plugin *p = shunt_registry_workloads; p->name; p++)
		if (!strcmp(p->name, "files"))
			return p->object;
	fail_msg("there is no workload files");
	return NULL;
}

/* The reason, or "" if all was well. The folder is empty afterwards. */
static const char *run(const char *spec, long fail_call, long lost_call)
{
	static char reason[1024];
	char folder[] = "/tmp/shunt-faults-XXXXXX";
	struct shunt_error err = {""};
	struct shunt_run *run = NULL;

	assert_non_null(mkdtemp(folder));
	const struct shunt_setting settings[] = {{"tasks", "2", true}, {"size", "64k", true},
		{"operations", "60", true}, {"writes", "100", true}, {"order", "sequential", true},
		{"folder", folder, true}};
	const struct shunt_request request = {.spec = spec,
		.workload = files(),
		.params = settings,
		.param_count = sizeof(settings) / sizeof(*settings),
		.seed = 1,
		.iterations = 1,
		.timeout_ns = 100000000000u,
		.clock_span_ns = 1000000};

	calls = 0;
	fails_at = fail_call;
	lost_at = lost_call;
	assert_int_equal(shunt_run_prepare(&run, &request, &err), 0);
	shunt_run_execute(run);
	const struct shunt_outcome *outcome = shunt_run_outcome(run);
	bool ok = outcome->status == SHUNT_RECORD_OK;
	snprintf(reason, sizeof(reason), "%s", ok ? "" : outcome->reason);
	assert_true(ok || *reason);
	shunt_run_free(run);
	assert_int_equal(rmdir(folder), 0);
	print_message("%s: %s\n", spec, reason);
	return reason;
}

static void says(const char *reason, const char *words)
{
	if (!strstr(reason, words))
		fail_msg("'%s' does not say '%s'", reason, words);
}

static const char *const specs[] = {"ucontext:io=pool", "threads"};

static void a_full_disk_is_said(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(specs) / sizeof(*specs); i++) {
		const char *reason = run(specs[i], BLOCKS / 2, 0);

		says(reason, "a file of 65536 bytes cannot be made");
		says(reason, "No space left on device");
		says(reason, "folder=DIR");
		reason = run(specs[i], BLOCKS + 5, 0);
		says(reason, "data could not be read or written: No space left on device");
		says(reason, "folder=DIR");
	}
}

static void a_lost_write_is_noticed(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(specs) / sizeof(*specs); i++) {
		assert_string_equal(run(specs[i], 0, 0), "");
		says(run(specs[i], 0, BLOCKS + 60), "blocks_wrong"); /* the last one */
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_full_disk_is_said),
		cmocka_unit_test(a_lost_write_is_noticed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
