/* SPDX-License-Identifier: MIT */
/* ELF files: what one says before it is loaded, and the build-id of one that is. */
#ifndef SHUNT_CORE_OBJECT_H
#define SHUNT_CORE_OBJECT_H

#include "core/param.h"

#define SHUNT_BUILD_ID_BYTES 129

struct dl_phdr_info; /* link.h */

/* The build-id of a loaded object, in hex. 0, or -ENODATA: it has none. */
int shunt_object_build_id(const struct dl_phdr_info *object, char id[SHUNT_BUILD_ID_BYTES]);

/* The path of a file of this build, `name`, beside the program or library that this code is in: in
 * the build's folder, or installed. False: it is in neither. */
bool shunt_object_beside(const char *name, char *path, size_t bytes);

/*
 * Can the file be loaded as a library of this machine, without a write to its code? 0; -ENOEXEC:
 * no, and err says why, without the file's name; or the negative errno of reading it. Nothing of it
 * is run.
 */
int shunt_object_check(int fd, struct shunt_error *err);

#endif
