/* SPDX-License-Identifier: MIT */
/* The few things about JSON that records and manifests have in common. */
#ifndef SHUNT_CORE_MEASURE_JSON_H
#define SHUNT_CORE_MEASURE_JSON_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#define SHUNT_SHA256_BYTES 65 /* 64 hex digits */

/**
 * A string of any bytes: what is not UTF-8, and control characters but tab and newline, becomes
 * U+FFFD, so that every implementation of JSON writes it alike. NULL when memory is short.
 */
json_t *shunt_json_text(const char *text);

/** An integer, as a decimal string above 2^53, where a reader's double would lose digits. */
json_t *shunt_json_uint(uint64_t value);
json_t *shunt_json_uint128(unsigned __int128 value);

/** SHA-256 of the compact JSON with sorted keys. 0 or -ENOMEM. */
int shunt_json_hash(const json_t *value, char hex[SHUNT_SHA256_BYTES]);

/** SHA-256 of a text. */
void shunt_json_hash_text(const char *text, char hex[SHUNT_SHA256_BYTES]);

/** The document in one line, keys sorted, reals with 17 digits; the caller frees it. */
char *shunt_json_line(const json_t *value);

#endif
