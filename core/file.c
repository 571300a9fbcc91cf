/* SPDX-License-Identifier: MIT */
/* A regular file, opened without waiting and read whole. */
#include "core/file.h"

#include "core/param.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static uint64_t half_of_memory(void)
{
	long pages = sysconf(_SC_PHYS_PAGES), bytes = sysconf(_SC_PAGESIZE);

	return pages > 0 && bytes > 0 ? (uint64_t)pages / 2 * (uint64_t)bytes : UINT64_MAX;
}

/* 0 or a negative errno: is it a file that can be read whole? */
static int judge(const struct stat *about, const char *path, const char *what, uint64_t most,
	struct shunt_error *err)
{
	uint64_t half = half_of_memory(), bytes = (uint64_t)about->st_size;

	if (S_ISDIR(about->st_mode))
		return shunt_fail(err, -EISDIR, "%s '%s' is a folder; name a file", what, path);
	if (!S_ISREG(about->st_mode))
		return shunt_fail(err, -EINVAL,
			"%s '%s' is not a regular file; copy what it gives into one", what, path);
	if (bytes > half || bytes > most)
		return shunt_fail(err, -EFBIG, "%s '%s' has %llu bytes, %s", what, path,
			(unsigned long long)bytes,
			bytes > most ? "more than any that shunt writes"
				     : "more than half of this machine's memory");
	return 0;
}

int shunt_file_open(const char *path, const char *what, uint64_t most, size_t *bytes,
	struct shunt_error *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat about;

	/* ENXIO: a socket. */
	if (fd < 0 && errno != ENXIO)
		return shunt_fail(err, -errno, "%s '%s' cannot be read: %s", what, path,
			strerror(errno));
	if (fd < 0)
		return shunt_fail(err, -EINVAL, "%s '%s' is not a regular file", what, path);
	int rc = fstat(fd, &about) ? shunt_fail(err, -errno, "%s '%s' cannot be read: %s", what,
					     path, strerror(errno))
				   : judge(&about, path, what, most, err);

	if (rc) {
		close(fd);
		return rc;
	}
	*bytes = (size_t)about.st_size;
	return fd;
}

static int read_all(int fd, char *text, size_t bytes)
{
	for (size_t done = 0; done < bytes;) {
		ssize_t got = read(fd, text + done, bytes - done);

		if (got < 0 && errno != EINTR)
			return -errno;
		if (got == 0)
			return -EIO;
		done += got > 0 ? (size_t)got : 0;
	}
	return 0;
}

int shunt_file_read(const char *path, const char *what, uint64_t most, char **text, size_t *bytes,
	struct shunt_error *err)
{
	int fd = shunt_file_open(path, what, most, bytes, err);

	if (fd < 0)
		return fd;
	char *made = malloc(*bytes + 1);
	int rc = made ? read_all(fd, made, *bytes) : -ENOMEM;

	close(fd);
	if (rc) {
		free(made);
		return shunt_fail(err, rc, "%s '%s': %s", what, path,
			rc == -EIO      ? "it became shorter while it was read"
			: rc == -ENOMEM ? "no memory for its bytes"
					: strerror(-rc));
	}
	made[*bytes] = '\0';
	*text = made;
	return 0;
}
