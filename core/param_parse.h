/* SPDX-License-Identifier: MIT */
/* Numbers with units, for core/param.c alone: what is wrong with a text, before it is put in
 * words. */
#ifndef SHUNT_CORE_PARAM_PARSE_H
#define SHUNT_CORE_PARAM_PARSE_H

#include "core/param.h"

enum shunt_parse {
	SHUNT_PARSE_OK,
	SHUNT_PARSE_NOT_A_NUMBER,
	SHUNT_PARSE_NO_UNIT,  /* a duration other than 0 without one */
	SHUNT_PARSE_BAD_UNIT, /* a suffix that the type does not have */
	SHUNT_PARSE_FRACTION, /* not a whole number of base units */
	SHUNT_PARSE_OVERFLOW, /* beyond the type */
};

/* COUNT, DURATION and SIZE. *value is set only on OK. */
enum shunt_parse shunt_parse_integer(enum shunt_param_type type, const char *text, int64_t *value);
enum shunt_parse shunt_parse_real(const char *text, double *value);

#endif
