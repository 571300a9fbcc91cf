/* SPDX-License-Identifier: MIT */
/*
 * Files that a user names, opened so that none keeps the program waiting.
 *
 * A named pipe waits for its writer, a device for its data, and both are as easily named as a file.
 * So what is read is a regular file, or an error that says so; and it is smaller than the memory.
 */
#ifndef SHUNT_CORE_FILE_H
#define SHUNT_CORE_FILE_H

#include <stddef.h>
#include <stdint.h>

struct shunt_error; /* core/param.h */

/**
 * Opens a regular file for reading.
 *
 * @what: what it is, for the message ("input"). @most: bytes; a larger file is refused, as one
 * larger than half of the machine's memory always is. @bytes: its size. Returns a descriptor, or a
 * negative errno with "WHAT 'PATH' ..." in err: -EISDIR, -EINVAL for what is not a regular file,
 * -EFBIG, or what open says. Context: any thread.
 */
int shunt_file_open(const char *path, const char *what, uint64_t most, size_t *bytes,
	struct shunt_error *err);

/**
 * Reads a regular file: *text is its bytes and a zero byte after them, to be freed by the caller.
 *
 * 0 or a negative errno, as shunt_file_open; also -ENOMEM, and -EIO if it became shorter meanwhile.
 */
int shunt_file_read(const char *path, const char *what, uint64_t most, char **text, size_t *bytes,
	struct shunt_error *err);

#endif
