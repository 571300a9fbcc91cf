/* SPDX-License-Identifier: MIT */
/* Facts about the executable: commit, compiler, flags, ELF build-id, and what is loaded with it. */
#include "core/build_info.h"
#include "core/measure/environment.h"
#include "core/measure/environment_internal.h"
#include "core/measure/json.h"
#include "core/object.h"

#include <errno.h>
#include <gnu/libc-version.h>
#include <link.h>
#include <stdio.h>
#include <string.h>

/* The executable itself is the first object of the list. */
static int first_object(struct dl_phdr_info *object, size_t bytes, void *id)
{
	(void)bytes;
	return shunt_object_build_id(object, id) == 0 ? 1 : -1;
}

int shunt_build_id(char id[SHUNT_BUILD_ID_BYTES])
{
	return dl_iterate_phdr(first_object, id) == 1 ? 0 : -ENODATA;
}

static int add_library(struct dl_phdr_info *object, size_t bytes, void *list)
{
	const char *slash = strrchr(object->dlpi_name, '/');
	char id[SHUNT_BUILD_ID_BYTES] = "no build-id";

	(void)bytes;
	if (!*object->dlpi_name) /* the executable */
		return 0;
	shunt_object_build_id(object, id);
	json_object_set_new(list, slash ? slash + 1 : object->dlpi_name, json_string(id));
	return 0;
}

static void gather_source(struct shunt_env *env)
{
	const char *commit = shunt_build_commit();
	int dirty = shunt_build_dirty();

	if (*commit) {
		shunt_env_fact(env, "build.commit", commit, "git, when it was linked");
		shunt_env_put(env, env->facts, "build.dirty", json_boolean(dirty),
			"git status, results/ left out");
	} else {
		shunt_env_absent(env, "build.commit", "the executable carries no commit");
		shunt_env_absent(env, "build.dirty", "the executable carries no commit");
	}
}

void shunt_env_gather_build(struct shunt_env *env)
{
	char id[SHUNT_BUILD_ID_BYTES];
	json_t *libraries = json_object();

	gather_source(env);
	shunt_env_fact(env, "build.version", SHUNT_VERSION, "the build system");
	shunt_env_fact(env, "build.type", SHUNT_BUILD_TYPE, "the build system");
	shunt_env_fact(env, "build.target", SHUNT_TARGET, "the build system");
	shunt_env_fact(env, "build.flags", SHUNT_FLAGS, "the build system");
	shunt_env_fact(env, "build.compiler", SHUNT_COMPILER, "the build system");
	if (shunt_build_id(id) == 0)
		shunt_env_fact(env, "build.id", id, "the executable's note");
	else
		shunt_env_absent(env, "build.id", "linked without --build-id");
	dl_iterate_phdr(add_library, libraries);
	shunt_env_put(env, env->facts, "build.libraries", libraries,
		"loaded objects and their build-ids");
	shunt_env_fact(env, "library.libc", gnu_get_libc_version(), "gnu_get_libc_version");
	shunt_env_fact(env, "library.jansson", jansson_version_str(), "jansson_version_str");
}
