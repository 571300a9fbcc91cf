/* SPDX-License-Identifier: MIT */
/* A file, whole or not at all: temporary name, flush, rename without replacing, flush the
 * folder. */
#include "core/measure/store.h"

#include "core/param.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TEMPORARY_TRIES    32
#define READER_PATIENCE_MS 10000

/* The folder of a path, and the name in it. */
static void split(const char *path, char folder[PATH_MAX], const char **name)
{
	const char *slash = strrchr(path, '/');

	*name = slash ? slash + 1 : path;
	if (!slash)
		strcpy(folder, ".");
	else
		snprintf(folder, PATH_MAX, "%.*s", slash == path ? 1 : (int)(slash - path), path);
}

int shunt_store_fail(struct shunt_error *err, int code, const char *path, const char *what)
{
	char folder[PATH_MAX];
	struct stat there;
	const char *name;

	split(path, folder, &name);
	switch (-code) {
	case EEXIST:
		return shunt_fail(err, code,
			"cannot write the %s %s: it exists already; give another name, or remove "
			"it first",
			what, path);
	case EISDIR:
		return shunt_fail(err, code,
			"cannot write the %s %s: it is a folder; name a file in it", what, path);
	case ENOENT:
		if (stat(folder, &there) == 0) /* a kernel's own, like /proc */
			return shunt_fail(err, code,
				"cannot write the %s %s: the folder %s takes no new files; choose "
				"another",
				what, path, folder);
		return shunt_fail(err, code,
			"cannot write the %s %s: there is no folder %s; make it with: mkdir -p %s",
			what, path, folder, folder);
	case ENXIO:
		return shunt_fail(err, code,
			"cannot write the %s %s: nobody reads from it; start its reader first, or "
			"choose another path",
			what, path);
	case ETIMEDOUT:
		return shunt_fail(err, code,
			"cannot write the %s %s: its reader has read nothing for %d s; end it, or "
			"choose another path",
			what, path, READER_PATIENCE_MS / 1000);
	case ENOTDIR:
		return shunt_fail(err, code,
			"cannot write the %s %s: a part of the path is not a folder; choose "
			"another path",
			what, path);
	case EINVAL:
		return shunt_fail(err, code,
			"cannot write the %s %s: it is not a regular file, a pipe or a character "
			"device; name a file",
			what, path);
	case EFBIG:
		return shunt_fail(err, code,
			"cannot write the %s %s: %s; raise the limit on the size of files (ulimit "
			"-f)",
			what, path, strerror(-code));
	case ENOSPC:
	case EDQUOT:
		return shunt_fail(err, code,
			"cannot write the %s %s: %s; free some space, or choose another disk", what,
			path, strerror(-code));
	case EACCES:
	case EPERM:
	case EROFS:
		return shunt_fail(err, code,
			"cannot write the %s %s: %s; choose a folder that you may write to (%s is "
			"not)",
			what, path, strerror(-code), folder);
	default:
		return shunt_fail(err, code, "cannot write the %s %s: %s; choose another path",
			what, path, strerror(-code));
	}
}

/* Waits until a pipe or a device takes more: 0, or -ETIMEDOUT where its reader reads no longer. */
static int await_reader(int fd)
{
	struct pollfd one = {.fd = fd, .events = POLLOUT};
	int ready = poll(&one, 1, READER_PATIENCE_MS);

	if (ready < 0 && errno != EINTR)
		return -errno;
	return ready == 0 ? -ETIMEDOUT : 0;
}

static int write_all(int fd, const char *bytes, size_t length)
{
	while (length) {
		ssize_t wrote = write(fd, bytes, length);
		int rc = wrote < 0 && errno != EINTR ? -errno : 0;

		if (rc == -EAGAIN)
			rc = await_reader(fd);
		if (rc)
			return rc;
		if (wrote > 0) {
			bytes += wrote;
			length -= (size_t)wrote;
		}
	}
	return 0;
}

static int flush(int fd)
{
	while (fsync(fd) < 0)
		if (errno != EINTR)
			return -errno;
	return 0;
}

/* Writes, flushes and closes fd, in that order, whatever fails first. */
static int fill(int fd, const void *bytes, size_t length)
{
	int rc = write_all(fd, bytes, length);

	if (rc == 0)
		rc = flush(fd);
	if (rc == -EINVAL || rc == -EROFS) /* a device or a pipe, which cannot be flushed */
		rc = 0;
	if (close(fd) < 0 && rc == 0)
		rc = -errno;
	return rc;
}

/* Opens a new file in the folder under a name that nobody else has. Returns the descriptor. */
static int open_temporary(const char *folder, const char *name, char temporary[PATH_MAX])
{
	for (int attempt = 0; attempt < TEMPORARY_TRIES; attempt++) {
		int length = snprintf(temporary, PATH_MAX, "%s/.%.200s.%d-%d.tmp", folder, name,
			(int)getpid(), attempt);

		if (length >= PATH_MAX)
			return -ENAMETOOLONG;
		int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
		if (fd >= 0)
			return fd;
		if (errno != EEXIST)
			return -errno;
	}
	return -EBUSY;
}

/* Gives the temporary file its name, and never takes that of another file unless told. */
static int settle(const char *temporary, const char *path, bool replace)
{
	struct stat there;

	if (replace)
		return rename(temporary, path) < 0 ? -errno : 0;
	if (renameat2(AT_FDCWD, temporary, AT_FDCWD, path, RENAME_NOREPLACE) == 0)
		return 0;
	/* A file system that cannot do it, like NFS, or a filter that forbids it: a link does not
	 * replace either. */
	if (errno != EEXIST && link(temporary, path) == 0) {
		unlink(temporary);
		return 0;
	}
	/* No links either: two writers of one name are then not told apart. */
	if (errno == EEXIST || lstat(path, &there) == 0)
		return -EEXIST;
	return rename(temporary, path) < 0 ? -errno : 0;
}

static int flush_folder(const char *folder)
{
	int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int rc;

	/* A folder may be writable and not readable: the file is whole, only not yet certain. */
	if (fd < 0)
		return errno == EACCES ? 0 : -errno;
	rc = flush(fd);
	close(fd);
	return rc == -EINVAL ? 0 : rc;
}

static int store_regular(const char *path, const void *bytes, size_t length, bool replace)
{
	char folder[PATH_MAX], temporary[PATH_MAX];
	const char *name;

	split(path, folder, &name);
	int fd = open_temporary(folder, name, temporary);
	if (fd < 0)
		return fd;
	int rc = fill(fd, bytes, length);
	if (rc == 0)
		rc = settle(temporary, path, replace);
	if (rc < 0) {
		unlink(temporary);
		return rc;
	}
	return flush_folder(folder);
}

/* Opens a character device or a pipe; a write to it does not wait. The descriptor, or a negative
 * errno. */
static int open_device(const char *path)
{
	struct stat there;

	if (stat(path, &there) < 0)
		return -errno;
	if (!S_ISCHR(there.st_mode) && !S_ISFIFO(there.st_mode))
		return -EINVAL;
	int fd = open(path, O_WRONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

	return fd < 0 ? -errno : fd;
}

int shunt_store_open(const char *path)
{
	int fd = open_device(path);

	if (fd >= 0)
		fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
	return fd;
}

static int store(const char *path, const void *bytes, size_t length, bool replace)
{
	struct stat there;
	size_t chars = strlen(path);

	if (chars == 0)
		return -ENOENT;
	if (chars >= PATH_MAX - 32)
		return -ENAMETOOLONG;
	if (stat(path, &there) < 0) {
		if (errno != ENOENT)
			return -errno;
		if (path[chars - 1] == '/')
			return -EISDIR;
		return store_regular(path, bytes, length, replace);
	}
	if (S_ISDIR(there.st_mode))
		return -EISDIR;
	if (S_ISREG(there.st_mode))
		return replace ? store_regular(path, bytes, length, true) : -EEXIST;
	int fd = open_device(path);
	return fd < 0 ? fd : fill(fd, bytes, length);
}

int shunt_store(const char *path, const char *what, const void *bytes, size_t length, bool replace,
	struct shunt_error *err)
{
	int rc = store(path, bytes, length, replace);

	return rc < 0 ? shunt_store_fail(err, rc, path, what) : 0;
}
