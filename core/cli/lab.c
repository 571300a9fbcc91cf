/* SPDX-License-Identifier: MIT */
/*
 * shunt lab: the experiment runner, a program of its own.
 *
 * It is looked for as git looks for its subcommands: where $SHUNT_LAB says, in the tree that this
 * executable was built in (build/<preset>/shunt, so ../../experiments/lab), or where `cmake
 * --install` puts it (bin/shunt, so ../libexec/shunt/lab or ../share/shunt/experiments/lab).
 */
#include "core/cli/cli.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const places[] = {"../../experiments/lab", "../libexec/shunt/lab",
	"../share/shunt/experiments/lab", NULL};

/* The folder of this executable; "" when /proc does not say. */
static void own_folder(char *text, size_t bytes)
{
	ssize_t n = readlink("/proc/self/exe", text, bytes - 1);

	text[n > 0 ? n : 0] = '\0';
	char *slash = strrchr(text, '/');

	if (slash)
		*slash = '\0';
}

bool cli_find_program(const char *const *from_here, char *path, size_t bytes)
{
	char folder[4096];

	own_folder(folder, sizeof(folder));
	for (; *from_here; from_here++) {
		snprintf(path, bytes, "%s/%s", folder, *from_here);
		if (access(path, X_OK) == 0)
			return true;
	}
	return false;
}

static bool find(char *path, size_t bytes)
{
	const char *given = getenv("SHUNT_LAB");

	if (given && *given) {
		snprintf(path, bytes, "%s", given);
		return access(path, X_OK) == 0;
	}
	return cli_find_program(places, path, bytes);
}

void cli_export_self(bool replace)
{
	char self[4096];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	if (n <= 0)
		return;
	self[n] = '\0';
	setenv("SHUNT", self, replace);
}

static int run(const struct cli_command *command, int argc, char **argv)
{
	char path[8192];

	(void)command, (void)argc;
	if (!find(path, sizeof(path)))
		return cli_error(false, CLI_USAGE,
			"the lab was not found: run shunt from its build folder, install it, or "
			"name the lab in $SHUNT_LAB");
	/* The lab runs the shunt that it was called from. */
	cli_export_self(false);
	argv[0] = path;
	execv(path, argv);
	return cli_error(false, CLI_RUN_FAILED, "%s: %s", path, strerror(errno));
}

const struct cli_command cli_lab = {
	.name = "lab",
	.summary = "experiments: plan, run, compare, figures",
	.usage = "COMMAND ...",
	.text = "Turns a question in a TOML file into a frozen plan, the plan into records, the "
		"records "
		"into tables and figures. `shunt lab --help` has its commands.",
	.run = run,
};
