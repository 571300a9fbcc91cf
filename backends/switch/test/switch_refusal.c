/* SPDX-License-Identifier: MIT */
/*
 * If this passes, what a switch cannot do is refused with a reason: the assembly under a shadow
 * stack, and FP words that this CPU or this switch does not have. The kernel's answer about the
 * shadow stack is this file's.
 */
#include "backends/switch/test/variants.h"

#include <sys/prctl.h>
#include <unistd.h>

static bool kernel_knows, kernel_says_shadow;

/* In place of libc's: the two calls by which a process asks for its shadow stack. */
static int answer(uint64_t *status)
{
	if (!kernel_knows) {
		errno = EINVAL;
		return -1;
	}
	*status = kernel_says_shadow;
	return 0;
}

long syscall(long number, ...)
{
	va_list args;
	long code;
	uint64_t *status;

	(void)number;
	va_start(args, number);
	code = va_arg(args, long);
	status = va_arg(args, uint64_t *);
	va_end(args);
	assert_int_equal(code, 0x5005);
	return answer(status);
}

int prctl(int option, ...)
{
	va_list args;
	uint64_t *status;

	va_start(args, option);
	status = va_arg(args, uint64_t *);
	va_end(args);
	assert_int_equal(option, 74);
	return answer(status);
}

static const struct shunt_switch *find(const char *name)
{
	for (const struct shunt_plugin *entry = shunt_registry_switches; entry->name; entry++) {
		if (strcmp(entry->name, name) == 0)
			return entry->object;
	}
	return NULL;
}

static void shadow_stack(void **state)
{
	static const char *const names[] = {"asm", "asm-ret", "ucontext-nosigmask"};
	struct shunt_error why = {""};

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		const struct shunt_switch *of = find(names[i]);

		if (!of)
			skip();
		kernel_knows = false;
		assert_int_equal(of->probe(&why), 0);
		kernel_knows = true;
		kernel_says_shadow = false;
		assert_int_equal(of->probe(&why), 0);
		kernel_says_shadow = true;
		assert_int_equal(of->probe(&why), -ENOTSUP);
		assert_non_null(strstr(why.text, "shadow stack"));
		assert_non_null(strstr(why.text, "switch=ucontext"));
		assert_int_equal(of->probe(NULL), -ENOTSUP);
	}
	assert_null(find("ucontext")->probe);
}

static void fp_words(void **state)
{
	const struct shunt_switch *in_assembly = find("asm");
	struct shunt_switch_ops ops = {.fp = "untouched"};
	struct shunt_error why = {""};

	(void)state;
	assert_int_equal(variant_resolve(find("ucontext"), "none", NULL, &ops, &why), -ENOTSUP);
	assert_non_null(strstr(why.text, "'ucontext'"));
	assert_non_null(strstr(why.text, "fp=none"));
	assert_string_equal(ops.fp, "untouched");
	if (!in_assembly)
		skip();
#ifdef __x86_64__
	assert_int_equal(variant_resolve(in_assembly, "mxcsr", NULL, &ops, &why), 0);
#else
	assert_int_equal(variant_resolve(in_assembly, "mxcsr", NULL, &ops, &why), -ENOTSUP);
	assert_non_null(strstr(why.text, "fp=mxcsr"));
	assert_non_null(strstr(why.text, "fp=full"));
	assert_string_equal(ops.fp, "untouched");
	assert_int_equal(variant_resolve(in_assembly, "full", "always", &ops, &why), -ENOTSUP);
	assert_non_null(strstr(why.text, "fp_load=always"));
#endif
}

/* What is timed does not change which words a switch keeps, and is asked once. */
static void auto_is_one_of_the_two(void **state)
{
	const struct shunt_switch *in_assembly = find("asm");
	struct shunt_switch_ops first, ops;

	(void)state;
	if (!in_assembly || variant_resolve(in_assembly, "full", "always", &ops, NULL))
		skip();
	assert_string_equal(ops.fp_load, "always");
	assert_int_equal(variant_resolve(in_assembly, "full", "compare", &first, NULL), 0);
	assert_string_equal(first.fp_load, "compare");
	assert_ptr_not_equal(first.swap, ops.swap);
	assert_ptr_not_equal(first.swap_post, ops.swap_post);
	assert_int_equal(variant_resolve(in_assembly, "full", NULL, &first, NULL), 0);
	for (int i = 0; i < 100; i++) {
		assert_int_equal(variant_resolve(in_assembly, "full", "auto", &ops, NULL), 0);
		assert_ptr_equal(ops.swap, first.swap);
		assert_string_equal(ops.fp_load, first.fp_load);
	}
	assert_int_equal(variant_resolve(in_assembly, "none", "always", &ops, NULL), 0);
	assert_null(ops.fp_load);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(shadow_stack),
		cmocka_unit_test(fp_words),
		cmocka_unit_test(auto_is_one_of_the_two),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
