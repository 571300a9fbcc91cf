/* SPDX-License-Identifier: MIT */
/*
 * The command line: what its files share.
 *
 * Data goes to standard output, everything else to standard error. A command returns an exit
 * status; what it printed is flushed and checked by main alone. With --json a command prints one
 * JSON document, also when it fails.
 */
#ifndef SHUNT_CORE_CLI_CLI_H
#define SHUNT_CORE_CLI_CLI_H

#include "core/param.h"
#include "core/registry.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct json_t;

enum cli_exit {
	CLI_OK = 0,
	CLI_CHECK_FAILED = 1,
	CLI_USAGE = 2,
	CLI_RUN_FAILED = 3,
	CLI_ENVIRONMENT = 4,
	CLI_CORRUPT = 5,
	CLI_SIGNAL = 128, /* plus the signal's number */
};

struct cli_command {
	const char *name;
	const char *summary;  /* one line, for `shunt help` */
	const char *usage;    /* arguments, after the name */
	const char *text;     /* what it does; paragraphs; may be NULL */
	const char *examples; /* lines "command\n    what it does"; may be NULL */
	const struct shunt_param *options;
	/* argv[0] is the command's name; never called with --help. */
	int (*run)(const struct cli_command *command, int argc, char **argv);
};

extern const struct cli_command cli_list, cli_describe, cli_run, cli_record, cli_arrivals,
	cli_explore, cli_trace, cli_doctor, cli_version, cli_lab, cli_conformance;

/* The first of these that can be executed, looked for from this executable's folder; the list ends
 * with NULL. (lab.c) */
bool cli_find_program(const char *const *from_here, char *path, size_t bytes);

/* Names this executable in $SHUNT, for programs that it starts. (lab.c) */
void cli_export_self(bool replace);

/* ---- options (options.c) --------------------------------------------------------------------- */

/*
 * An option is a parameter whose name is "--something" and whose help may begin with "=WORD ", the
 * word for its value. A flag has the choices cli_flag.
 */
extern const char *const cli_flag[];
#define CLI_FLAG(name_, help_)                                                                     \
	{                                                                                          \
		.name = (name_), .type = SHUNT_PARAM_CHOICE, .fallback = "no",                     \
		.choices = cli_flag, .help = (help_)                                               \
	}
#define CLI_JSON CLI_FLAG("--json", "print one JSON document instead of text")
/* May be given several times. The plug-ins are loaded while the options are parsed. */
#define CLI_PLUGIN                                                                                 \
	{                                                                                          \
		.name = "--plugin", .type = SHUNT_PARAM_TEXT,                                      \
		.help = "=FILE.so load the plug-ins in this file, after those in the folders of "  \
			"$SHUNT_PLUGIN_PATH; may be repeated"                                      \
	}

struct cli_args {
	struct shunt_values options;
	const char **word; /* what is no option, in order */
	size_t word_count;
	size_t dashes; /* so many stood before `--`; word_count where there is none */
	bool json;
};

/* Parses; on an error has reported it and returns CLI_USAGE, else 0. Free in both cases. */
int cli_args_parse(struct cli_args *args, const struct cli_command *command, int argc, char **argv);
void cli_args_free(struct cli_args *args);
bool cli_given(const struct cli_args *args, const char *option);
bool cli_is_set(const struct cli_args *args, const char *flag);
void cli_help(const struct cli_command *command); /* to standard output */
/* A script for bash, to standard output. (completion.c) */
void cli_print_completion(const struct cli_command *const *commands, size_t count);

/* ---- output (out.c) -------------------------------------------------------------------------- */

#define CLI_COLUMNS 80
#define CLI_NBSP    '\x1f' /* in wrapped text: a blank that does not break the line */

/* First in main: opens standard descriptors that are closed, lest a file or the watcher get their
 * numbers; a write beyond ulimit -f fails from then on, and does not kill. */
void cli_begin(void);
/* Says on standard error what is wrong; with `json` a document on standard output too. Returns
 * status. */
int cli_error(bool json, int status, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* Prints the document on one line and releases it. Returns status. */
int cli_json(struct json_t *document, int status);

/* Escape sequences, empty where standard output is no terminal or NO_COLOR is set. */
const char *cli_bold(void), *cli_red(void), *cli_green(void), *cli_plain(void);

/*
 * Prints text wrapped at 80 columns: the first line after `label` padded to `indent`, the others
 * indented. A word is never broken; "\n" begins a new line.
 */
void cli_wrap(const char *label, int indent, const char *text);
/* Makes the blanks of a text, a number with its unit say, into such ones; returns it. */
char *cli_nb(char *text);

/* A text that grows; freed by the caller. Short of memory is a panic: it is a few kilobytes. */
struct cli_text {
	char *s;
	size_t len, room;
};
void cli_add(struct cli_text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Numbers for people; each returns text. 3 significant digits and a unit; digits in groups. */
char *cli_ns(double ns, char *text, size_t bytes);       /* "5.12 ns", "51.2 ms" */
char *cli_bytes(double n, char *text, size_t bytes);     /* "64.0 KiB" */
char *cli_rate(double n, char *text, size_t bytes);      /* "195 million", "12,300" */
char *cli_grouped(uint64_t n, char *text, size_t bytes); /* "10,000,000" */

/* Quotes a word for a shell where it must be; appends it. */
void cli_add_shell(struct cli_text *text, const char *word);

/* ---- plug-ins (kinds.c) ---------------------------------------------------------------------- */

struct cli_kind {
	const char *name, *plural; /* "policy", "policies" */
	const struct shunt_plugin *list;
	const char *what; /* one line: what plug-ins of this kind do */
	const char *(*summary)(const void *object);
	const struct shunt_param *(*params)(const void *object);
	/* 0, or a negative errno and why it cannot run here. NULL: all can. */
	int (*probe)(const void *object, struct shunt_error *why);
};

extern const struct cli_kind cli_kinds[];
extern const size_t cli_kind_count;
/* By singular or plural; NULL: no such kind. */
const struct cli_kind *cli_kind_find(const char *name);
/* The parameters of one, by the names that a spec or a command line gives them (describe.c). */
struct json_t *cli_params_json(const struct cli_kind *kind, const void *object);

/* ---- plug-ins from files (plugins.c) --------------------------------------------------------- */

/* Before the options of a command that has CLI_PLUGIN: loads the folders of SHUNT_PLUGIN_PATH. */
void cli_plugins_begin(void);
/* Loads what --plugin names. 0, or CLI_USAGE and the reason told; `list` lists it with the reason
 * and goes on. */
int cli_plugins_take(const struct cli_command *command, const char *path, bool json);
/* Adds the line that says which file it is from, if it is from one. */
void cli_plugin_origin(struct cli_text *text, const struct shunt_plugin *plugin);
void cli_plugin_origin_json(struct json_t *object, const struct shunt_plugin *plugin);
/* Every file that was asked for. */
void cli_plugins_list(void);
struct json_t *cli_plugins_json(void);

/* ---- the machine (machine.c) ----------------------------------------------------------------- */

struct shunt_env;

enum cli_level { CLI_FINE, CLI_UNKNOWN, CLI_NOTE, CLI_NOISE };

/* One thing about this machine or build that may disturb a measurement. */
struct cli_finding {
	const char *name;
	enum cli_level level;
	char value[96];
	char advice[256]; /* empty when fine or unknown */
};
#define CLI_FINDINGS_MAX 24

/* Gathers the manifest, topology included. NULL: out of memory. */
struct shunt_env *cli_gather(void);
size_t cli_findings(const struct shunt_env *env, struct cli_finding findings[CLI_FINDINGS_MAX]);

/* describe of a backend with settings: opened, told, closed. (composed.c) */
int cli_describe_composed(const struct cli_args *args, const char *spec);

/* What workers=all gives under each placement here: for people, and {place: {workers, cpus}}.
 * (places.c) */
void cli_print_places(void);
struct json_t *cli_places_json(void);
/* A fact of the manifest as text; `otherwise` when it has none. Returns text. */
const char *cli_fact(const struct shunt_env *env, const char *name, char *text, size_t bytes,
	const char *otherwise);

#endif
