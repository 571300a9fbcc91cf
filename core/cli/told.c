/* SPDX-License-Identifier: MIT */
/*
 * The reader of the protocol: a table of messages, one function each.
 *
 * jansson judges the form: it refuses NaN, numbers out of range, duplicate and unknown members.
 * Here are the rules of place (what may come when) and of names, which are those of the record's
 * schema.
 */
#include "core/cli/told.h"

#include "core/harness.h"

#include <ctype.h>
#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define EXACT_MOST   (INT64_C(1) << 53) /* what a reader of the record holds in a double */
#define METRIC_MOST  1e30
#define FACTS_MOST   1000
#define RESULTS_MOST 1000

/* ---- what messages share --------------------------------------------------------------------- */

/* As json_unpack_ex, strictly; what is wrong is told in err. */
static int unpack(json_t *value, struct shunt_error *err, const char *format, ...)
{
	json_error_t why;
	va_list args;

	va_start(args, format);
	int rc = json_vunpack_ex(value, &why, JSON_STRICT, format, args);
	va_end(args);
	return rc ? shunt_fail(err, -EINVAL, "%s", why.text) : 0;
}

static int check_name(const char *name, size_t room, struct shunt_error *err)
{
	if (shunt_record_is_name(name) && strlen(name) < room)
		return 0;
	return shunt_fail(err, -EINVAL,
		"'%.60s' is not a valid name: use up to %zu lower-case letters, digits, _ . and -",
		name, room - 1);
}

static int check_unit(const char *unit, struct shunt_error *err)
{
	bool fits = *unit && strlen(unit) < 16;

	for (const char *at = unit; *at; at++)
		fits &= isalnum((unsigned char)*at) || strchr("%/*._-", *at) != NULL;
	return fits ? 0 : shunt_fail(err, -EINVAL, "'%.30s' is not a valid unit", unit);
}

static int check_number(const char *what, json_int_t value, json_int_t least,
	struct shunt_error *err)
{
	if (value >= least && value <= EXACT_MOST)
		return 0;
	return shunt_fail(err, -EINVAL, "%s is %lld; it must be %lld to 2^53", what,
		(long long)value, (long long)least);
}

static int one_more(unsigned *count, unsigned most, const char *what, struct shunt_error *err)
{
	if (*count == most)
		return shunt_fail(err, -EINVAL, "more than %u %s", most, what);
	++*count;
	return 0;
}

/* A reason is the message itself. */
static int take_reason(json_t *value, int code, struct shunt_error *err)
{
	const char *reason = json_string_value(value);

	if (!reason || !*reason)
		return shunt_fail(err, -EINVAL, "it has no reason: expected a text");
	return shunt_fail(err, code, "%s", reason);
}

/* ---- messages -------------------------------------------------------------------------------- */

static int take_skip(struct cli_told *told, json_t *value, struct shunt_error *err)
{
	(void)told;
	return take_reason(value, -ENOTSUP, err);
}

static int take_fail(struct cli_told *told, json_t *value, struct shunt_error *err)
{
	(void)told;
	return take_reason(value, -ECANCELED, err);
}

static int take_program(struct cli_told *told, json_t *value, struct shunt_error *err)
{
	json_t *settings = NULL, *text;
	const char *build_id, *key;
	int rc = unpack(value, err, "{s:s, s?o}", "build_id", &build_id, "composition", &settings);

	if (rc)
		return rc;
	size_t length = strlen(build_id);

	if (length < 8 || length >= SHUNT_BUILD_ID_BYTES ||
		build_id[strspn(build_id, "0123456789abcdef")])
		return shunt_fail(err, -EINVAL,
			"build_id '%.40s' is not 8 to 128 hexadecimal digits: give a hash of the "
			"code",
			build_id);
	told->has_build = true;
	shunt_run_told_build(told->run, build_id);
	json_object_foreach(settings, key, text)
	{
		rc = check_name(key, 64, err);
		if (!rc && !json_is_string(text))
			rc = shunt_fail(err, -EINVAL, "the setting %s is not a text", key);
		if (!rc)
			rc = one_more(&told->facts, FACTS_MOST, "settings and facts", err);
		if (rc)
			return rc;
		shunt_run_told_setting(told->run, key, json_string_value(text));
	}
	return 0;
}

static int take_fact(struct cli_told *told, json_t *value, struct shunt_error *err)
{
	const char *name, *text;
	int rc = unpack(value, err, "{s:s, s:s}", "name", &name, "value", &text);

	if (!rc)
		rc = check_name(name, 64, err);
	if (!rc)
		rc = one_more(&told->facts, FACTS_MOST, "settings and facts", err);
	if (!rc)
		shunt_run_fact(told->run, name, text);
	return rc;
}

static int take_begin(struct cli_told *told, json_t *value, struct shunt_error *err)
{
	if (!told->has_build)
		return shunt_fail(err, -EINVAL, "no line {\"program\": …} came before it");
	if (!json_is_integer(value) || json_integer_value(value) != (json_int_t)told->begun + 1)
		return shunt_fail(err, -EINVAL, "it is not the number of the iteration, %u",
			told->begun + 1);
	told->begun++;
	told->inside = true;
	told->results = 0;
	return TOLD_BEGIN;
}

static int take_check(struct cli_told *told, json_t *value, struct shunt_error *err)
{
	json_int_t expected, actual;
	const char *name;
	int rc = unpack(value, err, "{s:s, s:I, s:I}", "name", &name, "expected", &expected,
		"actual", &actual);

	if (!rc && (!*name || strlen(name) > 63))
		rc = shunt_fail(err, -EINVAL, "the name '%.70s' has not 1 to 63 bytes", name);
	if (!rc)
		rc = one_more(&told->results, RESULTS_MOST, "checks and metrics in an iteration",
			err);
	if (!rc)
		shunt_check_int(told->run, name, expected, actual);
	return rc;
}

/* Of those that the harness computes of the line `end`. */
static bool is_computed(const struct cli_told *told, const char *name)
{
	return !strcmp(name, "wall_ns") || !strcmp(name, "cpu_ns") || !strcmp(name, "ops_per_s") ||
	       !strcmp(name, told->cost_metric);
}

static int take_metric(struct cli_told *told, json_t *value, struct shunt_error *err)
{
	const char *name, *unit, *better;
	double number;
	int rc = unpack(value, err, "{s:s, s:F, s:s, s:s}", "name", &name, "value", &number, "unit",
		&unit, "better", &better);

	if (!rc)
		rc = check_name(name, 64, err);
	if (!rc)
		rc = check_unit(unit, err);
	if (!rc && strcmp(better, "lower") && strcmp(better, "higher") && strcmp(better, "none"))
		rc = shunt_fail(err, -EINVAL, "better is '%.20s'; it must be lower, higher or none",
			better);
	if (!rc && !(fabs(number) <= METRIC_MOST))
		rc = shunt_fail(err, -EINVAL, "the value %g is beyond 1e30", number);
	if (!rc && is_computed(told, name))
		rc = shunt_fail(err, -EINVAL, "%s is computed from the line `end`: leave it out",
			name);
	if (!rc)
		rc = one_more(&told->results, RESULTS_MOST, "checks and metrics in an iteration",
			err);
	if (!rc)
		shunt_metric(told->run, name, number, unit, better);
	return rc;
}

static bool is_level(const char *name)
{
	const char *end = strrchr(name, '_');

	return end && (!strcmp(end, "_peak") || !strcmp(end, "_live"));
}

static int take_counter(struct cli_told *told, json_t *value, struct shunt_error *err)
{
	struct cli_told_counter *counter;
	const char *name;
	json_int_t growth;
	unsigned i = 0;
	int rc = unpack(value, err, "{s:s, s:I}", "name", &name, "value", &growth);

	if (!rc)
		rc = check_name(name, sizeof(counter->name), err);
	if (!rc)
		rc = check_number("value", growth, 0, err);
	while (!rc && i < told->counter_count && strcmp(told->counter[i].name, name))
		i++;
	if (!rc && i == told->counter_count)
		rc = one_more(&told->counter_count, TOLD_COUNTERS_MOST, "counters", err);
	if (rc)
		return rc;
	counter = &told->counter[i];
	snprintf(counter->name, sizeof(counter->name), "%s", name);
	counter->value = (is_level(name) ? 0 : counter->value) + (uint64_t)growth;
	return 0;
}

/* Finds the series of that name, made if need be. */
static int find_series(struct cli_told *told, struct cli_told_series **found, const char *name,
	const char *unit, struct shunt_error *err)
{
	struct cli_told_series *series = told->series;
	unsigned i = 0;

	for (; i < told->series_count && strcmp(series->name, name); i++)
		series++;
	*found = series;
	if (i < told->series_count)
		return strcmp(series->unit, unit) == 0
			       ? 0
			       : shunt_fail(err, -EINVAL, "the series %s has the unit %s, not %s",
					 name, series->unit, unit);
	if (one_more(&told->series_count, TOLD_SERIES_MOST, "series", err))
		return -EINVAL;
	snprintf(series->name, sizeof(series->name), "%s", name);
	snprintf(series->unit, sizeof(series->unit), "%s", unit);
	series->series = shunt_series_in(told->run, name, unit);
	return series->series ? 0 : shunt_fail(err, -ENOMEM, "no memory for the series %s", name);
}

static int take_samples(struct cli_told *told, json_t *value, struct shunt_error *err)
{
	struct cli_told_series *series;
	const char *name, *unit = "ns";
	json_t *values, *sample;
	size_t index;
	int rc = unpack(value, err, "{s:s, s?s, s:o}", "name", &name, "unit", &unit, "values",
		&values);

	if (!rc)
		rc = check_name(name, sizeof(series->name), err);
	if (!rc)
		rc = check_unit(unit, err);
	if (!rc && !json_is_array(values))
		rc = shunt_fail(err, -EINVAL, "values is not an array of integers");
	if (!rc)
		rc = find_series(told, &series, name, unit, err);
	if (rc)
		return rc;
	json_array_foreach(values, index, sample)
	{
		if (!json_is_integer(sample))
			return shunt_fail(err, -EINVAL,
				"value %zu of the series %s is not an integer", index + 1, name);
		shunt_series_record(series->series, json_integer_value(sample));
	}
	return 0;
}

static int take_end(struct cli_told *told, json_t *value, struct shunt_error *err)
{
	json_int_t wall_ns, cpu_ns, ops;
	int rc = unpack(value, err, "{s:I, s:I, s:I}", "wall_ns", &wall_ns, "cpu_ns", &cpu_ns,
		"ops", &ops);

	if (!rc)
		rc = check_number("wall_ns", wall_ns, 1, err);
	if (!rc)
		rc = check_number("cpu_ns", cpu_ns, 0, err);
	if (!rc)
		rc = check_number("ops", ops, 1, err);
	if (rc)
		return rc;
	shunt_run_told_times(told->run, (uint64_t)wall_ns, (uint64_t)cpu_ns);
	shunt_operations(told->run, (uint64_t)ops);
	told->inside = false;
	return TOLD_END;
}

/* ---- the table ------------------------------------------------------------------------------- */

enum place { FIRST, BETWEEN, INSIDE, ANYWHERE };

static const char *const place_words[] = {
	[FIRST] = "before the first `begin`",
	[BETWEEN] = "where no iteration is in progress",
	[INSIDE] = "between `begin` and `end`",
	[ANYWHERE] = "anywhere",
};

static const struct message {
	const char *name;
	enum place place;
	int (*take)(struct cli_told *told, json_t *value, struct shunt_error *err);
} messages[] = {
	{"program", FIRST, take_program},
	{"skip", FIRST, take_skip},
	{"fail", ANYWHERE, take_fail},
	{"fact", ANYWHERE, take_fact},
	{"begin", BETWEEN, take_begin},
	{"check", INSIDE, take_check},
	{"metric", INSIDE, take_metric},
	{"counter", INSIDE, take_counter},
	{"samples", INSIDE, take_samples},
	{"end", INSIDE, take_end},
};
#define MESSAGES (sizeof(messages) / sizeof(messages[0]))

static bool fits(const struct cli_told *told, enum place place)
{
	if (place == FIRST)
		return told->begun == 0;
	return place == ANYWHERE || told->inside == (place == INSIDE);
}

static int take_message(struct cli_told *told, json_t *message, struct shunt_error *err)
{
	const char *name = json_object_iter_key(json_object_iter(message));

	if (json_object_size(message) != 1)
		return shunt_fail(err, -EINVAL, "it is not a JSON object of one member");
	for (size_t i = 0; i < MESSAGES; i++) {
		struct shunt_error why = {""};

		if (strcmp(messages[i].name, name) != 0)
			continue;
		if (!fits(told, messages[i].place))
			return shunt_fail(err, -EINVAL, "`%s` belongs %s", name,
				place_words[messages[i].place]);
		int rc = messages[i].take(told, json_object_get(message, name), &why);

		if (rc == -EINVAL)
			return shunt_fail(err, rc, "%s: %s", name, why.text);
		return rc < 0 ? shunt_fail(err, rc, "%s", why.text) : rc;
	}
	return shunt_fail(err, -EINVAL, "'%.40s' is not a message of the protocol", name);
}

int cli_told_line(struct cli_told *told, const char *line, size_t length, struct shunt_error *err)
{
	json_error_t why;
	json_t *message = json_loadb(line, length, JSON_REJECT_DUPLICATES, &why);

	if (!message)
		return shunt_fail(err, -EINVAL, "it is not JSON: %s", why.text);
	int rc = take_message(told, message, err);

	json_decref(message);
	return rc;
}
