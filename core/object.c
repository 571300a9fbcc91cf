/* SPDX-License-Identifier: MIT */
/*
 * Of an ELF file only three things are read: its head, its program headers and its dynamic section.
 *
 * The file may be anything: every place and size in it is checked against what was really read. A
 * library with text relocations would have its code pages made writable by the loader.
 */
#include "core/object.h"

#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <limits.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <unistd.h>

#define SEGMENTS_MOST 64
#define DYNAMIC_MOST  512

#if defined(__x86_64__)
#define MACHINE EM_X86_64
#elif defined(__aarch64__)
#define MACHINE EM_AARCH64
#elif defined(__riscv)
#define MACHINE EM_RISCV
#else
#define MACHINE EM_NONE
#endif

static size_t padded(size_t bytes)
{
	return (bytes + 3) & ~(size_t)3;
}

/* The build-id in a note segment. */
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

int shunt_object_build_id(const struct dl_phdr_info *object, char id[SHUNT_BUILD_ID_BYTES])
{
	for (int i = 0; i < object->dlpi_phnum; i++) {
		const ElfW(Phdr) *segment = &object->dlpi_phdr[i];

		if (segment->p_type == PT_NOTE &&
			find_in_notes((const char *)(object->dlpi_addr + segment->p_vaddr),
				segment->p_memsz, id))
			return 0;
	}
	return -ENODATA;
}

/* What the file has of `bytes` from there on; a negative errno. */
static ssize_t read_at(int fd, void *to, size_t bytes, uint64_t from)
{
	ssize_t n = from > INT64_MAX ? 0 : pread(fd, to, bytes, (off_t)from);

	return n < 0 ? -errno : n;
}

static int check_head(const ElfW(Ehdr) * head, size_t bytes, struct shunt_error *err)
{
	if (bytes < SELFMAG || memcmp(head->e_ident, ELFMAG, SELFMAG) != 0)
		return shunt_fail(err, -ENOEXEC, "it is not an ELF file");
	if (bytes < sizeof(*head))
		return shunt_fail(err, -ENOEXEC, "its ELF header is cut off");
	if (head->e_ident[EI_CLASS] != ELFCLASS64 || head->e_ident[EI_DATA] != ELFDATA2LSB ||
		head->e_machine != MACHINE)
		return shunt_fail(err, -ENOEXEC,
			"it is for another machine (ELF class %d, machine %d, not %d)",
			head->e_ident[EI_CLASS], head->e_machine, MACHINE);
	if (head->e_type != ET_DYN)
		return shunt_fail(err, -ENOEXEC,
			"it is not a shared library (ELF type %d): link it with -shared",
			head->e_type);
	if (head->e_phentsize != sizeof(ElfW(Phdr)) || head->e_phnum > SEGMENTS_MOST)
		return shunt_fail(err, -ENOEXEC, "its program headers are damaged");
	return 0;
}

static bool has_text_relocations(const ElfW(Dyn) * entry, size_t count)
{
	for (size_t i = 0; i < count && entry[i].d_tag != DT_NULL; i++)
		if (entry[i].d_tag == DT_TEXTREL ||
			(entry[i].d_tag == DT_FLAGS && entry[i].d_un.d_val & DF_TEXTREL))
			return true;
	return false;
}

static int check_dynamic(int fd, const ElfW(Phdr) * segment, struct shunt_error *err)
{
	ElfW(Dyn) entry[DYNAMIC_MOST];
	size_t bytes = segment->p_filesz < sizeof(entry) ? segment->p_filesz : sizeof(entry);
	ssize_t n = read_at(fd, entry, bytes, segment->p_offset);

	if (n < 0)
		return shunt_fail(err, (int)n, "%s", strerror((int)-n));
	if (has_text_relocations(entry, (size_t)n / sizeof(entry[0])))
		return shunt_fail(err, -ENOEXEC,
			"it has text relocations: compile all of it with -fPIC");
	return 0;
}

/* The loader maps a segment that the file does not have, and then dies of SIGBUS. */
static int check_segment(int fd, const ElfW(Phdr) * segment, uint64_t file_bytes,
	struct shunt_error *err)
{
	if (segment->p_offset > file_bytes || segment->p_filesz > file_bytes - segment->p_offset)
		return shunt_fail(err, -ENOEXEC, "it is cut off: a segment ends behind its end");
	return segment->p_type == PT_DYNAMIC ? check_dynamic(fd, segment, err) : 0;
}

int shunt_object_check(int fd, struct shunt_error *err)
{
	ElfW(Ehdr) head;
	struct stat file;
	ElfW(Phdr) segment[SEGMENTS_MOST];
	ssize_t n = read_at(fd, &head, sizeof(head), 0);
	int rc = n < 0 ? shunt_fail(err, (int)n, "%s", strerror((int)-n))
		       : check_head(&head, (size_t)n, err);

	if (rc)
		return rc;
	size_t bytes = head.e_phnum * sizeof(segment[0]);

	if (fstat(fd, &file) != 0)
		return shunt_fail(err, -errno, "%s", strerror(errno));
	n = read_at(fd, segment, bytes, head.e_phoff);
	if (n != (ssize_t)bytes)
		return shunt_fail(err, -ENOEXEC, "its program headers are cut off");
	for (int i = 0; i < head.e_phnum && rc == 0; i++)
		rc = check_segment(fd, &segment[i], (uint64_t)file.st_size, err);
	return rc;
}

/* ---- files beside this one ------------------------------------------------------------------- */

/* The file that this code is in, without its name: of a program the kernel knows it, whatever the
 * name that it was started by. */
static bool own_folder(char folder[PATH_MAX])
{
	Dl_info own;

	if (!dladdr((const void *)(uintptr_t)own_folder, &own))
		return false;
	const ElfW(Ehdr) *head = own.dli_fbase;
	bool is_program = getauxval(AT_PHDR) == (uintptr_t)head + head->e_phoff;

	if (!realpath(is_program ? "/proc/self/exe" : own.dli_fname, folder))
		return false;
	*strrchr(folder, '/') = '\0';
	return true;
}

bool shunt_object_beside(const char *name, char *path, size_t bytes)
{
	/* From the build's folder and from its tests; installed, from programs, from those that
	 * they run, and from the library, whose folder may have one more level. */
	static const char *const places[] = {"plugins", "../plugins", "../libexec/shunt", ".",
		"../../libexec/shunt"};
	char folder[PATH_MAX];

	if (!own_folder(folder))
		return false;
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		int n = snprintf(path, bytes, "%s/%s/%s", folder, places[i], name);

		if (n > 0 && (size_t)n < bytes && access(path, R_OK) == 0)
			return true;
	}
	return false;
}
