/* SPDX-License-Identifier: MIT */
/* The scanner; it looks at each character once, and remembers nothing but where it is. */
#include "core/measure/scan.h"

#include "core/param.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH 64

void shunt_scan_damaged(struct shunt_scan *in, const char *format, ...)
{
	char what[256];
	size_t line = 1, column = 1;
	va_list args;

	if (in->failed)
		return;
	va_start(args, format);
	vsnprintf(what, sizeof(what), format, args);
	va_end(args);
	for (const char *c = in->text; c < in->at; c++) {
		line += *c == '\n';
		column = *c == '\n' ? 1 : column + 1;
	}
	in->failed = shunt_fail(in->err, -EBADMSG, "%s:%zu:%zu: %s%s", in->path, line, column,
		in->at == in->end ? "the file is cut short: " : "", what);
}

char shunt_scan_peek(struct shunt_scan *in)
{
	while (in->at < in->end && memchr(" \t\r\n", *in->at, 4))
		in->at++;
	return in->failed || in->at == in->end ? '\0' : *in->at;
}

bool shunt_scan_take(struct shunt_scan *in, char c)
{
	if (shunt_scan_peek(in) != c)
		return false;
	in->at++;
	return true;
}

void shunt_scan_want(struct shunt_scan *in, char c)
{
	if (shunt_scan_take(in, c) || in->failed)
		return;
	shunt_scan_damaged(in, "'%c' is expected here", c);
}

void shunt_scan_string(struct shunt_scan *in, const char **from, size_t *length)
{
	shunt_scan_want(in, '"');
	*from = in->at;
	while (!in->failed && in->at < in->end && *in->at != '"')
		in->at += *in->at == '\\' && in->at + 1 < in->end ? 2 : 1;
	if (in->at >= in->end)
		shunt_scan_damaged(in, "this string has no end");
	*length = (size_t)(in->at - *from);
	in->at += !in->failed;
}

void shunt_scan_word(struct shunt_scan *in, char text[SHUNT_WORD_BYTES])
{
	const char *from;
	size_t length;

	text[0] = '\0';
	shunt_scan_string(in, &from, &length);
	if (in->failed)
		return;
	if (length >= SHUNT_WORD_BYTES)
		shunt_scan_damaged(in, "this string is too long");
	else
		snprintf(text, SHUNT_WORD_BYTES, "%.*s", (int)length, from);
}

uint64_t shunt_scan_number(struct shunt_scan *in, uint64_t most)
{
	char *end;

	if (!isdigit((unsigned char)shunt_scan_peek(in))) {
		shunt_scan_damaged(in, "a number is expected here");
		return 0;
	}
	errno = 0;
	uint64_t value = strtoull(in->at, &end, 10);
	if (errno || value > most)
		shunt_scan_damaged(in, "this number is too large; at most %" PRIu64 " fits here",
			most);
	in->at = end;
	return value;
}

void shunt_scan_pass(struct shunt_scan *in, int depth)
{
	const char *from;
	size_t length;
	char c = shunt_scan_peek(in);

	if (depth > DEPTH) {
		shunt_scan_damaged(in, "too many values within values");
	} else if (c == '"') {
		shunt_scan_string(in, &from, &length);
	} else if (c == '{' || c == '[') {
		char close = c == '{' ? '}' : ']';

		in->at++;
		if (shunt_scan_take(in, close))
			return;
		do {
			if (c == '{') {
				shunt_scan_string(in, &from, &length);
				shunt_scan_want(in, ':');
			}
			shunt_scan_pass(in, depth + 1);
		} while (shunt_scan_take(in, ','));
		shunt_scan_want(in, close);
	} else if (c && strchr("-0123456789tfn", c)) {
		while (in->at < in->end && memchr("+-.0123456789eEtrufalsn", *in->at, 23))
			in->at++;
	} else {
		shunt_scan_damaged(in, "a value is expected here");
	}
}

void shunt_scan_object(struct shunt_scan *in, void *arg,
	void (*member)(struct shunt_scan *, void *, const char *))
{
	char key[SHUNT_WORD_BYTES];

	shunt_scan_want(in, '{');
	if (shunt_scan_take(in, '}'))
		return;
	do {
		shunt_scan_word(in, key);
		shunt_scan_want(in, ':');
		if (!in->failed)
			member(in, arg, key);
	} while (!in->failed && shunt_scan_take(in, ','));
	shunt_scan_want(in, '}');
}
