/* SPDX-License-Identifier: MIT */
/*
 * A scanner of JSON text, for files too large for a tree of values: the caller takes what it knows
 * and passes over the rest.
 *
 * After the first error every call does nothing; `failed` holds it, and err the place in the file.
 */
#ifndef SHUNT_CORE_MEASURE_SCAN_H
#define SHUNT_CORE_MEASURE_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct shunt_error; /* core/param.h */

#define SHUNT_WORD_BYTES 96

struct shunt_scan {
	const char *path;            /* for messages */
	const char *text, *at, *end; /* *end is readable and '\0' */
	struct shunt_error *err;
	int failed;
};

/* Sets the first error: -EBADMSG, "path:line:column: ...". */
void shunt_scan_damaged(struct shunt_scan *in, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* The next character that is no white space, which stays; '\0' at the end and after an error. */
char shunt_scan_peek(struct shunt_scan *in);

/* Takes it if it is c. */
bool shunt_scan_take(struct shunt_scan *in, char c);

/* Takes it, or it is an error. */
void shunt_scan_want(struct shunt_scan *in, char c);

/* A string: what is between the quotes, its escapes as they are. */
void shunt_scan_string(struct shunt_scan *in, const char **from, size_t *length);

/* A short string without escapes, copied. */
void shunt_scan_word(struct shunt_scan *in, char text[SHUNT_WORD_BYTES]);

/* A number that is an integer from 0 to `most`. */
uint64_t shunt_scan_number(struct shunt_scan *in, uint64_t most);

/* Passes over any value; depth is 0. */
void shunt_scan_pass(struct shunt_scan *in, int depth);

/* An object: calls member for each key, which takes the value. */
void shunt_scan_object(struct shunt_scan *in, void *arg,
	void (*member)(struct shunt_scan *in, void *arg, const char *key));

#endif
