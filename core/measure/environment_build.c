/* SPDX-License-Identifier: MIT */
/* Facts about the executable: commit, compiler, flags, ELF build-id, and what is loaded with it. */
#include "core/build_info.h"
#include "core/measure/environment.h"
#include "core/measure/environment_internal.h"
#include "core/measure/json.h"

#include <elf.h>
#include <errno.h>
#include <gnu/libc-version.h>
#include <link.h>
#include <stdio.h>
#include <string.h>

static size_t padded(size_t bytes)
{
	return (bytes + 3) & ~(size_t)3;
}

/* The build-id in a note segment, in hex. */
static bool find_in_notes(const char *note, size_t left, char id[SHUNT_BUILD_ID_BYTES])
{
	while (left >= sizeof(ElfW(Nhdr))) {
		const ElfW(Nhdr) *head = (const void *)note;
		const char *name = note + sizeof(*head);
		const unsigned char *bytes = (const void *)(name + padded(head->n_namesz));
		size_t size = sizeof(*head) + padded(head->n_namesz) + padded(head->n_descsz);

		if (size > left)
			return false;
		if (head->n_type == NT_GNU_BUILD_ID && head->n_namesz == 4 &&
			!memcmp(name, "GNU", 4) &&
			2 * (size_t)head->n_descsz < SHUNT_BUILD_ID_BYTES) {
			for (size_t i = 0; i < head->n_descsz; i++)
				sprintf(id + 2 * i, "%02x", bytes[i]);
			return true;
		}
		note += size;
		left -= size;
	}
	return false;
}

static bool find_in_object(const struct dl_phdr_info *object, char id[SHUNT_BUILD_ID_BYTES])
{
	for (int i = 0; i < object->dlpi_phnum; i++) {
		const ElfW(Phdr) *segment = &object->dlpi_phdr[i];

		if (segment->p_type == PT_NOTE &&
			find_in_notes((const char *)(object->dlpi_addr + segment->p_vaddr),
				segment->p_memsz, id))
			return true;
	}
	return false;
}

/* The executable itself is the first object of the list. */
static int first_object(struct dl_phdr_info *object, size_t bytes, void *id)
{
	(void)bytes;
	return find_in_object(object, id) ? 1 : -1;
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
	find_in_object(object, id);
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
