/* SPDX-License-Identifier: MIT */
/*
 * Reading what the kernel tells in small text files.
 *
 * Every path is taken below a `root`, "" for the machine itself, so that tests can show a machine
 * that is not there.
 */
#ifndef SHUNT_CORE_MEASURE_PROC_H
#define SHUNT_CORE_MEASURE_PROC_H

#include <stddef.h>
#include <stdint.h>

#define SHUNT_PROC_PATH_BYTES 512

/**
 * Reads root + path into text, cut to bytes - 1, ended, without trailing white space.
 * Returns the length or a negative errno, text then "". Context: any thread; may block.
 */
long shunt_proc_read(const char *root, const char *path, char *text, size_t bytes);

/** The unsigned number that the file holds first. 0, -ENODATA for no number, or another errno. */
int shunt_proc_number(const char *root, const char *path, uint64_t *number);
/** The same of a text that was read before. */
int shunt_proc_parse(const char *text, uint64_t *number);

/** The number after the word `key` at the start of a line ("steal 5", "MemTotal: 12 kB"). */
int shunt_proc_field(const char *text, const char *key, uint64_t *number);

/**
 * Reads a file of this process's control group: `file2` in the unified hierarchy, else `file1` in
 * that of `controller`. The group itself or its nearest ancestor that has the file and sets a
 * limit, which "max" and "-1" do not (or, if none does, the last one).
 *
 * @source: the path it was read from, SHUNT_PROC_PATH_BYTES long.
 * Returns the length or a negative errno: -ENOENT where there is no such group or file.
 */
long shunt_proc_cgroup(const char *root, const char *controller, const char *file2,
	const char *file1, char *text, size_t bytes, char *source);

/** Reads another file of the group that `source` was read from: what is used of its limit. */
long shunt_proc_beside(const char *root, const char *source, const char *file, char *text,
	size_t bytes);

#endif
