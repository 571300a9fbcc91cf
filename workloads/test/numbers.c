/* SPDX-License-Identifier: MIT */
/* If this passes, a seed always makes the documented numbers, and a bad file is refused, never
 * summed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/param.h"
#include "workloads/numbers.h"
#include "workloads/sum_kernel.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char folder[64], path[128];

/* ---- from the seed --------------------------------------------------------------------------- */

/* FNV-1a over the little-endian bytes. */
static uint64_t hash_of(const struct shunt_numbers *numbers)
{
	uint64_t hash = 0xcbf29ce484222325u;
	for (size_t i = 0; i < numbers->count; i++)
		for (int shift = 0; shift < 64; shift += 8)
			hash = (hash ^ ((uint64_t)numbers->number[i] >> shift & 0xff)) *
			       0x100000001b3u;
	return hash;
}

/* Made by another program, in Python, from the formula in numbers.h. */
static const struct {
	uint64_t seed;
	int64_t first[4], last, sum;
	uint64_t hash;
} golden[] = {
	{1, {-1861603860, -1091859039, -124542226, 1908508304}, -24167786, 75386577804,
		0xf7fa8438f9bc263au},
	{42, {-1109970394, 686809907, 1196582743, 1478287871}, 1258007797, -186600861676,
		0xe300cc82d2346828u},
	{UINT64_MAX, {-455511689, -375392153, 942667852, 1830663020}, 488748628, -24121537530,
		0xd75e95209248e746u},
};

static void a_seed_makes_the_documented_numbers(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(golden) / sizeof(golden[0]); i++) {
		struct shunt_numbers numbers;
		assert_int_equal(shunt_numbers_from_seed(&numbers, 100000, golden[i].seed), 0);
		assert_int_equal(numbers.count, 100000);
		assert_memory_equal(numbers.number, golden[i].first, sizeof(golden[i].first));
		assert_true(numbers.number[99999] == golden[i].last);
		assert_true((int64_t)shunt_sum_scalar(numbers.number, 100000) == golden[i].sum);
		assert_true(hash_of(&numbers) == golden[i].hash);
		shunt_numbers_free(&numbers);
		assert_null(numbers.number);
	}
}

static void an_index_is_its_own_number(void **state)
{
	struct shunt_numbers numbers;
	(void)state;
	assert_int_equal(shunt_numbers_from_index(&numbers, 200), 0);
	assert_true(shunt_sum_scalar(numbers.number, 100) == 4950);
	assert_true(shunt_sum_scalar(numbers.number + 100, 100) == 14950);
	shunt_numbers_free(&numbers);
	assert_int_equal(shunt_numbers_from_index(&numbers, SIZE_MAX / 4), -ENOMEM);
}

static void both_kernels_agree(void **state)
{
	struct shunt_numbers numbers;
	(void)state;
	assert_int_equal(shunt_numbers_from_seed(&numbers, 1000, 7), 0);
	/* Extremes too: sums are modulo 2^64. */
	numbers.number[5] = INT64_MAX;
	numbers.number[6] = INT64_MAX;
	numbers.number[7] = INT64_MIN;
	for (size_t from = 0; from < 9; from++)
		for (size_t count = 0; count < 100; count++) {
			uint64_t sum = 0;
			for (size_t i = 0; i < count; i++)
				sum += (uint64_t)numbers.number[from + i];
			assert_true(shunt_sum_scalar(numbers.number + from, count) == sum);
			assert_true(shunt_sum_overlap(numbers.number + from, count) == sum);
		}
	shunt_numbers_free(&numbers);
}

/* ---- from a file ----------------------------------------------------------------------------- */

static const char *file_of(const char *name, const void *bytes, size_t count)
{
	snprintf(path, sizeof(path), "%s/%s", folder, name);
	FILE *file = fopen(path, "wb");
	assert_non_null(file);
	assert_int_equal(fwrite(bytes, 1, count, file), count);
	assert_int_equal(fclose(file), 0);
	return path;
}

static void expect_numbers(const char *name, const void *bytes, size_t count,
	const int64_t *expected, size_t expected_count)
{
	struct shunt_numbers numbers;
	struct shunt_error err = {""};
	int rc = shunt_numbers_from_file(&numbers, file_of(name, bytes, count), &err);
	if (rc)
		fail_msg("%s: %s", name, err.text);
	assert_int_equal(numbers.count, expected_count);
	assert_memory_equal(numbers.number, expected, expected_count * sizeof(int64_t));
	shunt_numbers_free(&numbers);
	unlink(path);
}

static void expect_refusal(const char *name, const void *bytes, size_t count, int code,
	const char *word, const char *word_too)
{
	struct shunt_numbers numbers = {NULL, 4711};
	struct shunt_error err = {""};
	int rc = shunt_numbers_from_file(&numbers, file_of(name, bytes, count), &err);
	if (rc != code)
		fail_msg("%s: %d (%s), not %d", name, rc, err.text, code);
	if (!strstr(err.text, path) || !strstr(err.text, word) || !strstr(err.text, word_too))
		fail_msg("%s: '%s' should name the file, '%s' and '%s'", name, err.text, word,
			word_too);
	assert_null(numbers.number); /* out-pointers are written on success alone */
	assert_int_equal(numbers.count, 4711);
	unlink(path);
}

#define TEXT(name, text, ...)                                                                      \
	do {                                                                                       \
		const int64_t expected_[] = {__VA_ARGS__};                                         \
		expect_numbers(name, text, strlen(text), expected_,                                \
			sizeof(expected_) / sizeof(expected_[0]));                                 \
	} while (0)
#define REFUSED(name, text, code, word, word_too)                                                  \
	expect_refusal(name, text, sizeof(text) - 1, code, word, word_too)

static void text_is_read(void **state)
{
	(void)state;
	TEXT("a.txt", "1 2 3", 1, 2, 3);
	TEXT("a.txt", "\n 1\r\n\t-2\v+3\f\n", 1, -2, 3);
	TEXT("a.txt", "-0 +0 007", 0, 0, 7);
	TEXT("a.txt", "9223372036854775807 -9223372036854775808", INT64_MAX, INT64_MIN);
	TEXT("numbers", "12\n34\n", 12, 34); /* any name but a binary one */
	TEXT("odd.dat", "5", 5);
	TEXT("d.csv", "1 2 3 4\n", 1, 2, 3, 4); /* as many bytes as an integer has */
}

static void binary_is_read(void **state)
{
	const unsigned char bytes[] = {1, 0, 0, 0, 0, 0, 0, 0, 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff,
		0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0x40};
	const int64_t expected[] = {1, -2, INT64_C(1) << 62};
	(void)state;
	expect_numbers("a.bin", bytes, sizeof(bytes), expected, 3);
	expect_numbers("a.i64", bytes, sizeof(bytes), expected, 3);
}

/* Read as the other, either would give a sum that looks right. */
static void text_is_never_binary(void **state)
{
	(void)state;
	REFUSED("d.csv", "1,2,3,4\n", -EINVAL, "line 1, column 2", "value '1,2,3,4'");
	REFUSED("d", "one two\n", -EINVAL, "line 1, column 1", "value 'one'");
	REFUSED("d.bin", "1,2,3,4\n", -EINVAL, "printable text", ".txt");
	REFUSED("d.i64", "12345678", -EINVAL, "printable text", ".txt");
	REFUSED("d.dat", "\x01\0\0\0\0\0\0\0", -EINVAL, "byte 0x01", "named .bin or .i64");
}

static void other_numbers_have_another_hash(void **state)
{
	int64_t number[] = {1, 2, 3}, swapped[] = {2, 1, 3}, zero = 0;
	struct shunt_numbers a = {number, 3}, b = {swapped, 3}, less = {number, 2},
			     none = {&zero, 0}, one_zero = {&zero, 1};
	(void)state;
	assert_true(shunt_numbers_hash(&a) == shunt_numbers_hash(&a));
	assert_true(shunt_numbers_hash(&a) != shunt_numbers_hash(&b));
	assert_true(shunt_numbers_hash(&a) != shunt_numbers_hash(&less));
	assert_true(shunt_numbers_hash(&none) != shunt_numbers_hash(&one_zero));
}

static void malformed_text_is_located(void **state)
{
	(void)state;
	REFUSED("a.txt", "1 2\n3 x4\n", -EINVAL, "line 2, column 3", "'x'");
	REFUSED("a.txt", "1,2", -EINVAL, "line 1, column 2", "','");
	REFUSED("a.txt", "12.5", -EINVAL, "line 1, column 3", "'.'");
	REFUSED("a.txt", "1\n-\n", -EINVAL, "line 2, column 2", "0x0a");
	REFUSED("a.txt", "1 +", -EINVAL, "line 1, column 4", "end of file");
	REFUSED("a.txt", "--1", -EINVAL, "line 1, column 2", "'-'");
	REFUSED("a.txt", "1 \0 2", -EINVAL, "line 1, column 3", "0x00");
	REFUSED("a.txt", "\xc3\xa9", -EINVAL, "line 1, column 1", "0xc3");
	REFUSED("a.txt", "\n\n  9223372036854775808", -ERANGE, "line 3, column 3", "fit");
	REFUSED("a.txt", "-9223372036854775809", -ERANGE, "line 1, column 1", "fit");
	REFUSED("a.txt", "99999999999999999999999999", -ERANGE, "line 1, column 1", "fit");
}

static void a_file_without_numbers_is_refused(void **state)
{
	(void)state;
	REFUSED("a.txt", "", -EINVAL, "empty", "");
	REFUSED("a.bin", "", -EINVAL, "empty", "");
	REFUSED("a.txt", " \n\t\n", -EINVAL, "no number", "");
	REFUSED("a.bin", "1234567", -EINVAL, "7 bytes", "7 left over");
	REFUSED("a.bin", "123456789", -EINVAL, "9 bytes", "1 left over");
}

static void a_total_that_does_not_fit_is_refused(void **state)
{
	(void)state;
	REFUSED("a.txt", "9223372036854775807 1", -EOVERFLOW, "does not fit", "2 numbers");
	REFUSED("a.txt", "-9223372036854775808 -1", -EOVERFLOW, "does not fit", "2 numbers");
	/* Only the total counts. */
	TEXT("a.txt", "9223372036854775807 1 -1", INT64_MAX, 1, -1);
}

static int open_it(const char *name, struct shunt_error *err)
{
	struct shunt_numbers numbers;
	return shunt_numbers_from_file(&numbers, name, err);
}

static void what_is_no_file_is_refused(void **state)
{
	struct shunt_error err = {""};
	(void)state;
	assert_int_equal(open_it("/no/such/file", &err), -ENOENT);
	assert_non_null(strstr(err.text, "/no/such/file"));
	assert_int_equal(open_it(folder, &err), -EISDIR);
	assert_non_null(strstr(err.text, "folder"));
	assert_int_equal(open_it("/dev/null", &err), -EINVAL);
	assert_non_null(strstr(err.text, "regular"));
	snprintf(path, sizeof(path), "%s/pipe", folder);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_int_equal(open_it(path, &err), -EINVAL); /* and does not wait for a writer */
	unlink(path);
}

/* As somebody who may not read it; the superuser may read everything. */
static void an_unreadable_file_is_refused(void **state)
{
	int status;
	(void)state;
	file_of("secret.txt", "1 2 3", 5);
	assert_int_equal(chmod(path, 0), 0);
	assert_int_equal(chmod(folder, 0755), 0);
	fflush(NULL);
	pid_t child = fork();
	if (child == 0) {
		struct shunt_error err = {""};
		if (geteuid() == 0 && setuid(65534))
			_exit(77);
		_exit(open_it(path, &err) == -EACCES && strstr(err.text, "secret.txt") ? 0 : 1);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	unlink(path);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == 77)
		skip();
	assert_int_equal(WEXITSTATUS(status), 0);
}

static int make_folder(void **state)
{
	(void)state;
	strcpy(folder, "/tmp/shunt-numbers-XXXXXX");
	return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
	(void)state;
	return rmdir(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_seed_makes_the_documented_numbers),
		cmocka_unit_test(an_index_is_its_own_number),
		cmocka_unit_test(both_kernels_agree),
		cmocka_unit_test(text_is_read),
		cmocka_unit_test(binary_is_read),
		cmocka_unit_test(text_is_never_binary),
		cmocka_unit_test(other_numbers_have_another_hash),
		cmocka_unit_test(malformed_text_is_located),
		cmocka_unit_test(a_file_without_numbers_is_refused),
		cmocka_unit_test(a_total_that_does_not_fit_is_refused),
		cmocka_unit_test(what_is_no_file_is_refused),
		cmocka_unit_test(an_unreadable_file_is_refused),
	};
	return cmocka_run_group_tests_name("numbers", tests, make_folder, remove_folder);
}
