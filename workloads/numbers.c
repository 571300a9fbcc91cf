/* SPDX-License-Identifier: MIT */
/*
 * The numbers of chunked_sum: generation and file input. Strict on purpose: a file that is not
 * what it seems must not give a sum that looks right.
 */
#include "workloads/numbers.h"

#include "core/file.h"
#include "core/param.h"
#include "core/rng.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SHOWN_BYTES = 24 };

static int numbers_alloc(struct shunt_numbers *numbers, size_t count)
{
	numbers->number = count <= SIZE_MAX / sizeof(int64_t) ? malloc(count * sizeof(int64_t))
							      : NULL;
	numbers->count = count;
	return numbers->number ? 0 : -ENOMEM;
}

void shunt_numbers_free(struct shunt_numbers *numbers)
{
	free(numbers->number);
	*numbers = (struct shunt_numbers){NULL, 0};
}

int shunt_numbers_from_seed(struct shunt_numbers *numbers, size_t count, uint64_t seed)
{
	int rc = numbers_alloc(numbers, count);
	for (size_t i = 0; !rc && i < count; i++)
		numbers->number[i] = (int32_t)(uint32_t)(shunt_splitmix64(&seed) >> 32);
	return rc;
}

int shunt_numbers_from_index(struct shunt_numbers *numbers, size_t count)
{
	int rc = numbers_alloc(numbers, count);
	for (size_t i = 0; !rc && i < count; i++)
		numbers->number[i] = (int64_t)i;
	return rc;
}

uint64_t shunt_numbers_hash(const struct shunt_numbers *numbers)
{
	uint64_t hash = numbers->count;
	for (size_t i = 0; i < numbers->count; i++) {
		uint64_t mixed = hash ^ (uint64_t)numbers->number[i];
		hash = shunt_splitmix64(&mixed);
	}
	return hash;
}

/* ---- a file ---------------------------------------------------------------------------------- */

struct file {
	const char *path;
	unsigned char *byte;
	size_t bytes;
	struct shunt_error *err;
};

static bool is_space(unsigned char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool is_named_binary(const struct file *file)
{
	const char *dot = strrchr(file->path, '.');
	return dot && (!strcmp(dot, ".bin") || !strcmp(dot, ".i64"));
}

static bool is_printable(const struct file *file)
{
	size_t at = 0;
	while (at < file->bytes && (isprint(file->byte[at]) || is_space(file->byte[at])))
		at++;
	return at == file->bytes;
}

static int parse_binary(struct shunt_numbers *numbers, const struct file *file)
{
	if (file->bytes % 8)
		return shunt_fail(file->err, -EINVAL,
			"input '%s': its %zu bytes do not divide into 64-bit integers "
			"(%zu left over); rename it to .txt if it holds decimal numbers",
			file->path, file->bytes, file->bytes % 8);
	if (is_printable(file))
		return shunt_fail(file->err, -EINVAL,
			"input '%s' is named as binary and holds printable text alone: rename it "
			"to "
			".txt",
			file->path);
	int rc = numbers_alloc(numbers, file->bytes / 8);
	if (rc)
		return rc;
	memcpy(numbers->number, file->byte, file->bytes);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
	for (size_t i = 0; i < numbers->count; i++)
		numbers->number[i] = (int64_t)__builtin_bswap64((uint64_t)numbers->number[i]);
#endif
	return 0;
}

/* Where the parser is: a byte, and its line and column for the user, both from 1. */
struct cursor {
	size_t at, line, line_start;
};

/* The value around `at`, as far as it can be printed. */
static int length_of_value(const struct file *file, const struct cursor *cursor)
{
	size_t end = cursor->at;
	while (end < file->bytes && end - cursor->at < SHOWN_BYTES && isgraph(file->byte[end]))
		end++;
	return (int)(end - cursor->at);
}

static int complain(const struct file *file, const struct cursor *cursor, size_t at, int code,
	const char *what)
{
	char shown[16] = "end of file";
	if (at < file->bytes)
		snprintf(shown, sizeof(shown), isgraph(file->byte[at]) ? "'%c'" : "byte 0x%02x",
			file->byte[at]);
	return shunt_fail(file->err, code,
		"input '%s', line %zu, column %zu, value '%.*s': %s (at %s)%s", file->path,
		cursor->line, at - cursor->line_start + 1, length_of_value(file, cursor),
		(const char *)file->byte + cursor->at, what, shown,
		is_printable(file) ? "" : "; a file of binary numbers is named .bin or .i64");
}

/* Skips white space, counting lines. False at the end. */
static bool skip_space(const struct file *file, struct cursor *cursor)
{
	for (; cursor->at < file->bytes && is_space(file->byte[cursor->at]); cursor->at++) {
		if (file->byte[cursor->at] != '\n')
			continue;
		cursor->line++;
		cursor->line_start = cursor->at + 1;
	}
	return cursor->at < file->bytes;
}

/* One number, and the white space or the end after it. */
static int parse_number(const struct file *file, struct cursor *cursor, int64_t *number)
{
	size_t start = cursor->at, at = start;
	bool negative = file->byte[at] == '-';
	int64_t value = 0;
	if (negative || file->byte[at] == '+')
		at++;
	if (at == file->bytes || !isdigit(file->byte[at]))
		return complain(file, cursor, at, -EINVAL, "a decimal integer was expected");
	for (; at < file->bytes && isdigit(file->byte[at]); at++) {
		int digit = file->byte[at] - '0';
		if (__builtin_mul_overflow(value, 10, &value) ||
			__builtin_add_overflow(value, negative ? -digit : digit, &value))
			return complain(file, cursor, start, -ERANGE,
				"this number does not fit 64 bits with sign");
	}
	if (at < file->bytes && !is_space(file->byte[at]))
		return complain(file, cursor, at, -EINVAL,
			"numbers are decimal integers separated by white space");
	cursor->at = at;
	*number = value;
	return 0;
}

static int parse_text(struct shunt_numbers *numbers, const struct file *file)
{
	/* A number needs a digit and a separator, so this is enough; the rest is given back. */
	int rc = numbers_alloc(numbers, file->bytes / 2 + 1);
	struct cursor cursor = {.line = 1};
	size_t count = 0;
	while (!rc && skip_space(file, &cursor))
		rc = parse_number(file, &cursor, &numbers->number[count++]);
	if (rc)
		return rc;
	if (!count)
		return shunt_fail(file->err, -EINVAL,
			"input '%s' holds white space only: no number to sum", file->path);
	int64_t *shrunk = realloc(numbers->number, count * sizeof(int64_t));
	numbers->number = shrunk ? shrunk : numbers->number;
	numbers->count = count;
	return 0;
}

/* Only the total must fit 64 bits: partial sums are exact modulo 2^64. */
static int check_total(const struct shunt_numbers *numbers, const struct file *file)
{
	__int128 total = 0;
	for (size_t i = 0; i < numbers->count; i++)
		total += numbers->number[i];
	if (total > INT64_MAX || total < INT64_MIN)
		return shunt_fail(file->err, -EOVERFLOW,
			"input '%s': the sum of its %zu numbers does not fit 64 bits with sign",
			file->path, numbers->count);
	return 0;
}

int shunt_numbers_from_file(struct shunt_numbers *numbers, const char *path,
	struct shunt_error *err)
{
	struct file file = {.path = path, .err = err};
	struct shunt_numbers read = {NULL, 0};
	char *text = NULL;
	int rc = shunt_file_read(path, "input", UINT64_MAX, &text, &file.bytes, err);
	file.byte = (unsigned char *)text;
	if (!rc && !file.bytes)
		rc = shunt_fail(err, -EINVAL, "input '%s' is empty: no number to sum", path);
	if (!rc)
		rc = is_named_binary(&file) ? parse_binary(&read, &file) : parse_text(&read, &file);
	if (!rc)
		rc = check_total(&read, &file);
	if (rc == -ENOMEM)
		shunt_fail(err, rc, "input '%s': no memory for its numbers", path);
	if (rc)
		shunt_numbers_free(&read);
	else
		*numbers = read;
	free(text);
	return rc;
}
