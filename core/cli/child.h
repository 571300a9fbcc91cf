/* SPDX-License-Identifier: MIT */
/* A child process of `shunt record`: started, asked by one line, read line by line, never left
 * behind. */
#ifndef SHUNT_CORE_CLI_CHILD_H
#define SHUNT_CORE_CLI_CHILD_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct shunt_error; /* core/param.h */

#define CLI_LINE_MOST (1 << 20)

struct cli_child {
	_Atomic pid_t pid; /* [child:pid] of the process, and of its group; 0: none is there */
	int ended;         /* a pidfd; -1: none */
	int out;           /* the pipe from it; -1: none */
	char *buffer;
	size_t have, taken; /* bytes in the buffer, and of them those of lines that were read */
	unsigned line;      /* the number of the last one */
};

/* Before everything else. */
void cli_child_init(struct cli_child *child);

/*
 * Starts the command (words, and NULL) with `question` as its standard input and $SHUNT naming this
 * executable. 0, or a negative errno with err. SIGPIPE must be ignored: not every program reads.
 */
int cli_child_start(struct cli_child *child, const char *const *command, const char *question,
	struct shunt_error *err);

/*
 * The next line, without its newline, which the next call overwrites; NULL: there is none, and *rc
 * is 0, -EMSGSIZE for one longer than CLI_LINE_MOST, or another negative errno.
 */
const char *cli_child_line(struct cli_child *child, size_t *length, int *rc);

/* Bytes came after the last whole line. */
bool cli_child_has_rest(const struct cli_child *child);

/*
 * Waits for its end, for some seconds at most, then kills what is left of its group. 0 where it
 * ended with status 0; -EIO where not, and err (may be NULL) says how: "was killed by SIGSEGV".
 */
int cli_child_reap(struct cli_child *child, struct shunt_error *err);

/* Kills it and all of its group. Context: any thread. */
void cli_child_kill(struct cli_child *child);

/* Kills it if it is there, and frees what the others hold. */
void cli_child_fini(struct cli_child *child);

#endif
