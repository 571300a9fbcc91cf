/* SPDX-License-Identifier: MIT */
/*
 * shunt: one program for the user.
 *
 * Finds the command and runs it; then makes sure that all it printed has arrived: a report that a
 * full disk cut off must not look like success. A reader that has left, `| head`, is no fault of
 * anybody.
 */
#include "core/cli/cli.h"

#include "core/build_info.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>

static const struct cli_command *const commands[] = {&cli_run, &cli_list, &cli_describe,
	&cli_doctor, &cli_record, &cli_arrivals, &cli_explore, &cli_trace, &cli_conformance,
	&cli_lab, &cli_version};
#define COMMANDS (sizeof(commands) / sizeof(commands[0]))

static int help(void)
{
	printf("%sUsage:%s shunt COMMAND ...\n\n", cli_bold(), cli_plain());
	cli_wrap("", 0,
		"A testbed for user-level task schedulers: one workload, unchanged, on "
		"interchangeable backends, measured and checked.");
	printf("\n%sCommands%s\n", cli_bold(), cli_plain());
	for (size_t i = 0; i < COMMANDS; i++) {
		char label[32];

		snprintf(label, sizeof(label), "  %s", commands[i]->name);
		cli_wrap(label, 12, commands[i]->summary);
	}
	cli_wrap("  help", 12, "show this, or help on a command: shunt help run");
	printf("\n%sFirst steps%s\n"
	       "  shunt list                                    what there is\n"
	       "  shunt run asm chunked_sum preset=tutorial --narrate\n"
	       "                                                two tasks that take turns\n"
	       "  shunt run asm yield                           the cost of a switch\n"
	       "  shunt run ucontext yield                      the same work, another switch\n"
	       "  shunt describe yield                          what can be varied\n",
		cli_bold(), cli_plain());
	return CLI_OK;
}

static const struct cli_command *find(const char *name)
{
	for (size_t i = 0; i < COMMANDS; i++)
		if (strcmp(commands[i]->name, name) == 0)
			return commands[i];
	return NULL;
}

static int unknown(const char *name)
{
	const char *names[COMMANDS + 1] = {"help"};

	for (size_t i = 0; i < COMMANDS; i++)
		names[i + 1] = commands[i]->name;
	const char *near = shunt_nearest(name, names, COMMANDS + 1);

	if (near)
		return cli_error(false, CLI_USAGE,
			"unknown command '%.60s'; did you mean '%s'? `shunt help` lists them all",
			name, near);
	return cli_error(false, CLI_USAGE, "unknown command '%.60s'; `shunt help` lists them all",
		name);
}

static bool asks_help(int argc, char **argv)
{
	for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
		if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
			return true;
	return false;
}

static int dispatch(int argc, char **argv)
{
	const char *name = argc > 1 ? argv[1] : NULL;

	if (!name) {
		help();
		return CLI_USAGE;
	}
	if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0)
		return help();
	if (strcmp(name, "--version") == 0 || strcmp(name, "-V") == 0) {
		printf("shunt %s\n", SHUNT_VERSION);
		return CLI_OK;
	}
	bool helping = strcmp(name, "help") == 0;

	if (helping && argc == 2)
		return help();
	if (helping && strcmp(argv[2], "bash-completion") == 0) {
		cli_print_completion(commands, COMMANDS);
		return CLI_OK;
	}
	const struct cli_command *command = find(helping ? argv[2] : name);

	if (!command)
		return unknown(helping ? argv[2] : name);
	/* The lab has a help of its own. */
	if (helping || (command->options && asks_help(argc - 1, argv + 1))) {
		cli_help(command);
		return CLI_OK;
	}
	return command->run(command, argc - 1, argv + 1);
}

/* Is standard output a pipe whose reader has left? errno may be that of a later call. */
static bool reader_has_left(void)
{
	struct pollfd out = {.fd = 1, .events = POLLOUT};

	return poll(&out, 1, 0) == 1 && (out.revents & POLLERR);
}

int main(int argc, char **argv)
{
	cli_begin();
	/* A reader that leaves must not end a run whose record is not yet written. */
	signal(SIGPIPE, SIG_IGN);
	int status = dispatch(argc, argv);

	if (fflush(stdout) != 0 || ferror(stdout)) {
		if (reader_has_left())
			return status ? status : CLI_SIGNAL + SIGPIPE;
		fprintf(stderr, "shunt: standard output: %s\n",
			errno ? strerror(errno) : "cannot be written");
		return status ? status : CLI_RUN_FAILED;
	}
	return status;
}
