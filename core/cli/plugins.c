/* SPDX-License-Identifier: MIT */
/*
 * Plug-ins from files, on the command line: --plugin, and the folders of SHUNT_PLUGIN_PATH.
 *
 * What --plugin names must be usable; of the folders, what cannot be used is listed and no more.
 */
#include "core/cli/cli.h"

#include "core/plugins.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

void cli_plugins_begin(void)
{
	const char *folders = getenv("SHUNT_PLUGIN_PATH");

	if (folders)
		shunt_plugins_load_folders(folders);
}

int cli_plugins_take(const struct cli_command *command, const char *path, bool json)
{
	struct shunt_error err;

	if (!*path)
		return cli_error(json, CLI_USAGE, "--plugin: the name of the file is empty");
	if (shunt_plugins_load(path, &err) == 0 || command == &cli_list)
		return 0;
	return cli_error(json, CLI_USAGE, "%s", err.text);
}

void cli_plugin_origin(struct cli_text *text, const struct shunt_plugin *plugin)
{
	if (plugin->from)
		cli_add(text, "%sfrom %s, build-id %.12s", text->len ? "\n" : "",
			plugin->from->path, plugin->from->build_id);
}

static json_t *file_json(const struct shunt_plugin_file *file)
{
	json_t *one = json_pack("{s:s}", "file", file->path);

	if (file->name)
		json_object_set_new(one, "plugin", json_string(file->name));
	if (*file->build_id)
		json_object_set_new(one, "build_id", json_string(file->build_id));
	if (*file->why.text)
		json_object_set_new(one, "why", json_string(file->why.text));
	return one;
}

void cli_plugin_origin_json(json_t *object, const struct shunt_plugin *plugin)
{
	if (plugin->from)
		json_object_set_new(object, "origin", file_json(plugin->from));
}

void cli_plugins_list(void)
{
	if (shunt_plugins())
		printf("\n%splug-ins%s: files that were loaded, or refused\n", cli_bold(),
			cli_plain());
	for (const struct shunt_plugin_file *at = shunt_plugins(); at; at = at->next) {
		struct cli_text text = {0};

		if (at->name)
			cli_add(&text, "%s: %u of it can be used; build-id %.12s", at->name,
				at->count, at->build_id);
		if (*at->why.text)
			cli_add(&text, "%srefused: %s", text.len ? "\n" : "", at->why.text);
		printf("  %s\n", at->path);
		cli_wrap("", 4, text.s);
		free(text.s);
	}
}

json_t *cli_plugins_json(void)
{
	json_t *list = json_array();

	for (const struct shunt_plugin_file *at = shunt_plugins(); at; at = at->next)
		json_array_append_new(list, file_json(at));
	return list;
}
