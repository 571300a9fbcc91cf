/* SPDX-License-Identifier: MIT */
/* Small text files of the kernel, and where this process's control group has its own. */
#include "core/measure/proc.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

long shunt_proc_read(const char *root, const char *path, char *text, size_t bytes)
{
	char whole[SHUNT_PROC_PATH_BYTES];
	size_t length = 0;
	ssize_t got = 0;

	text[0] = '\0';
	if (snprintf(whole, sizeof(whole), "%s%s", root, path) >= (int)sizeof(whole))
		return -ENAMETOOLONG;
	int fd = open(whole, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return -errno;
	do {
		got = read(fd, text + length, bytes - 1 - length);
		if (got > 0)
			length += (size_t)got;
	} while ((got > 0 && length < bytes - 1) || (got < 0 && errno == EINTR));
	int failed = got < 0 ? -errno : 0;
	close(fd);
	while (length && isspace((unsigned char)text[length - 1]))
		length--;
	text[failed ? 0 : length] = '\0';
	return failed ? failed : (long)length;
}

int shunt_proc_number(const char *root, const char *path, uint64_t *number)
{
	char text[64];
	long length = shunt_proc_read(root, path, text, sizeof(text));

	return length < 0 ? (int)length : shunt_proc_parse(text, number);
}

int shunt_proc_parse(const char *text, uint64_t *number)
{
	char *end;

	errno = 0;
	uint64_t value = strtoull(text, &end, 10);
	if (end == text || text[0] == '-' || errno)
		return -ENODATA;
	*number = value;
	return 0;
}

int shunt_proc_field(const char *text, const char *key, uint64_t *number)
{
	size_t length = strlen(key);

	for (const char *line = text; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (strncmp(line, key, length) != 0)
			continue;
		const char *rest = line + length + strspn(line + length, ": \t");
		if (rest == line + length || !isdigit((unsigned char)*rest))
			continue;
		*number = strtoull(rest, NULL, 10);
		return 0;
	}
	return -ENODATA;
}

/* The group's path in the hierarchy of a controller, "" asking for the unified one. */
static bool group_path(const char *groups, const char *controller, char *path, size_t bytes)
{
	for (const char *line = groups; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		const char *names = strchr(line, ':');
		const char *where = names ? strchr(names + 1, ':') : NULL;

		if (!where)
			return false;
		names++;
		bool mine = !*controller && where == names;
		for (const char *name = names; *controller && name < where;) {
			size_t length = strcspn(name, ",:");

			mine |= length == strlen(controller) && !strncmp(name, controller, length);
			name += length + 1;
		}
		if (!mine)
			continue;
		size_t length = strcspn(where + 1, "\n");
		return snprintf(path, bytes, "%.*s", (int)length, where + 1) < (int)bytes;
	}
	return false;
}

/* From the group upwards to the mount point. */
static long read_upwards(const char *root, const char *mount, char *group, const char *file,
	char *text, size_t bytes, char *source)
{
	long found = -ENOENT;

	for (;;) {
		char path[SHUNT_PROC_PATH_BYTES];
		const char *below = strcmp(group, "/") == 0 ? "" : group;

		snprintf(path, sizeof(path), "%s%s/%s", mount, below, file);
		long length = shunt_proc_read(root, path, text, bytes);
		if (length >= 0) {
			found = length;
			snprintf(source, SHUNT_PROC_PATH_BYTES, "%s", path);
			/* The old hierarchy says -1. */
			if (strncmp(text, "max", 3) != 0 && strcmp(text, "-1") != 0)
				return length;
		}
		char *slash = strrchr(group, '/');
		if (!slash || !*below)
			break;
		*slash = '\0';
	}
	if (found >= 0)
		found = shunt_proc_read(root, source, text, bytes);
	return found;
}

long shunt_proc_cgroup(const char *root, const char *controller, const char *file2,
	const char *file1, char *text, size_t bytes, char *source)
{
	static const char *const unified[] = {"/sys/fs/cgroup", "/sys/fs/cgroup/unified"};
	char groups[4096], group[SHUNT_PROC_PATH_BYTES / 2], mount[128];
	long length = shunt_proc_read(root, "/proc/self/cgroup", groups, sizeof(groups));

	text[0] = source[0] = '\0';
	if (length < 0)
		return length;
	for (size_t i = 0; i < sizeof(unified) / sizeof(*unified); i++) {
		if (!group_path(groups, "", group, sizeof(group)))
			break;
		length = read_upwards(root, unified[i], group, file2, text, bytes, source);
		if (length >= 0)
			return length;
	}
	if (!group_path(groups, controller, group, sizeof(group)))
		return -ENOENT;
	snprintf(mount, sizeof(mount), "/sys/fs/cgroup/%s", controller);
	return read_upwards(root, mount, group, file1, text, bytes, source);
}

long shunt_proc_beside(const char *root, const char *source, const char *file, char *text,
	size_t bytes)
{
	char path[SHUNT_PROC_PATH_BYTES];
	int folder = (int)(strrchr(source, '/') - source);

	if (snprintf(path, sizeof(path), "%.*s/%s", folder, source, file) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	return shunt_proc_read(root, path, text, bytes);
}
