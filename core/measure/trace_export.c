/* SPDX-License-Identifier: MIT */
/*
 * The trace as a file: first every event as it was recorded, for the checker, then what Perfetto
 * and Chrome draw of it, in the Trace Event Format. Viewers pass over the key they do not know.
 */
#include "core/build_info.h"
#include "core/measure/json.h"
#include "core/measure/store.h"
#include "core/measure/trace.h"
#include "core/measure/trace_internal.h"
#include "core/param.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define OUTSIDE_TRACK 1000000u

struct writer {
	FILE *file;
	const struct shunt_trace *trace;
	struct shunt_trace_label *label; /* sorted; the texts are the trace's */
	uint64_t base_ns, last_ns;       /* of the whole trace */
	bool first;                      /* no element has been written yet */
};

static void put_quoted(FILE *file, const char *text)
{
	json_t *string = shunt_json_text(text);
	char *quoted = string ? json_dumps(string, JSON_ENCODE_ANY) : NULL;

	fputs(quoted ? quoted : "\"\"", file);
	free(quoted);
	json_decref(string);
}

static unsigned track(const struct shunt_trace_ring *ring)
{
	return ring->worker == SHUNT_TRACE_OUTSIDE ? OUTSIDE_TRACK : ring->worker;
}

/* Microseconds from the trace's beginning, to the nanosecond. */
static void put_us(FILE *file, uint64_t ns)
{
	fprintf(file, "%" PRIu64 ".%03u", ns / 1000, (unsigned)(ns % 1000));
}

static void begin_element(struct writer *to)
{
	fputs(to->first ? "\n" : ",\n", to->file);
	to->first = false;
}

/* ---- as it was recorded ---------------------------------------------------------------------- */

static void put_event(FILE *file, const struct shunt_trace_event *event)
{
	const char *kind = shunt_trace_kind_name(event->kind);
	char why[24];

	fprintf(file, "\"%" PRIu64 " %s %" PRIu64 " %s ", event->time_ns, kind ? kind : "?",
		event->task, shunt_trace_why_name(event->kind, event->why, why));
	if (event->arg == SHUNT_TRACE_ANY)
		fputs("any\"", file);
	else
		fprintf(file, "%" PRIu64 "\"", event->arg);
}

static void put_ring(struct writer *to, const struct shunt_trace_ring *ring)
{
	begin_element(to);
	fputs("{\"worker\":", to->file);
	if (ring->worker == SHUNT_TRACE_OUTSIDE)
		fputs("\"outside\"", to->file);
	else
		fprintf(to->file, "%u", ring->worker);
	fprintf(to->file, ",\"count\":%" PRIu64 ",\"dropped\":%" PRIu64 ",\"events\":[",
		ring->count, ring->dropped);
	for (uint64_t i = 0; i < ring->count; i++) {
		fputs(i ? ",\n" : "\n", to->file);
		put_event(to->file, &ring->event[i]);
	}
	fputs("]}", to->file);
}

static void put_recorded(struct writer *to)
{
	const struct shunt_trace *trace = to->trace;

	fprintf(to->file,
		"\"shunt\":{\"schema\":\"shunt.trace/1\",\"version\":\"%s\",\"clock\":\"%s\","
		"\"clock_error_ppb\":%" PRIu64 ",\"clock_base_ns\":%" PRIu64
		",\"shared\":%s,\"homeless\":%" PRIu64 ",\n\"names\":{",
		SHUNT_VERSION, trace->clock ? shunt_clock_name(trace->clock) : trace->clock_name,
		trace->clock ? (uint64_t)(trace->clock->calibration_error_ppm * 1000)
			     : trace->clock_error_ppb,
		trace->clock ? trace->clock->base_ns : trace->clock_base_ns,
		trace->shared ? "true" : "false", trace->homeless);
	for (size_t i = 0; i < trace->label_count; i++) {
		fprintf(to->file, "%s\"%" PRIu64 "\":", i ? ",\n" : "", trace->label[i].task);
		put_quoted(to->file, trace->label[i].text);
	}
	fputs("},\n\"rings\":[", to->file);
	to->first = true;
	for (size_t i = 0; i < trace->ring_count; i++)
		put_ring(to, trace->ring[i]);
	fputs("]}", to->file);
}

/* ---- as it is drawn -------------------------------------------------------------------------- */

static void put_name(const struct writer *to, uint64_t task)
{
	const char *label = shunt_trace_label(to->label, to->trace->label_count, task);

	if (label)
		put_quoted(to->file, label);
	else
		fprintf(to->file, "\"task %" PRIu64 "\"", task);
}

static void put_track_name(struct writer *to, const struct shunt_trace_ring *ring)
{
	begin_element(to);
	fprintf(to->file, "{\"ph\":\"M\",\"pid\":1,\"tid\":%u,\"name\":\"thread_name\",\"args\":{",
		track(ring));
	if (ring->worker == SHUNT_TRACE_OUTSIDE)
		fputs("\"name\":\"other threads\"}}", to->file);
	else
		fprintf(to->file, "\"name\":\"worker %u\"}}", ring->worker);
}

/* A slice from `begin` to the event that ends it, or to the trace's end. */
static void put_slice(struct writer *to, const struct shunt_trace_ring *ring,
	const struct shunt_trace_event *begin, const struct shunt_trace_event *end)
{
	uint64_t end_ns = end ? end->time_ns : to->last_ns;
	char why[24];

	begin_element(to);
	fprintf(to->file, "{\"ph\":\"X\",\"pid\":1,\"tid\":%u,\"ts\":", track(ring));
	put_us(to->file, begin->time_ns - to->base_ns);
	fputs(",\"dur\":", to->file);
	put_us(to->file, end_ns - begin->time_ns);
	fputs(",\"name\":", to->file);
	if (begin->kind == SHUNT_TRACE_RUN_BEGIN) {
		put_name(to, begin->task);
		fprintf(to->file,
			",\"cat\":\"task\",\"args\":{\"task\":%" PRIu64 ",\"end\":\"%s\"}}",
			begin->task,
			end ? shunt_trace_why_name(end->kind, end->why, why) : "unfinished");
	} else {
		fputs(begin->kind == SHUNT_TRACE_IDLE_BEGIN ? "\"idle\"" : "\"wait\"", to->file);
		fputs(",\"cat\":\"worker\"}", to->file);
	}
}

static void put_instant(struct writer *to, const struct shunt_trace_ring *ring,
	const struct shunt_trace_event *event)
{
	begin_element(to);
	fprintf(to->file, "{\"ph\":\"i\",\"s\":\"t\",\"pid\":1,\"tid\":%u,\"ts\":", track(ring));
	put_us(to->file, event->time_ns - to->base_ns);
	fprintf(to->file, ",\"cat\":\"event\",\"name\":\"%s\",\"args\":{\"task\":",
		shunt_trace_kind_name(event->kind));
	put_name(to, event->task);
	fprintf(to->file, ",\"arg\":%" PRIu64 "}}", event->arg);
}

/* An operation lasts from its begin to its end, over the runs of its task in between: a slice that
 * belongs to no worker. */
static void put_operation(struct writer *to, const struct shunt_trace_ring *ring,
	const struct shunt_trace_event *event)
{
	bool begins = event->kind == SHUNT_TRACE_IO_BEGIN;
	char why[24];

	begin_element(to);
	fprintf(to->file,
		"{\"ph\":\"%s\",\"cat\":\"io\",\"id\":%" PRIu64 ",\"pid\":1,\"tid\":%u,\"ts\":",
		begins ? "b" : "e", event->task, track(ring));
	put_us(to->file, event->time_ns - to->base_ns);
	shunt_trace_why_name(event->kind, event->why, why);
	if (!begins)
		fprintf(to->file, ",\"name\":\"\",\"args\":{\"end\":\"%s\"}}", why);
	else if (event->arg == SHUNT_TRACE_ANY)
		fprintf(to->file, ",\"name\":\"%s\"}", why);
	else
		fprintf(to->file, ",\"name\":\"%s of fd %" PRIu64 "\"}", why, event->arg);
}

/* The slice that an event begins or ends, if it does. */
static int slice_of(unsigned kind)
{
	switch (kind) {
	case SHUNT_TRACE_RUN_BEGIN:
	case SHUNT_TRACE_RUN_END:
		return 0;
	case SHUNT_TRACE_IDLE_BEGIN:
	case SHUNT_TRACE_IDLE_END:
		return 1;
	case SHUNT_TRACE_WAIT_BEGIN:
	case SHUNT_TRACE_WAIT_END:
		return 2;
	default:
		return -1;
	}
}

static void draw_ring(struct writer *to, const struct shunt_trace_ring *ring)
{
	const struct shunt_trace_event *open[3] = {NULL, NULL, NULL};

	put_track_name(to, ring);
	for (uint64_t i = 0; i < ring->count; i++) {
		const struct shunt_trace_event *event = &ring->event[i];
		int slice = slice_of(event->kind);

		if (event->kind == SHUNT_TRACE_IO_BEGIN || event->kind == SHUNT_TRACE_IO_END) {
			put_operation(to, ring, event);
		} else if (slice < 0) {
			/* The two of a queue, and the worker's own, would hide all others. */
			if (event->kind >= SHUNT_TRACE_WAKE || event->kind == SHUNT_TRACE_SPAWN)
				put_instant(to, ring, event);
		} else if (event->kind == SHUNT_TRACE_RUN_BEGIN ||
			   event->kind == SHUNT_TRACE_IDLE_BEGIN ||
			   event->kind == SHUNT_TRACE_WAIT_BEGIN) {
			open[slice] = event;
		} else if (open[slice]) {
			put_slice(to, ring, open[slice], event);
			open[slice] = NULL;
		}
	}
	for (int i = 0; i < 3; i++)
		if (open[i])
			put_slice(to, ring, open[i], NULL);
}

static void put_all(struct writer *to)
{
	fputs("{\"displayTimeUnit\":\"ns\",\n", to->file);
	put_recorded(to);
	fputs(",\n\"traceEvents\":[", to->file);
	to->first = true;
	for (size_t i = 0; i < to->trace->ring_count; i++)
		draw_ring(to, to->trace->ring[i]);
	fputs("]}\n", to->file);
}

static void find_span(struct writer *to)
{
	to->base_ns = UINT64_MAX;
	to->last_ns = 0;
	for (size_t i = 0; i < to->trace->ring_count; i++) {
		const struct shunt_trace_ring *ring = to->trace->ring[i];

		for (uint64_t j = 0; j < ring->count; j++) {
			uint64_t time_ns = ring->event[j].time_ns;

			to->base_ns = time_ns < to->base_ns ? time_ns : to->base_ns;
			to->last_ns = time_ns > to->last_ns ? time_ns : to->last_ns;
		}
	}
}

/* Names are sorted in a copy: whoever exports a trace has lent it only. */
static int sort_labels(struct writer *to)
{
	size_t count = to->trace->label_count;

	to->label = malloc((count + 1) * sizeof(*to->label));
	if (!to->label)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++)
		to->label[i] = to->trace->label[i];
	shunt_trace_labels_sort(to->label, count);
	return 0;
}

/* Writes it all and closes fd. */
static int write_file(struct writer *to, int fd)
{
	int rc = sort_labels(to);

	to->file = rc == 0 ? fdopen(fd, "w") : NULL;
	if (!to->file) {
		close(fd);
		return -ENOMEM;
	}
	find_span(to);
	errno = 0;
	put_all(to);
	if (fflush(to->file) != 0 || ferror(to->file))
		rc = errno ? -errno : -EIO;
	if (fclose(to->file) != 0 && rc == 0)
		rc = -errno;
	return rc;
}

int shunt_trace_export(const struct shunt_trace *trace, const char *path, struct shunt_error *err)
{
	struct writer to = {.trace = trace};
	struct stat there;
	bool device = stat(path, &there) == 0 && !S_ISREG(there.st_mode) && !S_ISDIR(there.st_mode);
	int fd = device ? shunt_store_open(path)
			: open(path, O_WRONLY | O_CLOEXEC | O_CREAT | O_EXCL, 0666);

	if (fd < 0) {
		int rc = device ? fd : -errno;

		if (stat(path, &there) == 0 && S_ISDIR(there.st_mode))
			rc = -EISDIR;
		return shunt_store_fail(err, rc, path, "trace");
	}
	int rc = write_file(&to, fd);
	free(to.label);
	if (rc == 0)
		return 0;
	if (!device)
		unlink(path);
	return shunt_store_fail(err, rc, path, "trace");
}
