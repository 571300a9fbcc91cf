/* SPDX-License-Identifier: MIT */
/*
 * From a file to entries of the registry.
 *
 * Everything is judged in the order in which it may be looked at: the file itself, what ELF says of
 * it, the head of its table, each plug-in. RTLD_LOCAL keeps two plug-ins' symbols apart.
 * RTLD_DEEPBIND would keep them apart at the price of the sanitizers' interceptors. Nothing is ever
 * unloaded: a task's stack, a trace or a message may still point into it.
 */
#include "core/plugins.h"

#include "core/plugin_kinds.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct shunt_plugin_file *files;

static struct shunt_plugin *find_entry(const struct shunt_plugin_kind *kind, const char *name)
{
	for (struct shunt_plugin *at = kind->list; at->name; at++)
		if (strcmp(at->name, name) == 0)
			return at;
	return NULL;
}

/* ---- one plug-in of a file ------------------------------------------------------------------- */

/* The place in the registry for one that is new. NULL and why: it is not, or the list is full. */
static struct shunt_plugin *find_room(const struct shunt_plugin_kind *kind, const char *name,
	const struct shunt_plugin_file *file, struct shunt_error *err)
{
	struct shunt_plugin *at = find_entry(kind, name);

	if (at && at->bundled && file->bundled)
		return at;
	if (at && at->from)
		shunt_fail(err, 0, "%s '%s' is there already, from %.300s (build-id %.12s)",
			kind->name, name, at->from->path, at->from->build_id);
	else if (at)
		shunt_fail(err, 0, "%s '%s' is there already, in shunt itself", kind->name, name);
	if (at)
		return NULL;
	for (at = kind->list; at->name; at++)
		continue;
	if (at->absent_why)
		return at;
	shunt_fail(err, 0, "there is no room for another %s: at most %d", kind->name,
		SHUNT_PLUGINS_MOST);
	return NULL;
}

static int enter(struct shunt_plugin_file *file, const struct shunt_plugin_v1 *table,
	const struct shunt_plugin_entry *entry, struct shunt_error *err)
{
	const struct shunt_plugin_kind *kind = shunt_plugin_kind_find(entry->kind);
	const char *name = kind && entry->object ? *(const char *const *)entry->object : NULL;
	const void *object = NULL;

	if (!kind)
		return shunt_fail(err, -EINVAL, "it has a plug-in of an unknown kind, '%.40s'",
			entry->kind ? entry->kind : "");
	if (!shunt_plugin_is_name(name))
		return shunt_fail(err, -EINVAL, "its %s has no valid name", kind->name);
	struct shunt_plugin *room = find_room(kind, name, file, err);
	struct shunt_error why = {""};

	if (!room)
		return -EEXIST;
	int rc = shunt_plugin_judge(kind, table, entry, &object, &why);
	if (rc)
		shunt_fail(err, rc, "%s '%s' is refused: %.500s", kind->name, name, why.text);
	else
		file->count++;
	const char *text = rc ? strdup(err->text) : NULL;

	*room = (struct shunt_plugin){.name = name,
		.object = rc ? NULL : object,
		.absent_why = rc && !text ? "refused" : text,
		.from = file};
	return rc;
}

/* ---- one file -------------------------------------------------------------------------------- */

/* Whoever may write the file, or put another in its place, could run code as the user. */
static int check_owner(const char *path, const struct stat *file, struct shunt_error *err)
{
	char *copy = strdup(path);
	struct stat folder;
	int rc = 0;

	if (!copy)
		return shunt_fail(err, -ENOMEM, "out of memory");
	const char *parent = dirname(copy);

	if (file->st_mode & S_IWOTH)
		rc = shunt_fail(err, -EPERM, "anybody may write it: chmod o-w %.400s", path);
	else if (stat(parent, &folder) == 0 && folder.st_mode & S_IWOTH &&
		 !(folder.st_mode & S_ISVTX))
		rc = shunt_fail(err, -EPERM, "anybody may replace it: chmod o-w %.400s", parent);
	free(copy);
	return rc;
}

static int check_file(const char *path, struct shunt_error *err)
{
	struct stat file;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

	if (fd < 0)
		return shunt_fail(err, -errno, "%s", strerror(errno));
	int rc = fstat(fd, &file) ? shunt_fail(err, -errno, "%s", strerror(errno)) : 0;

	if (rc == 0 && !S_ISREG(file.st_mode))
		rc = shunt_fail(err, -EINVAL,
			S_ISDIR(file.st_mode) ? "it is a folder; name a file, or give folders in "
						"SHUNT_PLUGIN_PATH"
					      : "it is not a regular file");
	if (rc == 0)
		rc = check_owner(path, &file, err);
	if (rc == 0)
		rc = shunt_object_check(fd, err);
	close(fd);
	return rc;
}

struct sought {
	uintptr_t within;
	char *build_id;
};

static int find_object(struct dl_phdr_info *object, size_t bytes, void *arg)
{
	const struct sought *sought = arg;

	(void)bytes;
	for (int i = 0; i < object->dlpi_phnum; i++) {
		const ElfW(Phdr) *segment = &object->dlpi_phdr[i];

		if (segment->p_type == PT_LOAD &&
			sought->within - object->dlpi_addr - segment->p_vaddr < segment->p_memsz)
			return shunt_object_build_id(object, sought->build_id) == 0 ? 1 : -1;
	}
	return 0;
}

static int take_file(struct shunt_plugin_file *file, const struct shunt_plugin_v1 *table,
	struct shunt_error *err)
{
	struct sought sought = {(uintptr_t)table, file->build_id};
	int rc = shunt_plugin_check_head(table, err);

	if (rc)
		return rc;
	file->name = table->name;
	if (dl_iterate_phdr(find_object, &sought) != 1)
		return shunt_fail(err, -ENOEXEC,
			"it has no build-id, by which a record names it: link it with "
			"-Wl,--build-id");
	for (unsigned i = 0; i < table->entry_count; i++) {
		struct shunt_error why;
		int refused = enter(file, table, &table->entries[i], &why);

		if (refused && rc == 0)
			rc = shunt_fail(err, refused, "%s", why.text);
	}
	return rc;
}

/* Has another path led to the same table? */
static bool is_loaded(const struct shunt_plugin_v1 *table)
{
	for (const struct shunt_plugin_file *at = files; at; at = at->next)
		if (at->name && at->name == table->name)
			return true;
	return false;
}

static int load(struct shunt_plugin_file *file, struct shunt_error *err)
{
	char full[4096];
	int rc = check_file(file->path, err);

	if (rc)
		return rc;
	/* Without a slash dlopen would look for it elsewhere. */
	if (!realpath(file->path, full))
		return shunt_fail(err, -errno, "%s", strerror(errno));
	void *handle = dlopen(full, RTLD_NOW | RTLD_LOCAL);

	if (!handle)
		return shunt_fail(err, -ENOEXEC, "the loader refuses it: %.400s", dlerror());
	const struct shunt_plugin_v1 *table = dlsym(handle, SHUNT_PLUGIN_SYMBOL);

	if (!table)
		return shunt_fail(err, -ENOEXEC,
			"it has no symbol " SHUNT_PLUGIN_SYMBOL
			", so it is not a plug-in of shunt");
	return is_loaded(table) ? -EALREADY : take_file(file, table, err);
}

static struct shunt_plugin_file *new_file(const char *path)
{
	struct shunt_plugin_file *file = calloc(1, sizeof(*file));

	if (file)
		file->path = strdup(path);
	if (file && file->path)
		return file;
	free(file);
	return NULL;
}

static void list_file(struct shunt_plugin_file *file)
{
	struct shunt_plugin_file **end = &files;

	while (*end)
		end = &(*end)->next;
	*end = file;
}

int shunt_plugins_load(const char *path, struct shunt_error *err)
{
	struct shunt_plugin_file *file = new_file(path);

	if (!file)
		return shunt_fail(err, -ENOMEM, "out of memory");
	int rc = load(file, &file->why);

	if (rc == -EALREADY) {
		free(file->path);
		free(file);
		return 0;
	}
	list_file(file);
	return rc ? shunt_fail(err, rc, "plug-in %.200s: %.400s", path, file->why.text) : 0;
}

/* ---- files of the build ---------------------------------------------------------------------- */

static void load_bundled(struct shunt_plugin *entry)
{
	char path[4096];
	bool found = shunt_object_beside(entry->bundled, path, sizeof(path));
	struct shunt_plugin_file *file = new_file(found ? path : entry->bundled);
	struct shunt_error err = {"out of memory"}, why;
	int rc = -ENOMEM;

	if (file && !found)
		shunt_fail(&err, -ENOENT, "%s is not where it was installed", entry->bundled);
	if (file && found) {
		file->bundled = true;
		rc = load(file, &err);
	}
	if (rc == 0 && entry->object)
		return;
	shunt_fail(&why, rc, "not loaded: %.600s", rc ? err.text : "its file does not have it");
	const char *text = strdup(why.text);

	*entry = (struct shunt_plugin){.name = entry->name,
		.absent_why = text ? text : "not loaded: out of memory"};
}

void shunt_plugins_load_bundled(const struct shunt_plugin *entry)
{
	for (const struct shunt_plugin_kind *kind = shunt_plugin_kinds; kind->name; kind++)
		for (struct shunt_plugin *at = kind->list; at->name; at++)
			if (at->bundled && (!entry || at == entry))
				load_bundled(at);
}

/* ---- folders --------------------------------------------------------------------------------- */

static int ends_in_so(const struct dirent *entry)
{
	size_t length = strlen(entry->d_name);

	return length > 3 && strcmp(entry->d_name + length - 3, ".so") == 0;
}

static void load_folder(const char *folder)
{
	struct dirent **found;
	char path[4096];
	int count = scandir(folder, &found, ends_in_so, alphasort);

	if (count < 0) {
		struct shunt_plugin_file *file = new_file(folder);

		if (file) {
			shunt_fail(&file->why, -errno, "%s", strerror(errno));
			list_file(file);
		}
		return;
	}
	for (int i = 0; i < count; i++) {
		snprintf(path, sizeof(path), "%s/%s", folder, found[i]->d_name);
		shunt_plugins_load(path, NULL);
		free(found[i]);
	}
	free(found);
}

void shunt_plugins_load_folders(const char *folders)
{
	char *copy = strdup(folders), *save = NULL;

	for (char *at = copy ? strtok_r(copy, ":", &save) : NULL; at;
		at = strtok_r(NULL, ":", &save))
		load_folder(at);
	free(copy);
}

const struct shunt_plugin_file *shunt_plugins(void)
{
	return files;
}

const struct shunt_plugin_file *shunt_plugins_origin(const char *kind_name, const char *name)
{
	const struct shunt_plugin_kind *kind = shunt_plugin_kind_find(kind_name);
	const struct shunt_plugin *at = kind ? find_entry(kind, name) : NULL;

	return at ? at->from : NULL;
}
