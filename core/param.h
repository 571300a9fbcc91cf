/* SPDX-License-Identifier: MIT */
/*
 * Parameters: what a plug-in or a workload lets its user choose, declared beside the code that
 * reads it. One table serves parsing, range checks, `describe`, the record and the defaults.
 */
#ifndef SHUNT_CORE_PARAM_H
#define SHUNT_CORE_PARAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum shunt_param_type {
	SHUNT_PARAM_COUNT,    /* an integer; suffixes k = 1000, M, G */
	SHUNT_PARAM_DURATION, /* nanoseconds; suffixes ns, us, ms, s; a bare 0 needs none */
	SHUNT_PARAM_SIZE,     /* bytes; suffixes k = 1024, M, G (also kB, KiB, MiB, GiB) */
	SHUNT_PARAM_REAL,     /* a decimal number */
	SHUNT_PARAM_CHOICE,   /* one of choices[] */
	SHUNT_PARAM_TEXT,     /* any text; a path, a list */
};

struct shunt_param {
	const char *name;
	enum shunt_param_type type;
	/* The default, in the user's own notation ("64k", "100ms"); of a number also "auto": 0, and
	 * whoever reads the value computes it. */
	const char *fallback;
	int64_t min, max;           /* base units; both 0: no limit but the type's own (>= 0) */
	const char *const *choices; /* NULL-terminated; CHOICE only */
	const char *help;           /* one line: what it does, and when one would change it */
};

/* A table of parameters ends with {.name = NULL}. */

struct shunt_value {
	int64_t integer;  /* COUNT, DURATION, SIZE in base units; CHOICE: the index in choices[] */
	double real;      /* REAL */
	const char *text; /* CHOICE, TEXT: the text itself; lives as long as the values */
	bool given;       /* set by the user, not defaulted */
};

/* The values of one parameter table; value[i] belongs to params[i]. */
struct shunt_values {
	const struct shunt_param *params;
	struct shunt_value *value;
};

/* Room for one explanation that a library function leaves for whoever talks to the user. */
struct shunt_error {
	char text[640];
};

/*
 * Sets err->text (err may be NULL) and returns code, so that a failure is one statement.
 * Context: any thread; does not allocate.
 */
int shunt_fail(struct shunt_error *err, int code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Allocates values holding every default. 0, -ENOMEM, or -EINVAL when a default does not parse. */
int shunt_values_init(struct shunt_values *values, const struct shunt_param *params,
	struct shunt_error *err);
void shunt_values_fini(struct shunt_values *values);

/*
 * Sets one value from the user's text. -ENOENT: no such key (err names the nearest one);
 * -EINVAL: malformed (err says what is expected); -ERANGE: outside min..max or overflowing.
 * `where` names the owner in messages ("workload 'yield'").
 */
int shunt_values_set(struct shunt_values *values, const char *where, const char *key,
	const char *text, struct shunt_error *err);

/* The value of a key that the table declares; a key that it does not declare is a panic. */
const struct shunt_value *shunt_value(const struct shunt_values *values, const char *key);

static inline int64_t shunt_value_int(const struct shunt_values *values, const char *key)
{
	return shunt_value(values, key)->integer;
}

static inline const char *shunt_value_text(const struct shunt_values *values, const char *key)
{
	return shunt_value(values, key)->text;
}

/* Writes the value in base units, as records hold it ("100000000", "symmetric"); returns text. */
const char *shunt_value_format(const struct shunt_param *param, const struct shunt_value *value,
	char *text, size_t bytes);

/* The type in words, as a message expects it: "a duration such as 50us, 100ms or 2s". */
const char *shunt_param_expects(const struct shunt_param *param);

/* Base units in the user's notation, exactly: "100ms", "64k", "1M"; returns text. */
const char *shunt_param_notation(enum shunt_param_type type, int64_t value, char *text,
	size_t bytes);

/* The values allowed, in the user's notation: "1 to 16M", "0 or more"; for a choice the list, "a, b
 * or c"; for a text "any text". Returns text. */
const char *shunt_param_range(const struct shunt_param *param, char *text, size_t bytes);

/* The candidate nearest to `word` by edit distance, or NULL when none is near. */
const char *shunt_nearest(const char *word, const char *const *candidates, size_t count);

#ifdef __cplusplus
}
#endif

#endif
