/* SPDX-License-Identifier: MIT */
/*
 * If this passes, the ring slots say why they cannot run: io_uring absent, forbidden by a seccomp
 * filter, switched off by the sysctl, without memory, or without a feature that is needed; and
 * where a feature is missing that can be done without, they do without it and say so.
 *
 * Seccomp filters are real ones, in a child each. The other refusals are made at the boundary to
 * liburing, by --wrap. With the argument `absent` (under an emulator without io_uring) only that
 * refusal is checked, for real.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "backends/test/forbid.h"
#include "backends/wait/ring.h"
#include "backends/wait/test/harness.h"

#include <errno.h>
#include <linux/io_uring.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef IORING_ENTER_ABS_TIMER
#define IORING_ENTER_ABS_TIMER (1U << 5)
#endif

struct io_uring;
struct io_uring_probe;

int __real_io_uring_queue_init_params(unsigned entries, struct io_uring *ring,
	struct io_uring_params *params);
int __wrap_io_uring_queue_init_params(unsigned entries, struct io_uring *ring,
	struct io_uring_params *params);
int __real_io_uring_enter2(unsigned fd, unsigned submit, unsigned wait, unsigned flags, void *arg,
	size_t bytes);
int __wrap_io_uring_enter2(unsigned fd, unsigned submit, unsigned wait, unsigned flags, void *arg,
	size_t bytes);
int __real_io_uring_register_probe(struct io_uring *ring, struct io_uring_probe *probe,
	unsigned count);
int __wrap_io_uring_register_probe(struct io_uring *ring, struct io_uring_probe *probe,
	unsigned count);
int __real_io_uring_register_ring_fd(struct io_uring *ring);
int __wrap_io_uring_register_ring_fd(struct io_uring *ring);
FILE *__real_fopen(const char *path, const char *mode);
FILE *__wrap_fopen(const char *path, const char *mode);

/* What the kernel is made to lack. */
static struct {
	int setup_error;
	unsigned unknown_setup_flags;
	unsigned features_hidden;
	unsigned operations_hidden; /* from this one on; 0: none */
	bool no_absolute_wait, no_registered_ring;
	unsigned interrupted; /* the number of waits that signals end */
	const char *disabled; /* what the sysctl reads as; NULL: the truth */
} lack;

int __wrap_io_uring_queue_init_params(unsigned entries, struct io_uring *ring,
	struct io_uring_params *params)
{
	int code;

	if (lack.setup_error != 0)
		return lack.setup_error;
	if (params->flags & lack.unknown_setup_flags)
		return -EINVAL;
	code = __real_io_uring_queue_init_params(entries, ring, params);
	params->features &= ~lack.features_hidden;
	return code;
}

int __wrap_io_uring_enter2(unsigned fd, unsigned submit, unsigned wait, unsigned flags, void *arg,
	size_t bytes)
{
	if (lack.interrupted > 0) {
		lack.interrupted--;
		return -EINTR;
	}
	if (lack.no_absolute_wait && flags & IORING_ENTER_ABS_TIMER)
		return -EINVAL;
	return __real_io_uring_enter2(fd, submit, wait, flags, arg, bytes);
}

int __wrap_io_uring_register_probe(struct io_uring *ring, struct io_uring_probe *probe,
	unsigned count)
{
	int code = __real_io_uring_register_probe(ring, probe, count);

	if (lack.operations_hidden != 0 && code == 0)
		probe->last_op = (uint8_t)(lack.operations_hidden - 1);
	return code;
}

int __wrap_io_uring_register_ring_fd(struct io_uring *ring)
{
	return lack.no_registered_ring ? -EINVAL : __real_io_uring_register_ring_fd(ring);
}

FILE *__wrap_fopen(const char *path, const char *mode)
{
	FILE *file;

	if (lack.disabled == NULL || strcmp(path, "/proc/sys/kernel/io_uring_disabled") != 0)
		return __real_fopen(path, mode);
	file = tmpfile();
	fputs(lack.disabled, file);
	rewind(file);
	return file;
}

static int forget(void **state)
{
	(void)state;
	memset(&lack, 0, sizeof(lack));
	return 0;
}

/* ---- refusals -------------------------------------------------------------------------------- */

static const struct shunt_wait *slot_named(const char *name)
{
	for (const struct shunt_plugin *p = shunt_registry_waits; p->name != NULL; p++)
		if (strcmp(p->name, name) == 0)
			return p->object;
	return NULL;
}

static int probe(struct shunt_error *why)
{
	int code = slot_named("uring")->probe(why);

	assert_int_equal(slot_named("uring-each")->probe(why), code);
	if (code != 0)
		print_message("%s\n", why->text);
	return code;
}

static void expect(int code, const char *word)
{
	struct shunt_error why = {""};

	assert_int_equal(probe(&why), code);
	if (strstr(why.text, word) == NULL)
		fail_msg("\"%s\" does not say \"%s\"", why.text, word);
}

static void in_a_child_without(unsigned call, int error, const char *word)
{
	pid_t child = fork();
	int status;

	assert_true(child >= 0);
	if (child == 0) {
		struct shunt_error why = {""};
		int code = forbid(call, error) != 0 ? 1 : slot_named("uring")->probe(&why);

		fprintf(stderr, "%s\n", why.text);
		_exit(code == -error && strstr(why.text, word) != NULL ? 0 : 1);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void a_seccomp_filter_is_named(void **state)
{
	(void)state;
	in_a_child_without(SYS_io_uring_setup, EPERM, "seccomp");
	in_a_child_without(SYS_io_uring_setup, ENOSYS, "seccomp");
}

/* One that lets rings be set up, and then not be used: found by the probe, not by the first
 * sleep. */
static void a_filter_on_the_other_calls_is_named(void **state)
{
	(void)state;
	in_a_child_without(SYS_io_uring_enter, EPERM, "io_uring_enter: ");
	in_a_child_without(SYS_io_uring_enter, ENOSYS, "seccomp");
	in_a_child_without(SYS_io_uring_register, EPERM, "io_uring_register: ");
	in_a_child_without(SYS_io_uring_register, ENOSYS, "seccomp");
}

static void the_sysctl_is_named(void **state)
{
	(void)state;
	lack.setup_error = -EPERM;
	lack.disabled = "2\n";
	expect(-EPERM, "kernel.io_uring_disabled = 2");
}

static void want_of_memory_names_the_limit(void **state)
{
	(void)state;
	lack.setup_error = -ENOMEM;
	expect(-ENOMEM, "RLIMIT_MEMLOCK");
}

/* For real: a user without privileges who may lock nothing. From Linux 5.12 rings were charged to
 * the memory control group and not to the limit, which lets it pass; 6.18 charges the limit
 * again. */
static void a_limit_on_locked_memory_is_named(void **state)
{
	struct shunt_error why = {""};
	int status, code;

	(void)state;
	if (slot_named("uring")->probe(&why) != 0)
		skip();
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		if ((geteuid() == 0 && setuid(65534) != 0) ||
			setrlimit(RLIMIT_MEMLOCK, &(struct rlimit){0, 0}) != 0)
			_exit(2);
		code = slot_named("uring")->probe(&why);
		fprintf(stderr, "%s\n",
			code ? why.text : "this kernel charges no ring to the limit");
		_exit(code == 0 || (code == -ENOMEM && strstr(why.text, "RLIMIT_MEMLOCK")) ? 0 : 1);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void any_other_error_is_told(void **state)
{
	(void)state;
	lack.setup_error = -EMFILE;
	expect(-EMFILE, "Too many open files");
}

static void missing_features_are_told(void **state)
{
	(void)state;
	lack.features_hidden = IORING_FEAT_EXT_ARG;
	expect(-EOPNOTSUPP, "EXT_ARG");
	lack.features_hidden = IORING_FEAT_NODROP;
	expect(-EOPNOTSUPP, "NODROP");
	lack.features_hidden = 0;
	lack.operations_hidden = IORING_OP_TIMEOUT;
	expect(-EOPNOTSUPP, "timeouts");
}

/* ---- doing without --------------------------------------------------------------------------- */

static void own_fired(void *arg, const struct shunt_timer *timer)
{
	(void)timer;
	++*(int *)arg;
}

struct told {
	const char *name;
	char value[128];
};

static void remember(void *sink, const char *name, const char *value, const char *source)
{
	struct told *told = sink;

	(void)source;
	if (strcmp(name, told->name) == 0)
		snprintf(told->value, sizeof(told->value), "%s", value);
}

/* Opens `uring` with one parameter set (or none), sleeps once, and returns the value of a fact. */
static const char *sleep_with(const char *key, const char *value, const char *fact, int *code)
{
	static struct told told;
	struct subject s;
	struct shunt_wait_config config = {.worker_count = 1, .fired = own_fired};
	struct shunt_error err = {""};
	int64_t deadline;
	unsigned commits = 0;
	void *wait, *slot;

	told = (struct told){.name = fact};
	assert_true(subject_init(&s, slot_named("uring"), 0));
	if (key != NULL)
		assert_int_equal(shunt_values_set(&s.values, "uring", key, value, &err), 0);
	config.values = &s.values;
	*code = s.ops->open(&wait, &config, &err);
	if (*code != 0) {
		snprintf(told.value, sizeof(told.value), "%.127s", err.text);
		subject_fini(&s);
		return told.value;
	}
	assert_int_equal(s.ops->start(wait, 0, NULL, &slot, &err), 0);
	deadline = now_ns() + 5 * MS; /* however long it took to open */
	while (now_ns() < deadline) {
		prepare(s.ops, slot);
		assert_int_equal(s.ops->commit(slot, deadline), 0);
		commits++;
	}
	assert_true(commits < 20); /* it slept, and did not only look at the clock */
	s.ops->facts(wait, remember, &told);
	s.ops->stop(slot);
	s.ops->close(wait);
	subject_fini(&s);
	return told.value;
}

static void older_kernels_get_older_flags(void **state)
{
	int code;

	(void)state;
	lack.unknown_setup_flags = 1u << 13; /* DEFER_TASKRUN */
	assert_string_equal(sleep_with(NULL, NULL, "wait.uring.setup_flags", &code),
		"COOP_TASKRUN|TASKRUN_FLAG");
	lack.unknown_setup_flags |= IORING_SETUP_COOP_TASKRUN;
	assert_string_equal(sleep_with(NULL, NULL, "wait.uring.setup_flags", &code), "none");
}

static void a_relative_wait_does_as_well(void **state)
{
	int code;

	(void)state;
	lack.no_absolute_wait = lack.no_registered_ring = true;
	assert_string_equal(sleep_with(NULL, NULL, "wait.uring.wait_deadline", &code), "relative");
	assert_int_equal(code, 0);
}

/* A signal at the moment of the trial says nothing of the kernel. */
static void a_signal_while_probing_is_no_refusal(void **state)
{
	int code;

	(void)state;
	lack.no_absolute_wait = true; /* both ways are tried */
	lack.interrupted = 3;
	sleep_with(NULL, NULL, "", &code);
	assert_int_equal(code, 0);
	lack.no_absolute_wait = false;
	const char *before = sleep_with(NULL, NULL, "wait.uring.wait_deadline", &code);
	bool absolute = strcmp(before, "absolute") == 0;
	lack.interrupted = 3;
	assert_string_equal(sleep_with(NULL, NULL, "wait.uring.wait_deadline", &code),
		absolute ? "absolute" : "relative");
}

static void what_was_asked_for_is_not_replaced(void **state)
{
	int code;

	(void)state;
	lack.operations_hidden = IORING_OP_MSG_RING;
	assert_non_null(strstr(sleep_with("wake", "msgring", "", &code), "wake=eventfd"));
	assert_int_equal(code, -EOPNOTSUPP);
	lack.operations_hidden = 0;
	lack.features_hidden = IORING_FEAT_CQE_SKIP;
	sleep_with(NULL, NULL, "", &code); /* and the default does not need it */
	assert_int_equal(code, 0);
}

/* ---------------------------------------------------------------------------------------------- */

static void an_emulator_without_it_is_refused(void **state)
{
	(void)state;
	expect(-ENOSYS, "no io_uring");
}

int main(int argc, char **argv)
{
	const struct CMUnitTest absent[] = {
		cmocka_unit_test(an_emulator_without_it_is_refused),
	};
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(a_seccomp_filter_is_named, forget),
		cmocka_unit_test_teardown(the_sysctl_is_named, forget),
		cmocka_unit_test_teardown(want_of_memory_names_the_limit, forget),
		cmocka_unit_test_teardown(a_limit_on_locked_memory_is_named, forget),
		cmocka_unit_test_teardown(any_other_error_is_told, forget),
		cmocka_unit_test_teardown(missing_features_are_told, forget),
	};
	const struct CMUnitTest where_it_works[] = {
		cmocka_unit_test_teardown(older_kernels_get_older_flags, forget),
		cmocka_unit_test_teardown(a_relative_wait_does_as_well, forget),
		cmocka_unit_test_teardown(a_filter_on_the_other_calls_is_named, forget),
		cmocka_unit_test_teardown(a_signal_while_probing_is_no_refusal, forget),
		cmocka_unit_test_teardown(what_was_asked_for_is_not_replaced, forget),
	};
	struct shunt_error why;
	int failed;

	if (slot_named("uring") == NULL || slot_named("uring-each") == NULL) {
		print_message("built without liburing\n");
		return 77;
	}
	if (argc > 1 && strcmp(argv[1], "absent") == 0)
		return cmocka_run_group_tests(absent, NULL, NULL);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	if (slot_named("uring")->probe(&why) == 0)
		failed += cmocka_run_group_tests(where_it_works, NULL, NULL);
	return failed;
}
