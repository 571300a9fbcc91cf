/* SPDX-License-Identifier: MIT */
/*
 * Can the results be kept? Found out before the run: a record that cannot be written is noticed
 * while nothing is lost.
 */
#include "core/cli/run.h"

#include "core/measure/store.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* What a record takes at most on most file systems, to notice a full disk before the run. */
#define ROOM_BYTES (256 * 1024)

/* Tries to make a file beside `path` and to give it room. 0 or a negative errno. */
static int try_beside(const char *path)
{
	char copy[4096], name[4200];
	int fd, rc = 0;

	if (strlen(path) >= sizeof(copy))
		return -ENAMETOOLONG;
	strcpy(copy, path);
	snprintf(name, sizeof(name), "%s/.shunt-XXXXXX", dirname(copy));
	fd = mkstemp(name);
	if (fd < 0)
		return -errno;
	rc = -posix_fallocate(fd, 0, ROOM_BYTES);
	if (rc == -EINVAL || rc == -EOPNOTSUPP)
		rc = 0;
	close(fd);
	unlink(name);
	return rc;
}

static int check_path(const struct cli_run *run, const char *what, const char *path, bool replace)
{
	bool json = run->args.json;
	struct shunt_error err;
	struct stat there;
	int rc = stat(path, &there);

	if (rc == 0) {
		if (S_ISDIR(there.st_mode))
			return cli_error(json, CLI_USAGE,
				"the %s %s is a folder: name a file in it", what, path);
		if (S_ISBLK(there.st_mode) || S_ISSOCK(there.st_mode))
			return cli_error(json, CLI_USAGE,
				"the %s %s is a %s, not a regular file: name a file", what, path,
				S_ISBLK(there.st_mode) ? "disk" : "socket");
		if (S_ISREG(there.st_mode) && !replace)
			return cli_error(json, CLI_USAGE,
				"the %s %s exists already: name another file%s", what, path,
				strcmp(what, "record") == 0 ? ", or replace it with --force" : "");
	}
	if (rc == 0 && !S_ISREG(there.st_mode))
		rc = access(path, W_OK) ? -errno : 0;
	else
		rc = try_beside(path);
	if (rc == 0)
		return 0;
	shunt_store_fail(&err, rc, path, what);
	return cli_error(json, CLI_USAGE, "%s", err.text);
}

int cli_run_check_paths(const struct cli_run *run)
{
	int rc = 0;

	if (run->record_path)
		rc = check_path(run, "record", run->record_path, run->force);
	if (rc == 0 && run->trace_path)
		rc = check_path(run, "trace", run->trace_path, false);
	return rc;
}
