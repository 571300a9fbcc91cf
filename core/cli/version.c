/* SPDX-License-Identifier: MIT */
/* shunt version: which code this is. */
#include "core/cli/cli.h"

#include "core/build_info.h"
#include "core/measure/environment.h"

#include <jansson.h>

static int run(const struct cli_command *command, int argc, char **argv)
{
	char build_id[SHUNT_BUILD_ID_BYTES] = "";
	const char *commit = shunt_build_commit();
	int dirty = shunt_build_dirty();
	struct cli_args args;
	int rc = cli_args_parse(&args, command, argc, argv);

	(void)shunt_build_id(build_id);
	if (rc == 0 && args.word_count > 0)
		rc = cli_error(args.json, CLI_USAGE, "version takes no argument, but got '%s'",
			args.word[0]);
	if (rc == 0 && args.json) {
		json_t *document = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s}", "version",
			SHUNT_VERSION, "build_id", build_id, "compiler", SHUNT_COMPILER, "flags",
			SHUNT_FLAGS, "build_type", SHUNT_BUILD_TYPE, "target", SHUNT_TARGET);

		if (document && dirty >= 0) {
			json_object_set_new(document, "commit", json_string(commit));
			json_object_set_new(document, "dirty", json_boolean(dirty));
		}
		rc = cli_json(document, CLI_OK);
	} else if (rc == 0) {
		printf("shunt %s\n", SHUNT_VERSION);
		cli_wrap("commit", 12,
			dirty < 0 ? "not known: not built from a git clone" : commit);
		if (dirty > 0)
			cli_wrap("", 12, "with changes that are not committed");
		cli_wrap("build-id", 12, build_id[0] ? build_id : "none");
		cli_wrap("built by", 12, SHUNT_COMPILER);
		cli_wrap("flags", 12, SHUNT_FLAGS);
		cli_wrap("as", 12, SHUNT_BUILD_TYPE ", " SHUNT_TARGET);
	}
	cli_args_free(&args);
	return rc;
}

static const struct shunt_param options[] = {CLI_JSON, {.name = NULL}};

const struct cli_command cli_version = {
	.name = "version",
	.summary = "which code this is, and how it was built",
	.usage = "[--json]",
	.options = options,
	.run = run,
};
