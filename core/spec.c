/* SPDX-License-Identifier: MIT */
/*
 * From the text of a spec to an open scheduler.
 *
 * The text is cut in place: one copy of it is what every setting points into. Keys and values are
 * judged by the backend that takes them; here only the form is, because a form error is the same
 * for all of them.
 */
#include "core/spec.h"

#include "core/plugins.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAMES_MAX 64

int shunt_registry_find(const struct shunt_plugin **plugin, const struct shunt_plugin *list,
	const char *kind, const char *name, struct shunt_error *err)
{
	const char *names[NAMES_MAX];
	char all[320] = "";
	size_t count = 0, used = 0;

	for (; list[count].name && count < NAMES_MAX; count++) {
		names[count] = list[count].name;
		if (strcmp(name, names[count]) == 0)
			break;
		if (used < sizeof(all))
			used += (size_t)snprintf(all + used, sizeof(all) - used, "%s%s",
				count ? ", " : "", names[count]);
	}
	if (list[count].name && count < NAMES_MAX) {
		*plugin = &list[count];
		if (list[count].bundled)
			shunt_plugins_load_bundled(&list[count]);
		if (!list[count].object)
			return shunt_fail(err, -ENOSYS, "%s '%s' is %s", kind, name,
				list[count].absent_why);
		return 0;
	}
	const char *near = shunt_nearest(name, names, count);

	if (near)
		return shunt_fail(err, -ENOENT,
			"unknown %s '%.60s'; did you mean '%s'? There are %s", kind, name, near,
			all);
	return shunt_fail(err, -ENOENT, "unknown %s '%.60s'; there are %s", kind, name, all);
}

static size_t count_char(const char *text, char c)
{
	size_t count = 0;

	for (; *text; text++)
		count += *text == c;
	return count;
}

static bool same_key_before(const struct shunt_spec *spec, const char *key)
{
	for (size_t i = 0; i < spec->setting_count; i++)
		if (strcmp(spec->settings[i].key, key) == 0)
			return true;
	return false;
}

/* Cuts "key=value" out of `item` and appends it. */
static int add_setting(struct shunt_spec *spec, char *item, struct shunt_error *err)
{
	const char *owner = spec->backend->name;
	char *equals = strchr(item, '=');

	if (*item == '\0')
		return shunt_fail(err, -EINVAL,
			"spec of '%s': a setting is missing; expected KEY=VALUE[,KEY=VALUE...] "
			"after ':'",
			owner);
	if (!equals || equals == item)
		return shunt_fail(err, -EINVAL,
			"spec of '%s': '%.60s' is not a setting; expected KEY=VALUE", owner, item);
	*equals = '\0';
	if (equals[1] == '\0')
		return shunt_fail(err, -EINVAL, "spec of '%s': %.60s= has no value", owner, item);
	if (same_key_before(spec, item))
		return shunt_fail(err, -EINVAL, "spec of '%s': %.60s is set twice", owner, item);
	spec->settings[spec->setting_count++] =
		(struct shunt_setting){.key = item, .value = equals + 1, .by_user = true};
	return 0;
}

/* `text` is cut into pieces. */
static int add_settings(struct shunt_spec *spec, char *text, struct shunt_error *err)
{
	int rc = 0;

	while (text && rc == 0) {
		char *next = strchr(text, ',');

		if (next)
			*next++ = '\0';
		rc = add_setting(spec, text, err);
		text = next;
	}
	return rc;
}

static int find_backend(struct shunt_spec *spec, struct shunt_error *err)
{
	const struct shunt_plugin *plugin;
	int rc = shunt_registry_find(&plugin, shunt_registry_backends, "backend", spec->text, err);

	if (rc == 0)
		spec->backend = plugin->object;
	return rc;
}

int shunt_spec_parse(struct shunt_spec *spec, const struct shunt_backend *backend, const char *text,
	struct shunt_error *err)
{
	char *settings;
	int rc;

	*spec = (struct shunt_spec){.backend = backend, .text = strdup(text)};
	if (!spec->text)
		return shunt_fail(err, -ENOMEM, "out of memory for the spec");
	settings = strchr(spec->text, ':');
	if (settings)
		*settings++ = '\0';
	rc = backend ? 0 : find_backend(spec, err);
	if (rc)
		goto fail;
	spec->settings = calloc(count_char(text, ',') + 1, sizeof(*spec->settings));
	rc = spec->settings ? add_settings(spec, settings, err)
			    : shunt_fail(err, -ENOMEM, "out of memory for the spec");
	if (rc == 0)
		return 0;
fail:
	shunt_spec_fini(spec);
	return rc;
}

void shunt_spec_fini(struct shunt_spec *spec)
{
	free(spec->settings);
	free(spec->text);
	*spec = (struct shunt_spec){0};
}

int shunt_spec_open(struct shunt_sched **sched, const struct shunt_spec *spec,
	const struct shunt_config *base, struct shunt_error *err)
{
	struct shunt_config config = base ? *base : (struct shunt_config){0};
	size_t extra = config.setting_count;
	struct shunt_error why = {""};
	int rc = spec->backend->probe ? spec->backend->probe(&why) : 0;

	if (rc)
		return shunt_fail(err, rc, "backend '%s' cannot run on this machine: %.500s",
			spec->backend->name, why.text[0] ? why.text : strerror(-rc));
	struct shunt_setting *all = calloc(spec->setting_count + extra + 1, sizeof(*all));

	if (!all)
		return shunt_fail(err, -ENOMEM, "out of memory for the spec");
	memcpy(all, spec->settings, spec->setting_count * sizeof(*all));
	if (extra)
		memcpy(all + spec->setting_count, config.settings, extra * sizeof(*all));
	config.backend = spec->backend->name;
	config.settings = all;
	config.setting_count = spec->setting_count + extra;
	rc = spec->backend->open(sched, spec->backend, &config, err);
	free(all);
	return rc;
}

int shunt_open(struct shunt_sched **sched, const char *spec_text, const struct shunt_config *base,
	struct shunt_error *err)
{
	struct shunt_spec spec;
	int rc = shunt_spec_parse(&spec, NULL, spec_text, err);

	if (rc)
		return rc;
	rc = shunt_spec_open(sched, &spec, base, err);
	shunt_spec_fini(&spec);
	return rc;
}

int shunt_config_values(struct shunt_values *values, const struct shunt_param *params,
	const struct shunt_config *config, struct shunt_error *err)
{
	char where[96];
	int rc = shunt_values_init(values, params, err);

	snprintf(where, sizeof(where), "backend '%s'", config->backend);
	for (size_t i = 0; i < config->setting_count && rc == 0; i++) {
		rc = shunt_values_set(values, where, config->settings[i].key,
			config->settings[i].value, err);
		if (rc)
			shunt_values_fini(values);
	}
	return rc;
}
