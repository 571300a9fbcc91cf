/* SPDX-License-Identifier: MIT */
/*
 * Redaction: host names, user names and absolute paths out of a text.
 *
 * A name is replaced where it stands as a whole word. A path begins with a slash that follows no
 * letter, digit or `<` (which would be a ratio, or the end of an XML element) and precedes one of
 * a name's characters, and it ends where white space, a quote or a delimiter does.
 */
#include "core/measure/environment.h"

#include <ctype.h>
#include <errno.h>
#include <jansson.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NAMES 5

/* Names to hide, and what stands for each. */
struct names {
	char text[NAMES][256];
	const char *instead[NAMES];
	size_t count;
};

static void add(struct names *names, const char *text, const char *instead)
{
	/* "root" and "localhost" tell nothing, and they are words of their own. */
	if (!text || !*text || !strcmp(text, "root") || !strcmp(text, "localhost") ||
		names->count == NAMES)
		return;
	snprintf(names->text[names->count], sizeof(names->text[0]), "%s", text);
	names->instead[names->count++] = instead;
}

static void find_names(struct names *names)
{
	char host[256] = "", buffer[4096];
	struct passwd entry, *found = NULL;

	names->count = 0;
	gethostname(host, sizeof(host) - 1);
	add(names, host, "<host>");
	host[strcspn(host, ".")] = '\0';
	add(names, host, "<host>");
	if (getpwuid_r(getuid(), &entry, buffer, sizeof(buffer), &found) == 0 && found)
		add(names, found->pw_name, "<user>");
	add(names, getenv("USER"), "<user>");
	add(names, getenv("SUDO_USER"), "<user>");
}

static bool in_word(char c)
{
	return isalnum((unsigned char)c) || c == '_' || c == '-' || (c & 0x80);
}

/* The name that stands at `at`, or -1. */
static int name_at(const struct names *names, const char *text, const char *at)
{
	if (at > text && in_word(at[-1]))
		return -1;
	for (size_t i = 0; i < names->count; i++) {
		size_t length = strlen(names->text[i]);

		if (strncmp(at, names->text[i], length) == 0 && !in_word(at[length]))
			return (int)i;
	}
	return -1;
}

/* The length of the absolute path at `at`, 0 for none. */
static size_t path_at(const char *text, const char *at)
{
	if (*at != '/' || (at > text && (isalnum((unsigned char)at[-1]) || strchr("<_.", at[-1]))))
		return 0;
	if (!isalnum((unsigned char)at[1]) && !strchr("._-", at[1]))
		return 0;
	return at[1] ? strcspn(at, " \t\n\"'<>;,|") : 0;
}

char *shunt_env_redact(const char *text)
{
	struct names names;
	char *made = NULL;
	size_t bytes = 0;
	FILE *out = open_memstream(&made, &bytes);

	if (!out)
		return NULL;
	find_names(&names);
	for (const char *at = text; *at;) {
		size_t path = path_at(text, at);
		int name = path ? -1 : name_at(&names, text, at);

		if (path)
			fputs("<path>", out);
		else if (name >= 0)
			fputs(names.instead[name], out);
		else
			fputc(*at, out);
		at += path ? path : name >= 0 ? strlen(names.text[name]) : 1;
	}
	int failed = ferror(out);
	if (fclose(out) != 0 || failed) {
		free(made);
		return NULL;
	}
	return made;
}

int shunt_env_redact_json(json_t *value)
{
	const char *key;
	json_t *part;
	void *next;
	size_t i;
	int rc = 0;

	if (json_is_string(value)) {
		char *text = shunt_env_redact(json_string_value(value));

		rc = !text || json_string_set(value, text) < 0 ? -ENOMEM : 0;
		free(text);
	}
	json_object_foreach_safe(value, next, key, part) if (rc == 0)
		rc = shunt_env_redact_json(part);
	json_array_foreach(value, i, part) if (rc == 0) rc = shunt_env_redact_json(part);
	return rc;
}
