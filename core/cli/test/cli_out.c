/* SPDX-License-Identifier: MIT */
/* If this passes, numbers and words come out as a person reads them, and a shell takes them
 * back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/cli/cli.h"

#include <stdlib.h>

static char text[64];

static void durations(void **state)
{
	(void)state;
	assert_string_equal(cli_ns(0, text, sizeof(text)), "0 ns");
	assert_string_equal(cli_ns(5.123, text, sizeof(text)), "5.12 ns");
	assert_string_equal(cli_ns(51.25, text, sizeof(text)), "51.2 ns");
	assert_string_equal(cli_ns(512.4, text, sizeof(text)), "512 ns");
	/* Rounded before the unit is chosen: never "1000 ns". */
	assert_string_equal(cli_ns(999.4, text, sizeof(text)), "999 ns");
	assert_string_equal(cli_ns(999.6, text, sizeof(text)), "1.00 us");
	assert_string_equal(cli_ns(1e6, text, sizeof(text)), "1.00 ms");
	assert_string_equal(cli_ns(200.3e6, text, sizeof(text)), "200 ms");
	assert_string_equal(cli_ns(3.6e12, text, sizeof(text)), "3600 s");
}

static void sizes(void **state)
{
	(void)state;
	assert_string_equal(cli_bytes(512, text, sizeof(text)), "512 B");
	assert_string_equal(cli_bytes(65536, text, sizeof(text)), "64.0 KiB");
	assert_string_equal(cli_bytes(3.75 * 1024 * 1024, text, sizeof(text)), "3.75 MiB");
}

static void counts(void **state)
{
	(void)state;
	assert_string_equal(cli_grouped(0, text, sizeof(text)), "0");
	assert_string_equal(cli_grouped(999, text, sizeof(text)), "999");
	assert_string_equal(cli_grouped(1000, text, sizeof(text)), "1,000");
	assert_string_equal(cli_grouped(10000002, text, sizeof(text)), "10,000,002");
	assert_string_equal(cli_grouped(UINT64_MAX, text, sizeof(text)),
		"18,446,744,073,709,551,615");
	assert_string_equal(cli_rate(19.96, text, sizeof(text)), "20.0");
	assert_string_equal(cli_rate(0.00135, text, sizeof(text)), "0.00135");
	assert_string_equal(cli_rate(0.98, text, sizeof(text)), "0.980");
	assert_string_equal(cli_rate(0.9999, text, sizeof(text)), "1.00");
	assert_string_equal(cli_rate(1e-9, text, sizeof(text)), "1.00e-09");
	assert_string_equal(cli_rate(4962, text, sizeof(text)), "4962");
	assert_string_equal(cli_rate(91634, text, sizeof(text)), "91,600");
	assert_string_equal(cli_rate(195123456, text, sizeof(text)), "195 million");
	assert_string_equal(cli_rate(1.6e9, text, sizeof(text)), "1.60 billion");
}

static void words_for_a_shell(void **state)
{
	struct cli_text command = {0};

	(void)state;
	cli_add_shell(&command, "asm:place=0+2-4,wait=spin");
	cli_add(&command, " ");
	cli_add_shell(&command, "a b");
	cli_add(&command, " ");
	cli_add_shell(&command, "it's");
	cli_add(&command, " ");
	cli_add_shell(&command, "");
	assert_string_equal(command.s, "asm:place=0+2-4,wait=spin 'a b' 'it'\\''s' ''");
	free(command.s);
}

static void blanks_that_do_not_break(void **state)
{
	(void)state;
	assert_string_equal(cli_nb(cli_ns(51.25, text, sizeof(text))), "51.2\x1fns");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(durations),
		cmocka_unit_test(sizes),
		cmocka_unit_test(counts),
		cmocka_unit_test(words_for_a_shell),
		cmocka_unit_test(blanks_that_do_not_break),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
