/* SPDX-License-Identifier: MIT */
/*
 * How shunt speaks: errors, documents, wrapped text, numbers for people.
 *
 * Numbers shown to people have three significant digits; whoever needs more reads the record.
 */
#include "core/cli/cli.h"

#include "core/backend.h"
#include "core/engine/barrier.h"
#include "core/measure/json.h"
#include "core/populate.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define HEAP_MOST (1 << 20)

/* Read-only where it is written to, and the other way round: its use is the error that it was. */
static void open_standard(void)
{
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		if (fcntl(fd, F_GETFD) < 0 && errno == EBADF)
			(void)!open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY);
}

/* A run allocates some forty pages, from the start of the heap on. */
static void populate_heap(void)
{
	char *first = malloc(1), *end = sbrk(0);

	/* Else it is no heap of the C library's. */
	if (first && end > first && end - first <= HEAP_MOST)
		shunt_populate(first, (size_t)(end - first));
	free(first);
}

void cli_begin(void)
{
	open_standard();
	populate_heap();
	/* While there is one thread it takes no time; then the kernel waits for all CPUs, 10 ms.
	 * Where it is refused, whoever needs it asks again, and hears so. */
	shunt_barrier_register();
	signal(SIGXFSZ, SIG_IGN); /* beyond ulimit -f a write fails: EFBIG */
}

int cli_error(bool json, int status, const char *format, ...)
{
	char text[2048];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	fprintf(stderr, "shunt: %s\n", text);
	if (json)
		return cli_json(json_pack("{s:{s:i, s:o}}", "error", "exit", status, "message",
					shunt_json_text(text)),
			status);
	return status;
}

int cli_json(struct json_t *document, int status)
{
	if (!document) {
		fputs("shunt: out of memory for the document\n", stderr);
		return CLI_RUN_FAILED;
	}
	json_dumpf(document, stdout, JSON_COMPACT | JSON_ENSURE_ASCII);
	putchar('\n');
	json_decref(document);
	return status;
}

/* ---- colours --------------------------------------------------------------------------------- */

static bool coloured(void)
{
	static int known = -1;

	if (known < 0) {
		const char *no = getenv("NO_COLOR"), *term = getenv("TERM");

		known = isatty(STDOUT_FILENO) && !(no && *no) && term && strcmp(term, "dumb") != 0;
	}
	return known;
}

const char *cli_bold(void)
{
	return coloured() ? "\033[1m" : "";
}

const char *cli_red(void)
{
	return coloured() ? "\033[1;31m" : "";
}

const char *cli_green(void)
{
	return coloured() ? "\033[1;32m" : "";
}

const char *cli_plain(void)
{
	return coloured() ? "\033[0m" : "";
}

/* ---- wrapped text ---------------------------------------------------------------------------- */

/* Columns of UTF-8 text: every byte that neither continues a character nor is in an escape sequence
 * that sets a colour. */
static int columns(const char *text, size_t bytes)
{
	bool escape = false;
	int n = 0;

	for (size_t i = 0; i < bytes; i++) {
		bool ends = escape && text[i] == 'm';

		escape |= text[i] == '\033';
		n += !escape && ((unsigned char)text[i] & 0xc0) != 0x80;
		escape &= !ends;
	}
	return n;
}

static void print_word(const char *word, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		putchar(word[i] == CLI_NBSP ? ' ' : word[i]);
}

void cli_wrap(const char *label, int indent, const char *text)
{
	int at = columns(label, strlen(label));

	fputs(label, stdout);
	if (at >= indent && at > 0) {
		putchar('\n');
		at = 0;
	}
	bool fresh = true;

	while (*text) {
		size_t word = strcspn(text, " \n");
		int width = columns(text, word);

		if (!fresh && at + 1 + width > CLI_COLUMNS) {
			putchar('\n');
			at = 0;
			fresh = true;
		}
		/* Blanks at the start of a line are kept, so that text can be indented further. */
		if (fresh)
			at += printf("%*s", indent > at ? indent - at : 0, "");
		else
			at += printf(" ");
		print_word(text, word);
		at += width;
		fresh = false;
		text += word;
		if (*text == '\n') {
			putchar('\n');
			at = 0;
			fresh = true;
		}
		text += *text != '\0';
	}
	if (!fresh || at > 0)
		putchar('\n');
}

char *cli_nb(char *text)
{
	for (char *s = text; *s; s++)
		if (*s == ' ')
			*s = CLI_NBSP;
	return text;
}

void cli_add(struct cli_text *text, const char *format, ...)
{
	va_list args, again;

	va_start(args, format);
	va_copy(again, args);
	int n = vsnprintf(NULL, 0, format, args);

	SHUNT_ASSERT(n >= 0);
	if (text->len + (size_t)n + 1 > text->room) {
		text->room = (text->len + (size_t)n + 1) * 2;
		text->s = realloc(text->s, text->room);
		SHUNT_ASSERT(text->s);
	}
	vsnprintf(text->s + text->len, (size_t)n + 1, format, again);
	text->len += (size_t)n;
	va_end(again);
	va_end(args);
}

void cli_add_shell(struct cli_text *text, const char *word)
{
	static const char safe[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
				   "_-+=:,./@%^";

	if (*word && word[strspn(word, safe)] == '\0') {
		cli_add(text, "%s", word);
		return;
	}
	cli_add(text, "'");
	for (; *word; word++) {
		if (*word == '\'')
			cli_add(text, "'\\''");
		else
			cli_add(text, "%c", *word);
	}
	cli_add(text, "'");
}

/* ---- numbers --------------------------------------------------------------------------------- */

/* Three significant digits, no exponent below a million. */
static char *three_digits(double n, char *text, size_t bytes)
{
	double size = fabs(n);
	int decimals = size >= 99.95 || size == 0 ? 0 : size >= 9.995 ? 1 : 2;

	/* 0.00135, but 1.35e-09. */
	if (size > 0 && size < 0.9995)
		decimals = 2 - (int)floor(log10(size * 1.0005));
	if (decimals > 6)
		snprintf(text, bytes, "%.2e", n);
	else
		snprintf(text, bytes, "%.*f", decimals, n);
	return text;
}

static char *with_unit(double n, const char *const *units, double step, size_t count, char *text,
	size_t bytes)
{
	char digits[48];
	size_t i = 0;

	/* 999.6 would be shown as 1000. */
	while (i + 1 < count && fabs(n) >= step * 0.9995) {
		n /= step;
		i++;
	}
	snprintf(text, bytes, "%s%s%s", three_digits(n, digits, sizeof(digits)),
		units[i][0] ? " " : "", units[i]);
	return text;
}

char *cli_ns(double ns, char *text, size_t bytes)
{
	static const char *const units[] = {"ns", "us", "ms", "s"};

	return with_unit(ns, units, 1000, 4, text, bytes);
}

char *cli_bytes(double n, char *text, size_t bytes)
{
	static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};

	return with_unit(n, units, 1024, 5, text, bytes);
}

char *cli_grouped(uint64_t n, char *text, size_t bytes)
{
	char digits[24];
	int len = snprintf(digits, sizeof(digits), "%" PRIu64, n);
	size_t out = 0;

	for (int i = 0; i < len && out + 2 < bytes; i++) {
		if (i > 0 && (len - i) % 3 == 0)
			text[out++] = ',';
		text[out++] = digits[i];
	}
	text[out] = '\0';
	return text;
}

char *cli_rate(double n, char *text, size_t bytes)
{
	static const char *const units[] = {"million", "billion", "trillion"};

	if (fabs(n) < 1e4)
		return three_digits(n, text, bytes);
	if (fabs(n) < 999500) {
		double unit = pow(10, floor(log10(n)) - 2);

		return cli_grouped((uint64_t)(round(n / unit) * unit), text, bytes);
	}
	return with_unit(n / 1e6, units, 1000, 3, text, bytes);
}
