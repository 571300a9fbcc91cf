/* SPDX-License-Identifier: MIT */
/*
 * The arrival table from a trace: `arrival_ns service_ns [class]`, one request a line.
 *
 * Strict: a trace in other units or out of order would give figures that look right. Every
 * complaint names the file, the line, the value and what to do about it.
 */
#include "workloads/arrivals.h"

#include "core/file.h"
#include "core/param.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct trace_file {
	const char *path;
	FILE *file;
	size_t line, room;
	uint64_t first_ns;
	struct shunt_error *err;
};

static int complain(const struct trace_file *trace, int code, const char *word, const char *what)
{
	return shunt_fail(trace->err, code, "input '%s', line %zu, at '%.40s': %s", trace->path,
		trace->line, word, what);
}

/* A decimal number in [least, most]. */
static int number(const struct trace_file *trace, const char *word, const char *name,
	uint64_t least, uint64_t most, uint64_t *value)
{
	char what[256];
	uint64_t sum = 0;
	bool over = false;

	for (const char *c = word; *c; c++) {
		if (*c < '0' || *c > '9') {
			snprintf(what, sizeof(what),
				"the %s must be a decimal integer; a line is `arrival_ns "
				"service_ns [class]`, "
				"times in whole nanoseconds",
				name);
			return complain(trace, -EINVAL, word, what);
		}
		over |= __builtin_mul_overflow(sum, 10, &sum) ||
			__builtin_add_overflow(sum, (uint64_t)(*c - '0'), &sum);
	}
	if (!over && sum >= least && sum <= most) {
		*value = sum;
		return 0;
	}
	snprintf(what, sizeof(what),
		"the %s must be %" PRIu64 " to %" PRIu64 ": are the units right?", name, least,
		most);
	return complain(trace, -ERANGE, word, what);
}

static int add(struct trace_file *trace, struct shunt_arrivals *arrivals,
	struct shunt_arrival arrival)
{
	if (arrivals->count == trace->room) {
		size_t room = trace->room ? trace->room * 2 : 1024;
		struct shunt_arrival *grown =
			realloc(arrivals->arrival, room * sizeof(*arrivals->arrival));

		if (!grown)
			return shunt_fail(trace->err, -ENOMEM, "no memory for the requests of '%s'",
				trace->path);
		arrivals->arrival = grown;
		trace->room = room;
	}
	if (arrival.class >= arrivals->classes)
		arrivals->classes = (unsigned)arrival.class + 1;
	arrivals->arrival[arrivals->count++] = arrival;
	return 0;
}

/* One line; blank ones and comments add nothing. */
static int take_line(struct trace_file *trace, struct shunt_arrivals *arrivals, char *line)
{
	static const char blanks[] = " \t\r\n\v\f,";
	struct shunt_arrival arrival = {0, 0, 0};
	char *save = NULL, *at = strtok_r(line, blanks, &save);

	if (!at || *at == '#')
		return 0;
	char *service = strtok_r(NULL, blanks, &save), *class = strtok_r(NULL, blanks, &save);
	char *more = class ? strtok_r(NULL, blanks, &save) : NULL;

	if (!service)
		return complain(trace, -EINVAL, at,
			"the service time is missing; a line is `arrival_ns service_ns [class]`");
	if (more)
		return complain(trace, -EINVAL, more,
			"more than three fields; keep `arrival_ns service_ns [class]`");
	int rc = number(trace, at, "arrival", 0, INT64_MAX, &arrival.at_ns);

	if (!rc)
		rc = number(trace, service, "service", 1, SHUNT_SERVICE_MOST_NS,
			&arrival.service_ns);
	if (!rc && class)
		rc = number(trace, class, "class", 0, SHUNT_CLASSES - 1, &arrival.class);
	if (rc)
		return rc;
	if (!arrivals->count)
		trace->first_ns = arrival.at_ns;
	if (arrival.at_ns < trace->first_ns ||
		(arrivals->count && arrival.at_ns - trace->first_ns <
					    arrivals->arrival[arrivals->count - 1].at_ns))
		return complain(trace, -EINVAL, at,
			"it arrives before the line above; sort the file by its first column "
			"(sort -n)");
	arrival.at_ns -= trace->first_ns;
	if (arrival.at_ns > SHUNT_TRACE_MOST_NS)
		return complain(trace, -ERANGE, at,
			"more than 104 days after the first; are the times nanoseconds?");
	return add(trace, arrivals, arrival);
}

static int take_lines(struct trace_file *trace, struct shunt_arrivals *arrivals, size_t most)
{
	char *line = NULL;
	size_t room = 0;
	ssize_t got = 0;
	int rc = 0;

	while (!rc && (!most || arrivals->count < most) &&
		(got = getline(&line, &room, trace->file)) >= 0) {
		trace->line++;
		if (strlen(line) != (size_t)got)
			rc = complain(trace, -EINVAL, line, "a zero byte: the file is not text");
		else
			rc = take_line(trace, arrivals, line);
	}
	if (!rc && ferror(trace->file))
		rc = shunt_fail(trace->err, -EIO, "input '%s' cannot be read to its end",
			trace->path);
	free(line);
	return rc;
}

int shunt_arrivals_read(struct shunt_arrivals *arrivals, const char *path, size_t most,
	struct shunt_error *err)
{
	struct trace_file trace = {.path = path, .err = err};
	struct shunt_arrivals read = {NULL, 0, 1};
	size_t bytes;
	int fd = shunt_file_open(path, "input", UINT64_MAX, &bytes, err);

	if (fd < 0)
		return fd;
	trace.file = fdopen(fd, "r");
	if (!trace.file) {
		close(fd);
		return shunt_fail(err, -ENOMEM, "input '%s': no memory to read it", path);
	}
	int rc = take_lines(&trace, &read, most);

	fclose(trace.file);
	if (!rc && !read.count)
		rc = shunt_fail(err, -EINVAL,
			"input '%s' holds no request; a line is `arrival_ns service_ns [class]`",
			path);
	if (rc)
		shunt_arrivals_free(&read);
	else
		*arrivals = read;
	return rc;
}
