/* SPDX-License-Identifier: MIT */
/*
 * shunt help bash-completion: a script for bash, made from the same tables as the help.
 *
 * It completes commands, their options and the names of the registry; after an option that takes a
 * file, and where nothing fits, bash completes names of files.
 */
#include "core/cli/cli.h"

#include <string.h>

static void print_options(const struct cli_command *command)
{
	for (const struct shunt_param *p = command->options; p && p->name; p++)
		printf(" %s", p->name);
	if (command->options)
		printf(" --help");
}

/* The kinds whose names the command takes, or for `list` the kinds themselves. */
static void print_names(const struct cli_command *command)
{
	bool all = command == &cli_describe;

	for (size_t i = 0; i < cli_kind_count; i++) {
		const struct cli_kind *kind = &cli_kinds[i];
		bool runs = kind->list == shunt_registry_backends ||
			    kind->list == shunt_registry_workloads;

		if (command == &cli_list)
			printf(" %s", kind->plural);
		for (const struct shunt_plugin *p = kind->list;
			p->name && (all || (command == &cli_run && runs)); p++)
			printf(" %s", p->name);
	}
}

void cli_print_completion(const struct cli_command *const *commands, size_t count)
{
	printf("# bash completion for shunt, made by `shunt help bash-completion`\n"
	       "_shunt() {\n"
	       "\tlocal words current=${COMP_WORDS[COMP_CWORD]}\n"
	       "\tCOMPREPLY=()\n"
	       "\tcase ${COMP_WORDS[COMP_CWORD-1]} in --record|--trace|--plugin) return ;; esac\n"
	       "\tif [ \"$COMP_CWORD\" = 1 ]; then\n"
	       "\t\twords='help");
	for (size_t i = 0; i < count; i++)
		printf(" %s", commands[i]->name);
	printf("'\n\telse\n\t\tcase ${COMP_WORDS[1]} in\n");
	for (size_t i = 0; i < count; i++) {
		printf("\t\t%s) words='", commands[i]->name);
		print_options(commands[i]);
		print_names(commands[i]);
		printf("' ;;\n");
	}
	printf("\t\t*) return ;;\n"
	       "\t\tesac\n"
	       "\tfi\n"
	       "\tmapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$current\")\n"
	       "}\n"
	       "complete -o default -F _shunt shunt\n");
}
