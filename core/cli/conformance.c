/* SPDX-License-Identifier: MIT */
/*
 * shunt conformance: the tests of the task API's contract, and of every workload, on plug-ins.
 *
 * They are the tests that shunt itself is built with, as programs of their own: a clause that fails
 * may end the process. Here the plug-ins are loaded only to say at once what is wrong with them.
 */
#include "core/cli/cli.h"

#include "core/plugins.h"

#include <errno.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

extern char **environ;

/* In the build's folder, and installed. */
static const char *const clauses[] = {"test/test_conformance", "../libexec/shunt/conformance",
	NULL};
static const char *const matrix[] = {"test/test_matrix", "../libexec/shunt/matrix", NULL};

/* Runs one of the two on the plug-ins; returns an exit status. */
static int run_tests(const char *const *places, char **words, bool json)
{
	char path[8192];
	int status;
	pid_t child;

	if (!cli_find_program(places, path, sizeof(path)))
		return cli_error(json, CLI_RUN_FAILED,
			"the conformance tests were not built: cmocka was not found (Debian "
			"package "
			"libcmocka-dev)");
	fflush(stdout);
	words[0] = path;
	int rc = posix_spawn(&child, path, NULL, NULL, words, environ);

	if (rc)
		return cli_error(json, CLI_RUN_FAILED, "%s: %s", path, strerror(rc));
	while (waitpid(child, &status, 0) < 0)
		if (errno != EINTR)
			return cli_error(json, CLI_RUN_FAILED, "%s: %s", path, strerror(errno));
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? CLI_OK : CLI_CHECK_FAILED;
}

static char **files_of_plugins(void)
{
	size_t count = 0;

	for (const struct shunt_plugin_file *at = shunt_plugins(); at; at = at->next)
		count++;
	char **words = calloc(count + 2, sizeof(*words));

	count = 1;
	for (const struct shunt_plugin_file *at = shunt_plugins(); words && at; at = at->next)
		if (at->count)
			words[count++] = at->path;
	return words;
}

static int run(const struct cli_command *command, int argc, char **argv)
{
	struct cli_args args;
	int rc = cli_args_parse(&args, command, argc, argv);
	char **words = files_of_plugins();

	if (rc == 0 && !words)
		rc = cli_error(false, CLI_RUN_FAILED, "out of memory");
	if (rc == 0 && args.word_count > 0)
		rc = cli_error(false, CLI_USAGE,
			"conformance takes no argument, but got '%s'; name files by --plugin",
			args.word[0]);
	if (rc == 0 && !words[1])
		rc = cli_error(false, CLI_USAGE,
			"conformance needs a plug-in, as in `shunt conformance --plugin mine.so`");
	if (rc == 0) {
		int kept = run_tests(clauses, words, false),
		    right = run_tests(matrix, words, false);

		rc = kept ? kept : right;
		printf("%s\n", rc ? "not conforming: see above" : "conforming");
	}
	free(words);
	cli_args_free(&args);
	return rc;
}

static const struct shunt_param options[] = {CLI_PLUGIN, {.name = NULL}};

const struct cli_command cli_conformance = {
	.name = "conformance",
	.summary = "test plug-ins from files: every clause of the task API, every workload",
	.usage = "--plugin FILE.so ...",
	.text = "Runs the conformance tests, and every workload in small, on compositions with "
		"each "
		"plug-in of the files: one worker, two, and two between which tasks move. A "
		"workload "
		"from a file runs on every backend. On compositions with a plug-in from a file "
		"every "
		"workload runs.\n\n"
		"Exit status: 0 all is kept; 1 a clause or an answer is not; 2 usage error; 3 the "
		"tests "
		"are not there.",
	.examples = "  shunt conformance --plugin ./mine.so\n",
	.options = options,
	.run = run,
};
