/* SPDX-License-Identifier: MIT */
/*
 * Reading a trace back: a scanner over the file's text that takes what is under "shunt" and passes
 * over the rest. A document of a million events would take a gigabyte as a tree of values.
 */
#include "core/measure/trace_check.h"

#include "core/file.h"
#include "core/measure/scan.h"
#include "core/measure/trace.h"
#include "core/measure/trace_internal.h"
#include "core/param.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What a file may say. Beyond it no run comes, and a reader would take hours or all memory. */
#define TRACE_BYTES_MAX (UINT64_C(4) << 30)
#define TRACE_TIME_MAX  (UINT64_C(1) << 62) /* 146 years */
#define RINGS_MAX       4097                /* 4,096 workers, and outside */

/* ---- the parts of a trace -------------------------------------------------------------------- */

/* Whether a number in the text has a sign, which strtoull would take. */
static bool has_sign(const char *text)
{
	for (const char *c = text; *c; c++)
		if ((*c == '-' || *c == '+') && isdigit((unsigned char)c[1]))
			return true;
	return false;
}

/* "123 run_end 7 yield 0" */
static void event(struct shunt_scan *in, struct shunt_trace_event *made)
{
	char text[SHUNT_WORD_BYTES], kind[24], why[24], arg[24];
	unsigned kind_number, why_number;
	int used = 0;

	if (shunt_scan_peek(in) == '"')
		shunt_scan_word(in, text);
	else
		shunt_scan_damaged(in, "an event is expected here");
	if (in->failed)
		return;
	if (sscanf(text, "%" SCNu64 " %23s %" SCNu64 " %23s %23s%n", &made->time_ns, kind,
		    &made->task, why, arg, &used) != 5 ||
		text[used] || has_sign(text)) {
		shunt_scan_damaged(in, "'%s' is not an event; expected TIME KIND TASK WHY ARG",
			text);
		return;
	}
	if (shunt_trace_kind_parse(kind, &kind_number) < 0) {
		shunt_scan_damaged(in, "'%s' is not a kind of event", kind);
		return;
	}
	if (shunt_trace_why_parse(kind_number, why, &why_number) < 0) {
		shunt_scan_damaged(in, "'%s' is not a reason for a %s", why, kind);
		return;
	}
	if (made->time_ns > TRACE_TIME_MAX) {
		shunt_scan_damaged(in, "the time of '%s' is above %" PRIu64, text, TRACE_TIME_MAX);
		return;
	}
	made->kind = kind_number;
	made->why = why_number;
	char *end = arg;
	errno = 0;
	made->arg = strcmp(arg, "any") ? strtoull(arg, &end, 10) : SHUNT_TRACE_ANY;
	if (strcmp(arg, "any") && (end == arg || *end || errno))
		shunt_scan_damaged(in, "'%s' is not an argument of an event", arg);
}

/* How many strings the list at hand has, without moving on. */
static uint64_t count_strings(struct shunt_scan in)
{
	const char *from;
	size_t length;
	uint64_t count = 0;

	while (!in.failed && shunt_scan_peek(&in) == '"') {
		shunt_scan_string(&in, &from, &length);
		count++;
		if (!shunt_scan_take(&in, ','))
			break;
	}
	return count;
}

struct ring_head {
	struct shunt_trace *trace;
	struct shunt_trace_ring *ring;
	unsigned worker;
	uint64_t count, dropped;
	bool has_worker, has_count;
};

static void events(struct shunt_scan *in, struct ring_head *head)
{
	struct shunt_scan ahead = *in;
	struct shunt_error unused;

	shunt_scan_want(in, '[');
	ahead.at = in->at;
	ahead.err = &unused;
	uint64_t count = count_strings(ahead);
	head->ring = shunt_trace_ring_add(head->trace, head->worker, count);
	if (!head->ring) {
		in->failed = shunt_fail(in->err, -ENOMEM, "no memory for the trace %s", in->path);
		return;
	}
	if (shunt_scan_take(in, ']'))
		return;
	do {
		if (head->ring->count == count) {
			shunt_scan_peek(in);
			shunt_scan_damaged(in, "an event is expected here");
			return;
		}
		event(in, &head->ring->event[head->ring->count++]);
	} while (!in->failed && shunt_scan_take(in, ','));
	shunt_scan_want(in, ']');
}

static void ring_member(struct shunt_scan *in, void *arg, const char *key)
{
	struct ring_head *head = arg;
	char text[SHUNT_WORD_BYTES];

	if (strcmp(key, "worker") == 0) {
		head->has_worker = true;
		if (shunt_scan_peek(in) != '"') {
			head->worker = (unsigned)shunt_scan_number(in, SHUNT_TRACE_OUTSIDE - 1);
			return;
		}
		shunt_scan_word(in, text);
		head->worker = SHUNT_TRACE_OUTSIDE;
		if (strcmp(text, "outside") != 0)
			shunt_scan_damaged(in, "'%s' is not a worker", text);
	} else if (strcmp(key, "count") == 0) {
		head->has_count = true;
		head->count = shunt_scan_number(in, UINT64_MAX);
	} else if (strcmp(key, "dropped") == 0) {
		head->dropped = shunt_scan_number(in, TRACE_TIME_MAX);
	} else if (strcmp(key, "events") == 0 && !head->ring && head->has_worker) {
		events(in, head);
	} else {
		shunt_scan_damaged(in, "'%s' should not be here in a ring", key);
	}
}

static void rings(struct shunt_scan *in, struct shunt_trace *trace)
{
	shunt_scan_want(in, '[');
	if (shunt_scan_take(in, ']'))
		return;
	do {
		struct ring_head head = {.trace = trace};

		if (trace->ring_count == RINGS_MAX) {
			shunt_scan_damaged(in, "more than %d rings", RINGS_MAX);
			return;
		}
		shunt_scan_object(in, &head, ring_member);
		if (in->failed)
			return;
		if (!head.ring || !head.has_count) {
			shunt_scan_damaged(in, "this ring lacks its events, or their count");
			return;
		}
		if (head.count != head.ring->count) {
			shunt_scan_damaged(in,
				"this ring says that it has %" PRIu64 " events, and has %" PRIu64,
				head.count, head.ring->count);
			return;
		}
		for (size_t i = 0; i + 1 < trace->ring_count; i++)
			if (trace->ring[i]->worker == head.worker)
				shunt_scan_damaged(in, "a second ring of the same worker");
		head.ring->dropped = head.dropped;
	} while (!in->failed && shunt_scan_take(in, ','));
	shunt_scan_want(in, ']');
}

static void name_member(struct shunt_scan *in, void *trace, const char *key)
{
	const char *from, *start = (shunt_scan_peek(in), in->at);
	size_t length;
	char *end;

	errno = 0;
	uint64_t task = strtoull(key, &end, 10);
	if (!isdigit((unsigned char)*key) || *end || errno) {
		shunt_scan_damaged(in, "'%s' is no task's number", key);
		return;
	}
	shunt_scan_string(in, &from, &length);
	if (in->failed)
		return;
	json_t *text = json_loadb(start, (size_t)(in->at - start), JSON_DECODE_ANY, NULL);
	if (!json_is_string(text))
		shunt_scan_damaged(in, "this is not a name");
	else if (shunt_trace_name(trace, task, json_string_value(text)) < 0)
		in->failed = shunt_fail(in->err, -ENOMEM, "no memory for the trace %s", in->path);
	json_decref(text);
}

struct loading {
	struct shunt_trace *trace;
	bool is_trace, has_rings;
};

static void section_member(struct shunt_scan *in, void *arg, const char *key)
{
	struct loading *loading = arg;
	char text[SHUNT_WORD_BYTES];

	if (strcmp(key, "schema") == 0) {
		shunt_scan_word(in, text);
		if (strcmp(text, "shunt.trace/1") != 0)
			shunt_scan_damaged(in, "the schema is '%s', not shunt.trace/1", text);
		loading->is_trace = true;
	} else if (strcmp(key, "clock") == 0) {
		shunt_scan_word(in, text);
		snprintf(loading->trace->clock_name, sizeof(loading->trace->clock_name), "%.15s",
			text);
	} else if (strcmp(key, "clock_error_ppb") == 0) {
		loading->trace->clock_error_ppb = shunt_scan_number(in, 1000000000);
	} else if (strcmp(key, "homeless") == 0) {
		loading->trace->homeless = shunt_scan_number(in, TRACE_TIME_MAX);
	} else if (strcmp(key, "shared") == 0) {
		loading->trace->shared = shunt_scan_peek(in) == 't';
		shunt_scan_pass(in, 0);
	} else if (strcmp(key, "names") == 0) {
		shunt_scan_object(in, loading->trace, name_member);
	} else if (strcmp(key, "rings") == 0) {
		loading->has_rings = true;
		rings(in, loading->trace);
	} else {
		shunt_scan_pass(in, 0);
	}
}

static void file_member(struct shunt_scan *in, void *arg, const char *key)
{
	if (strcmp(key, "shunt") == 0)
		shunt_scan_object(in, arg, section_member);
	else
		shunt_scan_pass(in, 0);
}

/* ---- the file -------------------------------------------------------------------------------- */

int shunt_trace_load(const char *path, struct shunt_trace **trace, struct shunt_error *err)
{
	struct shunt_scan in = {.path = path, .err = err};
	struct loading loading = {NULL, false, false};
	char *text = NULL;
	size_t length = 0;
	int rc = shunt_file_read(path, "trace", TRACE_BYTES_MAX, &text, &length, err);

	if (rc)
		return rc == -EINVAL ? -EBADMSG : rc;
	rc = shunt_trace_new(&loading.trace, 1, NULL);
	if (rc) {
		free(text);
		return shunt_fail(err, rc, "no memory for the trace %s", path);
	}
	in.text = in.at = text;
	in.end = text + length;
	shunt_scan_object(&in, &loading, file_member);
	if (shunt_scan_peek(&in) != '\0' || (!in.failed && in.at != in.end))
		shunt_scan_damaged(&in, "there is data after the end");
	if (!loading.is_trace || !loading.has_rings)
		shunt_scan_damaged(&in, "this is not a shunt trace (it has no \"shunt\" section)");
	free(text);
	if (in.failed) {
		shunt_trace_free(loading.trace);
		return in.failed;
	}
	shunt_trace_labels_sort(loading.trace->label, loading.trace->label_count);
	*trace = loading.trace;
	return 0;
}
