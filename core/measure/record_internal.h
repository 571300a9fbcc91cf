/* SPDX-License-Identifier: MIT */
/* What the two files of the record share. */
#ifndef SHUNT_CORE_MEASURE_RECORD_INTERNAL_H
#define SHUNT_CORE_MEASURE_RECORD_INTERNAL_H

#include "core/measure/record.h"

#include <jansson.h>

struct shunt_record {
	json_t *document;
	enum shunt_record_status status;
	bool check_failed, finished;
	int failed; /* the first thing that a setter could not take, and why */
	char why[256];
};

/* Keeps the first failure. */
void shunt_record_spoil(struct shunt_record *record, int code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* Sets a value, which is taken over and may be NULL when memory ran out. */
void shunt_record_put(struct shunt_record *record, json_t *into, const char *key, json_t *value);
/* A part of the document, made (json_object, json_array) if it is not there. */
json_t *shunt_record_part(struct shunt_record *record, const char *key, json_t *(*make)(void));
/* Whether a name has the form that the schema asks; spoils the record if not. */
bool shunt_record_name_fits(struct shunt_record *record, const char *name);

#endif
