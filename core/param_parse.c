/* SPDX-License-Identifier: MIT */
/*
 * Text to numbers with units, and back.
 *
 * A number is read exactly: its digits become an integer and a power of ten, are multiplied by the
 * unit, and what is then not a whole number of base units is refused rather than rounded ("1.5k" is
 * 1500, "0.5ns" is an error). So a record's value is the value that was asked for.
 */
#include "core/param_parse.h"

#include <errno.h>
#include <inttypes.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct unit {
	const char *suffix;
	int64_t factor;
};

#define KIB INT64_C(1024)
#define NONE                                                                                       \
	{                                                                                          \
		NULL, 0                                                                            \
	}

/* The first of each factor is the one that notation() writes; largest first. */
static const struct unit count_units[] = {{"G", 1000000000}, {"M", 1000000}, {"k", 1000},
	{"K", 1000}, {"", 1}, NONE};
static const struct unit duration_units[] = {{"s", 1000000000}, {"ms", 1000000}, {"us", 1000},
	{"\xc2\xb5s", 1000}, {"ns", 1}, NONE};
static const struct unit size_units[] = {{"G", KIB *KIB *KIB}, {"GB", KIB *KIB *KIB},
	{"GiB", KIB *KIB *KIB}, {"M", KIB *KIB}, {"MB", KIB *KIB}, {"MiB", KIB *KIB}, {"k", KIB},
	{"K", KIB}, {"kB", KIB}, {"KB", KIB}, {"KiB", KIB}, {"kiB", KIB}, {"", 1}, {"B", 1}, NONE};

static const struct unit *units_of(enum shunt_param_type type)
{
	return type == SHUNT_PARAM_DURATION ? duration_units
	       : type == SHUNT_PARAM_SIZE   ? size_units
					    : count_units;
}

/* Digits with at most one point: mantissa / 10^places, and what there was no room for. */
struct decimal {
	unsigned __int128 mantissa;
	size_t places;
	bool overflow; /* digits before the point */
	bool finer;    /* digits after it that are not 0 */
};

static const char *read_decimal(const char *s, struct decimal *number)
{
	const unsigned __int128 limit = (unsigned __int128)1 << 90;
	bool point = false, digit = false;

	*number = (struct decimal){0};
	for (; (*s >= '0' && *s <= '9') || (*s == '.' && !point); s++) {
		if (*s == '.') {
			point = true;
			continue;
		}
		digit = true;
		if (number->mantissa >= limit) {
			number->overflow |= !point;
			number->finer |= point && *s != '0';
			continue;
		}
		number->mantissa = number->mantissa * 10 + (unsigned)(*s - '0');
		number->places += point;
	}
	return digit ? s : NULL;
}

static enum shunt_parse scale(const struct decimal *number, int64_t factor, bool negative,
	int64_t *value)
{
	unsigned __int128 scaled = number->mantissa, power = 1;

	if (number->overflow)
		return SHUNT_PARSE_OVERFLOW;
	/* mantissa < 10 * 2^90 and factor < 2^31: the product fits, and so does a power of ten that
	 * is not much more, however many places there are. */
	scaled *= (unsigned __int128)factor;
	for (size_t i = 0; i < number->places && power <= scaled; i++)
		power *= 10;
	if (scaled % power || number->finer)
		return SHUNT_PARSE_FRACTION;
	scaled /= power;
	if (scaled > INT64_MAX)
		return SHUNT_PARSE_OVERFLOW;
	*value = negative ? -(int64_t)scaled : (int64_t)scaled;
	return SHUNT_PARSE_OK;
}

enum shunt_parse shunt_parse_integer(enum shunt_param_type type, const char *text, int64_t *value)
{
	struct decimal number;
	bool negative = text[0] == '-';
	const char *rest = read_decimal(text + negative, &number);

	if (!rest)
		return SHUNT_PARSE_NOT_A_NUMBER;
	if (type == SHUNT_PARAM_DURATION && *rest == '\0')
		return number.mantissa == 0 ? scale(&number, 1, false, value) : SHUNT_PARSE_NO_UNIT;
	for (const struct unit *unit = units_of(type); unit->suffix; unit++)
		if (strcmp(unit->suffix, rest) == 0)
			return scale(&number, unit->factor, negative, value);
	return SHUNT_PARSE_BAD_UNIT;
}

enum shunt_parse shunt_parse_real(const char *text, double *value)
{
	char *end;

	/* Decimal only: strtod would also take "inf", "nan", "0x1p3" and leading blanks. */
	if (text[0] == '\0' || text[strspn(text, "+-.0123456789eE")] != '\0')
		return SHUNT_PARSE_NOT_A_NUMBER;
	/* In the "C" locale, whatever the program's own: records are read elsewhere. */
	locale_t c_locale = newlocale(LC_NUMERIC_MASK, "C", (locale_t)0);

	if (!c_locale)
		return SHUNT_PARSE_NOT_A_NUMBER;
	double number = strtod_l(text, &end, c_locale);

	freelocale(c_locale);
	if (end == text || *end)
		return SHUNT_PARSE_NOT_A_NUMBER;
	if (isinf(number))
		return SHUNT_PARSE_OVERFLOW;
	*value = number;
	return SHUNT_PARSE_OK;
}

const char *shunt_param_notation(enum shunt_param_type type, int64_t value, char *text,
	size_t bytes)
{
	const struct unit *unit = units_of(type);

	if (value == 0) {
		snprintf(text, bytes, "0");
		return text;
	}
	while (unit->factor > 1 && value % unit->factor)
		unit++;
	snprintf(text, bytes, "%" PRId64 "%s", value / unit->factor, unit->suffix);
	return text;
}
