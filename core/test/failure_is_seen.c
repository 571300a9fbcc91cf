/* SPDX-License-Identifier: MIT */
/* If this passes (it is registered as one that must fail), a failed assertion fails its program. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void wrong(void **state)
{
	(void)state;
	assert_int_equal(1, 2);
}

static void right(void **state)
{
	(void)state;
	assert_int_equal(1, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(wrong), cmocka_unit_test(right)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
