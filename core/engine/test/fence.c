/* SPDX-License-Identifier: MIT */
/* Where the kernel refuses membarrier, fence=auto is full and says so, and fence=asymmetric is
 * refused. */
#include "core/engine/test/engine_torture.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#define SPEC "asm:workers=2,policy=steal"

static void on_setting(void *sink, const char *key, const char *value)
{
	if (!strcmp(key, "fence"))
		snprintf(sink, 16, "%s", value);
}

static void *leaf(void *arg)
{
	shunt_yield();
	return arg;
}

static void *root(void *arg)
{
	struct shunt_handle handle[64];
	for (int i = 0; i < 64; i++)
		assert_int_equal(shunt_spawn(&handle[i], leaf, NULL, NULL), 0);
	for (int i = 0; i < 64; i++)
		assert_int_equal(shunt_join(handle[i], NULL), 0);
	return arg;
}

/* The fence that `spec` resolves to, after a run with it. */
static void expect_fence(const char *spec, const char *fence)
{
	struct shunt_error err = {""};
	struct shunt_sched *sched;
	char found[16] = "";
	if (shunt_open(&sched, spec, NULL, &err))
		fail_msg("%s: %s", spec, err.text);
	sched->backend->composition(sched, on_setting, found);
	assert_string_equal(found, fence);
	assert_int_equal(shunt_run(sched, root, NULL, NULL, &err), 0);
	shunt_close(sched);
}

static void each_fence_runs(void **state)
{
	(void)state;
	expect_fence(SPEC ",fence=full", "full");
	if (syscall(SYS_membarrier, 0, 0, 0) > 0)
		expect_fence(SPEC, "asymmetric");
}

/* From here on this process has no membarrier. */
static bool refuse_membarrier(void)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_membarrier, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {sizeof(filter) / sizeof(*filter), filter};
	return !prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) &&
	       !prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) &&
	       syscall(SYS_membarrier, 0, 0, 0) < 0;
}

static void a_kernel_without_is_said(void **state)
{
	struct shunt_error err = {""};
	struct shunt_sched *sched;
	(void)state;
	if (!refuse_membarrier()) {
		print_message("no seccomp filters here\n");
		skip();
	}
	expect_fence(SPEC, "full");
	assert_int_equal(shunt_open(&sched, SPEC ",fence=asymmetric", NULL, &err), -EPERM);
	assert_non_null(strstr(err.text, "membarrier"));
	assert_non_null(strstr(err.text, "fence=full"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_fence_runs),
		cmocka_unit_test(a_kernel_without_is_said),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
