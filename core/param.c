/* SPDX-License-Identifier: MIT */
/*
 * Parameter tables: defaults, setting by name, checks, and messages that a user can act on.
 *
 * Every message names the key, the value as given, what is expected and the range, because it will
 * be read in a log of a thousand runs by someone who did not type the command.
 */
#include "core/param.h"

#include "core/backend.h"
#include "core/param_parse.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int shunt_fail(struct shunt_error *err, int code, const char *format, ...)
{
	va_list args;

	if (!err)
		return code;
	va_start(args, format);
	vsnprintf(err->text, sizeof(err->text), format, args);
	va_end(args);
	return code;
}

/* Appends to a text that may become full; what does not fit is left out. */
static void __attribute__((format(printf, 3, 4)))
append(char *text, size_t bytes, const char *format, ...)
{
	size_t used = strlen(text);
	va_list args;

	va_start(args, format);
	vsnprintf(text + used, bytes - used, format, args);
	va_end(args);
}

/* ---- words about a parameter ----------------------------------------------------------------- */

const char *shunt_param_expects(const struct shunt_param *param)
{
	switch (param->type) {
	case SHUNT_PARAM_COUNT:
		return "a count such as 1000, 10k or 1M";
	case SHUNT_PARAM_DURATION:
		return "a duration such as 50us, 100ms or 2s";
	case SHUNT_PARAM_SIZE:
		return "a size such as 4096, 64k or 1M";
	case SHUNT_PARAM_REAL:
		return "a decimal number such as 0.5";
	case SHUNT_PARAM_CHOICE:
		return "one of its choices";
	case SHUNT_PARAM_TEXT:
		break;
	}
	return "a text";
}

static bool limited(const struct shunt_param *param)
{
	return param->min != 0 || param->max != 0;
}

static int64_t upper(const struct shunt_param *param)
{
	return limited(param) ? param->max : INT64_MAX;
}

static void list_choices(const struct shunt_param *param, char *text, size_t bytes)
{
	for (size_t i = 0; param->choices[i]; i++)
		append(text, bytes, "%s%s",
			i == 0                  ? ""
			: param->choices[i + 1] ? ", "
						: " or ",
			param->choices[i]);
}

const char *shunt_param_range(const struct shunt_param *param, char *text, size_t bytes)
{
	char low[32], high[32];

	text[0] = '\0';
	if (param->type == SHUNT_PARAM_TEXT) {
		append(text, bytes, "any text");
		return text;
	}
	if (param->type == SHUNT_PARAM_CHOICE) {
		list_choices(param, text, bytes);
		return text;
	}
	shunt_param_notation(param->type, param->min, low, sizeof(low));
	if (upper(param) == INT64_MAX)
		append(text, bytes, "%s or more", low);
	else
		append(text, bytes, "%s to %s", low,
			shunt_param_notation(param->type, param->max, high, sizeof(high)));
	return text;
}

/* ---- values ---------------------------------------------------------------------------------- */

static size_t table_count(const struct shunt_param *params)
{
	size_t count = 0;

	while (params && params[count].name)
		count++;
	return count;
}

static const char *fallback_text(const struct shunt_param *param)
{
	return param->fallback ? param->fallback : "";
}

/* Only a text that the user gave is ours; defaults and choices belong to the table. */
static void drop_text(const struct shunt_param *param, struct shunt_value *value)
{
	if (param->type == SHUNT_PARAM_TEXT && value->text != fallback_text(param))
		free((char *)value->text);
	value->text = NULL;
}

/* Does the text leave a number, whose default is computed, to whoever computes it? */
static bool is_auto(const struct shunt_param *param, const char *text)
{
	return param->type != SHUNT_PARAM_CHOICE && param->type != SHUNT_PARAM_TEXT &&
	       strcmp(text, "auto") == 0 && strcmp(fallback_text(param), "auto") == 0;
}

static int bad(struct shunt_error *err, int code, const struct shunt_param *param,
	const char *where, const char *text, const char *what)
{
	char range[256];
	bool choice = param->type == SHUNT_PARAM_CHOICE;

	/* The value is cut, so that a long one does not push out what was expected. */
	return shunt_fail(err, code, "%s: %s=%.60s%s %s: expected %s%s%s", where, param->name, text,
		strlen(text) > 60 ? "..." : "", what, choice ? "" : shunt_param_expects(param),
		choice ? "" : ", ", shunt_param_range(param, range, sizeof(range)));
}

static int bad_parse(struct shunt_error *err, enum shunt_parse parse,
	const struct shunt_param *param, const char *where, const char *text)
{
	static const char *const what[] = {
		[SHUNT_PARSE_NOT_A_NUMBER] = "is not a number",
		[SHUNT_PARSE_NO_UNIT] = "has no unit (ns, us, ms or s)",
		[SHUNT_PARSE_BAD_UNIT] = "has an unknown unit",
		[SHUNT_PARSE_FRACTION] = "is not a whole number",
		[SHUNT_PARSE_OVERFLOW] = "is too large",
	};
	int code = parse == SHUNT_PARSE_OVERFLOW ? -ERANGE : -EINVAL;

	return bad(err, code, param, where, text, text[0] ? what[parse] : "is empty");
}

static int set_integer(const struct shunt_param *param, struct shunt_value *value,
	const char *where, const char *text, struct shunt_error *err)
{
	int64_t number = 0;
	enum shunt_parse parse = shunt_parse_integer(param->type, text, &number);

	if (parse != SHUNT_PARSE_OK)
		return bad_parse(err, parse, param, where, text);
	if (number < 0 && param->min >= 0)
		return bad(err, -ERANGE, param, where, text, "is negative");
	if (number < param->min || number > upper(param))
		return bad(err, -ERANGE, param, where, text, "is out of range");
	value->integer = number;
	value->real = (double)number;
	return 0;
}

static int set_real(const struct shunt_param *param, struct shunt_value *value, const char *where,
	const char *text, struct shunt_error *err)
{
	double number = 0;
	enum shunt_parse parse = shunt_parse_real(text, &number);

	if (parse != SHUNT_PARSE_OK)
		return bad_parse(err, parse, param, where, text);
	if (number < 0 && param->min >= 0)
		return bad(err, -ERANGE, param, where, text, "is negative");
	if (number < (double)param->min || (limited(param) && number > (double)param->max))
		return bad(err, -ERANGE, param, where, text, "is out of range");
	value->real = number;
	value->integer = number < 9.2e18 ? (int64_t)number : INT64_MAX;
	return 0;
}

static int set_choice(const struct shunt_param *param, struct shunt_value *value, const char *where,
	const char *text, struct shunt_error *err)
{
	size_t count = 0;

	for (; param->choices[count]; count++) {
		if (strcmp(param->choices[count], text) == 0) {
			value->integer = (int64_t)count;
			value->text = param->choices[count];
			return 0;
		}
	}
	const char *near = shunt_nearest(text, param->choices, count);
	char what[96] = "is not known";

	if (near)
		snprintf(what, sizeof(what), "is not known (did you mean %s?)", near);
	return bad(err, -EINVAL, param, where, text, text[0] ? what : "is empty");
}

static int set_text(const struct shunt_param *param, struct shunt_value *value, const char *where,
	const char *text, struct shunt_error *err)
{
	char *copy = strdup(text);

	if (!copy)
		return shunt_fail(err, -ENOMEM, "%s: %s: out of memory", where, param->name);
	drop_text(param, value);
	value->text = copy;
	return 0;
}

static int set_value(const struct shunt_param *param, struct shunt_value *value, const char *where,
	const char *text, struct shunt_error *err)
{
	if (is_auto(param, text))
		text = "0";
	switch (param->type) {
	case SHUNT_PARAM_COUNT:
	case SHUNT_PARAM_DURATION:
	case SHUNT_PARAM_SIZE:
		return set_integer(param, value, where, text, err);
	case SHUNT_PARAM_REAL:
		return set_real(param, value, where, text, err);
	case SHUNT_PARAM_CHOICE:
		return set_choice(param, value, where, text, err);
	case SHUNT_PARAM_TEXT:
		return set_text(param, value, where, text, err);
	}
	return -EINVAL;
}

int shunt_values_init(struct shunt_values *values, const struct shunt_param *params,
	struct shunt_error *err)
{
	size_t count = table_count(params);
	struct shunt_value *value = calloc(count + 1, sizeof(*value));

	if (!value)
		return shunt_fail(err, -ENOMEM, "out of memory for parameters");
	*values = (struct shunt_values){.params = params, .value = value};
	for (size_t i = 0; i < count; i++) {
		int rc = 0;

		if (params[i].type == SHUNT_PARAM_TEXT)
			value[i].text = fallback_text(&params[i]);
		else
			rc = set_value(&params[i], &value[i], "default", fallback_text(&params[i]),
				err);
		if (rc) {
			shunt_values_fini(values);
			return rc == -ENOMEM ? rc : -EINVAL;
		}
	}
	return 0;
}

void shunt_values_fini(struct shunt_values *values)
{
	size_t count = values->value ? table_count(values->params) : 0;

	for (size_t i = 0; i < count; i++)
		drop_text(&values->params[i], &values->value[i]);
	free(values->value);
	*values = (struct shunt_values){NULL, NULL};
}

static int no_such_key(struct shunt_error *err, const struct shunt_param *params, const char *where,
	const char *key)
{
	const char *names[64];
	size_t count = table_count(params);
	char all[320] = "";

	if (count == 0)
		return shunt_fail(err, -ENOENT, "%s has no parameter '%s': it takes none", where,
			key);
	if (count > sizeof(names) / sizeof(names[0]))
		count = sizeof(names) / sizeof(names[0]);
	for (size_t i = 0; i < count; i++) {
		names[i] = params[i].name;
		append(all, sizeof(all), "%s%s", i ? ", " : "", names[i]);
	}
	const char *near = shunt_nearest(key, names, count);

	if (near)
		return shunt_fail(err, -ENOENT,
			"%s has no parameter '%s'; did you mean '%s'? It takes %s", where, key,
			near, all);
	return shunt_fail(err, -ENOENT, "%s has no parameter '%s': it takes %s", where, key, all);
}

int shunt_values_set(struct shunt_values *values, const char *where, const char *key,
	const char *text, struct shunt_error *err)
{
	for (size_t i = 0; values->params && values->params[i].name; i++) {
		if (strcmp(values->params[i].name, key) != 0)
			continue;
		int rc = set_value(&values->params[i], &values->value[i], where, text, err);

		if (rc == 0)
			values->value[i].given = !is_auto(&values->params[i], text);
		return rc;
	}
	return no_such_key(err, values->params, where, key);
}

const struct shunt_value *shunt_value(const struct shunt_values *values, const char *key)
{
	for (size_t i = 0; values->params && values->params[i].name; i++)
		if (strcmp(values->params[i].name, key) == 0)
			return &values->value[i];
	shunt_panic("the parameter '%s' is read but not declared", key);
}

const char *shunt_value_format(const struct shunt_param *param, const struct shunt_value *value,
	char *text, size_t bytes)
{
	switch (param->type) {
	case SHUNT_PARAM_CHOICE:
	case SHUNT_PARAM_TEXT:
		snprintf(text, bytes, "%s", value->text);
		return text;
	case SHUNT_PARAM_REAL:
		break;
	default:
		snprintf(text, bytes, "%" PRId64, value->integer);
		return text;
	}
	/* The shortest form that reads back as the same number. */
	for (int digits = 15; digits <= 17; digits++) {
		double back;

		snprintf(text, bytes, "%.*g", digits, value->real);
		if (shunt_parse_real(text, &back) == SHUNT_PARSE_OK && back == value->real)
			break;
	}
	return text;
}
