/* SPDX-License-Identifier: MIT */
/* If this passes, a kernel that knows more CPUs than a cpu_set_t holds is read like any other. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/backend.h"
#include "core/cpus.h"

#include <errno.h>

static size_t least_bytes; /* a mask shorter than that is refused, as such a kernel does */
static int refusal;        /* any mask is; 0: none */

int __real_sched_getaffinity(pid_t pid, size_t bytes, cpu_set_t *set);
int __wrap_sched_getaffinity(pid_t pid, size_t bytes, cpu_set_t *set);
int __wrap_sched_getaffinity(pid_t pid, size_t bytes, cpu_set_t *set)
{
	errno = refusal ? refusal : EINVAL;
	return refusal || bytes < least_bytes ? -1 : __real_sched_getaffinity(pid, bytes, set);
}

static void a_mask_grows_until_it_fits(void **state)
{
	struct shunt_cpus usual, large, copy;
	(void)state;
	least_bytes = 0;
	assert_int_equal(shunt_cpus_allowed(&usual), 0);
	assert_true(shunt_cpus_count(&usual) > 0);
	least_bytes = 8192 / 8;
	assert_int_equal(shunt_cpus_allowed(&large), 0);
	assert_true(large.bytes >= least_bytes);
	assert_int_equal(shunt_cpus_count(&large), shunt_cpus_count(&usual));
	assert_int_equal(shunt_cpus_last(&large), shunt_cpus_last(&usual));
	for (int a = -1, b = -1; (a = shunt_cpus_next(&usual, a)) >= 0;)
		assert_int_equal(b = shunt_cpus_next(&large, b), a);
	assert_int_equal(shunt_cpus_copy(&copy, &large), 0);
	shunt_cpus_keep_only(&copy, shunt_cpus_last(&large));
	assert_int_equal(shunt_cpus_count(&copy), 1);
	assert_int_equal(shunt_cpus_bind(&copy), 0);
	assert_int_equal(shunt_cpus_bind(&large), 0);
	shunt_cpus_free(&usual);
	shunt_cpus_free(&large);
	shunt_cpus_free(&copy);
}

static void a_refusal_is_unknown(void **state)
{
	struct shunt_cpus cpus, copy;
	(void)state;
	refusal = EPERM;
	assert_int_equal(shunt_cpus_allowed(&cpus), -EPERM);
	refusal = EINVAL;
	assert_int_equal(shunt_cpus_allowed(&cpus), -EINVAL);
	refusal = 0;
	assert_null(cpus.set);
	assert_int_equal(shunt_cpus_count(&cpus), 0);
	assert_int_equal(shunt_cpus_last(&cpus), -1);
	assert_int_equal(shunt_cpus_next(&cpus, -1), -1);
	assert_int_equal(shunt_cpus_copy(&copy, &cpus), 0);
	assert_null(copy.set);
}

struct opened {
	unsigned workers, caps;
};

static struct opened opened(const char *spec)
{
	struct shunt_sched *sched;
	assert_int_equal(shunt_open(&sched, spec, NULL, NULL), 0);
	struct opened found = {sched->worker_count, sched->caps};
	shunt_close(sched);
	return found;
}

static void every_backend_reads_it(void **state)
{
	const char *const specs[] = {"ucontext:workers=all", "threads"};
	(void)state;
	for (size_t i = 0; i < sizeof(specs) / sizeof(specs[0]); i++) {
		least_bytes = 0;
		struct opened usual = opened(specs[i]);
		least_bytes = 65536 / 8;
		struct opened large = opened(specs[i]);
		assert_int_equal(usual.workers, large.workers);
		assert_int_equal(usual.caps, large.caps);
	}
	assert_true(opened("threads").caps & SHUNT_PINS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_mask_grows_until_it_fits),
		cmocka_unit_test(a_refusal_is_unknown),
		cmocka_unit_test(every_backend_reads_it),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
