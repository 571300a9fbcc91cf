/* SPDX-License-Identifier: MIT */
/*
 * Reading a trace back, line by line, as shunt_trace_export wrote it. What viewers draw is passed
 * over. A document of a million events would take a gigabyte as a tree of values.
 */
#include "core/measure/trace_check.h"

#include "core/file.h"
#include "core/measure/trace.h"
#include "core/measure/trace_internal.h"
#include "core/param.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What a file may say. Beyond it no run comes, and a reader would take hours or all memory. */
#define TRACE_BYTES_MAX (UINT64_C(4) << 30)
#define TRACE_TIME_MAX  (UINT64_C(1) << 62) /* 146 years */
#define PPB_MAX         1000000000
#define RINGS_MAX       4097 /* 4,096 workers, and outside */
#define EVENT_BYTES_MIN 12   /* of an event's line */

/* After the first error every call does nothing; `failed` holds it. */
struct lines {
	const char *path;
	char *at, *end; /* *end is '\0' */
	char *line;     /* the present one, as far as it is not taken yet */
	size_t number;
	struct shunt_error *err;
	int failed;
};

static __attribute__((format(printf, 2, 3))) void damaged(struct lines *in, const char *format, ...)
{
	char what[256];
	va_list args;

	if (in->failed)
		return;
	va_start(args, format);
	vsnprintf(what, sizeof(what), format, args);
	va_end(args);
	in->failed = shunt_fail(in->err, -EBADMSG, "%s:%zu: %s", in->path, in->number, what);
}

static void no_memory(struct lines *in)
{
	in->failed = shunt_fail(in->err, -ENOMEM, "no memory for the trace %s", in->path);
}

/* Goes to the next line, which is then without its end. */
static bool next(struct lines *in)
{
	char *end = memchr(in->at, '\n', (size_t)(in->end - in->at));

	if (in->failed)
		return false;
	in->number++;
	if (!end) {
		damaged(in, "the file is cut short");
		return false;
	}
	*end = '\0';
	in->line = in->at;
	in->at = end + 1;
	return true;
}

/* Takes the beginning of the line, if it is this. */
static bool take(struct lines *in, const char *text)
{
	size_t length = strlen(text);

	if (in->failed || strncmp(in->line, text, length))
		return false;
	in->line += length;
	return true;
}

/* Takes the end of the line, if it is this. */
static bool take_end(struct lines *in, const char *text)
{
	size_t have = strlen(in->line), length = strlen(text);

	if (in->failed || have < length || strcmp(in->line + have - length, text))
		return false;
	in->line[have - length] = '\0';
	return true;
}

static void expect(struct lines *in, const char *text)
{
	if (!take(in, text))
		damaged(in, "'%s' is expected here", text);
}

/* ---- the parts of a trace -------------------------------------------------------------------- */

static void header(struct lines *in, struct shunt_trace *trace)
{
	static const char format[] = "{s:s, s:s, s:I, s?I, s:b, s:I}";
	const char *schema = "", *clock = "";
	json_int_t ppb = 0, base_ns = 0, homeless = 0;
	json_error_t error;
	int shared = 0;

	if (!next(in) || !take(in, "{\"displayTimeUnit\"") || !next(in) ||
		!take(in, "\"shunt\":") || !take_end(in, ",")) {
		damaged(in, "this is not a shunt trace (it has no \"shunt\" section)");
		return;
	}
	in->line[strlen(in->line)] = '}'; /* in place of the comma: a zero follows it */
	json_t *values = json_loads(in->line, JSON_REJECT_DUPLICATES, &error);
	if (!values || json_unpack_ex(values, &error, 0, format, "schema", &schema, "clock", &clock,
			       "clock_error_ppb", &ppb, "clock_base_ns", &base_ns, "shared",
			       &shared, "homeless", &homeless))
		damaged(in, "%s", error.text);
	else if (strcmp(schema, "shunt.trace/1"))
		damaged(in, "the schema is '%.40s', not shunt.trace/1", schema);
	else if (ppb < 0 || ppb > PPB_MAX)
		damaged(in, "clock_error_ppb is %" JSON_INTEGER_FORMAT "; at most %d", ppb,
			PPB_MAX);
	else if (base_ns < 0 || (uint64_t)base_ns > TRACE_TIME_MAX)
		damaged(in, "clock_base_ns is %" JSON_INTEGER_FORMAT "; at most %" PRIu64, base_ns,
			TRACE_TIME_MAX);
	else if (homeless < 0 || (uint64_t)homeless > TRACE_TIME_MAX)
		damaged(in, "homeless is %" JSON_INTEGER_FORMAT "; at most %" PRIu64, homeless,
			TRACE_TIME_MAX);
	snprintf(trace->clock_name, sizeof(trace->clock_name), "%.15s", clock);
	trace->clock_error_ppb = (uint64_t)ppb;
	trace->clock_base_ns = (uint64_t)base_ns;
	trace->homeless = (uint64_t)homeless;
	trace->shared = shared;
	json_decref(values);
}

/* "12":"name" */
static void name(struct lines *in, struct shunt_trace *trace)
{
	char *end = in->line;
	uint64_t task = 0;

	errno = 0;
	if (take(in, "\"") && isdigit((unsigned char)*in->line))
		task = strtoull(in->line, &end, 10);
	if (errno || strncmp(end, "\":", 2)) {
		damaged(in, "a task's number and name are expected here");
		return;
	}
	json_t *text = json_loads(end + 2, JSON_DECODE_ANY, NULL);
	if (!json_is_string(text))
		damaged(in, "this is not a name: %.40s", end + 2);
	else if (shunt_trace_name(trace, task, json_string_value(text)) < 0)
		no_memory(in);
	json_decref(text);
}

static void names(struct lines *in, struct shunt_trace *trace)
{
	bool last = false;

	if (!next(in))
		return;
	expect(in, "\"names\":{");
	if (take(in, "},"))
		return;
	while (!in->failed) {
		last = take_end(in, "},");
		if (!last && !take_end(in, ","))
			damaged(in, "',' is expected at the end of a name");
		name(in, trace);
		if (last || !next(in))
			return;
	}
}

/* Whether a number in the text has a sign, which strtoull would take. */
static bool has_sign(const char *text)
{
	for (const char *c = text; *c; c++)
		if ((*c == '-' || *c == '+') && isdigit((unsigned char)c[1]))
			return true;
	return false;
}

/* "123 run_end 7 yield 0" */
static void event(struct lines *in, struct shunt_trace_event *made)
{
	char kind[24], why[24], arg[24], *text = in->line + 1, *close = strchr(text, '"');
	unsigned kind_number, why_number;
	int used = 0;

	if (*in->line != '"' || !close) {
		damaged(in, "an event is expected here");
		return;
	}
	*close = '\0';
	in->line = close + 1;
	if (sscanf(text, "%" SCNu64 " %23s %" SCNu64 " %23s %23s%n", &made->time_ns, kind,
		    &made->task, why, arg, &used) != 5 ||
		text[used] || has_sign(text)) {
		damaged(in, "'%.80s' is not an event; expected TIME KIND TASK WHY ARG", text);
		return;
	}
	if (shunt_trace_kind_parse(kind, &kind_number) < 0) {
		damaged(in, "'%s' is not a kind of event", kind);
		return;
	}
	if (shunt_trace_why_parse(kind_number, why, &why_number) < 0) {
		damaged(in, "'%s' is not a reason for a %s", why, kind);
		return;
	}
	if (made->time_ns > TRACE_TIME_MAX) {
		damaged(in, "the time of '%.80s' is above %" PRIu64, text, TRACE_TIME_MAX);
		return;
	}
	made->kind = kind_number;
	made->why = why_number;
	char *end = arg;
	errno = 0;
	made->arg = strcmp(arg, "any") ? strtoull(arg, &end, 10) : SHUNT_TRACE_ANY;
	if (strcmp(arg, "any") && (end == arg || *end || errno))
		damaged(in, "'%s' is not an argument of an event", arg);
}

/* "worker":0,"count":9,"dropped":0,"events":[ with what follows. NULL: damaged, or no memory. */
static struct shunt_trace_ring *ring_head(struct lines *in, struct shunt_trace *trace,
	uint64_t *count)
{
	char who[24];
	uint64_t worker = SHUNT_TRACE_OUTSIDE, dropped;
	int used = 0;

	if (sscanf(in->line,
		    "{\"worker\":%23[^,],\"count\":%" SCNu64 ",\"dropped\":%" SCNu64
		    ",\"events\":[%n",
		    who, count, &dropped, &used) != 3 ||
		!used || memchr(in->line, '-', (size_t)used)) {
		damaged(in, "a ring is expected here");
		return NULL;
	}
	in->line += used;
	char *end = who;
	if (strcmp(who, "\"outside\"")) {
		worker = isdigit((unsigned char)*who) ? strtoull(who, &end, 10) : 0;
		if (end == who || *end)
			damaged(in, "'%s' is not a worker", who);
		else if (worker >= SHUNT_TRACE_OUTSIDE)
			damaged(in, "worker %s is too large; at most %u fits here", who,
				SHUNT_TRACE_OUTSIDE - 1);
	}
	for (size_t i = 0; i < trace->ring_count; i++)
		if (trace->ring[i]->worker == worker)
			damaged(in, "a second ring of the same worker");
	if (trace->ring_count == RINGS_MAX)
		damaged(in, "more than %d rings", RINGS_MAX);
	if (dropped > TRACE_TIME_MAX)
		damaged(in, "'dropped' is above %" PRIu64, TRACE_TIME_MAX);
	if (*count > (uint64_t)(in->end - in->at) / EVENT_BYTES_MIN)
		damaged(in, "the file is cut short: it has no room for %" PRIu64 " events", *count);
	if (in->failed)
		return NULL;
	struct shunt_trace_ring *ring = shunt_trace_ring_add(trace, (unsigned)worker, *count);
	if (ring)
		ring->dropped = dropped;
	else
		no_memory(in);
	return ring;
}

/* One ring, from the line at hand on. True: another one follows. */
static bool ring(struct lines *in, struct shunt_trace *trace)
{
	uint64_t count;
	struct shunt_trace_ring *made = ring_head(in, trace, &count);

	while (made && made->count < count && next(in)) {
		event(in, &made->event[made->count++]);
		if (made->count < count && !in->failed && strcmp(in->line, ","))
			damaged(in,
				"this ring says that it has %" PRIu64 " events, and has %" PRIu64,
				count, made->count);
	}
	if (in->failed || !strcmp(in->line, "]},"))
		return next(in);
	if (strcmp(in->line, "]}]},"))
		damaged(in, "the end of a ring of %" PRIu64 " events is expected here", count);
	return false;
}

static void rings(struct lines *in, struct shunt_trace *trace)
{
	if (!next(in))
		return;
	expect(in, "\"rings\":[");
	if (take(in, "]},"))
		return;
	if (next(in))
		while (ring(in, trace))
			;
}

/* What viewers draw: only that it is there, whole. */
static void drawing(struct lines *in)
{
	if (!next(in))
		return;
	expect(in, "\"traceEvents\":[");
	bool empty = take(in, "]}");
	if (*in->line || (empty && in->at != in->end))
		damaged(in, "the end of the line, and of an empty drawing, is expected here");
	else if (!empty && memcmp(in->end - 3, "]}\n", 3))
		damaged(in, "the file is cut short after this line");
}

/* ---- the file -------------------------------------------------------------------------------- */

int shunt_trace_load(const char *path, struct shunt_trace **trace, struct shunt_error *err)
{
	struct lines in = {.path = path, .err = err};
	struct shunt_trace *made;
	char *text = NULL;
	size_t length = 0;
	int rc = shunt_file_read(path, "trace", TRACE_BYTES_MAX, &text, &length, err);

	if (rc)
		return rc == -EINVAL ? -EBADMSG : rc;
	rc = shunt_trace_new(&made, 1, NULL);
	if (rc) {
		free(text);
		return shunt_fail(err, rc, "no memory for the trace %s", path);
	}
	in.at = text;
	in.end = text + length;
	header(&in, made);
	names(&in, made);
	rings(&in, made);
	drawing(&in);
	free(text);
	if (in.failed) {
		shunt_trace_free(made);
		return in.failed;
	}
	shunt_trace_labels_sort(made->label, made->label_count);
	*trace = made;
	return 0;
}
