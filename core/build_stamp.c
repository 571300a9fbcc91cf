/* SPDX-License-Identifier: MIT */
/*
 * Which commit this executable was built from.
 *
 * The text is written into its own section after the link (core/cmake/build_info.cmake), so that it
 * is not part of what the ELF build-id hashes. A test program, which nobody stamps, says "unknown".
 */
#include "core/build_info.h"

#include <string.h>

#define STAMP_BYTES  64
#define COMMIT_CHARS 40

/* Volatile, because the compiler must not believe the initialiser. Padded with spaces. */
__attribute__((section(".shunt_commit"), used)) static const volatile char stamp[STAMP_BYTES] =
	"unknown";

/* Filled at the first call; every caller writes the same bytes. */
static char commit[COMMIT_CHARS + 1];

const char *shunt_build_commit(void)
{
	if (shunt_build_dirty() < 0)
		return "";
	for (int i = 0; i < COMMIT_CHARS; i++)
		commit[i] = stamp[i];
	return commit;
}

int shunt_build_dirty(void)
{
	if (stamp[COMMIT_CHARS] != ' ')
		return -1;
	if (stamp[COMMIT_CHARS + 1] == 'c')
		return 0;
	return stamp[COMMIT_CHARS + 1] == 'd' ? 1 : -1;
}
