/* SPDX-License-Identifier: MIT */
/*
 * Writing a file so that nobody ever reads half of it.
 *
 * The bytes go to a temporary name in the same folder, are flushed to the disk, and only then get
 * their name, by a rename that does not replace; then the folder is flushed. A crash at any moment
 * leaves the file whole or not at all (and at worst a temporary file, whose name begins with a dot
 * and ends in .tmp, which readers of records pass over).
 */
#ifndef SHUNT_CORE_MEASURE_STORE_H
#define SHUNT_CORE_MEASURE_STORE_H

#include <stdbool.h>
#include <stddef.h>

struct shunt_error; /* core/param.h */

/**
 * Writes the file.
 *
 * @path: its name. A character device or a pipe (/dev/stdout, a FIFO) is written to directly. One
 * whose reader reads nothing for 10 s is given up: -ETIMEDOUT. @what: what it is, for the message
 * ("record"). @replace: take the place of a file that exists. Returns 0 or a negative errno, with
 * the path, the cause and a remedy in err: -EEXIST if it exists and replace is false, -EISDIR,
 * -ENOENT for a missing folder, -EACCES, -EROFS, -ENOSPC, ... Nothing is left behind after a
 * failure. Context: any thread; blocks on the disk.
 */
int shunt_store(const char *path, const char *what, const void *bytes, size_t length, bool replace,
	struct shunt_error *err);

/**
 * Opens a character device or a pipe, for a writer that has a time limit of its own. A FIFO that
 * nobody reads is -ENXIO: the wait for its reader might never end. A disk or a socket is -EINVAL.
 * Returns the descriptor or a negative errno.
 */
int shunt_store_open(const char *path);

/**
 * Sets err to "cannot write the WHAT PATH: cause; remedy" and returns code (a negative errno), for
 * writers that cannot go through shunt_store.
 */
int shunt_store_fail(struct shunt_error *err, int code, const char *path, const char *what);

#endif
