/* SPDX-License-Identifier: MIT */
/* Strings made safe, integers that survive doubles, and the hash of a value. */
#include "core/measure/json.h"

#include <errno.h>
#include <sha2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXACT_IN_DOUBLES (UINT64_C(1) << 53)

_Static_assert(SHA256_DIGEST_STRING_LENGTH == SHUNT_SHA256_BYTES, "libmd counts the end too");

/* The length of the UTF-8 character at `at`, or 0: overlong forms and surrogates are none. */
static size_t character(const unsigned char *at)
{
	unsigned first = at[0], second_min = 0x80, second_max = 0xbf;
	size_t length;

	if (first < 0x80)
		return first >= 0x20 || first == '\t' || first == '\n' ? 1 : 0;
	if (first < 0xc2 || first > 0xf4)
		return 0;
	length = first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
	if (first == 0xe0)
		second_min = 0xa0;
	else if (first == 0xed)
		second_max = 0x9f;
	else if (first == 0xf0)
		second_min = 0x90;
	else if (first == 0xf4)
		second_max = 0x8f;
	if (at[1] < second_min || at[1] > second_max)
		return 0;
	for (size_t i = 2; i < length; i++)
		if ((at[i] & 0xc0) != 0x80)
			return 0;
	return length;
}

json_t *shunt_json_text(const char *text)
{
	const unsigned char *from = (const unsigned char *)text;
	char *clean = malloc(3 * strlen(text) + 1), *to = clean;
	json_t *made;

	if (!clean)
		return NULL;
	while (*from) {
		size_t length = character(from);

		memcpy(to, length ? (const char *)from : "\xef\xbf\xbd", length ? length : 3);
		to += length ? length : 3;
		from += length ? length : 1;
	}
	*to = '\0';
	made = json_string_nocheck(clean);
	free(clean);
	return made;
}

json_t *shunt_json_uint128(unsigned __int128 value)
{
	char digits[40], *at = digits + sizeof(digits) - 1;

	if (value <= EXACT_IN_DOUBLES)
		return json_integer((json_int_t)value);
	*at = '\0';
	for (; value; value /= 10)
		*--at = (char)('0' + (int)(value % 10));
	return json_string_nocheck(at);
}

json_t *shunt_json_uint(uint64_t value)
{
	return shunt_json_uint128(value);
}

static int feed(const char *bytes, size_t length, void *hash)
{
	SHA256Update(hash, (const uint8_t *)bytes, length);
	return 0;
}

int shunt_json_hash(const json_t *value, char hex[SHUNT_SHA256_BYTES])
{
	SHA2_CTX hash;

	SHA256Init(&hash);
	if (json_dump_callback(value, feed, &hash, JSON_COMPACT | JSON_SORT_KEYS) < 0)
		return -ENOMEM;
	SHA256End(&hash, hex);
	return 0;
}

void shunt_json_hash_text(const char *text, char hex[SHUNT_SHA256_BYTES])
{
	SHA256Data((const uint8_t *)text, strlen(text), hex);
}

char *shunt_json_line(const json_t *value)
{
	return json_dumps(value, JSON_COMPACT | JSON_SORT_KEYS | JSON_REAL_PRECISION(17));
}
