/* SPDX-License-Identifier: MIT */
/* A machine of files, for tests: a folder that stands for "/". */
#ifndef SHUNT_CORE_MEASURE_TEST_MACHINE_FILES_H
#define SHUNT_CORE_MEASURE_TEST_MACHINE_FILES_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static char root[64];

/* Makes a file of the machine, and the folders above it. */
static inline void put(const char *path, const char *text)
{
	char whole[512];

	snprintf(whole, sizeof(whole), "%s%s", root, path);
	for (char *slash = strchr(whole + strlen(root) + 1, '/'); slash;
		slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		mkdir(whole, 0777);
		*slash = '/';
	}
	FILE *file = fopen(whole, "w");
	assert_non_null(file);
	fputs(text, file);
	assert_int_equal(fclose(file), 0);
}

static inline int make_root(void **state)
{
	(void)state;
	snprintf(root, sizeof(root), "/tmp/shunt-machine-XXXXXX");
	return mkdtemp(root) ? 0 : -1;
}

static inline int remove_root(void **state)
{
	char command[96];

	(void)state;
	snprintf(command, sizeof(command), "rm -r %s", root);
	return system(command);
}

#endif
